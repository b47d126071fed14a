"""What the pages name is there: links, files, make targets, commands and their options."""

from __future__ import annotations

import ast
import re
import shlex
from textwrap import indent

import pytest
from doc_pages import PAGES, ROOT, blocks_in, name_of
from links import links_in

import voicepipe
from reference_engine.commands.parser import make_parser

MADE_BY_OTHERS = {
    "config/models/vosk-model-small-en-us-0.15",
    "tests/example_server.py",
    "tests/example_service.py",
    "tests/test_ollama.py",
}
"""Paths that a reader makes."""

page_by_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


@page_by_page
def test_links_lead_to_files_of_the_repository(page):
    targets = [target for target in links_in(page.read_text(encoding="utf-8")) if not re.match(r"[a-z]+:", target)]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []
    assert all((page.parent / target).resolve().is_relative_to(ROOT) for target in targets)


@page_by_page
def test_files_that_are_named_are_there(page):
    named = re.findall(
        r"(?<![\w/.$-])((?:config|examples|tests|docs|voicepipe|reference_engine)/[\w./-]*\w)",
        page.read_text(encoding="utf-8"),
    )
    missing = {path for path in named if not (ROOT / path).exists()} - MADE_BY_OTHERS
    assert missing == set()


@page_by_page
def test_make_targets_are_there(page):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    code = [block.text for block in blocks_in(page)] + re.findall(r"`(make [^`]+)`", text)
    named = {
        target
        for piece in code
        for line in re.findall(r"^(?:\$ )?make ((?:[a-z-]+ ?)+)", piece, re.MULTILINE)
        for target in line.split()
    }
    assert named <= targets


@page_by_page
def test_python_is_python_and_uses_what_there_is(page):
    for block in blocks_in(page):
        if block.language == "python":
            tree = ast.parse("async def block():\n" + indent(block.text, "    "))
            names = {
                node.attr
                for node in ast.walk(tree)
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "voicepipe"
            }
            assert names <= set(voicepipe.__all__)


def commands():
    for page in PAGES:
        for block in blocks_in(page):
            for line in block.text.replace("\\\n", " ").splitlines():
                if found := re.search(r"(?:^|[/ =])reference-engine ((?:run|check|reload|rollback|status)\b.*)", line):
                    yield pytest.param(found[1], id=f"{name_of(page)}: {found[1]}")


@pytest.mark.parametrize("command", [*commands()])
def test_the_engine_takes_the_options_that_are_named(command):
    words = shlex.split(re.split(r"2?>|&&|\|| &$", command)[0], comments=True)
    assert callable(make_parser().parse_args(words).run)


@pytest.mark.parametrize("package", ["voicepipe", "reference_engine"])
def test_the_tree_in_the_architecture_page_is_that_of_the_code(package):
    """Every file that it shows exists, and every directory is shown."""
    (tree,) = (block.text for block in blocks_in(ROOT / "docs/Architecture.md") if "registry.py" in block.text)
    inside = re.match(r".*\n((?:  .*\n)*)", tree[tree.index(f"{package}/  ") :])[1]
    shown, above = set(), []
    for line in inside.splitlines():
        above = above[: (len(line) - len(line.lstrip())) // 2 - 1]
        names = re.findall(r"\b\w+\.py|\b\w+/", line)
        shown |= {"".join(above) + name for name in names}
        if names and names[0].endswith("/"):
            above.append(names[0])
    missing = {name for name in shown if not (ROOT / package / name).exists()}
    there = {path.name + "/" for path in (ROOT / package).iterdir() if path.is_dir()} - {"__pycache__/"}
    assert missing == set()
    assert there <= shown
