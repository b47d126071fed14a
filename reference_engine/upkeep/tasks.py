"""Restarts the engine's own tasks when they fail: an exception is logged, and the task is started again.

Upkeep is everything that an engine does besides calls: reading files, watching them, answering requests, notifying
systemd. It runs in a nursery around the one of the calls, so an exception that reached that nursery would end all
calls.
"""

from __future__ import annotations

from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reference_engine.log.log import Log

FIRST_PAUSE_S = 1.0
"""Pause before a task is restarted after its first failure, in s; it doubles with each further failure."""

MAX_PAUSE_S = 60.0
"""The longest such pause, in s. If a task ran for longer than this, its next pause is `FIRST_PAUSE_S` again."""


async def restart_on_failure(task: str, run: Callable[[], Awaitable[object]], log: Log, **fields: str) -> None:
    """Runs a task until it returns or is cancelled, and restarts it with exponential backoff if it raises.

    Args:
        task: the task's name in the log.
        run: the task; called again after an exception.
        log: gets `upkeep.failed` for each exception, with a traceback for the first from each place.
        fields: further fields of that record, such as `set`.

    """
    pause = FIRST_PAUSE_S
    seen: set[object] = set()
    failed = True
    while failed:
        began, failed = trio.current_time(), False
        try:
            await run()
        # `except*` lets a cancellation in the same group propagate.
        except* Exception as errors:  # noqa: BLE001
            failed, error = True, single(errors)
            if trio.current_time() - began > MAX_PAUSE_S:
                pause = FIRST_PAUSE_S
            log.error(  # noqa: TRY400 - the traceback is in the fields, the first time
                "upkeep.failed",
                task=task,
                **fields,
                reason=_type_and_message(error),
                again_s=pause,
                **_traceback_once(error, seen),
            )
        if failed:
            await trio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)


class GuardedObserver:
    """Calls an observer of the engine's sets or of its file, and logs what it raises.

    Args:
        observe: the observer.
        log: gets `observer.failed` for each exception, with a traceback for the first from each place.

    """

    def __init__(self, observe: Callable[[Any], None], log: Log) -> None:
        self._observe, self._log = observe, log
        self._seen: set[object] = set()

    def __call__(self, event: object) -> None:
        """Calls the observer with an event; never raises."""
        try:
            self._observe(event)
        except Exception as error:  # noqa: BLE001 - the boundary of an observer
            self._log.error(
                "observer.failed",
                observer=getattr(self._observe, "__qualname__", repr(self._observe)),
                of=type(event).__name__,
                reason=_type_and_message(error),
                **_traceback_once(error, self._seen),
            )


def single(error: Exception) -> Exception:
    """Returns the only exception of a group, also of nested groups; a group of several is returned as it is."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error


def _type_and_message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _traceback_once(error: Exception, seen: set[object]) -> dict[str, Exception]:
    """Returns `exc_info` for a log record; nothing if an exception of this type from this line is in `seen`."""
    frames = extract_tb(error.__traceback__, limit=-1)
    place = (type(error), *((frame.filename, frame.lineno) for frame in frames))
    if place in seen:
        return {}
    seen.add(place)
    return {"exc_info": error}
