"""Whatever somebody types into an engine's file, it is fit, or reported with a place inside the file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from reference_engine.settings.loading import load_settings
from voicepipe import ConfigError, format_problems
from voicepipe.documents.parse import LINE_BREAK

TEXT = (Path(__file__).parent / "good" / "everything.yaml").read_text()
TOKEN = "0123456789abcdef"
PIECES = [
    "",
    " ",
    "\n",
    "  ",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "- ",
    "null",
    "true",
    '"',
    "'",
    "#",
    "&a ",
    "*a",
    "!x ",
    "x",
    "0",
]


@given(
    st.integers(0, len(TEXT)),
    st.integers(0, 12),
    st.sampled_from([*PIECES, "${", "${X}", "$$", "\0", "\t", "\u202e", "\ud7ff", "9" * 400, "pipelines:\n"]),
)
def test_mutations(start, length, piece):
    text = TEXT[:start] + piece + TEXT[start + length :]
    with TemporaryDirectory() as directory:
        path = Path(directory, "engine.yaml")
        path.write_text(text, encoding="utf-8")
        problems = ()
        try:
            assert load_settings(path, environ={"TOKEN": TOKEN}).listeners
        except ConfigError as error:
            problems = error.problems
        lines = LINE_BREAK.split(text)
        for problem in problems:
            assert problem.where.file == path
            assert 1 <= problem.where.line <= len(lines)
            assert 1 <= problem.where.column <= len(lines[problem.where.line - 1]) + 1
            assert problem.hint
        assert TOKEN not in format_problems(problems)
