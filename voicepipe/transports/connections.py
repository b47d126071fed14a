"""The connections of a listener: accepted, counted, bounded, and each one a boundary for what goes wrong in it.

A listener owns one `Connections`. Its `serve` accepts connections on all addresses of the host, and runs a function of
the listener for each in a task of its own. The listener decides which of them *count* towards `max_connections`; those
that do not, because nobody knows yet what they are or because they are refused, are bounded: at most `LINGERING` more
are open. `converse` runs a call's handler and sorts what it raises.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar

import trio
from attrs import define, field

from voicepipe.components.observers import ObserverReports
from voicepipe.errors import CallRefused, TransportError
from voicepipe.nurseries import defect_of, leaves_of
from voicepipe.transports.binding import listen_on
from voicepipe.transports.handed_connections import HandedConnections
from voicepipe.transports.listener import ConnectionSource, OnCrash, OnRefused
from voicepipe.transports.listening_socket import BACKLOG, ListeningSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.components.requests import CallInfo
    from voicepipe.transports.protocol import Transport

_log = logging.getLogger("voicepipe")

NO_RESOURCES_S: Final = 0.1
"""The pause after a connection could not be accepted for lack of descriptors or memory, in s."""
SHORTAGE_REPORT_S: Final = 60.0
"""The interval at which such a shortage is reported, in s."""
LINGERING: Final = 64
"""Connections beyond `max_connections` that are served, only to be refused in order; any more are cut off at once."""
_MORE_FILES: Final = "raise the limit of open files (ulimit -n, LimitNOFILE=)"

AnyTransport = TypeVar("AnyTransport", bound="Transport")
Handler: TypeAlias = Callable[[AnyTransport], Awaitable[None]]
"""Conducts one call; the call is hung up when it returns or raises."""
AnySource: TypeAlias = ListeningSocket | HandedConnections
"""Brings connections."""
Prepare: TypeAlias = Callable[[socket.socket, str, trio.Nursery], Callable[[], Awaitable[None]]]
"""Takes over a connection, a non-blocking socket, given the `host:port` of its peer and the nursery of all connections.

Returns the function that serves and closes it, which runs in a task of its own."""


@define(eq=False)
class Connections(Generic[AnyTransport]):
    """The listening sockets of a listener, and the count of its connections and calls."""

    _listening_sockets: Sequence[AnySource]
    """The listening sockets, one for each address of the host, or what hands connections over in their place."""
    name: str
    """The listener's name, for the log."""
    max_connections: int
    """The most connections that count at once."""
    on_refused: OnRefused | None
    """Called for each connection that was refused; what it raises is logged once, by "voicepipe.observers"."""
    on_crash: OnCrash | None
    """Called when a handler raised anything but `TransportError`; None: the exception is logged by "voicepipe"."""
    closes_when_full: bool = False
    """Whether the listening sockets are closed while there is no room, so that the kernel refuses connections."""
    cut_off: Callable[[socket.socket], None] = field(default=socket.socket.close)
    """Refuses a connection at once, which closes it: there are too many to refuse it in order."""
    calls: set[AnyTransport] = field(init=False, factory=set)
    """The calls that are up."""
    _open: int = field(init=False, default=0)
    """The number of connections that are served or being refused."""
    _counting: int = field(init=False, default=0)
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
        """Whether the kernel accepts connections."""
        return any(listening.listening and not listening.closed for listening in self._listening_sockets)

    def close(self) -> None:
        """Stops accepting connections for good; those that are up go on."""
        for listening in self._listening_sockets:
            listening.close()

    def pause(self) -> None:
        """Has no room until `resume`."""
        self._paused = True
        self._listen_if_room()

    def resume(self) -> None:
        """Has room again; no-op if it was not paused."""
        self._paused = False
        self._listen_if_room()

    @property
    def has_room(self) -> bool:
        """Whether a further call is taken."""
        return not self._paused and self._counting < self.max_connections

    def no_room(self) -> TransportError:
        """The reason why there is no room."""
        if self._paused:
            return TransportError("the listener is paused, so new calls are refused")
        return TransportError(
            f"{self.max_connections} connections are up already; raise max_connections if the machine can serve more"
        )

    def _listen_if_room(self) -> None:
        if self.closes_when_full:
            for listening in self._listening_sockets:
                listening.listen(self.has_room)

    def count(self) -> None:
        """Counts a connection, until `discount`."""
        self._counting += 1
        self._listen_if_room()

    def discount(self) -> None:
        """Takes a connection off the count."""
        self._counting -= 1
        self._listen_if_room()

    async def serve(self, prepare: Prepare) -> None:
        """Runs what `prepare` returns, for each connection in a task; returns when `close` was called and none is left.

        `prepare` is called before the next connection is accepted, so a connection that it counts is counted for that.
        """
        async with trio.open_nursery() as nursery:
            for listening in self._listening_sockets:
                nursery.start_soon(self._accept, listening, prepare, nursery)

    async def _accept(self, listening: AnySource, prepare: Prepare, nursery: trio.Nursery) -> None:
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
            peer = format_peer(host, port)
            if self._open >= self.max_connections + LINGERING:
                self.cut_off(connection)
                listening.release(connection)
                self.report_refused(peer, self.no_room())
                continue
            self._open += 1
            nursery.start_soon(self._run, prepare(connection, peer, nursery), listening, connection)

    async def _run(self, serve: Callable[[], Awaitable[None]], source: AnySource, connection: socket.socket) -> None:
        try:
            await serve()
        finally:
            self._open -= 1
            source.release(connection)

    async def converse(
        self, transport: AnyTransport, peer: str, answer: Callable[[], Awaitable[bool]], handler: Handler[AnyTransport]
    ) -> bool:
        """Conducts a call: `answer`, and if that returns True, `handler`. Returns whether the call is to be refused.

        That is so if it did not become a call, or its handler raised `CallRefused`. Any other exception ends only this
        call: a `TransportError` goes to `on_refused`, all others, `SystemExit` too, to `on_crash`.
        """
        refuse = True
        try:
            if await answer():
                self.calls.add(transport)
                refuse = False
                await handler(transport)
        except* CallRefused:  # the handler that raised it has reported it
            refuse = True
        except* TransportError as errors:
            for error in leaves_of(errors):
                self.report_refused(peer, error)
        except* (Exception, SystemExit) as errors:  # noqa: BLE001 - the boundary of a call
            for crashed in leaves_of(errors):
                self.report_crash(transport.info, crashed)
        finally:
            self.calls.discard(transport)
        return refuse

    async def hang_up(self, transport: Transport) -> None:
        """Hangs up a call; what that raises is reported as a crash of the call."""
        try:
            await transport.hang_up()
        except Exception as error:  # noqa: BLE001 - the boundary of a call
            self.report_crash(transport.info, error)

    def _report_shortage(self, error: OSError) -> None:
        """Reports, at most once a minute, that no connection can be accepted for lack of a resource."""
        if trio.current_time() - self._shortage_reported_at >= SHORTAGE_REPORT_S:
            self._shortage_reported_at = trio.current_time()
            refused = TransportError(f"no call can be accepted: {error.strerror}; {_MORE_FILES}")
            refused.__cause__ = error
            self.report_refused("", refused)

    def report_refused(self, peer: str, why: TransportError) -> None:
        """Reports a connection that was refused, and why."""
        if self.on_refused is not None:
            self._reports.guard(self.on_refused)(peer, why)

    def report_crash(self, info: CallInfo, error: Exception | SystemExit) -> None:
        """Reports a defect that ended one call."""
        defect = defect_of(error)
        if self.on_crash is not None:
            self._reports.guard(self.on_crash)(info, defect)
        else:
            _log.error("call %s of listener %s crashed", info.call_id, self.name, exc_info=defect)


def format_peer(host: str, port: int) -> str:
    """Writes an address as `host:port`, an IPv6 one in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@asynccontextmanager
async def open_listening_sockets(
    host: str, port: int, *, ipv6_only: bool, connections: ConnectionSource | None = None
) -> AsyncIterator[Sequence[AnySource]]:
    """Opens sockets that listen on all addresses of a host, and closes them on exit; with a source, binds nothing.

    Raises:
        OSError: the address can't be listened on.

    """
    if connections is not None:
        handed = HandedConnections(connections)
        try:
            yield [handed]
        finally:
            handed.close()
        return
    try:
        addresses = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sockets = listen_on(addresses, backlog=BACKLOG, ipv6_only=ipv6_only)
    except OSError as error:
        raise OSError(error.errno, f"can't listen on {format_peer(host, port)}: {error.strerror}") from error
    with ExitStack() as opened:
        for listening in sockets:  # accepted connections inherit the option
            opened.enter_context(listening).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening_sockets = [ListeningSocket(listening) for listening in sockets]
        try:
            yield listening_sockets
        finally:
            for listening_socket in listening_sockets:
                listening_socket.close()
