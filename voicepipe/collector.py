"""The garbage collector, kept from holding up calls.

Left to itself it comes whenever so many objects were made, which is while a reply is made and its caller waits. A full
collection looks at every object of the process and takes tens of milliseconds, in which no frame is written.

Nearly all objects are code, settings and components, which live for hours: they are frozen, so that nothing looks at
them. Calls free what is theirs without the collector. What little is left to it, it collects by the clock: the youngest
often and in next to no time, the others once a minute. When a version has retired, what is frozen is looked at with
them: there may be something of it in cycles.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import trio

from voicepipe.pipelines.outcome import Applied, Retired

if TYPE_CHECKING:
    from typing import NoReturn

    from voicepipe.pipelines.pipeline_set import SetEvent

YOUNG_S = 0.25
"""How often the youngest objects are looked at, in s."""

ALL = 240
"""Of so many times, all that are not frozen are looked at once: every minute."""

AT_ONCE = 100_000
"""New objects upon which the collector comes at once: something makes more of them than calls do."""


class Collector:
    """Freezes what a start and a reload bring, and collects the rest by the clock; one for a process.

    Give `observe_set` to the pipeline sets as their observer, and let `run` go on beside them.
    """

    def __init__(self) -> None:
        self._retired = False

    def observe_set(self, event: SetEvent) -> None:
        """Takes in what pipeline sets do."""
        if isinstance(event, Applied):
            gc.freeze()
        elif isinstance(event, Retired):
            self._retired = True

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled, and leaves the collector as it was."""
        thresholds = gc.get_threshold()
        gc.set_threshold(AT_ONCE, *thresholds[1:])
        try:
            _collect_and_freeze()
            while True:
                for _ in range(ALL):
                    await trio.sleep(YOUNG_S)
                    gc.collect(0)
                if self._retired:
                    self._retired = False
                    _collect_and_freeze()
                else:
                    gc.collect()
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()


def _collect_and_freeze() -> None:
    gc.unfreeze()
    gc.collect()
    gc.freeze()
