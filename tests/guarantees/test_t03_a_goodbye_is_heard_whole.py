"""T03: a goodbye is heard whole before the line is closed, or its deadline passes and is said."""

import pytest
import trio

from voicepipe.calls.events import CallEnded, LastWordsUnconfirmed
from voicepipe.calls.replies.buffered_playout import CONFIRM_S, GRACE_S
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall
from voicepipe.config.call_settings import KeyAction, LimitsSettings
from voicepipe.testing import (
    BufferingTransport,
    MemoryTransport,
    RehearsedCall,
    ScriptedLanguageModel,
    ToneTextToSpeech,
)

GOODBYE = "Thank you for calling, and goodbye."
MS_A_CHAR = 40
LENGTH_MS = len(GOODBYE) * MS_A_CHAR


def ending_call(transport, how):
    """A call that the agent ends with its goodbye: for a key, by a tool, or for a limit."""
    events = {
        "hang_up": [TextDelta(GOODBYE), ToolCall("1", "hang_up", {}), ReplyDone()],
        "transfer": [TextDelta(GOODBYE), ToolCall("1", "transfer", {"target": "200"}), ReplyDone()],
    }
    return RehearsedCall(
        llm=ScriptedLanguageModel(lambda _request: events.get(how, "Hello.")),
        tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR),
        transport=transport,
        settings={
            "tools": ("hang_up", "transfer"),
            "keys": {"9": KeyAction(hang_up=True)},
            "limits": LimitsSettings(goodbye=GOODBYE, max_call_minutes=1 / 20 if how == "limit" else 10),
        },
    )


async def held(transport, how):
    call = ending_call(transport, how)

    async def caller():
        await transport.be_silent(1000)
        if how == "key":
            await transport.press("9")
        await transport.be_silent(20_000)

    await call.hold(caller)
    return call


def tail_of(transport):
    """The last audio that the caller heard, as long as the goodbye."""
    return transport.heard[-transport.audio.bytes_in(LENGTH_MS) :]


WAYS = {"hang_up": "agent_hung_up", "transfer": "transfer_requested", "key": "agent_hung_up", "limit": "max_length"}
LINES = {
    "at once": {},
    "a long delay": {"delay_ms": 700},
    "late reports": {"delay_ms": 200, "report": lambda _mark: 1.9},
    "few reports": {"delay_ms": 200, "report": lambda mark: 0.0 if mark < 3 else None},
    "no marks": {"can": frozenset({"clear", "transfer"}), "delay_ms": 250},
    "a full buffer": {"room_ms": 300, "delay_ms": 50},
}


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("line", LINES)
async def test_the_goodbye_is_heard_to_its_last_sample(autojump_clock, line, how):
    transport = BufferingTransport(**LINES[line])
    call = await held(transport, how)
    (ended,) = call.told(CallEnded)
    assert ended.outcome == WAYS[how]
    assert transport.transferred_to == ("200" if how == "transfer" else None)
    assert tail_of(transport) == transport.said[-len(tail_of(transport)) :]
    assert len(tail_of(transport)) == transport.audio.bytes_in(LENGTH_MS)
    assert bool(call.told(LastWordsUnconfirmed)) == (line == "few reports")


@pytest.mark.parametrize("how", WAYS)
async def test_a_report_that_never_comes_is_waited_for_and_said(autojump_clock, how):
    transport = BufferingTransport(report=lambda _mark: None)
    call = await held(transport, how)
    (unconfirmed,) = call.told(LastWordsUnconfirmed)
    (ended,) = call.told(CallEnded)
    assert ended.outcome == WAYS[how]
    spoken_until = max(begins_at + len(audio) / 16000 for begins_at, audio in transport.sounds)
    assert ended.at_s == pytest.approx(spoken_until + CONFIRM_S, abs=0.03)
    assert unconfirmed.waited_s == pytest.approx(CONFIRM_S - GRACE_S, abs=0.03)


@pytest.mark.parametrize("how", ["hang_up", "transfer"])
@pytest.mark.parametrize("can", [{"clear", "mark", "transfer"}, {"clear", "transfer"}], ids=["marks", "no marks"])
async def test_a_line_that_takes_only_half_of_it_is_waited_for_and_that_is_said(autojump_clock, how, can):
    transport = BufferingTransport(can=frozenset(can))
    write, half = transport.write, transport.audio.bytes_in(LENGTH_MS / 2)

    def write_half(audio):
        if len(transport.said) + len(audio) > half:
            transport.block()
        return write(audio)

    transport.write = write_half
    call = await held(transport, how)
    (ended,) = call.told(CallEnded)
    assert (ended.outcome, len(call.told(LastWordsUnconfirmed))) == (WAYS[how], 1)
    assert ended.at_s == pytest.approx(len(transport.said) / 16000 + CONFIRM_S, abs=0.6)
    said = call.turns[0].said
    assert GOODBYE.startswith(said)
    assert said != GOODBYE


async def test_a_caller_who_hangs_up_meanwhile_is_not_waited_for(autojump_clock):
    transport = BufferingTransport(report=lambda _mark: None)
    call = ending_call(transport, "hang_up")

    async def caller():
        await transport.be_silent(LENGTH_MS + 2000)
        await transport.hang_up_as_caller()

    ended = await call.hold(caller)
    assert trio.current_time() == pytest.approx(LENGTH_MS / 1000 + 2, abs=0.1)
    assert (ended.outcome, call.told(LastWordsUnconfirmed)) == ("agent_hung_up", [])


async def test_a_program_that_hangs_up_does_not_wait(autojump_clock):
    transport = BufferingTransport()
    call = ending_call(transport, "limit")

    async def caller():
        await transport.be_silent(100)
        call.call.hang_up()

    await call.hold(caller)
    assert trio.current_time() == pytest.approx(0.1, abs=0.03)
    assert len(transport.cleared) == 1


@pytest.mark.parametrize("pacing", ["theirs", "ours"])
@pytest.mark.parametrize("chars", [40, 200, 330], ids=["short", "long", "very long"])
async def test_a_line_that_takes_nothing_more_is_given_up_however_much_is_queued(autojump_clock, pacing, chars):
    transport = BufferingTransport() if pacing == "theirs" else MemoryTransport()
    write, goodbye = transport.write, ("Thank you for calling, and goodbye. " * 10)[:chars]

    def write_a_second(audio):
        if len(transport.said) >= 16000:
            transport.block()
        return write(audio)

    transport.write = write_a_second
    events = [TextDelta(goodbye), ToolCall("1", "hang_up", {}), ReplyDone()]
    call = RehearsedCall(
        llm=ScriptedLanguageModel(lambda _request: events),
        transport=transport,
        settings={"tools": ("hang_up",), "limits": LimitsSettings(idle_prompt_s=600, max_call_minutes=2)},
    )
    ended = await call.hold(lambda: transport.be_silent(200_000))
    assert ended.outcome == "agent_hung_up"
    assert ended.at_s == pytest.approx(1 + CONFIRM_S, abs=0.3)
    assert len(call.told(LastWordsUnconfirmed)) == 1
    (message,) = (message for message in call.call.conversation if message.role == "agent")
    assert message.interrupted
    assert goodbye.startswith(message.text)
    assert 0 < len(message.text) < chars
