"""Observers: functions of a program that are called for events, and the guard that contains their exceptions.

An observer is called in the task where the event happens: the ticker of all calls, a component's stream, a reload. Its
exceptions must end none of these. So it is called through a guard, which reports the exception with Python's `logging`,
once for each observer and type: a broken observer raises at each of some thousand events an hour. The report can't be
an event itself, because that would go to the broken observer.
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ParamSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

P = ParamSpec("P")

LOG = logging.getLogger("voicepipe.observers")
"""The logger for exceptions of observers: at ERROR, with the traceback and the observer's name as `observer`."""


class ObserverReports:
    """Guards observers, and reports their exceptions once for each observer and type.

    All calls of a runtime share one instance: a thousand calls with one broken observer make one report.
    """

    def __init__(self) -> None:
        self._reported: set[Hashable] = set()

    def guard(self, observer: Callable[P, object]) -> Callable[P, None]:
        """Returns a function that calls the observer, and reports its exceptions, `SystemExit` too."""

        def observe(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                if isinstance(result := observer(*args, **kwargs), Coroutine):
                    result.close()
                    raise TypeError("it is an async function: an observer is called and not awaited")  # noqa: TRY301
            except (Exception, SystemExit) as error:  # noqa: BLE001 - code of the program, in a task that calls share
                self.report(observer, error)

        return observe

    def report(self, observer: Callable[..., object], error: Exception | SystemExit) -> None:
        """Logs what an observer raised, unless it has raised that type of exception before."""
        name, code = name_of(observer), getattr(_unwrapped(observer), "__code__", None)
        key: Hashable = (name, code, type(error))
        if key in self._reported:
            return
        self._reported.add(key)
        with suppress(Exception):  # the handlers of a logger are code of the program too
            LOG.error(
                "the observer %s raised %s: %s; nothing else was affected, and what it raises of this type is not "
                "reported again",
                name,
                type(error).__name__,
                error,
                exc_info=error,
                extra={"observer": name},
            )


def name_of(observer: Callable[..., object]) -> str:
    """Returns `module.qualname` of an observer's function or, for a callable object, of its class."""
    function = _unwrapped(observer)
    named = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


def _unwrapped(observer: Callable[..., object]) -> Callable[..., object]:
    """Returns the function inside `functools.partial`s and a bound method."""
    while isinstance(observer, partial):
        observer = observer.func
    function: Callable[..., object] = getattr(observer, "__func__", observer)
    return function
