"""Playout on a transport that buffers: what is written, cleared, written again, and reported, on virtual time."""

from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.audio import AudioFormat, Sound
from voicepipe.calls.replies.buffered_playout import CONFIRM_S, GRACE_S, BufferedPlayout
from voicepipe.calls.replies.heard import SpokenSegment
from voicepipe.clock.timers import Timers
from voicepipe.errors import TransportError
from voicepipe.testing import BufferingTransport

AHEAD_MS = 3000
SOON = 1e-6
RINGING = Sound("ringing", b"\5\0" * 8000, AudioFormat(8000))


def speech(ms, first=0):
    """Audio in which every sample is another: 16-bit numbers that count up."""
    return b"".join((first + n & 0xFFFF).to_bytes(2, "little") for n in range(ms * 8))


def nothing():
    """Nobody wants to know."""


class Sink:
    """The part of a call that takes marks."""

    def __init__(self, playout):
        self.heard = playout.heard


class Line:
    """A playout with its transport and the tasks of both."""

    def __init__(self, nursery, transport=None, ahead_ms=AHEAD_MS, **hooks):
        self.transport = transport or BufferingTransport()
        self.timers = Timers()
        self.failures = []
        self.playout = BufferedPlayout(
            self.transport, self.timers, ahead_ms, nursery, failed=self.failures.append, **hooks
        )
        nursery.start_soon(self.timers.run)
        nursery.start_soon(self.transport.run, Sink(self.playout))

    def begin(self, audio=b"", *, finish=False):
        reply = self.playout.begin(nothing)
        self.playout.add(reply, audio)
        if finish:
            self.playout.finish(reply)
        return reply

    @property
    def sizes(self):
        return [len(audio) // 16 for _, audio in self.transport.written]


@pytest.fixture
async def line(nursery):
    line = Line(nursery)
    await trio.testing.wait_all_tasks_blocked()
    return line


async def test_speech_is_written_ahead_in_large_pieces(autojump_clock, line):
    reply = line.begin(speech(8000), finish=True)
    assert AHEAD_MS - 200 < sum(line.sizes) <= AHEAD_MS  # at once
    peaks = []
    with trio.move_on_after(20):
        while sum(line.sizes) < 8000:
            peaks.append(sum(line.sizes) - trio.current_time() * 1000)
            await trio.sleep(0.02)
    assert max(peaks) <= AHEAD_MS
    assert min(peaks[:-1]) >= AHEAD_MS - 220
    await line.playout.wait_played(reply)
    assert trio.current_time() == pytest.approx(8.0)
    assert line.transport.heard == line.transport.said == speech(8000)
    assert max(line.sizes) == 200
    assert len(line.sizes) <= 8000 / 200 * 1.5
    assert all(size % 20 == 0 for size in line.sizes)


async def test_small_pieces_are_gathered_while_there_is_enough_to_hear(autojump_clock, line):
    """A voice that speaks twice as fast as it sounds, in pieces of 20 ms."""
    reply = line.begin()
    for n in range(200):
        line.playout.add(reply, speech(20, first=n * 160))
        await trio.sleep(0.01)
    line.playout.finish(reply)
    await line.playout.wait_played(reply)
    assert line.transport.heard == speech(4000)
    assert trio.current_time() == pytest.approx(4.0)
    assert len(line.sizes) < 55


async def test_marks_rise_and_stand_at_each_segments_end_and_every_500_ms(autojump_clock, line):
    places, transport = [], line.transport
    mark = transport.mark
    transport.mark = lambda number: (places.append(sum(line.sizes)), mark(number))
    for _ in range(2):
        reply = line.begin()
        reply.segments += [SpokenSegment("One.", 0.0, 730.0, complete=True), SpokenSegment("Two.", 730.0, 2400.0)]
        line.playout.add(reply, speech(3600))
        reply.segments[1].end_ms, reply.segments[1].complete = 3600.0, True
        line.playout.finish(reply)
        await line.playout.wait_played(reply)
    assert transport.marks == [*range(1, len(places) + 1)]
    assert {20, 740, 3600, 3620, 4340, 7200} <= set(places)
    assert all(later - earlier <= 500 for earlier, later in pairwise(places))


@pytest.mark.parametrize("after_ms", [1, 20, 133, 480, 777, 1999])
@pytest.mark.parametrize("delay_ms", [0, 60, 300])
async def test_a_drop_clears_at_once_and_a_later_reply_is_whole(autojump_clock, nursery, after_ms, delay_ms):
    line = Line(nursery, BufferingTransport(delay_ms=delay_ms))
    await trio.testing.wait_all_tasks_blocked()
    line.begin(speech(2000), finish=True)
    await trio.sleep(after_ms / 1000)
    line.playout.drop()
    heard = line.transport.heard
    assert line.transport.cleared == [trio.current_time()]
    assert line.playout.played_ms == pytest.approx(len(heard) / 16, abs=20)
    reply = line.begin(b"\7\0" * 8000, finish=True)
    await line.playout.wait_played(reply)
    assert line.transport.heard == heard + b"\7\0" * 8000


@pytest.mark.parametrize("delay_ms", [0, 60, 300])
@pytest.mark.parametrize("pauses_ms", [[333], [20, 45], [505, 10, 900], [1990]])
async def test_a_pause_goes_on_where_it_stopped(autojump_clock, nursery, pauses_ms, delay_ms):
    """Nothing is heard twice or left out, up to 20 ms a pause."""
    line = Line(nursery, BufferingTransport(delay_ms=delay_ms))
    await trio.testing.wait_all_tasks_blocked()
    reply = line.begin(speech(2000), finish=True)
    for pause_ms in pauses_ms:
        await trio.sleep((pause_ms + delay_ms) / 1000)
        line.playout.pause()
        assert line.transport.cleared[-1] == trio.current_time()
        heard, played_ms = line.transport.heard, line.playout.played_ms
        await trio.sleep(2)
        assert (line.transport.heard, line.playout.played_ms) == (heard, played_ms)
        line.playout.resume()
    await line.playout.wait_played(reply)
    heard = line.transport.heard
    places = [int.from_bytes(heard[at : at + 2], "little") for at in range(0, len(heard), 2)]
    jumps = [b - a for a, b in pairwise(places) if b - a != 1]
    assert len(jumps) <= len(pauses_ms)
    assert all(abs(jump - 1) <= 160 for jump in jumps)
    assert places[0] == 0
    assert places[-1] >= 15999 - 81


async def test_a_pause_before_anything_was_written_clears_nothing(autojump_clock, line):
    reply = line.playout.begin(nothing)
    line.playout.pause()
    line.playout.add(reply, speech(100))
    line.playout.finish(reply)
    await trio.sleep(1)
    assert (line.transport.written, line.transport.cleared) == ([], [])
    line.playout.resume()
    await line.playout.wait_played(reply)
    assert line.transport.heard == speech(100)


@pytest.mark.parametrize("room_ms", [40, 500, 1500])
async def test_a_full_buffer_loses_nothing(autojump_clock, nursery, room_ms):
    line = Line(nursery, BufferingTransport(room_ms=room_ms))
    await trio.testing.wait_all_tasks_blocked()
    reply = line.begin(speech(2500), finish=True)
    await trio.sleep(0.7)
    line.playout.pause()
    line.playout.resume()
    await line.playout.wait_played(reply)
    assert abs(len(line.transport.heard) - 16 * 2500) <= 16 * 20
    assert line.playout.played_ms == 2500


async def test_an_underrun_stops_the_clock(autojump_clock, line):
    reply = line.begin(speech(300))
    await trio.sleep(2)
    assert line.playout.played_ms == 300
    assert line.playout.silent_ms == pytest.approx(1700)
    line.playout.add(reply, speech(300))
    await trio.sleep(0.1)
    assert line.playout.played_ms == pytest.approx(400)
    line.playout.finish(reply)
    await line.playout.wait_played(reply)
    assert trio.current_time() == pytest.approx(2.3)


@pytest.mark.parametrize("seconds", [0.3, 2.0, 30.0])
async def test_a_stall_of_the_process_costs_nothing_that_was_buffered(autojump_clock, line, seconds):
    reply = line.begin(speech(5000), finish=True)
    await trio.sleep(0.5)
    autojump_clock.jump(seconds)
    await line.playout.wait_played(reply)
    assert line.transport.heard == speech(5000)
    assert trio.current_time() == pytest.approx(max(5.0, 2.0 + 0.5 + seconds), abs=0.5)


async def test_lost_marks_delay_the_end_by_little(autojump_clock, nursery):
    line = Line(nursery, BufferingTransport(report=lambda _mark: None))
    await trio.testing.wait_all_tasks_blocked()
    for number in (1, 2, 3):
        reply = line.begin(speech(1000), finish=True)
        await line.playout.wait_played(reply)
        assert trio.current_time() == pytest.approx(number * (1 + GRACE_S), abs=0.01)


@pytest.mark.parametrize("report", [lambda _mark: -10.0, lambda _mark: 0.3], ids=["early", "late"])
async def test_marks_of_a_dropped_reply_mean_nothing_to_the_next(autojump_clock, nursery, report):
    line = Line(nursery, BufferingTransport(report=report))
    await trio.testing.wait_all_tasks_blocked()
    line.begin(speech(1000))
    await trio.sleep(0.2)
    reply = line.begin(speech(1000), finish=True)
    for mark in (0, -1, 10**9, *line.transport.marks, *line.transport.marks):
        if mark <= 2:
            line.playout.heard(mark)
    line.playout.heard(10**9)
    await trio.sleep(0.5)
    assert line.playout.played_ms == pytest.approx(500, abs=310)
    await line.playout.wait_played(reply)
    assert line.transport.heard[-16000:] == speech(1000)


async def test_what_sounds_is_reported_when_it_does_and_what_was_cleared_is_not(autojump_clock, nursery):
    sounding, heard = [], []
    line = Line(
        nursery,
        BufferingTransport(delay_ms=80),
        on_sounding=lambda at, frame: sounding.append((trio.current_time(), at, frame)),
        on_heard=lambda at, audio: heard.append((trio.current_time(), at, audio)),
    )
    await trio.testing.wait_all_tasks_blocked()
    reply = line.begin(speech(1500), finish=True)
    await trio.sleep(0.6)
    line.playout.pause()
    await trio.sleep(1)
    line.playout.resume()
    await line.playout.wait_played(reply)
    await trio.sleep(0.2)
    recorded = b"".join(audio for _, _, audio in heard)
    assert abs(len(recorded) - len(line.transport.heard)) <= 320
    assert (recorded[:8000], recorded[-8000:]) == (line.transport.heard[:8000], line.transport.heard[-8000:])
    for told_at, at, audio in heard:
        assert -SOON <= told_at - at - len(audio) / 16000 <= 0.13
    assert all(len(frame) == 320 for _, _, frame in sounding)
    assert all(-0.15 <= told_at - at <= 0.15 for told_at, at, _ in sounding)
    starts = {
        audio[i : i + 320]: at + i / 16000 for at, audio in line.transport.sounds for i in range(0, len(audio), 320)
    }
    known = [(at, starts[frame]) for _, at, frame in sounding if frame in starts]
    assert len(known) >= 75
    # The others were reported a little before they were cleared, and again later.
    assert sum(abs(at - started) <= 0.09 for at, started in known) >= 70


async def test_another_format_converts_what_is_queued_and_what_comes(autojump_clock, line):
    reply = line.begin(b"\0\1" * 8000)
    await trio.sleep(0.3)
    line.playout.pause()
    line.transport.audio = AudioFormat(16000)
    line.playout.take_format(AudioFormat(16000))
    assert line.playout.audio == AudioFormat(8000)
    line.transport.sounds.clear()
    line.playout.resume()
    line.playout.add(reply, b"\0\1" * 8000)
    line.playout.finish(reply)
    await line.playout.wait_played(reply)
    assert len(line.transport.heard) == pytest.approx(32 * 1700, abs=32 * 40)
    assert line.playout.played_ms == pytest.approx(2000, abs=40)


@pytest.mark.parametrize("method", ["write", "mark", "clear"])
async def test_a_transport_that_fails_ends_the_call_and_is_left_alone(autojump_clock, nursery, method):
    line = Line(nursery)
    await trio.testing.wait_all_tasks_blocked()
    error = TransportError("the line is gone")
    calls = []

    def fail(*_args):
        calls.append(method)
        raise error

    setattr(line.transport, method, fail)
    reply = line.begin(speech(1000))
    await trio.sleep(0.1)
    line.playout.pause()
    line.playout.resume()
    line.playout.add(reply, speech(1000))
    await trio.sleep(5)
    assert (line.failures, calls) == ([error], [method])
    assert len(line.timers) == 0


@pytest.mark.parametrize("refused_s", [0.1, 4.9])
async def test_a_refusal_after_a_long_silence_costs_nothing(autojump_clock, line, refused_s):
    await trio.sleep(20)
    line.transport.block()
    reply = line.begin(speech(1000), finish=True)
    await trio.sleep(refused_s)
    line.transport.unblock()
    await line.playout.wait_played(reply)
    assert line.transport.heard == speech(1000)
    assert not reply.is_given_up


@pytest.mark.parametrize("ms", [300, 2500, 20_000])
@pytest.mark.parametrize("finish", [True, False])
async def test_a_reply_that_is_refused_for_too_long_is_given_up_and_the_next_has_its_own_time(
    autojump_clock, line, ms, finish
):
    await trio.sleep(20)
    line.transport.block()
    for begun in (20, 25):
        reply = line.begin(speech(ms), finish=finish)
        await line.playout.wait_played(reply)
        assert trio.current_time() == pytest.approx(begun + CONFIRM_S)
        assert (reply.is_given_up, line.playout.is_unconfirmed, line.playout.played_ms) == (True, True, 0)
    reply = line.begin(speech(ms), finish=True)
    assert not reply.is_given_up
    await trio.sleep(1)
    line.transport.unblock()
    await line.playout.wait_played(reply)
    assert line.transport.heard == speech(ms)


async def test_a_pause_is_no_refusal(autojump_clock, line):
    reply = line.begin(speech(3000), finish=True)
    line.transport.block()
    await trio.sleep(1)
    line.playout.pause()
    await trio.sleep(30)
    line.playout.resume()
    await trio.sleep(4)
    assert not reply.is_given_up
    line.transport.unblock()
    await line.playout.wait_played(reply)
    assert line.playout.played_ms == 3000


@pytest.mark.parametrize("begins", ["before", "meanwhile"])
async def test_a_sound_beside_speech_waits_for_the_line(autojump_clock, line, begins):
    writes, write = [], line.transport.write
    line.transport.write = lambda audio: (writes.append(audio), write(audio))[1]
    if begins == "before":
        line.playout.play_background(RINGING)
        await trio.sleep(1)
    line.transport.block()
    line.playout.play_background(RINGING)
    await trio.sleep(0.5)
    before, sounded = len(writes), len(line.transport.heard)
    await trio.sleep(4)
    assert len(writes) == before
    assert len(line.transport.heard) == sounded
    line.transport.unblock()
    await trio.sleep(1)
    assert len(line.transport.heard) - sounded == pytest.approx(16000, abs=320)


async def test_a_sound_beside_speech_that_began_while_a_dropped_reply_was_refused_sounds(autojump_clock, line):
    line.transport.block()
    line.begin(speech(1000), finish=True)
    line.playout.drop()
    line.playout.play_background(RINGING)
    await trio.sleep(1)
    line.transport.unblock()
    await trio.sleep(1)
    assert len(line.transport.heard) == pytest.approx(16000, abs=320)


async def test_nothing_is_left_when_the_call_is_over(autojump_clock, line):
    line.begin(speech(1000))
    line.playout.close()
    assert (len(line.transport.cleared), len(line.timers)) == (1, 0)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 900), st.floats(0, 0.7), st.sampled_from(["go", "go", "block", "unblock"])), max_size=9
    ),
    st.sampled_from([0.0, 90.0]),
    st.sampled_from([200, 700, 3000]),
)
def test_whatever_comes_when_it_comes_out_whole_and_in_order(steps, delay_ms, ahead_ms):
    async def main():
        async with trio.open_nursery() as nursery:
            line = Line(nursery, BufferingTransport(delay_ms=delay_ms), ahead_ms)
            await trio.testing.wait_all_tasks_blocked()
            sent, reply = b"", line.playout.begin(nothing)
            for ms, pause, does in steps:
                audio = speech(ms, first=len(sent) // 2)
                sent += audio
                nursery.start_soon(line.playout.play, reply, audio)
                await trio.testing.wait_all_tasks_blocked()
                if does == "block":
                    line.transport.block()
                elif does == "unblock":
                    line.transport.unblock()
                await trio.sleep(pause)
            line.playout.finish(reply)
            line.transport.unblock()
            await line.playout.wait_played(reply)
            await trio.sleep(0.2)
            assert line.transport.heard == sent + bytes(-len(sent) % 320)
            assert all(size <= min(200, ahead_ms / 2) for size in line.sizes)
            assert line.failures == []
            nursery.cancel_scope.cancel()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
