"""The sockets of the control: a Unix socket that only this user may have, and a TCP port if one is configured."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack, contextmanager, suppress
from hashlib import sha256
from struct import calcsize, unpack
from typing import TYPE_CHECKING

from reference_engine.errors import EngineError, hint_for_address, hint_for_path
from reference_engine.settings.settings import default_control_path
from voicepipe import listen_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from reference_engine.settings.settings import AdminSettings

BACKLOG = 128
"""Connections that may wait to be accepted."""

ANSWER_S = 1.0
"""How long an engine that may be listening already gets to take a connection, in s."""


@contextmanager
def claimed_socket(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at `path` and that only this user can connect to; the file goes when it is left.

    The file of an engine that was killed is replaced. An engine whose file, or the directory of it, is gone is still
    noticed, by its lock.

    Raises:
        EngineError: another engine answers there, or no socket can be made there.

    """
    if path == default_control_path():
        _check_directory(path.parent)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening, _lock(path):
        _remove_stale(path)
        try:
            os.fchmod(listening.fileno(), 0o600)  # before the bind, so that the file is never open to others
            listening.bind(os.fspath(path))
            ours = path.stat().st_ino
            listening.listen()
        except OSError as error:
            hint = hint_for_path(error, "--control")
            raise EngineError(f"can't listen for control at {path}: {error.strerror or error} ({hint})") from error
        try:
            yield listening
        finally:
            with suppress(OSError):
                if path.stat().st_ino == ours:
                    path.unlink()


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Holds a name that no other process of this machine can hold at the same time, and that goes with the process.

    It is an address in the abstract namespace, which no file system has, so that nobody can remove it. Two containers
    that share a network but have roots of their own don't meet.
    """
    root = os.stat("/")  # noqa: PTH116 - two numbers
    place = f"{os.geteuid()}:{root.st_dev}:{root.st_ino}:{os.path.abspath(path)}"  # noqa: PTH100 - it may not be there
    name = f"\0voicepipe-control-{sha256(os.fsencode(place)).hexdigest()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        try:
            lock.bind(name)
            lock.listen()
        except OSError as error:
            holder = _holder(name) if error.errno == errno.EADDRINUSE else None
            if holder is not None:
                raise EngineError(_taken(path, holder)) from None
        yield


def _holder(name: str) -> int | None:
    """The process that holds a name, if it is this user's or root's: anybody could hold it to keep us from starting."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(ANSWER_S)
        try:
            asking.connect(name)
        except OSError:
            return None
        pid, uid, _gid = unpack("3i", asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, calcsize("3i")))
    return pid if uid in {0, os.geteuid()} else None


def _taken(path: Path, pid: int) -> str:
    if path.exists():
        return f"another engine is answering at {path} (process {pid}); stop it or give another with --control"
    gone = "its file is gone, so no command reaches it: stop it by SIGTERM"
    return f"another engine (process {pid}) has the control socket {path}, but {gone}, or give another with --control"


@contextmanager
def claimed_port(admin: AdminSettings, *, ipv6_only: bool = False) -> Iterator[Sequence[socket.socket]]:
    """Sockets that listen where the control is to be reached over TCP: one for each address of the host.

    Raises:
        EngineError: it can't listen there.

    """
    try:
        addresses = socket.getaddrinfo(admin.host, admin.port, type=socket.SOCK_STREAM)
        sockets = listen_on(addresses, backlog=BACKLOG, ipv6_only=ipv6_only)
    except OSError as error:
        raise _cannot_listen(admin, error) from error
    with ExitStack() as opened:
        for listening in sockets:
            opened.enter_context(listening)
        yield sockets


def address_of(listening: socket.socket) -> dict[str, str | int]:
    """Where a TCP socket is really bound."""
    host, port, *_ = listening.getsockname()
    return {"host": host, "port": port}


def _cannot_listen(admin: AdminSettings, error: OSError) -> EngineError:
    why = "; ".join(filter(None, (error.strerror or str(error), hint_for_address(error, admin.port))))
    return EngineError(f"can't listen for control at {admin.host} port {admin.port}: {why}; give another in `admin`")


def _check_directory(directory: Path) -> None:
    """Makes the default directory, or makes sure that nobody else could have put a socket there."""
    with suppress(FileExistsError):
        try:
            directory.mkdir(mode=0o700)
        except FileNotFoundError as error:
            raise EngineError(f"{directory.parent} does not exist; set XDG_RUNTIME_DIR or give --control") from error
        except FileExistsError:
            raise
        except OSError as error:
            why = f"{error.strerror}; {hint_for_path(error, 'XDG_RUNTIME_DIR or --control')}"
            raise EngineError(f"the directory {directory} for the control socket can't be made: {why}") from error
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise EngineError(f"{directory} is not a directory of this user; remove it or give --control")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise EngineError(f"{directory} is open to other users; `chmod 700 {directory}` or give --control")


def _remove_stale(path: Path) -> None:
    try:
        status = path.lstat()
    except OSError:
        return  # not there, or the bind will say why not
    if not stat.S_ISSOCK(status.st_mode):
        raise EngineError(f"{path} is there already and is not a socket; remove it or give another with --control")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(ANSWER_S)
        try:
            asking.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise EngineError(f"can't tell whether an engine answers at {path}: {error.strerror or error}") from error
        else:
            raise EngineError(f"another engine is answering at {path}; stop it or give another with --control")
