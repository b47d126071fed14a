"""What the transport tests share: a listener on a free port, a bare peer, a sink that remembers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import trio
from attrs import define, field

from voicepipe.transports.audiosocket.listener import serve_audiosocket
from voicepipe.transports.audiosocket.wire_format import RATES, Decoder, encode_audio

ASTERISK = Path(__file__).parents[1] / "data" / "asterisk"


@define(eq=False)
class Heard:
    """A sink that remembers what it got."""

    frames: list = field(factory=list)
    formats: list = field(factory=list)
    digits: str = ""
    ending: str = ""
    something: trio.Event = field(factory=trio.Event)

    def format_changed(self, audio):
        assert not self.frames
        self.formats.append(audio)

    def audio(self, audio):
        assert not self.ending
        self.something.set()
        self.frames.append(bytes(audio))

    def dtmf(self, digit):
        assert not self.ending
        self.digits += digit

    def heard(self, mark):
        raise AssertionError("AudioSocket has no marks")

    def hung_up(self, reason):
        assert not self.ending
        self.ending = reason


@define(eq=False)
class Peer:
    """The other end of the wire, byte by byte."""

    stream: trio.SocketStream
    decoder: Decoder = field(factory=Decoder)
    frames: list = field(factory=list)

    async def send(self, *pieces):
        for piece in pieces:
            await self.stream.send_all(piece)

    async def receive(self, count, *, silence=False):
        """The next so many frames, silence left out unless it is asked for; fewer if the other side ends before."""
        while len(self.frames) < count:
            data = await self.stream.receive_some()
            if not data:
                break
            frames = [(kind, bytes(payload)) for kind, payload in self.decoder.feed(data)]
            self.frames += [frame for frame in frames if silence or frame[0] not in RATES or any(frame[1])]
        taken, self.frames = self.frames[:count], self.frames[count:]
        return taken

    async def receive_all(self):
        """All bytes until the other side ends, without what fills a wait of more than 60 ms."""
        data = b"".join([data async for data in self.stream])
        return data.replace(encode_audio(0x10, bytes(320)), b"")


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
async def serve(nursery):
    """`await serve(handler, **options)` is a listener on a free port."""

    async def start(handler, **options):
        return await nursery.start(partial(serve_audiosocket, handler, port=0, **options))

    yield start
    nursery.cancel_scope.cancel()


@pytest.fixture
def connect():
    @asynccontextmanager
    async def connect(listener):
        async with await trio.open_tcp_stream(*listener.address) as stream:
            yield Peer(stream)

    return connect


@pytest.fixture
def capture():
    """A capture's bytes by name."""
    return lambda name, release="audiosocket": (ASTERISK / release / name).read_bytes()


@pytest.fixture
def sockets():
    """How many sockets this process has open."""

    def count():
        targets = []
        for fd in Path("/proc/self/fd").iterdir():
            try:
                targets.append(str(fd.readlink()))
            except FileNotFoundError:  # the one that listed them
                continue
        return sum(target.startswith("socket:") for target in targets)

    return count
