"""Telling a call's observer what happens, with the call's name and the time in it. It never raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.calls.events import CallEvent, Observer
    from voicepipe.components.observers import ObserverReports


class Telling:
    """Makes events and gives them to the observer; without one they are not even made.

    Args:
        call_id: what they all bear.
        observer: who is told.
        reports: where it is said what the observer raises.

    """

    def __init__(self, call_id: str, observer: Observer | None, reports: ObserverReports) -> None:
        self._call_id = call_id
        self._observer = None if observer is None else reports.guard(observer)
        self._began = trio.current_time()

    @property
    def at_s(self) -> float:
        """Seconds since the call began."""
        return trio.current_time() - self._began

    def __call__(self, event: Callable[..., CallEvent], **fields: Any) -> None:
        """Tells of an event of that class, with these fields besides `call_id` and `at_s`."""
        if self._observer is not None:
            self._observer(event(call_id=self._call_id, at_s=self.at_s, **fields))

    def end(self) -> None:
        """That was the last event."""
        self._observer = None
