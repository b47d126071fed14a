"""The list of the longest files of tests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

from ordering import LAST, LONGEST, TESTS, longest_first


def test_all_that_are_named_are_there():
    assert [name for name in (*LONGEST, *LAST) if not (TESTS / name).is_file()] == []
    assert len({*LONGEST, *LAST}) == len(LONGEST) + len(LAST)


def test_each_file_has_a_name_of_its_own():
    """Their directories are no packages: a second module of a name is not imported, and no test at all is run."""
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == []


def test_they_come_first_and_everything_else_stays_as_it_was():
    def tests_of(name):
        return [SimpleNamespace(path=TESTS / name, name=f"{name} {number}") for number in range(3)]

    others = [*tests_of("test_a.py"), *tests_of("calls/test_b.py")]
    items = [*tests_of(LAST[1]), *tests_of(LONGEST[1]), *tests_of(LAST[0]), *others, *tests_of(LONGEST[0])]
    longest_first(items)
    last = [*tests_of(LAST[0]), *tests_of(LAST[1])]
    assert items == [*tests_of(LONGEST[0]), *tests_of(LONGEST[1]), *others, *last]
    assert Path(items[0].path).is_file()
