"""An Asterisk in memory at the other end of a transport, on trio's clock: `ChanWebSocket` with a network between."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio

from voicepipe.testing.chan_websocket import ChanWebSocket
from voicepipe.transports.asterisk_websocket.transport import AsteriskWebSocketTransport

FRAME_S = 0.02


class Network:
    """A `CallSocket` whose other end is a `ChanWebSocket`: messages take `latency_s`, and `room` bytes fit in."""

    def __init__(self, asterisk, latency_s):
        self.asterisk, self.latency_s = asterisk, latency_s
        self.room = None  # None: any amount
        self.sent = []  # (time, message)
        self.close_code = None
        self.transport = None
        self._to_asterisk = trio.open_memory_channel(100_000)
        self._roomy = trio.Event()
        self.has_ended = False

    def send_nowait(self, message):
        if self.has_ended:
            return True
        if self.room is not None:
            if self.room <= 0:
                return False
            self.room -= len(message)
        self.sent.append((trio.current_time(), message))
        self._to_asterisk[0].send_nowait((trio.current_time() + self.latency_s, message))
        return True

    async def wait_writable(self):
        while self.room is not None and self.room <= 0 and not self.has_ended:
            await self._roomy.wait()
        await trio.lowlevel.checkpoint()

    def make_room(self, size=None):
        self.room = size
        self._roomy.set()
        self._roomy = trio.Event()

    async def close(self, code=1000, reason=""):
        await trio.lowlevel.checkpoint()
        if not self.has_ended:
            self.has_ended, self.close_code = True, code
            self.asterisk.take_close()

    def break_off(self, reason="the connection was reset"):
        if not self.has_ended:
            self.has_ended = True
            self._roomy.set()
            self.transport.closed(reason)

    async def carry(self):
        """Carries messages to Asterisk."""
        async for due, message in self._to_asterisk[1]:
            await trio.sleep_until(due)
            self.asterisk.take(message)
            self.deliver_events()

    def deliver_events(self):
        for text in self.asterisk.events:
            self.bring_soon(text)
        self.asterisk.events.clear()
        if self.asterisk.closed is not None and not self.has_ended:
            self.break_off(f"Asterisk closed the connection ({self.asterisk.closed})")

    def bring_soon(self, message):
        """Sends a message of Asterisk's to the transport."""
        self.events_out[0].send_nowait((trio.current_time() + self.latency_s, message))

    async def bring(self):
        """Brings messages to the transport."""
        self.events_out = trio.open_memory_channel(100_000)
        async for due, message in self.events_out[1]:
            await trio.sleep_until(due)
            if not self.has_ended:
                self.give(message)

    def give(self, message):
        try:
            self.transport.take_message(message)
        except Exception as error:  # noqa: BLE001 - as the hub does
            self.transport.fail(error)


class Asterisk:
    """A call of a caller who listens: what is played, when, and what the caller says."""

    def __init__(self, network, asterisk, transport):
        self.network, self.chan, self.transport = network, asterisk, transport
        self.heard = []  # (time, frame) of what is not silence

    async def play(self):
        """Plays a frame every 20 ms."""
        due = trio.current_time()
        while self.chan.closed is None:
            due += FRAME_S
            await trio.sleep_until(due)
            if frame := self.chan.tick():
                self.heard.append((trio.current_time(), frame))
            self.network.deliver_events()

    def start(self):
        """Says what call it is."""
        self.network.give(self.chan.start())

    async def say(self, audio):
        """Sends the caller's audio in real time."""
        size, due = self.chan.frame_bytes, trio.current_time()
        for at in range(0, len(audio), size):
            due += FRAME_S
            await trio.sleep_until(due)
            if self.chan.closed is None:
                self.network.bring_soon(audio[at : at + size])

    @property
    def commands(self):
        """The texts that the engine has sent."""
        return [message for _, message in self.network.sent if isinstance(message, str)]

    @property
    def audio(self):
        """The audio that the engine has sent."""
        return b"".join(message for _, message in self.network.sent if isinstance(message, bytes))


@asynccontextmanager
async def open_asterisk(format_name="slin", *, latency_s=0.0, starts=True, query=None, names=None, **options):
    """A transport and the Asterisk at its other end, which plays until the block ends."""
    chan = ChanWebSocket(format_name, **options)
    network = Network(chan, latency_s)
    network.transport = AsteriskWebSocketTransport(network, listener="door", query=query, names=names)
    asterisk = Asterisk(network, chan, network.transport)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(network.bring)
        nursery.start_soon(network.carry)
        nursery.start_soon(asterisk.play)
        await trio.testing.wait_all_tasks_blocked()
        if starts:
            asterisk.start()
            assert await network.transport.answer()
        yield asterisk
        nursery.cancel_scope.cancel()
