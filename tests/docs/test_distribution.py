"""The import name `voicepipe` is another project's on PyPI: nothing tells anybody to install that."""

from __future__ import annotations

import re
import tomllib

from doc_pages import ROOT

import voicepipe
from voicepipe.components.distribution import DISTRIBUTION, install_hint

OTHERS_NAME = re.compile(
    r"""pip install[^\n`]*?['" ]voicepipe(?![\w./-])|"voicepipe(?:\[\w|[<>=~])|pypi\.org/project/voicepipe\b(?!-)"""
)
"""A command, a requirement or an address that means the project that is not ours."""


def test_the_distribution_has_one_name():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == DISTRIBUTION
    assert voicepipe.__version__ == project["version"]
    assert install_hint("vosk", "espeak") == "pip install 'voicepipe-telephony[vosk,espeak]'"


def test_every_extra_that_a_hint_or_a_page_names_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.compile(rf"{DISTRIBUTION}\[([\w,]+)\]|install_hint\(([^)]*)\)")
    for path in written():
        for in_a_page, in_code in named.findall(path.read_text(encoding="utf-8")):
            names = set(in_a_page.split(",")) | set(re.findall(r'"(\w+)"', in_code))
            assert names - {""} <= extras.keys(), path


def test_nothing_tells_anybody_to_install_the_other_project():
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in written()
        for match in OTHERS_NAME.finditer(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def written():
    """What users read or run: sources, templates, pages."""
    for place in ("voicepipe", "reference_engine", "docs", "examples", "config"):
        for pattern in ("*.py", "*.md", "*.txt", "*.yaml", "*.toml", "*.service"):
            yield from (ROOT / place).rglob(pattern)
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "pyproject.toml", "Makefile"))
