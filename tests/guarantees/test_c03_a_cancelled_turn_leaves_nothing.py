"""C03: a cancelled turn leaves no task, stream or generator behind, wherever it is when it is cancelled."""

import gc
import warnings
import weakref
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve
from garbage import left_to_the_collector, ours

from voicepipe.calls.events import CallEnded
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.components.requests import Dtmf
from voicepipe.config.call_settings import LimitsSettings
from voicepipe.errors import ComponentError
from voicepipe.testing.buffering_transport import BufferingTransport
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import MemoryTransport

LONG = "This is a reply that goes on and on, and has no end for a long time. " * 4
PATIENT = LimitsSettings(idle_prompt_s=60)


def tasks_of(call):
    """How many tasks the call has."""
    return len(call._nursery.child_tasks)


def answers(request):
    """A model that pauses before, within and after its text: a cancellation may find it anywhere."""
    del request
    return [0.3, TextDelta(LONG[:69]), 0.3, TextDelta(LONG[69:]), 0.3, ReplyDone()]


@pytest.mark.parametrize("key_at_s", [0.0, 0.1, 0.3, 0.35, 0.6, 0.75, 0.9, 1.0, 3.0, 15.0])
async def test_wherever_the_turn_is(autojump_clock, key_at_s):
    """A key interrupts at any moment: before the model has answered, while it does, while only playout goes on."""
    call = RehearsedCall(llm=ScriptedLanguageModel(answers), settings={"greeting": "Hi.", "limits": PATIENT})
    counts = []

    async def caller():
        await call.transport.be_silent(1000)
        counts.append(tasks_of(call.call))
        for digit in "123":
            await call.transport.press(digit)
            await call.transport.be_silent(int(key_at_s * 1000))
            await trio.testing.wait_all_tasks_blocked()
            assert call.llm.open_streams <= 1
            assert call.tts.open_streams <= 1
        assert tasks_of(call.call) - counts[0] == 1  # the reply that is on; not those that were
        await call.transport.be_silent(25_000)
        counts.append(tasks_of(call.call))
        assert (call.llm.open_streams, call.tts.open_streams) == (0, 0)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert counts[0] == counts[1]
    assert (call.stt.open_streams, call.llm.open_streams, call.tts.open_streams) == (0, 0, 0)
    assert [turn.heard for turn in call.turns] == ["", "1", "2", "3"]


@pytest.mark.parametrize("at_s", [0.0, 0.1, 0.35, 0.75, 1.0, 3.0])
async def test_however_the_call_ends(autojump_clock, at_s):
    call = RehearsedCall(llm=ScriptedLanguageModel(answers))
    before = trio.lowlevel.current_statistics().tasks_living

    async def caller():
        await call.transport.be_silent(int(at_s * 1000))
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert trio.lowlevel.current_statistics().tasks_living == before
    assert (call.stt.open_streams, call.llm.open_streams, call.tts.open_streams) == (0, 0, 0)


async def interrupt_thrice(call):
    """Speaks into three replies."""
    for _ in range(3):
        await call.transport.be_silent(2000)
        await call.transport.say(600)


async def test_no_generator_is_left_to_the_collector(autojump_clock):
    call = RehearsedCall(stt=ScriptedSpeechToText(["wait", "stop", "no"]), llm=ScriptedLanguageModel(answers))

    async def caller():
        await interrupt_thrice(call)
        await call.transport.hang_up_as_caller()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await call.hold(caller)
        gc.collect()
    assert [turn.interrupted for turn in call.turns] == [True] * 3


@pytest.mark.parametrize("transport", [MemoryTransport, BufferingTransport])
async def test_nothing_at_all_is_left_to_the_collector(autojump_clock, transport):
    """Else it would be busy with what calls leave behind, while others wait for a frame."""
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["wait", "stop", "no"]), llm=ScriptedLanguageModel(answers), transport=transport()
    )

    async def caller():
        await interrupt_thrice(call)
        await call.transport.be_silent(9000)
        await call.transport.hang_up_as_caller()

    with left_to_the_collector() as left:
        await call.hold(caller)
        held = weakref.ref(call.call)
        call.call = None
        await trio.testing.wait_all_tasks_blocked()
        assert held() is None
    assert ours(left) == []
    assert [turn.interrupted for turn in call.turns[:-1]] == [True] * 3


async def test_a_key_at_the_end_of_a_reply_is_answered_like_any_other(autojump_clock):
    """The reply that is dropped had only to be heard yet: its end must not be taken for the next one's."""
    call = RehearsedCall(settings={"greeting": "Good morning, and welcome."})
    states = []

    async def caller():
        await call.transport.be_silent(1000)  # the greeting is made, and not heard to its end
        await call.transport.press("1")
        await call.transport.be_silent(100)
        states.append(call.call._turns.phase)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert states == ["speaking"]
    assert call.conversation[1:] == [("1", "I see.")]


async def test_a_reply_that_was_dropped_while_it_ended_does_not_hang_up(autojump_clock):
    """The model has called `hang_up`, but the caller spoke before the goodbye was over."""

    def answer(request):
        if len(request.messages) < 2:
            return [TextDelta("Thank you for calling, goodbye."), ToolCall("1", "hang_up"), ReplyDone()]
        return "Yes?"

    call = RehearsedCall(stt=ScriptedSpeechToText(["one more thing"]), llm=ScriptedLanguageModel(answer))

    async def caller():
        await call.transport.be_silent(700)
        await call.transport.say(800)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    assert call.conversation[1] == ("one more thing", "Yes?")


async def test_a_retracted_reply_commits_nothing(autojump_clock):
    """Nobody has heard it: what it wanted to be remembered is forgotten with it."""
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["book a table", "for two"]),
        llm=ScriptedLanguageModel(lambda request: [TextDelta("Done."), ReplyDone(state=(request.state or 0) + 1)]),
        settings={"greeting": ""},
    )

    async def caller():
        await call.transport.be_silent(500)
        call.transport.block()  # so that the reply is made, but not heard
        await call.transport.say(800)
        await call.transport.be_silent(900)
        await call.transport.say(600)
        call.transport.unblock()
        await call.transport.be_silent(2000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert [request.state for request in call.llm.requests] == [None, None]
    assert call.llm.requests[1].messages[-1].text == "book a table for two"


class Complaining(ToneTextToSpeech):
    """A synthesiser that takes being interrupted for an error."""

    def open_stream(self, output, language):
        return _Complaint(super().open_stream(output, language))


class _Complaint:
    def __init__(self, stream):
        self._stream = stream

    async def __aenter__(self):
        return await self._stream.__aenter__()

    async def __aexit__(self, kind, error, traceback):
        await self._stream.__aexit__(kind, error, traceback)
        if error is not None:
            raise ComponentError("was interrupted")


async def test_what_a_component_says_about_being_cancelled_is_not_a_failure(autojump_clock):
    call = RehearsedCall(tts=Complaining(), llm=ScriptedLanguageModel(answers), settings={"greeting": LONG * 3})

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.press("1")
        await call.transport.be_silent(1000)
        await call.transport.press("2")
        await call.transport.be_silent(1000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert ended == evolve(call.told(CallEnded)[0], outcome="caller_hung_up")
    assert [turn.heard for turn in call.turns] == ["", "1", "2"]


class Lingering(ToneTextToSpeech):
    """A synthesiser that takes half a second to leave."""

    @asynccontextmanager
    async def open_stream(self, output, language):
        async with super().open_stream(output, language) as stream:
            try:
                yield stream
            finally:
                await trio.sleep(0.5)


async def test_a_turn_that_failed_when_it_was_cancelled_is_not_apologised_for(autojump_clock):
    """The model breaks off; before anybody has noticed, the caller has pressed a key, and that is answered."""

    def answer(request):
        return "Very well." if isinstance(request.trigger, Dtmf) else [TextDelta("One moment. "), 0.5]

    call = RehearsedCall(tts=Lingering(), llm=ScriptedLanguageModel(answer))

    async def caller():
        await call.transport.be_silent(700)
        await call.transport.press("1")
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    assert call.conversation == [("", "One moment."), ("1", "Very well.")]
