"""D03: what is to be redacted is so before it is stored, logged, traced or shown.

One conversation has private values in every place of every event that has a text. Each of `SINKS` keeps or shows what
it gets, in its own way; none of their bytes has any of the values. A new observer of calls gets its row there.
"""

from __future__ import annotations

import json
import re
from contextlib import ExitStack
from types import SimpleNamespace

import httpx
import pytest
import trio
from attrs import evolve
from patience import LONG_S
from recorded_events import Log, record_store

from reference_engine.calls.call_observers import CallObservers
from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import open_log
from reference_engine.log.redacted_events import CallRedaction
from reference_engine.pages.calls_page import add_calls
from reference_engine.pages.records_of_pages import PageRecords
from reference_engine.pages.shell import Shell
from reference_engine.records.record_file import open_record_file
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.json_bodies import call_body, calls_body
from reference_engine.reports.latencies import Latencies
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.sessions import SessionStore
from reference_engine.settings.otel_settings import OtelSettings
from reference_engine.settings.records_place import read_place
from reference_engine.telemetry.opening import Telemetry
from reference_engine.telemetry.traces import Traces
from reference_engine.telemetry.webhook_events import WebhookEvents
from voicepipe import (
    CallBegan,
    CallEnded,
    CallInfo,
    CallSteered,
    ComponentError,
    ComponentFailed,
    ComponentLabel,
    DtmfReceived,
    LoggingSettings,
    Message,
    ModelAnswered,
    RecordingFailed,
    RedactSettings,
    ReplyContinued,
    ReplyPrepared,
    ToolEnded,
    ToolStarted,
    TraceContext,
    Transcribed,
    TransferEnded,
    TransferStarted,
    TurnEnded,
)

REDACT = RedactSettings(
    kinds=("card_numbers", "telephone_numbers", "email", "iban", "keys"),
    patterns={"customer_number": r"K-?\d{6}"},
)
PRIVATE = {
    "a card": "4111 1111 1111 1111",
    "a card in words": "five five double five, five five five five, five five five five, four four four four",
    "a number": "+49 30 901820",
    "a mailbox": "ada.byron@example.com",
    "a mailbox in words": "ada dot byron at example dot org",
    "an account": "DE89 3704 0044 0532 0130 00",
    "a customer": "K-123456",
}
KEYS = "7391"
PIECES = (
    *("4111", "1111", "double five", "four four", "901820", "byron", "example", "DE89", "3704", "0532", "123456"),
    *(KEYS, "5454", "546161"),
)
"""Whatever shows one of these shows something private."""
ALL = "; ".join(PRIVATE.values())
LABEL = ComponentLabel("v", "vosk", "tiny")


def failed():
    """An exception whose cause, note and group have private values."""
    try:
        try:
            {}[ALL]
        except KeyError as error:
            error.add_note(ALL)
            raise ExceptionGroup(ALL, [ValueError(ALL)]) from error
    except ExceptionGroup as group:
        return group


def turn(number, heard, said="I see.", **fields):
    given = {"trigger": "utterance", "interrupted": False, "response_ms": None} | fields
    return TurnEnded("c", float(number), turn=number, heard=heard, said=said, **given)


EVENTS = (
    CallBegan(
        "c",
        0.0,
        CallInfo(call_id="c", caller="100", called="200", transport_id="t", variables={"who": ALL}),
        "main",
        1,
        "d",
        "p",
        LABEL,
        LABEL,
        LABEL,
        metadata={"note": [ALL]},
    ),
    *(Transcribed("c", 1.0, "4111 1111 1111 1111"[:end], final=False) for end in range(4, 19)),
    *(DtmfReceived("c", 1.0, key) for key in KEYS),
    ReplyContinued("c", 1.0, 1, ALL),
    ReplyPrepared("c", 1.0, used=True, heard=ALL),
    turn(1, f"{ALL} {KEYS}", ALL, pressed=((len(ALL) + 1, len(ALL) + 5),)),
    turn(2, "it is 5454 5454", "go on"),
    turn(3, "5454 5454", "Your card 4111 111", interrupted=True),
    ComponentFailed("c", 2.0, role="llm", error=ComponentError(ALL, component="m", answered=ALL, hint=ALL)),
    ModelAnswered("c", 2.0, LABEL, 1.0, None, "failed", error=ComponentError(ALL, answered=ALL)),
    RecordingFailed("c", 2.0, "/r.wav", ALL),
    ToolStarted("c", 2.0, "i", "pay", {"card": 4111111111111111, "all": [{"x": ALL}], ALL: 1}),
    ToolStarted("c", 2.0, "i", "send_dtmf", {"digits": KEYS}),
    ToolEnded("c", 2.0, "i", "pay", ok=False, result=ALL, seconds=0.1, error=failed(), hint=ALL),
    CallSteered("c", 2.0, "say", ALL),
    CallSteered("c", 2.0, "set_variables", variables={"who": ALL}),
    TransferStarted("c", 2.0, ALL),
    TransferEnded("c", 2.0, ALL, ALL, 1.0),
    CallEnded("c", 3.0, "failed", 3, ALL, {"note": {"deep": (ALL, 4111111111111111)}}),
)


def shown_by(sink, tmp_path):
    """All bytes that a sink has of the conversation."""
    with ExitStack() as stack:
        return SINKS[sink](stack, tmp_path)


def observing(log=None, keep=lambda _record: None, sessions=None, **options):
    known = options.pop("logging", LoggingSettings(transcripts="full", dtmf="shown"))
    log = Log() if log is None else log
    sessions = SessionStore() if sessions is None else sessions
    ended = options.pop("ended", SimpleNamespace(add=lambda _ended: None))
    observers = CallObservers(
        sessions, Metrics({}), ended, keep, log, logging_of=lambda _set: known, latencies=Latencies(), **options
    )
    return observers.of_call("main", "t", lambda: REDACT)


def log_of(form):
    def logged(_stack, tmp_path):
        path = tmp_path / "log"
        with path.open("w+b") as file, LineWriter(file.fileno()) as writer:
            full = LoggingSettings(transcripts="full", dtmf="shown")
            tell = observing(open_log(writer, form, lambda _set: "DEBUG", logging_of=lambda _set: full))
            for event in EVENTS:
                tell(event)
        return path.read_bytes()

    return logged


def record_file(stack, tmp_path):
    records = stack.enter_context(open_record_file(read_place(str(tmp_path / "calls.jsonl"))))
    tell = observing(keep=records.keep)
    for event in EVENTS:
        tell(event)
    stack.close()
    return (tmp_path / "calls.jsonl").read_bytes()


def bytes_in(directory):
    """The bytes of all its files: the write-ahead log is one of them."""
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


def database(stack, tmp_path):
    store = stack.enter_context(record_store(f"sqlite://{tmp_path}/records/calls.db", tmp_path / "spool"))
    tell = observing(store=store)
    for event in EVENTS:
        tell(event)
    assert store.wait_stored(LONG_S)
    return bytes_in(tmp_path / "records")


def spool(stack, tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records/calls.db").mkdir()  # no database can be there
    store = stack.enter_context(record_store(f"sqlite://{tmp_path}/records/calls.db", tmp_path / "spool"))
    tell = observing(store=store)
    for event in EVENTS:
        tell(event)
    stack.close()
    return bytes_in(tmp_path / "spool")


def status(_stack, _tmp_path):
    return trio.run(status_bodies)


async def status_bodies():
    sessions, ended, bodies = SessionStore(), EndedCalls(), []
    tell = observing(sessions=sessions, ended=ended)
    messages = [
        Message("caller", ALL),
        Message("caller", KEYS, pressed=True),
        Message("agent", ALL),
        Message("caller", "5454 5454"),
        Message("agent", "go on"),
        Message("caller", "5454 5454"),
    ]
    up = SimpleNamespace(info=EVENTS[0].info, conversation=messages, variables={"who": ALL}, metadata={"note": ALL})
    full = LoggingSettings(transcripts="full", dtmf="shown")
    for event in EVENTS:
        tell(event)
        bodies.append(calls_body(sessions))
        if (session := sessions.get("c")) is not None:
            bodies.append(call_body(session, up, full, REDACT))
    bodies.append(call_body(ended.find("c")))
    return json.dumps(bodies).encode()


def webhooks(_stack, _tmp_path):
    told = []
    wanted = {"call.started", "call.ended", "component.failed", "recording.failed"}
    target = SimpleNamespace(transcript=True, words=True)
    hooks = SimpleNamespace(wanted=wanted, tell=lambda _event, make, _caller="": told.append(make(target)))
    telemetry = Telemetry(None, None, hooks, WebhookEvents(hooks, "tokyo"), Log())
    tell = observing(telemetry=telemetry)
    for event in EVENTS:
        tell(event)
    assert len(told) > 2
    return json.dumps(told, default=str).encode()


def traces(stack, _tmp_path):
    """What a collector is sent, with `transcript: true`."""
    sent = []
    exporter = SimpleNamespace(
        export=lambda batch: sent.extend(batch) or SimpleNamespace(fate="taken", reason=""), close=lambda: None
    )
    opened = stack.enter_context(Traces(OtelSettings("http://c", transcript=True), Log(), lambda _settings: exporter))
    hooks = SimpleNamespace(wanted=(), tell=lambda *_: None)
    tell = observing(telemetry=Telemetry(None, opened, hooks, WebhookEvents(hooks, "tokyo"), Log()))
    tell(evolve(EVENTS[0], trace=TraceContext.new(sampled=True)))
    for event in EVENTS[1:]:
        tell(event)
    stack.close()
    assert len(sent) > 4
    return repr(sent).encode()


def pages(stack, tmp_path):
    """The pages of the operator: the list of calls, what a search finds, and the call's own page."""
    database(stack, tmp_path)
    place = read_place(f"sqlite://{tmp_path}/records/calls.db")
    current = SimpleNamespace(settings=SimpleNamespace(admin=None, records=place))
    parts = SimpleNamespace(current=current, sets=SimpleNamespace(serving={}, leaving=()), conceal=str)
    shell = Shell(current)
    add_calls(shell, parts, PageRecords(current))

    async def read():
        paths = ("/calls", "/calls?text=card", "/calls/c")
        transport = httpx.ASGITransport(shell.app(), client=("", 0))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            answers = [await client.get(path) for path in paths]
        assert [answer.status_code for answer in answers] == [200, 200, 200]
        return b"".join(answer.content for answer in answers)

    return trio.run(read)


SINKS = {
    "pages": pages,
    "traces": traces,
    "log, json": log_of("json"),
    "log, console": log_of("console"),
    "calls.jsonl": record_file,
    "database": database,
    "spool": spool,
    "GET /calls": status,
    "webhooks": webhooks,
}


@pytest.mark.parametrize("sink", SINKS)
def test_nothing_private_is_kept_or_shown(sink, tmp_path):
    shown = re.sub(rb"\d{4}-\d\d-\d\d[T ][\d:.]+", b"", shown_by(sink, tmp_path))  # times have any digits
    assert [piece for piece in PIECES if piece.encode() in shown] == []
    assert b"[card number]" in shown


def test_every_event_that_has_texts_is_among_them():
    shown = repr([CallRedaction(lambda: REDACT)(event) for event in EVENTS])
    assert [piece for piece in PIECES if piece in shown.replace("at_s", "")] == []


def test_without_redact_events_are_as_they_were():
    assert all(CallRedaction(RedactSettings)(event) is event for event in EVENTS)


def test_a_change_takes_effect_in_calls_that_are_up():
    settings = RedactSettings()
    redacted = CallRedaction(lambda: settings)
    event = turn(1, "4111 1111 1111 1111")
    assert redacted(event).heard == event.heard
    settings = REDACT
    assert redacted(event).heard == "[card number]"


def test_spans_of_keys_stay_right():
    settings = RedactSettings(kinds=("card_numbers",))
    heard = "my card 4111 1111 1111 1111 and 12#"
    event = CallRedaction(lambda: settings)(turn(1, heard, pressed=((8, 27), (32, 35))))
    assert [event.heard[begin:end] for begin, end in event.pressed] == ["[card number]", "12#"]


def test_an_event_that_can_not_be_redacted_is_bare():
    class Odd(dict):
        def items(self):
            raise RuntimeError

    records, log = [], Log()
    tell = observing(log, keep=records.append)
    tell(EVENTS[0])
    tell(turn(1, "hello"))
    tell(CallEnded("c", 3.0, "said_goodbye", 1, ALL, metadata={"odd": Odd(card=ALL)}))
    assert (records[0].outcome, records[0].detail, records[0].metadata) == ("said_goodbye", "", {})
    assert log.named("observer.failed")[0]["observer"] == "redaction"


async def test_a_transfer_s_target_is_there_for_the_dialplan():
    ended = EndedCalls()
    tell = observing(ended=ended)
    tell(EVENTS[0])
    tell(CallEnded("c", 3.0, "transfer_requested", 3, "+4930901820"))
    assert ended.find("c").detail == "+4930901820"


def test_values_that_can_not_be_redacted_are_left_out_and_the_rest_is_kept():
    class Odd:
        def __str__(self):
            raise RuntimeError("no text")

        __repr__ = __str__

    records = []
    tell = observing(keep=records.append)
    tell(EVENTS[0])
    loop = {}
    loop["loop"] = loop
    tell(CallEnded("c", 3.0, "said_goodbye", 0, metadata={"odd": Odd(), "loop": loop, "card": "4111111111111111"}))
    assert records[0].outcome == "said_goodbye"
    assert "4111" not in str(dict(records[0].metadata).get("card"))
