"""WebSockets for components: opened, failed and closed so that calls wait for nobody and leave nothing.

    async with open_websocket(url, headers=..., refused=...) as websocket:
        messages = Messages(websocket, timeout_s=10)
        await messages.send(b"...")
        message = await messages.due()

Theory of operation
===================

The protocol is that of the library `websockets`: its sans-I/O half makes frames of messages, and events of bytes. The
bytes are read and written here, on a `ByteStream`, because the library's own trio connection has two tasks, a lock, a
queue and a scope for what mostly is one system call: a call sends a recogniser a dozen pieces of audio a second.

A `WebSocket` has no task of its own. Whoever sends writes to the socket, and whoever receives reads from it:

- `send_nowait` writes a message at once. What the socket does not take waits in the `ByteStream`; until `flush` has
  written it (`send` and `recv` flush too), `send_nowait` raises `trio.WouldBlock`.
- `recv` returns the next message that was read, or reads. Control frames are handled on the way: the library answers
  pings and Close frames, and `recv` sends a ping when `ping_interval` has passed since the last, and fails if its pong
  does not come while it waits. So nothing is read while nobody receives, and that is the backpressure.
- Neither direction waits for the other: while something waits to be written, `recv` writes it beside its reading.

Opening. The library and the system raise a dozen classes of exceptions. `_Opening.failures` makes one `ComponentError`
of each: a refused handshake (an HTTP status, with the API key's name in the hint), an answer that is no WebSocket, a
timeout, an unreachable address, a certificate that is not trusted.

Ending, by whoever ends first:

- *The context is left in good order*: a Close frame is sent, and messages are read and dropped until the other side's
  Close frame comes, or `close_s` is over.
- *The context is left by an exception or a cancellation*: there is no time for a Close frame. The socket is closed, and
  the other side sees the TCP connection end.
- *The other side closes*: the next `recv` or `send` raises `websockets.exceptions.ConnectionClosed`, with the code
  and the reason. `Messages` makes a `ComponentError` of it; services that refuse by a close code get their own error by
  `closed`. A failed write may hide a reason that has come already, so what has come is read first (`_fail`).
- *Nothing comes, or nothing is taken*: `Messages.due` and `Messages.send` raise after `timeout_s`. The connection is
  then useless and is cut as by an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
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

    from voicepipe.wire.websocket_connection import WebSocket


__all__ = ["Messages", "load_websockets", "open_websocket"]

CLOSE_S = 0.5
"""How long to wait for the other side's Close frame when the context is left, in s."""


def load_websockets() -> None:
    """Imports `websockets`, which takes 0.05 s: call it in the thread in which an adapter loads its libraries."""
    import_module("voicepipe.wire.websocket_connection")


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
        except trio.TooSlowError as error:
            within = f"{self.connect_timeout_s:g} s"
            raise ComponentError(f"{self.address} did not take the connection within {within}") from error
        except (OSError, exceptions.ConnectionClosed) as error:
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
    subprotocols: Sequence[str] | None = None,
    ping_interval: float | None = 20.0,
) -> AsyncIterator[WebSocket]:
    """A WebSocket, which is closed when the context is left, whatever was going on.

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
        subprotocols: the subprotocols that are offered, in order of preference; None: none.
        ping_interval: how often the other side is pinged while a task receives, in s; None: never.

    Raises:
        ComponentError: it can't be opened.

    """
    connection = import_module("voicepipe.wire.websocket_connection")
    if ssl_context is None and url.startswith("wss:"):
        ssl_context = await trio.to_thread.run_sync(tls_context, ca_file, abandon_on_cancel=True)
    opening = _Opening(address or url.partition("?")[0], connect_timeout_s, key, refused, ca_file)
    with opening.failures(), trio.fail_after(connect_timeout_s):
        websocket: WebSocket = await connection.connect(
            url, headers, ssl_context, subprotocols=subprotocols, ping_interval=ping_interval
        )
    try:
        yield websocket
        await websocket.close(close_s)
    except trio.Cancelled as cancelled:
        without_frames(cancelled)
        raise
    finally:
        await websocket.aclose()


class Messages:
    """The messages of a WebSocket: text as str, binary as bytes. Every failure is a `ComponentError`."""

    def __init__(
        self,
        websocket: Any,
        *,
        timeout_s: float,
        closed: Callable[[int, str], ComponentError | None] | None = None,
    ) -> None:
        """Makes the messages of a connection.

        Args:
            websocket: the connection, from `open_websocket`.
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
