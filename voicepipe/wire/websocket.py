"""WebSockets for components: opened, failed and closed so that calls wait for nobody and leave nothing.

    async with open_websocket(url, headers=..., refused=...) as websocket:   # a `websockets.trio` connection
        messages = Messages(websocket, timeout_s=10)
        await messages.send(b"...")
        message = await messages.due()

Theory of operation
===================

`websockets` implements the protocol; this module decides who waits for whom when a call opens, leaves or loses a
connection. A call must never wait for the other side longer than it was told to, and must leave no task, no socket and
no reference cycle behind.

Opening. The library raises a dozen classes of exceptions, some of them the system's. `_Opening.failures` makes one
`ComponentError` of each: a refused handshake (an HTTP status, with the API key's name in the hint), an answer that is
no WebSocket, a timeout, an unreachable address, a certificate that is not trusted. Only entering the connection is
wrapped (`_Entered`), for an exception of the body is the caller's own.

Closing, by whoever ends first:

- *The context is left in good order*: `_close` sends a Close frame and waits up to `close_s` for the other side's.
  Meanwhile `_drain` reads and drops messages. Without that, unread messages fill the library's buffer, the library
  stops reading the socket, never sees the other side's Close frame, and every such close takes the full `close_s`.
- *The context is left by an exception or a cancellation*: there is no time for a Close frame. The stream is closed
  forcefully, the other side sees the TCP connection end.
- *The other side closes*: the next `receive` or `send` of `Messages` raises a `ComponentError` with the code and the
  reason; services that refuse by closing code get their own error by `closed`.
- *Nothing comes, or nothing is taken*: `due` and `send` raise after `timeout_s`. The connection is then useless and is
  cut as by an exception.

In every case the stream ends in `aclose_forcefully`, since the library's own way out acquires its send lock, and a task
that is blocked in `send` to a peer that does not read holds that lock.

Memory. A connection and its message queue refer to each other by bound methods, and a `trio.Cancelled` that passed
through the library's frames keeps the connection alive by its traceback. Both are cut on the way out, so a connection
is freed when its context is left, not when the garbage collector comes by in the middle of a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from voicepipe.components.tls import tls_context
from voicepipe.components.values import CaFile
from voicepipe.errors import ComponentError, without_frames
from voicepipe.wire.deadlines import answer_due, taking
from voicepipe.wire.http import refused as refused_as_usual
from voicepipe.wire.http import shortened, unreachable

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractContextManager


__all__ = ["Messages", "load_websockets", "open_websocket"]

CLOSE_S = 0.5
"""How long to wait for the other side's Close frame when the context is left, in s."""


def load_websockets() -> None:
    """Imports `websockets`, which takes 0.1 s: call it in the thread in which an adapter loads its libraries."""
    import_module("websockets.trio.client")
    import_module("websockets.exceptions")


@frozen
class _Opening:
    """The settings of a connection that errors of opening it name."""

    address: str
    connect_timeout_s: float
    key: str
    refused: Callable[[int, Mapping[str, str], bytes], ComponentError] | None
    ca_file: CaFile | None

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raises the library's and the system's exceptions as `ComponentError`."""
        exceptions = import_module("websockets.exceptions")
        try:
            yield
        except exceptions.InvalidStatus as error:
            answer = error.response
            headers, body = dict(answer.headers.raw_items()), bytes(answer.body or b"")
            if self.refused is not None:
                raise self.refused(answer.status_code, headers, body) from error
            raise refused_as_usual(answer.status_code, headers, body, self.key) from error
        except exceptions.InvalidHandshake as error:
            said = shortened(str(error.__cause__ or error))
            raise ComponentError("answered with something other than a WebSocket", answered=said) from error
        except TimeoutError as error:
            within = f"{self.connect_timeout_s:g} s"
            raise ComponentError(f"{self.address} did not take the connection within {within}") from error
        except (OSError, trio.BrokenResourceError, exceptions.ConnectionClosed) as error:
            raise unreachable(self.address, error, self.ca_file) from error


@asynccontextmanager
async def open_websocket(
    url: str,
    *,
    headers: Mapping[str, str],
    key: str = "api_key",
    refused: Callable[[int, Mapping[str, str], bytes], ComponentError] | None = None,
    address: str = "",
    connect_timeout_s: float = 5.0,
    close_s: float = CLOSE_S,
    ssl_context: ssl.SSLContext | None = None,
    ca_file: CaFile | None = None,
    **options: Any,
) -> AsyncIterator[Any]:
    """A connection of `websockets.trio`, which is closed when the context is left, whatever was going on.

    If the context is left in good order, the other side gets a Close frame and `close_s` to answer it; messages that
    still come are dropped. If the context is left by an exception or a cancellation, the connection is cut.

    Args:
        url: `wss://...`, with its query.
        headers: of the request, the API key among them.
        key: how to name the API key in a refusal, `${ACME_API_KEY}`: never its value.
        refused: makes the error of a handshake that was refused, from status, headers and body; None: as usual.
        address: how errors name the other side; empty: by the URL without its query.
        connect_timeout_s: how long the connection and its handshake may take, in s.
        close_s: how long closing may take, in s.
        ssl_context: what `wss://` trusts, from `voicepipe.tls_context`; None: that of `ca_file`, made in a thread.
        ca_file: whose certificates are trusted, as errors name it; None: those that this machine trusts.
        options: further ones of `websockets.trio.client.connect`, such as `subprotocols` or `ping_interval`.

    Raises:
        ComponentError: it can't be opened.

    """
    client = import_module("websockets.trio.client")
    if ssl_context is None and url.startswith("wss:"):
        ssl_context = await trio.to_thread.run_sync(tls_context, ca_file, abandon_on_cancel=True)
    connecting = client.connect(
        url,
        ssl=ssl_context if url.startswith("wss:") else None,
        additional_headers=dict(headers),
        open_timeout=connect_timeout_s,
        close_timeout=close_s,
        # Audio can't be compressed, and options are all that a component knows of proxies.
        **{"compression": None, "proxy": None, **options},
    )
    opening = _Opening(address or url.partition("?")[0], connect_timeout_s, key, refused, ca_file)
    try:
        async with _Entered(connecting, opening.failures) as websocket:
            try:
                yield websocket
                await _close(websocket, close_s)
            finally:
                # The connection and its queue refer to each other: else only the garbage collector would free them.
                websocket.recv_messages.pause = websocket.recv_messages.resume = _nothing
                # The library's own way out waits for the send lock, which a blocked sender holds.
                await trio.aclose_forcefully(websocket.stream)
    except trio.Cancelled as cancelled:
        without_frames(cancelled)  # the library's frames refer to the exception and the connection
        raise


class _Entered(AbstractAsyncContextManager[Any]):
    """A context manager whose `__aenter__` alone runs within another context.

    An `AsyncExitStack` would do, but its frames keep the exception that they pass on, in a reference cycle.
    """

    def __init__(self, inner: Any, entering: Callable[[], AbstractContextManager[None]]) -> None:
        self._inner, self._entering = inner, entering

    async def __aenter__(self) -> Any:
        with self._entering():
            return await self._inner.__aenter__()

    async def __aexit__(self, *raised: object) -> bool | None:
        left: bool | None = await self._inner.__aexit__(*raised)
        return left


def _nothing() -> None:
    pass


async def _close(websocket: Any, close_s: float) -> None:
    """Sends a Close frame, and drops messages until the other side closes too or `close_s` is over."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_drain, websocket)
        with trio.move_on_after(close_s):
            await websocket.aclose()
        await trio.aclose_forcefully(websocket.stream)


async def _drain(websocket: Any) -> None:
    with suppress(import_module("websockets.exceptions").ConnectionClosed):
        while True:
            await websocket.recv()


class Messages:
    """The messages of a WebSocket: text as str, binary as bytes. Every failure is a `ComponentError`."""

    def __init__(
        self,
        websocket: Any,
        *,
        timeout_s: float,
        closed: Callable[[int, str], ComponentError | None] | None = None,
    ) -> None:
        """Makes the messages of a connection of `websockets.trio`.

        Args:
            websocket: the connection.
            timeout_s: how long the other side may take nothing, or owe something, in s.
            closed: makes the error of a connection that the other side closed, from its code and reason, for services
                that refuse by closing: a wrong key is 4001, say. None, or if it returns None: the connection broke.

        """
        self._websocket, self._timeout_s, self._meant = websocket, timeout_s, closed
        self._closed = import_module("websockets.exceptions").ConnectionClosed

    async def send(self, message: bytes | str) -> None:
        """Sends a message.

        Raises:
            ComponentError: the connection ended, or the other side took nothing for `timeout_s`.

        """
        try:
            with taking(self._timeout_s):
                await self._websocket.send(message)
        except self._closed as error:
            raise self._ended("the connection broke", error) from error

    async def receive(self) -> bytes | str:
        """The next message, however long it takes. A cancelled `receive` loses none.

        Raises:
            ComponentError: the connection ended, even in good order: a service sends its last message before that.

        """
        try:
            message: bytes | str = await self._websocket.recv()
        except self._closed as error:
            raise self._ended("the connection ended early", error) from error
        return message

    async def due(self) -> bytes | str:
        """The next message, which must come within `timeout_s`. A cancelled `due` loses none.

        Raises:
            ComponentError: as for `receive`, or nothing came.

        """
        with answer_due(self._timeout_s):
            return await self.receive()

    def _ended(self, what: str, error: Any) -> ComponentError:
        """The error of a connection that has ended, with the reason that either side gave."""
        if error.rcvd is None:
            return ComponentError(what, answered=shortened(error.sent.reason if error.sent is not None else ""))
        meant = self._meant(error.rcvd.code, error.rcvd.reason) if self._meant is not None else None
        error_of_code = ComponentError(
            f"{what}, closed with code {error.rcvd.code}", answered=shortened(error.rcvd.reason)
        )
        return meant or error_of_code
