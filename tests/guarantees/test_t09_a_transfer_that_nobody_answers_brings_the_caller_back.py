"""T09: a transfer that nobody answers brings the caller back to the agent, who knows of it and speaks."""

import pytest
import trio

from voicepipe.calls.conversation import RUNNING
from voicepipe.calls.events import CallSteered, TransferEnded, TransferStarted
from voicepipe.calls.record import CallRecorder
from voicepipe.calls.transfers import HAND_BACK_S
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.components.requests import Message, Told, ToolResults
from voicepipe.config.call_settings import KeyAction, LimitsSettings, OnFailure, TransferTo
from voicepipe.errors import ComponentError, TransferFailed
from voicepipe.testing.buffering_transport import BufferingTransport
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.functions import FunctionTool

COMPLETES = frozenset({"transfer", "completes_transfer"})
TO_100 = ToolCall("1", "transfer", {"target": "100"})
BACK = "The transfer to 100 failed: no answer. The caller is back with you."


def connects(request):
    """A model that connects callers, and apologises to those who come back."""
    if isinstance(request.trigger, Told):
        return "Sorry, nobody is there. Anything else?"
    return [TextDelta("I connect you."), TO_100, ReplyDone()]


def transferring(*, rings_s=5.0, fails="no answer", llm=None, can=COMPLETES, stt=("the sales please",), **settings):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(list(stt)),
        llm=ScriptedLanguageModel(llm or connects),
        transport=MemoryTransport(can=can),
        settings={"greeting": "Hello.", "tools": ("transfer", "hang_up"), **settings},
    )
    call.transport.rings_s, call.transport.transfer_fails = rings_s, fails
    return call


def told(call):
    """The request to the model that a failed transfer led to."""
    return next(request for request in call.llm.requests if isinstance(request.trigger, Told))


async def asks(call, *, then_ms=20_000):
    """The caller asks to be connected after the greeting, and hangs up at last."""
    await call.transport.be_silent(1500)
    await call.transport.say(600)
    await call.transport.be_silent(then_ms)
    await call.transport.hang_up_as_caller()


async def test_the_caller_comes_back_and_the_agent_knows(autojump_clock):
    call = transferring()
    ended = await call.hold(lambda: asks(call))
    assert (ended.outcome, call.transport.transferred_to) == ("caller_hung_up", "100")
    assert [turn.said for turn in call.turns][1:3] == ["I connect you.", "Sorry, nobody is there. Anything else?"]
    request = told(call)
    assert request.trigger == Told(BACK, "100")
    assert request.messages[-1] == Message("operator", BACK)
    (ended_transfer,) = call.told(TransferEnded)
    assert (ended_transfer.target, ended_transfer.failure) == ("100", "no answer")
    assert ended_transfer.seconds == pytest.approx(5)


async def test_the_reply_is_heard_to_its_end_first(autojump_clock):
    call = transferring()
    await call.hold(lambda: asks(call))
    (began,) = call.told(TransferStarted)
    (reply,) = (turn for turn in call.turns if turn.said == "I connect you.")
    assert began.at_s >= reply.at_s
    last_frame = max(when for when, _ in call.transport.written if when < began.at_s + 0.5)
    assert last_frame <= began.at_s


async def test_it_is_in_the_record(autojump_clock):
    call = transferring()
    recorder = CallRecorder()
    await call.hold(lambda: asks(call))
    for event in call.events:
        recorder.observe(event)
    (transfer,) = recorder.record.transfers
    assert (transfer.target, transfer.failure) == ("100", "no answer")
    assert "told" in [turn.trigger for turn in recorder.record.turns]


async def test_one_that_somebody_takes_ends_the_call(autojump_clock):
    call = transferring(fails="")
    ended = await call.hold(lambda: asks(call))
    assert (ended.outcome, ended.detail) == ("transferred", "100")
    (transfer,) = call.told(TransferEnded)
    assert transfer.failure == ""


async def test_over_a_transport_that_only_hands_back_the_dialplan_goes_on(autojump_clock):
    call = transferring(fails="", rings_s=0.0, can=frozenset({"transfer"}))
    ended = await call.hold(lambda: asks(call))
    assert (ended.outcome, ended.detail) == ("transfer_requested", "100")


async def test_such_a_transport_that_hangs_keeps_nobody(autojump_clock):
    call = transferring(fails="", rings_s=1000, can=frozenset({"transfer"}))
    ended = await call.hold(lambda: asks(call, then_ms=60_000))
    assert (ended.outcome, ended.detail) == ("transfer_requested", "100")
    (transfer,) = call.told(TransferEnded)
    assert transfer.seconds == pytest.approx(HAND_BACK_S)


async def test_ringing_has_a_limit(autojump_clock):
    call = transferring(fails="", rings_s=1000, limits=LimitsSettings(transfer_s=30, idle_prompt_s=600))
    await call.hold(lambda: asks(call, then_ms=60_000))
    (transfer,) = call.told(TransferEnded)
    assert transfer.failure == "nobody took it within 30 s (limits.transfer_s)"
    assert "Sorry, nobody is there. Anything else?" in [turn.said for turn in call.turns]


async def test_a_caller_who_hangs_up_meanwhile_has_hung_up(autojump_clock):
    call = transferring(rings_s=1000)
    ended = await call.hold(lambda: asks(call, then_ms=6000))
    assert ended.outcome == "caller_hung_up"
    (transfer,) = call.told(TransferEnded)
    assert transfer.failure == "the caller hung up"


async def eventually(holds):
    """Waits until something holds, for ten seconds of virtual time."""
    for _ in range(500):
        if holds():
            return
        await trio.sleep(0.02)
    raise AssertionError("it never held")


MARKS = frozenset({"clear", "mark", "transfer"})
BY_TIME = frozenset({"clear", "transfer"})


@pytest.mark.parametrize(("can", "after_s"), [(MARKS, 0.5), (MARKS, 3.0), (BY_TIME, 0.1)])
@pytest.mark.parametrize("asked_by", ["the model", "the program"])
async def test_a_caller_who_hangs_up_before_it_rings_is_not_transferred(autojump_clock, asked_by, can, after_s):
    """The far end plays what it has, loses the marks, and hangs up while the last words are waited for."""
    tools = [TO_100] if asked_by == "the model" else []
    call = transferring(llm=lambda _request: [TextDelta("I connect you."), *tools, ReplyDone()])
    call.transport, failures = BufferingTransport(can=can, report=lambda _mark: None), []

    async def transferred():
        with pytest.raises(TransferFailed) as failed:
            await call.call.transfer("100")
        failures.append(str(failed.value))

    async def caller():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.transport.be_silent, 60_000)
            await trio.sleep(2)
            if asked_by == "the program":
                nursery.start_soon(transferred)
            call.call.tell("The caller wants to buy.", respond=True)
            await eventually(lambda: call.turns[-1].said == "I connect you.")
            await trio.sleep(after_s)
            assert call.call._transfers.is_on
            await call.transport.hang_up_as_caller()
            await trio.sleep(10)
            nursery.cancel_scope.cancel()

    ended = await call.hold(caller)
    assert (ended.outcome, call.transport.transferred_to) == ("caller_hung_up", None)
    assert call.told(TransferStarted) == []
    assert ended.at_s == pytest.approx(call.turns[-1].at_s + after_s, abs=0.1)
    assert failures == ([] if tools else ["the caller hung up"])


async def test_a_leg_that_ends_because_of_the_transfer_is_no_hang_up(autojump_clock):
    """The transport reports the leg's end before `transfer` returns, as it may."""
    call = transferring(rings_s=8, fails="")

    async def transfer(_target):
        await trio.sleep(8)
        await call.transport.hang_up_as_caller()
        await trio.sleep(1)

    call.transport.transfer = transfer
    ended = await call.hold(lambda: asks(call, then_ms=30_000))
    assert (ended.outcome, ended.detail) == ("transferred", "100")


async def test_what_the_caller_says_meanwhile_is_told_with_it(autojump_clock):
    call = transferring(stt=("the sales please", "are you there"))

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(600)
        await call.transport.be_silent(3500)
        assert call.call._turns.phase == "transferring"
        await call.transport.say(400)
        await call.transport.be_silent(400)
        await call.transport.press("5")
        await asks(call)

    await call.hold(caller)
    texts = [(message.role, message.text) for message in told(call).messages]
    assert texts[-3:] == [("caller", "are you there"), ("caller", "5"), ("operator", BACK)]


async def test_silence_of_the_line_during_a_transfer_ends_no_call(autojump_clock):
    limits = LimitsSettings(no_audio_s=10, transfer_s=120)
    call = transferring(rings_s=60, limits=limits)

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(600)
        await call.transport.be_silent(3000)
        await trio.sleep(60)
        await call.transport.be_silent(8000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    assert "Sorry, nobody is there. Anything else?" in [turn.said for turn in call.turns]


async def test_afterwards_silence_counts_again(autojump_clock):
    call = transferring(limits=LimitsSettings(no_audio_s=10))

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(600)
        await call.transport.be_silent(4000)

    ended = await call.hold(caller)
    assert ended.outcome == "no_audio"
    (transfer,) = call.told(TransferEnded)
    assert ended.at_s == pytest.approx(transfer.at_s + 10, abs=0.1)


async def test_a_menu_key_that_transfers_in_vain_comes_back(autojump_clock):
    call = transferring(keys={"0": KeyAction(transfer="100")})

    async def caller():
        await call.transport.be_silent(2000)
        await call.transport.press("0")
        await call.transport.be_silent(12_000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.conversation[1] == ("0", "Sorry, nobody is there. Anything else?")


async def test_a_transport_that_cannot_transfer_says_so_and_the_call_goes_on(autojump_clock):
    call = transferring(keys={"0": KeyAction(transfer="100")}, can=frozenset())

    async def caller():
        await call.transport.be_silent(2000)
        await call.transport.press("0")
        await call.transport.be_silent(5000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.transport.transferred_to is None
    assert "the call's transport can't transfer" in told(call).messages[-1].text


async def test_after_a_failure_there_is_nothing_to_come_back_to(autojump_clock):
    def fails(_request):
        raise ComponentError("gone", retryable=False)

    call = transferring(llm=fails, on_failure=OnFailure(say="Sorry.", then=TransferTo("100")))
    ended = await call.hold(lambda: asks(call))
    assert ended.outcome == "failed"
    assert [turn.said for turn in call.turns][-1] == "Sorry."
    assert call.told(TransferEnded)[0].failure == "no answer"


async def test_a_drained_call_ends_when_the_caller_is_back(autojump_clock):
    call = transferring()

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(600)
        await call.transport.be_silent(4000)
        call.call.drain()
        await call.transport.be_silent(20_000)

    ended = await call.hold(caller)
    assert ended.outcome == "drained"
    assert [turn.said for turn in call.turns][-1] == "Goodbye."


async def test_the_program_learns_what_came_of_it(autojump_clock):
    call = transferring(llm=lambda _request: "I see.")
    failures = []

    async def caller():
        await call.transport.be_silent(2000)
        with pytest.raises(TransferFailed) as failed:
            await call.call.transfer("100")
        failures.append(str(failed.value))
        call.transport.transfer_fails = ""
        await call.transport.be_silent(3000)
        await call.call.transfer("200")

    async def silence():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.transport.be_silent, 60_000)
            await caller()

    ended = await call.hold(silence)
    assert failures == ["no answer"]
    assert (ended.outcome, ended.detail) == ("transferred", "200")


@pytest.mark.parametrize("result", ["takes the failure on", "fails by it"])
@pytest.mark.parametrize("says_more", [False, True])
async def test_a_tool_that_transfers_in_vain_gets_one_answer(autojump_clock, result, says_more):
    """The model replies to the tool's result, and reads why nobody took the call."""

    async def connect(_arguments, context):
        try:
            await context.transfer("100")
        except TransferFailed as failed:
            if result == "fails by it":
                raise
            return f"try later: {failed}"

    def answers(request):
        if any(message.role == "tool" for message in request.messages):
            return "Nobody is there. Anything else?"
        return [TextDelta("One moment."), ToolCall("1", "connect", {}), ReplyDone()]

    parameters = {"type": "object", "properties": {}}
    tool = FunctionTool(name="connect", description="Connects.", parameters=parameters, function=connect, timeout_s=60)
    stt = ("the sales please", "hello")
    call = transferring(llm=answers, stt=stt, tools=("connect",), functions=(tool,))

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(600)
        await call.transport.be_silent(4000)
        if says_more:
            await call.transport.say(400)
        await asks_nothing_more(call)

    await call.hold(caller)
    answer = "Nobody is there. Anything else?"
    assert [turn.said for turn in call.turns if turn.trigger != "silence"] == ["Hello.", "One moment.", answer]
    second = call.llm.requests[1]
    assert isinstance(second.trigger, ToolResults)
    assert next(message.text for message in second.messages if message.role == "tool") != RUNNING
    assert Message("operator", BACK) in second.messages
    assert not any(isinstance(request.trigger, Told) for request in call.llm.requests)
    assert [(steered.action, steered.by) for steered in call.told(CallSteered)] == [("transfer", "tool:connect")]
    if says_more:
        assert second.messages[-1] == Message("caller", "hello")  # nothing asks for a reply of its own


async def asks_nothing_more(call):
    await call.transport.be_silent(9000)
    await call.transport.hang_up_as_caller()


@pytest.mark.parametrize("goodbye", ["", "Bye."])
async def test_a_transfer_that_is_given_up_too_late_is_one(autojump_clock, goodbye):
    """The program hangs up while it rings, and the transport has transferred nevertheless."""
    call = transferring()

    async def transfer(target):
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        call.transport.transferred_to = target

    call.transport.transfer = transfer

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(600)
        await call.transport.be_silent(3500)
        assert call.call._turns.phase == "transferring"
        call.call.hang_up(goodbye)
        await call.transport.be_silent(5000)

    ended = await call.hold(caller)
    assert (ended.outcome, ended.detail) == ("transferred", "100")
    assert [transfer.failure for transfer in call.told(TransferEnded)] == [""]


async def test_there_is_one_transfer_at_a_time(autojump_clock):
    call = transferring(rings_s=10, llm=lambda _request: "I see.")

    async def caller():
        await call.transport.be_silent(2000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expects_failure, call, "100", "no answer")
            await call.transport.be_silent(1000)
            await expects_failure(call, "200", "a transfer to 100 is under way already")
            await call.transport.be_silent(12_000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert [started.target for started in call.told(TransferStarted)] == ["100"]


async def expects_failure(call, target, why):
    with pytest.raises(TransferFailed, match=why):
        await call.call.transfer(target)
