"""What the page Now shows of calls and components: as much of their words as the logging settings of a set allow."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.pages.now_content import MAX_WORDS, LastWords, last_reload, shown_words
from reference_engine.reports.latencies import KEPT, Latencies
from reference_engine.reports.reload_history import PastReload
from reference_engine.reports.sessions import SessionStore
from voicepipe import (
    CallBegan,
    CallEnded,
    CallInfo,
    ComponentLabel,
    FailedOver,
    LoggingSettings,
    ReplyContinued,
    Timings,
    Transcribed,
    TurnEnded,
)


def label(name):
    return ComponentLabel(name=name, adapter=name, model=None)


INFO = CallInfo(call_id="a", caller="+4930123", variables={"customer": "Ada Lovelace"})
BEGAN = CallBegan("a", 0.0, INFO, "main", 1, "0" * 64, "default", label("ears"), label("model"), label("voice"))

NO_TIMINGS = Timings()


def turn(heard="", said="", *, pressed=(), trigger="utterance", timings=NO_TIMINGS):
    return TurnEnded("a", 1.0, 1, trigger, heard, said, False, None, timings, pressed=pressed)


NO_MASK = Mask(KnownValues(INFO), ())


@pytest.mark.parametrize(
    ("event", "transcripts", "shown"),
    [
        (Transcribed("a", 1.0, "I would like", final=False), "full", LastWords("caller", "I would like", True)),
        (Transcribed("a", 1.0, "a table", final=True), "full", LastWords("caller", "a table", False)),
        (ReplyContinued("a", 1.0, 1, "For how\nmany?"), "full", LastWords("agent", "For how many?", True)),
        (turn("two", "At what time?"), "full", LastWords("agent", "At what time?", False)),
        (turn("my pin is 1234"), "full", LastWords("caller", "my pin is 1234", False)),
        (turn("my pin is 1234"), "redacted", LastWords("caller", "my pin is ***", False)),
        (turn("1234", pressed=((0, 4),)), "full", LastWords("caller", "****", False)),
        (turn("two", "Fine."), "off", None),
        (turn(), "full", None),
    ],
)
def test_last_words(event, transcripts, shown):
    assert shown_words(event, LoggingSettings(transcripts=transcripts), NO_MASK) == shown


def test_masked_values_and_the_beginning_of_long_words_are_left_out():
    settings = LoggingSettings(transcripts="full", mask=("variables.customer",))
    mask = Mask(KnownValues(INFO), settings.mask)
    assert shown_words(turn("", "Hello Ada Lovelace!"), settings, mask).text == "Hello ***!"
    long = shown_words(turn("", "word " * 100 + "end"), settings, mask)
    assert long.text.endswith("word end")
    assert len(long.text) == MAX_WORDS + 1


def test_the_store_has_the_last_event_with_words_until_the_call_ends():
    store = SessionStore()
    store.observe(Transcribed("a", 0.0, "early", final=True))
    assert store.last_words("a") is None
    for event in (BEGAN, Transcribed("a", 1.0, "hello", final=True), FailedOver("a", 2.0, "stt", "retry", "ears")):
        store.observe(event)
    assert store.last_words("a").text == "hello"
    store.observe(CallEnded("a", 3.0, "caller_hung_up", 1))
    assert store.last_words("a") is None


@pytest.mark.parametrize(
    ("outcomes", "last"),
    [
        ([], None),
        ([("unchanged", "acme"), ("rejected", "main"), ("applied", "main")], 1),
        ([("applied", "main"), ("rejected", "main"), ("unchanged", "acme")], 0),
        ([("unchanged", "acme"), ("applied", "main"), ("rejected", "main")], 0),
    ],
)
def test_a_set_that_was_rejected_last_is_the_outcome_that_matters(outcomes, last):
    past = [PastReload(outcome, what, "control", datetime(2026, 12, 1, tzinfo=UTC), "") for outcome, what in outcomes]
    assert last_reload(past) is (None if last is None else past[last])


def test_latencies_are_of_the_component_in_use():
    latencies = Latencies()
    latencies.observe(BEGAN)
    latencies.observe(turn("hi", timings=Timings(final_ms=100, asked_ms=150, first_token_ms=350, first_audio_ms=400)))
    latencies.observe(FailedOver("a", 2.0, "llm", "alternate", "spare"))
    latencies.observe(turn("hi", timings=Timings(final_ms=300, asked_ms=300, first_token_ms=900, first_audio_ms=890)))
    latencies.observe(turn("hi", trigger="dtmf", timings=Timings(final_ms=9000)))
    ears = latencies.of("main", "stt", "ears")
    assert (ears.median_ms, ears.turns) == (200, 2)
    assert latencies.of("main", "llm", "model").median_ms == 200
    assert latencies.of("main", "llm", "spare").p95_ms == 600
    assert latencies.of("main", "tts", "voice").turns == 2
    assert latencies.of("main", "tts", "another") is None
    latencies.observe(CallEnded("a", 3.0, "caller_hung_up", 1))
    latencies.observe(turn("hi", timings=Timings(final_ms=9000)))
    assert latencies.of("main", "stt", "ears").turns == 2
    latencies.observe(BEGAN)
    for _ in range(KEPT + 5):
        latencies.observe(turn("hi", timings=Timings(final_ms=1)))
    assert latencies.of("main", "stt", "ears").turns == KEPT
