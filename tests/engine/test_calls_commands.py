"""`reference-engine calls` and `call` show what is in a database or a file of records, to people and to programs."""

from __future__ import annotations

import csv
import io
import json
import time
from argparse import ArgumentTypeError
from datetime import datetime, timedelta

import pytest
from attrs import evolve

from reference_engine.cli import main
from reference_engine.commands.times import point_in_time
from reference_engine.records import call_lists, call_text, tables
from reference_engine.records.exporting import export_calls
from reference_engine.records.history import CallFilter
from reference_engine.records.queries import find_call, find_calls
from tests.engine.recorded_calls import BEGAN, add_call, add_run, minutes, open_sqlite

FAILED_ID = "5f3c9a72-9d0e-4f5b-8f0e-2f0c6f1f7a11"
EVIL = "=HYPERLINK(1)\x1b[2J\r\n\u202e"
TIMINGS = {"final_ms": 210, "asked_ms": 610, "first_token_ms": 1050, "first_audio_ms": 1400, "heard_ms": 1420}


def failed_call(connection):
    reply = {"said": "Of course. Which", "said_from_s": 5.8, "said_until_s": 8.1, "interrupted": True}
    asked = {"heard": "I want to cancel my order.", "heard_from_s": 2.6, "heard_until_s": 4.4}
    failures = [(18.2, "failed", "no first token within 8 s"), (18.2, "retry", ""), (26.0, "failed", "refused: 503")]
    llm = {"role": "llm", "component": "main_model", "adapter": "openai", "model": "gpt-5-mini"}
    return add_call(
        connection,
        call_id=FAILED_ID,
        outcome="failed",
        pipeline="sales",
        version=12,
        duration_s=187.4,
        caller="+49301234567",
        interruptions=1,
        response_ms=1420.0,
        cost=0.0213,
        cost_is_least=True,
        currency="EUR",
        components={"llm": {"name": "main_model", "adapter": "openai", "model": "gpt-5-mini"}},
        variables={"tier": "gold"},
        turns=[
            {
                "said": "Sales, how can I help?",
                "trigger": "start",
                "said_from_s": 0.3,
                "said_until_s": 1.9,
                "at_s": 1.9,
            },
            {**asked, **reply, "at_s": 8.1, "response_ms": 1420.0, "timings": TIMINGS},
        ],
        tools=[{"at_s": 10.4, "name": "find_order", "ok": False, "result": "too slow\x1b[31m", "seconds": 0.3}],
        failures=[
            {"at_s": at_s, "role": "llm", "component": "main_model", "what": what, "message": message}
            for at_s, what, message in failures
        ],
        usage=[llm | {"requests": 4, "reported": 2, "input_tokens": 4120, "cost": 0.0012, "cost_is_least": True}],
    )


def failed_over_at(at_s):
    """The rows of a failure and the step to an alternative."""
    busy = {"what": "failed", "message": "HTTP 429", "answered": "slow down", "hint": "buy more"}
    on_with = {"what": "alternate", "message": "", "answered": "", "hint": ""}
    return [
        {"at_s": at_s, "role": "tts", "component": "fine", **busy},
        {"at_s": at_s, "role": "tts", "component": "plain", **on_with},
    ]


def degraded(connection):
    """A call that ended well after a step to an alternative."""
    return add_call(
        connection,
        call_id="0aa3-degraded",
        began=BEGAN - minutes(3),
        failed=True,
        failed_over=True,
        duration_s=9.6,
        currency="EUR",
        cost=None,
        components={"tts": {"name": "fine", "adapter": "espeak", "model": None}},
        failures=failed_over_at(1.0),
        usage=[
            {"role": "tts", "component": "plain", "adapter": "espeak", "requests": 1, "reported": 0, "currency": None},
            {"role": "llm", "component": "mind", "adapter": "openai", "requests": 1, "reported": 0, "currency": "EUR"},
        ],
    )


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """The URL of a database with calls; and what `--records` takes."""
    path = tmp_path_factory.mktemp("records") / "calls.db"
    with open_sqlite(path) as connection:
        add_run(connection)
        failed_call(connection)
        add_call(connection, call_id="0aa1-lost", state="lost", began=BEGAN + minutes(3))
        add_call(connection, call_id="0aa2-evil", caller=EVIL, began=BEGAN + minutes(5), turns=[(EVIL, "hi")])
        connection.commit()
    return f"sqlite://{path}"


@pytest.fixture
def shown(database, capsys):
    """Runs a command on the database, and returns its exit status with what it wrote."""

    def run(*arguments, records=database):
        try:
            status = main([*arguments, "--records", str(records)])
        except SystemExit as exit_:
            status = exit_.code
        return status, *capsys.readouterr()

    return run


def test_the_table_is_plain_in_a_pipe_and_has_whole_ids(shown):
    status, out, err = shown("calls")
    assert (status, err) == (0, "")
    title, evil, lost, failed = out.splitlines()
    assert title.split() == ["call", "began", "length", "pipeline", "v", "caller", "how", "it", "ended"]
    assert failed.split()[0] == FAILED_ID
    assert " 3:07  sales" in failed
    assert failed.split()[-2:] == ["+49301234567", "failed"]
    assert lost.split()[-1] == "lost"
    assert "\x1b" not in out
    assert "=HYPERLINK(1)\\x1b" in evil


def test_the_table_fits_a_terminal_of_80_columns_in_colour(database):
    with open_sqlite(database.removeprefix("sqlite://")) as connection:
        calls = find_calls(connection, CallFilter()).calls
    wordy = evolve(calls[0], pipeline="p" * 50, outcome="returned_to_dialplan", failed=True)
    text = call_lists.as_table((*calls, wordy), width=80, colour=True)
    plain = text.replace(call_lists.RED, "").replace(call_lists.DIM, "").replace(call_lists.OFF, "")
    assert max(map(len, plain.splitlines())) <= 80
    assert f"{call_lists.RED}5f3c9a72  " in text


def test_a_page_is_followed_by_the_next(shown):
    _, out, err = shown("calls", "--limit", "1", "--format", "json")
    page = json.loads(out)
    assert [call["call_id"] for call in page["calls"]] == ["0aa2-evil"]
    assert page["next"]
    _, out, err = shown("calls", "--limit", "1")
    assert err == f"there are older ones: add --after {page['next']}\n"
    _, out, err = shown("calls", "--format", "json", "--after", page["next"])
    assert [call["call_id"] for call in json.loads(out)["calls"]] == ["0aa1-lost", FAILED_ID]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--failed"], ["0aa1-lost", FAILED_ID]),
        (["--failed", "--state", "ended"], [FAILED_ID]),
        (["--caller", "+49 (30) 123-4567"], [FAILED_ID]),
        (["--caller", "+49*", "--pipeline", "sales", "--version", "12", "--set", "main"], [FAILED_ID]),
        (["--text", 'CANCEL "order'], [FAILED_ID]),
        (["--outcome", "failed", "--called", "+1800*"], [FAILED_ID]),
        (["--since", "2026-12-01T03:04:00Z"], ["0aa2-evil"]),
        (["--until", "2026-12-01T03:03:00+00:00"], [FAILED_ID]),
        (["--since", "2999-01-01"], []),
    ],
)
def test_options_are_filters(shown, options, found):
    status, out, _ = shown("calls", "--format", "json", *options)
    assert status == 0
    assert [call["call_id"] for call in json.loads(out)["calls"]] == found


def test_csv_has_no_formula(shown):
    _, out, _ = shown("calls", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["caller"][:2] for row in rows] == ["'=", "'+", "'+"]
    assert rows[2]["began"] == "2026-12-01T03:00:00+00:00"
    for value in ("=1", "+1", "-1", "@x", "\t=1", "\r", "  =1"):
        assert call_lists._cell(value) == f"'{value}"
    assert [call_lists._cell(value) for value in ("1=1", "", -1.5, None)] == ["1=1", "", -1.5, None]


def test_a_call_says_first_why_it_failed_and_then_all_in_order_of_time(shown):
    status, out, _ = shown("call", "5f3c")
    assert status == 0
    lines = out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[:3] == [
        f"call {FAILED_ID}  FAILED",
        "  why        a component failed and no alternative was left. 2 failures, the",
        "             last: llm main_model at 26.0 s: refused: 503",
    ]
    begin = lines.index("What happened, in seconds since the call began")
    assert [line.strip() for line in lines[begin + 1 : -3]] == [
        "0.3-1.9    agent    Sales, how can I help?",
        "2.6-4.4    caller   I want to cancel my order.",
        "5.8-8.1    agent    Of course. Which",
        "[after 1420 ms (stt 210, end of turn 400, llm 440, tts",
        "350), cut short by the caller]",
        "10.1       tool     find_order FAILED in 0.3 s: too slow\\x1b[31m",
        "18.2       failure  llm main_model FAILED: no first token within 8 s",
        "18.2       then     tried again: main_model",
        "26.0       failure  llm main_model FAILED: refused: 503",
        "187.4      end      failed",
        "",
    ]
    assert "  cost       at least 0.0213 EUR" in lines
    assert out.endswith("4 requests, 2 with usage, 4,120\n             tokens in, at least 0.0012\n")


def test_a_call_in_colour_shows_failures_red(database):
    with open_sqlite(database.removeprefix("sqlite://")) as connection:
        call = find_call(connection, FAILED_ID)
    text = call_text.as_text(call, colour=True)
    assert f"{call_lists.RED}llm main_model FAILED: refused: 503{call_lists.OFF}" in text


def test_a_call_that_is_up_or_lost_says_so(database):
    with open_sqlite(database.removeprefix("sqlite://")) as connection:
        lost = find_call(connection, "0aa1-lost")
    assert call_text.why(lost) == "its engine died, or lost its machine; what was written until then is below"
    up = evolve(lost, summary=evolve(lost.summary, state="up", failed=False))
    assert call_text.why(up) == "it is up"
    assert call_text.as_text(up).startswith("call 0aa1-lost  UP\n")


def test_a_call_says_nothing_twice_and_names_no_cost_that_is_not_known(database):
    with open_sqlite(database.removeprefix("sqlite://")) as connection:
        call = find_call(connection, FAILED_ID)
    hung_up = evolve(call.summary, outcome="caller_hung_up", detail="the caller hung up", cost=None, currency=None)
    usage = tuple({**use, "cost": None} for use in call.usage)
    call = evolve(call, summary=hung_up, failures=(), usage=usage, recording="", consent="refused")
    assert call_text.why(call) == "the caller hung up"
    lines = call_text.as_text(call, width=120).splitlines()
    assert "  recording  none, consent refused" in lines
    assert "  cost       not known: no prices were configured (`prices`)" in lines
    assert lines[-1].endswith("4,120 tokens in")


def test_a_call_as_json_has_all_of_it(shown):
    _, out, _ = shown("call", f"t-{FAILED_ID}", "--format", "json")
    call = json.loads(out)
    assert (call["call_id"], call["cost_is_least"], call["engine"]) == (FAILED_ID, True, "tokyo")
    assert call["began"] == "2026-12-01T03:00:00+00:00"
    assert [failure["what"] for failure in call["failures"]] == ["failed", "retry", "failed"]


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("call", "nobody"), 1, "there is no call 'nobody' in sqlite://"),
        (("call", ""), 1, "there is no call ''"),
        (("call", "0aa"), 1, "several calls begin with '0aa': 0aa1-lost, 0aa2-evil"),
        (("calls", "--after", "x"), 1, "'x' is no place in a list of calls"),
        (("calls", "--limit", "0"), 2, "'0' is no number of calls: write 1 or more"),
        (("calls", "--since", "yesterday"), 2, "'yesterday' is no time: write an age (30m, 2h, 7d), a date"),
        (("calls", "--state", "gone"), 2, "invalid choice: 'gone'"),
    ],
)
def test_a_mistake_is_said_with_what_to_do(shown, arguments, status, said):
    got, out, err = shown(*arguments)
    assert (got, out) == (status, "")
    assert said in err


def test_records_that_can_not_be_read_are_said_with_what_to_do(shown, tmp_path, monkeypatch, capsys):
    assert "is not there or may not be read" in shown("calls", records=f"sqlite://{tmp_path}/no.db")[2]
    (tmp_path / "empty.db").touch()
    assert "run `reference-engine records upgrade`" in shown("calls", records=f"sqlite://{tmp_path}/empty.db")[2]
    assert "No such file" in shown("calls", records=tmp_path / "no.jsonl")[2]
    monkeypatch.chdir(tmp_path)
    assert main(["calls"]) == 1
    assert "no engine's file was found (config/engine.yaml, engine.yaml, " in capsys.readouterr().err


def test_the_engines_file_in_the_working_directory_is_found(database, tmp_path, monkeypatch, capsys):
    (tmp_path / "config").mkdir()
    text = f"pipeline_sets: {{main: set.yaml}}\nlisteners: [{{set: main}}]\nrecords: {database}\n"
    (tmp_path / "config/engine.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    assert main(["call", FAILED_ID]) == 0
    assert "FAILED" in capsys.readouterr().out


def test_a_file_of_records_is_searched_likewise(shown, database, tmp_path):
    path = tmp_path / "calls.jsonl"
    with open_sqlite(database.removeprefix("sqlite://")) as connection:
        lines = [json.dumps(call) for call in export_calls(connection)]
    path.write_text("\n".join((*lines, '{"call_id": "torn", "beg')), encoding="utf-8")
    for options in ("", "--failed", "--caller +49*", "--text cancel", "--limit 1", "--state lost --set main"):
        command = ("calls", "--format", "json", *options.split())
        in_database, in_file = json.loads(shown(*command)[1]), json.loads(shown(*command, records=path)[1])
        for calls in (in_database["calls"], in_file["calls"]):
            for call in calls:
                call.pop("response_ms")
        assert in_file == in_database
    assert shown("call", "5f3c", records=path)[1].splitlines()[:3] == shown("call", "5f3c")[1].splitlines()[:3]


def test_a_failover_is_marked_and_found_in_a_database_and_in_a_file(shown, tmp_path):
    path, file = tmp_path / "calls.db", tmp_path / "calls.jsonl"
    with open_sqlite(path) as connection:
        add_run(connection)
        degraded(connection)
        passed_over = {"component": "plain", "role": "tts", "adapter": "espeak", "requests": 1, "reported": 0}
        add_call(
            connection,
            call_id="passed-over",
            began=BEGAN + minutes(1),
            failed_over=True,
            components={"tts": {"name": "fine", "adapter": "espeak", "model": None}},
            usage=[passed_over],
        )
        add_call(
            connection,
            call_id="retried",
            failed=True,
            failures=[dict(failed_over_at(1.0)[0], component="a")],
            caller="",
        )
        connection.commit()
        file.write_text("\n".join(json.dumps(call) for call in export_calls(connection)), encoding="utf-8")
    for records in (f"sqlite://{path}", file):
        found = json.loads(shown("calls", "--failover", "--format", "json", records=records)[1])["calls"]
        assert [(call["call_id"], call["failed"], call["failed_over"]) for call in found] == [
            ("passed-over", False, True),
            ("0aa3-degraded", True, True),
        ]
        ends = [line.rpartition("  ")[2] for line in shown("calls", records=records)[1].splitlines()[1:]]
        assert ends == ["caller hung up, failover", "caller hung up, with failures", "caller hung up, failover"]
        told = shown("call", "0aa3", records=records)[1]
        assert "tts fine FAILED: HTTP 429; it answered: slow down" in told
        assert "[buy more]" in told
        assert "  length     0:09, 0 turns\n" in told
        reason = "not known: `prices` had none for plain (espeak); mind (openai) reported no use"
        assert reason in " ".join(told.split())
        assert told.startswith("call 0aa3-degraded  ENDED, failover\n")


@pytest.mark.parametrize(
    ("zone", "text", "expected"),
    [
        ("UTC", "2026-12-01", "2026-12-01T00:00+00:00"),
        ("Europe/Berlin", "2026-12-01", "2026-11-30T23:00+00:00"),
        ("Europe/Berlin", "2026-07-01T03:00", "2026-07-01T01:00+00:00"),
        ("Europe/Berlin", "2026-03-29", "2026-03-28T23:00+00:00"),  # summer time begins on that day
        ("Europe/Berlin", "2026-03-30", "2026-03-29T22:00+00:00"),
        ("Europe/Berlin", "2026-10-25T02:30", "2026-10-25T00:30+00:00"),  # comes twice: the first is meant
        ("America/New_York", "2026-12-01T03:00Z", "2026-12-01T03:00+00:00"),
        ("America/New_York", "2026-12-01T03:00+09:00", "2026-11-30T18:00+00:00"),
    ],
)
def test_times_are_of_this_machines_zone_unless_they_have_one(zone, text, expected, monkeypatch):
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert point_in_time(text) == datetime.fromisoformat(expected)
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("text", "age"), [("30s", 30), ("90m", 5400), ("2h", 7200), ("7d", 604_800), ("1w", 604_800)])
def test_an_age_is_before_now(text, age):
    apart = datetime.now(point_in_time(text).tzinfo) - point_in_time(text)
    assert timedelta(seconds=age) - timedelta(seconds=60) < apart < timedelta(seconds=age + 60)


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2y", "2026-13-01", "tomorrow", "99999999999d", "2026-12-01 x"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(ArgumentTypeError, match="is no time: write an age"):
        point_in_time(text)


def test_the_tables_of_calls_are_all_shown():
    """A part of a call that has a table is shown by `call`; a new one must be, too."""
    assert {table.name for table in tables.PARTS} == {"turns", "tools", "failures", "steering", "transfers", "usage"}
