"""Whole calls on the virtual clock: what the observer is told, how calls end from outside, and how quick they are."""

from collections import Counter

import pytest
import trio

from voicepipe.audio import AudioFormat
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    ComponentUsed,
    DtmfReceived,
    ModelAnswered,
    ReplyContinued,
    ReplyStarted,
    SpeechDetected,
    Transcribed,
    TurnEnded,
)
from voicepipe.calls.open_call import open_call
from voicepipe.components.events import EndOfTurn, ReplyDone, TextDelta, Transcript
from voicepipe.components.requests import CallInfo, Listen, Message
from voicepipe.config.call_settings import LimitsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport


def echo(request):
    return f"You said {request.messages[-1].text}." if request.messages else "Hello."


async def exchange(call, *pauses_ms):
    """The caller says something before each pause, then hangs up."""
    await call.transport.be_silent(2000)
    for pause_ms in pauses_ms:
        await call.transport.say(700)
        await call.transport.be_silent(pause_ms)
    await call.transport.hang_up_as_caller()


async def test_a_conversation(autojump_clock):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["two appointments", "on monday"]),
        llm=ScriptedLanguageModel(echo),
        settings={"prompt": "You are kind."},
    )
    ended = await call.hold(lambda: exchange(call, 3500, 3500))
    assert call.conversation == [
        ("", "Hello."),
        ("two appointments", "You said two appointments."),
        ("on monday", "You said on monday."),
    ]
    assert (ended.outcome, ended.turns) == ("caller_hung_up", 3)
    assert call.llm.requests[-1].messages == (
        Message("agent", "Hello."),
        Message("caller", "two appointments"),
        Message("agent", "You said two appointments."),
        Message("caller", "on monday"),
    )
    assert {request.prompt for request in call.llm.requests} == {"You are kind."}
    # 600 ms of silence, and nothing to speak of for anything else.
    assert [turn.response_ms for turn in call.turns] == [None, pytest.approx(600, abs=21), pytest.approx(600, abs=21)]


@pytest.mark.parametrize(
    "audio", [AudioFormat(16000), AudioFormat(8000, "mulaw"), AudioFormat(8000, "alaw"), AudioFormat(48000)]
)
@pytest.mark.parametrize("tts_rate", [None, 22050])
async def test_a_conversation_in_other_formats(autojump_clock, audio, tts_rate):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["two appointments"]),
        llm=ScriptedLanguageModel(echo),
        tts=ToneTextToSpeech(rate=tts_rate),
        transport=MemoryTransport(audio),
    )
    await call.hold(lambda: exchange(call, 3500))
    assert call.conversation == [("", "Hello."), ("two appointments", "You said two appointments.")]
    assert {len(frame) for _, frame in call.transport.written} == {audio.bytes_in(20)}
    spoken_ms = len("Hello.You said two appointments.") * 60
    assert len(call.transport.written) * 20 == pytest.approx(spoken_ms, abs=40)


async def test_events_come_in_a_sensible_order(autojump_clock):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["two appointments", "wait"]),
        llm=ScriptedLanguageModel(echo),
        transport=MemoryTransport(info=CallInfo(called="+1800")),
    )

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(700)
        await call.transport.be_silent(1000)
        await call.transport.say(700)  # into the reply
        await call.transport.be_silent(700)
        await call.transport.press("1")
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    kinds = [type(event) for event in call.events]
    if kinds[21] is ModelAnswered:  # the key's reply may have been asked for when the caller hangs up
        del kinds[21]
    assert kinds == [
        CallBegan,
        ModelAnswered,
        ReplyStarted,
        ReplyContinued,
        TurnEnded,
        Transcribed,
        SpeechDetected,
        Transcribed,
        ModelAnswered,
        ReplyStarted,
        ReplyContinued,
        Transcribed,
        TurnEnded,
        SpeechDetected,
        Transcribed,
        ModelAnswered,
        ReplyStarted,
        ReplyContinued,
        DtmfReceived,
        TurnEnded,
        TurnEnded,
        ComponentUsed,
        ComponentUsed,
        ComponentUsed,
        CallEnded,
    ]
    began = call.events[0]
    assert (began.at_s, began.info.called, began.pipeline, began.version) == (0, "+1800", "test", 1)
    assert len({event.call_id for event in call.events}) == 1
    assert len(began.call_id) == 36  # made up, as the transport had none
    assert call.call.info.call_id == began.call_id == began.info.call_id
    times = [event.at_s for event in call.events]
    assert times == sorted(times)
    assert [event.turn for event in call.turns] == [1, 2, 3, 4]


async def test_after_the_end_nothing_is_told(autojump_clock):
    """A transport may deliver what it had, until it knows."""
    call = RehearsedCall(settings={"greeting": "Good morning."})
    await call.hold(lambda: exchange(call))
    count = len(call.events)
    call.call.dtmf("1")
    for _ in range(50):
        call.call.audio(b"\1\2" * 160)
    call.call.hung_up("twice")
    call.call.drain()
    assert len(call.events) == count
    assert isinstance(call.events[-1], CallEnded)
    assert len(call.told(CallEnded)) == 1


async def test_a_defect_that_a_timer_shows_ends_this_call_only(autojump_clock):
    call = RehearsedCall(settings={"greeting": "", "limits": LimitsSettings(idle_prompt_s=5)})

    def broken(_now):
        raise ZeroDivisionError

    async def caller():
        call.call._turns.fire_timers = broken
        await call.transport.be_silent(60_000)

    with pytest.raises(ExceptionGroup) as raised:
        await call.hold(caller)
    assert raised.group_contains(ZeroDivisionError)
    assert call.events[-1].at_s == pytest.approx(5)


@pytest.mark.parametrize("at_s", [0, 0.01, 1.0, 2.5, 3.05, 4.0])
async def test_cancelling_a_call_ends_it_cleanly(autojump_clock, at_s):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["two appointments"]),
        llm=ScriptedLanguageModel(
            lambda _: [0.1, TextDelta("A reply. "), 0.1, TextDelta("Of two parts."), ReplyDone()]
        ),
    )
    tasks = trio.lowlevel.current_statistics().tasks_living
    with trio.move_on_after(at_s) as cancelled:
        await call.hold(lambda: exchange(call, 5000))
    assert cancelled.cancelled_caught
    assert trio.lowlevel.current_statistics().tasks_living == tasks
    assert (call.stt.open_streams, call.llm.open_streams, call.tts.open_streams) == (0, 0, 0)
    if at_s:
        assert call.events[-1] == CallEnded(call.call.call_id, pytest.approx(at_s), "cancelled", len(call.turns))
        assert call.transport.ended.is_set()
        written = len(call.transport.written)
        await trio.sleep(5)
        assert len(call.transport.written) == written


async def test_a_call_that_is_left_without_being_held_is_hung_up(autojump_clock):
    call = RehearsedCall()
    async with (
        open_test_pipeline(call.stt, call.llm, call.tts) as pipeline,
        open_call(pipeline, call.transport, observer=call.events.append),
    ):
        pass
    assert call.transport.ended.is_set()
    assert call.events == []


async def test_an_error_of_the_body_comes_out_as_it_went_in(autojump_clock):
    call = RehearsedCall()
    async with open_test_pipeline(call.stt, call.llm, call.tts) as pipeline:
        with pytest.raises(LookupError, match="mine"):
            async with open_call(pipeline, call.transport):
                raise LookupError("mine")
    assert call.transport.ended.is_set()


async def test_a_transport_that_does_not_hang_up_is_left_after_a_while(autojump_clock):
    class Stuck(MemoryTransport):
        async def hang_up(self):
            await trio.sleep_forever()

    call = RehearsedCall(transport=Stuck(), settings={"greeting": "Hi."})
    await call.hold(lambda: exchange(call))
    assert trio.current_time() == pytest.approx(2 + 5)


async def test_what_the_model_expects_reaches_the_recogniser(autojump_clock):
    days = Listen(phrases=("monday", "tuesday"))
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["two appointments"]),
        llm=ScriptedLanguageModel(
            lambda request: [TextDelta(echo(request)), ReplyDone(listen=days, state=len(request.messages))]
        ),
    )
    await call.hold(lambda: exchange(call, 3500))
    assert call.stt.listened_for == [Listen(), days]
    assert [request.state for request in call.llm.requests] == [None, 0]


async def test_a_recogniser_that_ends_turns_is_not_kept_waiting(autojump_clock):
    call = RehearsedCall(settings={"greeting": ""})

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(700)
        call.call._driver.on_transcript(Transcript("yes please", final=True, audio_end_ms=1700))
        call.call._driver.on_transcript(EndOfTurn(eager=True))
        assert call.llm.requests == []
        call.call._driver.on_transcript(EndOfTurn())
        await call.transport.be_silent(2000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert ("yes please", "I see.") in call.conversation
    assert call.turns[-1].response_ms == pytest.approx(0, abs=21)


async def test_observers_are_optional(autojump_clock):
    call = RehearsedCall(settings={"greeting": "Hi."})
    async with (
        open_test_pipeline(call.stt, call.llm, call.tts, greeting="Hi.") as pipeline,
        trio.open_nursery() as nursery,
        open_call(pipeline, call.transport) as held,
    ):
        nursery.start_soon(exchange, call)
        assert (await held.run()).outcome == "caller_hung_up"


async def test_ten_minutes_take_a_moment(autojump_clock):
    """A conversation of ten minutes, with an interruption in every third reply."""
    call = RehearsedCall(
        stt=ScriptedSpeechToText([f"sentence {n}" for n in range(100)]),
        llm=ScriptedLanguageModel(lambda _: "This is what is said in answer to that. And a little more of it."),
        settings={"limits": LimitsSettings(max_call_minutes=10)},
    )

    async def caller():
        while True:
            for pause_ms in (6000, 6000, 1500):
                await call.transport.be_silent(pause_ms)
                await call.transport.say(700)

    ended = await call.hold(caller)
    assert (ended.outcome, ended.at_s) == ("max_length", pytest.approx(600, abs=2))
    assert Counter(turn.interrupted for turn in call.turns)[True] > 30
    assert len(call.turns) > 90
    assert len({turn.heard for turn in call.turns if turn.heard}) == len([turn for turn in call.turns if turn.heard])
