"""The kit for transports on one in memory, and on AudioSocket at another rate; T01 has those that are installed."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio
from attrs import evolve, frozen
from kit_peers import audiosocket_peer

from voicepipe.errors import CallRefused, TransportError
from voicepipe.testing import MemoryTransport, transports
from voicepipe.transports.audiosocket.transport_type import AudioSocketSettings, audiosocket
from voicepipe.transports.listener import TransportType


async def test_audiosocket_at_another_rate():
    kit = transports.transport(audiosocket, AudioSocketSettings(port=0), connect=audiosocket_peer(16_000))
    await kit.check(["the_caller_is_heard", "the_agent_is_heard"])


# --- In memory --------------------------------------------------------------------------------------------------------


@frozen
class NoOptions:
    """Nothing."""


class KeptTransport(MemoryTransport):
    """A call in memory that bounds what it takes, and can be read by its peer."""

    failure = None

    def write(self, audio):
        if len(self.written) >= 200 and not self.ended.is_set():
            self.block()
        return super().write(audio)

    async def run(self, sink):
        await super().run(sink)
        if self.failure is not None:
            raise self.failure

    async def send(self, audio):
        try:
            await super().send(audio)
        except ValueError as error:  # of the sink
            self.failure = error
            await self.hang_up()


class MemoryListener:
    """Brings calls that peers make in the same process."""

    address = ("memory", 0)

    def __init__(self, context):
        self._context, self._calls, self._paused, self._closed = context, set(), False, False
        self._send, self._receive = trio.open_memory_channel(100)

    @property
    def is_listening(self):
        return not self._closed and not self._paused and len(self._calls) < self._context.max_connections

    @property
    def calls(self):
        return len(self._calls)

    async def serve(self, handler):
        async with trio.open_nursery() as nursery, self._receive:
            async for transport in self._receive:
                nursery.start_soon(self._conduct, handler, transport)

    async def _conduct(self, handler, transport):
        self._calls.add(transport)
        try:
            await handler(transport)
        except* CallRefused:
            pass
        except* TransportError as errors:
            self._context.on_refused("memory", errors.exceptions[0])
        except* (Exception, SystemExit) as errors:  # noqa: BLE001 - the boundary of a call
            error = errors.exceptions[0]
            self._context.on_crash(transport.info, error if isinstance(error, Exception) else RuntimeError(str(error)))
        finally:
            self._calls.discard(transport)
            await transport.hang_up()

    def connect(self):
        if not self.is_listening:
            raise transports.CallNotTaken
        transport = KeptTransport()
        transport.info = evolve(transport.info, listener=self._context.name)
        self._send.send_nowait(transport)
        return transport

    def close(self):
        self._closed = True
        self._send.close()

    def pause(self):
        self._paused = True

    def resume(self):
        self._paused = False


class MemoryPeer(transports.TransportPeer):
    def __init__(self, transport):
        self._transport, self._read = transport, 0

    async def send_audio(self, audio):
        if not self._transport.ended.is_set():
            await self._transport.send(audio)

    async def press(self, key):
        await self._transport.press(key)

    async def hang_up(self):
        await self._transport.hang_up_as_caller()

    die = hang_up

    async def receive(self):
        while not self._transport.written:
            if self._transport.ended.is_set():
                return transports.PeerEvent.END
            await trio.sleep(0.001)
        _, audio = self._transport.written.pop(0)
        self._transport.unblock()
        return audio


@asynccontextmanager
async def open_memory(_options, context):
    yield MemoryListener(context)


@asynccontextmanager
async def connect_in_memory(listener):
    transport = listener.connect()
    try:
        yield MemoryPeer(transport)
    finally:
        transport.ended.set()


memory = TransportType(name="memory", options=NoOptions, open=open_memory)
test_memory = transports.transport(memory, NoOptions(), connect=connect_in_memory, garbage=())
