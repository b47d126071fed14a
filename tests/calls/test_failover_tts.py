"""A voice that goes wrong in a call: the next one goes on where it was not heard any more, and says nothing twice."""

from __future__ import annotations

import pytest
import trio
from flaky import FlakyLlm, FlakyStt, FlakyTts, Telephone, Trouble

from voicepipe.audio import AudioFormat
from voicepipe.calls.events import ComponentFailed, FailedOver
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.config.call_settings import BudgetsSettings, LimitsSettings, OnFailure, TextToSpeechBudgets, TransferTo
from voicepipe.errors import ComponentError
from voicepipe.pipelines.snapshot import CachedSpeech
from voicepipe.testing.calls import RehearsedCall

BUDGETS = BudgetsSettings(tts=TextToSpeechBudgets(connect_ms=900, first_audio_ms=700, gap_ms=500))
REFUSED = ComponentError("refused with status 401", retryable=False)
BUSY = ComponentError("refused with status 429", retry_after_s=60)
TWO = "the first sentence. the second one."
LETTER_S = 0.06
APOLOGY = CachedSpeech("sorry.", b"\x10\x20" * 4800, AudioFormat(8000))


def call_with(*voices, text=TWO, audio=None, **settings):
    settings = {"greeting": text, "budgets": BUDGETS, "on_failure": OnFailure(say="sorry.", retries=0), **settings}
    return RehearsedCall(
        stt=FlakyStt([f"question {number}" for number in range(1, 9)]),
        tts=list(voices),
        transport=Telephone(audio),
        settings=settings,
    )


def voice(*troubles, **options):
    return FlakyTts([*troubles, *[Trouble("open", error=BUSY)] * 9], **options)


def other(**options):
    return FlakyTts(second=True, **options)


async def listen(call, ms=4500):
    async def caller():
        await call.transport.be_silent(ms)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller)


def rungs(call):
    return [(over.rung, over.component) for over in call.told(FailedOver)]


BEFORE = {
    "refuses": Trouble("open", error=REFUSED),
    "asks to be left alone": Trouble("open", error=BUSY),
    "hangs": Trouble("hang"),
    "breaks": Trouble("fail"),
    "ends": Trouble("end"),
    "stalls": Trouble("stall"),
}


@pytest.mark.parametrize("name", BEFORE)
async def test_before_any_audio_the_other_voice_says_it_all(autojump_clock, name):
    call = call_with(voice(BEFORE[name]), other())
    await listen(call)
    assert call.transport.heard == TWO.upper()
    assert rungs(call) == [("alternate", "test_tts_2")]
    assert call.conversation == [("", TWO)]


@pytest.mark.parametrize("name", BEFORE)
async def test_it_is_heard_within_the_budget(autojump_clock, name):
    call = call_with(voice(BEFORE[name]), other())
    await listen(call)
    late = {"hangs": BUDGETS.tts.connect_ms, "stalls": BUDGETS.tts.first_audio_ms}.get(name, 0) / 1000
    assert call.transport.written[0][0] == pytest.approx(late, abs=0.05)


WAYS = ["fail", "stall"]


def reply_of(call, text):
    """Has the model speak first, so that each sentence is a piece of its own."""
    call.settings["greeting"] = None
    call.llm = FlakyLlm([text])
    return call


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("letters", [20, 25, 33])
async def test_a_sentence_that_was_made_but_not_heard_is_taken_back(autojump_clock, way, letters):
    """A voice is made faster than it is heard: the sentence that it breaks off in has not begun to be heard."""
    call = reply_of(call_with(voice(Trouble(way, letters * 60)), other()), TWO)
    await listen(call)
    assert call.transport.heard == "the first sentence." + "the second one.".upper()
    assert rungs(call) == [("alternate", "test_tts_2")]
    assert call.conversation == [("", TWO)]
    assert call.transport.gaps == []


async def test_a_voice_that_ends_before_its_last_sentence_has_failed(autojump_clock):
    call = reply_of(call_with(voice(Trouble("end", 19 * 60)), other()), TWO)
    await listen(call)
    assert call.transport.heard == "the first sentence." + "the second one.".upper()


@pytest.mark.parametrize("marks", [True, False], ids=["with marks", "without"])
@pytest.mark.parametrize("letters", range(1, 33, 5))
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("pace", [0.0, LETTER_S], ids=["ahead", "just in time"])
async def test_what_is_being_heard_is_cut_between_words(autojump_clock, way, letters, marks, pace):
    """What there is of a sentence is heard, and the other voice goes on with the next word."""
    text = "one two three four, five six seven."
    call = call_with(voice(Trouble(way, letters * 60), pace=pace, marks=marks), other(), text=text)
    await listen(call)
    heard = call.transport.heard
    assert heard[:letters] == text[:letters]
    rest = heard[letters:]
    assert text.endswith(rest.lower())
    assert rest == rest.upper()
    cut = len(text) - len(rest)
    assert cut == len(text) or text[: cut + 1].endswith(tuple(" otf5")) or text[cut - 1] == " " or cut == 0
    assert abs(cut - letters) <= (3 if marks else 5)  # half a word, and what the pace is guessed wrong by
    assert rungs(call) == [("alternate", "test_tts_2")]


async def test_of_several_sentences_those_that_were_heard_are_not_said_again(autojump_clock):
    text = "the first sentence. the second sentence. the third sentence. the fourth one."
    call = reply_of(call_with(voice(Trouble("fail", 45 * 60), pace=0.03), other()), text)
    await listen(call, 9000)
    assert call.transport.heard == "the first sentence.the second sentence.THE THIRD SENTENCE.THE FOURTH ONE."


@pytest.mark.parametrize(
    ("line", "rate"),
    [(AudioFormat(8000), 16000), (AudioFormat(16000), 8000), (AudioFormat(8000), 22050)],
    ids=str,
)
async def test_voices_in_a_list_may_speak_at_other_rates(autojump_clock, line, rate):
    call = reply_of(call_with(voice(Trouble("fail", 19 * 60)), other(rate=rate), audio=line), TWO)
    await listen(call)
    assert call.transport.heard == "the first sentence." + "the second one.".upper()


async def test_speech_that_drips_is_a_stall_too(autojump_clock):
    """No gap is long, but the caller waits more than listens."""
    text = "one two three four, five six seven, eight nine ten."
    first = FlakyTts(pace=3 * LETTER_S)
    call = call_with(first, other(), text=text)
    await listen(call, 9000)
    heard = call.transport.heard
    assert rungs(call) == [("alternate", "test_tts_2")]
    message = call.told(ComponentFailed)[0].error.message
    assert message == "audio stalled for 500 ms in mid-sentence (budgets.tts.gap_ms)"
    assert heard.endswith("FIVE SIX SEVEN, EIGHT NINE TEN.")


async def test_a_voice_that_is_only_just_in_time_is_none(autojump_clock):
    call = call_with(FlakyTts(pace=LETTER_S * 1.1), other())
    await listen(call)
    assert call.transport.heard == TWO
    assert rungs(call) == []


async def test_three_voices_for_one_reply(autojump_clock):
    text = "the first sentence. the second sentence. the third sentence."
    voices = voice(Trouble("fail", 19 * 60)), voice(Trouble("fail", 21 * 60), second=True), FlakyTts()
    call = reply_of(call_with(*voices), text)
    await listen(call)
    assert call.transport.heard == "the first sentence.THE SECOND SENTENCE.the third sentence."
    assert rungs(call) == [("alternate", "test_tts_2"), ("alternate", "test_tts_3")]


async def test_a_model_that_still_writes_is_not_disturbed(autojump_clock):
    texts = [TextDelta(text) for text in ("the first sentence. ", "the second one. ", "third.")]
    pieces = [texts[0], 1.5, texts[1], 1.5, texts[2], ReplyDone()]
    first, second = voice(Trouble("fail", 18 * 60)), other()
    call = call_with(first, second, greeting=None)
    call.llm = llm = FlakyLlm([pieces])
    await listen(call)
    assert call.transport.heard.replace(" ", "") == "thefirstsentence" + "THESECONDONE.THIRD."
    assert len(llm.requests) == 1


async def test_one_that_breaks_once_is_tried_again(autojump_clock):
    first = FlakyTts([Trouble("fail", 21 * 60)])
    call = reply_of(call_with(first, other(), on_failure=OnFailure(retries=1)), TWO)
    await listen(call)
    assert call.transport.heard == "the first sentence.the second one."
    assert rungs(call) == [("retry", "test_tts")]
    assert first.texts == ["the first sentence.", "the second one.", "the second one."]


async def test_barge_in_during_a_failover_is_heeded(autojump_clock):
    """The other voice is being waited for, and the caller speaks: nothing of the reply is heard any more."""
    slow = FlakyTts([Trouble("hang"), None], second=True)
    patient = BudgetsSettings(tts=TextToSpeechBudgets(connect_ms=8000))
    call = reply_of(call_with(voice(Trouble("fail", 19 * 60), pace=LETTER_S), slow, budgets=patient), TWO)

    async def caller():
        phone = call.transport
        await phone.be_silent(1400)  # the first voice is gone, the second one does not come
        await phone.say(700)
        await phone.be_silent(4000)
        await phone.hang_up_as_caller()

    await call.hold(caller)
    assert call.transport.heard == "the first sentence." + TWO.upper().replace(". ", ".")
    assert [(turn.said, turn.interrupted) for turn in call.turns] == [("the first sentence.", True), (TWO, False)]


async def test_the_next_reply_is_spoken_by_the_preferred_voice_again(autojump_clock):
    call = call_with(FlakyTts([Trouble("stall")]), other(), text="good morning.")

    async def caller():
        await call.transport.be_silent(2500)
        await call.transport.say(600)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.transport.heard == "GOOD MORNING.i see."


async def test_a_goodbye_too(autojump_clock):
    call = call_with(
        FlakyTts([None, Trouble("fail", 240)]),
        other(),
        text="good morning.",
        limits=LimitsSettings(max_call_minutes=0.05, goodbye="bye now."),
    )
    ended = await listen(call, 9000)
    assert ended.outcome == "max_length"
    assert call.transport.heard == "good morning.bye NOW."


# --- When no voice is left ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("then", "outcome"),
    [("dialplan", "returned_to_dialplan"), ("hang_up", "failed"), (TransferTo("100"), "transfer_requested")],
)
async def test_the_recorded_apology_is_heard_and_then_what_is_configured(autojump_clock, then, outcome):
    call = call_with(
        voice(Trouble("fail", 19 * 60, BUSY), pace=LETTER_S),
        voice(Trouble("open", error=REFUSED), second=True),
        on_failure=OnFailure(say="sorry.", then=then, retries=0),
        apology=APOLOGY,
    )
    ended = await listen(call)
    assert ended.outcome == outcome
    assert call.transport.said.endswith(APOLOGY.audio)
    assert call.transport.said.count(APOLOGY.audio) == 1
    assert rungs(call) == [("alternate", "test_tts_2"), ("apology", "")]
    assert [event.error.component for event in call.told(ComponentFailed)] == ["test_tts", "test_tts_2"]
    assert call.conversation == [("", "the first sentence."), ("", "sorry.")]
    assert max(call.transport.gaps, default=0) < 0.5


async def test_an_apology_of_another_format_is_converted(autojump_clock):
    call = call_with(voice(Trouble("open", error=REFUSED)), audio=AudioFormat(16000, "pcm16"), apology=APOLOGY)
    await listen(call)
    assert len(call.transport.said) == pytest.approx(2 * len(APOLOGY.audio), abs=640)


async def test_voices_that_are_left_alone_are_not_waited_for(autojump_clock):
    """Another call's failures count: the greeting comes at once, in the other voice."""
    call = call_with(FlakyTts([Trouble("hang")] * 9), other(), text="good morning.", greeting="")

    async def caller():
        call.call._parts.replies._speaker.voices._opened[0].breaker.open(BUSY, trio.current_time())
        await call.transport.say(600)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    call.settings["greeting"] = ""
    call.tts[0].troubles.clear()
    await call.hold(caller)
    assert call.transport.heard == "I SEE."
    assert call.transport.heard_from(0.6) - 0.6 == pytest.approx(0.6, abs=0.1)
