"""A helper process: what would crash, block or hold state here works there, behind messages over pipes.

A message is a header in network order (kind u8, request u32, size of the payload u32) and its payload. What
kinds and payloads mean is between an adapter and its helper. A helper leaves when its standard input ends, so
it never outlives this process, however that ends.
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
"""Kind, request, size of the payload in bytes."""

LEAVE_S = 0.5
"""How long a helper may take to leave before it is killed; also how long its last words are waited for."""

MESSAGES_AHEAD = 64
"""How many messages may wait to be written before `send` waits."""

MOST_BYTES = 1 << 26
"""The longest payload that is taken, in bytes: a header that announces more is none."""

LAST_WORDS = 2000
"""How much of its standard error is kept, in bytes."""

CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE}
"""What native code ends a process with when it finds itself at fault."""


KILLED_HINT = "somebody killed it, or the system did: is there memory left?"


class HelperSink(Protocol):
    """Where a helper's messages go; both methods are synchronous, quick and do not raise."""

    def message(self, kind: int, request: int, payload: bytes) -> None:
        """The helper says something."""

    def ended(self, error: ComponentError) -> None:
        """The helper ended though nobody asked it to; nothing comes after this."""


class KeptSink(HelperSink, Protocol):
    """Where the messages of a helper go that is started again when it has ended."""

    async def start(self, helper: HelperProcess) -> None:
        """Returns when the helper, which is a new one, can be used; raises `ComponentError` if it can't."""


class HelperProcess:
    """A running helper."""

    def __init__(self, process: trio.Process, hint: str = "") -> None:
        assert process.stdin  # noqa: S101 - for mypy: all three are pipes
        assert process.stdout  # noqa: S101
        assert process.stderr  # noqa: S101
        self._process, self._hint = process, hint
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._outbox, self._posted = trio.open_memory_channel[bytes](inf)  # callers bound what they ask for
        self._unwritten = 0
        self._room = trio.lowlevel.ParkingLot()
        self._last_words = bytearray()
        self._spoken = trio.Event()
        self.failure: ComponentError | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
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
        """Hands on what is posted."""
        async with self._posted:
            with suppress(trio.BrokenResourceError):  # it ended, which `read` notices
                async for message in self._posted:
                    await self._stdin.send_all(message)
                    self._unwritten -= 1
                    self._room.unpark()

    async def listen(self) -> None:
        """Keeps the end of what it writes to standard error."""
        async for said in self._stderr:
            self._last_words += said
            del self._last_words[:-LAST_WORDS]
        self._spoken.set()

    async def last_words(self) -> str:
        """The end of what it wrote to standard error, when it has left; after `LEAVE_S`, what there is."""
        with trio.move_on_after(LEAVE_S):
            await self._process.wait()
            await self._spoken.wait()
        return self._last_words.decode(errors="replace").strip()

    async def read(self, sink: HelperSink, scope: trio.CancelScope) -> None:
        """Delivers its messages until it ends, then cancels the scope."""
        received = bytearray()
        async for data in self._stdout:
            received += data
            at = 0
            while len(received) - at >= HEADER.size:
                kind, request, size = HEADER.unpack_from(received, at)
                if size > MOST_BYTES:
                    said = repr(bytes(received[at : at + 50]))
                    self._fail(ComponentError("the helper process says what can't be read", answered=said), sink, scope)
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
            f"the helper process ended by itself ({_how(returncode)})",
            answered=last_words,
            hint=KILLED_HINT if returncode == -signal.SIGKILL else self._hint,
        )
        self._fail(failure, sink, scope)

    def _fail(self, failure: ComponentError, sink: HelperSink, scope: trio.CancelScope) -> None:
        self.failure = failure
        sink.ended(failure)
        scope.cancel()

    async def end(self) -> None:
        """Has it leave, or kills it; takes `LEAVE_S` at most and can't be cancelled."""
        with trio.CancelScope(shield=True):
            await self._stdin.aclose()
            with trio.move_on_after(LEAVE_S):
                await self._process.wait()
            self._process.kill()
            await self._process.wait()
            await self._stdout.aclose()
            await self._stderr.aclose()


def _how(returncode: int | None) -> str:
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
    """Runs a command as a helper until the context is left; it then has ended.

    The helper gets a session of its own: a Ctrl-C at the terminal is for us, and we still need it to say goodbye.

    Args:
        command: what to run.
        sink: where its messages go.
        hint: what an operator can do if it ends by itself, such as by a crash over the files that it was given.

    Raises:
        ComponentError: it can't be started; or it ended by itself, which cancels what runs in the context.

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
            nursery.start_soon(helper.listen)
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
    """Runs a command as several helpers, one for each sink, all of which are started when the context is entered.

    One that ends by itself after it was started is followed by another.

    Args:
        command: what to run.
        sinks: where their messages go.
        hint: as in `open_helper_process`.

    Raises:
        ComponentError: one can't be started, the first time or later, which cancels what runs in the context.

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
            if not usable:  # and so would be the next
                failures.append(error)
                scope.cancel()
                return
