"""T07: an AudioSocket caller is never starved by our silence: something goes out every 60 ms, whatever the call does.

On trio's own clock over a real loopback socket: what was sent has arrived, so only the clock is waited for.
"""

from __future__ import annotations

import socket
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from math import inf
from uuid import UUID

import pytest
import trio
import trio.testing

from voicepipe.calls.replies.timed_playout import TimedPlayout
from voicepipe.clock.ticker import Ticker
from voicepipe.transports.audiosocket.listener import open_audiosocket_listener
from voicepipe.transports.audiosocket.wire_format import Decoder, encode_audio, encode_dtmf, encode_uuid

GAP_MS, FRAME_MS = 60, 20
SLACK_MS = 10
"""A gap is looked for together with audio that comes in, up to 5 ms earlier or later."""
SPOKEN = b"\x01\x02"


class Ignored:
    """A sink that does nothing."""

    def audio(self, audio):
        pass

    def dtmf(self, digit):
        pass

    def hung_up(self, reason):
        pass


class Asterisk:
    """The other end: notes each frame with the millisecond in which it came."""

    def __init__(self, address, kind, rate):
        self.socket = socket.create_connection(address)
        self.kind, self.frame, self.decoder = kind, bytes(rate // 50 * 2), Decoder()
        self.frames = []
        self.socket.setblocking(False)
        self.socket.send(encode_uuid(UUID(int=7)))

    def speak(self):
        self.socket.send(encode_audio(self.kind, self.frame))

    async def listen(self, for_ms, *, every_ms=None, what=None):
        """What comes within so many ms, in which the caller speaks, presses keys, or is muted."""
        began = trio.current_time()
        del self.frames[:]
        for ms in range(for_ms):
            await trio.sleep_until(began + (ms + 1) / 1000)
            if every_ms and ms % every_ms == 0:
                (what or self.speak)()
            with suppress(BlockingIOError):
                for kind, payload in self.decoder.feed(self.socket.recv(65536)):
                    self.frames.append((ms + 1, kind, bytes(payload)))
        return list(self.frames)

    def press(self):
        self.socket.send(encode_dtmf("5"))


@asynccontextmanager
async def call(kind=0x10, rate=8000):
    """A call that is up, and its other end."""
    up = trio.Event()

    async def hold(transport):
        calls.append(transport)
        up.set()
        await transport.run(Ignored())

    calls = []
    async with open_audiosocket_listener(port=0) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, hold)
        asterisk = Asterisk(listener.address, kind, rate)
        with asterisk.socket:
            asterisk.speak()
            await up.wait()
            yield calls[0], asterisk, nursery
        nursery.cancel_scope.cancel()


def longest_gap(frames, for_ms):
    """The longest time without a frame, in ms."""
    times = [0, *(ms for ms, _, _ in frames), for_ms]
    return max(after - before for before, after in pairwise(times))


@pytest.mark.parametrize(("kind", "rate"), [(0x10, 8000), (0x12, 16000), (0x15, 44100)])
@pytest.mark.parametrize("caller", ["muted", "speaks", "presses keys", "speaks in 60 ms packets"])
async def test_t07_while_the_agent_is_silent(autojump_clock, kind, rate, caller):
    async with call(kind, rate) as (_, asterisk, _nursery):
        doing = {
            "muted": {},
            "speaks": {"every_ms": FRAME_MS},
            "presses keys": {"every_ms": 300, "what": asterisk.press},
            "speaks in 60 ms packets": {"every_ms": 60},
        }
        frames = await asterisk.listen(2400, **doing[caller])
        assert longest_gap(frames, 2400) <= GAP_MS + SLACK_MS
        assert len(frames) == pytest.approx(2400 / GAP_MS, abs=1), "no more than is needed"
        assert {(kind_out, payload) for _, kind_out, payload in frames} == {(kind, bytes(rate // 50 * 2))}


async def test_t07_before_and_after_a_reply_and_not_within_it(autojump_clock):
    async with call() as (transport, asterisk, nursery):
        ticker = Ticker()
        nursery.start_soon(ticker.run)
        playout = TimedPlayout(transport, ticker, 40, nursery)
        await asterisk.listen(200)
        reply = playout.begin(lambda: None)
        playout.add(reply, SPOKEN * 160 * 50)
        playout.finish(reply)
        during = await asterisk.listen(900)
        assert {payload for _, _, payload in during} == {SPOKEN * 160}
        after = await asterisk.listen(2000)
        assert longest_gap(after, 2000) <= GAP_MS + SLACK_MS
        silence = [payload for _, _, payload in after if payload != SPOKEN * 160]
        assert len(silence) == pytest.approx(2000 / GAP_MS, abs=3)


async def test_t07_a_reply_that_is_paused_or_waits_for_its_voice_does_not_starve_him_either(autojump_clock):
    async with call() as (transport, asterisk, nursery):
        ticker = Ticker()
        nursery.start_soon(ticker.run)
        playout = TimedPlayout(transport, ticker, 40, nursery)
        reply = playout.begin(lambda: None)
        playout.add(reply, SPOKEN * 160 * 50)
        await asterisk.listen(200)
        playout.pause()
        assert longest_gap(await asterisk.listen(1000), 1000) <= GAP_MS + SLACK_MS
        playout.resume()
        await asterisk.listen(900)  # and now the voice is slow
        assert longest_gap(await asterisk.listen(1000), 1000) <= GAP_MS + SLACK_MS


async def test_t07_no_call_is_left_out_however_many_there_are(autojump_clock):
    async def hold(transport):
        await transport.run(Ignored())

    async with open_audiosocket_listener(port=0) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, hold)
        callers = [Asterisk(listener.address, 0x10, 8000) for _ in range(40)]
        for caller in callers:
            caller.speak()
        await trio.sleep(0.5)
        assert listener.calls == 40
        async with trio.open_nursery() as listening:
            for caller in callers:
                listening.start_soon(caller.listen, 600)
        for caller in callers:
            assert longest_gap([frame for frame in caller.frames if frame[0] > 1], 600) <= GAP_MS + SLACK_MS
            caller.socket.close()
        nursery.cancel_scope.cancel()


async def test_t07_a_listener_without_calls_sleeps(autojump_clock):
    async with open_audiosocket_listener(port=0) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, lambda transport: transport.run(Ignored()))
        await trio.testing.wait_all_tasks_blocked()
        assert trio.lowlevel.current_statistics().seconds_to_next_deadline == inf
        nursery.cancel_scope.cancel()
