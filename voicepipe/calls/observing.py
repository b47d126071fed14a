"""Reports the events of a call to its observers, each with the call's name and the time in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voicepipe.calls.events import CallEvent, Observer
    from voicepipe.components.observers import ObserverReports


class EventEmitter:
    """Makes events and gives them to the observers; without an observer, none is made. It never raises.

    Args:
        call_id: the call's name, which every event bears.
        observers: get the events, one after the other; a None among them is skipped.
        reports: logs what an observer raises.

    """

    def __init__(self, call_id: str, observers: Iterable[Observer | None], reports: ObserverReports) -> None:
        self._call_id = call_id
        self._observers = tuple(reports.guard(observer) for observer in observers if observer is not None)
        self._began = trio.current_time()

    @property
    def at_s(self) -> float:
        """Seconds since the call began."""
        return trio.current_time() - self._began

    def in_call(self, at: float | None) -> float | None:
        """Returns a time of trio's clock in seconds since the call began; None stays None."""
        return None if at is None else max(0.0, at - self._began)

    def __call__(self, event: Callable[..., CallEvent], **fields: Any) -> None:
        """Reports an event.

        Args:
            event: its class.
            fields: its fields besides `call_id` and `at_s`.

        """
        if self._observers:
            made = event(call_id=self._call_id, at_s=self.at_s, **fields)
            for observer in self._observers:
                observer(made)

    def end(self) -> None:
        """Ends the reports: the last event has been reported."""
        self._observers = ()
