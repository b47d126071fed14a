"""`logging.mask`: numbers and variables that neither the log nor a record shows, wherever they occur."""

from __future__ import annotations

import json

import pytest

from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import open_log
from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.reports.call_log import log_call_event
from voicepipe import (
    CallBegan,
    CallEnded,
    CallInfo,
    CallRecorder,
    CallSteered,
    ComponentError,
    ComponentFailed,
    ComponentLabel,
    LoggingSettings,
    Timings,
    ToolEnded,
    ToolStarted,
    TransferEnded,
    TurnEnded,
)

INFO = CallInfo(
    call_id="c-100",
    caller="+4930555777",
    called="100",
    transport_id="t",
    variables={"card": "4929 12", "customer": "Ada", "x": "1"},
)
LABEL = ComponentLabel("v", "vosk", "tiny")
EVENTS = (
    CallBegan("c-100", 0.0, INFO, "main", 1, "d100", "p", LABEL, LABEL, LABEL),
    TurnEnded(
        "c-100",
        1.0,
        turn=1,
        trigger="dtmf",
        heard="Ada, card 4929 12, keys 77",
        said="Hello Ada of +4930555777, 4 9 3 0 5 5 5 7 7 7. Not Adam, nor 1000.",
        interrupted=False,
        response_ms=None,
        timings=Timings(),
        pressed=((24, 26),),
    ),
    ToolStarted("c-100", 1.0, "i", "book", {"who": ["Ada"], "card": {"number": "4929 12"}, "n": 1}),
    ToolEnded("c-100", 1.0, "i", "book", ok=True, result="booked for Ada", seconds=0.1),
    ComponentFailed("c-100", 1.0, role="llm", error=ComponentError("no answer for Ada", component="llm")),
    CallSteered("c-100", 1.5, action="say", text="Bye Ada and Grace."),
    CallSteered("c-100", 1.6, action="set_variables", variables={"customer": "Grace", "open": "of Ada"}),
    TransferEnded("c-100", 1.7, target="100", failure="Grace is busy", seconds=1.0),
    CallEnded("c-100", 2.0, "transfer_requested", 1, "Ada at 100", metadata={"note": ["Grace", 7]}),
)
KNOWN = KnownValues()
for _event in EVENTS:
    KNOWN.observe(_event)


@pytest.fixture
def logged(tmp_path):
    def log_of(**settings):
        settings = LoggingSettings(transcripts="full", **settings)
        path = tmp_path / "log"
        with path.open("w+b") as file, LineWriter(file.fileno()) as writer:
            log = open_log(writer, "json", lambda _set: "DEBUG", logging_of=lambda _set: settings)
            for event in EVENTS:
                log_call_event(log, "main", event, "t", KNOWN)
        return {record["event"]: record for record in map(json.loads, path.read_text().splitlines())}

    return log_of


def test_by_itself_the_log_has_them(logged):
    records = logged()
    started = records["call.started"]
    assert (started["caller"], started["called"]) == ("+4930555777", "100")
    assert started["variables"] == {"card": "4929 12", "customer": "Ada", "x": "1"}
    assert "known_values" not in json.dumps(records)
    assert records["call.turn"]["said"].startswith("Hello Ada")


def test_what_is_masked_is_nowhere_in_the_log(logged):
    records = logged(mask=("caller", "called", "variables.customer", "variables.card", "variables.unknown"))
    started = records["call.started"]
    assert (started["caller"], started["called"], started["call_id"]) == ("***", "***", "c-100")
    assert started["variables"] == {"card": "***", "customer": "***", "x": "1"}
    turn = records["call.turn"]
    assert turn["heard"] == "***, card ***, keys **"
    assert turn["said"] == "Hello *** of ***, ***. Not Adam, nor 1000."
    assert records["tool.started"]["arguments"] == {"who": ["***"], "card": {"number": "***"}, "n": 1}
    assert records["tool.ended"]["result"] == "booked for ***"
    assert records["component.failed"]["message"] == "no answer for ***"
    assert records["call.ended"]["detail"] == "*** at ***"
    steered, transfer = records["call.steered"], records["transfer.ended"]
    assert steered["changed"] == {"customer": "***", "open": "of ***"}
    assert (transfer["target"], transfer["failure"]) == ("***", "*** is busy")
    assert not any(word in json.dumps(records) for word in ("Ada ", "Ada,", "4929", "30555777", "5 5 5"))


@pytest.mark.parametrize(
    ("mask", "variables"),
    [
        (("variables.*",), {"card": "***", "customer": "***", "x": "***"}),
        (("variables.x",), {"card": "4929 12", "customer": "Ada", "x": "***"}),
        (("caller",), {"card": "4929 12", "customer": "Ada", "x": "1"}),
    ],
)
def test_which_variables(logged, mask, variables):
    assert logged(mask=mask)["call.started"]["variables"] == variables


def record():
    recorder = CallRecorder()
    for event in EVENTS:
        recorder.observe(event)
    return recorder.record


def test_a_record_is_masked_and_its_spans_stay_right():
    masked = Mask(KNOWN, ("caller", "called", "variables.*")).record(record())
    data = masked.as_data()
    assert data["info"]["variables"] == {"card": "***", "customer": "***", "x": "***", "open": "***"}
    assert [step["text"] for step in data["steered"]] == ["Bye *** and ***.", ""]
    assert data["steered"][1]["variables"] == {"customer": "***", "open": "***"}
    assert (data["transfers"][0]["target"], data["transfers"][0]["failure"]) == ("***", "*** is busy")
    assert data["metadata"] == {"note": ["***", 7]}
    assert (data["call_id"], data["digest"], data["detail"]) == ("c-100", "d100", "*** at ***")
    (turn,) = masked.turns
    assert turn.heard == "***, card *******, keys 77"
    assert turn.heard[slice(*turn.pressed[0])] == "77"
    assert turn.said == "Hello *** of ***, ***. Not Adam, nor 1000."
    assert (data["tools"][0]["result"], data["failures"][0]["message"]) == ("booked for ***", "no answer for ***")


def test_without_a_mask_nothing_is_changed():
    whole = record()
    assert Mask(KNOWN, ()).record(whole) is whole


@pytest.mark.parametrize(
    ("name", "hint"),
    [("calller", 'did you mean "caller"'), ("variable.card", "variables.NAME"), ("variables.", "variables.NAME")],
)
def test_names_that_there_are_not(name, hint):
    with pytest.raises(ValueError, match="there is no value") as caught:
        LoggingSettings(mask=(name,))
    assert hint in str(caught.value)
