"""The page of the database shows every table, and its SQL runs."""

from __future__ import annotations

import re

import pytest
from database import database_table
from doc_pages import ROOT
from recorded_events import record_store, whole_call
from sqlalchemy import text

from reference_engine.records.database import reading_engine
from reference_engine.records.tables import metadata
from reference_engine.settings.records_place import read_place

PAGE = (ROOT / "docs/reference/database.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql(?: title=\"(\w+)\")?\n(.*?)```", PAGE, re.DOTALL)


def test_every_table_is_shown():
    shown = re.findall(r"^<!-- made: database (\w+) -->$", PAGE, re.MULTILINE)
    assert shown == re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert sorted(shown) == sorted(metadata.tables)


def test_every_column_is_shown_with_its_type_and_comment():
    table = database_table("calls")
    assert "| `state` | text | up, ended or lost |" in table
    assert "| `run` | text | → `engine_runs.run` |" in table
    assert "| `ended` | time or NULL | " in table
    for name, of_metadata in metadata.tables.items():
        assert len(database_table(name).splitlines()) == len(of_metadata.columns) + 2


@pytest.mark.parametrize("kind", ["SQLite", "PostgreSQL"])
def test_the_sql_runs(kind, request, tmp_path):
    url = f"sqlite://{tmp_path}/calls.db"
    if kind == "PostgreSQL":
        server = request.getfixturevalue("postgresql")
        url = server.url(server.new_database())
    queries = [query for title, query in QUERIES if title in {"", kind}]
    assert len(queries) >= 2
    with record_store(url, tmp_path / "spool") as store:
        for event in whole_call("a"):
            store.observe(event)
        assert store.wait_stored(60)
        with reading_engine(read_place(url)).connect() as connection:
            for query in queries:
                assert connection.execute(text(query)).all()
