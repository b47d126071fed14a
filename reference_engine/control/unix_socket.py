"""The Unix socket of the control, for this user only.

Theory of operation
===================

The path of a Unix socket is a file. It stays behind when an engine is killed, it can be removed or replaced while an
engine uses it, and `bind` fails if it exists. So the path alone does not show whether an engine is running, and two
engines on one path must not be possible: reloads would reach the wrong one. `claimed_unix_socket` does this, in order:

1. *The directory.* The default one is created with mode 0700. If it exists, it must belong to this user and be closed
   to others; `/tmp` is open to all, and another user could have put a socket there that takes commands.
2. *The lock* (`_lock`). A second socket is bound to a name in the kernel's abstract namespace, made of the user, the
  root directory and the path. Only one process can hold a name; it is freed when that process ends, however it ends;
  and no file has to be removed. A second engine asks the holder's process ID of the kernel (`SO_PEERCRED`), to name it
  in its error. Holders of other users are ignored: anybody can bind any name, and must not keep this engine from
  starting.
3. *A stale file* (`_remove_stale`). With the lock held, a socket file that refuses connections is left over from a
   killed engine, and is removed. One that accepts them belongs to an engine that the lock does not cover, for instance
   in another container that shares the directory; that is an error. So is a file that is not a socket.
4. *The bind.* The mode is set to 0600 before `bind`, so that the file is never open to others. On exit the file is
   removed only if it is still the one that was bound, by its inode.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import contextmanager, suppress
from hashlib import sha256
from struct import calcsize, unpack
from typing import TYPE_CHECKING

from reference_engine.errors import EngineError, hint_for_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ANSWER_S = 1.0
"""The time that another engine has to accept a connection, in s."""


@contextmanager
def claimed_unix_socket(path: Path, *, is_default: bool) -> Iterator[socket.socket]:
    """Opens a Unix socket that listens at `path` and that only this user can connect to; removes its file on exit.

    Args:
        path: the path.
        is_default: whether that is the default one, whose directory is created if it is missing, and checked.

    Raises:
        EngineError: another engine listens there, or no socket can be created there.

    """
    if is_default:
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
    """Holds the lock of a path, which no other process of this user can hold at the same time.

    The name contains the root directory's device and inode, so that containers which share a network namespace but not
    a file system don't lock each other out.
    """
    root = os.stat("/")  # noqa: PTH116 - only its numbers are used
    place = f"{os.geteuid()}:{root.st_dev}:{root.st_ino}:{os.path.abspath(path)}"  # noqa: PTH100 - the file may not exist
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
    """Returns the ID of the process that holds a lock, if it is this user's or root's; else None."""
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


def _check_directory(directory: Path) -> None:
    """Creates the default directory, or checks that only this user can create a socket in it."""
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
        return  # it does not exist, or `bind` will report the error
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
