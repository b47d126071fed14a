"""The transport of a media stream: what it does with a socket that is full, closes, or never starts a stream."""

from __future__ import annotations

import math

import pytest
import trio
import trio.testing
from media_streams import CARRIERS, LINEAR_FRAME, MULAW_FRAME, PlivoStream, TwilioStream, VonageStream, wire

from voicepipe.errors import TransportError
from voicepipe.transports.media_stream.dialects import DIALECTS
from voicepipe.transports.media_stream.tickets import WebhookFacts
from voicepipe.transports.media_stream.transport import MediaStreamTransport


class Socket:
    """A `CallSocket` with room for some messages."""

    def __init__(self, room=math.inf):
        self.room, self.sent, self.closed, self._changed = room, [], False, trio.Event()

    def send_nowait(self, message):
        if not self.room:
            return False
        self.room -= 1
        self.sent.append(message)
        return True

    async def wait_writable(self):
        await trio.lowlevel.checkpoint()
        while not self.room:
            self._changed = trio.Event()
            await self._changed.wait()

    def make_room(self, room=math.inf):
        self.room = room
        self._changed.set()

    async def close(self, code=1000, reason=""):
        await trio.lowlevel.checkpoint()
        self.closed = (code, reason)


class Sink:
    def __init__(self):
        self.items = []

    def audio(self, audio):
        self.items.append(audio)

    def dtmf(self, digit):
        self.items.append(digit)

    def heard(self, mark):
        self.items.append(mark)

    def hung_up(self, reason):
        self.items.append(reason)


def transport_of(stream, socket, **options):
    dialect = DIALECTS[stream.name]
    return MediaStreamTransport(socket, dialect, dialect.audio[0], listener="carrier", **options)


async def answered(stream, room=math.inf, **options):
    socket = Socket(room)
    transport = transport_of(stream, socket, **options)
    for message in stream.opening():
        transport.take_message(wire(message))
    assert await transport.answer()
    return transport, socket


def heard(stream, socket):
    """What the carrier understands of what was sent to it."""
    return [stream.heard(message) for message in socket.sent]


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_call(carrier, autojump_clock):
    stream, sink = carrier(), Sink()
    transport, socket = await answered(stream)
    frame = LINEAR_FRAME if stream.name == "vonage" else MULAW_FRAME
    assert transport.pacing == "theirs"
    assert transport.can == {"clear", "mark"} | ({"send_dtmf"} if stream.name == "plivo" else set())
    transport.take_message(wire(stream.media()))  # before the call has a sink
    transport.take_message(wire(stream.key("7")))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run, sink)
        await trio.testing.wait_all_tasks_blocked()
        transport.take_message(wire(stream.media()))
        assert transport.write(frame * 2)
        transport.mark(3)
        transport.clear()
        transport.take_message(wire(stream.mark("3")))
        await trio.testing.wait_all_tasks_blocked()
        assert sink.items == [frame, "7", frame, 3]
        if (stop := stream.stop()) is not None:
            transport.take_message(wire(stop))
        transport.closed("closed with 1000")
    assert sink.items[4:] == (
        ["the carrier closed the stream: closed with 1000"] if stop is None else ["the carrier ended the stream"]
    )
    spoken = [audio for kind, audio in heard(stream, socket) if kind == "audio"]
    assert b"".join(spoken) == frame * 2
    assert heard(stream, socket)[len(spoken) :] == [("mark", "3"), ("clear", None)]
    assert transport.write(frame)  # which nobody hears
    await transport.hang_up()
    assert socket.closed == (1000, "")


async def test_what_the_webhook_said_counts():
    facts = WebhookFacts("+491", "+492", "CA9", {"tenant": "acme"})
    transport, _ = await answered(TwilioStream(caller="+1", tenant="evil", more="x"), facts=facts)
    info = transport.info
    assert (info.caller, info.called, info.transport_id) == ("+491", "+492", TwilioStream.call_id)
    assert info.listener == "carrier"
    assert {name: info.variables[name] for name in ("tenant", "more")} == {"tenant": "acme", "more": "x"}
    vonage, _ = await answered(VonageStream(), facts=facts)
    assert vonage.info.transport_id == "CA9"
    nameless = [(await answered(VonageStream()))[0].info.transport_id for _ in range(2)]
    assert len(set(nameless)) == 2  # an ID is made where there is none


async def test_nothing_is_taken_while_the_socket_is_full():
    stream = TwilioStream()
    transport, socket = await answered(stream, room=0)
    assert not transport.write(MULAW_FRAME)
    assert socket.sent == []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_writable)
        await trio.testing.wait_all_tasks_blocked()
        socket.make_room()
    assert transport.write(MULAW_FRAME)
    assert heard(stream, socket) == [("audio", MULAW_FRAME)]


async def test_speech_of_which_the_socket_took_a_part_goes_on_where_it_stopped():
    stream = VonageStream()  # which has a message for each 20 ms
    frames = [bytes([number]) * 640 for number in range(10)]
    transport, socket = await answered(stream, room=4)
    assert transport.write(b"".join(frames))
    assert not transport.write(frames[0])
    transport.mark(1)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_writable)
        await trio.testing.wait_all_tasks_blocked()
        socket.make_room(3)
        await trio.testing.wait_all_tasks_blocked()
        assert len(socket.sent) == 7
        socket.make_room()
    assert heard(stream, socket) == [*(("audio", frame) for frame in frames), ("mark", "1")]
    assert transport.write(frames[0])


async def test_a_clear_drops_what_is_kept_and_goes_out_although_nobody_writes():
    stream = VonageStream()
    transport, socket = await answered(stream, room=2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.run, Sink())
        assert transport.write(LINEAR_FRAME * 5)
        transport.mark(1)
        transport.clear()
        transport.mark(2)
        await trio.testing.wait_all_tasks_blocked()
        assert len(socket.sent) == 2
        socket.make_room(1)
        await trio.testing.wait_all_tasks_blocked()
        socket.make_room()
        await trio.testing.wait_all_tasks_blocked()
        sent = [("audio", LINEAR_FRAME)] * 2
        assert heard(stream, socket) == [*sent, ("clear", None), ("mark", "2")]
        socket.make_room(0)  # and once more
        transport.clear()
        await trio.testing.wait_all_tasks_blocked()
        socket.make_room()
        await trio.testing.wait_all_tasks_blocked()
        assert heard(stream, socket)[-1] == ("clear", None)
        nursery.cancel_scope.cancel()


async def test_a_hang_up_sends_what_is_kept(autojump_clock):
    stream = VonageStream()
    transport, socket = await answered(stream, room=1)
    assert transport.write(LINEAR_FRAME * 2)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.hang_up)
        await trio.testing.wait_all_tasks_blocked()
        assert not socket.closed
        socket.make_room()
    assert heard(stream, socket) == [("audio", LINEAR_FRAME)] * 2
    assert socket.closed

    transport, socket = await answered(stream, room=1)  # and does not wait for ever
    assert transport.write(LINEAR_FRAME * 2)
    started = trio.current_time()
    await transport.hang_up()
    assert trio.current_time() - started == pytest.approx(0.5)
    assert socket.closed


async def test_keys():
    stream = PlivoStream()
    transport, socket = await answered(stream)
    await transport.send_dtmf("12#")
    assert heard(stream, socket) == [("keys", "12#")]
    transport, _ = await answered(TwilioStream())
    with pytest.raises(NotImplementedError):
        await transport.send_dtmf("1")
    with pytest.raises(NotImplementedError):
        await transport.transfer("200")


async def test_a_connection_that_never_becomes_a_call():
    transport = transport_of(TwilioStream(), Socket())
    transport.closed("closed with 1000")
    assert not await transport.answer()
    assert transport.write(MULAW_FRAME)
    transport.clear()
    transport.mark(1)
    await transport.hang_up()


async def test_a_stream_of_another_dialect_is_refused():
    transport = transport_of(TwilioStream(), Socket())
    with pytest.raises(TransportError, match="dialect") as raised:
        transport.take_message(wire(VonageStream().opening()[0]))
    transport.fail(raised.value)
    with pytest.raises(TransportError, match="dialect"):
        await transport.answer()


async def test_a_fault_in_the_call_ends_it():
    stream, sink = TwilioStream(), Sink()
    transport, _ = await answered(stream)
    transport.take_message(wire(stream.media()))
    transport.fail(TransportError("no message"))
    with pytest.raises(TransportError, match="no message"):
        await transport.run(sink)
    assert sink.items == [MULAW_FRAME]


async def test_a_stream_that_starts_and_ends_at_once_is_a_call():
    stream, sink = TwilioStream(), Sink()
    transport, _ = await answered(stream)
    transport.take_message(wire(stream.stop()))
    transport.take_message(wire(stream.media()))  # after its own end
    assert await transport.answer()
    await transport.run(sink)
    assert sink.items == ["the carrier ended the stream"]
