"""One HTTP request of a connection that was accepted, and the answer to it, over a `ByteStream`.

`h11` reads and writes the messages, with limits: a head of 16 KiB, a body of 64 KiB. Each connection has one request.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import h11
import trio
from attrs import frozen

if TYPE_CHECKING:
    from voicepipe.wire.byte_stream import AcceptedStream

HEAD_BYTES: Final = 16_384
"""The largest head of a request, in bytes."""
BODY_BYTES: Final = 65_536
"""The largest body of a request, in bytes."""
DRAIN_S: Final = 1.0
"""How long to wait after an answer for the other side to close, in s."""


class BadRequest(Exception):  # noqa: N818 - the name of the status
    """A request that can't be served; its text says why.

    Attributes:
        status: the status of the answer.

    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@frozen
class Request:
    """A request as it came."""

    method: str
    """The method: `GET`."""
    target: str
    """The path and the query: `/media?caller=4711`."""
    headers: Mapping[str, str]
    """The headers, their names in lower case; a repeated one is joined by `, `."""
    is_upgrade: bool
    """Whether it asks for a WebSocket."""
    body: bytes
    """The body; empty for a request to upgrade."""
    head: bytes
    """The bytes to the end of the head, for a protocol that reads them by itself."""
    rest: bytes
    """The bytes after the head, which came with it."""


class HttpConnection:
    """The server's side of a connection with one request."""

    def __init__(self, stream: AcceptedStream) -> None:
        """Reads and writes a stream, which stays its owner's to close."""
        self._stream = stream
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
        self._head: bytes | None = b""  # what was read of the head; None: it is complete
        self._method = ""

    async def receive(self) -> Request | None:
        """Waits for the request, with its body; None if the connection was closed without a byte.

        Raises:
            BadRequest: it is no HTTP, or too large.
            OSError: the connection broke.

        """
        try:
            request = await self._next()
            if not isinstance(request, h11.Request):
                return None
            headers: dict[str, str] = {}
            for raw_name, raw_value in request.headers:
                name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
                headers[name] = f"{headers[name]}, {value}" if name in headers else value
            rest, _ = self._http.trailing_data
            head, self._head = (self._head or b"").removesuffix(rest), None
            self._method, target = request.method.decode(), request.target.decode("latin-1")
            is_upgrade = "websocket" in headers.get("upgrade", "").lower()
            if int(headers.get("content-length", "0")) > BODY_BYTES:  # h11 has checked that it is a number
                raise _too_large()
            body = b"" if is_upgrade else await self._body()
            return Request(self._method, target, headers, is_upgrade, body, head, rest)
        except h11.RemoteProtocolError as error:
            raise BadRequest(str(error), error.error_status_hint) from error

    async def _body(self) -> bytes:
        body = bytearray()
        while not isinstance(event := await self._next(), h11.EndOfMessage):
            if not isinstance(event, h11.Data):
                raise BadRequest("the connection ended within the request")
            body += event.data
            if len(body) > BODY_BYTES:
                raise _too_large()
        return bytes(body)

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                self._write(h11.InformationalResponse(status_code=100, headers=[]))
            data = await self._stream.read()
            if self._head is not None:
                self._head += data
            self._http.receive_data(data)
        return event  # type: ignore[return-value]  # NEED_DATA is excluded

    async def answer(self, status: int, body: bytes, content_type: str, headers: Mapping[str, str]) -> None:
        """Sends the answer, and waits for the other side to close; raises `OSError` if the connection broke."""
        fields = {"Content-Type": content_type, "Content-Length": str(len(body)), "Connection": "close", **headers}
        self._write(h11.Response(status_code=status, headers=list(fields.items())))
        if self._method != "HEAD":
            self._write(h11.Data(data=body))
        self._write(h11.EndOfMessage())
        await self._stream.flush()
        self._stream.end_writing()
        with trio.move_on_after(DRAIN_S):  # to close with unread data would reset the connection, and lose the answer
            while await self._stream.read():
                pass

    def _write(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            self._stream.write_nowait(data)


def _too_large() -> BadRequest:
    return BadRequest(f"the body is larger than {BODY_BYTES} bytes", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
