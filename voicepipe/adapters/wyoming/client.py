"""Connections to a Wyoming server, over TCP or a Unix socket; what goes wrong is a `ComponentError`."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import trio
from attrs import frozen

from voicepipe.adapters.wyoming.wire_format import WyomingDecoder, WyomingEvent, encode
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.wire.deadlines import answer_due, connecting, taking
from voicepipe.wire.refusals import fault_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

READ_BYTES = 1 << 16


@frozen
class WyomingServer:
    """The address of a server, and its timeouts."""

    address: str
    """As the operator wrote it: `HOST:PORT`, `tcp://HOST:PORT` or `unix:/PATH`."""
    connect_timeout_s: float
    """How long a connection may take, in s."""
    timeout_s: float
    """How long it may take what is sent, and owe what is due, in s."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[WyomingConnection]:
        """A connection of its own.

        Raises:
            ComponentError: it can't be reached.

        """
        try:
            with connecting(self.address, self.connect_timeout_s):
                stream = await _open_stream(self.address)
        except OSError as error:
            hint = "does the server run? what it was given for --uri is where it listens"
            reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise ComponentError(f"{self.address} can't be reached", answered=str(reason), hint=hint) from error
        async with stream:
            yield WyomingConnection(stream, self.timeout_s)

    async def describe(self) -> Mapping[str, Any]:
        """The data of the server's `info` event.

        Raises:
            ComponentError: it can't be reached, or does not say.

        """
        async with self.connect() as connection:
            await connection.send(WyomingEvent("describe"))
            while (event := await connection.due()).type != "info":
                pass
            return event.data


def check_address(address: str) -> Iterator[Problem]:
    """Gives a problem for an address that is none of a Wyoming server."""
    try:
        _parse(address)
    except ValueError as error:
        hint = "host:port, tcp://host:port or unix:/path/of/the/socket"
        yield Problem(Location(""), "address", f"is no Wyoming server's address: {error}", hint)


def _parse(address: str) -> tuple[str, int] | str:
    """Host and port, or a socket's path."""
    url = urlsplit(address if address.startswith(("tcp:", "unix:")) else f"tcp://{address}")
    if url.scheme == "unix":
        if url.netloc or not url.path.startswith("/"):
            raise ValueError("the path must begin with /")
        return url.path
    if url.path.strip("/") or url.query or url.username:
        raise ValueError("there is more to it than host and port")
    if not url.hostname or not url.port:
        raise ValueError("it needs a host and a port")
    return url.hostname, url.port


async def _open_stream(address: str) -> trio.abc.Stream:
    where = _parse(address)
    if isinstance(where, str):
        return await trio.open_unix_socket(where)
    return await trio.open_tcp_stream(*where)


class WyomingConnection:
    """Events to a server, and from it."""

    def __init__(self, stream: trio.abc.Stream, timeout_s: float) -> None:
        self._stream, self.timeout_s = stream, timeout_s
        self._decoder = WyomingDecoder()
        self._events: deque[WyomingEvent] = deque()
        self._failure: ComponentError | None = None

    async def send(self, *events: WyomingEvent) -> None:
        """Sends events, at once.

        Raises:
            ComponentError: the server takes no more, or is gone.

        """
        try:
            with taking(self.timeout_s):
                await self._stream.send_all(b"".join(map(encode, events)))
        except trio.BrokenResourceError as error:
            raise _broken(error) from error

    async def receive(self) -> WyomingEvent:
        """The next event, however long it takes; cancelled, it loses none.

        Raises:
            ComponentError: it is an error, or there is no more.

        """
        while not self._events:
            if self._failure is not None:
                raise self._failure
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except trio.BrokenResourceError as error:
                raise _broken(error) from error
            if not data:
                where = "in the middle of an event" if self._decoder.midway else "before it had answered"
                raise ComponentError(f"ended the connection {where}")
            try:
                self._events.extend(self._decoder.feed(data))
            except ComponentError as error:
                self._failure = error  # after the events before it
        event = self._events.popleft()
        if event.type == "error":
            code, text = event.data.get("code"), str(event.data.get("text", ""))
            answered = f"{code}: {text}" if code else text
            fault = fault_of(500, text, [str(code)])
            raise ComponentError("reported an error", answered=answered, fault=fault)
        return event

    async def due(self) -> WyomingEvent:
        """The next event, which must come within the server's time.

        Raises:
            ComponentError: as for `receive`, or nothing came.

        """
        with answer_due(self.timeout_s):
            return await self.receive()


def _broken(error: trio.BrokenResourceError) -> ComponentError:
    return ComponentError("the connection broke", answered=str(error.__cause__ or ""))
