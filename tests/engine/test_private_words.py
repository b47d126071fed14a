"""What the log shows of conversations: tables of what is said, and whole records through the log itself."""

from __future__ import annotations

import json
import logging

import pytest

from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import adopt_standard_logging, open_log
from reference_engine.log.private_words import redacted
from reference_engine.reports.call_log import log_call_event
from voicepipe import ComponentError, ComponentFailed, LoggingSettings, ReplyPrepared, Timings, ToolEnded, ToolStarted
from voicepipe.calls.events import TurnEnded


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("my card is 4111 1111 1111 1111, thanks", "my card is ***, thanks"),
        ("4111-1111-1111-1111", "***"),
        ("PIN1234", "PIN***"),
        ("it is 1234.", "it is ***."),
        ("it's 12, at 10 o'clock, 250 g", "it's 12, at 10 o'clock, 250 g"),
        ("call +49 (30) 901820", "call ***"),
        ("four one one one, one one one one", "***"),
        ("forty-one eleven double one seven", "***"),
        ("one two 3 4", "***"),
        ("two tickets for one adult and three children", "two tickets for one adult and three children"),
        ("vier eins eins eins bitte", "*** bitte"),
        ("cuatro uno uno uno por favor", "*** por favor"),
        ("quatre un un un merci", "*** merci"),
        ("write to ada.b+c@example.co.uk today", "write to *** today"),
        ("it is ada dot byron at example dot com", "it is ***"),
        ("meet me at noon", "meet me at noon"),
        ("", ""),
    ],
)
def test_numbers_and_addresses_are_not_shown(said, left):
    assert redacted(said) == left


def turn(trigger="utterance", heard="my PIN is 1 2 3 4", said="Thank you, ada@example.com.", pressed=()):
    return TurnEnded(
        "c",
        1.0,
        turn=1,
        trigger=trigger,
        heard=heard,
        said=said,
        interrupted=False,
        response_ms=None,
        timings=Timings(),
        pressed=pressed,
    )


EVENTS = {
    "turn": turn(),
    "keys": turn("dtmf", "4321", "Thank you.", ((0, 4),)),
    "words and keys": turn("dtmf", "the PIN 98 no 4321 thanks", "Thank you.", ((8, 10), (14, 18))),
    "keys at the end": turn("announcement", "please 77", "Goodbye.", ((7, 9),)),
    "prepared": ReplyPrepared("c", 1.0, used=True, heard="one two three four"),
    "started": ToolStarted(
        "c", 1.0, "t", "book", {"pin": 1234, "who": {"mail": "ada@example.com"}, "how": [2, "5678"]}
    ),
    "ended": ToolEnded("c", 1.0, "t", "book", ok=True, result="booked for 5551234", seconds=0.1),
    "broke": ToolEnded("c", 1.0, "t", "book", ok=False, result="x", seconds=0.1, error=ValueError("no 5551234 there")),
    "sent": ToolStarted("c", 1.0, "t", "send_dtmf", {"digits": "123"}),
    "failed": ComponentFailed(
        "c", 1.0, role="llm", error=ComponentError("odd arguments", answered='(request 0b8f-4096) {"pin": "1234"}')
    ),
}


@pytest.fixture
def logged(tmp_path):
    def log_of(event, settings, conceal=str):
        with (tmp_path / "log").open("w+b") as file:
            with LineWriter(file.fileno()) as writer:
                log = open_log(writer, "json", lambda _set: "DEBUG", logging_of=lambda _set: settings, conceal=conceal)
                log_call_event(log, "main", event)
            file.seek(0)
            return json.loads(file.read())

    return log_of


def test_by_itself_keys_are_masked_and_numbers_are_not_shown(logged):
    records = [logged(event, None) for event in EVENTS.values()]
    shown = json.dumps([{**record, "timestamp": ""} for record in records])  # which may have any four digits
    for private in ("1 2 3 4", "1234", "4321", "5678", "one two", "ada@", '"123"'):
        assert private not in shown, shown
    record = logged(EVENTS["turn"], None)
    assert (record["heard"], record["said"]) == ("my PIN is ***", "Thank you, ***.")
    assert logged(EVENTS["keys"], None)["heard"] == "****"
    assert logged(EVENTS["words and keys"], None)["heard"] == "the PIN ** no **** thanks"
    assert logged(EVENTS["keys at the end"], None)["heard"] == "please **"
    assert "pressed" not in logged(EVENTS["keys"], None)
    assert logged(EVENTS["started"], None)["arguments"] == {"pin": "***", "who": {"mail": "***"}, "how": [2, "***"]}
    assert "0b8f-4096" in logged(EVENTS["failed"], None)["answered"]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("sent no final transcript within 1500 ms (budgets.stt.first_transcript_ms)", None),
        ("nothing came for 3600 s", None),
        ("larger than 65536 bytes", None),
        ("rate 16000 Hz is not supported", None),
        ("the other side closed with code 1001", None),
        ("refused: no such pin 1001", "refused: no such pin ***"),
        ("the code 1001 is wrong", "the code *** is wrong"),
        ("call 555 1234 back", "call *** back"),
        ("ask ada@example.com", "ask ***"),
    ],
)
def test_messages_show_quantities_and_hide_what_they_may_quote(logged, message, shown):
    failed = ComponentFailed("c", 1.0, role="stt", error=ComponentError(message))
    assert logged(failed, None)["message"] == (shown or message)


@pytest.mark.parametrize("event", EVENTS.values(), ids=EVENTS)
def test_off_shows_no_word_at_all(logged, event):
    record = logged(event, LoggingSettings(transcripts="off"))
    for name in ("said", "result", "heard", "arguments"):
        assert record.get(name) is None


def test_in_full_all_words_are_there_and_keys_if_they_are_wanted(logged):
    full = LoggingSettings(transcripts="full")
    assert logged(EVENTS["turn"], full)["heard"] == "my PIN is 1 2 3 4"
    assert logged(EVENTS["started"], full)["arguments"]["pin"] == 1234
    assert logged(EVENTS["keys"], full)["heard"] == "****"
    assert logged(EVENTS["sent"], full)["arguments"] == {"digits": "***"}
    both = LoggingSettings(transcripts="full", dtmf="shown")
    assert logged(EVENTS["keys"], both)["heard"] == "4321"
    assert logged(EVENTS["sent"], both)["arguments"] == {"digits": "123"}
    assert logged(EVENTS["keys"], LoggingSettings(dtmf="shown"))["heard"] == "***"  # a number is one however it came


def test_a_change_holds_for_the_next_record_of_that_set(tmp_path):
    settings = {"main": LoggingSettings(), "other": LoggingSettings(transcripts="off")}
    with (tmp_path / "log").open("w+b") as file:
        with LineWriter(file.fileno()) as writer:
            log = open_log(writer, "json", lambda _set: "INFO", logging_of=settings.get)
            for name in ("main", "other", "unknown"):
                log_call_event(log, name, EVENTS["turn"])
            settings["main"] = LoggingSettings(transcripts="full")
            for name in ("main", "other"):
                log_call_event(log, name, EVENTS["turn"])
        file.seek(0)
        heard = [json.loads(line)["heard"] for line in file]
    assert heard == ["my PIN is ***", None, "my PIN is ***", "my PIN is 1 2 3 4", None]


def test_what_was_logged_is_not_what_is_said(logged):
    event = ToolStarted("c", 1.0, "t", "book", {"pin": "1234"})
    logged(event, None)
    assert event.arguments == {"pin": "1234"}


def test_secrets_are_in_no_traceback_and_in_nothing_that_libraries_say(logged, tmp_path):
    def conceal(text):
        return text.replace("canary", "${KEY}")

    event = ToolEnded("c", 1.0, "t", "book", ok=False, result="x", seconds=0.1, error=ValueError("refused canary"))
    assert "refused ${KEY}" in logged(event, None, conceal)["exception"]
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        with (tmp_path / "library").open("w+b") as file:
            with LineWriter(file.fileno()) as writer:
                adopt_standard_logging(open_log(writer, "json", lambda _set: "INFO", conceal=conceal))
                logging.getLogger("websockets").error("failed with %s", "canary", exc_info=ValueError("canary"))
            file.seek(0)
            said = file.read().decode()
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level = before
    assert "failed with ${KEY}" in said
    assert "canary" not in said
