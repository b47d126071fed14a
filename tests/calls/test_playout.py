"""Playout: what is written, and when, on virtual time."""

from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.audio import FRAME_MS, AudioFormat
from voicepipe.calls.replies.playout import HIGH_WATER_MS
from voicepipe.calls.replies.timed_playout import TimedPlayout
from voicepipe.clock.ticker import EARLY_S, GRACE_S, SHIFT_S, SLOT_S, Ticker, hub_ticks
from voicepipe.testing.transport import MemoryTransport

FRAME = 320  # bytes in 20 ms at 8 kHz
SOON = 1e-6


def speech(ms, first=0):
    """Audio in which every sample is another: 16-bit numbers that count up."""
    return b"".join((first + n & 0xFFFF).to_bytes(2, "little") for n in range(ms * 8))


def nothing():
    """Nobody wants to know."""


def times(transport):
    return [when for when, _ in transport.written]


def ahead_ms(transport, start):
    """How far ahead of real time the audio was written at the most."""
    return max((n + 1) * FRAME_MS - (when - start) * 1000 for n, (when, _) in enumerate(transport.written))


async def say(playout, audio, on_audible=nothing):
    """Speaks a whole reply."""
    reply = playout.begin(on_audible)
    await playout.play(reply, audio)
    playout.finish(reply)
    await playout.wait_played(reply)


@pytest.mark.parametrize("start", [0.0, 0.003, 0.0049, 0.0171, 0.3, 1.1, 7.77])
@pytest.mark.parametrize("lead_ms", [0, 20, 40, 50, 100])
async def test_a_frame_every_20_ms_exactly(autojump_clock, transport, ticker, nursery, start, lead_ms):
    await trio.sleep(start)
    await say(TimedPlayout(transport, ticker, lead_ms, nursery), speech(1990))
    lead = max(lead_ms // FRAME_MS, 1)
    at = [when - start for when in times(transport)]
    assert len(at) == 100
    assert at[:lead] == [0] * lead  # at once, as much as the lead allows
    assert 0.02 - SLOT_S - SOON <= at[lead] <= 0.02 + SOON
    assert [b - a for a, b in pairwise(at[lead:])] == pytest.approx([0.02] * (99 - lead))
    assert ahead_ms(transport, start) <= lead * FRAME_MS + SLOT_S * 1000 + SOON


@pytest.mark.parametrize("phase_ms", [0, 1, 4, 5, 6, 7, 10, 13, 14, 15, 17, 19.5])
@pytest.mark.parametrize("lead_ms", [20, 40, 60])
@pytest.mark.parametrize("jitter", ["none", "both"])
async def test_frames_keep_their_time_beside_a_callers(
    autojump_clock, transport, ticker, nursery, lead_ms, phase_ms, jitter
):
    """Each tick writes one frame, none after its time, whichever phase the caller's frames have, and however they come.

    Where they come 3 ms early or late, every other one does.
    """
    start, lead = 0.5, lead_ms // FRAME_MS
    jitter_s = {"none": (0, 0), "both": (0.003, -0.003)}[jitter]
    nursery.start_soon(receive, phase_ms / 1000, jitter_s)
    await trio.sleep(start)
    await say(TimedPlayout(transport, ticker, lead_ms, nursery), speech(490))
    at = [when - start for when in times(transport)]
    assert len(at) == 25
    assert at[:lead] == [0] * lead
    gaps = [later - earlier for earlier, later in pairwise(at[lead:])]
    assert gaps == pytest.approx([0.02] * (24 - lead), abs=0.012)
    assert all(when <= 0.02 * n + GRACE_S + SOON for n, when in enumerate(at))
    assert ahead_ms(transport, start) <= lead * FRAME_MS + FRAME_MS - SHIFT_S * 1000 + EARLY_S * 1000 + SOON


async def receive(phase_s, jitter_s):
    """A hub with few calls that wakes whenever a caller's frame comes."""
    ticks = hub_ticks()
    ticks.hubs += 1
    number = 0
    while True:
        number += 1
        await trio.sleep_until(phase_s + number * 0.02 + jitter_s[number % 2])
        ticks.received_at = trio.current_time()
        ticks.serve(ticks.received_at + EARLY_S)


async def test_the_audio_is_whole_and_padded_with_silence(autojump_clock, transport, playout):
    await say(playout, speech(1990))
    assert transport.said == speech(1990) + bytes(160)
    assert {len(frame) for _, frame in transport.written} == {FRAME}


async def test_mulaw_is_padded_with_its_own_silence(autojump_clock, ticker, nursery):
    transport = MemoryTransport(AudioFormat(8000, "mulaw"))
    await say(TimedPlayout(transport, ticker, 40, nursery), b"\x01" * 200)
    assert [frame for _, frame in transport.written] == [b"\x01" * 160, b"\x01" * 40 + b"\xff" * 120]


async def test_it_is_heard_to_its_end_before_it_counts_as_played(autojump_clock, transport, playout):
    start = trio.current_time()
    await say(playout, speech(500))
    assert 0.5 - SOON <= trio.current_time() - start <= 0.52 + SOON
    assert playout.played_ms == 500


@pytest.mark.parametrize("sizes", [[1], [2], [319, 321], [FRAME], [FRAME - 2, 2], [7, 640, 1000], [5000]])
async def test_pieces_of_any_size(autojump_clock, transport, playout, sizes):
    audio, at, n = speech(600), 0, 0
    reply = playout.begin(nothing)
    while at < len(audio):
        size = sizes[n % len(sizes)] * 2
        await playout.play(reply, audio[at : at + size])
        at, n = at + size, n + 1
    playout.finish(reply)
    await playout.wait_played(reply)
    assert transport.said == audio


async def test_audible_is_told_once_with_the_first_frame(autojump_clock, transport, playout):
    told = []
    reply = playout.begin(lambda: told.append((trio.current_time(), len(transport.written))))
    await trio.sleep(0.5)
    await playout.play(reply, speech(10))
    assert told == []  # not a frame yet
    await playout.play(reply, speech(200))
    assert told == [(0.5, 1)]
    await trio.sleep(1)
    assert len(told) == 1


async def test_speech_that_comes_slowly_is_written_as_it_comes(autojump_clock, transport, playout):
    reply = playout.begin(nothing)
    for n in range(10):
        await playout.play(reply, speech(20, first=n * 160))
        await trio.sleep(0.05)
    playout.finish(reply)
    await playout.wait_played(reply)
    assert times(transport) == pytest.approx([0.05 * n for n in range(10)])
    assert transport.said == speech(200)


async def test_after_an_underrun_it_resumes_at_once(autojump_clock, transport, playout):
    reply = playout.begin(nothing)
    await playout.play(reply, speech(110))
    await trio.sleep(0.5)
    assert len(transport.written) == 5  # 10 ms are held until they are a frame, or the end
    await playout.play(reply, speech(110, first=880))
    playout.finish(reply)
    await playout.wait_played(reply)
    assert transport.said == speech(220)
    resumed = [when - 0.5 for when in times(transport)[5:]]
    assert resumed[:2] == [0, 0]
    assert [b - a for a, b in pairwise(resumed[2:])] == pytest.approx([0.02] * 3)


async def test_a_short_underrun_loses_no_time(autojump_clock, transport, playout):
    """The next audio comes while the lead is still being heard: it follows on without a gap."""
    reply = playout.begin(nothing)
    await playout.play(reply, speech(100))
    await trio.sleep(0.09)  # the last frame was written at 0.06, and is heard until 0.1
    await playout.play(reply, speech(100))
    playout.finish(reply)
    await playout.wait_played(reply)
    assert trio.current_time() == pytest.approx(0.2, abs=0.02 + SOON)


async def test_an_empty_reply_is_played_at_once(autojump_clock, transport, playout):
    await say(playout, b"")
    assert (trio.current_time(), transport.written, playout.played_ms) == (0, [], 0)


async def test_less_than_a_frame_is_a_frame(autojump_clock, transport, playout):
    await say(playout, b"\1\0")
    assert transport.said == b"\1\0" + bytes(318)


async def test_a_reply_that_ends_in_an_underrun_is_heard_to_its_end(autojump_clock, transport, playout):
    reply = playout.begin(nothing)
    await playout.play(reply, speech(100))
    await trio.sleep(0.07)  # all is written, up to 0.1
    playout.finish(reply)
    await playout.wait_played(reply)
    assert 0.1 - SOON <= trio.current_time() <= 0.12 + SOON


# --- Dropping ------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(at=st.floats(0, 0.6), pieces=st.integers(1, 4))
def test_after_a_drop_nothing_is_written(at, pieces):
    async def main():
        transport, ticker = MemoryTransport(), Ticker()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticker.run)
            playout = TimedPlayout(transport, ticker, 40, nursery)
            reply = playout.begin(nothing)
            for _ in range(pieces):
                await playout.play(reply, speech(200))
            await trio.sleep(at)
            playout.drop()
            written, played_ms = len(transport.written), playout.played_ms
            await playout.play(reply, speech(500))
            playout.finish(reply)
            await playout.wait_played(reply)
            await trio.sleep(2)
            assert len(transport.written) == written
            assert playout.played_ms == played_ms == written * FRAME_MS
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def test_audio_of_a_dropped_reply_is_not_heard_in_the_next(autojump_clock, transport, playout):
    old = playout.begin(nothing)
    await playout.play(old, b"\1\1" * 1600)
    await trio.sleep(0.05)
    before = len(transport.written)
    new = playout.begin(nothing)
    await playout.play(old, b"\1\1" * 1600)
    await playout.play(new, b"\2\2" * 160)
    playout.finish(old)
    await playout.play(new, b"\2\2" * 160)
    playout.finish(new)
    await playout.wait_played(old)  # at once: it is over
    await playout.wait_played(new)
    assert {frame for _, frame in transport.written[before:]} == {b"\2\2" * 160}
    assert len(transport.written) == before + 2


async def test_the_next_reply_starts_at_once_but_never_more_than_the_lead_ahead(autojump_clock, transport, playout):
    reply = playout.begin(nothing)
    await playout.play(reply, speech(1000))
    await trio.sleep(0.1)
    written = len(transport.written)
    await say(playout, speech(200))
    at = times(transport)
    # What was written of the first is still being heard, so the second joins on to it.
    assert at[written] - 0.1 <= 0.02 + SOON
    assert ahead_ms(transport, 0) <= 40 + SLOT_S * 1000 + SOON


async def test_a_drop_wakes_those_who_wait(autojump_clock, transport, playout, nursery):
    reply = playout.begin(nothing)
    woken = []

    async def wait(function, *args):
        await function(*args)
        woken.append(trio.current_time())

    nursery.start_soon(wait, playout.play, reply, speech(5000))  # waits for room
    nursery.start_soon(wait, playout.wait_played, reply)
    await trio.sleep(0.3)
    assert woken == []
    playout.drop()
    await trio.sleep(0.1)
    assert woken == pytest.approx([0.3, 0.3])


# --- Too fast, too slow --------------------------------------------------------------------------------------------


async def test_speech_that_is_made_faster_waits_at_the_high_water_mark(autojump_clock, transport, playout, nursery):
    reply = playout.begin(nothing)
    held = []
    for n in range(200):
        await playout.play(reply, speech(100, first=n * 800))
        held.append(playout.queued_ms - playout.played_ms)
    assert max(held) <= HIGH_WATER_MS
    assert trio.current_time() > (20_000 - HIGH_WATER_MS) / 1000 - 0.2
    playout.finish(reply)
    await playout.wait_played(reply)
    assert transport.said == b"".join(speech(100, first=n * 800) for n in range(200))


@pytest.mark.parametrize("at", [0.0, 0.001, 0.1, 0.49, 0.5])
@pytest.mark.parametrize("seconds", [0.01, 0.05, 3])
async def test_a_blocked_transport_loses_nothing(autojump_clock, transport, playout, nursery, at, seconds):
    async def block():
        await trio.sleep(at)
        transport.block()
        await trio.sleep(seconds)
        transport.unblock()

    if at:
        nursery.start_soon(block)
    else:
        transport.block()
        nursery.start_soon(block)
    await trio.testing.wait_all_tasks_blocked()
    start = trio.current_time()
    await say(playout, speech(1000))
    assert transport.said == speech(1000)
    assert playout.played_ms == 1000
    # After the block the schedule starts anew: never more than the lead at once.
    for n, when in enumerate(times(transport)):
        assert sum(when <= later < when + 0.02 - SLOT_S - SOON for later in times(transport)[n:]) <= 7
    assert trio.current_time() - start < 1 + seconds + 0.05


async def test_a_reply_that_ends_while_the_transport_is_blocked_is_still_spoken_whole(
    autojump_clock, transport, playout, nursery
):
    reply = playout.begin(nothing)
    transport.block()
    await playout.play(reply, speech(20))  # its only frame is cut, and not taken
    assert (playout.played_ms, playout.queued_ms) == (0, 20)
    playout.finish(reply)
    with trio.move_on_after(1) as early:
        await playout.wait_played(reply)
    assert early.cancelled_caught
    transport.unblock()
    await playout.wait_played(reply)
    assert transport.said == speech(20)


async def test_a_reply_dropped_while_blocked_is_gone_and_the_next_is_whole(autojump_clock, transport, playout, nursery):
    transport.block()
    reply = playout.begin(nothing)
    await playout.play(reply, b"\1\1" * 800)
    await trio.sleep(0.1)
    playout.drop()
    nursery.start_soon(say, playout, speech(100))
    await trio.sleep(0.1)
    transport.unblock()
    await trio.sleep(1)
    assert transport.said == speech(100)


async def test_one_task_at_a_time_waits_for_the_transport(autojump_clock, transport, playout, nursery):
    """As two tasks that wait for one socket are an error."""
    waiting, most, wait_writable = 0, 0, transport.wait_writable

    async def wait():
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await wait_writable()
        waiting -= 1

    transport.wait_writable = wait
    transport.block()
    for _ in range(3):
        await playout.play(playout.begin(nothing), speech(100))
        await trio.sleep(0.05)
    assert (waiting, most) == (1, 1)
    transport.unblock()
    await trio.sleep(1)
    assert transport.said == speech(100)
    transport.block()
    await playout.play(playout.begin(nothing), speech(100))
    await trio.sleep(0.05)
    assert waiting == 1


async def test_a_late_clock_is_caught_up_with(autojump_clock, transport, playout):
    reply = playout.begin(nothing)
    await playout.play(reply, speech(1000))
    await trio.sleep(0.2)
    autojump_clock.jump(0.09)
    playout.finish(reply)
    await playout.wait_played(reply)
    assert trio.current_time() <= 1.02 + SOON  # no time was lost
    assert transport.said == speech(1000)


async def test_after_a_long_stall_the_schedule_starts_anew_and_does_not_burst(autojump_clock, transport, playout):
    reply = playout.begin(nothing)
    await playout.play(reply, speech(1000))
    await trio.sleep(0.2)
    autojump_clock.jump(0.5)
    stalled = trio.current_time()
    playout.finish(reply)
    await playout.wait_played(reply)
    assert sum(when == stalled for when in times(transport)) <= 3
    assert transport.said == speech(1000)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 400), st.floats(0, 0.3), st.sampled_from(["go", "go", "block", "unblock"])),
        max_size=12,
    )
)
def test_whatever_comes_when_it_comes_out_whole_and_in_order(steps):
    async def main():
        transport, ticker = MemoryTransport(), Ticker()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ticker.run)
            playout, sent = TimedPlayout(transport, ticker, 40, nursery), b""
            reply = playout.begin(nothing)
            for ms, pause, does in steps:
                audio = speech(ms, first=len(sent) // 2)
                sent += audio
                nursery.start_soon(playout.play, reply, audio)
                await trio.testing.wait_all_tasks_blocked()
                if does == "block":
                    transport.block()
                elif does == "unblock":
                    transport.unblock()
                await trio.sleep(pause)
            playout.finish(reply)
            transport.unblock()
            await playout.wait_played(reply)
            assert transport.said == sent + bytes(-len(sent) % FRAME)
            assert all(len(frame) == FRAME for _, frame in transport.written)
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
