"""C02: no audio of a cancelled turn is written once speech is detected, and what was not heard is forgotten."""

import pytest
import trio

from voicepipe.audio import FRAME_MS
from voicepipe.calls.events import CallEnded, ReplyResumed, ReplyStarted, SpeechDetected, TurnEnded
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import Message
from voicepipe.config.call_settings import BargeInSettings, TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech

REPLY = "This is the first sentence of it. Here is a second one. And a third one ends it."
MS_A_CHAR = 40
SOON = 1e-6


def level_of(frame):
    """The tone of the segment that the frame begins with."""
    return int.from_bytes(frame[:2], "little", signed=True)


def spoken_ms(text):
    """How long the beginning of the reply takes; between sentences there is no space to speak."""
    return (len(text) - text.count(". ")) * MS_A_CHAR


def interrupted_call(offset_ms, min_speech_ms=160, words=("wait a moment",), **settings):
    """A call in which the caller speaks into the first reply, `offset_ms` after it is first heard."""
    turns = TurnsSettings(barge_in=BargeInSettings(min_speech_ms=min_speech_ms, **settings))
    call = RehearsedCall(
        stt=ScriptedSpeechToText(words),
        llm=ScriptedLanguageModel(lambda request: REPLY if len(request.messages) < 2 else "All right."),
        tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR),
        settings={"turns": turns},
    )

    async def caller():
        await call.transport.be_silent(offset_ms)
        await call.transport.say(1000)
        await call.transport.be_silent(3500)
        await call.transport.hang_up_as_caller()

    return call, caller


# Odd numbers of ms too: the reply's frames and the caller's then lie in every position to each other.
@pytest.mark.parametrize("offset_ms", [20, 33, 100, 107, 241, 500, 999, 1307, 1760, 2003, 2450, 2801, 2899])
async def test_nothing_is_written_once_speech_is_detected(autojump_clock, offset_ms):
    call, caller = interrupted_call(offset_ms)
    await call.hold(caller)
    first = call.turns[0]
    detected = call.told(SpeechDetected)[0]
    assert detected.interrupts
    assert first.interrupted
    answer = call.told(ReplyStarted)[1]
    late = [when for when, _ in call.transport.written if detected.at_s < when < answer.at_s]
    assert late == []
    # It was detected as soon as it had lasted as long as configured, in whole frames of the caller's.
    assert 0.16 - SOON <= detected.at_s - offset_ms / 1000 <= 0.16 + 2 * FRAME_MS / 1000


# Noise and signs of listening pause the reply, words end it, and so does any speech if that is configured.
@pytest.mark.parametrize(("words", "settings"), [((), {}), (("uh-huh",), {}), (("no",), {}), ((), {"resume_ms": 0})])
@pytest.mark.parametrize("offset_ms", range(1500, 1520, 3))
async def test_paused_or_cancelled_nothing_is_written_meanwhile(autojump_clock, offset_ms, words, settings):
    call, caller = interrupted_call(offset_ms, words=words, **settings)
    await call.hold(caller)
    detected = call.told(SpeechDetected)[0]
    assert detected.interrupts
    goes_on = [*call.told(ReplyResumed), *call.told(ReplyStarted)[1:]]
    until = goes_on[0].at_s if goes_on else call.told(CallEnded)[0].at_s
    late = [when for when, _ in call.transport.written if detected.at_s + FRAME_MS / 1000 + SOON < when < until]
    assert late == []
    # What was written ahead is all that can still be heard.
    written_s = sum(when <= detected.at_s for when, _ in call.transport.written) * FRAME_MS / 1000
    assert written_s <= detected.at_s + 0.040 + 0.005
    resumes = words != ("no",) and not settings
    assert bool(call.told(ReplyResumed)) == resumes
    assert (call.turns[0].said == REPLY) == resumes


@pytest.mark.parametrize("min_speech_ms", [20, 100, 300])
async def test_how_long_the_caller_must_speak_is_configured(autojump_clock, min_speech_ms):
    call, caller = interrupted_call(1000, min_speech_ms)
    await call.hold(caller)
    after = call.told(SpeechDetected)[0].at_s - 1.0
    assert max(min_speech_ms, 80) / 1000 - SOON <= after <= max(min_speech_ms, 80) / 1000 + 2 * FRAME_MS / 1000


@pytest.mark.parametrize("offset_ms", [100, 500, 1307, 1760, 2450, 2899])
async def test_only_what_was_heard_stays_in_the_conversation(autojump_clock, offset_ms):
    call, caller = interrupted_call(offset_ms)
    await call.hold(caller)
    written_ms = sum(when <= call.turns[0].at_s for when, _ in call.transport.written) * FRAME_MS
    said = call.turns[0].said
    assert REPLY.startswith(said)
    # Whole words only, each of them spoken to its end, and none that was spoken left out.
    assert spoken_ms(said) <= written_ms
    following = REPLY[len(said) :].strip().split(" ")[0]
    assert spoken_ms(f"{said} {following}") > written_ms
    expected = [Message("agent", said, interrupted=True)] if said else []
    assert list(call.llm.requests[1].messages) == [*expected, Message("caller", "wait a moment")]


async def test_the_next_reply_has_nothing_of_the_cancelled_one(autojump_clock):
    call, caller = interrupted_call(1760)  # in the second segment: its tone is another
    await call.hold(caller)
    answer = call.told(ReplyStarted)[1]
    before = {level_of(frame) for when, frame in call.transport.written if when < answer.at_s}
    after = {level_of(frame) for when, frame in call.transport.written if when >= answer.at_s}
    assert (before, after) == ({1000, 1100}, {1000})
    spoken_ms = sum(when >= answer.at_s for when, _ in call.transport.written) * FRAME_MS
    assert spoken_ms == len("All right.") * MS_A_CHAR
    assert call.conversation[1] == ("wait a moment", "All right.")


async def test_the_lead_is_all_that_can_still_be_heard(autojump_clock):
    call, caller = interrupted_call(1000)
    await call.hold(caller)
    written = [when for when, _ in call.transport.written if when <= call.turns[0].at_s]
    assert len(written) * FRAME_MS / 1000 <= call.turns[0].at_s + 0.040 + 0.005


async def test_a_reply_that_may_not_be_interrupted_is_not(autojump_clock):
    call, caller = interrupted_call(500, enabled=False)
    await call.hold(caller)
    assert not call.turns[0].interrupted
    assert call.turns[0].said == REPLY
    assert [event.interrupts for event in call.told(SpeechDetected)] == [False]
    assert call.conversation[1] == ("wait a moment", "All right.")  # and what was said over it is answered


async def test_words_may_be_needed_to_interrupt(autojump_clock):
    call, caller = interrupted_call(500, min_words=1)
    await call.hold(caller)
    assert call.turns[0].interrupted
    assert call.conversation[1] == ("wait a moment", "All right.")
    call, caller = interrupted_call(500, min_words=2)  # the partial of this recogniser has one word
    await call.hold(caller)
    assert not call.turns[0].interrupted


async def test_speech_before_the_reply_is_heard_makes_one_longer_utterance(autojump_clock):
    """The caller paused longer than `end_of_turn_ms`, and goes on before the model has answered."""
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["I want an appointment", "on monday"]),
        llm=ScriptedLanguageModel(lambda _: [1.0, TextDelta("I see."), ReplyDone()]),
        settings={"greeting": "Hi."},
    )

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(800)
        await call.transport.be_silent(900)
        await call.transport.say(800)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.conversation == [("", "Hi."), ("I want an appointment on monday", "I see.")]
    assert call.llm.requests[-1].messages[-1] == Message("caller", "I want an appointment on monday")
    assert [message.role for message in call.llm.requests[-1].messages] == ["agent", "caller"]
    assert [turn.turn for turn in call.told(TurnEnded)] == [1, 2]


async def test_a_slow_synthesiser_does_not_make_more_of_it_heard(autojump_clock):
    """Audio that comes in real time: how much of the text has been spoken can't be read off the audio that came."""
    call, caller = interrupted_call(1000)
    call.tts = DrippingTextToSpeech(ms_a_char=65)
    await call.hold(caller)
    written_ms = sum(when <= call.turns[0].at_s for when, _ in call.transport.written) * FRAME_MS
    assert 0 < len(call.turns[0].said) * 65 <= written_ms + 65


class DrippingTextToSpeech(ToneTextToSpeech):
    """Gives its audio no faster than it sounds."""

    def open_stream(self, output, language):
        return _Dripping(super().open_stream(output, language))


class _Dripping:
    def __init__(self, stream):
        self._stream = stream

    async def __aenter__(self):
        self._inner = await self._stream.__aenter__()
        return self

    async def __aexit__(self, *exc):
        return await self._stream.__aexit__(*exc)

    async def send(self, text, segment):
        await self._inner.send(text, segment)

    async def finish(self):
        await self._inner.finish()

    async def receive(self):
        await trio.sleep(0.065)
        return await self._inner.receive()
