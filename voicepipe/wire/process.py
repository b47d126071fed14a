"""A helper process, which runs a library that could crash, block or share state, and is reached by messages over pipes.

A message is a header in network order (kind u8, request u32, size of the payload u32) and its payload. Each adapter and
its helper define their own kinds and payloads.

Theory of operation
===================

Why a process. Native libraries end their process over a damaged file, hold the interpreter's lock for milliseconds, or
keep their state in globals. In a helper none of that delays a frame of any call, and a crash fails one component.

Three tasks serve a helper, in a nursery that lives as long as its context:

- `write` writes posted messages in order. `post` never blocks; `send` waits while `MESSAGES_AHEAD` messages are not
  written yet. If the helper is gone, `write` just returns, since `read` reports that with a better reason.
- `read` cuts standard output into messages and calls the sink, synchronously: an adapter's sink only sorts them into
  the channels of its streams. A header that announces more than `MOST_BYTES` means that something else was printed to
  standard output; the helper can't be used any more.
- `keep_stderr` keeps the last `LAST_WORDS` bytes of standard error, for the error message if the helper crashes.

The end of a helper:

- *The context is left*: standard input is closed, which tells the helper to leave; after `LEAVE_S` it is killed. `end`
  is shielded, so a cancelled call can't leave a process behind.
- *This process crashes*: the pipe to the helper's standard input closes with it, so a helper never outlives its parent.
- *The helper ends by itself*: `read` sees the end of its output, waits up to `LEAVE_S` for exit status and last words,
  calls the sink's `ended`, and cancels the context, which then raises the `ComponentError`. `open_kept_helpers` starts
  another helper instead, unless this one had never become usable.
- *A signal to the process group*: the helper has a session of its own and ignores SIGTERM, SIGINT and SIGHUP, since
  calls are still draining when a service manager stops all processes of the service.

There are no pings: a pipe has no network to lose, so a helper either runs, or its pipe has ended. One that runs but
does nothing is detected by deadlines on its answers, not on the process: `wire.sessions` has a deadline for each
stream, and adapters of recognisers rely on the budgets of calls.
"""

from __future__ import annotations

import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from functools import partial
from math import inf
from struct import Struct
from typing import TYPE_CHECKING, Protocol

import trio

from voicepipe.errors import ComponentError
from voicepipe.nurseries import open_hidden_nursery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

__all__ = ["HelperProcess", "HelperSink", "open_helper_process"]

HEADER = Struct("!BII")
"""The header of a message: kind, request, size of the payload in bytes."""

LEAVE_S = 0.5
"""The time in which a helper must leave before it is killed, and the longest wait for its last words, in s."""

MESSAGES_AHEAD = 64
"""The most messages that wait to be written; with more, `send` waits."""

MOST_BYTES = 1 << 26
"""The longest payload that is accepted, in bytes: bytes that announce more are no header."""

LAST_WORDS = 2000
"""The part of standard error that is kept, in bytes."""

CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
"""The signals by which native code ends its process after a defect."""

KILLED_HINT = "an operator killed it, or the system did: is there memory left?"


class HelperSink(Protocol):
    """Takes a helper's messages; both methods are synchronous, quick and do not raise."""

    def message(self, kind: int, request: int, payload: bytes) -> None:
        """Takes the next message."""

    def ended(self, error: ComponentError) -> None:
        """Takes the error of a helper that ended by itself; it is the last call."""


class KeptSink(HelperSink, Protocol):
    """Takes the messages of a helper that is replaced when it ends."""

    async def start(self, helper: HelperProcess) -> None:
        """Returns when a new helper can be used; raises `ComponentError` if it can't."""


class HelperProcess:
    """A helper process that was started."""

    def __init__(self, process: trio.Process, hint: str = "") -> None:
        assert process.stdin  # noqa: S101 - for mypy: all three are pipes
        assert process.stdout  # noqa: S101
        assert process.stderr  # noqa: S101
        self._process, self._hint = process, hint
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._outbox, self._posted = trio.open_memory_channel[bytes](inf)  # callers bound what they post
        self._unwritten = 0
        self._room = trio.lowlevel.ParkingLot()
        self._last_words = bytearray()
        self._stderr_ended = trio.Event()
        self.failure: ComponentError | None = None
        """The error of a helper that ended by itself."""

    @property
    def pid(self) -> int:
        """The process id of the helper."""
        return self._process.pid

    def post(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        """Sends a message; never blocks, and does nothing if the helper has ended."""
        with suppress(trio.BrokenResourceError):
            self._outbox.send_nowait(HEADER.pack(kind, request, len(payload)) + payload)
            self._unwritten += 1

    async def send(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        """Sends a message; waits while `MESSAGES_AHEAD` of them wait to be written."""
        while self._unwritten >= MESSAGES_AHEAD:
            await self._room.park()
        self.post(kind, request, payload)
        await trio.lowlevel.checkpoint()

    async def write(self) -> None:
        """Writes posted messages to the helper until it ends."""
        async with self._posted:
            with suppress(trio.BrokenResourceError):  # the helper ended, which `read` reports
                async for message in self._posted:
                    await self._stdin.send_all(message)
                    self._unwritten -= 1
                    self._room.unpark()

    async def keep_stderr(self) -> None:
        """Reads standard error to its end; keeps the last `LAST_WORDS` bytes."""
        async for data in self._stderr:
            self._last_words += data
            del self._last_words[:-LAST_WORDS]
        self._stderr_ended.set()

    async def last_words(self) -> str:
        """Returns the last part of standard error, when the process has left or `LEAVE_S` is over."""
        with trio.move_on_after(LEAVE_S):
            await self._process.wait()
            await self._stderr_ended.wait()
        return self._last_words.decode(errors="replace").strip()

    async def read(self, sink: HelperSink, scope: trio.CancelScope) -> None:
        """Delivers messages to the sink until the helper ends, then reports the end and cancels the scope."""
        received = bytearray()
        async for data in self._stdout:
            received += data
            at = 0
            while len(received) - at >= HEADER.size:
                kind, request, size = HEADER.unpack_from(received, at)
                if size > MOST_BYTES:
                    unreadable = repr(bytes(received[at : at + 50]))
                    error = ComponentError("the helper process sent an unreadable message", answered=unreadable)
                    self._fail(error, sink, scope)
                    return
                end = at + HEADER.size + size
                if len(received) < end:
                    break
                sink.message(kind, request, bytes(received[at + HEADER.size : end]))
                at = end
            del received[:at]
        last_words = await self.last_words()
        returncode = self._process.returncode
        failure = ComponentError(
            f"the helper process ended by itself ({_describe_end(returncode)})",
            answered=last_words,
            hint=KILLED_HINT if returncode == -signal.SIGKILL else self._hint,
        )
        self._fail(failure, sink, scope)

    def _fail(self, failure: ComponentError, sink: HelperSink, scope: trio.CancelScope) -> None:
        self.failure = failure
        sink.ended(failure)
        scope.cancel()

    async def end(self) -> None:
        """Ends the process: closes its standard input, kills it after `LEAVE_S`. Shielded from cancellation."""
        with trio.CancelScope(shield=True):
            await self._stdin.aclose()
            with trio.move_on_after(LEAVE_S):
                await self._process.wait()
            self._process.kill()
            await self._process.wait()
            await self._stdout.aclose()
            await self._stderr.aclose()


def _describe_end(returncode: int | None) -> str:
    if returncode is None:
        return "its output is closed"
    if returncode >= 0:
        return f"exit status {returncode}"
    crashed = "its native code crashed, " if -returncode in CRASHES else ""
    return f"{crashed}killed by signal {-returncode}"


@asynccontextmanager
async def open_helper_process(
    command: Sequence[str], sink: HelperSink, *, hint: str = ""
) -> AsyncIterator[HelperProcess]:
    """Runs a command as a helper until the context is left; afterwards the process has ended.

    The helper has a session of its own, so that a Ctrl-C at the terminal does not reach it while it is needed.

    Args:
        command: the command and its arguments.
        sink: takes the helper's messages.
        hint: advice for an operator if the helper ends by itself.

    Raises:
        ComponentError: the helper can't be started; or it ended by itself, which also cancels the body.

    """
    try:
        process = await trio.lowlevel.open_process(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
    except OSError as error:
        raise ComponentError(f"the helper process can't be started: {error}") from error
    helper = HelperProcess(process, hint)
    try:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(helper.write)
            nursery.start_soon(helper.keep_stderr)
            nursery.start_soon(helper.read, sink, nursery.cancel_scope)
            yield helper
            nursery.cancel_scope.cancel()
    finally:
        await helper.end()
    if helper.failure is not None:
        raise helper.failure


@asynccontextmanager
async def open_kept_helpers(
    command: Sequence[str], sinks: Sequence[KeptSink], *, hint: str = ""
) -> AsyncIterator[None]:
    """Runs a command as several helpers, one for each sink; entering the context returns when all can be used.

    A helper that ends by itself after that is replaced by another.

    Args:
        command: the command and its arguments.
        sinks: take the helpers' messages.
        hint: advice for an operator if a helper ends by itself.

    Raises:
        ComponentError: a helper can't be started, at first or as a replacement, which also cancels the body.

    """
    failures: list[ComponentError] = []
    async with open_hidden_nursery() as nursery:
        started = [trio.Event() for _ in sinks]
        for sink, event in zip(sinks, started, strict=True):
            run = partial(open_helper_process, command, sink, hint=hint)
            nursery.start_soon(_keep, run, sink, event, failures, nursery.cancel_scope)
        for event in started:
            await event.wait()
        yield
        nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]


async def _keep(
    run: Callable[[], AbstractAsyncContextManager[HelperProcess]],
    sink: KeptSink,
    started: trio.Event,
    failures: list[ComponentError],
    scope: trio.CancelScope,
) -> None:
    while True:
        usable = False
        try:
            async with run() as helper:
                await sink.start(helper)
                usable = True
                started.set()
                await trio.sleep_forever()
        except ComponentError as error:
            if not usable:  # the next one would not be either
                failures.append(error)
                scope.cancel()
                return
