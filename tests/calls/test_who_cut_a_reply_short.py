"""`TurnEnded.interrupted` and the results of tools say who cut a reply short: the caller, or something else."""

import pytest
import trio

from voicepipe.calls.events import ToolEnded
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall
from voicepipe.config.call_settings import BargeInSettings, KeyAction, LimitsSettings, TurnsSettings
from voicepipe.errors import TransportError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.tools.functions import FunctionTool

LONG = "This reply goes on and on and nobody knows where it may end one day, so it is a good one to cut short."
CALLER, ENDED = "cancelled: the caller interrupted", "cancelled: the call ended"


async def look(_arguments, _context):
    await trio.sleep(1000)
    return "found"


def looking(**limits):
    """A call whose agent says something long while a tool runs that may be cancelled."""
    schema = {"type": "object", "properties": {}}
    tool = FunctionTool("look", "Looks something up.", schema, look, cancellable=True, timeout_s=2000)
    return RehearsedCall(
        stt=ScriptedSpeechToText(["stop please"]),
        llm=ScriptedLanguageModel(
            lambda request: (
                [TextDelta(LONG), ToolCall("1", "look", {}), ReplyDone()] if request.trigger.text == "Look." else "Yes."
            )
        ),
        settings={
            "greeting": "Hello.",
            "tools": ("look",),
            "functions": (tool,),
            "turns": TurnsSettings(barge_in=BargeInSettings(resume_ms=0)),
            "limits": LimitsSettings(idle_prompt_s=600, **limits),
            "keys": {"9": KeyAction(hang_up=True)},
        },
    )


async def the_caller_speaks(call):
    await call.transport.say(600)


async def the_caller_hangs_up(call):
    await call.transport.hang_up_as_caller()


async def the_caller_presses_the_key_that_ends_the_call(call):
    await call.transport.press("9")


async def the_program_says_goodbye(call):
    call.call.hang_up("Goodbye.")


async def the_program_hangs_up(call):
    call.call.hang_up()


async def the_line_breaks(call):
    call.call.fail(TransportError("gone"))


async def nothing(_call):
    pass


@pytest.mark.parametrize(
    ("acts", "by_caller", "result", "limits"),
    [
        (the_caller_speaks, True, CALLER, {}),
        (the_caller_hangs_up, True, ENDED, {}),
        (the_caller_presses_the_key_that_ends_the_call, True, CALLER, {}),
        (the_program_says_goodbye, False, ENDED, {}),
        (the_program_hangs_up, False, ENDED, {}),
        (the_line_breaks, False, ENDED, {}),
        (nothing, False, ENDED, {"max_call_minutes": 0.06}),
        (nothing, False, ENDED, {"max_call_minutes": 0.06, "goodbye": ""}),
    ],
)
async def test_it_is_told_who_did(autojump_clock, acts, by_caller, result, limits):
    call = looking(**limits)

    async def caller():
        await call.transport.be_silent(2000)
        call.call.tell("Look.", respond=True)
        await call.transport.be_silent(1500)
        await acts(call)
        await call.transport.be_silent(6000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    turn = next(turn for turn in call.turns if turn.trigger == "told")
    assert 0 < len(turn.said) < len(LONG)
    assert turn.interrupted is by_caller
    (tool,) = call.told(ToolEnded)
    assert (tool.ok, tool.result) == (False, result)
