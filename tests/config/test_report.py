"""Problems as they are shown: on a terminal, in a file, as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from voicepipe.config.report import format_json, format_problems
from voicepipe.errors import Location, Problem

PROBLEM = Problem(
    Location(Path("a.yaml"), 3, 7), "turns.lead", 'unknown key "lead"', 'did you mean "lag"?', source="turns: {lead: 1}"
)


def test_text():
    assert format_problems([PROBLEM]) == (
        'a.yaml:3:7: turns.lead: unknown key "lead"\n    turns: {lead: 1}\n          ^\n  hint: did you mean "lag"?\n'
    )


def test_a_problem_of_a_whole_file_has_neither_path_nor_line():
    problem = Problem(Location(Path("a.yaml")), "", "the file is empty", "write something")
    assert format_problems([problem]) == "a.yaml:1:1: the file is empty\n  hint: write something\n"


def test_the_caret_stands_below_its_character_after_tabs_too():
    problem = Problem(Location(Path("a.yaml"), 1, 4), "", "x", source="\ta\tbc")
    assert format_problems([problem]).splitlines()[1:] == ["    \ta\tbc", "    \t \t^"]


def test_colour_changes_nothing_but_colour():
    coloured = format_problems([PROBLEM], colour=True)
    assert "\x1b[" in coloured
    plain = coloured
    for code in ("\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"):
        plain = plain.replace(code, "")
    assert plain == format_problems([PROBLEM])


def test_json():
    assert json.loads(format_json([PROBLEM])) == {
        "ok": False,
        "errors": [
            {
                "file": "a.yaml",
                "line": 3,
                "column": 7,
                "path": "turns.lead",
                "message": 'unknown key "lead"',
                "hint": 'did you mean "lag"?',
            }
        ],
    }
    assert json.loads(format_json([])) == {"ok": True, "errors": []}
