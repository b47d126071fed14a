"""Replies that are begun at a recogniser's guess that the turn is over, and what becomes of them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from math import inf

import pytest
import trio

from voicepipe.calls.events import ReplyPrepared, ReplyStarted, ToolStarted
from voicepipe.calls.record import CallRecorder
from voicepipe.components.events import EndOfTurn, ReplyDone, TextDelta, Transcript, TurnResumed
from voicepipe.components.requests import Message, StreamInput, ToolCall, ToolResults, Utterance
from voicepipe.config.call_settings import TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel
from voicepipe.tools.functions import FunctionTool

THINKS_S = 0.4
EAGER = EndOfTurn(eager=True)


def partial(text):
    return Transcript(text, final=False)


def final(text):
    return Transcript(text, final=True)


class Guesser:
    """A recogniser that says what it is told to, at seconds of trio's clock; asked for more, it has nothing."""

    def __init__(self, script):
        self.script = script

    def input_for(self, call):
        return StreamInput(call)

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        async with trio.open_nursery() as nursery:
            stream = Guessing(self.script)
            nursery.start_soon(stream.speak)
            yield stream
            nursery.cancel_scope.cancel()


class Guessing:
    def __init__(self, script):
        self.script = script
        self.put, self.get = trio.open_memory_channel(inf)

    async def speak(self):
        for at_s, *events in self.script:
            await trio.sleep_until(at_s)
            for event in events:
                await self.put.send(event)

    async def send(self, audio):
        await trio.lowlevel.checkpoint()

    async def finish(self):
        await trio.lowlevel.checkpoint()

    async def end_utterance(self):
        await self.put.send(final(""))

    async def listen_for(self, listen):
        await trio.lowlevel.checkpoint()

    async def receive(self):
        return await self.get.receive()


async def held(*script, preemptive=True, calls=(), say_ms=1500, thinks_s=THINKS_S):
    """A call whose caller speaks from 1 s on, with some three seconds after it."""

    async def look_up(_arguments, _context):
        return "done"

    def answer(request):
        asked.append(round(trio.current_time(), 2))
        if isinstance(request.trigger, ToolResults):
            return "It is done."
        return [thinks_s, TextDelta(f"You said {request.messages[-1].text}."), *calls, ReplyDone()]

    asked = []
    call = RehearsedCall(
        stt=Guesser(script),
        llm=ScriptedLanguageModel(answer),
        settings={
            "greeting": "Hi.",
            "turns": TurnsSettings(preemptive=preemptive, end_of_turn_ms=2000),
            "tools": ("look_up",),
            "functions": (FunctionTool("look_up", "Looks it up.", {"type": "object", "properties": {}}, look_up),),
        },
    )

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(say_ms)
        await call.transport.be_silent(4000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.llm.open_streams == call.tts.open_streams == 0
    return call, asked


def prepared(call):
    return [(event.used, event.heard) for event in call.told(ReplyPrepared)]


def discarded_in_record(call):
    recorder = CallRecorder()
    for event in call.events:
        recorder.observe(event)
    return recorder.record.discarded_replies


def started_at(call):
    return [round(event.at_s, 2) for event in call.told(ReplyStarted)][1:]


async def test_the_same_words_are_answered_at_once(autojump_clock):
    call, asked = await held((1.5, partial("book a table")), (2.0, EAGER), (2.6, final("Book a table."), EndOfTurn()))
    assert asked == [2.0]
    assert started_at(call) == [2.6]
    assert prepared(call) == [(True, "book a table")]
    assert call.conversation == [("", "Hi."), ("Book a table.", "You said book a table.")]
    assert discarded_in_record(call) == 0
    assert [when for when, _ in call.transport.written if 1.0 < when < 2.6 - 1e-6] == [], "nobody hears it before"


async def test_other_words_get_a_new_reply(autojump_clock):
    call, asked = await held((1.5, partial("book a table")), (2.0, EAGER), (2.6, final("cook a table"), EndOfTurn()))
    assert asked == [2.0, 2.6]
    assert started_at(call) == [pytest.approx(2.6 + THINKS_S, abs=0.01)]
    assert prepared(call) == [(False, "book a table")]
    assert call.conversation == [("", "Hi."), ("cook a table", "You said cook a table.")]
    assert call.llm.requests[1].messages == (Message("agent", "Hi."), Message("caller", "cook a table"))
    assert discarded_in_record(call) == 1


@pytest.mark.parametrize("words_first", [False, True])
async def test_a_guess_that_is_taken_back_leaves_nothing(autojump_clock, words_first):
    more = partial("book a table for two")
    back = (more, TurnResumed()) if words_first else (TurnResumed(), more)
    call, asked = await held(
        (1.5, partial("book a table")),
        (1.8, EAGER),
        (2.0, *back),
        (2.4, EAGER),
        (2.9, final("book a table for two"), EndOfTurn()),
    )
    assert asked == [1.8, 2.4]
    assert prepared(call) == [(False, "book a table"), (True, "book a table for two")]
    assert [request.trigger for request in call.llm.requests] == [
        Utterance("book a table"),
        Utterance("book a table for two"),
    ]
    assert call.conversation[1] == ("book a table for two", "You said book a table for two.")
    assert started_at(call) == [2.9]
    assert discarded_in_record(call) == 1


async def test_a_guess_that_is_made_twice_is_one(autojump_clock):
    _, asked = await held(
        (1.5, partial("yes")), (1.8, EAGER), (2.0, partial("Yes.")), (2.2, EAGER), (2.6, final("Yes."), EndOfTurn())
    )
    assert asked == [1.8]


async def test_without_preemptive_a_guess_is_none(autojump_clock):
    call, asked = await held(
        (1.5, partial("yes")), (1.8, EAGER), (2.0, TurnResumed()), (2.6, final("yes"), EndOfTurn()), preemptive=False
    )
    assert asked == [2.6]
    assert prepared(call) == []


async def test_a_guess_before_any_words_is_none(autojump_clock):
    call, asked = await held((1.5, EAGER), (2.0, partial("yes")), (2.6, final("yes"), EndOfTurn()))
    assert asked == [2.6]
    assert prepared(call) == []


@pytest.mark.parametrize(("said", "ran"), [("book a table", 2.6), ("cook a table", 2.6 + THINKS_S)])
async def test_tools_run_when_the_turn_is_really_over(autojump_clock, said, ran):
    call, _ = await held(
        (1.5, partial("book a table")),
        (2.0, EAGER),
        (2.6, final(said), EndOfTurn()),
        calls=[ToolCall("1", "look_up")],
    )
    (started,) = call.told(ToolStarted)
    assert started.at_s == pytest.approx(ran, abs=0.01)


async def test_who_guesses_is_not_outguessed_by_pauses(autojump_clock):
    """The threshold decides how often a reply is begun in vain: a pause in which no end is guessed begins none."""
    call, asked = await held(
        (1.3, partial("book")),
        (1.4, EAGER),
        (1.5, TurnResumed(), partial("book a table")),
        (3.6, final("book a table"), EndOfTurn()),
    )
    assert asked == [1.4, 3.6]
    assert prepared(call) == [(False, "book")]


async def test_a_caller_who_hangs_up_leaves_a_reply_unused(autojump_clock):
    call, asked = await held((1.5, partial("book a table")), (2.0, EAGER))
    assert asked[0] == 2.0
    assert call.conversation[0] == ("", "Hi.")
    assert prepared(call)[0] == (False, "book a table")


async def test_a_slow_reply_is_heard_when_it_is_there(autojump_clock):
    call, asked = await held(
        (1.5, partial("book a table")), (2.0, EAGER), (2.2, final("book a table"), EndOfTurn()), thinks_s=1.0
    )
    assert asked == [2.0]
    assert started_at(call) == [3.0]
    assert call.turns[1].response_ms == pytest.approx(800, abs=60)
