"""What an observer has the call do in the middle of an event: it is done after that, and undoes nothing."""

import pytest
import trio

from voicepipe.calls.events import CallBegan, ReplyStarted, TurnEnded
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.config.call_settings import BargeInSettings, LimitsSettings, OnFailure, TurnsSettings
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText

LONG = "This reply goes on and on and nobody knows where it may end one day."
SETTINGS = {
    "greeting": "Hello.",
    "limits": LimitsSettings(idle_prompt_s=600),
    "turns": TurnsSettings(barge_in=BargeInSettings(resume_ms=0)),
}


class Events(list):
    """The events of a call; at the first that fits, `act` has the call do something."""

    def __init__(self, fits, act):
        super().__init__()
        self.fits, self.act = fits, act

    def append(self, event):
        super().append(event)
        if self.act is not None and self.fits(event):
            act, self.act = self.act, None
            act()


def observed(fits, act, answer=LONG, **settings):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["stop please"]),
        llm=ScriptedLanguageModel(answer if callable(answer) else lambda _request: answer),
        settings={**SETTINGS, **settings},
    )
    call.events = Events(fits, lambda: act(call.call))
    return call


def turn_of(said):
    return lambda event: isinstance(event, TurnEnded) and event.said.startswith(said)


def says_goodbye(call):
    call.hang_up("Bye then.")


async def asked(call, steer=None):
    """The program has the agent reply after the greeting."""

    async def caller():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.transport.be_silent, 60_000)
            await trio.sleep(2)
            call.call.tell("Anything.", respond=True)
            if steer is not None:
                await trio.sleep(1)
                nursery.start_soon(steer)

    return await call.hold(caller)


@pytest.mark.parametrize("calls_tool", [False, True])
async def test_a_goodbye_at_the_end_of_a_turn_is_heard(autojump_clock, calls_tool):
    hang_up = [ToolCall("1", "hang_up", {})] if calls_tool else []
    reply = [TextDelta("I see."), *hang_up, ReplyDone()]
    call = observed(turn_of("I see."), says_goodbye, lambda _request: reply, tools=("hang_up",))
    ended = await asked(call)
    assert ended.outcome == "agent_hung_up"
    assert [(turn.said, turn.interrupted) for turn in call.turns] == [
        ("Hello.", False),
        ("I see.", False),
        ("Bye then.", False),
    ]


async def test_a_goodbye_after_a_reply_that_failed_is_heard(autojump_clock):
    def fails(_request):
        raise ComponentError("gone", retryable=False)

    call = observed(lambda event: turn_of("")(event) and event.turn == 2, says_goodbye, fails, on_failure=OnFailure())
    ended = await asked(call)
    assert (ended.outcome, call.turns[-1].said) == ("agent_hung_up", "Bye then.")


async def test_a_goodbye_when_the_program_cuts_a_reply_takes_the_place_of_what_was_to_be_said(autojump_clock):
    call, outcomes = observed(turn_of("This reply"), says_goodbye), []

    async def steer():
        outcomes.append(await call.call.say("We close.", interrupt=True))

    ended = await asked(call, steer)
    assert ended.outcome == "agent_hung_up"
    assert [turn.said for turn in call.turns][-1] == "Bye then."
    assert [(outcome.heard, outcome.whole) for outcome in outcomes] == [("", False)]
    assert len({turn.turn for turn in call.turns}) == len(call.turns)


async def test_a_goodbye_when_the_caller_interrupts_is_heard(autojump_clock):
    call = observed(turn_of("This reply"), says_goodbye)

    async def caller():
        await call.transport.be_silent(2000)
        call.call.tell("Anything.", respond=True)
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(60_000)

    ended = await call.hold(caller)
    assert ended.outcome == "agent_hung_up"
    assert call.turns[1].interrupted
    assert call.turns[-1].said == "Bye then."


@pytest.mark.parametrize("event", [CallBegan, ReplyStarted])
async def test_a_goodbye_at_the_beginning_is_heard(autojump_clock, event):
    call = observed(lambda seen: isinstance(seen, event), says_goodbye)
    ended = await asked(call)
    assert (ended.outcome, call.turns[-1].said) == ("agent_hung_up", "Bye then.")


async def test_a_fact_at_the_end_of_a_turn_gets_one_reply(autojump_clock):
    call = observed(turn_of("Hello."), lambda call: call.tell("It rains.", respond=True), "I see.")

    async def caller():
        await call.transport.be_silent(10_000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert [turn.said for turn in call.turns] == ["Hello.", "I see."]
