"""Speaking over a reply, by whole calls in memory: what pauses it, what ends it, and what is heard of it."""

from contextlib import asynccontextmanager
from itertools import pairwise

import numpy as np
import pytest
import trio
from attrs import evolve

from voicepipe.calls.events import ReplyResumed, ReplyStarted, SpeechDetected, TurnEnded
from voicepipe.components.events import SpeechAudio, Transcript
from voicepipe.components.requests import Message, Silence
from voicepipe.config.call_settings import BargeInSettings, LimitsSettings, TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech

REPLY = "This is the first sentence of it. Here is a second one. And a third one ends it."
MS_A_CHAR = 40
REPLY_MS = (len(REPLY) - 2) * MS_A_CHAR
"""Between sentences there is no space to speak."""
DETECTED_MS = 160


class CountingTextToSpeech(ToneTextToSpeech):
    """Every sample that it ever makes is one more than the last, so that none can be lost or doubled unseen."""

    count = 0
    delay_s = 0.0

    @asynccontextmanager
    async def open_stream(self, output, language):
        async with super().open_stream(output, language) as stream:
            yield _Counting(self, stream)


class _Counting:
    def __init__(self, owner, stream):
        self._owner, self._stream = owner, stream
        self.send, self.finish = stream.send, stream.finish

    async def receive(self):
        event = await self._stream.receive()
        if not isinstance(event, SpeechAudio):
            return event
        await trio.sleep(self._owner.delay_s)
        self._owner.delay_s = 0
        began, samples = self._owner.count, len(event.audio) // 2
        self._owner.count += samples
        counted = (np.arange(began, began + samples) % 30_000 + 1).astype("<i2").tobytes()
        return SpeechAudio(counted, event.segment)


def numbers(audio):
    """The samples of the agent, in order, without the silence that fills the last frame of a reply."""
    samples = np.frombuffer(audio, "<i2")
    return samples[samples != 0].tolist()


def counted(samples):
    return (np.arange(samples) % 30_000 + 1).tolist()


class GuessesThenNothing:
    """Recognises half a word, and makes nothing of it in the end."""

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    async def receive(self):
        event = await self._stream.receive()
        return evolve(event, text="") if isinstance(event, Transcript) and event.final else event


class WithoutPartials(ScriptedSpeechToText):
    """Says nothing before it is asked."""

    final_takes_s = 0.0

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        async with super().open_stream(stream_input, listen) as stream:
            yield _Finals(stream, self.final_takes_s)


class _Finals:
    def __init__(self, stream, takes_s):
        self._stream, self._takes_s = stream, takes_s
        self.send, self.end_utterance, self.listen_for = stream.send, stream.end_utterance, stream.listen_for
        self._late = None

    async def receive(self):
        while self._late is None:
            event = await self._stream.receive()
            if not isinstance(event, Transcript) or event.final:
                self._late = event
        await trio.sleep(self._takes_s)
        event, self._late = self._late, None
        return event


def rehearsed(*words, stt=ScriptedSpeechToText, barge_in=None, **settings):
    """A call whose first reply is long, and all others short.

    Its reply is a count and no voice, many times as loud as the caller: nothing to compare what comes in with.
    """
    turns = TurnsSettings(barge_in=BargeInSettings(**barge_in or {}), echo_guard=False)
    return RehearsedCall(
        stt=stt(words),
        llm=ScriptedLanguageModel(lambda request: REPLY if len(request.messages) < 2 else "All right."),
        tts=CountingTextToSpeech(ms_a_char=MS_A_CHAR),
        settings={"turns": turns, "limits": LimitsSettings(idle_prompt_s=100), **settings},
    )


def caller(call, *parts):
    """Somebody who is silent, speaks, is silent, ... for so many ms each, then hangs up."""

    async def behave():
        for number, ms in enumerate(parts):
            for piece in [1000] * (ms // 1000) + [ms % 1000]:
                await (call.transport.say(piece) if number % 2 else call.transport.be_silent(piece))
        await call.transport.hang_up_as_caller()

    return behave


def pauses(call):
    """Where nothing was written although the reply had not ended: (from, to) in ms."""
    times = [when * 1000 for when, _ in call.transport.written]
    return [(round(before), round(after)) for before, after in pairwise(times) if after - before > 60]


# The pause falls anywhere in the reply, its first and its last frame and the end of a sentence included.
OFFSETS = [20, 107, 333, 1000, 1121, 1760, 2003, *(REPLY_MS - DETECTED_MS - before for before in (90, 60, 40, 21, 20))]


@pytest.mark.parametrize("offset_ms", OFFSETS)
@pytest.mark.parametrize("words", [(), ("uh-huh",)], ids=["noise", "backchannel"])
@pytest.mark.parametrize("stt", [ScriptedSpeechToText, WithoutPartials])
async def test_a_reply_resumes_exactly_where_it_stopped(autojump_clock, offset_ms, words, stt):
    call = rehearsed(*words, stt=stt)
    await call.hold(caller(call, offset_ms, 500, 6000))
    turn, *unanswered = call.turns
    assert (turn.said, turn.interrupted) == (REPLY, False)
    assert [(late.heard, late.said) for late in unanswered] == [(word, "") for word in words]
    assert numbers(call.transport.said) == counted(8 * REPLY_MS)
    (detected,) = call.told(SpeechDetected)
    (resumed,) = call.told(ReplyResumed)
    assert detected.interrupts
    assert resumed.turn == 1
    late = [when for when, _ in call.transport.written if detected.at_s < when < resumed.at_s]
    assert late == []
    # 500 ms of sound, 200 ms of silence that end it, and then the recogniser is asked.
    assert resumed.at_s - offset_ms / 1000 == pytest.approx(0.7, abs=0.06)
    assert call.llm.requests[1:] == []


async def test_a_reply_resumes_as_often_as_it_must(autojump_clock):
    call = rehearsed()
    await call.hold(caller(call, 300, 400, 800, 300, 1000, 700, 6000))
    assert len(call.told(ReplyResumed)) == 3
    assert len(pauses(call)) == 3
    assert numbers(call.transport.said) == counted(8 * REPLY_MS)


async def test_a_sign_of_listening_is_an_answer_when_nothing_is_said(autojump_clock):
    call = rehearsed("uh-huh", greeting="Shall I go on?")
    await call.hold(caller(call, 1500, 400, 6000))
    assert call.conversation == [("", "Shall I go on?"), ("uh-huh", "All right.")]


@pytest.mark.parametrize("stt", [ScriptedSpeechToText, WithoutPartials])
async def test_words_end_a_reply(autojump_clock, stt):
    call = rehearsed("no wait", stt=stt)
    await call.hold(caller(call, 1000, 600, 4000))
    first, second = call.turns
    assert first.interrupted
    assert REPLY.startswith(first.said)
    assert (second.heard, second.said) == ("no wait", "All right.")
    assert call.told(ReplyResumed) == []
    heard = numbers(call.transport.said)
    of_first = sum(when < call.told(ReplyStarted)[1].at_s for when, _ in call.transport.written) * 160
    assert heard[:of_first] == counted(of_first)


async def test_somebody_who_speaks_at_length_is_asked_about_before_the_end(autojump_clock):
    """Without partials nobody knows whether it is words; the reply neither goes on over them nor waits for ever."""
    call = rehearsed("I want something else", stt=WithoutPartials)
    await call.hold(caller(call, 1000, 5000, 4000))
    assert call.turns[0].interrupted
    assert call.turns[0].at_s == pytest.approx(1 + 0.16 + 1.2, abs=0.1)
    assert call.conversation[1] == ("I want something else", "All right.")
    assert call.told(ReplyResumed) == []


@pytest.mark.parametrize("stt", [ScriptedSpeechToText, WithoutPartials])
async def test_a_noise_that_never_ends_does_not_keep_the_reply(autojump_clock, stt):
    call = rehearsed(stt=stt)
    await call.hold(caller(call, 1000, 9000))
    assert call.turns[0].said == REPLY
    assert call.told(ReplyResumed)
    assert numbers(call.transport.said) == counted(8 * REPLY_MS)


@pytest.mark.parametrize("stt", [ScriptedSpeechToText, WithoutPartials])
async def test_a_noise_that_never_ends_does_not_keep_the_call(autojump_clock, stt):
    limits = LimitsSettings(idle_prompt_s=5, idle_prompts=2, goodbye="Bye.")
    call = rehearsed(stt=stt, limits=limits)
    ended = await call.hold(caller(call, 5000, 120_000))
    assert ended.outcome == "idle"
    assert [request.trigger for request in call.llm.requests[1:]] == [Silence(1), Silence(2)]
    assert call.turns[-1].said == "Bye."
    assert ended.at_s < 45


async def test_what_was_said_before_a_noise_is_answered(autojump_clock):
    """A lorry stops beside the caller right after the words, and nothing tells when the turn ends."""
    limits = LimitsSettings(idle_prompt_s=5)
    call = rehearsed("yes", greeting="Shall I?", limits=limits)
    await call.hold(caller(call, 1000, 60_000))
    assert call.conversation[:2] == [("", "Shall I?"), ("yes", "All right.")]
    assert call.turns[1].at_s < 10


async def test_words_that_come_late_still_end_the_reply(autojump_clock):
    """The reply went on when there were none after `resume_ms`."""
    call = rehearsed("no wait", stt=WithoutPartials, barge_in={"resume_ms": 500})
    call.stt.final_takes_s = 0.9
    await call.hold(caller(call, 1000, 400, 4000))
    assert len(call.told(ReplyResumed)) == 1
    assert call.turns[0].interrupted
    assert call.turns[0].at_s == pytest.approx(1 + 0.4 + 0.2 + 0.9, abs=0.1)
    assert call.conversation[1] == ("no wait", "All right.")


async def test_speech_over_a_paused_reply(autojump_clock):
    """A noise first; while the recogniser is being asked the caller says what it was about."""
    call = rehearsed("mm", "no wait", stt=WithoutPartials)
    call.stt.final_takes_s = 0.5
    await call.hold(caller(call, 1000, 400, 400, 600, 4000))
    assert call.turns[0].interrupted
    assert call.conversation[1] == ("mm no wait", "All right.")


@pytest.mark.parametrize("stt", [ScriptedSpeechToText, WithoutPartials])
async def test_few_words_may_be_too_few(autojump_clock, stt):
    call = rehearsed("wait", stt=stt, barge_in={"min_words": 2})
    await call.hold(caller(call, 1000, 400, 6000))
    assert not call.turns[0].interrupted
    assert pauses(call) == [] or pauses(call)[0][0] > REPLY_MS - 100  # but before the answer
    assert call.conversation[1] == ("wait", "All right.")


async def test_enough_words_are_asked_for_where_they_do_not_come_by_themselves(autojump_clock):
    call = rehearsed("no wait", stt=WithoutPartials, barge_in={"min_words": 2})
    await call.hold(caller(call, 1000, 400, 4000))
    assert call.turns[0].interrupted
    assert call.turns[0].at_s == pytest.approx(1 + 0.4 + 0.2, abs=0.1)
    assert call.conversation[1] == ("no wait", "All right.")


async def test_the_beginning_of_a_reply_may_be_protected(autojump_clock):
    call = rehearsed("no wait", barge_in={"protect_ms": 800})
    await call.hold(caller(call, 200, 1000, 4000))
    assert call.turns[0].interrupted
    assert call.turns[0].at_s == pytest.approx(0.8, abs=0.03)
    call = rehearsed("no wait", barge_in={"protect_ms": 800})
    await call.hold(caller(call, 200, 400, 6000))  # over before it counts
    assert not call.turns[0].interrupted
    assert call.conversation[1] == ("no wait", "All right.")


async def test_a_reply_may_not_be_interrupted_at_all(autojump_clock):
    call = rehearsed("no wait", barge_in={"enabled": False})
    await call.hold(caller(call, 1000, 600, 6000))
    assert call.turns[0].said == REPLY
    assert numbers(call.transport.said)[: 8 * REPLY_MS] == counted(8 * REPLY_MS)
    assert [gap for gap in pauses(call) if gap[0] < REPLY_MS - 100] == []
    assert call.conversation[1] == ("no wait", "All right.")


async def test_speech_alone_may_end_a_reply(autojump_clock):
    call = rehearsed(barge_in={"resume_ms": 0})
    await call.hold(caller(call, 1000, 400, 4000))
    assert call.turns[0].interrupted
    assert call.turns[0].at_s == pytest.approx(1.16, abs=0.05)
    assert call.told(ReplyResumed) == []
    of_first = sum(when < call.told(ReplyStarted)[1].at_s for when, _ in call.transport.written) * 160
    assert numbers(call.transport.said)[:of_first] == counted(of_first)


@pytest.mark.parametrize("barge_in", [{"resume_ms": 0}, {}])
async def test_a_noise_with_half_a_word_is_followed_by_a_question_not_by_silence(autojump_clock, barge_in):
    """A guess ended the reply, or speech alone did, and there were no words: the caller waits for the rest."""

    class TakesItBack(ScriptedSpeechToText):
        @asynccontextmanager
        async def open_stream(self, stream_input, listen):
            async with super().open_stream(stream_input, listen) as stream:
                yield GuessesThenNothing(stream)

    call = rehearsed("st", stt=TakesItBack, barge_in=barge_in)
    await call.hold(caller(call, 1000, 300, 4000))
    first, second = call.turns
    assert first.interrupted
    assert second.trigger == "silence"
    assert call.told(ReplyStarted)[1].at_s - first.at_s < 1.5  # once the silence that ends a turn has passed


async def test_the_greeting_can_be_interrupted(autojump_clock):
    call = rehearsed("I know", greeting=REPLY)
    await call.hold(caller(call, 1000, 600, 4000))
    greeting = call.turns[0]
    assert greeting.interrupted
    assert call.llm.requests[0].messages == (
        Message("agent", greeting.said, interrupted=True),
        Message("caller", "I know"),
    )


@pytest.mark.parametrize("offset_ms", [0, 300, 700, 850])
async def test_who_speaks_before_the_greeting_does_not_cancel_it(autojump_clock, offset_ms):
    call = rehearsed("hello", greeting="Good morning. How can I help you today?")
    call.tts.delay_s = 1.0
    await call.hold(caller(call, offset_ms, 300, 6000))
    greeting, answer = call.turns
    assert (greeting.said, greeting.interrupted) == ("Good morning. How can I help you today?", False)
    assert (answer.heard, answer.said) == ("hello", "All right.")
    assert call.told(ReplyStarted)[0].at_s == pytest.approx(1.0, abs=0.02)


async def test_who_speaks_on_into_the_greeting_interrupts_it(autojump_clock):
    call = rehearsed("good morning I have a question", greeting=REPLY)
    call.tts.delay_s = 1.0
    await call.hold(caller(call, 300, 2500, 4000))
    assert call.turns[0].interrupted
    assert call.turns[0].at_s == pytest.approx(1.5, abs=0.05)  # after time enough to hear it and stop
    assert call.conversation[1] == ("good morning I have a question", "All right.")


async def test_all_turns_are_told_in_order(autojump_clock):
    call = rehearsed("no wait", "thank you")
    await call.hold(caller(call, 1000, 600, 2500, 500, 3000))
    assert [turn.turn for turn in call.told(TurnEnded)] == [1, 2, 3]
    assert [turn.heard for turn in call.turns] == ["", "no wait", "thank you"]
