"""T09: a transfer that nobody answers brings the caller back to the agent; here by ARI, with a played Asterisk."""

from __future__ import annotations

import pytest
import trio
from ari_engine import CALLER, FRAME, MEDIA, a_call, open_engine, until
from vendors.asterisk_ari import open_asterisk

from voicepipe import open_call
from voicepipe.calls.events import CallEnded, TransferEnded
from voicepipe.components.events import ReplyDone, TextDelta, ToolCall
from voicepipe.components.requests import Told
from voicepipe.errors import TransferFailed
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline

OFFICE = "Local/200@transfers/n"
REASONS = [
    ("busy", "busy"),
    ("no answer", "no answer"),
    ("rejected", "rejected"),
    ("unreachable", "failed (HTTP 500, Allocation failed)"),
]


def media_of(asterisk):
    (media,) = [channel for channel in asterisk.channels.values() if channel.media]
    return media


@pytest.mark.parametrize(("fate", "reason"), REASONS)
@pytest.mark.parametrize("sound", ["ringing", "music", "agent"])
async def test_the_caller_is_back_in_the_bridge_with_the_agent(fate, reason, sound):
    async with a_call(transfer_sound=sound, music="jazz") as (asterisk, engine, line):
        asterisk.telephones[OFFICE] = fate
        media = media_of(asterisk)
        with pytest.raises(TransferFailed) as failed:
            await line.transport.transfer("200")
        assert str(failed.value) == reason
        assert asterisk.talkers(CALLER) == {media.id}
        assert asterisk.channels[CALLER].sounds == set()
        assert asterisk.called(OFFICE) is None
        line.transport.write(FRAME)
        await until(lambda: media.media.heard == FRAME)
        asterisk.telephones[OFFICE] = "answer"  # a second attempt, with a channel of its own
        await line.transport.transfer("200")
        await until(lambda: asterisk.talkers(CALLER) == {asterisk.called(OFFICE).id})
        line.hang_up.set()
        await until(lambda: engine.listener.calls == 0)
        assert asterisk.talkers(CALLER), "the end of the agent's call ends nothing of theirs"


class Agent:
    """An agent that transfers every caller at once, and speaks to those who come back."""

    def __init__(self, pipeline):
        self.pipeline, self.events, self.calls = pipeline, [], []

    async def __call__(self, transport):
        async with open_call(self.pipeline, transport, observer=self.events.append) as call:
            self.calls.append(call)
            await call.run()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def replies(request):
    if isinstance(request.trigger, Told):
        return "Nobody is there."
    return [TextDelta("One moment."), ToolCall("1", "transfer", {"target": "200"}), ReplyDone()]


@pytest.mark.parametrize("media", MEDIA)
@pytest.mark.parametrize("fate", ["busy", "answer"])
async def test_in_a_conversation(media, fate):
    model = ScriptedLanguageModel(replies)
    components = ScriptedSpeechToText([]), model, ToneTextToSpeech()
    async with (
        open_test_pipeline(*components, tools=("transfer", "hang_up")) as pipeline,
        open_asterisk() as asterisk,
        open_engine(asterisk, **MEDIA[media]) as engine,
    ):
        engine.handle_call = agent = Agent(pipeline)
        asterisk.telephones[OFFICE] = fate
        with trio.fail_after(30):
            await asterisk.caller_comes()
            await until(lambda: agent.of(TransferEnded))
            (transfer,) = agent.of(TransferEnded)
            if fate == "answer":
                await until(lambda: agent.of(CallEnded))
                assert (agent.of(CallEnded)[0].outcome, agent.of(CallEnded)[0].detail) == ("transferred", "200")
                assert transfer.failure == ""
                await until(lambda: asterisk.talkers(CALLER) == {asterisk.called(OFFICE).id})
                assert engine.crashed == []
                return
            assert transfer.failure == "busy"
            await until(lambda: [request for request in model.requests if isinstance(request.trigger, Told)])
            assert asterisk.talkers(CALLER) == {media_of(asterisk).id}
            await asterisk.hang_up(CALLER)
            await until(lambda: not asterisk.channels and not asterisk.bridges)
        assert agent.of(CallEnded)[0].outcome == "caller_hung_up"
