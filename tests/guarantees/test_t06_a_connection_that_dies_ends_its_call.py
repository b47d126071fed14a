"""T06: a connection that dies ends its call, with its record, within 2 s."""

from __future__ import annotations

import pytest
import trio
from kit_peers import KITS

from voicepipe.calls.open_call import open_call
from voicepipe.calls.record import CallRecorder
from voicepipe.testing import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech, open_test_pipeline
from voicepipe.testing.conformance import Check
from voicepipe.transports import call_socket, websocket_serving

PINGED = [name for name in KITS if name not in {"audiosocket", "asterisk_ari"}]


async def records_of(name, die):
    """Holds a conversation over a transport, lets its connection die, and returns the call's record."""
    recorder, holding = CallRecorder(), trio.Event()

    async def check(subject):
        ended = trio.Event()
        async with (
            open_test_pipeline(
                ScriptedSpeechToText([]), ScriptedLanguageModel(["Hello."]), ToneTextToSpeech()
            ) as pipeline,
            subject.opened() as bench,
        ):

            async def hold(transport):
                async with open_call(pipeline, transport, observer=recorder.observe) as call:
                    holding.set()
                    await call.run()
                ended.set()

            bench.conduct = hold
            async with subject.connect(bench.listener) as peer:
                await bench.until(holding.is_set, "no call came")
                await die(peer)
                await bench.until(ended.is_set, "the connection died, but its call went on", 2.0)
            assert bench.crashed == []

    await KITS[name].run(Check("death", "", check))
    return recorder.record


@pytest.mark.parametrize("name", KITS)
async def test_t06_a_reset_ends_the_call_with_its_record(name):
    record = await records_of(name, lambda peer: peer.die())
    assert record.outcome == "caller_hung_up"
    assert record.call_id


@pytest.mark.parametrize("name", PINGED)
async def test_t06_so_does_a_peer_that_answers_no_ping(name, monkeypatch):
    assert call_socket.DEAD_CHECKS * call_socket.CHECK_S <= 2.0
    monkeypatch.setattr(websocket_serving, "CHECK_S", 0.02)

    async def fall_silent(peer):
        peer.websocket.fall_silent()
        await trio.lowlevel.checkpoint()

    record = await records_of(name, fall_silent)
    assert record.outcome == "caller_hung_up"
    assert "ping" in record.detail
