"""The page of guarantees and `tests/guarantees/` say the same.

After adding a test of a promise: `REGENERATE=1 .venv/bin/pytest tests/docs/test_guarantees.py`, and read the diff.
"""

from __future__ import annotations

import os
import re

import pytest
from doc_pages import ROOT
from promises import TESTS, kept_by, promise_of

PAGE = ROOT / "docs/reference/guarantees.md"
ROW = re.compile(r"^\| (?P<promise>[A-Z]+\d+) \| (?P<text>.*) \| (?P<kept>[^|]*) \|$", re.MULTILINE)
NUMBERS = {"R": 30, "CFG": 6, "C": 10, "F": 12, "T": 10, "D": 4, "W": 5}


def links():
    """What the page has in the row of each promise that is kept."""
    return {
        promise: ", ".join(f"[{name}](../../tests/guarantees/{name})" for name in names)
        for promise, names in kept_by().items()
    }


@pytest.fixture(scope="module")
def page():
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("REGENERATE"):
        kept = links()
        text = ROW.sub(
            lambda row: f"| {row['promise']} | {row['text']} | {kept.get(row['promise'], row['kept'])} |", text
        )
        PAGE.write_text(text, encoding="utf-8")
    return {row["promise"]: row for row in ROW.finditer(text)}


def test_every_promise_has_a_row(page):
    assert list(page) == [
        f"{letters}{number:02}" if letters != "CFG" else f"{letters}{number}"
        for letters, last in NUMBERS.items()
        for number in range(1, last + 1)
    ]
    assert all(row["text"] for row in page.values())


def test_every_test_is_of_a_promise(page):
    assert {promise_of(test) for test in TESTS} <= set(page)


def test_rows_link_to_their_tests_and_the_others_say_when(page):
    kept = links()
    for promise, row in page.items():
        if promise in kept:
            assert row["kept"] == kept[promise]
        else:
            assert re.fullmatch(r"issue [3-7]|\*planned\*", row["kept"])
