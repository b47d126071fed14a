"""T10: what was said, told, played or transferred from outside is in the conversation and the record."""

import json
import wave

import pytest
import trio

from voicepipe.calls.events import CallBegan, CallEnded, CallSteered, ReplyStarted
from voicepipe.calls.open_call import open_call
from voicepipe.calls.record import CallRecorder
from voicepipe.components.requests import CallInfo, Message, Told, ToolCall
from voicepipe.config.call_settings import BargeInSettings, LimitsSettings, TurnsSettings
from voicepipe.errors import CallOver, TransferFailed
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.context import SayOutcome

BARGE_IN = TurnsSettings(barge_in=BargeInSettings(resume_ms=0))


@pytest.fixture(autouse=True)
def no_threads(monkeypatch):
    """Reads files at once: virtual time does not wait for threads, so a slow machine would end the call meanwhile."""

    async def run_sync(function, *arguments, **_options):
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


class SteeredCall(RehearsedCall):
    """A call whose greeting is over after two seconds; then `steer` has the program act."""

    async def steered(self, steer, *, wait_ms=4000):
        async def caller():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.transport.be_silent, 120_000)
                await trio.sleep(2)
                await steer(self.call)
                await trio.sleep(wait_ms / 1000)
                await self.transport.hang_up_as_caller()
                nursery.cancel_scope.cancel()

        ended = await self.hold(caller)
        recorder = CallRecorder()
        for event in self.events:
            recorder.observe(event)
        self.record = recorder.record
        return ended

    @property
    def asked(self):
        return [(event.action, event.text) for event in self.told(CallSteered)]


def made(answer="I see.", stt=(), **options):
    settings = {"greeting": "Hello.", "limits": LimitsSettings(idle_prompt_s=600), "turns": BARGE_IN}
    return SteeredCall(
        stt=ScriptedSpeechToText(list(stt)),
        llm=ScriptedLanguageModel(answer if callable(answer) else lambda _request: answer),
        settings=settings,
        options=options,
    )


async def test_what_is_said_is_heard_and_the_agents_words(autojump_clock):
    call, outcomes = made(), []

    async def steer(call):
        outcomes.append(await call.say("We close in five minutes."))
        outcomes.append(call.conversation)

    await call.steered(steer)
    assert outcomes[0] == SayOutcome("We close in five minutes.", whole=True)
    assert outcomes[1][-1] == Message("agent", "We close in five minutes.")
    assert call.asked == [("say", "We close in five minutes.")]
    assert [turn.said for turn in call.record.turns] == ["Hello.", "We close in five minutes."]
    assert [(steered.action, steered.text) for steered in call.record.steered] == call.asked


async def test_the_model_reads_what_was_said(autojump_clock):
    call = made()

    async def steer(call):
        await call.say("We close in five minutes.")
        call.tell("The caller is in the shop.", respond=True)

    await call.steered(steer)
    (request,) = call.llm.requests
    assert request.trigger == Told("The caller is in the shop.")
    assert request.messages[-2:] == (
        Message("agent", "We close in five minutes."),
        Message("operator", "The caller is in the shop."),
    )
    assert (call.turns[-1].trigger, call.turns[-1].said) == ("told", "I see.")
    assert call.record.steered[-1].text == "The caller is in the shop."


async def test_a_fact_that_asks_for_no_reply_waits_for_the_next_request(autojump_clock):
    call = made()

    async def steer(call):
        call.tell("It rains.")
        await trio.sleep(5)
        assert len(calls_of(call)) == 2
        call.tell("It snows.", respond=True)

    def calls_of(call):
        return call.conversation

    await call.steered(steer)
    (request,) = call.llm.requests
    assert [message.text for message in request.messages] == ["Hello.", "It rains.", "It snows."]


async def test_of_a_text_that_the_caller_interrupts_only_what_was_heard(autojump_clock):
    call = made(stt=["stop it"])
    outcomes = []
    text = "This is a long text of which the caller hears but the very beginning because of other plans."

    async def caller():
        await call.transport.be_silent(2000)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(speak)
            await call.transport.be_silent(1500)
            await call.transport.say(600)
            await call.transport.be_silent(4000)
        await call.transport.hang_up_as_caller()

    async def speak():
        outcomes.append(await call.call.say(text))

    await call.hold(caller)
    (outcome,) = outcomes
    assert not outcome.whole
    assert outcome.heard
    assert text.startswith(outcome.heard)
    assert Message("agent", outcome.heard, interrupted=True) in call.call.conversation


async def test_two_texts_come_one_after_the_other(autojump_clock):
    call = made()

    async def steer(call):
        async with trio.open_nursery() as nursery:
            for text in ("One.", "Two."):
                nursery.start_soon(call.say, text)
                await trio.testing.wait_all_tasks_blocked()

    await call.steered(steer)
    assert [turn.said for turn in call.turns] == ["Hello.", "One.", "Two."]


async def test_a_text_may_interrupt_the_reply(autojump_clock):
    call = made("This reply goes on and on and nobody knows where it may end one day.")

    async def steer(call):
        call.tell("Anything.", respond=True)
        await trio.sleep(1)
        assert (await call.say("Stop.", interrupt=True)).whole

    await call.steered(steer)
    assert [turn.said for turn in call.turns][-1] == "Stop."
    assert not call.turns[-2].interrupted  # not by the caller


async def test_a_text_that_is_given_up_before_it_begins_is_not_said(autojump_clock):
    call = made("This reply goes on and on and nobody knows where it may end one day.")

    async def steer(call):
        call.tell("Anything.", respond=True)
        with trio.move_on_after(0.5):
            await call.say("Never.")

    await call.steered(steer, wait_ms=15_000)
    assert "Never." not in [turn.said for turn in call.turns]


async def test_when_the_call_ends_nobody_waits_any_longer(autojump_clock):
    call, outcomes = made("This reply goes on and on and nobody knows where it may end one day."), []

    async def steer(call):
        call.tell("Anything.", respond=True)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(said, call, "Never.")
            nursery.start_soon(transferred, call)
            await trio.sleep(0.1)
            call.hang_up()

    async def said(call, text):
        outcomes.append(await call.say(text))

    async def transferred(call):
        with pytest.raises(TransferFailed, match="the call ended before it began"):
            await call.transfer("100")

    ended = await call.steered(steer)
    assert ended.outcome == "agent_hung_up"
    assert outcomes == [SayOutcome("", whole=False)]


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_a_file_is_played(autojump_clock, tmp_path, rate):
    path = tmp_path / "notice.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(b"\x00\x10" * rate)  # a second
    call, outcomes = made(), []

    async def steer(call):
        outcomes.append(await call.play(path, text="A notice."))

    await call.steered(steer)
    assert outcomes == [SayOutcome("A notice.", whole=True)]
    assert call.turns[-1].at_s - call.told(ReplyStarted)[-1].at_s == pytest.approx(1, abs=0.1)
    assert call.asked == [("play", str(path))]
    assert call.record.turns[-1].said == "A notice."
    assert call.tts.texts == ["Hello."]


async def test_a_file_that_is_no_sound_is_refused_in_words(autojump_clock, tmp_path):
    path = tmp_path / "notice.wav"
    path.write_bytes(b"ID3 rubbish")
    call = made()

    async def steer(call):
        with pytest.raises(ValueError, match=r"notice\.wav: is no WAV file: convert it with `sox"):
            await call.play(path)
        with pytest.raises(FileNotFoundError):
            await call.play(tmp_path / "none.wav")

    await call.steered(steer)
    assert call.asked == []


async def test_a_goodbye_is_said_and_then_the_call_ends(autojump_clock):
    call = made()

    async def steer(call):
        call.hang_up("We close now. Goodbye.")
        await trio.sleep(0.1)
        for request in (call.say("More."), call.transfer("100")):
            with pytest.raises(CallOver, match="the agent says its last words"):
                await request
        with pytest.raises(CallOver):
            call.tell("More.")

    ended = await call.steered(steer)
    assert ended.outcome == "agent_hung_up"
    assert call.asked == [("hang_up", "We close now. Goodbye.")]
    assert call.record.turns[-1].said == "We close now. Goodbye."
    with pytest.raises(CallOver, match="the call is over"):
        await call.call.say("Too late.")
    call.call.hang_up()
    assert call.call.conversation[-1].text == "We close now. Goodbye."


async def test_a_transfer_is_in_the_record(autojump_clock):
    call = made()
    call.transport = MemoryTransport(can=frozenset({"transfer", "completes_transfer"}))

    async def steer(call):
        await call.transfer("100")

    ended = await call.steered(steer)
    assert (ended.outcome, ended.detail) == ("transferred", "100")
    assert call.asked == [("transfer", "100")]
    assert [(transfer.target, transfer.failure) for transfer in call.record.transfers] == [("100", "")]


async def test_variables_are_those_of_the_end(autojump_clock):
    call = made()
    call.transport = MemoryTransport(info=CallInfo(transport_id="7", variables={"tenant": "acme", "vip": "no"}))

    async def steer(call):
        call.set_variables({"vip": "yes"})
        assert call.info.variables == call.variables == {"tenant": "acme", "vip": "yes"}
        with pytest.raises(ValueError, match="variables are texts"):
            call.set_variables({"vip": 1})

    await call.steered(steer)
    assert call.record.info.variables == {"tenant": "acme", "vip": "yes"}
    assert call.record.steered[0].variables == {"vip": "yes"}
    assert call.told(CallBegan)[0].info.variables["vip"] == "no"


async def test_metadata_is_one_bag_for_all(autojump_clock):
    call = made(metadata={"campaign": 7})

    async def steer(call):
        call.metadata["customer"] = {"id": 42, "of": {1}}

    await call.steered(steer)
    (began,), (ended,) = call.told(CallBegan), call.told(CallEnded)
    assert began.metadata is call.call.metadata
    assert ended.metadata == call.record.metadata == {"campaign": 7, "customer": {"id": 42, "of": {1}}}
    data = json.loads(json.dumps(call.record.as_data(), default=str))
    assert data["metadata"] == {"campaign": 7, "customer": {"id": 42, "of": "{1}"}}


class SpokenLanguages(ToneTextToSpeech):
    """A voice that notes in which languages it is to speak."""

    def __init__(self):
        super().__init__()
        self.languages = []

    def open_stream(self, output, language):
        self.languages.append(language)
        return super().open_stream(output, language)


async def test_the_language_is_that_of_the_next_turn(autojump_clock):
    call = made(stt=["guten tag"])
    call.tts = SpokenLanguages()

    async def steer(call):
        await call.set_language("de")
        await call.say("Guten Tag.")

    await call.steered(steer)
    assert call.tts.languages == [None, "de"]
    assert [listen.language for listen in call.stt.listened_for] == [None, "de"]
    assert call.asked[0] == ("set_language", "de")


async def test_a_conversation_goes_on_where_another_ended(autojump_clock):
    before = (
        Message("caller", "I want a table"),
        Message("agent", "For when?", tool_calls=(ToolCall("1", "look", {}),)),
        Message("tool", "free", tool_call_id="1"),
    )
    call = made(messages=before)

    async def steer(call):
        assert call.conversation[:3] == before
        call.tell("It is the same caller.", respond=True)

    await call.steered(steer)
    assert call.llm.requests[0].messages[:3] == before


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        ((Message("tool", "free", tool_call_id="1"),), "the result of '1' has no call before it"),
        ((Message("agent", "", tool_calls=(ToolCall("1", "look", {}),)),), "no result for the tool calls 1"),
    ],
)
async def test_half_a_tool_call_is_no_conversation(autojump_clock, messages, why):
    call = made()
    async with open_test_pipeline(call.stt, call.llm, call.tts) as pipeline:
        with pytest.raises(ValueError, match=why):
            async with open_call(pipeline, call.transport, messages=messages):
                pass
