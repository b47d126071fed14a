"""Listening for Asterisk's AudioSocket connections, each of which is a call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict, Unpack, get_args

import trio
from attrs import define, field
from attrs.validators import ge, gt, in_

from voicepipe.audio import FRAME_MS
from voicepipe.errors import TransportError
from voicepipe.transports.audiosocket.refusing import WhenFull, cut_off
from voicepipe.transports.audiosocket.transport import GAP_FRAMES, AudioSocketTransport
from voicepipe.transports.audiosocket.wire_format import KINDS
from voicepipe.transports.connections import AnySource, Connections, open_listening_sockets
from voicepipe.transports.hub import Hub
from voicepipe.transports.listener import ConnectionSource, OnCrash, OnRefused
from voicepipe.transports.tls import NonBlockingTlsSocket, ServerTls, TlsFiles
from voicepipe.wire.byte_stream import shake_hands

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator


__all__ = ["AudioSocketListener", "AudioSocketTransport", "open_audiosocket_listener", "serve_audiosocket"]

READ_BYTES: Final = 65_536
"""The size of the read buffer, in bytes."""
FRAME_S: Final = FRAME_MS / 1000
"""The interval at which calls are checked for gaps in what is sent, in s."""
SLACK_S: Final = 0.005
"""The tolerance of such a check, in s, so that it falls together with audio that comes in."""
UUID_S: Final = 0.5
"""The longest wait of a refusal for the UUID, in s: a peer that is still sending it would see a broken connection."""

Handler: TypeAlias = Callable[[AudioSocketTransport], Awaitable[None]]
"""Conducts one call; the call ends when it returns."""


class AudioSocketOptions(TypedDict, total=False):
    """The fields of `AudioSocketListener`, as keyword arguments."""

    listener: str
    rate: int
    max_connections: int
    when_full: WhenFull
    identify_timeout: float
    on_refused: OnRefused | None
    on_crash: OnCrash | None
    tls: TlsFiles | None


@define(eq=False)
class AudioSocketListener:
    """An open listening socket; made by `open_audiosocket_listener`."""

    _listening_sockets: Sequence[AnySource]
    """The listening sockets, one for each address of the host, or what hands connections over in their place."""
    listener: str = "audiosocket"
    """The listener's name in `CallInfo.listener`."""
    rate: int = field(default=8000, validator=in_(KINDS))
    """The rate of audio of kind 0x10, and of a call before its first audio, in Hz."""
    max_connections: int = field(default=500, validator=ge(1))
    """The most connections that are served at once; further ones are refused as `when_full` says."""
    when_full: WhenFull = field(default="close_listener", validator=in_(get_args(WhenFull)))
    """The way in which calls are refused; see `WhenFull`."""
    identify_timeout: float = field(default=5.0, validator=gt(0))
    """The longest wait for a connection's UUID, in s."""
    on_refused: OnRefused | None = None
    """Called for each connection that was refused; what it raises is logged once, by "voicepipe.observers"."""
    on_crash: OnCrash | None = None
    """Called when a handler raised anything but `TransportError`; None: the exception is logged by "voicepipe"."""
    tls: TlsFiles | None = None
    """The certificate and its key, which are read again when they change; None: without TLS, as Asterisk connects."""
    _buffer: memoryview = field(init=False, factory=lambda: memoryview(bytearray(READ_BYTES)))
    """All transports read into it; its content is used before the next `await`."""
    _hub: Hub = field(init=False)
    _certificate: ServerTls | None = field(init=False)
    _connections: Connections[AudioSocketTransport] = field(init=False)
    _first_call: trio.Event = field(init=False, factory=trio.Event)
    """Set by a call that begins, after a time without any."""
    _gap_check_at: float = field(init=False, default=0.0)
    """The time of the next check for gaps, on trio's clock."""
    _gap_timer: trio.CancelScope = field(init=False, factory=trio.CancelScope)
    """Wakes the task that checks for gaps if the hub does not."""

    def __attrs_post_init__(self) -> None:
        self._certificate = ServerTls(self.tls, NonBlockingTlsSocket) if self.tls is not None else None
        self._connections = Connections(
            self._listening_sockets,
            name=self.listener,
            max_connections=self.max_connections,
            on_refused=self.on_refused,
            on_crash=self.on_crash,
            closes_when_full=self.when_full == "close_listener",
            cut_off=partial(cut_off, when_full=self.when_full),
        )

    async def load_certificate(self) -> None:
        """Reads the certificate, if there is one; raises `OSError` if it can't be used."""
        if self._certificate is not None:
            await self._certificate.context()

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it is bound to; of several addresses, the first."""
        return self._connections.address

    @property
    def is_listening(self) -> bool:
        """Whether the kernel accepts connections: not when closed, nor while full or paused with `close_listener`."""
        return self._connections.is_listening

    @property
    def calls(self) -> int:
        """The number of calls that are up."""
        return len(self._connections.calls)

    async def serve(self, handler: Handler) -> None:
        """Runs `handler` for each call in a task of its own; returns when `close` was called and no call is left.

        A call is hung up when its handler returns or raises. A handler that raises `CallRefused` refuses its call, so
        that the dialplan can tell it from one that was answered. Any other exception ends only that call: a
        `TransportError` goes to `on_refused`, all others, `SystemExit` too, to `on_crash`.
        """
        with closing(Hub(self._fill_gaps_if_due)) as self._hub:
            async with trio.open_nursery() as upkeep:
                upkeep.start_soon(self._fill_gaps)
                upkeep.start_soon(self._hub.run)
                await self._connections.serve(partial(self._prepare, handler))
                upkeep.cancel_scope.cancel()

    def close(self) -> None:
        """Stops accepting connections for good; calls that are up go on."""
        self._connections.close()

    def pause(self) -> None:
        """Refuses new calls until `resume`, as `when_full` says; calls that are up go on."""
        self._connections.pause()

    def resume(self) -> None:
        """Accepts calls again; no-op if it was not paused, or is closed."""
        self._connections.resume()

    async def _fill_gaps(self) -> None:
        """Checks for gaps while the hub does not, because all callers are muted; sleeps while no call is up."""
        while True:
            while not self._connections.calls:
                self._first_call = trio.Event()
                await self._first_call.wait()
            with trio.CancelScope(deadline=self._gap_check_at + SLACK_S) as self._gap_timer:
                await trio.sleep_forever()
            self._fill_gaps_if_due()

    def _fill_gaps_if_due(self) -> None:
        """Writes silence to each call to which nothing was written for `GAP_FRAMES`.

        The hub calls it whenever it received something: a wake-up of its own would cost more than to check a hundred
        calls.
        """
        now = trio.current_time()
        if now < self._gap_check_at - SLACK_S:
            return
        self._gap_check_at = max(self._gap_check_at + FRAME_S, now)  # checks that a stall delayed are not made up for
        self._gap_timer.deadline = self._gap_check_at + SLACK_S
        for call in self._connections.calls:
            call.frames_without_write += 1
            if call.frames_without_write >= GAP_FRAMES:
                try:
                    call.write_silence()
                except Exception as error:  # noqa: BLE001 - a defect of one call, which ends that call
                    call.fail(error)

    def _prepare(
        self, handler: Handler, connection: socket.socket, peer: str, nursery: trio.Nursery
    ) -> Callable[[], Awaitable[None]]:
        """Takes over a connection, which counts if there is room for it, and is refused otherwise."""
        served = self._connections.has_room
        if served:
            self._connections.count()
        return partial(self._serve_connection, connection, nursery, peer, handler if served else None)

    async def _serve_connection(
        self, connection: socket.socket, nursery: trio.Nursery, peer: str, handler: Handler | None
    ) -> None:
        """Serves one connection from its first byte to its end; without a handler, refuses it."""
        try:
            if self._certificate is not None:
                with trio.fail_after(self.identify_timeout):
                    connection = await shake_hands(connection, await self._certificate.context())
        except (OSError, trio.TooSlowError) as error:
            connection.close()
            why = getattr(error, "strerror", None) or f"it took longer than {self.identify_timeout:g} s"
            self._connections.report_refused(peer, TransportError(f"the TLS handshake failed: {why}"))
            if handler is not None:
                self._connections.discount()
            return
        transport = AudioSocketTransport(
            connection,
            nursery,
            self._hub,
            self._buffer,
            listener=self.listener,
            rate=self.rate,
            when_full=self.when_full,
        )
        try:
            if handler is not None:
                await self._converse(transport, peer, handler)
            else:
                with suppress(TransportError):  # it is refused whatever it sent
                    await transport.identify(UUID_S)
                self._connections.report_refused(peer, self._connections.no_room())
                await transport.refuse()
        finally:
            await self._connections.hang_up(transport)

    async def _converse(self, transport: AudioSocketTransport, peer: str, handler: Handler) -> None:
        async def begin(transport: AudioSocketTransport) -> None:
            self._first_call.set()
            await handler(transport)

        try:
            answer = partial(transport.answer, self.identify_timeout)
            refuse = await self._connections.converse(transport, peer, answer, begin)
        finally:
            self._connections.discount()
        if refuse and transport.info.transport_id:  # without a UUID it is no call
            await transport.refuse()


@asynccontextmanager
async def open_audiosocket_listener(
    host: str = "127.0.0.1",
    port: int = 9092,
    *,
    ipv6_only: bool = False,
    connections: ConnectionSource | None = None,
    **options: Unpack[AudioSocketOptions],
) -> AsyncIterator[AudioSocketListener]:
    """Opens a listener that is bound but does not `serve` yet, and closes it on exit.

    Args:
        host: a name or an address; all of its addresses are listened on, so `localhost` is 127.0.0.1 and ::1.
        port: 0 chooses a free one.
        ipv6_only: whether `::` leaves IPv4 to another listener on that port; by default it accepts both.
        connections: where connections come from, if another process listens; None: the address is bound here.
        options: the fields of `AudioSocketListener`.

    Raises:
        OSError: the address can't be listened on, or the certificate can't be used.

    """
    async with open_listening_sockets(host, port, ipv6_only=ipv6_only, connections=connections) as listening_sockets:
        listener = AudioSocketListener(listening_sockets, **options)
        await listener.load_certificate()
        yield listener


async def serve_audiosocket(
    handler: Handler,
    host: str = "127.0.0.1",
    port: int = 9092,
    *,
    task_status: trio.TaskStatus[AudioSocketListener] = trio.TASK_STATUS_IGNORED,
    **options: Unpack[AudioSocketOptions],
) -> None:
    """Opens a listener and serves until it is closed; `nursery.start` returns the listener.

    `host`, `port` and `options` go to `open_audiosocket_listener`, and `handler` to `AudioSocketListener.serve`.

    Raises:
        OSError: the address can't be listened on, or the certificate can't be used.

    """
    async with open_audiosocket_listener(host, port, **options) as listener:
        task_status.started(listener)
        await listener.serve(handler)
