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
from voicepipe.transports.audiosocket.transport import GAP_FRAMES, AudioSocketTransport, WhenFull, cut_off
from voicepipe.transports.audiosocket.wire import KINDS
from voicepipe.transports.binding import listen_on
from voicepipe.transports.hub import Hub
from voicepipe.transports.listening_socket import BACKLOG, ListeningSocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.components.requests import CallInfo

__all__ = ["AudioSocketListener", "AudioSocketTransport", "open_audiosocket_listener", "serve_audiosocket"]

_log = logging.getLogger("voicepipe")

READ_BYTES: Final = 65_536
"""The most that is read at once."""
FRAME_S: Final = FRAME_MS / 1000
"""How often calls are looked through for those to which nothing went out lately."""
SLACK_S: Final = 0.005
"""How far such a look may be off, so that it falls together with audio that comes in."""
NO_RESOURCES_S: Final = 0.1
"""How long to wait when a connection could not be accepted for want of descriptors or memory."""
SHORT_S: Final = 60.0
"""How often that is told while it lasts."""
UUID_S: Final = 0.5
"""How long a refusal waits for the UUID: whoever is still sending it would see a broken connection instead."""
LINGERING: Final = 64
"""Connections beyond `max_connections` that are refused in their own time; any more are cut off."""
_MORE_FILES: Final = "raise the limit of open files (ulimit -n, LimitNOFILE=)"

Handler: TypeAlias = Callable[[AudioSocketTransport], Awaitable[None]]
"""Holds one call, from its beginning until it is over."""
OnRefused: TypeAlias = Callable[[str, TransportError], None]
"""Takes `host:port` of a connection (empty if there was none yet) and why it was given up, with a hint."""
OnCrash: TypeAlias = "Callable[[CallInfo, Exception], None]"
"""Takes which call, and what its handler raised."""


class AudioSocketOptions(TypedDict, total=False):
    """The settings of `AudioSocketListener`, as keywords."""

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

    _listening: Sequence[ListeningSocket]
    """Where connections come in: one for each address of the host."""
    listener: str = "audiosocket"
    """Its name in `CallInfo.listener`."""
    rate: int = field(default=8000, validator=in_(KINDS))
    """Hz of audio of kind 0x10, and of calls until their first audio."""
    max_connections: int = field(default=500, validator=ge(1))
    """How many connections are served at once; further ones are refused, as `when_full` says."""
    when_full: WhenFull = field(default="close_listener", validator=in_(get_args(WhenFull)))
    """What tells Asterisk that a call is not taken."""
    identify_timeout: float = field(default=5.0, validator=gt(0))
    """How long a connection may take to say which call it is, in s."""
    on_refused: OnRefused | None = None
    """Told of each connection that was given up; what it raises is logged once, as "voicepipe.observers"."""
    on_crash: OnCrash | None = None
    """Told of each handler that raised something else than `TransportError`; None: that is logged, as "voicepipe"."""
    _buffer: memoryview = field(init=False, factory=lambda: memoryview(bytearray(READ_BYTES)))
    _hub: Hub = field(init=False)
    _calls: set[AudioSocketTransport] = field(init=False, factory=set)
    _first_call: trio.Event = field(init=False, factory=trio.Event)
    _look_at: float = field(init=False, default=0.0)
    _next_look: trio.CancelScope = field(init=False, factory=trio.CancelScope)
    _sockets: int = field(init=False, default=0)
    """Connections that are open."""
    _reports: ObserverReports = field(init=False, factory=ObserverReports)
    """What those who are told have raised."""
    _serving: int = field(init=False, default=0)
    """Those of them that are within `max_connections`."""
    _fell_short_at: float = field(init=False, default=-math.inf)
    """When it was told last that there were no resources."""
    _paused: bool = field(init=False, default=False)

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it is bound to; of several addresses of a host, the first."""
        return self._listening[0].address

    @property
    def is_listening(self) -> bool:
        """Whether whoever connects is not refused by the kernel: neither closed, nor full or paused and so closed."""
        return any(one.listening and not one.closed for one in self._listening)

    @property
    def calls(self) -> int:
        """How many calls are up."""
        return len(self._calls)

    async def serve(self, handler: Handler) -> None:
        """Runs `handler` for each call, in a task of its own; returns when `close` was called and no call is left.

        A call is hung up when its handler returns or raises. A handler's `CallRefused` refuses its call, so that its
        dialplan can tell it from one that was answered. Whatever else a handler raises ends its call only: a
        `TransportError` goes to `on_refused`, any other exception, `SystemExit` too, to `on_crash`.
        """
        with closing(Hub(self._fill_gaps_if_due)) as self._hub:
            await self._serve(handler)

    async def _serve(self, handler: Handler) -> None:
        async with trio.open_nursery() as upkeep:
            upkeep.start_soon(self._fill_gaps)
            upkeep.start_soon(self._hub.run)
            async with trio.open_nursery() as connections:
                for listening in self._listening:
                    connections.start_soon(self._accept, listening, handler, connections)
            upkeep.cancel_scope.cancel()

    def close(self) -> None:
        """Accepts no more connections, for good; the calls that are up go on."""
        for one in self._listening:
            one.close()

    def pause(self) -> None:
        """Refuses calls until `resume`, as `when_full` says; the calls that are up go on."""
        self._paused = True
        self._listen_if_room()

    def resume(self) -> None:
        """Takes calls again; no-op if it was not paused, or is closed."""
        self._paused = False
        self._listen_if_room()

    @property
    def _has_room(self) -> bool:
        return not self._paused and self._serving < self.max_connections

    def _listen_if_room(self) -> None:
        if self.when_full == "close_listener":
            for one in self._listening:
                one.listen(self._has_room)

    async def _fill_gaps(self) -> None:
        """Looks for gaps when the hub has not: all callers are muted. Asleep while no call is up."""
        while True:
            while not self._calls:
                self._first_call = trio.Event()
                await self._first_call.wait()
            with trio.CancelScope(deadline=self._look_at + SLACK_S) as self._next_look:
                await trio.sleep_forever()
            self._fill_gaps_if_due()

    def _fill_gaps_if_due(self) -> None:
        """Has every call send something every `GAP_FRAMES`.

        Called by the hub whenever anything came in, for a wake-up costs more than looking through a hundred calls.
        """
        now = trio.current_time()
        if now < self._look_at - SLACK_S:
            return
        self._look_at = max(self._look_at + FRAME_S, now)  # after a stall, what was missed is not made up for
        self._next_look.deadline = self._look_at + SLACK_S
        for call in self._calls:
            call.frames_without_write += 1
            if call.frames_without_write >= GAP_FRAMES:
                try:
                    call.write_silence()
                except Exception as error:  # noqa: BLE001 - one call's trouble, which ends that call
                    call.fail(error)

    async def _accept(self, listening: ListeningSocket, handler: Handler, nursery: trio.Nursery) -> None:
        while True:
            try:
                connection, (host, port) = await listening.accept()
            except trio.ClosedResourceError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._fall_short(error)
                    await trio.sleep(NO_RESOURCES_S)
                continue  # else it is that connection's own trouble, such as being gone already
            peer = _format_peer(host, port)
            if self._sockets >= self.max_connections + LINGERING:
                cut_off(connection, self.when_full)
                self._refuse(peer, self._crowded())
                continue
            self._sockets += 1
            served = self._has_room
            if served:  # counted here, so that the next one finds the listener closed if this was the last place
                self._serving += 1
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
            nursery.start_soon(self._hold, transport, peer, handler if served else None)

    def _fall_short(self, error: OSError) -> None:
        """Tells, at most once a minute, that connections wait for what the system limits."""
        if trio.current_time() - self._fell_short_at >= SHORT_S:
            self._fell_short_at = trio.current_time()
            refused = TransportError(f"no call can be accepted: {error.strerror}; {_MORE_FILES}")
            refused.__cause__ = error
            self._refuse("", refused)

    async def _hold(self, transport: AudioSocketTransport, peer: str, handler: Handler | None) -> None:
        """One connection from its first byte to its end; without a handler it is refused."""
        try:
            if handler is not None:
                await self._converse(transport, peer, handler)
            else:
                with suppress(TransportError):  # it is refused in any case
                    await transport.identify(UUID_S)
                self._refuse(peer, self._crowded())
                await transport.refuse()
        finally:
            try:
                await transport.hang_up()
            except Exception as error:  # noqa: BLE001 - the edge of a call
                self._crashed(transport, error)
            finally:
                self._sockets -= 1

    async def _converse(self, transport: AudioSocketTransport, peer: str, handler: Handler) -> None:
        refuse = True
        try:
            if await transport.answer(self.identify_timeout):
                self._calls.add(transport)
                self._first_call.set()
                refuse = False
                await handler(transport)
        except* CallRefused:  # whoever refused it knows why
            refuse = True
        except* TransportError as errors:
            for error in leaves_of(errors):
                self._refuse(peer, error)
        except* (Exception, SystemExit) as errors:  # noqa: BLE001 - the edge of a call
            for crashed in leaves_of(errors):
                self._crashed(transport, crashed)
        finally:
            self._calls.discard(transport)
            self._serving -= 1
            self._listen_if_room()
        if refuse and transport.info.transport_id:  # else that is nobody's call
            await transport.refuse()

    def _crowded(self) -> TransportError:
        if self._paused:
            return TransportError("no calls are taken for now")
        return TransportError(
            f"{self.max_connections} connections are up already; raise max_connections if the machine can take more"
        )

    def _refuse(self, peer: str, why: TransportError) -> None:
        if self.on_refused is not None:
            self._reports.guard(self.on_refused)(peer, why)

    def _crashed(self, transport: AudioSocketTransport, error: Exception | SystemExit) -> None:
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
    """A listener that is bound and has yet to `serve`; port 0 takes a free one. Leaving closes it.

    `options` are the fields of `AudioSocketListener`. It listens on all addresses of a host: `localhost` is 127.0.0.1
    and ::1. `::` takes IPv4 as well, unless `ipv6_only` leaves that to another listener on the same port.

    Raises:
        OSError: it can't listen there.

    """
    try:
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        sockets = listen_on(found, backlog=BACKLOG, ipv6_only=ipv6_only)
    except OSError as error:
        raise OSError(error.errno, f"can't listen on {_format_peer(host, port)}: {error.strerror}") from error
    with ExitStack() as opened:
        for one in sockets:
            opened.enter_context(one).setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # calls inherit it
        listener = AudioSocketListener([ListeningSocket(one) for one in sockets], **options)
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
    """Listens and serves in one; reports the listener as started, for its `address` and `close`.

    Raises:
        OSError: it can't listen there.

    """
    async with open_audiosocket_listener(host, port, **options) as listener:
        task_status.started(listener)
        await listener.serve(handler)
