"""A server takes small frames apart by itself: what comes, in whatever pieces, means what the library says it means."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import CLIENT, OPEN, Protocol
from websockets.server import ServerProtocol

from voicepipe.wire.websocket_connection import WebSocket
from voicepipe.wire.websocket_server import ServerWebSocket

MOST = 40_000


class Pieces:
    """A stream that is read in given pieces."""

    is_flushed, has_more = True, False

    def __init__(self, pieces):
        self._pieces = [*pieces, b""]
        self.written = b""

    def read_nowait(self):
        return self._pieces.pop(0) if self._pieces else None

    def write_nowait(self, data):
        self.written += data

    def shut_down(self):
        """Does nothing."""


def framed(opcode, payload, *, fin=True, masked=True, reserved=0):
    data = bytearray(Frame(opcode, payload, fin).serialize(mask=masked))
    data[0] |= reserved
    return bytes(data)


PAYLOADS = st.one_of(
    st.binary(max_size=130), st.sampled_from([bytes(125), bytes(126), bytes(320), bytes(16_384), bytes(16_385)])
)
TEXTS = st.text(max_size=60).map(str.encode)
WHOLE = st.one_of(st.builds(framed, st.just(Opcode.BINARY), PAYLOADS), st.builds(framed, st.just(Opcode.TEXT), TEXTS))
PINGS = st.builds(framed, st.sampled_from([Opcode.PING, Opcode.PONG]), st.binary(max_size=20))
FRAGMENTS = st.builds(
    lambda parts, between: b"".join(
        framed(Opcode.CONT if number else Opcode.BINARY, part, fin=number == len(parts) - 1) + between
        for number, part in enumerate(parts)
    ),
    st.lists(st.binary(max_size=50), min_size=1, max_size=4),
    st.one_of(st.just(b""), PINGS),
)
FAULTS = st.sampled_from(
    [
        framed(Opcode.BINARY, b"x", masked=False),
        framed(Opcode.BINARY, b"x", reserved=0x40),
        framed(Opcode.TEXT, b"\xff\xfe"),
        framed(Opcode.CONT, b"x"),
        framed(Opcode.BINARY, b"x", fin=False) + framed(Opcode.BINARY, b"y"),
        b"\x82\xff" + (MOST + 1).to_bytes(8, "big") + bytes(4),
        b"\x8f\x80" + bytes(4),
        framed(Opcode.CLOSE, (1000).to_bytes(2, "big") + b"bye"),
        framed(Opcode.CLOSE, b""),
        b"",
    ]
)


def what_the_library_says(data):
    """The messages, what is answered, and the close codes, by a connection that leaves everything to the library."""
    protocol = ServerProtocol(state=OPEN, max_size=MOST)
    stream = Pieces([])
    websocket = WebSocket(stream, protocol, None, {})
    websocket._take(data)
    websocket._take(b"")
    websocket._answer()
    return list(websocket._messages), stream.written, code_of(protocol)


def code_of(protocol):
    return protocol.close_rcvd and protocol.close_rcvd.code, protocol.close_sent and protocol.close_sent.code


@settings(max_examples=60)
@given(
    frames=st.lists(st.one_of(WHOLE, PINGS, FRAGMENTS), max_size=8),
    fault=FAULTS,
    after=st.lists(WHOLE, max_size=2),
    cuts=st.lists(st.integers(0, 60_000), max_size=12),
)
def test_a_server_takes_frames_as_the_library_does(frames, fault, after, cuts):
    data = b"".join([*frames, fault, *after])
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [data[start:end] for start, end in pairwise(edges)]
    protocol = ServerProtocol(state=OPEN, max_size=MOST)
    stream, messages = Pieces(pieces), []
    websocket = ServerWebSocket(stream, protocol, b"")
    websocket.deliver_to(messages.append)
    for _ in range(len(pieces) + 1):
        websocket.receive_nowait()
    assert (messages, stream.written, code_of(protocol)) == what_the_library_says(data)
    assert websocket.has_ended


@settings(max_examples=60)
@given(messages=st.lists(st.one_of(PAYLOADS, st.text(max_size=60), st.just(bytes(70_000))), max_size=6))
def test_a_client_reads_what_a_server_frames(messages):
    stream = Pieces([])
    server = ServerWebSocket(stream, ServerProtocol(state=OPEN), b"")
    for message in messages:
        assert server.try_send(message)
    client = Protocol(CLIENT)
    client.receive_data(stream.written) if stream.written else None
    received = [
        bytes(frame.data).decode() if frame.opcode is Opcode.TEXT else bytes(frame.data) for frame in client.events
    ]
    assert received == messages
    server.send_close(CloseCode.NORMAL_CLOSURE)
    assert server.try_send(b"after the end")
    assert server.has_ended
