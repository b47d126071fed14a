"""Hashes of large files, such as models: each is computed once, and again when the file has changed.

A file's modification time doesn't tell whether its content has changed: `cp -p`, `rsync -t` and `touch -r` set it to
anything. The change time can't be set, so a hash is valid while device, inode, size and both times stay the same.
"""

from __future__ import annotations

import os
import stat
import time
from hashlib import file_digest
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Signature: TypeAlias = "tuple[int, int, int, int, int]"
"""Device, inode, size, modification time and change time in ns."""

MOST = 100_000
"""The most hashes that are kept: far more than all models of a machine have files."""

SETTLED_NS = 2_000_000_000
"""The hash of a file that was changed more recently is not kept, in ns: it may change again within one time stamp."""

_known: dict[Signature, str] = {}


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a file's content in hex; blocks for as long as reading takes, unless the hash is known.

    Raises:
        OSError: it can't be read.

    """
    signature = _signature(path.stat())
    known = _known.get(signature)
    if known is not None:
        return known
    # A FIFO in the place of a file would block until somebody writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        opened = os.fstat(descriptor)
        if not stat.S_ISREG(opened.st_mode):
            return "no regular file"
        digest = file_digest(file, "sha256").hexdigest()
        closed = os.fstat(descriptor)
    signature = _signature(opened)
    if signature == _signature(closed) and time.time_ns() - max(signature[3:]) > SETTLED_NS:
        learn({signature: digest})
    return digest


def known_hashes() -> dict[Signature, str]:
    """Returns the known hashes, for a helper process, so that it need not read models again for each reload."""
    return dict(_known)


def learn(hashes: Mapping[Signature, str]) -> None:
    """Adds the hashes that another process has computed."""
    if len(_known) + len(hashes) > MOST:
        _known.clear()
    _known.update(hashes)


def _signature(status: os.stat_result) -> Signature:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
