"""Connections to a Wyoming server, over TCP or a Unix socket; every failure is a `ComponentError`."""

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
    """The address as the operator wrote it: `HOST:PORT`, `tcp://HOST:PORT` or `unix:/PATH`."""
    connect_timeout_s: float
    """The time limit for connecting, in s."""
    timeout_s: float
    """The time limit for sending, and for an event that is due, in s."""

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[WyomingConnection]:
        """Opens a new connection, and closes it on exit.

        Raises:
            ComponentError: the server can't be reached.

        """
        try:
            with connecting(self.address, self.connect_timeout_s):
                stream = await _open_stream(self.address)
        except OSError as error:
            hint = "does the server run? it listens at the address of its --uri"
            reason = error.__cause__ if isinstance(error.__cause__, OSError) else error
            raise ComponentError(f"{self.address} can't be reached", answered=str(reason), hint=hint) from error
        async with stream:
            yield WyomingConnection(stream, self.timeout_s)

    async def describe(self) -> Mapping[str, Any]:
        """Requests the server's `info` and returns its data.

        Raises:
            ComponentError: the server can't be reached, or sends no `info`.

        """
        async with self.connect() as connection:
            await connection.send(WyomingEvent("describe"))
            while (event := await connection.due()).type != "info":
                pass
            return event.data


def check_address(address: str) -> Iterator[Problem]:
    """Gives a problem if the address is not one of a Wyoming server."""
    try:
        _parse(address)
    except ValueError as error:
        hint = "host:port, tcp://host:port or unix:/path/of/the/socket"
        yield Problem(Location(""), "address", f"is no Wyoming server's address: {error}", hint)


def _parse(address: str) -> tuple[str, int] | str:
    """Returns host and port, or the path of a Unix socket; raises `ValueError` for anything else."""
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
    target = _parse(address)
    if isinstance(target, str):
        return await trio.open_unix_socket(target)
    return await trio.open_tcp_stream(*target)


class WyomingConnection:
    """Sends events to a server, and receives its events."""

    def __init__(self, stream: trio.abc.Stream, timeout_s: float) -> None:
        self._stream, self.timeout_s = stream, timeout_s
        self._decoder = WyomingDecoder()
        self._events: deque[WyomingEvent] = deque()
        self._failure: ComponentError | None = None

    async def send(self, *events: WyomingEvent) -> None:
        """Sends events, all in one piece.

        Raises:
            ComponentError: the server took nothing for its timeout, or the connection broke.

        """
        try:
            with taking(self.timeout_s):
                await self._stream.send_all(b"".join(map(encode, events)))
        except trio.BrokenResourceError as error:
            raise _broken(error) from error

    async def receive(self) -> WyomingEvent:
        """Returns the next event, without a time limit. A cancelled `receive` loses none.

        Raises:
            ComponentError: the server reported an error, sent something unreadable, or ended the connection.

        """
        while not self._events:
            if self._failure is not None:
                raise self._failure
            try:
                data = await self._stream.receive_some(READ_BYTES)
            except trio.BrokenResourceError as error:
                raise _broken(error) from error
            if not data:
                moment = "in the middle of an event" if self._decoder.midway else "before it had answered"
                raise ComponentError(f"ended the connection {moment}")
            try:
                self._events.extend(self._decoder.feed(data))
            except ComponentError as error:
                self._failure = error  # raised after the events that came before it
        event = self._events.popleft()
        if event.type == "error":
            code, text = event.data.get("code"), str(event.data.get("text", ""))
            answered = f"{code}: {text}" if code else text
            fault = fault_of(500, text, [str(code)])
            raise ComponentError("reported an error", answered=answered, fault=fault)
        return event

    async def due(self) -> WyomingEvent:
        """Returns the next event, which must come within the server's timeout.

        Raises:
            ComponentError: as for `receive`, or nothing came in time.

        """
        with answer_due(self.timeout_s):
            return await self.receive()


def _broken(error: trio.BrokenResourceError) -> ComponentError:
    return ComponentError("the connection broke", answered=str(error.__cause__ or ""))
