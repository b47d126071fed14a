"""D04: what is to be deleted is deleted in time, and that is recorded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from recorded_events import Log
from sqlalchemy import func, select

from reference_engine.cli import main
from reference_engine.records.database import writing_engine
from reference_engine.records.deleting import BATCH, RecordingFiles
from reference_engine.records.forgetting import Person, forget
from reference_engine.records.pruning import Retention
from reference_engine.records.retention import prune
from reference_engine.records.row_changes import RowChange
from reference_engine.records.schema import upgrade
from reference_engine.records.spool import Spool
from reference_engine.records.tables import PARTS, call_texts, calls, deletions, hourly, turns
from reference_engine.settings.keep_settings import KeepSettings
from reference_engine.settings.records_place import read_place
from reference_engine.telemetry.webhook_spool import About, WaitingWebhook, WebhookSpool
from tests.engine.recorded_calls import add_call, add_run

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
SECRET = "Zwetschgenkuchen"
KEEP = KeepSettings(records="90d", recordings="30d", transcripts="14d")


def no_pause():
    """Nobody else writes."""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/records/calls.db"
    server = request.getfixturevalue("postgresql")
    return server.url(server.new_database())


@pytest.fixture
def database(url):
    engine = writing_engine(read_place(url))
    with engine.begin() as connection:
        upgrade(connection)
        add_run(connection)
    return engine


def add(engine, days, number=1, **values):
    with engine.begin() as connection:
        return [
            add_call(connection, began=NOW - timedelta(days=days, minutes=minute), **values) for minute in range(number)
        ]


def count(engine, table, *conditions):
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table).where(*conditions)).scalar_one()


def recorded(directory, name):
    directory.mkdir(exist_ok=True)
    path = directory / name
    path.write_bytes(b"RIFF")
    return path


def bytes_of(directory):
    return b"".join(path.read_bytes() for path in Path(directory).rglob("*") if path.is_file())


def test_each_of_the_three_goes_when_it_is_due_and_figures_stay(database, tmp_path):
    files = [recorded(tmp_path / "wav", f"{days}.wav") for days in (1, 20, 40, 100)]
    said = {"turns": [(SECRET, "I see")], "tools": [tool()]}
    ids = [
        add(database, days, recording=str(path), **said)[0] for days, path in zip((1, 20, 40, 100), files, strict=True)
    ]
    figures = count(database, hourly)
    result = prune(database, KEEP, RecordingFiles([tmp_path / "wav"]), now=NOW, confirmed=True, pause=no_pause)
    assert dict(result.deleted) == {"recordings": 2, "transcripts": 3, "records": 1}
    assert [path.exists() for path in files] == [True, True, False, False]
    with database.connect() as connection:
        heard = connection.execute(select(turns.c.call_id, turns.c.heard)).all()
        assert dict(map(tuple, heard)) == {ids[0]: SECRET, ids[1]: "", ids[2]: ""}
        assert connection.execute(select(calls.c.call_id).order_by(calls.c.began)).scalars().all() == ids[2::-1]
        assert connection.execute(select(call_texts.c.call_id)).scalars().all() == ids[:1]
        noted = connection.execute(select(deletions).order_by(deletions.c.id)).all()
    assert [(row.what, row.reason, row.calls) for row in noted] == [
        ("recordings", "keep", 2),
        ("transcripts", "keep", 3),
        ("records", "keep", 1),
    ]
    assert noted[-1].before == NOW - timedelta(days=90)
    assert count(database, hourly) == figures > 0
    assert all(count(database, table, table.c.call_id == ids[3]) == 0 for table in PARTS)


def tool():
    return {"at_s": 1.0, "name": "book", "ok": True, "result": SECRET, "seconds": 0.1}


def test_a_call_that_is_up_stays_and_many_go_in_small_parts(database):
    add(database, 100, state="up", complete=False)
    add(database, 100, number=BATCH + 5, complete=False)
    add(database, 1)
    pauses = []
    files = RecordingFiles([])
    result = prune(database, KEEP, files, now=NOW, confirmed=True, pause=lambda: pauses.append(1))
    assert result.deleted["records"] == BATCH + 5
    assert len(pauses) >= 2
    assert count(database, calls) == 2


def test_a_clock_that_jumps_deletes_nothing_until_somebody_says_that_it_is_right(database):
    add(database, 1, number=10, turns=[("a", "b")])
    keep, files = KeepSettings(records="90d"), RecordingFiles([])
    for now in (NOW, NOW + timedelta(hours=1)):
        assert prune(database, keep, files, now=now, pause=no_pause).deleted == {"records": 0}
    jumped = NOW + timedelta(days=5 * 365)
    refused = prune(database, keep, files, now=jumped, pause=no_pause)
    assert refused.deleted == {}
    assert "is the clock right?" in refused.refused["records"]
    with database.begin() as connection:  # a call comes with the wrong time
        add_call(connection, began=jumped)
    for hours in range(3):
        again = prune(database, keep, files, now=jumped + timedelta(hours=hours), pause=no_pause)
        assert "10 of 11" in again.refused["records"]
    assert count(database, calls) == 11
    assert prune(database, keep, files, now=jumped, confirmed=True, pause=no_pause).deleted == {"records": 10}
    add(database, -5 * 365 + 90, number=5)
    after = prune(database, keep, files, now=jumped + timedelta(days=1), pause=no_pause)
    assert (after.deleted, after.refused) == ({"records": 5}, {})


def test_a_recording_goes_only_from_the_directories_of_recordings(tmp_path):
    inside, outside = tmp_path / "wav", tmp_path / "else"
    kept = recorded(outside, "precious.wav")
    (inside / "sub").mkdir(parents=True)
    gone = recorded(inside / "sub", "call.wav")
    (inside / "link.wav").symlink_to(kept)
    (inside / "link").symlink_to(outside)
    (inside / "folder.wav").mkdir()
    (tmp_path / "alias").symlink_to(inside)
    through = recorded(inside, "through.wav")
    files = RecordingFiles([tmp_path / "alias"])
    for path in (
        kept,
        inside / ".." / "else" / "precious.wav",
        inside / "link.wav",
        inside / "link" / "precious.wav",
        inside / "folder.wav",
        "precious.wav",
        "",
        f"{inside}/..",
        f"{inside}/a\0b",
    ):
        assert not files.delete(str(path)), path
    assert kept.exists()
    assert len(files.left) == 9
    assert files.delete(str(gone))
    assert files.delete(str(gone))
    assert files.delete(str(tmp_path / "alias" / "through.wav"))
    assert not gone.exists()
    assert not through.exists()
    assert files.deleted == 2


def test_a_person_is_forgotten_and_no_byte_is_left(tmp_path):
    url, spool = f"sqlite://{tmp_path}/records/calls.db", tmp_path / "records/calls.db-spool"
    engine = writing_engine(read_place(url))
    recording = recorded(tmp_path / "wav", "a.wav")
    with engine.begin() as connection:
        upgrade(connection)
        add_run(connection)
        add_call(
            connection,
            caller="+49 171 2345678",
            turns=[(SECRET, "I see")] * 3,
            tools=[tool()],
            variables={"customer": SECRET},
            recording=str(recording),
        )
        for _ in range(20):
            add_call(connection, caller="+15551234", turns=[("other words", "yes")])
        up = add_call(connection, caller="+491712345678", state="up", complete=False)
    waiting = Spool(spool, "gone")
    waiting.append([RowChange("begin", "calls", {"call_id": "s", "caller": "+491712345678"})])
    waiting.append([RowChange("put", "turns", {"call_id": "s", "heard": SECRET})])
    waiting.append([RowChange("put", "turns", {"call_id": "other", "heard": "other"})])
    waiting.close()
    assert SECRET.encode() in bytes_of(tmp_path / "records")
    person, files = Person(callers=("+491712345678",)), RecordingFiles([tmp_path / "wav"])
    dry = forget(engine, person, files, spool, dry_run=True)
    assert (dry.calls, dry.up, dry.spooled, recording.exists()) == (1, (up,), 2, True)
    done = forget(engine, person, files, spool, pause=no_pause)
    assert (done.calls, done.up, done.spooled, done.busy, done.left) == (1, (up,), 2, (), {})
    left = bytes_of(tmp_path / "records")
    assert SECRET.encode() not in left
    assert SECRET.lower().encode() not in left
    assert not recording.exists()
    assert b'"other"' in left
    assert count(engine, calls) == 21
    assert count(engine, hourly) > 0
    with engine.connect() as connection:
        (noted,) = connection.execute(select(deletions)).all()
    assert (noted.what, noted.reason, noted.calls) == ("a person's calls", "forget", 1)


def test_rows_that_a_running_engine_holds_are_named(tmp_path, database):
    running = Spool(tmp_path / "spool", "running")
    running.append([RowChange("begin", "calls", {"call_id": "s", "caller": "1"})])
    person, files = Person(callers=("1",)), RecordingFiles([])
    result = forget(database, person, files, tmp_path / "spool", pause=no_pause, drained_s=0.0)
    assert result.busy == (tmp_path / "spool" / "running.jsonl",)


def test_the_commands_say_what_they_do(tmp_path, capsys):
    path = tmp_path / "engine.yaml"
    (tmp_path / "s.yaml").write_text("start: hello\nstates: {hello: {say: Hello.}}\n")
    (tmp_path / "set.yaml").write_text(
        "recording: {directory: wav}\n"
        "pipelines: {default: {stt: pocketsphinx, llm: {type: scripted, script: s.yaml}, tts: espeak}}\n"
    )
    url = f"sqlite://{tmp_path}/records/calls.db"
    path.write_text(
        f"pipeline_sets: {{main: {tmp_path}/set.yaml}}\nlisteners: [{{set: main}}]\n"
        f"records: {url}\nkeep: {{records: 90d, recordings: 30d, transcripts: 2w}}\n"
        f"notify_spool: {tmp_path}/webhooks.db\n"
    )
    engine = writing_engine(read_place(url))
    recording = recorded(tmp_path / "wav", "a.wav")
    with engine.begin() as connection:
        upgrade(connection)
        add_run(connection)
        began_at = datetime.now(UTC) - timedelta(days=100)
        add_call(connection, caller="1", began=began_at, turns=[("a", "b")], recording=str(recording))
    assert main(["records", "prune", str(path)]) == 1
    assert "is the clock right?" in capsys.readouterr().out
    assert main(["records", "prune", str(path), "--yes", "--dry-run"]) == 0
    assert "records: 1 would be deleted" in capsys.readouterr().out
    assert main(["records", "prune", str(path), "--yes"]) == 0
    assert "records: 1 deleted" in capsys.readouterr().out
    assert not recording.exists()
    with engine.begin() as connection:
        add_call(connection, caller="+49 30 1")
    assert main(["records", "forget", str(path), "--caller", "+49301", "--dry-run"]) == 0
    assert capsys.readouterr().out == "1 call would be deleted\n"
    webhooks = WebhookSpool(tmp_path / "webhooks.db")
    webhooks.add(
        WaitingWebhook("w", "ops", "call.ended", About("c", caller, "9"), "{}", 1.0, 2.0)
        for caller in ("+49 30 1", "2")
    )
    assert main(["records", "forget", str(path), "--caller", "+49301", "--dry-run"]) == 0
    assert capsys.readouterr().out == "1 call, 1 waiting webhook would be deleted\n"
    assert main(["records", "forget", str(path), "--caller", "+49301", "--yes"]) == 0
    assert capsys.readouterr().out == "1 call, 1 waiting webhook deleted\n"
    assert webhooks.counts() == {"ops": 1}
    webhooks.close()
    assert main(["records", "forget", str(path), "--caller", "+49301", "--yes"]) == 0
    assert capsys.readouterr().out == "0 calls deleted\n"
    assert main(["records", "forget", str(path)]) == 1


def forgetting_home(tmp_path):
    """An engine's file with spools of its own, and its database with calls from and to people."""
    path, url = tmp_path / "engine.yaml", f"sqlite://{tmp_path}/calls.db"
    path.write_text(
        f"pipeline_sets: {{}}\nrecords: {url}\nrecords_spool: {tmp_path}/rows\nnotify_spool: {tmp_path}/else/w.db\n"
    )
    path.write_text(path.read_text().replace("{}", "{main: set.yaml}") + "listeners: [{set: main}]\n")
    (tmp_path / "s.yaml").write_text("start: hello\nstates: {hello: {say: Hello.}}\n")
    (tmp_path / "set.yaml").write_text(
        "pipelines: {default: {stt: pocketsphinx, llm: {type: scripted, script: s.yaml}, tts: espeak}}\n"
    )
    engine = writing_engine(read_place(url))
    with engine.begin() as connection:
        upgrade(connection)
        add_run(connection)
    return str(path), engine


@pytest.mark.parametrize("stored", ["+49 30 901-820", "+4930901820", "0049 (30) 901820", "+49 (0)30/901 820"])
@pytest.mark.parametrize("given", ["+49 30 901820", "004930901820", "tel:+49-30-901820", "+49\u00a030\u2011901820"])
def test_a_number_is_one_in_every_spelling(database, stored, given):
    with database.begin() as connection:
        add_call(connection, caller=stored)
        add_call(connection, called=stored)
        add_call(connection, caller="030 901820", called="+4930901821")
    for person in (Person(callers=(given,)), Person(called=(given,))):
        assert forget(database, person, RecordingFiles([]), Path("/nowhere"), pause=no_pause).calls == 1
    assert count(database, calls) == 1


def test_who_was_called_is_forgotten_in_both_spools(tmp_path, capsys):
    path, engine = forgetting_home(tmp_path)
    with engine.begin() as connection:
        called = add_call(connection, caller="+1555", called="+49 30 7")
    waiting = Spool(tmp_path / "rows", "gone")
    waiting.append([RowChange("begin", "calls", {"call_id": "s", "caller": "+1556", "called": "+49 30 7"})])
    waiting.append([RowChange("put", "turns", {"call_id": "s", "heard": SECRET})])
    waiting.close()
    webhooks = WebhookSpool(tmp_path / "else/w.db")
    of_calls = [About(called, "+1555", "+49 30 7"), About(called), About("s"), About("x", "", "0049307"), About("y")]
    webhooks.add(WaitingWebhook("w", "ops", "call.ended", about, "{}", 1.0, 2.0) for about in of_calls)
    assert main(["records", "forget", path, "--called", "+49307", "--dry-run"]) == 0
    found = "1 call, 2 rows of the spool, 4 waiting webhooks"
    assert capsys.readouterr().out == f"{found} would be deleted\n"
    assert webhooks.counts() == {"ops": 5}
    assert main(["records", "forget", path, "--called", "+49307", "--yes"]) == 0
    assert capsys.readouterr().out == f"{found} deleted\n"
    assert webhooks.counts() == {"ops": 1}
    webhooks.close()
    assert SECRET.encode() not in bytes_of(tmp_path / "rows")


def test_an_incomplete_number_is_no_number_and_longer_ones_are_named(tmp_path, capsys):
    path, engine = forgetting_home(tmp_path)
    with engine.begin() as connection:
        for number in ("+49 30 2", "+49 30 1", "+1555", "+49 30 1"):
            add_call(connection, caller=number)
    assert main(["records", "forget", path, "--caller", "+49", "--yes"]) == 0
    said = "0 calls deleted\nno call has this number; the records have longer ones: +49 30 1, +49 30 2. Name each as a"
    assert capsys.readouterr().out.startswith(said)
    assert main(["records", "forget", path, "--caller", "+33", "--yes"]) == 0
    assert capsys.readouterr().out == "0 calls deleted\n"
    assert count(engine, calls) == 4


def test_damaged_spools_are_said_and_hold_up_nothing(tmp_path, capsys):
    path, engine = forgetting_home(tmp_path)
    with engine.begin() as connection:
        add_call(connection, caller="1")
    (tmp_path / "rows").mkdir()
    rows = tmp_path / "rows/gone.jsonl"
    begin = '{"v": 1, "how": "begin", "table": "calls", "times": [], "row": {"call_id": "%s", "caller": "%s"}}\n'
    rows.write_text(begin % ("s", "1") + "rubbish with +1\n" + begin % ("t", "2"))
    (tmp_path / "else").mkdir()
    (tmp_path / "else/w.db").write_text("this is no database, whatever its name is" * 9)
    (tmp_path / "else/w.db.damaged-1").touch()
    assert main(["records", "forget", path, "--caller", "1", "--yes"]) == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "1 call, 1 row of the spool deleted"
    assert [line.partition(": ")[0] for line in rest] == [
        str(rows),
        f"{tmp_path}/else/w.db.damaged-1",
        f"{tmp_path}/else/w.db",
    ]
    assert "1 damaged line can't be read" in rest[0]
    assert "file is not a database" in rest[2]
    assert rows.read_text() == "rubbish with +1\n" + begin % ("t", "2")
    assert (tmp_path / "else/w.db").exists()
    assert count(engine, calls) == 0


def test_an_engine_logs_and_counts_it(tmp_path):
    url = f"sqlite://{tmp_path}/records/calls.db"
    engine, log = writing_engine(read_place(url)), Log()
    with engine.begin() as connection:
        upgrade(connection)
        add_run(connection)
        for days in (100, 1, 1):
            add_call(connection, began=datetime.now(UTC) - timedelta(days=days), recording="/elsewhere/a.wav")
    retention = Retention(None, {}, log)
    retention.prune(read_place(url), KeepSettings(records="90d", recordings="7d"), ())
    assert retention.deleted == {"records": 1, "recordings": 0, "transcripts": 0}
    (deleted,) = log.named("retention.deleted")
    assert (deleted["what"], deleted["calls"]) == ("records", 1)
    (left,) = log.named("retention.files_left")
    assert left["first"] == "/elsewhere/a.wav"
    retention.prune(read_place("postgresql://nobody@127.0.0.1:1/x"), KeepSettings(records="90d"), ())
    assert log.named("retention.failed")


@pytest.mark.parametrize(
    ("keep", "records", "problem"),
    [
        ("{records: 90}", "sqlite:calls.db", "keep.records"),
        ("{records: 0d}", "sqlite:calls.db", "keep.records"),
        ("{records: 30d, recordings: 5w}", "sqlite:calls.db", "keep.recordings: 5w is longer than `records` (30d)"),
        ("{transcripts: 1h}", "calls.jsonl", "keep: nothing can be deleted without a database of records"),
        ("{record: 30d}", "sqlite:calls.db", "keep.record"),
    ],
)
def test_what_can_not_be_kept_so_has_a_place(tmp_path, capsys, keep, records, problem):
    path = tmp_path / "engine.yaml"
    path.write_text(
        f"pipeline_sets: {{main: set.yaml}}\nlisteners: [{{set: main}}]\nrecords: {records}\nkeep: {keep}\n"
    )
    assert main(["records", "prune", str(path)]) == 78
    error = capsys.readouterr().err
    assert f"{path}:4:" in error
    assert problem in error
