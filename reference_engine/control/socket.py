"""The sockets of the control: a Unix socket that only this user may have, and a TCP port if one is configured."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.settings import AdminSettings

ANSWER_S = 1.0
"""How long an engine that may be listening already gets to take a connection."""


def default_control_path() -> Path:
    """`$XDG_RUNTIME_DIR/voicepipe/control.sock`, or `/tmp/voicepipe-<uid>/control.sock` where that is not set."""
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "voicepipe" / "control.sock"
    return Path(f"/tmp/voicepipe-{os.geteuid()}/control.sock")  # noqa: S108 - made 0700, and its owner is checked


@contextmanager
def claimed_socket(path: Path) -> Iterator[socket.socket]:
    """A socket that listens at `path` and that only this user can connect to; the file goes when it is left.

    The file of an engine that was killed is replaced.

    Raises:
        EngineError: another engine answers there, or the place is not fit for it.

    """
    if path == default_control_path():
        _check_directory(path.parent)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with listening:
        _remove_stale(path)
        try:
            os.fchmod(listening.fileno(), 0o600)  # before the bind, so that the file is never open to others
            listening.bind(os.fspath(path))
            ours = path.stat().st_ino
            listening.listen()
        except OSError as error:
            hint = "its directory must exist" if isinstance(error, FileNotFoundError) else "give another with --control"
            raise EngineError(f"can't listen for control at {path}: {error.strerror or error} ({hint})") from error
        try:
            yield listening
        finally:
            with suppress(OSError):
                if path.stat().st_ino == ours:
                    path.unlink()


@contextmanager
def claimed_port(admin: AdminSettings) -> Iterator[socket.socket]:
    """A socket that listens where the control is to be reached over TCP.

    Raises:
        EngineError: it can't listen there.

    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(admin.host, admin.port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _unfit(admin, error) from error
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
            listening.listen()
        except OSError as error:
            raise _unfit(admin, error) from error
        yield listening


def address_of(listening: socket.socket) -> dict[str, str | int]:
    """Where a TCP socket is really bound."""
    host, port, *_ = listening.getsockname()
    return {"host": host, "port": port}


def _unfit(admin: AdminSettings, error: OSError) -> EngineError:
    why = error.strerror or error
    return EngineError(f"can't listen for control at {admin.host} port {admin.port}: {why}; give another in `admin`")


def _check_directory(directory: Path) -> None:
    """Makes the default directory, or makes sure that nobody else could have put a socket there."""
    with suppress(FileExistsError):
        try:
            directory.mkdir(mode=0o700)
        except FileNotFoundError as error:
            raise EngineError(f"{directory.parent} does not exist; set XDG_RUNTIME_DIR or give --control") from error
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EngineError(f"{directory} is not a directory of this user; remove it or give --control")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise EngineError(f"{directory} is open to other users; `chmod 700 {directory}` or give --control")


def _remove_stale(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError:
        return  # not there, or the bind will say why not
    if not stat.S_ISSOCK(found.st_mode):
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
