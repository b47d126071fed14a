"""Restarts the engine's own tasks: an exception of one of them is logged, and the task begins anew.

Upkeep is all that an engine does besides calls: reading files, watching them, answering requests, telling systemd.
Calls run beside it, and an exception of upkeep that reached the nursery around both would end all of them.
"""

from __future__ import annotations

from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reference_engine.log.log import Log

FIRST_S = 1.0
"""How long after its first failure a task begins anew, in s; the pause doubles with each further one."""

LONGEST_S = 60.0
"""The longest such pause, in s; after a task ran for longer than that, the pause is the first again."""


async def keep_up(task: str, run: Callable[[], Awaitable[object]], log: Log, **fields: str) -> None:
    """Runs a task of upkeep until it returns or is cancelled; after an exception it begins anew, with backoff.

    The log gets `upkeep.failed` for each exception; the traceback is in the first one of its kind.

    Args:
        task: what the log calls it.
        run: the task; called anew after an exception.
        log: told of exceptions.
        fields: further fields of the record, such as `set`.

    """
    pause = FIRST_S
    seen: set[object] = set()
    failed = True
    while failed:
        began, failed = trio.current_time(), False
        try:
            await run()
        # A cancellation in the same group goes on its way.
        except* Exception as errors:  # noqa: BLE001
            failed, error = True, single(errors)
            if trio.current_time() - began > LONGEST_S:
                pause = FIRST_S
            log.error(  # noqa: TRY400 - the traceback is there the first time
                "upkeep.failed",
                task=task,
                **fields,
                reason=_type_and_message(error),
                again_s=pause,
                **_traceback_once(error, seen),
            )
        if failed:
            await trio.sleep(pause)
            pause = min(pause * 2, LONGEST_S)


class GuardedObserver:
    """An observer of the engine's sets or of its file whose exceptions are logged and go no further.

    Args:
        observe: whom events are given to.
        log: told of what that raises, as `observer.failed`: with its traceback the first time that it fails in a place.

    """

    def __init__(self, observe: Callable[[Any], None], log: Log) -> None:
        self._observe, self._log = observe, log
        self._seen: set[object] = set()

    def __call__(self, event: object) -> None:
        """Gives the observer an event."""
        try:
            self._observe(event)
        except Exception as error:  # noqa: BLE001 - an observer only looks on
            self._log.error(
                "observer.failed",
                observer=getattr(self._observe, "__qualname__", repr(self._observe)),
                of=type(event).__name__,
                reason=_type_and_message(error),
                **_traceback_once(error, self._seen),
            )


def single(error: Exception) -> Exception:
    """The one exception in a group, at whatever depth; a group of several as it is."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        (error,) = error.exceptions
    return error


def _type_and_message(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _traceback_once(error: Exception, seen: set[object]) -> dict[str, Exception]:
    """What makes a log record bear the traceback, unless one of that kind and from that place was logged already."""
    frames = extract_tb(error.__traceback__, limit=-1)
    place = (type(error), *((frame.filename, frame.lineno) for frame in frames))
    if place in seen:
        return {}
    seen.add(place)
    return {"exc_info": error}
