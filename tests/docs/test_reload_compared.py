"""The comparison of reloads says nothing of voicepipe that no test shows, and nothing of others without a source.

After adding a test of a promise: `REGENERATE=1 .venv/bin/pytest tests/docs/test_reload_compared.py`.
"""

from __future__ import annotations

import os
import re

import pytest
from doc_pages import ROOT
from promises import kept_by

PAGE = ROOT / "docs/explanation/reload-compared.md"
ROW = re.compile(r"^\| (?P<promise>R\d\d) \| (?P<property>[^|]+) \| (?P<ours>[^|]*)\| (?P<others>.+) \|$", re.MULTILINE)
OTHERS = ("nginx", "haproxy", "envoy", "caddy", "otel", "vector", "prometheus")
SHOWN = re.compile(r"\]\(\.\./(\.\./tests/guarantees/\w+\.py|reference/guarantees\.md)\)")
HOME = {
    "nginx": r"nginx\.org/",
    "haproxy": r"docs\.haproxy\.org/",
    "envoy": r"www\.envoyproxy\.io/docs/",
    "caddy": r"(caddyserver\.com/docs/|github\.com/caddyserver/)",
    "otel": r"(opentelemetry\.io/docs/|github\.com/open-telemetry/)",
    "vector": r"(vector\.dev/docs/|github\.com/vectordotdev/)",
    "prom": r"(prometheus\.io/docs/|github\.com/prometheus/)",
}
"""Where each project says something of itself, by how its links begin."""


def ours_of(promise):
    names = kept_by().get(promise, ())
    return ", ".join(f"[test](../../tests/guarantees/{name})" for name in names) or "no test yet"


@pytest.fixture(scope="module")
def text():
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("REGENERATE"):
        text = ROW.sub(
            lambda row: f"| {row['promise']} | {row['property']} | {ours_of(row['promise'])} | {row['others']} |", text
        )
        PAGE.write_text(text, encoding="utf-8")
    return text


@pytest.fixture(scope="module")
def sources(text):
    return dict(re.findall(r"^\[([\w-]+)\]: https://(\S+)$", text, re.MULTILINE))


def test_it_has_every_promise_about_reloads(text):
    assert [row["promise"] for row in ROW.finditer(text)] == [f"R{number:02}" for number in range(1, 30)]


def test_what_it_says_of_us_is_what_tests_show(text):
    assert {row["promise"]: row["ours"].strip() for row in ROW.finditer(text)} == {
        row["promise"]: ours_of(row["promise"]) for row in ROW.finditer(text)
    }


def test_what_its_prose_says_of_us_links_to_a_test_or_to_the_promises(text):
    start, end = text.index("## Project by project"), text.index("## How this was made")
    paragraphs = re.split(r"\n\n|\n(?=- )", text[start:end])
    about_us = [one for one in paragraphs if re.search(r"\b(voicepipe|ours?|we)\b", one)]
    assert about_us
    assert [one for one in about_us if not SHOWN.search(one)] == []


def test_what_it_says_of_others_is_in_their_own_pages(text, sources):
    for row in ROW.finditer(text):
        cells = [cell.strip() for cell in row["others"].split("|")]
        assert len(cells) == len(OTHERS), row["promise"]
        for name, cell in zip(OTHERS, cells, strict=True):
            if cell in {"?", "n/a"}:
                continue
            source = re.fullmatch(r"\[(?:yes|in part|no|n/a)\]\[([\w-]+)\]", cell)
            assert source, f"{row['promise']}, {name}: {cell}"
            assert source[1].startswith(name[:4]), f"{row['promise']}: {cell} is in the column of {name}"


def test_sources_are_the_projects_own_and_each_is_used(text, sources):
    for name, address in sources.items():
        (home,) = (home for start, home in HOME.items() if name.startswith(start))
        assert re.match(home, address), f"{name}: {address}"
        assert f"][{name}]" in text
