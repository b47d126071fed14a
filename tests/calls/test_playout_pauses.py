"""Playout that is paused, goes on, or forgets its end: what is written, and when."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.audio import AudioFormat
from voicepipe.calls.replies.timed_playout import TimedPlayout
from voicepipe.clock.ticker import Ticker
from voicepipe.testing.transport import MemoryTransport

SOON = 1e-6


def speech(ms, first=0):
    """Audio in which every sample is another."""
    return b"".join((first + n & 0xFFFF).to_bytes(2, "little") for n in range(ms * 8))


def nothing():
    """Nobody wants to know."""


async def begun(playout, audio):
    reply = playout.begin(nothing)
    await playout.play(reply, audio)
    return reply


async def to_the_end(playout, reply):
    playout.finish(reply)
    await playout.wait_played(reply)


@pytest.mark.parametrize("after_s", [0.0, 0.001, 0.11, 0.5, 0.93])
async def test_a_pause_writes_nothing_and_loses_nothing(autojump_clock, transport, playout, after_s):
    reply = await begun(playout, speech(1000))
    await trio.sleep(after_s)
    playout.pause()
    written, paused_at = len(transport.written), trio.current_time()
    assert playout.played_ms == written * 20
    await trio.sleep(3)
    assert len(transport.written) == written
    playout.resume()
    await to_the_end(playout, reply)
    assert transport.said == speech(1000)
    resumed = [when for when, _ in transport.written[written:]]
    assert resumed[0] == pytest.approx(paused_at + 3)
    assert all(b - a <= 0.02 + SOON for a, b in pairwise(resumed))


async def test_what_comes_during_a_pause_waits(autojump_clock, transport, playout):
    reply = playout.begin(nothing)
    playout.pause()
    playout.add(reply, speech(100))
    playout.finish(reply)
    await trio.sleep(1)
    assert transport.written == []
    playout.resume()
    await playout.wait_played(reply)
    assert transport.said == speech(100)


async def test_a_reply_that_is_dropped_during_a_pause_leaves_no_pause_behind(autojump_clock, transport, playout):
    await begun(playout, speech(100))
    playout.pause()
    playout.drop()
    written = len(transport.written)
    reply = await begun(playout, speech(200))
    await to_the_end(playout, reply)
    assert len(transport.written) == written + 10


async def test_resuming_what_was_not_paused_changes_nothing(autojump_clock, transport, playout):
    reply = await begun(playout, speech(200))
    playout.resume()
    await to_the_end(playout, reply)
    assert transport.said == speech(200)


@pytest.mark.parametrize("to_ms", [100, 105, 260, 333, 480, 500, 900])
async def test_the_end_of_what_is_not_written_can_be_taken_back(autojump_clock, transport, playout, to_ms):
    reply = playout.begin(nothing)
    for start in range(0, 500, 50):
        playout.add(reply, speech(50, first=start * 8))
    playout.take_back(reply, to_ms)
    assert playout.queued_ms == min(to_ms, 500)
    playout.add(reply, speech(100, first=60_000))
    await to_the_end(playout, reply)
    expected = speech(500)[: to_ms * 16] + speech(100, first=60_000)
    assert transport.said == expected + bytes(-len(expected) % 320)


async def test_what_is_written_can_t_be_taken_back(autojump_clock, transport, playout):
    reply = await begun(playout, speech(500))
    await trio.sleep(0.2)
    written = playout.played_ms
    assert written > 200
    playout.take_back(reply, 60)
    assert playout.queued_ms == pytest.approx(written, abs=20)
    await to_the_end(playout, reply)
    assert transport.said[: int(written * 16)] == speech(500)[: int(written * 16)]
    assert len(transport.said) <= (written + 20) * 16


async def test_another_reply_s_audio_is_left_alone(autojump_clock, transport, playout):
    old = await begun(playout, speech(100))
    new = await begun(playout, speech(100, first=9000))
    playout.take_back(old, 0)
    await to_the_end(playout, new)
    assert transport.said.endswith(speech(100, first=9000))


async def test_a_voice_that_waits_for_room_goes_on(autojump_clock, transport, playout, nursery):
    """It was ahead of the caller; once that is taken back there is room."""
    reply = playout.begin(nothing)
    done = trio.Event()

    async def much():
        await playout.play(reply, speech(5000))
        done.set()

    nursery.start_soon(much)
    await trio.sleep(0.1)
    assert not done.is_set()
    playout.take_back(reply, 400)
    await trio.sleep(0.01)
    assert done.is_set()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 70)),
        st.tuples(st.just("sleep"), st.integers(1, 90)),
        st.tuples(st.just("take back"), st.integers(0, 300)),
        st.tuples(st.sampled_from(["pause", "resume"]), st.just(0)),
    ),
    max_size=25,
)


@given(STEPS)
def test_whatever_is_done_what_is_written_is_what_was_kept(steps):
    """A model of what the reply holds: each sample once, in order, from what was added and not taken back."""

    async def main():
        transport, ticker = MemoryTransport(AudioFormat(8000)), Ticker()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticker.run)
            playout = TimedPlayout(transport, ticker, 40, nursery)
            reply, kept, count = playout.begin(nothing), bytearray(), 0
            for what, size in steps:
                if what == "add":
                    piece, count = speech(size, first=count), count + size * 8
                    kept += piece
                    playout.add(reply, piece)
                elif what == "sleep":
                    await trio.sleep(size / 1000)
                elif what == "take back":
                    gone = max(int(playout.played_ms) * 16 + (320 if playout._frame is not None else 0), size * 16)
                    playout.take_back(reply, size)
                    del kept[gone:]
                else:
                    playout.pause() if what == "pause" else playout.resume()
                assert playout.queued_ms == pytest.approx(len(kept) / 16)
            playout.resume()
            playout.finish(reply)
            await playout.wait_played(reply)
            assert transport.said == bytes(kept) + bytes(-len(kept) % 320)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
