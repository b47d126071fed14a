"""The subject of a transport's checks: its listener, opened anew for each check, and calls that peers make to it.

Theory of operation
===================

    TransportSubject ── opened() ──> TransportBench ── call() ──> (peer, HandledCall)

*TransportSubject* is what the author of a transport hands in: the `TransportType`, its options, and a function that
connects a peer. *TransportBench* is one open listener, whose handler is the bench's: for each call it makes a
`HandledCall`, which runs the transport with a sink that notes everything, until the check releases it or `run` returns.

A check waits for what must happen with `until`, in the time that counts (see the kit's `waiting.py`), so that no
verdict depends on how busy the machine is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import cache
from importlib import import_module
from math import pi, sin
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field, frozen

from voicepipe.audio import FRAME_MS, AudioFormat, from_pcm16
from voicepipe.errors import TransportError
from voicepipe.testing.conformance.verdicts import Failed, Skipped
from voicepipe.testing.conformance.waiting import ended_after
from voicepipe.testing.transports.peer import CallNotTaken, PeerEvent, TransportPeer
from voicepipe.transports.listener import CallHandler, Listener, ListenerContext, TransportType
from voicepipe.transports.protocol import Transport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from voicepipe.components.requests import CallInfo
    from voicepipe.testing.transports.peer import PeerKeys, PeerMark, PeerReceived

Connect = Callable[[Listener], AbstractAsyncContextManager[TransportPeer]]
"""Connects a peer to a listener, as a caller whose call is to be taken; raises `CallNotTaken` or `OSError` if it is
refused. Leaving the context ends the connection in any way."""

NAME: Final = "checked"
"""The name of the listener."""
GARBAGE: Final = (
    b"",
    bytes(64),
    b"\xff" * 64,
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64),
    b"GET /" + b"x" * 70_000,
    bytes(range(256)) * 300,
)
"""What port scanners, browsers, TLS clients and broken programs send to a listener; the connection then ends."""
_FRAMES: Final = 251
_POLL_S: Final = 0.005
_SILENCE_S: Final = 0.1


@cache
def _tones(audio: AudioFormat) -> tuple[bytes, ...]:
    return tuple(from_pcm16(_tone(audio.rate, number), audio.encoding) for number in range(_FRAMES))


def _tone(rate: int, number: int) -> bytes:
    turn = 2 * pi * (150 + number) / rate
    loudness = 1500 + 12 * number
    samples = [int(loudness * sin(turn * at + number / 7)) for at in range(rate * FRAME_MS // 1000)]
    return struct.pack(f"<{len(samples)}h", *samples)


def frame(audio: AudioFormat, number: int) -> bytes:
    """Returns 20 ms of a quiet tone; neighbouring numbers have different ones, none of which is silence."""
    return _tones(audio)[number % _FRAMES]


def frames(audio: AudioFormat, count: int, first: int = 0) -> list[bytes]:
    """Returns consecutive frames."""
    return [frame(audio, number) for number in range(first, first + count)]


async def settled() -> None:
    """Returns when all tasks have waited for 10 ms: what was to happen by itself has happened."""
    # Imported here, because it imports pytest where that is installed.
    await import_module("trio.testing").wait_all_tasks_blocked(0.01)


class ReceivedAudio:
    """What was received, without the frames of silence that either side may send while nobody speaks.

    Attributes:
        audio: the audio.
        events: the marks, keys and events.

    """

    def __init__(self, audio: AudioFormat) -> None:
        """Begins with nothing; `audio` is the format of the call."""
        self._silence = from_pcm16(bytes(audio.rate * FRAME_MS // 1000 * 2), audio.encoding)
        self._rest = b""
        self.audio = bytearray()
        self.events: list[PeerMark | PeerKeys | PeerEvent] = []

    def add(self, part: PeerReceived) -> None:
        """Adds what came next."""
        if not isinstance(part, bytes):
            self.events.append(part)
            return
        data, size = self._rest + part, len(self._silence)
        whole = len(data) - len(data) % size
        for at in range(0, whole, size):
            if data[at : at + size] != self._silence:
                self.audio += data[at : at + size]
        self._rest = data[whole:]


@define
class NotingSink:
    """A `CallSink` that notes what it is given."""

    items: list[tuple[str, Any]] = field(factory=list)
    """Each delivery by its name, with what was delivered."""
    crash_on_audio: Exception | None = None
    """What the next audio raises; None: nothing."""

    def format_changed(self, audio: AudioFormat) -> None:
        """Notes the format."""
        self.items.append(("format_changed", audio))

    def audio(self, audio: bytes | memoryview) -> None:
        """Notes the audio."""
        if self.crash_on_audio is not None:
            raise self.crash_on_audio
        self.items.append(("audio", bytes(audio)))

    def dtmf(self, digit: str) -> None:
        """Notes the key."""
        self.items.append(("dtmf", digit))

    def heard(self, mark: int) -> None:
        """Notes the mark."""
        self.items.append(("heard", mark))

    def hung_up(self, reason: str) -> None:
        """Notes the end."""
        self.items.append(("hung_up", reason))

    def of(self, kind: str) -> list[Any]:
        """Returns the deliveries of a kind, in their order."""
        return [value for name, value in self.items if name == kind]

    def heard_audio(self, audio: AudioFormat) -> bytes:
        """Returns the caller's audio so far, in the format of the call, without frames of silence."""
        received = ReceivedAudio(audio)
        for piece in self.of("audio"):
            received.add(piece)
        return bytes(received.audio)


@define(eq=False)
class HandledCall:
    """A call in the handler of the bench."""

    transport: Transport
    """The call's transport."""
    sink: NotingSink = field(factory=NotingSink)
    """The sink that it delivers to."""
    released: trio.Event = field(factory=trio.Event)
    """Set by a check that wants the handler to return, which hangs up."""
    over: trio.Event = field(factory=trio.Event)
    """Set when the handler has returned or raised."""
    raises: BaseException | None = None
    """What the handler raises when it is released; None: nothing."""

    async def conduct(self) -> None:
        """Runs the transport until it has ended, or the call is released."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run)
                await self.released.wait()
                nursery.cancel_scope.cancel()
            if self.raises is not None:
                raise self.raises
        finally:
            self.over.set()

    async def _run(self) -> None:
        await self.transport.run(self.sink)
        self.released.set()


@define(eq=False)
class TransportBench:
    """One open listener, and the calls that came to it."""

    subject: TransportSubject
    """What is checked."""
    listener: Listener
    """The listener."""
    calls: list[HandledCall] = field(factory=list)
    """The calls whose handler was run, in order."""
    refused: list[TransportError] = field(factory=list)
    """What `on_refused` was given."""
    crashed: list[Exception] = field(factory=list)
    """What `on_crash` was given."""
    refusing: BaseException | None = None
    """What the handler raises at once, instead of taking a call; None: it takes it."""
    conduct: CallHandler | None = None
    """Handles each call instead of the bench; None: the bench does."""
    served: trio.Event = field(factory=trio.Event)
    """Set when `serve` has returned."""

    async def handle(self, transport: Transport) -> None:
        """Handles one call; the handler that the listener is given."""
        if self.refusing is not None:
            raise self.refusing
        if self.conduct is not None:
            await self.conduct(transport)
            return
        call = HandledCall(transport)
        self.calls.append(call)
        await call.conduct()

    async def serve(self) -> None:
        """Serves the listener."""
        await self.listener.serve(self.handle)
        self.served.set()

    @asynccontextmanager
    async def call(self) -> AsyncIterator[tuple[TransportPeer, HandledCall]]:
        """Makes a call, and waits until its handler runs."""
        before = len(self.calls)
        async with self.subject.connect(self.listener) as peer:
            await self.until(lambda: len(self.calls) > before, "the handler was not run for a call")
            yield peer, self.calls[-1]

    async def until(self, condition: Callable[[], bool], otherwise: str, within_s: float | None = None) -> None:
        """Waits until something is so.

        Raises:
            Failed: it was not so in time; `otherwise` says what did not happen.

        """
        seconds = within_s or self.subject.deadline_s
        with ended_after(seconds) as scope:
            while not condition():  # noqa: ASYNC110 - a transport sets no event for the checks
                await trio.sleep(_POLL_S)
        if scope.cancelled_caught:
            raise Failed(f"{otherwise} within {seconds:g} s")

    async def within(self, waiting: Callable[[], Awaitable[Any]], otherwise: str, within_s: float | None = None) -> Any:
        """Returns what an async function returns.

        Raises:
            Failed: it did not return in time; `otherwise` says what did not happen.

        """
        seconds = within_s or self.subject.deadline_s
        with ended_after(seconds):
            return await waiting()
        raise Failed(f"{otherwise} within {seconds:g} s")

    async def received(self, peer: TransportPeer, size: int) -> ReceivedAudio:
        """Returns what a peer received until there were `size` bytes of audio in it, silence not counted, or the end.

        Meanwhile the caller's line is silent, as lines are, and not dead.

        Raises:
            Failed: that much did not come in time.

        """
        received = ReceivedAudio(peer.audio)

        async def be_there() -> None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                while True:
                    await peer.send_audio(peer.audio.silence * (peer.audio.rate * FRAME_MS // 1000))
                    await trio.sleep(_SILENCE_S)

        async def receive() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(be_there)
                while len(received.audio) < size and PeerEvent.END not in received.events:
                    received.add(await peer.receive())
                nursery.cancel_scope.cancel()

        await self.within(receive, f"{size} bytes of audio were written, but the peer did not get them")
        return received

    async def is_refused(self, connect: Connect | None = None) -> bool:
        """Returns whether a peer is refused: it can't connect, or its connection ends, and no handler was run."""
        before = len(self.calls)
        with suppress(CallNotTaken, OSError, trio.BrokenResourceError):
            async with (connect or self.subject.connect)(self.listener) as peer:

                async def end() -> None:
                    while await peer.receive() is not PeerEvent.END and len(self.calls) == before:
                        pass

                with suppress(trio.BrokenResourceError, OSError), ended_after(self.subject.deadline_s):
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._cancel_when_taken, before, nursery.cancel_scope)
                        await end()
                        nursery.cancel_scope.cancel()
                    return len(self.calls) == before
                return False
        return len(self.calls) == before

    async def _cancel_when_taken(self, before: int, scope: trio.CancelScope) -> None:
        while len(self.calls) == before:  # noqa: ASYNC110 - as above
            await trio.sleep(_POLL_S)
        scope.cancel()


@frozen
class TransportSubject:
    """A transport, its options, and who plays the other side."""

    transport: TransportType[Any]
    """The transport."""
    options: Any
    """Its options, or a function that returns an async context manager of them, for a server that has to run."""
    connect: Connect
    """Connects a peer whose call is to be taken."""
    stranger: Connect | None = None
    """Connects a peer that must not get a call: without the password, with a wrong signature. None: there is none."""
    garbage: Sequence[bytes] = field(factory=lambda: GARBAGE, repr=False)
    """What is sent to the listener's port by connections that are no calls; empty: it has no port of its own."""
    deadline_s: float = 5.0
    """The time in which what must happen has to happen, in s."""
    death_s: float = 2.0
    """The time in which a call whose connection died has to end, in s."""

    @property
    def module(self) -> str:
        """The module of the transport."""
        return str(self.transport.options.__module__)

    def __str__(self) -> str:
        return f"transport {self.transport.name!r}"

    @asynccontextmanager
    async def opened(self, max_connections: int = 500) -> AsyncIterator[TransportBench]:
        """Opens a listener and serves it; closes it with all of its calls on exit."""
        refused: list[TransportError] = []
        crashed: list[Exception] = []

        def on_refused(_peer: str, error: TransportError) -> None:
            refused.append(error)

        def on_crash(_info: CallInfo, error: Exception) -> None:
            crashed.append(error)

        context = ListenerContext(NAME, max_connections, on_refused=on_refused, on_crash=on_crash)
        async with (
            self._options() as options,
            self.transport.open(options, context) as listener,
            trio.open_nursery() as nursery,
        ):
            bench = TransportBench(self, listener, refused=refused, crashed=crashed)
            nursery.start_soon(bench.serve)
            yield bench
            nursery.cancel_scope.cancel()

    @asynccontextmanager
    async def _options(self) -> AsyncIterator[Any]:
        if isinstance(self.options, self.transport.options):
            yield self.options
        else:
            async with self.options() as options:
                yield options

    async def needs(self, waiting: Callable[[], Awaitable[Any]]) -> None:
        """Lets the peer do something; raises `Skipped` if it does not define it."""
        try:
            await waiting()
        except NotImplementedError as error:
            raise Skipped(str(error)) from None
