r"""Runs a command-line program so that its exit status is right whatever its standard streams are.

- A stream that is closed when the program starts is opened on `/dev/null`. Its descriptor would else go to the first
  file or socket that is opened, and what a library prints (Vosk does, in C) would end up in that.
- Output that nobody reads any more (`| head`) is dropped; the program goes on and has the status that it would have.
- Output that can't be written for another reason, such as a full disk, is said on stderr, and makes a status of 0 a 1.
- Characters that the stream's encoding lacks, undecodable bytes of file names, and control characters are written as
  `\u001b`, which is right in JSON as well. On a terminal, colours stay.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import select
import sys
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any, cast

from voicepipe.commands.interrupts import INTERRUPTED
from voicepipe.documents.suggestions import escaped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TextIO

_ESCAPED = "voicepipe.escaped"
_CONTROL = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that control a terminal: all control characters but tab and line feed, and those that change direction."""
_CONTROL_OR_COLOUR = re.compile(rf"\x1b\[[0-9;]*m|{_CONTROL.pattern}")


def run_program(name: str, run: Callable[[], int]) -> int:
    """Runs a program, and returns its exit status.

    Args:
        name: the name of the program, for messages.
        run: the program; writes to `sys.stdout` and `sys.stderr`, and returns its exit status. A `SystemExit` of
            argparse goes through; an `OSError` is said on stderr, with status 1. A `KeyboardInterrupt`, alone or in a
            group as it comes out of a nursery, makes the status 130.

    """
    try:
        return _run(name, run)
    except KeyboardInterrupt:  # while the streams were flushed
        return INTERRUPTED


def _run(name: str, run: Callable[[], int]) -> int:
    with _streams() as output:
        try:
            status = run()
        except KeyboardInterrupt:
            status = INTERRUPTED
        except BaseExceptionGroup as group:
            if group.subgroup(KeyboardInterrupt) is None:
                raise
            status = INTERRUPTED
        except OSError as error:
            sys.stderr.write(f"{name}: {error}\n")
            status = 1
        if output is None:
            return status
        output.flush()
        if (failed := _raw(output).failed) is not None and not isinstance(failed, BrokenPipeError):
            sys.stderr.write(f"{name}: the output can't be written: {failed.strerror}\n")
            return status or 1
    return status


class _Descriptor(io.RawIOBase):
    """A file descriptor that accepts all output, and keeps the error of the first write that failed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.failed: OSError | None = None

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        while self.failed is None:
            try:
                return os.write(self._descriptor, view)
            except BlockingIOError:  # whoever shares it has made it non-blocking
                select.select([], [self._descriptor], [])
            except OSError as error:
                self.failed = error
        return len(view)


class _Printing(io.TextIOWrapper):
    """A text stream that escapes all control characters except colours."""

    def write(self, text: str, /) -> int:
        act = _CONTROL_OR_COLOUR if self.isatty() else _CONTROL
        super().write(act.sub(lambda match: match[0] if len(match[0]) > 1 else escaped(match[0]), text))
        return len(text)


@contextmanager
def _streams() -> Iterator[_Printing | None]:
    """Replaces `sys.stdout` and `sys.stderr` by streams that accept all output, and yields the first.

    Streams that were replaced before, such as by a test that captures output, stay; then it yields None.
    """
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    codecs.register_error(_ESCAPED, _escape)
    before = sys.stdout, sys.stderr
    output = _printing(1, before[0]) if before[0] is sys.__stdout__ else None
    errors = _printing(2, before[1]) if before[1] is sys.__stderr__ else None
    sys.stdout, sys.stderr = output or before[0], errors or before[1]
    try:
        yield output
    finally:
        for stream in filter(None, (output, errors)):
            stream.flush()
            stream.detach().detach()  # type: ignore[attr-defined] # so that neither closes the descriptor
        sys.stdout, sys.stderr = before


def _printing(descriptor: int, instead_of: TextIO | None) -> _Printing:
    encoding = "utf-8"
    if instead_of is not None:
        instead_of.flush()
        encoding = instead_of.encoding
    raw = _Descriptor(descriptor)
    return _Printing(io.BufferedWriter(raw), encoding, _ESCAPED, line_buffering=descriptor == 2 or raw.isatty())


def _raw(stream: _Printing) -> _Descriptor:
    return cast("_Descriptor", cast("IO[bytes]", stream.buffer).raw)  # type: ignore[attr-defined]


def _open_if_closed(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        opened = os.open(os.devnull, os.O_RDWR)
        if opened != descriptor:
            os.dup2(opened, descriptor)
            os.close(opened)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return escaped(error.object[error.start : error.end]), error.end
