"""Whatever becomes of a good file, it loads or is refused with places inside it, and never anything else."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import pytest
from config_adapters import ENVIRON, REGISTRY
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.config.load import load_config
from voicepipe.documents.parse import LINE_BREAK
from voicepipe.errors import ConfigError

GOOD = Path(__file__).parent / "good"
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(GOOD.glob("*.yaml"))]
PIECES = [
    "", " ", "\n", "\t", ":", ": ", "- ", "[", "]", "{", "}", ",", "'", '"', "#", "&a ", "*a", "!x ", "|", ">", "---\n",
    "<<: ", "? ", "~", "null", "true", "yes", "0", "-1", "1e9", ".inf", "${", "${API_KEY}", "${NO}", "${file:x}", "$$",
    "type: ", "voice", "ears", "default", "files/model", "files", "..", "é", "😀", "\0", "\x1b", "\x85",
    "\u2028", "\ufeff",
]  # fmt: skip


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("mutations")
    copytree(GOOD / "files", path / "files")
    return path


def check_places(directory: Path, content: bytes) -> None:
    path = directory / "set.yaml"
    path.write_bytes(content)
    try:
        config = load_config(path, registry=REGISTRY, environ=ENVIRON)
    except ConfigError as error:
        lines = LINE_BREAK.split(content.decode(errors="replace"))
        for problem in error.problems:
            assert problem.message
            assert problem.hint
            assert ENVIRON["API_KEY"] not in f"{problem} {problem.source}"
            if problem.where.file == path:
                assert 1 <= problem.where.line <= len(lines)
                assert 1 <= problem.where.column <= len(lines[problem.where.line - 1]) + 1
    else:
        assert config.active_pipeline in config.pipelines
        assert ENVIRON["API_KEY"] not in repr(config)


@st.composite
def mutations(draw):
    """A good file with a few pieces cut out, put in or moved."""
    text = draw(st.sampled_from(TEXTS))
    for _ in range(draw(st.integers(1, 3))):
        begin = draw(st.integers(0, len(text)))
        end = min(len(text), begin + draw(st.integers(0, 30)))
        kind = draw(st.sampled_from(["replace", "line", "again", "indent"]))
        if kind == "replace":
            text = text[:begin] + draw(st.sampled_from(PIECES)) + text[end:]
        elif kind == "again":
            text = text[:end] + text[begin:end] + text[end:]
        else:
            lines = text.splitlines(keepends=True) or [""]
            number = draw(st.integers(0, len(lines) - 1))
            lines[number] = "" if kind == "line" else draw(st.sampled_from([" ", "  ", "    "])) + lines[number]
            text = "".join(lines)
    return text


@given(text=mutations())
@settings(max_examples=400)
def test_mutated_files(directory, text):
    check_places(directory, text.encode())


@given(content=st.binary(max_size=100))
def test_arbitrary_bytes(directory, content):
    check_places(directory, content)


@given(text=st.sampled_from(TEXTS), cut=st.integers(0, 3000))
@settings(max_examples=150)
def test_files_that_are_cut_short(directory, text, cut):
    check_places(directory, text.encode()[:cut])
