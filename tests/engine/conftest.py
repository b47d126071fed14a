"""Databases of records, one of each kind, for the tests of what reads and counts calls."""

from __future__ import annotations

import pytest

from tests.engine.recorded_calls import open_postgresql, open_sqlite


@pytest.fixture(scope="session")
def tables_in_postgresql(postgresql):
    """A connection to a database with all tables, which stay empty: each test is rolled back."""
    with open_postgresql(postgresql) as connection:
        yield connection


@pytest.fixture(params=["sqlite", "postgresql"])
def records_connection(request):
    """A connection to an empty database with all tables, once of each kind."""
    if request.param == "sqlite":
        with open_sqlite() as connection:
            yield connection
        return
    connection = request.getfixturevalue("tables_in_postgresql")
    yield connection
    connection.rollback()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def own_records_connection(request):
    """A connection to a database that a module has for itself, once of each kind."""
    opened = open_sqlite() if request.param == "sqlite" else open_postgresql(request.getfixturevalue("postgresql"))
    with opened as connection:
        yield connection
