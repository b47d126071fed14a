"""A call's own ID is unique, whatever transports call their calls."""

from __future__ import annotations

from collections import Counter

import pytest
import trio
from patience import until

from reference_engine.reports.metrics import Metrics
from reference_engine.reports.sessions import SessionStore
from voicepipe import CallBegan, CallEnded, CallInfo, CallRecorder
from voicepipe.calls.recording import RecordedTransport
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.transport import MemoryTransport


async def held(info, *observers, up):
    """A call that says a word, and stays up until it is told to end."""
    call = RehearsedCall(transport=MemoryTransport(info=info), settings={"greeting": "Hello."})

    async def caller():
        await call.transport.be_silent(1000)
        await up.wait()
        await call.transport.hang_up_as_caller()

    class Told(list):
        def append(self, event):
            super().append(event)
            for observe in observers:
                observe(event)

    call.events = Told()
    await call.hold(caller)
    return call


@pytest.mark.parametrize(
    "info",
    [CallInfo(call_id="same"), CallInfo(transport_id="same"), CallInfo(call_id="other", transport_id="same")],
    ids=["call_id", "transport_id", "both"],
)
async def test_two_calls_that_are_called_the_same_stay_two(autojump_clock, info):
    sessions, metrics = SessionStore(), Metrics({})
    recorders, calls, end, counts = [CallRecorder(), CallRecorder()], [], trio.Event(), []

    async def hold(recorder):
        calls.append(await held(info, sessions.observe, metrics.observe_call, recorder.observe, up=end))

    async with trio.open_nursery() as nursery:
        for recorder in recorders:
            nursery.start_soon(hold, recorder)
        await trio.sleep(5)
        counts.append(len(sessions))
        end.set()
    assert counts == [2]
    assert len(sessions) == 0
    ended = Counter(metrics._counted["main"].calls.by_metric["voicepipe_calls"].values())
    assert sum(ended.elements()) == 2
    ids = {event.call_id for call in calls for event in call.events}
    assert len(ids) == 2
    assert {recorder.record.call_id for recorder in recorders} == ids
    for call in calls:
        (began,) = call.told(CallBegan)
        assert began.info.call_id == began.call_id == call.told(CallEnded)[0].call_id == call.call.call_id
        assert began.info.transport_id == "same"
        assert began.call_id not in {"same", "other"}


async def test_no_recording_is_written_over(tmp_path):
    """Not even if two recordings have one path after all: the second is lost, and that is told."""
    path, told = tmp_path / "call.wav", []
    first, second = (RecordedTransport(MemoryTransport(), path) for _ in range(2))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.save, told.append)
        await until(path.exists)
        await first.finish()
        nursery.cancel_scope.cancel()
    whole = path.read_bytes()
    assert whole.startswith(b"RIFF")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(second.save, told.append)
        await until(lambda: told)
        nursery.cancel_scope.cancel()
    assert path.read_bytes() == whole
    assert "exists" in told[0]
