"""The numbered promises, and the tests in `tests/guarantees/` that keep them."""

from __future__ import annotations

import re

from doc_pages import ROOT

TESTS = sorted((ROOT / "tests/guarantees").glob("test_*.py"))


def promise_of(test):
    """The promise that a test's file is named after: `R01` of `test_r01_....py`."""
    return re.match(r"test_([a-z]+\d+)_\w+\.py$", test.name)[1].upper()


def kept_by():
    """The names of the files that test each promise, for those that any does."""
    kept = {}
    for test in TESTS:
        kept.setdefault(promise_of(test), []).append(test.name)
    return kept
