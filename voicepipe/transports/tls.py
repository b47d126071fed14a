"""The certificate of a listener: `tls: {certificate, key}`, read again when the files change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import trio
from attrs import frozen

from voicepipe.components.tls import fault_of_ca_file
from voicepipe.errors import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger("voicepipe")

Identity: TypeAlias = tuple[tuple[int, int, int], ...]
"""What changes when either file does."""


@frozen
class TlsFiles:
    """A certificate and its key, in PEM files. Both are read again when they change, for connections from then on."""

    certificate: Path
    """The file of the certificate, with those of its issuers after it."""
    key: Path
    """The file of its private key, without a password."""


@frozen
class _UnusableFile:
    """What keeps a certificate from being used."""

    option: str
    """The key of the file: `certificate` or `key`."""
    message: str
    """The fault, as a predicate of the file."""
    hint: str
    """The remedy."""


def check_tls(files: TlsFiles | None, at: str = "tls") -> Iterator[Problem]:
    """Yields what is wrong with a certificate, for `TransportType.check`; reads both files.

    Args:
        files: the option's value.
        at: the option's name.

    """
    if files is not None and (fault := _fault_of(files)):
        path: Path = getattr(files, fault.option)
        yield Problem(Location(""), f"{at}.{fault.option}", f"the file {path.name} {fault.message}", fault.hint)


class ServerTls:
    """The TLS context of a listener, with its certificate as the files have it now."""

    def __init__(self, files: TlsFiles, socket_class: type[ssl.SSLSocket] = ssl.SSLSocket) -> None:
        """Reads nothing yet; connections become sockets of the class."""
        self._files, self._socket_class = files, socket_class
        self._context: ssl.SSLContext | None = None
        self._tried: Identity = ()
        self._lock = Lock()

    async def context(self) -> ssl.SSLContext:
        """Returns the context; makes a new one if a file has changed since the last call.

        If the files can't be used any more, or don't fit each other because only one is new, the last context stays,
        and a warning is logged by "voicepipe".

        Raises:
            OSError: the files can't be used, and never could.

        """
        return await trio.to_thread.run_sync(self._current)

    def _current(self) -> ssl.SSLContext:
        with self._lock:
            identity = _identity(self._files)
            if self._context is not None and identity == self._tried:
                return self._context
            self._tried = identity
            if fault := _fault_of(self._files):
                name = getattr(self._files, fault.option)
                if self._context is None:
                    raise OSError(f"the {fault.option} file {name} {fault.message}; {fault.hint}")
                _log.warning("the %s file %s %s; the previous one is still used", fault.option, name, fault.message)
            else:
                self._context = _loaded(self._files)
                self._context.sslsocket_class = self._socket_class
            return self._context


def _identity(files: TlsFiles) -> Identity:
    statuses = []
    for path in (files.certificate, files.key):
        try:
            status = path.stat()
        except OSError:
            statuses.append((0, 0, 0))
        else:
            statuses.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(statuses)


def _loaded(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(files.certificate, files.key, password=_no_password)
    return context


def _no_password() -> str:  # OpenSSL would ask the terminal for it
    raise ValueError("the key has a password")


def _fault_of(files: TlsFiles) -> _UnusableFile | None:
    return _fault_of_file("certificate", files.certificate) or _fault_of_file("key", files.key) or _fault_of_both(files)


def _fault_of_file(option: str, path: Path) -> _UnusableFile | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return _UnusableFile(
            option, "does not exist", "relative paths start at the directory of the file that names it"
        )
    except OSError as error:
        return _UnusableFile(option, f"can't be read: {error.strerror}", "let the user that the engine runs as read it")
    if option == "certificate":
        fault = fault_of_ca_file(content)
        return None if fault is None else _UnusableFile(option, *fault)
    if b"PRIVATE KEY-----" in content:
        return None
    return _UnusableFile(
        option, "contains no private key", "name the file that begins with `-----BEGIN PRIVATE KEY-----`"
    )


def _fault_of_both(files: TlsFiles) -> _UnusableFile | None:
    try:
        _loaded(files)
    except ValueError:
        hint = "remove the password: `openssl pkey -in KEY -out NEW`"
        return _UnusableFile("key", "has a password, for which nobody can be asked", hint)
    except OSError as error:  # ssl.SSLError is one
        if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
            return _UnusableFile(
                "key", "belongs to another certificate", "name the key that the certificate was made for"
            )
        return _UnusableFile("certificate", f"can't be used with its key: {error}", "have both made anew")
    return None


class NonBlockingTlsSocket(ssl.SSLSocket):
    """A TLS socket that is read and written as a non-blocking TCP socket is: it raises `BlockingIOError`.

    What OpenSSL could not write of a record it has encrypted already, so it has to be given that again before anything
    else. Here such data counts as sent, and goes out with the next.
    """

    _held = b""

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        """As `socket.recv_into`."""
        try:
            return super().recv_into(buffer, nbytes, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error

    def send(self, data: Any, flags: int = 0) -> int:
        """As `socket.send`."""
        try:
            if self._held:
                super().send(self._held, flags)
                self._held = b""
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as error:
            raise BlockingIOError from error
        try:
            return super().send(data, flags)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            self._held = bytes(data)
            return len(data)
