"""The collector's part in R14: what a retired version leaves behind is found although it was frozen."""

from __future__ import annotations

import gc
import weakref
from datetime import UTC, datetime

import trio

from voicepipe import Applied, Collector, Plan, Retired
from voicepipe.collector import ALL, YOUNG_S


class Cycle:
    """Something that only the collector can free."""

    def __init__(self):
        self.itself = self


async def test_what_is_there_is_frozen_and_what_retires_is_freed(autojump_clock):
    thresholds, collector = gc.get_threshold(), Collector()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(collector.run)
        await trio.sleep(1)
        assert gc.get_threshold()[0] > thresholds[0]  # it comes by the clock
        frozen = gc.get_freeze_count()
        assert frozen > 1000

        remains = weakref.ref(Cycle())
        applied = Applied(
            set="main",
            version=2,
            trigger="api",
            at=datetime.now(UTC),
            seconds=0.0,
            digest="",
            plan=Plan(),
            logging=None,
        )
        collector.observe_set(applied)
        assert gc.get_freeze_count() > frozen
        gc.collect()
        assert remains() is not None

        collector.observe_set(Retired(set="main", version=1))
        await trio.sleep(ALL * YOUNG_S)
        assert remains() is None
        assert gc.get_freeze_count() > 1000
        nursery.cancel_scope.cancel()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() == thresholds
