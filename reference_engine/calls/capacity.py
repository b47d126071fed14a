"""Decides whether a further call is taken: counts the calls that are up, and pauses listeners at `max_calls`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

from voicepipe import AudioSocketListener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from reference_engine.log.log import Log
    from reference_engine.reports.metrics import Metrics
    from reference_engine.settings.settings import CurrentSettings
    from voicepipe import Listener


class CallSlots(Protocol):
    """The `max_calls` places for calls of an engine of several workers, of which somebody else keeps the count."""

    full: bool
    """Whether all of them were taken when the count was last told."""
    up: int
    """The number of calls that were up then, over all workers."""

    async def take(self) -> int | None:
        """Takes a place for a call, and returns its number; None: all are taken."""

    def free(self, slot: int) -> None:
        """Gives a place back."""


class Capacity:
    """The calls that are up, against `max_calls` of the settings in force.

    At the limit the listeners are paused, so that a call is refused before it begins: one over a WebSocket gets 503,
    and AudioSocket's next connection is refused by the kernel. AudioSocket's listeners with another `when_full` stay
    open: their calls connect, give their UUID, and are refused one by one.

    Args:
        current: the settings in force.
        listeners: by name; looked up whenever the limit is reached or left, so they may be opened later.
        metrics: gets `voicepipe_full`.
        log: gets `engine.full` and `engine.has_room`.
        slots: the places of all workers, whose supervisor counts them and logs that they are taken; None: this process
            is the whole engine.

    Attributes:
        calls: the number of calls that are up in this process.
        paused: whether an operator wants no new calls.

    """

    def __init__(
        self,
        current: CurrentSettings,
        listeners: Mapping[str, Listener],
        metrics: Metrics,
        log: Log,
        slots: CallSlots | None = None,
    ) -> None:
        self._current, self._listeners, self._metrics, self._log = current, listeners, metrics, log
        self._slots = slots
        self._full = self._refusing = False
        self.calls = 0
        self.paused = False

    @property
    def calls_of_all(self) -> int:
        """The number of calls that are up, over all workers."""
        return self.calls if self._slots is None else self._slots.up

    @property
    def is_full(self) -> bool:
        """Whether a further call must be refused."""
        if self._slots is not None:
            return self._slots.full
        limit = self._current.settings.max_calls
        return limit is not None and self.calls >= limit

    @asynccontextmanager
    async def admit_call(self) -> AsyncIterator[bool]:
        """Counts a call for as long as the block runs; yields False if other workers have taken the last place.

        In an engine of one process it neither waits nor yields False: there `is_full` is exact.
        """
        slot = None if self._slots is None else await self._slots.take()
        if slot is None and self._slots is not None:
            yield False
            return
        self.calls += 1
        self.update()
        try:
            yield True
        finally:
            self.calls -= 1
            if self._slots is not None and slot is not None:
                self._slots.free(slot)
            self.update()

    def pause(self, paused: bool) -> None:
        """Takes no new calls until this is called again with False; calls that are up go on."""
        if paused == self.paused:
            return
        self.paused = paused
        if paused:
            self._log.info("engine.paused", calls=self.calls)
        else:
            self._log.info("engine.resumed", calls=self.calls)
        self.update()

    def update(self) -> None:
        """Pauses or resumes listeners if the limit was reached or left.

        To be called whenever the number of calls, of any worker, or `max_calls` has changed.
        """
        full = self.is_full
        self._refuse_calls(full or self.paused)
        if full == self._full:
            return
        self._full = full
        self._metrics.observe_full(full)
        if self._slots is not None:
            return
        limit = self._current.settings.max_calls
        if full:
            self._log.warning("engine.full", calls=self.calls, max_calls=limit)
        else:
            self._log.info("engine.has_room", calls=self.calls, max_calls=limit)

    def _refuse_calls(self, refusing: bool) -> None:
        if refusing == self._refusing:
            return
        self._refusing = refusing
        for listener in self._listeners.values():
            if isinstance(listener, AudioSocketListener) and listener.when_full != "close_listener":
                continue
            if refusing:
                listener.pause()
            else:
                listener.resume()
