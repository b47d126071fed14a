"""Ends calls that hold an older version `drain_deadline_s` after it was replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reference_engine.calls.answering import HeldCall
    from reference_engine.settings.settings import CurrentSettings
    from voicepipe import PipelineSet

LOOK_S = 1.0
"""How often calls are looked at, in s: how much later than `drain_deadline_s` a call may be ended."""


async def drain_superseded(
    calls: Iterable[HeldCall], sets: Mapping[str, PipelineSet], current: CurrentSettings
) -> None:
    """Drains each call `drain_deadline_s` after a newer version began to serve or its set was removed.

    Runs until it is cancelled; without a deadline no call is drained.
    """
    while True:
        await trio.sleep(LOOK_S)
        now, deadline_s = trio.current_time(), current.settings.drain_deadline_s
        for held in calls:
            if held.replaced_at is None and _is_replaced(held, sets):
                held.replaced_at = now
            if deadline_s is not None and held.replaced_at is not None and now - held.replaced_at >= deadline_s:
                held.drain()


def _is_replaced(held: HeldCall, sets: Mapping[str, PipelineSet]) -> bool:
    return sets.get(held.pipelines.name) is not held.pipelines or held.pipelines.current is not held.snapshot
