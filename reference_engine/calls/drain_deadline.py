"""Ends calls that hold a replaced version `drain_deadline_s` after it was replaced.

This is the deadline of an old version, set by `drain_deadline_s`. The drain of a whole engine that stops is in
`lifecycle/stopping.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reference_engine.calls.answering import ActiveCall
    from reference_engine.settings.settings import CurrentSettings
    from voicepipe import PipelineSet

POLL_S = 1.0
"""Interval between checks of all calls, in s: a call may be ended this much after its deadline."""


async def end_superseded_calls(
    calls: Iterable[ActiveCall], sets: Mapping[str, PipelineSet], current: CurrentSettings
) -> None:
    """Drains each call `drain_deadline_s` after a newer version began to serve or its set was removed.

    Runs until it is cancelled. While `drain_deadline_s` is null no call is drained, but the time of the replacement is
    noted, so that a deadline which a reload sets later counts from there.
    """
    while True:
        await trio.sleep(POLL_S)
        now, deadline_s = trio.current_time(), current.settings.drain_deadline_s
        for active in calls:
            if active.replaced_at is None and _is_replaced(active, sets):
                active.replaced_at = now
            if deadline_s is not None and active.replaced_at is not None and now - active.replaced_at >= deadline_s:
                active.drain()


def _is_replaced(active: ActiveCall, sets: Mapping[str, PipelineSet]) -> bool:
    pipelines = active.pipelines
    return sets.get(pipelines.name) is not pipelines or pipelines.current is not active.snapshot
