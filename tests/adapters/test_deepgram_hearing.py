"""The events of Deepgram's messages, read as they come and by its SDK's types; where audio lies in a stream."""

from __future__ import annotations

import json
import warnings
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib import import_module

import pytest
from attrs import evolve
from deepgram.core.unchecked_base_model import construct_type
from deepgram_streams import FLUX, OPTIONS

from voicepipe.adapters.deepgram.errors import closed, refused
from voicepipe.adapters.deepgram.flux import Flux
from voicepipe.adapters.deepgram.nova import Nova
from voicepipe.adapters.deepgram.replay_buffer import MOST_KEPT_MS, ReplayBuffer, Timeline
from voicepipe.adapters.deepgram.transcript_assembler import keyterms
from voicepipe.audio import AudioFormat
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed, Word
from voicepipe.components.quoting import quoted
from voicepipe.components.requests import Listen
from voicepipe.errors import ComponentError

LINE = AudioFormat(8000)
LONG_MS = 600_000


def sent_ms(hearing, ms=LONG_MS):
    timeline = Timeline()
    timeline.sent_ms = ms
    assert hearing.connected(timeline) == []
    return hearing


@pytest.fixture
def nova():
    return sent_ms(Nova(evolve(OPTIONS, ends_turns=True), LINE))


@pytest.fixture
def flux():
    return sent_ms(Flux(evolve(FLUX, eager_eot_threshold=0.5), LINE))


def read_by_the_sdk(hearing, message):
    """A message as the SDK's own types have it: an object whose optional fields are None where they are missing."""
    version = "v1" if isinstance(hearing, Nova) else "v2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the SDK tries websockets.legacy first
        module = import_module(f"deepgram.listen.{version}.socket_client")
    return construct_type(type_=getattr(module, f"{version.upper()}SocketClientResponse"), object_=message)


async def heard(hearing, *messages):
    """The events of messages; the same come of what the SDK reads in them."""
    events = []
    for message in messages:
        read = read_by_the_sdk(hearing, message)
        same = deepcopy(hearing).hear(read.dict()) if read is not None else []
        events += hearing.hear(json.loads(json.dumps(message)))
        assert events[len(events) - len(same) :] == same
    return events


def results(words, *, final=False, start=0.0, end=None, **more):
    """Results of listen v1; words as (text, start, end)."""
    found = [{"word": text, "start": begin, "end": stop, "confidence": 0.9} for text, begin, stop in words]
    end = end if end is not None else (words[-1][2] if words else start + 1)
    return {
        "type": "Results",
        "channel_index": [0, 1],
        "start": start,
        "duration": end - start,
        "is_final": final,
        "channel": {
            "alternatives": [{"transcript": " ".join(word for word, _, _ in words), "confidence": 0.9, "words": found}]
        },
        "metadata": {},
        **more,
    }


def turn(event, words, *, index=0, end=1.0, **more):
    """A TurnInfo of listen v2; words as text."""
    return {
        "type": "TurnInfo",
        "request_id": "r",
        "sequence_id": 1,
        "event": event,
        "turn_index": index,
        "audio_window_start": 0.0,
        "audio_window_end": end,
        "transcript": words,
        "words": [{"word": word, "confidence": 0.9} for word in words.split()],
        "end_of_turn_confidence": 0.5,
        **more,
    }


def texts(events):
    return [(event.text, event.final) for event in events if isinstance(event, Transcript)]


# --- Nova ------------------------------------------------------------------------------------------------------------

HELLO = [("hello", 0.2, 0.6)]
HELLO_YOU = [*HELLO, ("you", 0.6, 0.9)]


async def test_partial_text_that_says_nothing_new_is_left_out(nova):
    events = await heard(nova, results([]), results(HELLO), results(HELLO, end=0.8), results(HELLO_YOU))
    assert texts(events) == [("hello", False), ("hello you", False)]


async def test_empty_finals_are_not_events_but_cover_the_audio(nova):
    assert await heard(nova, results([], final=True, end=3.0)) == []
    assert nova.covered_ms == 3000


async def test_audio_before_a_partial_text_is_covered(nova):
    assert await heard(nova, results([], start=3.0, end=4.0)) == []
    assert nova.covered_ms == 3000


async def test_words_that_were_given_are_not_given_again_though_they_move(nova):
    await heard(nova, results(HELLO_YOU, end=1.5))
    nova.end_utterance(1500)
    nova.asked = 1
    assert nova.answer() == [
        Transcript("hello you", final=True, confidence=0.9, words=nova_words(HELLO_YOU), audio_end_ms=1500)
    ]
    moved = [("hello", 0.1, 0.5), ("you", 0.55, 0.95), ("there", 0.88, 1.4)]
    assert texts(await heard(nova, results(moved), results(moved, final=True, from_finalize=True))) == [
        ("there", False),
        ("there", True),
    ]


def nova_words(words):
    return tuple(Word(text, round(begin * 1000), round(end * 1000), 0.9) for text, begin, end in words)


async def test_a_final_that_reaches_the_end_of_the_utterance_answers_it(nova):
    assert nova.end_utterance(900) == []
    nova.asked = 1
    assert texts(await heard(nova, results(HELLO_YOU, final=True))) == [("hello you", True)]
    assert not nova.waiting
    assert await heard(nova, results([], final=True, start=0.9, end=0.9, from_finalize=True)) == []


async def test_a_final_before_the_end_of_the_utterance_does_not_answer_it(nova):
    nova.end_utterance(2000)
    nova.asked = 1
    events = await heard(nova, results(HELLO, final=True), results([], final=True, end=1.9, from_finalize=True))
    assert [(event.text, event.audio_end_ms) for event in events] == [("hello", 600), ("", 2000)]


async def test_an_answer_to_an_earlier_connections_question_is_none(nova):
    """`from_finalize` of something that this connection was not asked."""
    nova.end_utterance(2000)
    assert texts(await heard(nova, results(HELLO, final=True, from_finalize=True))) == [("hello", True)]
    assert list(nova.waiting) == [2000]


async def test_each_turn_ends_once(nova):
    events = await heard(
        nova,
        {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.0},
        results(HELLO, final=True, speech_final=True),
        {"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 0.6},
        results([], final=True, start=0.6, speech_final=True),
    )
    assert [event for event in events if isinstance(event, EndOfTurn)] == [EndOfTurn()]


async def test_an_error_is_told(nova):
    with pytest.raises(ComponentError, match="reports an error") as caught:
        await heard(nova, {"type": "Error", "variant": "Internal", "description": "Out of order."})
    assert caught.value.answered == "Internal: Out of order."


@pytest.mark.parametrize(
    "message",
    [
        {"type": "Results"},
        results(HELLO) | {"start": "soon"},
        results(HELLO) | {"channel": {"alternatives": []}},
        results(HELLO) | {"channel": None},
        results([("word", 0.0, 1e400)], end=1e400),
    ],
    ids=lambda message: json.dumps(message)[:60],
)
async def test_nonsense_is_quoted(nova, message):
    with pytest.raises(ComponentError, match="a malformed message") as caught:
        nova.hear(message)
    assert message["type"] in caught.value.answered
    assert caught.value.retryable


async def test_bytes_are_nonsense(nova):
    with pytest.raises(ComponentError, match="a malformed message"):
        nova.hear(b"\1\2\3")


async def test_what_is_unknown_is_passed_over(nova):
    more = results(HELLO, final=True) | {"from_finalize": None, "entities": [], "tomorrow": {"new": 1}}
    del more["metadata"]
    assert texts(await heard(nova, more)) == [("hello", True)]
    assert read_by_the_sdk(nova, {"type": "SomethingNew"}) is None
    assert await heard(nova, {"type": "SomethingNew"}) == []


# --- Flux ------------------------------------------------------------------------------------------------------------


async def test_a_turn_from_start_to_end(flux):
    events = await heard(
        flux,
        turn("Update", ""),
        turn("StartOfTurn", "Hello"),
        turn("EagerEndOfTurn", "Hello you"),
        turn("TurnResumed", "Hello you are"),
        turn("SomethingNew", "Hello you are right"),
        turn("EndOfTurn", "Hello you are right.", trigger="model", end=3.0),
    )
    kinds = [event for event in events if isinstance(event, EndOfTurn | TurnResumed)]
    assert kinds == [EndOfTurn(eager=True), TurnResumed(), EndOfTurn()]
    assert texts(events)[-1] == ("Hello you are right.", True)
    assert flux.covered_ms == 3000


async def test_a_turn_that_is_given_away_is_not_given_again(flux):
    await heard(flux, turn("StartOfTurn", "Hello you"))
    flux.end_utterance(900)
    flux.asked = 1
    assert texts(flux.answer()) == [("Hello you", True)]
    events = await heard(flux, turn("Update", "Hello you there"), turn("EndOfTurn", "Hello you there", trigger="model"))
    assert texts(events) == [("there", False), ("there", True)]
    assert texts(await heard(flux, turn("StartOfTurn", "Next one", index=1))) == [("Next one", False)]


async def test_a_turn_that_is_given_away_whole_has_ended_already(flux):
    await heard(flux, turn("StartOfTurn", "Hello"))
    flux.end_utterance(900)
    flux.asked = 1
    flux.answer()
    assert await heard(flux, turn("EndOfTurn", "Hello", trigger="timeout")) == []


async def test_a_server_that_tells_no_cause(flux):
    await heard(flux, turn("StartOfTurn", "Hello"))
    flux.end_utterance(2000)
    flux.asked = 1
    events = await heard(flux, turn("EndOfTurn", "Hello", end=1.2))
    assert [(event.text, event.audio_end_ms) for event in events] == [("Hello", 2000)]


async def test_audio_before_a_turn_is_covered_but_for_a_moment(flux):
    await heard(flux, turn("Update", "", end=4.0))
    assert flux.covered_ms == 3500


@pytest.mark.parametrize(
    ("code", "retryable"), [("INTERNAL_SERVER_ERROR", True), ("UNPARSABLE_CLIENT_MESSAGE", False), ("NEW", True)]
)
async def test_errors_of_flux(flux, code, retryable):
    with pytest.raises(ComponentError, match="reports an error") as caught:
        await heard(flux, {"type": "Error", "sequence_id": 3, "code": code, "description": "That is how it is."})
    assert caught.value.retryable is retryable
    assert caught.value.answered == f"{code}: That is how it is."


# --- Keyterms --------------------------------------------------------------------------------------------------------


def test_keyterms_are_each_once_and_not_too_many():
    assert keyterms(("a b", ""), Listen(phrases=("c", " a  b "))) == ["a b", "c"]
    assert len(keyterms((), Listen(phrases=tuple(f"n{n}" for n in range(200))))) == 100
    assert len(keyterms((), Listen(phrases=tuple(f"{n:0100}" for n in range(20))))) == 10


# --- Errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("soon", None),
        ("nan", None),
        (None, None),
    ],
)
def test_how_long_to_wait(value, expected):
    headers = {} if value is None else {"Retry-After": value}
    assert refused(429, headers, b"", "api_key").retry_after_s == expected


def test_until_when_to_wait():
    headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)}
    assert refused(429, headers, b"", "api_key").retry_after_s == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        (b'{"err_code": "A", "err_msg": "B", "request_id": "c"}', "A: B"),
        ('{"category": "A", "message": "B", "details": "C"}', "A: B: C"),
        ({"reason": "B"}, "B"),
        ({"other": 1}, "{'other': 1}"),
        (b"<h1>\n  no </h1>", "<h1> no </h1>"),
        (b"\xff", "\N{REPLACEMENT CHARACTER}"),
        (None, "None"),
        ("x" * 999, "x" * 199 + "…"),
    ],
)
def test_what_was_answered(body, answered):
    assert quoted(refused(500, {}, body, "api_key").answered) == answered


def test_a_broken_connection_names_its_request():
    assert closed(None, "", "42").answered == "(request 42)"
    assert closed(1011, "NET-0000", "42").answered == "(request 42) NET-0000"


# --- Where audio lies ------------------------------------------------------------------------------------------------


def test_padding_takes_no_time_of_the_stream():
    timeline = Timeline(1000)
    timeline.sent_ms = 2000
    timeline.pad(1500, 100)
    timeline.pad(1500, 100)
    timeline.pad(1800, 100)
    assert [timeline.stream_ms(seconds) for seconds in (0, 0.5, 0.6, 0.7, 0.8, 1.0, 1.05, 1.1, 1.2)] == [
        *(1000, 1500, 1500, 1500, 1600, 1800, 1800, 1800, 1900)
    ]
    assert timeline.stream_ms(99) == 2000


def test_a_recording_keeps_what_is_not_covered():
    buffer = ReplayBuffer(LINE)
    buffer.append(bytes(16000))
    assert buffer.read(0, 16000, 250) == bytes(4000)
    assert buffer.read(15000, 16000, 250) == bytes(1000)
    buffer.forget(500, 16000)
    assert (buffer.start, buffer.end) == (8000, 16000)
    buffer.forget(9999, 12000)  # what was not sent can't be covered
    assert buffer.start == 12000
    buffer.forget(0, 12000)
    assert buffer.start == 12000


def test_a_recording_keeps_only_so_much_of_what_was_sent():
    buffer = ReplayBuffer(LINE)
    size = LINE.bytes_in(MOST_KEPT_MS)
    buffer.append(bytes(3 * size))
    buffer.forget(0, size)
    assert buffer.start == 0
    buffer.forget(0, 2 * size)
    assert buffer.start == size
