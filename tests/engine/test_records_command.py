"""`reference-engine records upgrade|export`, on both databases."""

from __future__ import annotations

import json
import os
import sqlite3
from datetime import datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from first_tables import write_first_version
from patience import LONG_S
from recorded_events import began, ended, record_store, turn, used, whole_call

from reference_engine.cli import main
from reference_engine.records import migrations
from reference_engine.records.database import writing_engine
from reference_engine.records.schema import VERSIONS
from reference_engine.records.tables import metadata
from reference_engine.settings.records_place import read_place
from voicepipe import CallRecorder, CallSteered, FailedOver, ToolEnded, TransferEnded


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The URL of an empty database."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/records/calls.db"
    server = request.getfixturevalue("postgresql")
    return server.url(server.new_database())


def steered_call(call_id):
    return [
        began(call_id, variables={"customer": "7"}),
        CallSteered(call_id, 0.5, "set_variables", variables={"tier": "gold"}),
        turn(call_id, pressed=((0, 3),)),
        ToolEnded(call_id=call_id, at_s=1.2345, tool_call_id="t", name="price", ok=True, result="12", seconds=0.25),
        FailedOver(call_id, 2.0, "llm", "alternate", "other"),
        TransferEnded(call_id, 3.0, "100", "busy", 1.5),
        used(call_id, "llm"),
        used(call_id, "tts"),
        ended(call_id, 1, metadata={"order": [1, {"x": None}]}),
    ]


def test_what_is_exported_is_what_a_file_of_records_has(url, tmp_path, capsys):
    events = steered_call("a")
    recorder = CallRecorder()
    with record_store(url, tmp_path / "spool", name="tokyo") as store:
        for event in (*events, began("b"), turn("b")):
            store.observe(event)
        for event in events:
            recorder.observe(event)
        assert store.wait_stored(LONG_S)
        assert main(["records", "export", url]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    expected = json.loads(json.dumps(recorder.record.as_data()))
    apart = abs(datetime.fromisoformat(first.pop("began")) - datetime.fromisoformat(expected.pop("began")))
    assert apart < timedelta(seconds=LONG_S)
    info, expected_info = first.pop("info"), expected.pop("info")
    assert info == {"call_id": "a", **{name: expected_info[name] for name in info if name != "call_id"}}
    assert {name: first[name] for name in expected} == expected
    assert (first["state"], first["engine"], first["software"], first["cost"]) == ("ended", "tokyo", "0.1", None)
    assert (second["call_id"], second["state"], second["outcome"]) == ("b", "up", None)
    assert len(second["turns"]) == 1


def test_times_choose_what_is_exported_page_by_page(url, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("reference_engine.records.exporting.PAGE", 2)
    with record_store(url, tmp_path / "spool") as store:
        for number in range(5):
            for event in whole_call(f"call-{number}", 1):
                store.observe(event)
        assert store.wait_stored(LONG_S)
    main(["records", "export", url])
    calls = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(call["call_id"] for call in calls) == [f"call-{number}" for number in range(5)]
    at = [call["began"] for call in calls]
    assert at == sorted(at)
    main(["records", "export", url, "--since", at[1], "--until", at[3]])
    shown = [json.loads(line)["began"] for line in capsys.readouterr().out.splitlines()]
    assert shown == [when for when in at if at[1] <= when < at[3]]
    main(["records", "export", url, "--until", "1h"])
    assert capsys.readouterr().out == ""


def test_tables_are_made_and_upgraded_once(url, capsys):
    assert main(["records", "export", url]) == 1
    assert "reference-engine: " in capsys.readouterr().err
    for found in ("there were none", "as they were"):
        assert main(["records", "upgrade", url]) == 0
        said = capsys.readouterr().out
        assert said.endswith(f": the tables are of version {VERSIONS[-1]} ({found})\n")
        assert "voicepipe:" not in said
    assert main(["records", "export", url]) == 0


def test_tables_of_later_software_are_refused(tmp_path, capsys):
    path = tmp_path / "calls.db"
    main(["records", "upgrade", f"sqlite:{path}"])
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    capsys.readouterr()
    for action in ("upgrade", "export"):
        assert main(["records", action, f"sqlite:{path}"]) == 1
        assert "are of version 9999, and this software knows up to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("mysql://x", 'records can\'t go to "mysql:"'),
        ("engine.yaml", "keeps no records"),
        ("files.yaml", "not in a database"),
        ("sqlite:nowhere/calls.db", "unable to open database file"),
    ],
)
def test_what_is_no_database_is_said(tmp_path, monkeypatch, capsys, place, said):
    monkeypatch.chdir(tmp_path)
    text = "pipeline_sets: {main: a.yaml}\nlisteners: [{set: main}]\n"
    (tmp_path / "engine.yaml").write_text(text)
    (tmp_path / "files.yaml").write_text(f"{text}records: calls.jsonl\n")
    assert main(["records", "export", place]) == 1
    assert said in capsys.readouterr().err


def test_the_versions_of_the_schema_make_the_tables_that_the_software_uses(url):
    """After a change of `tables.py`, see `first_tables.py`."""
    if os.environ.get("REGENERATE"):
        write_first_version()
    scripts = ScriptDirectory(migrations.__path__[0])
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == VERSIONS
    assert main(["records", "upgrade", url]) == 0
    with writing_engine(read_place(url)).connect() as connection:
        is_sqlite = connection.dialect.name == "sqlite"

        def concerns(_object, name, kind, _reflected, _compared):
            if kind == "table":
                return name in metadata.tables  # not the full text's own
            return not (is_sqlite and name == "call_texts_words")  # an index of PostgreSQL only

        context = MigrationContext.configure(connection, opts={"include_object": concerns})
        differences = compare_metadata(context, metadata)
        # What a column means is told by the page: a better word for it needs no new version of the tables.
        assert [one for one in differences if not (isinstance(one, list) and one[0][0] == "modify_comment")] == []
