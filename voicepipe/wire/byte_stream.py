"""A byte stream, plain or TLS, that is written without waiting while its socket takes bytes.

    stream = await open_byte_stream("api.example.com", 443, tls)
    stream.write_nowait(data)               # what the socket does not take stays in the stream
    await stream.flush()                    # until the socket has taken it
    data = await stream.read()              # b"" at the end
    await stream.aclose()

`accept_byte_stream` makes one of a connection that was accepted.

A call sends its recogniser a dozen pieces of audio a second, and `await stream.send_all(...)` of trio costs more than
the system call that it makes: a checkpoint, a lock, a scope. Here a write is that system call. For TLS the standard
library's `SSLSocket` encrypts on the socket itself, without the two memory buffers between it and the socket that
`trio.SSLStream` needs.

Where trio was given another network than the system's, as tests on a virtual clock do, `trio.open_tcp_stream` returns
no socket. Then every write waits for `flush`.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from fcntl import ioctl
from sys import byteorder
from termios import TIOCOUTQ
from typing import Protocol

import trio

READ_SIZE = 8192
"""The most bytes of a read."""

MOST_UNSENT = 1 << 20
"""How many bytes may wait to be written before the next write fails."""

TLS_RETRY_S = 0.01
"""The pause before a TLS read or write that needs the other direction first is tried again, in s."""


class ByteStream(Protocol):
    """Bytes to and from the other side. One task reads at a time."""

    @property
    def is_flushed(self) -> bool:
        """Whether nothing waits to be written, so that a write may succeed at once."""

    def write_nowait(self, data: bytes) -> None:
        """Writes what can be written without waiting, and keeps the rest for `flush`.

        Raises:
            OSError: the connection has ended, or more than 1 MiB waits already, so the other side takes nothing.

        """

    async def flush(self) -> None:
        """Waits until all is written. A cancelled `flush` loses nothing; raises `OSError` as `write_nowait`."""

    def read_nowait(self) -> bytes | None:
        """Returns the next bytes, b"" at the end; None if none are there. Raises `OSError`."""

    async def read(self) -> bytes:
        """Waits for the next bytes and returns them; b"" at the end. A cancelled `read` loses nothing.

        Raises:
            OSError: the connection broke.

        """

    def shut_down(self) -> None:
        """Ends both directions: a task that reads gets what has come, then b""."""

    async def aclose(self) -> None:
        """Closes the connection at once, also when cancelled; a task that waits gets `trio.ClosedResourceError`."""


class AcceptedStream(ByteStream, Protocol):
    """A `ByteStream` of a connection that was accepted, whose socket a hub may watch."""

    @property
    def socket(self) -> socket.socket:
        """The socket, to wait for; `aclose` closes it."""

    @property
    def has_more(self) -> bool:
        """Whether bytes can be read that don't make the socket readable: TLS has decrypted them already."""

    @property
    def unsent_bytes(self) -> int:
        """How much the other side has not received yet, in bytes: it falls while that takes something.

        What waits in the system counts too, where the system tells (Linux).
        """

    def end_writing(self) -> None:
        """Ends this side's direction, after all that was written; no-op if the connection broke."""


async def open_byte_stream(host: str, port: int, tls: ssl.SSLContext | None) -> ByteStream:
    """Connects to a server, and does the TLS handshake if there is a context.

    Raises:
        OSError: no address of the host takes a connection, or the handshake failed: then it is an `ssl.SSLError`.

    """
    stream: trio.abc.Stream = await trio.open_tcp_stream(host, port)
    if type(stream) is not trio.SocketStream:
        return _TrioStream(
            stream if tls is None else trio.SSLStream(stream, tls, server_hostname=host, https_compatible=True)
        )
    connected = stream.socket
    plain = socket.socket(connected.family, connected.type, connected.proto, connected.detach())
    plain.setblocking(False)
    if tls is None:
        return _SocketStream(plain)
    return await _encrypted(plain, tls, server_hostname=host)


async def accept_byte_stream(connection: socket.socket, tls: ssl.SSLContext | None) -> AcceptedStream:
    """Takes over a connection that was accepted, and does the server's TLS handshake if there is a context.

    Args:
        connection: a non-blocking socket; it is closed if the handshake fails or is cancelled.
        tls: with the certificate and its key; None: without TLS.

    Raises:
        OSError: the handshake failed: then it is an `ssl.SSLError`, or the connection has ended.

    """
    return _SocketStream(connection) if tls is None else await _encrypted(connection, tls)


async def _encrypted(plain: socket.socket, tls: ssl.SSLContext, server_hostname: str | None = None) -> AcceptedStream:
    return _TlsStream(await shake_hands(plain, tls, server_hostname))


async def shake_hands(plain: socket.socket, tls: ssl.SSLContext, server_hostname: str | None = None) -> ssl.SSLSocket:
    """Does the TLS handshake on a non-blocking socket, which is closed if that fails or is cancelled.

    Args:
        plain: the connection.
        tls: the context.
        server_hostname: the server's name, of a client; None: this is the server.

    Raises:
        OSError: the handshake failed: then it is an `ssl.SSLError`, or the connection has ended.

    """
    try:
        encrypted = tls.wrap_socket(
            plain,
            server_side=server_hostname is None,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
        )
    except BaseException:
        plain.close()
        raise
    try:
        await _do_handshake(encrypted)
    except BaseException:
        _close(encrypted)
        raise
    return encrypted


async def _do_handshake(encrypted: ssl.SSLSocket) -> None:
    while True:
        try:
            encrypted.do_handshake()
        except ssl.SSLWantReadError:
            await trio.lowlevel.wait_readable(encrypted)
        except ssl.SSLWantWriteError:
            await trio.lowlevel.wait_writable(encrypted)
        else:
            return


def _close(connected: socket.socket) -> None:
    if connected.fileno() != -1:
        trio.lowlevel.notify_closing(connected)
        connected.close()


class _SocketStream:
    """A non-blocking TCP socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._unsent = bytearray()
        self._flushing = trio.Lock()
        self._may_have_more = False  # the last read was as large as it could be

    @property
    def socket(self) -> socket.socket:
        return self._socket

    @property
    def has_more(self) -> bool:
        return False

    @property
    def unsent_bytes(self) -> int:
        try:
            queued = int.from_bytes(ioctl(self._socket, TIOCOUTQ, bytes(4)), byteorder)
        except (OSError, ValueError):  # ValueError: the socket is closed here, which `fcntl` tells in this way
            queued = 0
        return len(self._unsent) + queued

    @property
    def is_flushed(self) -> bool:
        return not self._unsent

    def write_nowait(self, data: bytes) -> None:
        if not self._unsent:
            sent = self._send(data)
            if sent == len(data):
                return
            data = data[sent:]
        elif len(self._unsent) > MOST_UNSENT:
            raise BrokenPipeError("the other side takes nothing")
        self._unsent += data

    def _send(self, data: bytes | bytearray) -> int:
        """Writes the beginning of the data, and returns how many bytes; 0 if it would have to wait."""
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0

    async def flush(self) -> None:
        async with self._flushing:
            while self._unsent:
                await trio.lowlevel.wait_writable(self._socket)
                if sent := self._send(self._unsent):
                    del self._unsent[:sent]
                else:
                    await trio.sleep(TLS_RETRY_S)

    def read_nowait(self) -> bytes | None:
        try:
            data = self._socket.recv(READ_SIZE)
        except BlockingIOError:
            self._may_have_more = False
            return None
        self._may_have_more = len(data) == READ_SIZE
        return data

    async def read(self) -> bytes:
        # Waits first, since `recv` would usually return nothing; only a full read may have left bytes behind.
        data = None
        if self._may_have_more:
            await trio.lowlevel.checkpoint()  # a server that sends without end must not hold the loop
            data = self.read_nowait()
        while data is None:
            await trio.lowlevel.wait_readable(self._socket)
            data = self.read_nowait()
        return data

    def shut_down(self) -> None:
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # of TCP: TLS would have to be waited for

    def end_writing(self) -> None:
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_WR)

    async def aclose(self) -> None:
        self._unsent.clear()
        _close(self._socket)


class _TlsStream(_SocketStream):
    """A non-blocking TLS socket.

    OpenSSL may have to read before it can write, or the reverse, for messages of TLS itself. Another task may wait for
    that readiness already, so the step is tried again after `TLS_RETRY_S`. It is rare, and after its handshake TLS 1.3
    does not do it.
    """

    _socket: ssl.SSLSocket

    @property
    def has_more(self) -> bool:
        return self._socket.pending() > 0

    def _send(self, data: bytes | bytearray) -> int:
        sent = 0
        try:
            while sent < len(data):  # a record at a time
                sent += self._socket.send(data[sent:] if sent else data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        return sent

    def read_nowait(self) -> bytes | None:
        try:
            return self._socket.recv(READ_SIZE)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None

    async def read(self) -> bytes:
        # Bytes that OpenSSL has already decrypted don't make the socket readable, so they come first.
        data = None
        if self._socket.pending():
            await trio.lowlevel.checkpoint()
            data = self.read_nowait()
        while data is None:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = self._socket.recv(READ_SIZE)
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLWantWriteError:
                await trio.sleep(TLS_RETRY_S)
        return data


class _TrioStream:
    """Any stream of trio's: it can't tell what it would take without waiting, so each write waits for `flush`."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._unsent = bytearray()
        self._flushing = trio.Lock()

    @property
    def is_flushed(self) -> bool:
        return not self._unsent and not self._flushing.locked()

    def write_nowait(self, data: bytes) -> None:
        self._unsent += data

    async def flush(self) -> None:
        async with self._flushing:
            while self._unsent:
                data = bytes(self._unsent)
                self._unsent.clear()
                try:
                    await self._stream.send_all(data)
                except trio.Cancelled:
                    self._unsent[:0] = data  # a network in memory takes all of it or nothing
                    raise
                except trio.BrokenResourceError as error:
                    raise BrokenPipeError(str(error)) from error

    def read_nowait(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        try:
            return bytes(await self._stream.receive_some(READ_SIZE))
        except trio.BrokenResourceError as error:
            raise ConnectionResetError(str(error)) from error

    def shut_down(self) -> None:
        """Does nothing: where a write fails, a read does too."""

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)
