"""The contract of listeners, which bring calls: what a program needs of one, whatever the transport.

A listener is opened by the `open` of its `TransportType`, with its options and a `ListenerContext`; `serve` then runs a
handler for each call. `AudioSocketListener` is one. A listener of a transport that can call somebody is a `Dialler`
too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeAlias, TypeVar, runtime_checkable

from attrs import field, frozen

from voicepipe.errors import Problem, TransportError
from voicepipe.transports.protocol import Transport

if TYPE_CHECKING:
    import socket

    from voicepipe.components.requests import CallInfo

Options = TypeVar("Options")

CallHandler: TypeAlias = Callable[[Transport], Awaitable[None]]
"""Conducts one call; the call is hung up when it returns or raises."""
OnRefused: TypeAlias = Callable[[str, TransportError], None]
"""Receives a connection's `host:port` (empty if it was not accepted) and why it was refused, with a hint."""
OnCrash: TypeAlias = "Callable[[CallInfo, Exception], None]"
"""Receives the call and the exception that its handler raised."""


class Listener(Protocol):
    """Brings calls of one transport to a handler."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it is bound to; of a transport that connects by itself, those of the other side."""

    @property
    def is_listening(self) -> bool:
        """Whether a new call would be taken now."""

    @property
    def calls(self) -> int:
        """The number of calls that are up."""

    async def serve(self, handler: CallHandler) -> None:
        """Runs `handler` for each call in a task of its own; returns when `close` was called and no call is left.

        A handler that raises `CallRefused` refuses its call, as far as the transport can. Any other exception ends only
        that call: a `TransportError` goes to `ListenerContext.on_refused`, all others to `on_crash`.
        """

    def close(self) -> None:
        """Takes no more calls, for good; calls that are up go on."""

    def pause(self) -> None:
        """Refuses new calls until `resume`; calls that are up go on."""

    def resume(self) -> None:
        """Takes calls again; no-op if it was not paused, or is closed."""


@frozen
class DialRequest:
    """A call that the agent makes."""

    target: str
    """Whom to call: a number, an extension or a dial string, in the form that the transport takes."""
    caller: str = ""
    """The number that the other side is shown; empty: the transport's own."""
    variables: Mapping[str, str] = field(factory=dict)
    """Values for `CallInfo.variables` of the call, and for the telephone system, if it takes any."""
    pipeline: str = ""
    """The pipeline that holds the call; empty: the routes decide, as for a call that comes in."""
    ring_s: float = 30.0
    """How long it may ring, in s; then nobody has answered."""
    speaks_first: Literal["agent", "caller"] | None = None
    """Who speaks first; None: as the pipeline's `speaks_first` says."""


@runtime_checkable
class Dialler(Protocol):
    """A listener that can call somebody: the call is handled as if it had come in."""

    async def dial(self, request: DialRequest) -> str:
        """Calls somebody; returns the call's `transport_id` when they have answered and the handler runs.

        The transport's `info` has `called` (the target), `caller`, `variables`, `pipeline` and `speaks_first` from the
        request. Cancelled before that, it stops the ringing; afterwards the call goes on.

        Raises:
            DialFailed: nobody answered, and why; no handler has run.

        """


class ConnectionSource(Protocol):
    """Gives a listener its connections, so that it binds no address: another process accepts them and hands them over.

    Whoever opens the listener makes one for it, and closes connections that come after the listener has closed.
    """

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that the other process listens on."""

    async def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Waits for the next connection; returns its non-blocking socket, and the host and port of the peer.

        Raises:
            OSError: a connection could not be taken; there may be others.

        """

    def release(self, connection: socket.socket) -> None:
        """Is called once for each socket that `accept` returned, when it has been served and closed."""


@frozen
class ListenerContext:
    """Everything besides its options that a listener is opened with."""

    name: str = "listener"
    """The listener's name, for `CallInfo.listener`."""
    max_connections: int = 500
    """The most calls at once; further ones are refused."""
    ipv6_only: bool = False
    """Whether `::` leaves IPv4 to another listener on that port."""
    on_refused: OnRefused | None = None
    """Called for each connection that was refused; None: nobody is told."""
    on_crash: OnCrash | None = None
    """Called when a handler raised anything but `TransportError`; None: the exception is logged by "voicepipe"."""
    connections: ConnectionSource | None = None
    """Where connections come from, for a transport with `takes_connections`; None: the listener binds its address."""


@frozen
class TransportType(Generic[Options]):
    """A transport: opens listeners by a name and options in the YAML. Its entry point is in `voicepipe.transports`."""

    name: str
    """The name in the YAML: `audiosocket`."""
    options: type[Options]
    """A frozen attrs class: each field's type, default, validator and docstring are the documentation."""
    open: Callable[[Options, ListenerContext], AbstractAsyncContextManager[Listener]]
    """Opens a listener that is bound but does not serve yet, and closes it on exit; raises `OSError`."""
    check: Callable[[Options], Iterable[Problem]] = field(default=lambda _options: ())
    """Yields the problems of options that their types don't show, without opening anything.

    Each has `Location("")` and the option's name for a path: the engine knows its place."""
    check_installed: Callable[[], Iterable[Problem]] = field(default=lambda: ())
    """Yields what this machine lacks for the transport, usually a library."""
    takes_connections: bool = False
    """Whether its listeners take connections from `ListenerContext.connections`, so that several processes can serve
    one address. False: such a listener runs in one of them."""
