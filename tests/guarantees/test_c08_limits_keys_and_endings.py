"""C08: silence, maximum length, DTMF, greeting, hang-up and transfer behave as configured."""

import pytest

from voicepipe.calls.events import CallEnded, DtmfReceived, ReplyStarted
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.components.requests import CallInfo, CallStarted, Dtmf, Message, Silence
from voicepipe.config.call_settings import DtmfSettings, KeyAction, LimitsSettings, TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport


def answers(text, *tools):
    """A model that always says and does the same."""
    events = [*([TextDelta(text)] if text else []), *tools, ReplyDone()]
    return ScriptedLanguageModel(lambda _request: list(events))


def silent_caller(call, ms=600_000):
    return lambda: call.transport.be_silent(ms)


# --- The greeting --------------------------------------------------------------------------------------------------


async def test_the_greeting_is_said_without_the_model(autojump_clock):
    call = RehearsedCall(settings={"greeting": "Good morning. How can I help?"})
    await call.hold(silent_hang_up(call, 4000))
    assert call.llm.requests == []
    assert call.tts.texts == ["Good morning. How can I help?"]
    assert call.conversation == [("", "Good morning. How can I help?")]
    assert call.turns[0].trigger == "announcement"


async def test_without_a_greeting_the_model_speaks_first(autojump_clock):
    transport = MemoryTransport(info=CallInfo(call_id="7", called="+1800", caller="+1555"))
    call = RehearsedCall(llm=answers("Hello there."), transport=transport, settings={"prompt": "Be kind."})
    await call.hold(silent_hang_up(call, 2000))
    (request,) = call.llm.requests
    assert (request.trigger, request.prompt, request.messages) == (CallStarted(call.call.info), "Be kind.", ())
    assert call.conversation == [("", "Hello there.")]


async def test_the_greeting_is_in_the_conversation(autojump_clock):
    call = RehearsedCall(stt=ScriptedSpeechToText(["hi"]), settings={"greeting": "Good morning."})

    async def caller():
        await call.transport.be_silent(2000)
        await call.transport.say(500)
        await silent_hang_up(call, 2000)()

    await call.hold(caller)
    assert call.llm.requests[0].messages == (Message("agent", "Good morning."), Message("caller", "hi"))


def silent_hang_up(call, ms):
    async def caller():
        await call.transport.be_silent(ms)
        await call.transport.hang_up_as_caller()

    return caller


# --- Silence, length, no audio -------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompts", [0, 1, 3])
async def test_silence_is_prompted_and_then_ended(autojump_clock, prompts):
    limits = LimitsSettings(idle_prompt_s=5, idle_prompts=prompts, goodbye="Bye now.")
    call = RehearsedCall(llm=answers("Still there?"), settings={"greeting": "Hi.", "limits": limits})
    ended = await call.hold(silent_caller(call))
    assert ended.outcome == "idle"
    assert [request.trigger for request in call.llm.requests] == [Silence(n + 1) for n in range(prompts)]
    assert [turn.said for turn in call.turns] == ["Hi.", *["Still there?"] * prompts, "Bye now."]
    begins = [event.at_s for event in call.told(ReplyStarted)]
    ends = [turn.at_s for turn in call.turns]
    assert [later - earlier for earlier, later in zip(ends, begins[1:], strict=False)] == pytest.approx(
        [5] * (prompts + 1)
    )
    assert ended.at_s == pytest.approx(ends[-1])  # not before the goodbye has been heard


async def test_a_caller_who_speaks_is_not_idle(autojump_clock):
    limits = LimitsSettings(idle_prompt_s=5, idle_prompts=1)
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["one", "two", "three"]), settings={"greeting": "Hi.", "limits": limits}
    )

    async def caller():
        for _ in range(3):
            await call.transport.be_silent(7000)
            await call.transport.say(500)
        await silent_hang_up(call, 3000)()

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    assert [type(request.trigger).__name__ for request in call.llm.requests] == ["Silence", "Utterance"] * 3


async def test_a_call_is_no_longer_than_allowed(autojump_clock):
    limits = LimitsSettings(max_call_minutes=0.5, idle_prompt_s=1000, goodbye="Time is up.")
    call = RehearsedCall(settings={"greeting": "Hi.", "limits": limits})
    ended = await call.hold(silent_caller(call))
    assert ended.outcome == "max_length"
    assert call.turns[-1].said == "Time is up."
    assert ended.at_s == pytest.approx(30 + len("Time is up.") * 0.06, abs=0.05)


async def test_the_greatest_length_cuts_a_reply_short(autojump_clock):
    limits = LimitsSettings(max_call_minutes=0.1, goodbye="Time is up.")
    call = RehearsedCall(settings={"greeting": "And so on " * 50, "limits": limits})
    ended = await call.hold(silent_caller(call))
    assert ended.outcome == "max_length"
    assert not call.turns[0].interrupted  # not by the caller
    assert len(call.turns[0].said) < len(call.settings["greeting"])
    assert 6 < ended.at_s < 7


async def test_without_words_for_it_a_call_ends_at_once(autojump_clock):
    limits = LimitsSettings(max_call_minutes=0.1, goodbye="")
    call = RehearsedCall(settings={"greeting": "Hi.", "limits": limits})
    ended = await call.hold(silent_caller(call))
    assert (ended.outcome, ended.at_s) == ("max_length", pytest.approx(6))


async def test_a_transport_that_delivers_nothing_is_given_up(autojump_clock):
    limits = LimitsSettings(no_audio_s=4, idle_prompt_s=100)
    call = RehearsedCall(settings={"greeting": "Hi.", "limits": limits})
    ended = await call.hold(silent_caller(call, 3000))
    assert (ended.outcome, ended.at_s) == ("no_audio", pytest.approx(7))
    assert "4 s" in ended.detail


# --- Keys ----------------------------------------------------------------------------------------------------------


async def test_a_key_is_answered_at_once(autojump_clock):
    call = RehearsedCall(llm=answers("You pressed it."), settings={"greeting": "Hi."})

    async def caller():
        await call.transport.be_silent(2000)
        await call.transport.press("5")
        await silent_hang_up(call, 3000)()

    await call.hold(caller)
    assert [event.digit for event in call.told(DtmfReceived)] == ["5"]
    assert call.llm.requests[0].trigger == Dtmf("5")
    assert call.conversation[1] == ("5", "You pressed it.")
    assert call.told(ReplyStarted)[1].at_s == pytest.approx(2, abs=0.02)
    assert call.turns[1].trigger == "dtmf"


async def test_a_key_interrupts(autojump_clock):
    call = RehearsedCall(llm=answers("You pressed it."), settings={"greeting": "Press one, or two, or three, or four."})

    async def caller():
        await call.transport.be_silent(700)
        await call.transport.press("2")
        await silent_hang_up(call, 3000)()

    await call.hold(caller)
    assert call.turns[0].interrupted
    assert call.turns[0].said == "Press one,"
    assert call.conversation[1] == ("2", "You pressed it.")


# --- Hanging up, transfer ------------------------------------------------------------------------------------------


async def test_the_model_hangs_up_when_its_words_were_heard(autojump_clock):
    call = RehearsedCall(llm=answers("Thank you, goodbye.", ToolCall("1", "hang_up")))
    ended = await call.hold(silent_caller(call))
    assert ended.outcome == "agent_hung_up"
    assert call.conversation == [("", "Thank you, goodbye.")]
    assert ended.at_s == pytest.approx(len("Thank you, goodbye.") * 0.06, abs=0.05)
    assert call.transport.ended.is_set()
    assert call.transport.transferred_to is None


async def test_a_hang_up_without_words(autojump_clock):
    call = RehearsedCall(llm=answers("", ToolCall("1", "hang_up")))
    ended = await call.hold(silent_caller(call))
    assert (ended.outcome, ended.at_s) == ("agent_hung_up", 0)


async def test_a_transfer_is_announced_first(autojump_clock):
    call = RehearsedCall(
        llm=answers("One moment, please.", ToolCall("1", "transfer", {"target": "100"})),
        settings={"tools": ("hang_up", "transfer")},
    )
    ended = await call.hold(silent_caller(call))
    assert (ended.outcome, ended.detail) == ("transfer_requested", "100")
    assert call.conversation == [("", "One moment, please.")]
    assert call.transport.transferred_to == "100"


async def test_the_caller_hangs_up(autojump_clock):
    call = RehearsedCall(settings={"greeting": "A long greeting that nobody will hear to its end."})
    ended = await call.hold(silent_hang_up(call, 1000))
    assert ended == CallEnded(call.call.call_id, pytest.approx(1), "caller_hung_up", 1, "the caller hung up")
    assert call.turns[0].interrupted
    written = len(call.transport.written)
    assert written * 20 <= 1000 + 60


async def test_the_call_can_be_hung_up_or_drained_from_outside(autojump_clock):
    call = RehearsedCall(settings={"greeting": "Good morning."})

    async def hang_up():
        await call.transport.be_silent(500)
        call.call.hang_up()

    assert (await call.hold(hang_up)).outcome == "agent_hung_up"

    drained = RehearsedCall(settings={"greeting": "Good morning.", "limits": LimitsSettings(goodbye="We close.")})

    async def drain():
        await drained.transport.be_silent(500)
        drained.call.drain()
        await drained.transport.be_silent(60_000)

    assert (await drained.hold(drain)).outcome == "drained"
    assert drained.conversation == [("", "Good morning."), ("", "We close.")]  # the reply that was on is heard first


# --- What the caller may say or press to get somewhere -------------------------------------------------------------


HANGS_UP = TurnsSettings(hang_up_phrases=("goodbye", "that's all, thank you"))


@pytest.mark.parametrize("said", ["Goodbye.", "goodbye", "That's all. Thank you!"])
async def test_a_phrase_ends_the_call(autojump_clock, said):
    limits = LimitsSettings(goodbye="Have a nice day.")
    call = RehearsedCall(
        stt=ScriptedSpeechToText([said]), settings={"greeting": "Hi.", "turns": HANGS_UP, "limits": limits}
    )
    ended = await call.hold(speaks(call, 1500))
    assert (ended.outcome, ended.detail) == ("said_goodbye", said)
    assert call.conversation == [("", "Hi."), (said, "Have a nice day.")]
    assert call.turns[1].trigger == "utterance"
    assert 399 < call.turns[1].response_ms < 631
    assert call.llm.requests == []
    assert call.transport.ended.is_set()


async def test_a_phrase_within_a_sentence_is_part_of_it(autojump_clock):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["say goodbye to her"]), settings={"greeting": "Hi.", "turns": HANGS_UP}
    )
    ended = await call.hold(speaks(call, 1500))
    assert ended.outcome == "caller_hung_up"
    assert call.conversation[1] == ("say goodbye to her", "I see.")


async def test_a_phrase_over_a_reply_ends_the_call_too(autojump_clock):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["goodbye"]), settings={"greeting": "And so on. " * 20, "turns": HANGS_UP}
    )
    ended = await call.hold(speaks(call, 1500))
    assert ended.outcome == "said_goodbye"
    assert call.turns[0].interrupted
    assert call.conversation[1] == ("goodbye", "Goodbye.")


def speaks(call, after_ms):
    async def caller():
        await call.transport.be_silent(after_ms)
        await call.transport.say(500)
        await call.transport.be_silent(4000)
        await call.transport.hang_up_as_caller()

    return caller


MENU = {
    "0": KeyAction(transfer="operator"),
    "1": KeyAction(say="We are open from nine to five."),
    "*": KeyAction(hang_up=True),
}


def presses(call, *keys, after_ms=2000, gap_ms=300, then_ms=6000):
    async def caller():
        await call.transport.be_silent(after_ms)
        for key in keys:
            await call.transport.press(key)
            await call.transport.be_silent(gap_ms)
        await call.transport.be_silent(then_ms)
        await call.transport.hang_up_as_caller()

    return caller


@pytest.mark.parametrize("after_ms", [500, 2500])  # over the greeting, and after it
async def test_a_menu_key_says_something_without_the_model(autojump_clock, after_ms):
    call = RehearsedCall(settings={"greeting": "Press one, or wait for it.", "keys": MENU})
    await call.hold(presses(call, "1", after_ms=after_ms))
    assert call.llm.requests == []
    assert call.conversation[1] == ("1", "We are open from nine to five.")
    assert call.turns[1].trigger == "dtmf"
    assert call.turns[0].interrupted == (after_ms < 1000)


async def test_a_menu_key_transfers(autojump_clock):
    call = RehearsedCall(settings={"greeting": "Press zero.", "keys": MENU})
    ended = await call.hold(presses(call, "0"))
    assert (ended.outcome, ended.detail) == ("transfer_requested", "operator")
    assert call.transport.transferred_to == "operator"
    assert ended.at_s == pytest.approx(2, abs=0.02)


async def test_a_menu_key_hangs_up(autojump_clock):
    call = RehearsedCall(settings={"greeting": "Press star.", "keys": MENU})
    ended = await call.hold(presses(call, "*"))
    assert ended.outcome == "agent_hung_up"
    assert call.conversation[1] == ("*", "Goodbye.")


async def test_other_keys_are_the_models(autojump_clock):
    call = RehearsedCall(llm=answers("You pressed it."), settings={"greeting": "Press one.", "keys": MENU})
    await call.hold(presses(call, "7"))
    assert call.conversation[1] == ("7", "You pressed it.")


@pytest.mark.parametrize(
    ("keys", "end_key", "gap_ms", "numbers"),
    [
        ("4711", "#", 300, ["4711"]),
        ("4711#", "#", 300, ["4711"]),
        ("47*1", "*", 300, ["47", "1"]),
        ("47#1", "", 300, ["47#1"]),
        ("12", "#", 1500, ["1", "2"]),
    ],
)
async def test_keys_make_numbers(autojump_clock, keys, end_key, gap_ms, numbers):
    turns = TurnsSettings(dtmf=DtmfSettings(gap_ms=1000, end_key=end_key))
    call = RehearsedCall(llm=answers("Thanks."), settings={"greeting": "Your number?", "turns": turns})
    await call.hold(presses(call, *keys, gap_ms=gap_ms))
    assert [request.trigger for request in call.llm.requests] == [Dtmf(number) for number in numbers]
    assert [turn.heard for turn in call.turns[1:] if turn.trigger == "dtmf"] == numbers


async def test_an_end_key_saves_the_wait(autojump_clock):
    turns = TurnsSettings(dtmf=DtmfSettings(gap_ms=3000))
    call = RehearsedCall(llm=answers("Thanks."), settings={"greeting": "Your number?", "turns": turns})
    await call.hold(presses(call, "4", "2", "#"))
    assert call.told(ReplyStarted)[1].at_s == pytest.approx(2.6, abs=0.02)


async def test_an_end_key_alone_interrupts_and_is_no_number(autojump_clock):
    turns = TurnsSettings(dtmf=DtmfSettings(gap_ms=1000))
    limits = LimitsSettings(idle_prompt_s=4, idle_prompts=0)
    call = RehearsedCall(settings={"greeting": "Your number, please, now.", "turns": turns, "limits": limits})
    ended = await call.hold(presses(call, "#", after_ms=500, then_ms=20_000))
    assert call.turns[0].interrupted
    assert call.llm.requests == []
    assert ended.outcome == "idle"  # and not nothing for ever


# --- A warning before the end --------------------------------------------------------------------------------------

SHORT = LimitsSettings(max_call_minutes=0.5, warning_s=10, warning="Soon.", goodbye="Time is up.", idle_prompt_s=100)


async def test_the_caller_is_warned_before_the_end(autojump_clock):
    call = RehearsedCall(settings={"greeting": "Hi.", "limits": SHORT})
    ended = await call.hold(silent_caller(call))
    assert [turn.said for turn in call.turns] == ["Hi.", "Soon.", "Time is up."]
    assert [event.at_s for event in call.told(ReplyStarted)] == pytest.approx([0, 20, 30], abs=0.05)
    assert ended.outcome == "max_length"


async def test_a_warning_waits_until_nobody_speaks(autojump_clock):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["now"]),
        llm=answers("It is a long answer, that goes on."),
        settings={"greeting": "Hi.", "limits": SHORT},
    )

    async def caller():
        await call.transport.be_silent(19_500)
        await call.transport.say(1000)
        await call.transport.be_silent(20_000)

    await call.hold(caller)
    assert call.conversation == [
        ("", "Hi."),
        ("now", "It is a long answer, that goes on."),
        ("", "Soon."),
        ("", "Time is up."),
    ]


async def test_a_warning_that_waits_outlasts_what_else_is_announced(autojump_clock):
    call = RehearsedCall(settings={"greeting": "Hi.", "limits": SHORT, "keys": {"1": KeyAction(say="Open till five.")}})

    async def caller():
        await call.transport.be_silent(19_900)
        await call.transport.press("1")
        await call.transport.be_silent(20_000)

    await call.hold(caller)
    assert [turn.said for turn in call.turns] == ["Hi.", "Open till five.", "Soon.", "Time is up."]


async def test_a_transfer_that_the_caller_speaks_over_is_asked_for_again(autojump_clock):
    """Interrupted before its words were heard, it does not happen behind the caller's back."""
    moment = "I am putting you through to sales, one moment."
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["wait a moment"]),
        llm=ScriptedLanguageModel(
            lambda request: (
                [TextDelta(moment), ToolCall("1", "transfer", {"target": "1"}), ReplyDone()]
                if not request.messages
                else "Yes?"
            )
        ),
        settings={"tools": ("transfer",)},
    )
    ended = await call.hold(speaks(call, 800))
    assert ended.outcome == "caller_hung_up"
    assert call.turns[0].interrupted
    assert call.conversation[1] == ("wait a moment", "Yes?")
    assert call.transport.transferred_to is None
