"""Schedules the garbage collector so that it delays no call.

By default Python collects when enough objects were made, which is while a reply is made and its caller waits. A full
collection takes 50 ms and more, in which no frame is written. It would find next to nothing: calls and retired versions
are built without reference cycles, so that their last reference frees them. So:

- Nearly all objects are code, settings and components, which live for hours. They are frozen: no look goes over them.
- While a call is up, a look goes over at most `FEW` objects, which takes a millisecond: the youngest of them four times
  a second, all that are not frozen once a minute. When there are more, as after a reload of a large file, they are
  frozen without a look. That costs nothing, and hides what is garbage among them for now.
- Everything is looked at, what is frozen too, once no call has been up and no version has changed for `QUIET_S`.
- An engine that is never quiet still needs a bound: a component's library may leave garbage behind in each call. When
  the process holds three times as much as after the last look at everything, the next one comes as soon as no agent
  speaks; when it holds four times as much, at once.
"""

from __future__ import annotations

import gc
import logging
import sys
from time import perf_counter
from typing import TYPE_CHECKING

import trio

from voicepipe.clock.clock import load_of_clocks

if TYPE_CHECKING:
    from typing import NoReturn

    from voicepipe.pipelines.outcome import SetEvent

_log = logging.getLogger("voicepipe")

LOOK_S = 0.25
"""The time between two collections of the youngest objects, in s."""

MIDDLE, OLD = 4, 240
"""Of so many looks, one goes over those that outlived one look, and one over all that are not frozen."""

FEW = 8_000
"""The most objects of a collection while a call is up; each takes 0.05 to 0.4 µs."""

QUIET_S = 10.0
"""For how long no call must have been up, and no version have changed, before everything is looked at, in s."""

GROWN, SWOLLEN = 3.0, 4.0
"""How many times as much the process holds as after the last look at everything before there is another in spite of
calls: when no agent speaks, and in any case. What reloads bring to stay must not be taken for garbage: ten versions of
1,000 pipelines double it."""

LAST_RESORT = 1_000_000
"""New objects upon which the collector comes by itself: something makes more of them within `LOOK_S` than calls do."""


class Collector:
    """The garbage collector of a process, kept from holding up its calls; there is one for a process.

    Let `run` go on beside the pipeline sets, and give them `observe_set` as their observer. It finds out by itself
    whether calls are up: those of all runtimes of the same `trio.run`.
    """

    def __init__(self) -> None:
        self._changed = False  # a version was applied or retired, since the last tick
        self._quiet_at: float | None = None  # when everything is due to be looked at; None: there is no need
        self._blocks = 0  # of memory that were in use after the last look at everything
        self._looks = 0

    def observe_set(self, event: SetEvent) -> None:
        """Takes in what pipeline sets do: old versions are to be looked for in the next quiet moment."""
        del event
        self._changed = True

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled, and leaves the collector as it was."""
        thresholds = gc.get_threshold()
        gc.set_threshold(LAST_RESORT, LAST_RESORT, LAST_RESORT)
        try:
            self._look_at_everything()
            while True:
                await trio.sleep(LOOK_S)
                self._look()
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()

    def _look(self) -> None:
        calls, speaking = load_of_clocks()
        self._looks += 1
        if calls or speaking or self._changed:
            self._changed, self._quiet_at = False, trio.current_time() + QUIET_S
        if self._quiet_at is not None and trio.current_time() >= self._quiet_at:
            self._look_at_everything()
        elif self._looks % OLD == 0:
            _look_at_few(2)
        elif self._looks % MIDDLE:
            _look_at_few(0)
        elif sys.getallocatedblocks() > self._blocks * (SWOLLEN if speaking else GROWN):
            began = perf_counter()
            self._look_at_everything()
            if calls:
                took_ms = round((perf_counter() - began) * 1000)
                _log.info("The garbage collector held up %d calls for %d ms, for memory had grown.", calls, took_ms)
        else:
            _look_at_few(1)

    def _look_at_everything(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._quiet_at, self._blocks = None, sys.getallocatedblocks()


def _look_at_few(oldest: int) -> None:
    """Looks at the generations up to the oldest one given, or freezes everything if there are too many objects."""
    # The collector's own count falls when old objects are freed, so it may be too low; counting takes 10 ns an object.
    if gc.get_count()[0] <= FEW and sum(len(gc.get_objects(age)) for age in range(oldest + 1)) <= FEW:
        gc.collect(oldest)
        return
    if oldest:
        _look_at_few(oldest - 1)
    gc.freeze()
