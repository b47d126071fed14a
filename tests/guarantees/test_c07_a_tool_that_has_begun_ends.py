"""C07: a tool that has begun ends, whatever the caller says meanwhile, unless it is declared cancellable."""

import pytest
import trio

from voicepipe.calls.events import CallEnded, ComponentUsed, ToolEnded, ToolStarted
from voicepipe.calls.open_call import open_call
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall, ToolResults
from voicepipe.config.call_settings import LimitsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.functions import FunctionTool

LONG = "I am looking that up for you now, it takes a while, so please stay on the line until I have it."


class Booking:
    """A tool that notes whether it came to its end."""

    def __init__(self, takes_s=2.0, **options):
        self.takes_s = takes_s
        self.began = self.ended = self.cancelled = 0
        schema = {"type": "object", "properties": {}}
        self.tool = FunctionTool("book", "Books a time.", schema, self.book, **options)

    async def book(self, _arguments, _context):
        self.began += 1
        try:
            await trio.sleep(self.takes_s)
        except trio.Cancelled:
            self.cancelled += 1
            raise
        self.ended += 1
        return "booked"


def call_that_books(booking, text=LONG, texts=("monday", "never mind")):
    def answer(request):
        if isinstance(request.trigger, ToolResults):
            return "It is booked."
        if len(call.llm.requests) == 1:
            return [TextDelta(text), ToolCall("1", "book"), ReplyDone()]
        return "All right."

    call = RehearsedCall(
        stt=ScriptedSpeechToText(list(texts)),
        llm=ScriptedLanguageModel(answer),
        settings={
            "tools": ("hang_up", "book"),
            "functions": (booking.tool,),
            "greeting": "Hello.",
            "limits": LimitsSettings(no_audio_s=600),
        },
    )
    return call


async def interrupted(call, *, by_key=False, wait_ms=8000):
    """The caller asks for a booking, and speaks over the reply while the tool runs."""

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(1700)
        if by_key:
            await call.transport.press("1")
        else:
            await call.transport.say(600)
        await call.transport.be_silent(wait_ms)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller)


@pytest.mark.parametrize("by_key", [False, True])
async def test_barge_in_does_not_half_book(autojump_clock, by_key):
    booking = Booking()
    call = call_that_books(booking)
    await interrupted(call, by_key=by_key)
    assert call.turns[1].interrupted
    assert (booking.began, booking.ended, booking.cancelled) == (1, 1, 0)
    (ended,) = call.told(ToolEnded)
    assert (ended.ok, ended.result) == (True, "booked")
    # The model learns it with what the caller says next, if that comes later.
    results = [message.text for message in call.llm.requests[-1].messages if message.role == "tool"]
    assert results == ["booked"]


@pytest.mark.parametrize("by_key", [False, True])
async def test_barge_in_cancels_what_is_declared_cancellable(autojump_clock, by_key):
    booking = Booking(takes_s=20, timeout_s=60, cancellable=True)
    call = call_that_books(booking)
    await interrupted(call, by_key=by_key)
    assert (booking.began, booking.ended, booking.cancelled) == (1, 0, 1)
    (ended,) = call.told(ToolEnded)
    assert (ended.ok, ended.result) == (False, "cancelled: the caller interrupted")
    # The model learns it with the next thing that happens, and is not asked because of it.
    assert [type(request.trigger).__name__ for request in call.llm.requests].count("ToolResults") == 0
    results = [message.text for message in call.llm.requests[-1].messages if message.role == "tool"]
    assert results == ["cancelled: the caller interrupted"]


async def test_what_nobody_interrupts_ends_though_it_could_be_cancelled(autojump_clock):
    booking = Booking(cancellable=True)
    call = call_that_books(booking, texts=["monday"])

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(12000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert booking.ended == 1


async def hung_up(call):
    """The caller hangs up while the tool runs; when they did."""
    at = []

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(1700)
        at.append(trio.current_time())
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    return ended, trio.current_time() - at[0]


def last_events(call):
    """The types of the last two events; what the call used is told between them."""
    return [type(event) for event in call.events if not isinstance(event, ComponentUsed)][-2:]


async def test_hanging_up_does_not_half_book_either(autojump_clock):
    """The call's end waits for it, and its result is told before that."""
    booking = Booking(takes_s=4)
    call = call_that_books(booking)
    ended, waited = await hung_up(call)
    assert ended.outcome == "caller_hung_up"
    assert (booking.ended, booking.cancelled) == (1, 0)
    assert 2 < waited < 4
    assert last_events(call) == [ToolEnded, CallEnded]
    assert call.told(ToolEnded)[0].result == "booked"


async def test_the_end_waits_no_longer_than_the_tools_own_timeout(autojump_clock):
    booking = Booking(takes_s=1000, timeout_s=5)
    call = call_that_books(booking)
    ended, waited = await hung_up(call)
    assert ended.outcome == "caller_hung_up"
    assert (booking.ended, booking.cancelled) == (0, 1)
    assert 3 < waited < 5
    assert "within 5 s" in call.told(ToolEnded)[0].result


async def test_hanging_up_cancels_what_is_declared_cancellable(autojump_clock):
    booking = Booking(takes_s=1000, timeout_s=900, cancellable=True)
    call = call_that_books(booking)
    _, waited = await hung_up(call)
    assert booking.cancelled == 1
    assert waited < 0.1
    assert last_events(call) == [ToolEnded, CallEnded]


@pytest.mark.parametrize(("takes_s", "ended"), [(2.5, 1), (1000.0, 0)])
@pytest.mark.parametrize("cancellable", [False, True])
async def test_what_ends_the_whole_program_leaves_tools_a_moment_and_no_more(
    autojump_clock, takes_s, ended, cancellable
):
    """A cancellation from outside, as when a process stops: nothing may keep it for a tool's whole timeout."""
    booking = Booking(takes_s=takes_s, timeout_s=900, cancellable=cancellable)
    call = call_that_books(booking)
    transport, events, begun = MemoryTransport(), [], trio.Event()

    def observe(event):
        events.append(event)
        if isinstance(event, ToolStarted):
            begun.set()

    async def caller():
        await transport.be_silent(1000)
        await transport.say(600)
        await transport.be_silent(60_000)

    with trio.CancelScope() as everything:
        async with (
            open_test_pipeline(call.stt, call.llm, call.tts, **call.settings) as pipeline,
            trio.open_nursery() as nursery,
            open_call(pipeline, transport, observer=observe) as held,
        ):
            nursery.start_soon(caller)
            nursery.start_soon(held.run)
            await begun.wait()
            await trio.sleep(1)
            began = trio.current_time()
            everything.cancel()
    assert everything.cancelled_caught
    assert trio.current_time() - began < 2.1
    assert (booking.ended, booking.cancelled) == ((ended, 1 - ended) if not cancellable else (0, 1))
    assert sum(isinstance(event, ToolEnded) for event in events) == 1
    assert isinstance(events[-1], CallEnded)
