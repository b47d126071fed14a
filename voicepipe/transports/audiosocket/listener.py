"""Listening for Asterisk's AudioSocket connections, each of which is a call."""

from __future__ import annotations

import errno
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from typing import TYPE_CHECKING, Final, TypeAlias, TypedDict, Unpack, get_args

import trio
from attrs import define, field
from attrs.validators import ge, gt, in_

from voicepipe.audio import FRAME_MS
from voicepipe.components.observers import ObserverReports
from voicepipe.errors import CallRefused, TransportError
from voicepipe.nurseries import defect_of, leaves_of
from voicepipe.transports.audiosocket.refusing import WhenFull, cut_off
from voicepipe.transports.audiosocket.transport import GAP_FRAMES, AudioSocketTransport
from voicepipe.transports.audiosocket.wire_format import KINDS
from voicepipe.transports.binding import listen_on
from voicepipe.transports.hub import Hub
from voicepipe.transports.listening_socket import BACKLOG, ListeningSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.components.requests import CallInfo

__all__ = ["AudioSocketListener", "AudioSocketTransport", "open_audiosocket_listener", "serve_audiosocket"]

_log = logging.getLogger("voicepipe")

READ_BYTES: Final = 65_536
"""The size of the read buffer, in bytes."""
FRAME_S: Final = FRAME_MS / 1000
"""The interval at which calls are checked for gaps in what is sent, in s."""
SLACK_S: Final = 0.005
"""The tolerance of such a check, in s, so that it falls together with audio that comes in."""
NO_RESOURCES_S: Final = 0.1
"""The pause after a connection could not be accepted for lack of descriptors or memory, in s."""
SHORTAGE_REPORT_S: Final = 60.0
"""The interval at which such a shortage is reported, in s."""
UUID_S: Final = 0.5
"""The longest wait of a refusal for the UUID, in s: a peer that is still sending it would see a broken connection."""
LINGERING: Final = 64
"""Connections beyond `max_connections` that are refused in an orderly way; any more are reset at once."""
_MORE_FILES: Final = "raise the limit of open files (ulimit -n, LimitNOFILE=)"

Handler: TypeAlias = Callable[[AudioSocketTransport], Awaitable[None]]
"""Conducts one call; the call ends when it returns."""
OnRefused: TypeAlias = Callable[[str, TransportError], None]
"""Receives a connection's `host:port` (empty if it was not accepted) and why it was refused, with a hint."""
OnCrash: TypeAlias = "Callable[[CallInfo, Exception], None]"
"""Receives the call and the exception that its handler raised."""


class AudioSocketOptions(TypedDict, total=False):
    """The fields of `AudioSocketListener`, as keyword arguments."""

    listener: str
    rate: int
    max_connections: int
    when_full: WhenFull
    identify_timeout: float
    on_refused: OnRefused | None
    on_crash: OnCrash | None


@define(eq=False)
class AudioSocketListener:
    """An open listening socket; made by `open_audiosocket_listener`."""

    _listening_sockets: Sequence[ListeningSocket]
    """The listening sockets, one for each address of the host."""
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
    _buffer: memoryview = field(init=False, factory=lambda: memoryview(bytearray(READ_BYTES)))
    """All transports read into it; its content is used before the next `await`."""
    _hub: Hub = field(init=False)
    _calls: set[AudioSocketTransport] = field(init=False, factory=set)
    """The calls that are up."""
    _first_call: trio.Event = field(init=False, factory=trio.Event)
    """Set by a call that begins, after a time without any."""
    _gap_check_at: float = field(init=False, default=0.0)
    """The time of the next check for gaps, on trio's clock."""
    _gap_timer: trio.CancelScope = field(init=False, factory=trio.CancelScope)
    """Wakes the task that checks for gaps if the hub does not."""
    _open_connections: int = field(init=False, default=0)
    """The number of connections that are served or being refused."""
    _served_connections: int = field(init=False, default=0)
    """The number of connections that count towards `max_connections`."""
    _reports: ObserverReports = field(init=False, factory=ObserverReports)
    """Reports what `on_refused` and `on_crash` raise."""
    _shortage_reported_at: float = field(init=False, default=-math.inf)
    """The time of the last report of a shortage of resources, on trio's clock."""
    _paused: bool = field(init=False, default=False)

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it is bound to; of several addresses, the first."""
        return self._listening_sockets[0].address

    @property
    def is_listening(self) -> bool:
        """Whether the kernel accepts connections: not when closed, nor while full or paused with `close_listener`."""
        return any(listening.listening and not listening.closed for listening in self._listening_sockets)

    @property
    def calls(self) -> int:
        """The number of calls that are up."""
        return len(self._calls)

    async def serve(self, handler: Handler) -> None:
        """Runs `handler` for each call in a task of its own; returns when `close` was called and no call is left.

        A call is hung up when its handler returns or raises. A handler that raises `CallRefused` refuses its call, so
        that the dialplan can tell it from one that was answered. Any other exception ends only that call: a
        `TransportError` goes to `on_refused`, all others, `SystemExit` too, to `on_crash`.
        """
        with closing(Hub(self._fill_gaps_if_due)) as self._hub:
            await self._serve(handler)

    async def _serve(self, handler: Handler) -> None:
        async with trio.open_nursery() as upkeep:
            upkeep.start_soon(self._fill_gaps)
            upkeep.start_soon(self._hub.run)
            async with trio.open_nursery() as connections:
                for listening in self._listening_sockets:
                    connections.start_soon(self._accept, listening, handler, connections)
            upkeep.cancel_scope.cancel()

    def close(self) -> None:
        """Stops accepting connections for good; calls that are up go on."""
        for listening in self._listening_sockets:
            listening.close()

    def pause(self) -> None:
        """Refuses new calls until `resume`, as `when_full` says; calls that are up go on."""
        self._paused = True
        self._listen_if_room()

    def resume(self) -> None:
        """Accepts calls again; no-op if it was not paused, or is closed."""
        self._paused = False
        self._listen_if_room()

    @property
    def _has_room(self) -> bool:
        return not self._paused and self._served_connections < self.max_connections

    def _listen_if_room(self) -> None:
        if self.when_full == "close_listener":
            for listening in self._listening_sockets:
                listening.listen(self._has_room)

    async def _fill_gaps(self) -> None:
        """Checks for gaps while the hub does not, because all callers are muted; sleeps while no call is up."""
        while True:
            while not self._calls:
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
        for call in self._calls:
            call.frames_without_write += 1
            if call.frames_without_write >= GAP_FRAMES:
                try:
                    call.write_silence()
                except Exception as error:  # noqa: BLE001 - a defect of one call, which ends that call
                    call.fail(error)

    async def _accept(self, listening: ListeningSocket, handler: Handler, nursery: trio.Nursery) -> None:
        while True:
            try:
                connection, (host, port) = await listening.accept()
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._report_shortage(error)
                    await trio.sleep(NO_RESOURCES_S)
                continue  # any other error concerns this connection only, such as one that is gone already
            peer = _format_peer(host, port)
            if self._open_connections >= self.max_connections + LINGERING:
                cut_off(connection, self.when_full)
                self._report_refused(peer, self._no_room())
                continue
            self._open_connections += 1
            served = self._has_room
            if served:  # counted before its task runs, so that the last one closes the listener for the next
                self._served_connections += 1
                self._listen_if_room()
            transport = AudioSocketTransport(
                connection,
                nursery,
                self._hub,
                self._buffer,
                listener=self.listener,
                rate=self.rate,
                when_full=self.when_full,
            )
            nursery.start_soon(self._serve_connection, transport, peer, handler if served else None)

    def _report_shortage(self, error: OSError) -> None:
        """Reports, at most once a minute, that no connection can be accepted for lack of a resource."""
        if trio.current_time() - self._shortage_reported_at >= SHORTAGE_REPORT_S:
            self._shortage_reported_at = trio.current_time()
            refused = TransportError(f"no call can be accepted: {error.strerror}; {_MORE_FILES}")
            refused.__cause__ = error
            self._report_refused("", refused)

    async def _serve_connection(self, transport: AudioSocketTransport, peer: str, handler: Handler | None) -> None:
        """Serves one connection from its first byte to its end; without a handler, refuses it."""
        try:
            if handler is not None:
                await self._converse(transport, peer, handler)
            else:
                with suppress(TransportError):  # it is refused whatever it sent
                    await transport.identify(UUID_S)
                self._report_refused(peer, self._no_room())
                await transport.refuse()
        finally:
            try:
                await transport.hang_up()
            except Exception as error:  # noqa: BLE001 - the boundary of a call
                self._report_crash(transport, error)
            finally:
                self._open_connections -= 1

    async def _converse(self, transport: AudioSocketTransport, peer: str, handler: Handler) -> None:
        refuse = True
        try:
            if await transport.answer(self.identify_timeout):
                self._calls.add(transport)
                self._first_call.set()
                refuse = False
                await handler(transport)
        except* CallRefused:  # the handler that raised it has reported it
            refuse = True
        except* TransportError as errors:
            for error in leaves_of(errors):
                self._report_refused(peer, error)
        except* (Exception, SystemExit) as errors:  # noqa: BLE001 - the boundary of a call
            for crashed in leaves_of(errors):
                self._report_crash(transport, crashed)
        finally:
            self._calls.discard(transport)
            self._served_connections -= 1
            self._listen_if_room()
        if refuse and transport.info.transport_id:  # without a UUID it is no call
            await transport.refuse()

    def _no_room(self) -> TransportError:
        if self._paused:
            return TransportError("the listener is paused, so new calls are refused")
        return TransportError(
            f"{self.max_connections} connections are up already; raise max_connections if the machine can serve more"
        )

    def _report_refused(self, peer: str, why: TransportError) -> None:
        if self.on_refused is not None:
            self._reports.guard(self.on_refused)(peer, why)

    def _report_crash(self, transport: AudioSocketTransport, error: Exception | SystemExit) -> None:
        defect = defect_of(error)
        if self.on_crash is not None:
            self._reports.guard(self.on_crash)(transport.info, defect)
        else:
            _log.error("call %s of listener %s crashed", transport.info.call_id, self.listener, exc_info=defect)


def _format_peer(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def open_audiosocket_listener(
    host: str = "127.0.0.1", port: int = 9092, *, ipv6_only: bool = False, **options: Unpack[AudioSocketOptions]
) -> AsyncIterator[AudioSocketListener]:
    """Opens a listener that is bound but does not `serve` yet, and closes it on exit.

    Args:
        host: a name or an address; all of its addresses are listened on, so `localhost` is 127.0.0.1 and ::1.
        port: 0 chooses a free one.
        ipv6_only: whether `::` leaves IPv4 to another listener on that port; by default it accepts both.
        options: the fields of `AudioSocketListener`.

    Raises:
        OSError: the address can't be listened on.

    """
    try:
        addresses = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sockets = listen_on(addresses, backlog=BACKLOG, ipv6_only=ipv6_only)
    except OSError as error:
        raise OSError(error.errno, f"can't listen on {_format_peer(host, port)}: {error.strerror}") from error
    with ExitStack() as opened:
        for listening in sockets:  # accepted connections inherit the option
            opened.enter_context(listening).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener = AudioSocketListener([ListeningSocket(listening) for listening in sockets], **options)
        try:
            yield listener
        finally:
            listener.close()


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
        OSError: the address can't be listened on.

    """
    async with open_audiosocket_listener(host, port, **options) as listener:
        task_status.started(listener)
        await listener.serve(handler)
