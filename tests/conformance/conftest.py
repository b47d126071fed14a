"""What the tests of the kit share."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items):
    """A check does a thing hundreds of times: on a machine that does much else it is given its time."""
    for item in items:
        if item.path.is_relative_to(__file__.removesuffix("conftest.py")):
            item.add_marker(pytest.mark.timeout(900))
