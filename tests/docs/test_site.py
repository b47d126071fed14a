"""The built pages: without a warning, and whole without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from browser import page_after_scripts
from doc_pages import ROOT
from patience import LONG_S

import voicepipe


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="the pages are built with mkdocs-material: make setup")
    site = tmp_path_factory.mktemp("site")
    # Not `--quiet`: then nothing counts the warnings that `--strict` is about.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", site]
    # The theme's makers announce a successor on each build, which is no warning about our pages.
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WARNING" not in run.stderr
    return site


class Loads(HTMLParser):
    """Addresses that a page loads by itself, as a link to be clicked is not."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in {"script", "img", "iframe", "source", "object"}:
            self.loaded += [address for address in (values.get("src"), values.get("data")) if address]
        if tag == "link" and values.get("rel") in {"stylesheet", "preconnect", "preload", "icon"}:
            self.loaded += [address for address in (values.get("href"),) if address]


def test_nothing_is_loaded_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert [address for address in loads.loaded if re.match(r"(?:\w+:)?//", address)] == []
        if page.name != "404.html":  # only a server shows that one, from its top
            assert [address for address in loads.loaded if not (page.parent / address).exists()] == []
    for style in site.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:\w+:)?//|@import", style.read_text(encoding="utf-8"))


def test_search_works_from_the_disk(site, tmp_path):
    """A `file://` page may start no web worker; the search must find things nevertheless."""
    found = page_after_scripts(f"file://{site}/index.html?q=rollback", tmp_path)
    titles = re.findall(r'<a href="([^"?#]+)[^"]*" class="md-search-result__link"', found)
    assert any(title.endswith("how-to/roll-back.html") for title in titles), titles


def test_home_is_the_readme(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    assert 'src="images/flow.svg"' in home
    assert 'href="how-to/change-a-pipeline.html"' in home
    assert 'href="source/examples/wav_call.py.html"' in home


def test_tables_are_filled_in(site):
    for page in site.rglob("*.html"):
        assert "<!-- made:" not in page.read_text(encoding="utf-8")
    api = (site / "reference/api.html").read_text(encoding="utf-8")
    assert all(f'id="{name.lower()}' in api for name in voicepipe.__all__)


def test_files_that_are_linked_to_are_shown(site):
    shown = (site / "source/examples/wav_call.py.html").read_text(encoding="utf-8")
    assert "WavTransport" in shown
    listed = (site / "source/tests/guarantees.html").read_text(encoding="utf-8")
    assert "test_f07_rubbish_costs_that_connection_only.py" in listed
