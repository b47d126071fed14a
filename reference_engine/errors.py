"""Errors of an engine's surroundings, such as addresses and directories, and hints for them."""

from __future__ import annotations

import errno
import os
import socket


class EngineError(Exception):
    """The engine can't use an address, a path or a running engine; the message says why and what to change."""


def hint_for_address(error: OSError, port: int) -> str:
    """Returns the remedy for an address that can't be listened on; empty if none is known."""
    if isinstance(error, socket.gaierror) or isinstance(error.__cause__, socket.gaierror):
        return "no name server knows this host; check its spelling"
    match error.errno:
        case errno.EADDRINUSE:
            return f"something else listens there: `ss -ltnp 'sport = :{port}'` shows which program"
        case errno.EACCES | errno.EPERM if port < 1024:
            return "ports below 1024 are for root, or with AmbientCapabilities=CAP_NET_BIND_SERVICE of systemd"
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return "this machine has no such address: `ip address` lists its addresses"
        case _:
            return ""


def hint_for_path(error: OSError, setting: str) -> str:
    """Returns the remedy for a path that can't be created or written; `setting` is the key or option that names it."""
    match error.errno:
        case errno.EACCES | errno.EPERM:
            return f"user {os.geteuid()} may not write there: make it the owner, or name another place in {setting}"
        case errno.EROFS:
            return f"the file system is read-only: mount a volume there, or name another place in {setting}"
        case errno.ENOENT:
            return f"its directory must exist: create it, or name another place in {setting}"
        case errno.ENOTDIR | errno.EEXIST | errno.EISDIR:
            return f"a file is where a directory should be, or the reverse: name another place in {setting}"
        case errno.ENOSPC | errno.EDQUOT:
            return f"no room left on the disk: free some space, or name another place in {setting}"
        case _:
            return f"name another place in {setting}"
