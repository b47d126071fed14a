"""Observers: functions of a program that are told what happens, and what becomes of one that raises.

An observer is called on the path of whatever it is told about: in the task that plays for all calls, in the middle of a
component's stream, in a reload. What it raises must end none of these, and is nobody's fault but its own. So each is
called through a guard, which reports by Python's `logging` who raised what. It does so once: an observer that is broken
is broken for each of some thousand events an hour. It could not be an event: those go to the observer.
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
"""Where what observers raise is reported, at ERROR, with the traceback and the observer's name as `observer`."""


class ObserverReports:
    """What observers have raised, which is reported once for each observer and type of exception.

    All calls of a runtime share one: a thousand calls with the same broken observer make one report.
    """

    def __init__(self) -> None:
        self._made: set[Hashable] = set()

    def guard(self, observer: Callable[P, object]) -> Callable[P, None]:
        """The observer as one that does not raise: its exceptions are reported, `SystemExit` too."""

        def observe(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                if isinstance(told := observer(*args, **kwargs), Coroutine):
                    told.close()
                    raise TypeError("it is an async function: an observer is called and not awaited")  # noqa: TRY301
            except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's code, on a path that many share
                self.report(observer, error)

        return observe

    def report(self, observer: Callable[..., object], error: Exception | SystemExit) -> None:
        """Logs what an observer raised, unless it has raised that type of exception before."""
        name, code = name_of(observer), getattr(_unwrapped(observer), "__code__", None)
        of: Hashable = (name, code, type(error))
        if of in self._made:
            return
        self._made.add(of)
        with suppress(Exception):  # a log's handlers are somebody else's code too
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
    """Where an observer is defined: `module.qualname` of its function or, of an object that is callable, its class."""
    function = _unwrapped(observer)
    named = function if hasattr(function, "__qualname__") else type(function)
    module = getattr(named, "__module__", None)
    return f"{module}.{named.__qualname__}" if module else named.__qualname__


def _unwrapped(observer: Callable[..., object]) -> Callable[..., object]:
    """What is called in the end, past `functools.partial` and bound methods."""
    while isinstance(observer, partial):
        observer = observer.func
    function: Callable[..., object] = getattr(observer, "__func__", observer)
    return function
