"""The garbage collector, kept away from what is there to stay.

A full collection looks at every object of the process and takes tens of milliseconds, in which no frame is written.
Nearly all objects are code, settings and components, which live for hours: they are frozen, so that a collection
looks only at what calls make. What a retired version leaves behind in cycles is looked for a little later, once for
all versions that retire meanwhile.
"""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import trio

from voicepipe import Applied, Retired

if TYPE_CHECKING:
    from typing import NoReturn

    from voicepipe import SetEvent

AFTER_S = 10.0
"""How long after a version has retired its remains are collected, in s."""


class Collector:
    """Freezes what a start and a reload bring, and thaws it for a moment when a version has retired."""

    def __init__(self) -> None:
        self._retired = trio.Event()

    def observe_set(self, event: SetEvent) -> None:
        """Takes in what pipeline sets do."""
        if isinstance(event, Applied):
            gc.freeze()
        elif isinstance(event, Retired):
            self._retired.set()

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled, and leaves the collector as it was."""
        try:
            while True:
                _collect_and_freeze()
                await self._retired.wait()
                await trio.sleep(AFTER_S)
                self._retired = trio.Event()
        finally:
            gc.unfreeze()


def _collect_and_freeze() -> None:
    gc.unfreeze()
    gc.collect()
    gc.freeze()
