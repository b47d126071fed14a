"""Rows in columns: within the terminal's width, and nothing lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.commands.columns import NARROWEST, in_columns

ROWS = [
    ("routes[0]", "examples/by-number.yaml:32:5", 'no: variable closed, which is not known, does not match "1"'),
    (
        "routes[11]",
        "examples/by-number.yaml:34:5",
        "no: called, which is not known, matches none of " + '"+1800", ' * 20,
    ),
]


def test_wide_enough_a_row_is_a_line(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    lines = list(in_columns(ROWS))
    assert len(lines) == 2
    assert lines[0].index("examples/") == lines[1].index("examples/")


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_nothing_is_wider_than_the_terminal(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = list(in_columns(ROWS))
    assert max(map(len, lines)) <= columns
    assert "".join(" ".join(lines).split()).count('"+1800",') == 20
    assert [line.split()[0] for line in lines if line[2] != " "] == ["routes[0]", "routes[11]"]


@given(st.lists(st.tuples(*[st.text("abc ", max_size=80)] * 3), min_size=1, max_size=5), st.integers(20, 200))
def test_every_letter_is_kept(rows, columns):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", str(columns))
        lines = list(in_columns(rows))
    letters = sorted("".join(lines).replace(" ", ""))
    assert letters == sorted("".join(cell for row in rows for cell in row).replace(" ", ""))
    assert max(map(len, lines)) <= max(columns, 3 * NARROWEST + 6)
