"""The WAV file of a recording: complete after each piece that is written, and readable for its owners alone.

RIFF WAVE with 16-bit PCM: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991.
"""

from __future__ import annotations

import os
import struct
from threading import Lock
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Readers: TypeAlias = Literal["owner", "group"]
"""The accounts that may read records and recordings: the one that the engine runs as, or its group as well."""

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
_MOST = 0xFFFF_FFFF
_CHANNELS, _SAMPLE_BYTES, _PCM = 2, 2, 1


class StereoFile:
    """A stereo WAV file of 16-bit samples, made with the first piece. A file that exists is never overwritten.

    All methods block, and may be called from any thread.
    """

    def __init__(self, path: Path, rate: int, readable_by: Readers) -> None:
        self._path, self._readable_by = path, readable_by
        self.rate = rate
        """In Hz. It may be changed until the first samples are written."""
        self._descriptor: int | None = None
        self._bytes = 0
        self._lock = Lock()  # a thread that was abandoned may still be writing

    def append(self, frames: bytes) -> None:
        """Writes samples, left and right by turns, and the lengths in the header.

        Raises:
            OSError: they can't be written; the file is closed, and ends before them.

        """
        with self._lock:
            if self._descriptor is None:
                self._descriptor = self._open()
                self._bytes = 0
            end = _HEADER.size + self._bytes
            try:
                _write_at(self._descriptor, frames, end)
                self._bytes += len(frames)
                _write_at(self._descriptor, self._header(), 0)
            except OSError:
                os.ftruncate(self._descriptor, end)
                self._close()
                raise

    def close(self) -> None:
        """Closes the file; no-op if there is none."""
        with self._lock:
            self._close()

    def _open(self) -> int:
        group = self._readable_by == "group"
        for directory in (*reversed(self._path.parent.parents), self._path.parent):
            directory.mkdir(0o750 if group else 0o700, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return os.open(self._path, flags, 0o640 if group else 0o600)

    def _close(self) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)

    def _header(self) -> bytes:
        frame = _CHANNELS * _SAMPLE_BYTES
        riff, data = min(_MOST, _HEADER.size - 8 + self._bytes), min(_MOST, self._bytes)
        form = (b"WAVE", b"fmt ", 16, _PCM, _CHANNELS, self.rate, self.rate * frame, frame, 8 * _SAMPLE_BYTES)
        return _HEADER.pack(b"RIFF", riff, *form, b"data", data)


def _write_at(descriptor: int, data: bytes, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(descriptor, rest, at)
        rest, at = rest[written:], at + written
