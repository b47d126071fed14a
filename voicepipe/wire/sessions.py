"""Sessions of streams with a helper process.

    async with open_helper([sys.executable, "-P", "-m", "acme.helper", model], timeout_s=10) as helper:
        async with helper.open_session() as session:           # for one stream
            await session.send({"speak": "Good morning."})
            message = await session.due()

Theory of operation
===================

`wire.process` moves messages; this module gives each stream of an adapter its own session over the one pair of pipes.
`voicepipe.wire.helper` is the helper's side.

- Sessions have numbers. The first message with a number makes the session in the helper, CLOSED removes it. Numbers are
  not used again, so messages that still come for a closed session are dropped.
- Ready or refused. The helper loads its library, then sends READY, or REFUSED with the reason. `open_helper` returns
  only after that, so that a reload with a bad model is rejected before any call uses it.
- Backpressure. From the helper: a session may have `wire.WINDOW` messages that were not received. `receive` counts
  them, and returns credit (MORE) after each half of the window; without credit the helper works on other sessions. To
  the helper: `send` waits for room in the pipe.
- Deadlines. `due` waits for a message that the helper owes, and `send` for the helper to accept one: both raise a
  `ComponentError` after `timeout_s`. `receive` has no deadline: it is for messages that come when a caller speaks. A
  session that waits too long says nothing about the others, so it fails alone.
- Failure. FAILED ends one session. The end of the process ends them all: each waiting task gets a copy of the error,
  since a traceback belongs to one task.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from copy import copy
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.errors import ComponentError
from voicepipe.wire import helper as wire
from voicepipe.wire.deadlines import answer_due, taking
from voicepipe.wire.process import open_helper_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from voicepipe.wire.process import HelperProcess

__all__ = ["Helper", "HelperSession", "open_helper"]

TAKEN = wire.WINDOW // 2
"""The number of received messages after which the helper gets credit for as many more."""


class HelperSession:
    """The messages of one stream to and from the helper: objects, and audio as bytes."""

    def __init__(self, process: HelperProcess, number: int, timeout_s: float) -> None:
        self._process, self._number, self._timeout_s = process, number, timeout_s
        # Bounded by the helper, which sends no more than its window.
        self.arrived, self._messages = trio.open_memory_channel[bytes | dict[str, Any] | ComponentError](inf)
        self._taken = 0

    async def send(self, message: bytes | dict[str, Any]) -> None:
        """Sends a message.

        Raises:
            ComponentError: the helper accepted nothing for `timeout_s`.

        """
        if isinstance(message, bytes):
            kind, payload = wire.BYTES, message
        else:
            kind, payload = wire.JSON, json.dumps(message).encode()
        with taking(self._timeout_s):
            await self._process.send(kind, self._number, payload)

    async def receive(self) -> bytes | dict[str, Any]:
        """Returns the next message, without a time limit. A cancelled `receive` loses none.

        Raises:
            ComponentError: the helper failed for this stream, or has ended.

        """
        message = await self._messages.receive()
        if isinstance(message, ComponentError):
            raise copy(message)
        self._taken += 1
        if self._taken == TAKEN:
            self._process.post(wire.MORE, self._number, TAKEN.to_bytes(2))
            self._taken = 0
        return message

    async def due(self) -> bytes | dict[str, Any]:
        """Returns the next message, which must come within `timeout_s`. A cancelled `due` loses none.

        Raises:
            ComponentError: as for `receive`, or nothing came in time.

        """
        with answer_due(self._timeout_s):
            return await self.receive()


class Helper:
    """A helper process, shared by all streams."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._numbers = count(1)
        self._sessions: dict[int, HelperSession] = {}
        self._ready = trio.Event()
        self._refusal: ComponentError | None = None
        self.process: HelperProcess | None = None

    @asynccontextmanager
    async def open_session(self) -> AsyncIterator[HelperSession]:
        """Opens a session for one stream; leaving the context removes it in the helper."""
        assert self.process is not None  # noqa: S101 - `open_helper` sets it before it returns this object
        number = next(self._numbers)
        session = self._sessions[number] = HelperSession(self.process, number, self._timeout_s)
        try:
            yield session
        finally:
            del self._sessions[number]
            self.process.post(wire.CLOSED, number)

    async def wait_ready(self) -> None:
        """Returns when the helper has loaded its library.

        Raises:
            ComponentError: the helper refused, or has ended.

        """
        await self._ready.wait()
        if self._refusal is not None:
            raise self._refusal

    def message(self, kind: int, request: int, payload: bytes) -> None:
        """Takes a message of the helper."""
        match kind:
            case wire.READY:
                self._ready.set()
            case wire.REFUSED:
                self._refuse(ComponentError(payload.decode(errors="replace"), retryable=False))
            case wire.JSON | wire.BYTES | wire.FAILED:
                if session := self._sessions.get(request):
                    session.arrived.send_nowait(_read(kind, payload))
            case _:
                self._refuse(
                    ComponentError("the helper process sent an unreadable message", answered=repr(payload[:50]))
                )

    def ended(self, error: ComponentError) -> None:
        """Takes the error of a helper that has ended, and fails all sessions."""
        self._refuse(error)

    def _refuse(self, error: ComponentError) -> None:
        self._refusal = self._refusal or error
        self._ready.set()
        for session in self._sessions.values():
            session.arrived.send_nowait(error)


def _read(kind: int, payload: bytes) -> bytes | dict[str, Any] | ComponentError:
    """Decodes a message for its session."""
    if kind == wire.BYTES:
        return payload
    if kind == wire.FAILED:
        return ComponentError("failed in the helper process", answered=payload.decode(errors="replace"))
    try:
        message = json.loads(payload)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        return ComponentError("the helper process sent an unreadable message", answered=repr(payload[:50]))
    return message


@asynccontextmanager
async def open_helper(command: Sequence[str], *, timeout_s: float, hint: str = "") -> AsyncIterator[Helper]:
    """Runs a helper until the context is left; entering it returns when the helper is ready.

    Args:
        command: the command of a script that calls `voicepipe.wire.helper.serve`.
        timeout_s: the time limit for a message that the helper owes or must accept, in s.
        hint: advice for an operator if the helper refuses, or ends by itself.

    Raises:
        ComponentError: the helper can't be started or refused; or it ended by itself, which also cancels the body.

    """
    helper = Helper(timeout_s)
    async with open_helper_process(command, helper, hint=hint) as helper.process:
        try:
            await helper.wait_ready()
        except ComponentError as error:
            error.hint = error.hint or hint
            raise
        yield helper
