"""A recogniser that goes wrong in a call: the next one hears what the first had not made words of, once."""

from __future__ import annotations

import pytest
from flaky import FlakyStt, FlakyTts, Telephone, Trouble

from voicepipe.audio import AudioFormat, level, open_converter, to_pcm16
from voicepipe.calls.events import ComponentFailed, FailedOver
from voicepipe.config.call_settings import BudgetsSettings, OnFailure, SpeechToTextBudgets, TurnsSettings
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall

BUDGETS = BudgetsSettings(stt=SpeechToTextBudgets(connect_ms=1000, first_transcript_ms=700))
LASTING = ComponentError("refused with status 401", retryable=False)
BUSY = ComponentError("refused with status 429", retry_after_s=60)


def call_with(*stts, audio=None, **settings):
    # What both say are steady tones, which rise and fall alike: nothing tells them from an echo.
    turns = TurnsSettings(echo_guard=False)
    own = {"greeting": "", "budgets": BUDGETS, "on_failure": OnFailure(say="sorry.", retries=0), "turns": turns}
    settings = own | settings
    return RehearsedCall(stt=list(stts), tts=FlakyTts(), transport=Telephone(audio), settings=settings)


async def converse(call, *, says_ms=(900,), pause_ms=2500, before_ms=300):
    """The caller says something, waits for the answer, and hangs up in the end."""

    async def caller():
        await call.transport.be_silent(before_ms)
        for ms in says_ms:
            await call.transport.say(ms)
            await call.transport.be_silent(pause_ms)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller)


def talk(call):
    """Turn by turn; an empty greeting is none."""
    return [turn for turn in call.conversation if any(turn)]


def alternates(call):
    return [(over.rung, over.component) for over in call.told(FailedOver)]


def replayed(call, heard, *, since_ms=0):
    """Where in the caller's audio that begins which a recogniser got; it must be a piece of it, whole."""
    sent, heard = bytes(call.transport.sent), bytes(heard)
    size = call.transport.audio.bytes_in(20)
    start = next(at for at in range(0, len(sent), size) if sent[at : at + len(heard)] == heard)
    first_speech = next(at for at in range(int(since_ms) * size // 20, len(sent), size) if any(sent[at : at + size]))
    assert start <= first_speech
    return call.transport.audio.ms_in(start)


TROUBLES = {
    "before it opens": Trouble("open"),
    "never opens": Trouble("hang"),
    "at once": Trouble("fail", 0),
    "in silence": Trouble("fail", 200),
    "as the caller begins": Trouble("fail", 320),
    "in the middle": Trouble("fail", 700),
    "ends in the middle": Trouble("end", 700),
    "at the last word": Trouble("final", 900),
    "gives no last word": Trouble("no final"),
    "stalls from the start": Trouble("stall"),
    "refuses": Trouble("open", error=LASTING),
}


@pytest.mark.parametrize("name", TROUBLES)
async def test_the_next_one_hears_all_of_it_once(autojump_clock, name):
    first = FlakyStt(["never heard"], [TROUBLES[name]] * 9)
    second = FlakyStt(["good morning"])
    call = call_with(first, second)
    ended = await converse(call)
    assert ended.outcome == "caller_hung_up"
    assert talk(call)[-1] == ("good morning", "I see.")
    assert alternates(call)[0] == ("alternate", "test_stt_2")
    assert replayed(call, second.heard[0]) <= 320
    (failed,) = {event.error.component for event in call.told(ComponentFailed)}
    assert failed == "test_stt"


@pytest.mark.parametrize("name", TROUBLES)
async def test_the_answer_comes_within_the_budget(autojump_clock, name):
    call = call_with(FlakyStt([], [TROUBLES[name]] * 9), FlakyStt(["good morning"]))
    await converse(call)
    spoken = 0.3 + 0.9
    answered = call.transport.heard_from(spoken)
    late = BUDGETS.stt.first_transcript_ms / 1000 if name in {"gives no last word", "stalls from the start"} else 0
    # Opening is a matter of the call's beginning, and 600 ms of silence end the turn in any case.
    assert answered - spoken <= 0.6 + late + 0.1


async def test_what_was_final_is_not_said_to_the_next_one(autojump_clock):
    """The first heard "good morning" up to 800 ms into the call, and dies 400 ms later."""
    first = FlakyStt([], [Trouble("fail", 1200)], by_itself=[(1000, "good morning", 800)])
    second = FlakyStt(["to you"])
    call = call_with(first, second)
    await converse(call, says_ms=(1500,))
    assert talk(call) == [("good morning to you", "I see.")]
    assert replayed(call, second.heard[0], since_ms=800) == 800
    assert bytes(call.transport.sent)[800 * 16 :].startswith(bytes(second.heard[0]))


async def test_what_was_final_without_a_place_is_not_said_to_the_next_one_either(autojump_clock):
    first = FlakyStt([], [Trouble("fail", 1200)], by_itself=[(1000, "good morning", None)])
    second = FlakyStt(["to you"])
    call = call_with(first, second)
    await converse(call, says_ms=(1500,))
    assert talk(call) == [("good morning to you", "I see.")]
    assert 1000 <= replayed(call, second.heard[0], since_ms=1020) <= 1020


async def test_two_that_die_in_one_utterance(autojump_clock):
    third = FlakyStt(["good morning"])
    first, second = (FlakyStt([], [Trouble("fail", ms, BUSY)]) for ms in (600, 900))
    call = call_with(first, second, third)
    await converse(call)
    assert talk(call) == [("good morning", "I see.")]
    assert alternates(call) == [("alternate", "test_stt_2"), ("alternate", "test_stt_3")]
    assert replayed(call, third.heard[0]) <= 320


async def test_one_that_recovers_at_once_is_tried_again(autojump_clock):
    first = FlakyStt(["good morning"], [Trouble("fail", 700)])
    call = call_with(first, FlakyStt(["never asked"]), on_failure=OnFailure(retries=1))
    await converse(call)
    assert talk(call) == [("good morning", "I see.")]
    assert alternates(call) == [("retry", "test_stt")]
    assert len(first.heard) == 2
    assert replayed(call, first.heard[1]) <= 320


@pytest.mark.parametrize(
    ("line", "wants"),
    [
        (AudioFormat(8000), AudioFormat(16000)),
        (AudioFormat(8000, "mulaw"), AudioFormat(16000)),
        (AudioFormat(8000, "alaw"), AudioFormat(8000)),
        (AudioFormat(16000), AudioFormat(8000, "mulaw")),
        (AudioFormat(16000), AudioFormat(8000)),
    ],
    ids=str,
)
async def test_each_in_a_list_hears_its_own_format(autojump_clock, line, wants):
    first = FlakyStt([], [Trouble("fail", 700, BUSY)])
    second = FlakyStt(["good morning"], audio=wants, chunk_ms=100)
    call = call_with(first, second, audio=line)
    await converse(call)
    assert talk(call) == [("good morning", "I see.")]
    heard = bytes(second.heard[0])
    # The same audio, converted in one go, is as long and as loud: nothing is missing, and nothing is there twice.
    whole = open_converter(line, wants, live=True).convert(bytes(call.transport.sent))
    assert -1 <= wants.ms_in(len(whole) - len(heard)) <= 420
    linear, other = to_pcm16(heard, wants.encoding), to_pcm16(whole, wants.encoding)
    assert level(linear) * len(linear) ** 0.5 == pytest.approx(level(other) * len(other) ** 0.5, rel=0.02)


# --- A recogniser that succeeds with nothing ----------------------------------------------------------------------


async def test_voice_without_words_gets_a_second_opinion(autojump_clock):
    first, second = FlakyStt([], [Trouble("empty")] * 9), FlakyStt(["good morning"])
    call = call_with(first, second)
    await converse(call)
    assert talk(call) == [("good morning", "I see.")]
    assert [event.error.message for event in call.told(ComponentFailed)] == [
        "returned no transcript for speech that another recogniser transcribed",
    ]
    assert alternates(call) == [("alternate", "test_stt_2")]
    assert replayed(call, second.heard[0]) <= 320


async def test_noise_that_nobody_makes_words_of_is_no_failure(autojump_clock):
    first, second = FlakyStt([], [Trouble("empty")] * 9), FlakyStt([], [Trouble("empty")] * 9)
    call = call_with(first, second)
    await converse(call, says_ms=(900, 900, 900))
    assert talk(call) == []
    assert call.told(ComponentFailed) == []
    assert call.told(FailedOver) == []


async def test_a_short_noise_asks_nobody_else(autojump_clock):
    first, second = FlakyStt([], [Trouble("empty")] * 9), FlakyStt(["good morning"])
    call = call_with(first, second)
    await converse(call, says_ms=(200,))
    assert second.heard == []


@pytest.mark.parametrize(
    ("after_ms", "says_ms", "is_doubted"),
    [(0, 900, False), (400, 300, False), (400, 500, True), (100, 200, True), (1500, 900, False), (800, 1200, True)],
)
async def test_how_much_voice_is_doubted_is_set(autojump_clock, after_ms, says_ms, is_doubted):
    first, second = FlakyStt([], [Trouble("empty")] * 9), FlakyStt(["good morning"])
    call = call_with(first, second, on_failure=OnFailure(retries=0, second_opinion_ms=after_ms))
    await converse(call, says_ms=(says_ms,))
    assert bool(second.heard) == is_doubted
    assert talk(call) == [("good morning", "I see.")] * is_doubted
    assert len(call.told(ComponentFailed)) == is_doubted


async def test_one_alone_is_believed(autojump_clock):
    only = FlakyStt([], [Trouble("empty")] * 9)
    call = call_with(only)
    await converse(call, says_ms=(900, 900))
    assert (talk(call), call.told(ComponentFailed), len(only.heard)) == ([], [], 1)


# --- Beyond one failure ---------------------------------------------------------------------------------------------


async def test_it_goes_back_to_the_preferred_one_when_that_works_again(autojump_clock):
    first = FlakyStt(["third", "fourth"], [Trouble("fail", 900, BUSY)])
    second = FlakyStt(["first", "second"])
    call = call_with(first, second)

    async def caller():
        phone = call.transport
        await phone.be_silent(300)
        await phone.say(900)  # in which the first one dies
        await phone.be_silent(2000)
        breaker = call.call._parts.recognisers._opened[0].breaker
        assert breaker.state == "open"
        breaker.try_it()
        breaker.close()
        for _ in range(3):
            await phone.say(900)
            await phone.be_silent(2000)
        await phone.hang_up_as_caller()

    await call.hold(caller)
    assert talk(call) == [(heard, "I see.") for heard in ("first", "second", "third", "fourth")]
    assert len(first.heard) == 2
    # Of what the other one made words of, it hears nothing: it begins when the second turn is over.
    heard_ms, sent_ms = (AudioFormat(8000).ms_in(len(audio)) for audio in (first.heard[1], call.transport.sent))
    assert sent_ms - heard_ms == pytest.approx(300 + 2900 + 900 + 600, abs=100)
    assert len(call.told(ComponentFailed)) == 1


async def test_with_none_left_the_caller_hears_the_apology(autojump_clock):
    call = call_with(
        FlakyStt([], [Trouble("fail", 700, LASTING)] * 9), FlakyStt([], [Trouble("open", error=LASTING)] * 9)
    )
    ended = await converse(call)
    assert (ended.outcome, call.transport.heard) == ("returned_to_dialplan", "sorry.")
    assert alternates(call) == [("alternate", "test_stt_2"), ("apology", "")]


async def test_a_failure_while_the_reply_is_spoken_does_not_disturb_it(autojump_clock):
    first = FlakyStt(["good morning"], [Trouble("fail", 2400)])
    second = FlakyStt(["goodbye"])
    call = call_with(first, second)
    call.llm.answer = lambda _request: "a rather long answer to that."
    await converse(call, says_ms=(900, 900), pause_ms=3500)
    assert [heard for heard, _ in talk(call)] == ["good morning", "goodbye"]
    assert call.transport.heard == "a rather long answer to that." * 2
    assert not call.turns[1].interrupted


async def test_a_failure_during_barge_in_costs_no_word(autojump_clock):
    """The caller speaks over the reply, and the recogniser dies in it."""
    first = FlakyStt(["good morning"], [Trouble("fail", 2700)])
    second = FlakyStt(["stop it please"])
    call = call_with(first, second)
    call.llm.answer = lambda _request: "a very long answer that takes a while, as it has so many words in it."
    await converse(call, says_ms=(900, 900), pause_ms=1200)
    assert [heard for heard, _ in talk(call)] == ["good morning", "stop it please"]
    assert call.turns[1].interrupted
    assert replayed(call, second.heard[0], since_ms=1300) <= 2400


async def test_a_dead_recogniser_does_not_keep_the_greeting(autojump_clock):
    first, second = FlakyStt([], [Trouble("hang")]), FlakyStt(["good morning"])
    call = call_with(first, second, greeting="hello there.")
    await converse(call, before_ms=1500)
    assert call.transport.written[0][0] == pytest.approx(0.0, abs=0.001)
    assert call.transport.heard == "hello there." + "i see."
