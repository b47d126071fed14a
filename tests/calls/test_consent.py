"""Consent to the recording, in whole calls: no audio and no file before it, and the answer in the record."""

from __future__ import annotations

import wave

import numpy as np
import pytest
import trio

from voicepipe.calls.events import CallBegan, RecordingConsent
from voicepipe.calls.record import CallRecorder
from voicepipe.components.requests import CallInfo, CallStarted, Message
from voicepipe.config.call_settings import LimitsSettings, OnFailure
from voicepipe.config.settings import RecordingSettings
from voicepipe.testing.buffering_transport import BufferingTransport
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport

pytestmark = pytest.mark.usefixtures("threads_take_no_time")

MAY_WE, WE_DO = "May we record this call?", "We record this call."


class AskedCall(RehearsedCall):  # no attrs class: it has a `__dict__`
    """A call that is recorded after the caller was told or asked."""

    directory = None

    async def goes(self, *steps):
        """Has the caller act: silence in ms, words as True for a second, a key as text; then they hang up."""
        self.files = []  # those that there were after each step

        async def caller():
            for step in (*steps, 300):
                if step is True:
                    await self.transport.say(1000)
                elif isinstance(step, str):
                    await self.transport.press(step)
                else:
                    await self.transport.be_silent(step)
                self.files.append(list(self.directory.iterdir()))
            await self.transport.hang_up_as_caller()

        ended = await self.hold(caller)
        recorder = CallRecorder()
        for event in self.events:
            recorder.observe(event)
        self.record = recorder.record
        return ended

    @property
    def said(self):
        return [message.text for message in self.call.conversation if message.role == "agent"]

    def loud(self):
        """The seconds at which the caller and the agent begin to be loud in the recording, and its length."""
        with wave.open(self.record.recording) as file:
            both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        begins = [np.flatnonzero(np.abs(side) > 300) for side in both.T]
        return *(where[0] / 8000 if len(where) else None for where in begins), len(both) / 8000


def asked(tmp_path, *texts, consent="ask", transport=None, greeting="Hi there.", info=None, recording=(), **settings):
    values = {"question": MAY_WE, "announcement": WE_DO, "answer_s": 5.0} | dict(recording)
    call = AskedCall(
        stt=ScriptedSpeechToText(list(texts)),
        transport=transport or MemoryTransport(info=info),
        settings={
            "greeting": greeting,
            "recording": RecordingSettings(str(tmp_path), consent=consent, **values),
            "limits": LimitsSettings(idle_prompt_s=600),
            **settings,
        },
    )
    call.directory = tmp_path
    return call


TRANSPORTS = {"ours": lambda: None, "theirs": BufferingTransport}


@pytest.mark.parametrize("pacing", TRANSPORTS)
async def test_nothing_is_recorded_before_a_yes(autojump_clock, tmp_path, pacing):
    call = asked(tmp_path, "yes please", "two tickets", transport=TRANSPORTS[pacing]())
    await call.goes(3000, True, 1000, 4000, True, 3000)
    assert call.told(CallBegan)[0].recording == ""
    (settled,) = call.told(RecordingConsent)
    assert (settled.consent, call.record.consent) == ("given", "given")
    assert settled.recording == call.record.recording
    assert settled.at_s == pytest.approx(4.6, abs=0.3)
    assert call.files[:2] == [[], []]
    assert [str(path) for path in tmp_path.iterdir()] == [call.record.recording]
    caller, agent, length = call.loud()
    assert caller == pytest.approx(9, abs=0.05)
    assert settled.at_s - 0.001 <= agent < settled.at_s + 0.5
    assert length == pytest.approx(call.record.duration_s, abs=0.1)
    assert call.conversation == [("", MAY_WE), ("yes please", "Hi there."), ("two tickets", "I see.")]


@pytest.mark.parametrize("pacing", TRANSPORTS)
async def test_nothing_is_recorded_before_the_announcement_was_heard(autojump_clock, tmp_path, pacing):
    call = asked(tmp_path, "hello", consent="announce", transport=TRANSPORTS[pacing]())
    await call.goes(400, True, 4000)
    (settled,) = call.told(RecordingConsent)
    assert (settled.consent, call.record.consent) == ("announced", "announced")
    assert call.files[0] == []
    _, agent, _ = call.loud()
    assert agent > settled.at_s - 0.001 > 1
    assert call.said == [WE_DO, "Hi there."]
    assert call.turns[0].said == WE_DO


async def test_an_announcement_that_was_not_heard_whole_is_none(autojump_clock, tmp_path):
    call = asked(tmp_path, consent="announce")
    await call.goes(300)
    assert (call.told(RecordingConsent), call.record.consent, call.record.recording) == ([], None, "")
    assert list(tmp_path.iterdir()) == []


ANSWERS = {
    "no": ((3000, True, 4000), ["no, thank you"], "refused", [MAY_WE, "Hi there."]),
    "nothing": ((9000,), [], "refused", [MAY_WE, "Hi there."]),
    "a cough": ((3000, True, 9000), ["[cough]"], "refused", [MAY_WE, "Hi there."]),
    "1": ((3000, "1", 3000), [], "given", [MAY_WE, "Hi there."]),
    "1 over the question": ((500, "1", 3000), [], "given", [MAY_WE[:5], "Hi there."]),
    "2": ((3000, "2", 3000), [], "refused", [MAY_WE, "Hi there."]),
    "no over the question": ((100, True, 3000), ["nein"], "refused", None),
    "yes over the question, and nothing": ((100, True, 14_000), ["yes"], "refused", [MAY_WE, MAY_WE, "Hi there."]),
    "yes over the question, and yes": ((100, True, 2000, True, 3000), ["ja", "ja"], "given", [MAY_WE, "Hi there."]),
    "unclear, then yes": ((3000, True, 4000, True, 4000), ["what for", "sí"], "given", [MAY_WE, MAY_WE, "Hi there."]),
    "unclear, then silence": ((3000, True, 12_000), ["what for"], "refused", [MAY_WE, MAY_WE, "Hi there."]),
    "unclear twice": (
        (3000, True, 4000, True, 4000),
        ["two tickets", "for tonight"],
        "refused",
        [MAY_WE, MAY_WE, "Hi there."],
    ),
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answer(autojump_clock, tmp_path, name):
    steps, texts, consent, said = ANSWERS[name]
    call = asked(tmp_path, *texts, on_failure=OnFailure(second_opinion_ms=0))
    await call.goes(*steps)
    assert call.record.consent == consent
    assert [event.consent for event in call.told(RecordingConsent)] == [consent]
    assert bool(call.record.recording) == bool(list(tmp_path.iterdir())) == (consent == "given")
    assert "Hi there." in call.said
    if said is not None:
        assert [text[: len(words)] for text, words in zip(call.said, said, strict=True)] == said
    heard = [message.text for message in call.call.conversation if message.role == "caller"]
    assert (
        heard == [text for text in texts if text[0] != "["]
        or [step for step in steps if isinstance(step, str)] == heard
    )


async def test_the_model_reads_the_question_and_the_answer(autojump_clock, tmp_path):
    call = asked(tmp_path, "oui", greeting=None)
    await call.goes(3000, True, 3000)
    (request,) = call.llm.requests
    assert isinstance(request.trigger, CallStarted)
    assert request.messages == (Message("agent", MAY_WE), Message("caller", "oui"))


async def test_who_is_to_speak_first_is_asked_after_their_first_words(autojump_clock, tmp_path):
    """ "Yes?" on picking up is no consent."""
    call = asked(tmp_path, "yes", "yes of course", info=CallInfo(transport_id="7", speaks_first="caller"))
    await call.goes(500, True, 5000, True, 4000)
    assert call.conversation == [("yes", MAY_WE), ("yes of course", "Hi there.")]
    assert call.record.consent == "given"


@pytest.mark.parametrize("when", ["asking", "answering"])
async def test_a_caller_who_hangs_up_has_not_agreed(autojump_clock, tmp_path, when):
    call = asked(tmp_path)
    ended = await call.goes(500 if when == "asking" else 3000)
    assert (ended.outcome, call.record.consent, list(tmp_path.iterdir())) == ("caller_hung_up", "refused", [])
    assert isinstance(call.events[-1], type(ended))


async def test_a_transport_that_closes_at_once_has_asked_nobody(autojump_clock, tmp_path):
    call = asked(tmp_path)
    await call.goes()
    assert call.record.consent in {None, "refused"}
    assert list(tmp_path.iterdir()) == []


async def test_what_the_program_asks_for_waits_for_the_answer(autojump_clock, tmp_path):
    call = asked(tmp_path, "yes", transport=MemoryTransport())
    call.transport.rings_s = 1
    outcomes = []

    async def program():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.goes, 3000, True, 30_000)
            await trio.sleep(1)
            outcomes.append(await call.call.say("Listen.", interrupt=True))
            await call.call.transfer("100")

    with trio.move_on_after(60):
        await program()
    assert call.said == [MAY_WE, "Hi there.", "Listen."]
    assert outcomes[0].whole
    assert call.transport.transferred_to == "100"
    assert call.record.consent == "given"


async def test_a_transfer_during_the_question_begins_when_it_is_settled(autojump_clock, tmp_path):
    call = asked(tmp_path)
    call.transport.transfer_fails = "busy"

    async def program():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call.goes, 12_000)
            await trio.sleep(1)
            with pytest.raises(Exception, match="busy"):
                await call.call.transfer("100")

    await program()
    assert call.record.consent == "refused"
    assert call.said == [MAY_WE, "I see."]


async def test_a_question_in_the_language_of_the_call(autojump_clock, tmp_path):
    from voicepipe.text.spoken.settings import SpeechSettings  # noqa: PLC0415

    call = asked(tmp_path, recording={"question": ""}, speech=SpeechSettings(language="de-AT"))
    await call.goes(9000)
    assert call.said[0].startswith("Dürfen wir dieses Gespräch aufzeichnen?")


async def test_without_a_directory_nobody_is_asked(autojump_clock, tmp_path):
    call = asked(tmp_path, "hello")
    call.settings["recording"] = RecordingSettings(consent="ask")
    await call.goes(3000)
    assert (call.said, call.record.consent) == (["Hi there."], None)
