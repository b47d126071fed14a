"""C10: a tool that the transport can't support is not offered to the model; a transfer's target is in the record."""

import pytest
import trio
from patience import LONG_S

from voicepipe.calls.events import ComponentFailed
from voicepipe.calls.open_call import open_call
from voicepipe.calls.record import CallRecorder
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.components.requests import ToolResults
from voicepipe.testing.audiosocket_caller import open_audiosocket_call
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport
from voicepipe.transports.audiosocket.listener import open_audiosocket_listener


async def offered(tools, can):
    """The names of the tools that the model was offered."""
    call = RehearsedCall(transport=MemoryTransport(can=frozenset(can)), settings={"tools": tools})

    async def caller():
        await call.transport.be_silent(100)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    return [tool.name for tool in call.llm.requests[0].tools]


@pytest.mark.parametrize(
    ("tools", "can", "expected"),
    [
        (("hang_up", "transfer"), {"transfer"}, ["hang_up", "transfer"]),
        (("hang_up", "transfer"), set(), ["hang_up"]),
        (("hang_up", "transfer"), {"clear", "mark", "send_dtmf"}, ["hang_up"]),
        (("transfer",), {"transfer"}, ["transfer"]),
        (("hang_up",), {"transfer"}, ["hang_up"]),
        ((), {"transfer"}, []),
        (("send_dtmf", "hang_up"), {"send_dtmf"}, ["send_dtmf", "hang_up"]),
        (("send_dtmf", "hang_up"), {"transfer"}, ["hang_up"]),
    ],
)
async def test_only_what_is_listed_and_possible_is_offered(autojump_clock, tools, can, expected):
    assert await offered(tools, can) == expected


@pytest.mark.parametrize("name", ["transfer", "send_dtmf", "launch_rocket"])
async def test_a_tool_that_was_not_offered_does_nothing_and_is_told(autojump_clock, name):
    """The model calls it all the same: it is told that there is no such tool, and may say so."""

    def answer(request):
        if isinstance(request.trigger, ToolResults):
            return "I can't do that."
        return [TextDelta("One moment."), ToolCall("1", name, {"target": "1", "digits": "1"}), ReplyDone()]

    call = RehearsedCall(
        transport=MemoryTransport(can=frozenset()),
        llm=ScriptedLanguageModel(answer),
        settings={"tools": ("hang_up", "transfer", "send_dtmf")},
    )

    async def caller():
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    assert call.conversation == [("", "One moment."), ("", "I can't do that.")]
    assert call.llm.requests[-1].trigger == ToolResults({"1": f"error: there is no tool {name} now"})
    (failure,) = call.told(ComponentFailed)
    assert (failure.role, failure.error.retryable) == ("llm", False)
    assert name in str(failure.error)
    assert name in failure.error.hint
    assert call.transport.transferred_to is None
    assert call.transport.pressed == []


async def test_over_audiosocket_a_transfer_goes_back_to_the_dialplan_with_its_target_in_the_record():
    """A real connection: Asterisk's side sees a hang-up, and goes on in its own plan."""
    recorder = CallRecorder()
    model = ScriptedLanguageModel(
        lambda _: [TextDelta("One moment."), ToolCall("1", "transfer", {"target": "2000"}), ReplyDone()]
    )
    async with (
        open_test_pipeline(
            ScriptedSpeechToText(), model, ToneTextToSpeech(ms_a_char=20), tools=("transfer", "send_dtmf")
        ) as pipeline,
        open_audiosocket_listener(port=0) as listener,
        trio.open_nursery() as nursery,
    ):

        async def answer(transport):
            async with open_call(pipeline, transport, observer=recorder.observe) as call:
                await call.run()

        nursery.start_soon(listener.serve, answer)
        async with open_audiosocket_call(port=listener.address[1]) as caller:
            with trio.fail_after(LONG_S):
                await caller.hung_up.wait()
        nursery.cancel_scope.cancel()
    assert caller.how == "0x00"
    assert [tool.name for tool in model.requests[0].tools] == ["transfer"]
    record = recorder.record
    assert (record.outcome, record.detail) == ("transfer_requested", "2000")
    assert [turn.said for turn in record.turns] == ["One moment."]
