"""Reloads: what asks for them by signal, and how their outcome is logged, once each, whoever asked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

from reference_engine.bodies import outcome_body
from voicepipe import Applied, Plan, Rejected, Retired

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from reference_engine.telemetry import Log
    from voicepipe import PipelineSet, SetEvent


async def reload_on_signals(hangups: AsyncIterator[int], sets: Mapping[str, PipelineSet]) -> None:
    """Reloads every set for each SIGHUP; a burst that comes during a reload makes one more.

    A SIGHUP that came before this began is not lost: the receiver that `hangups` is of has kept it.
    """
    async for _signal in hangups:
        async with trio.open_nursery() as nursery:
            for pipelines in sets.values():
                nursery.start_soon(partial(pipelines.reload, trigger="signal"))


def reload_log(log: Log) -> Callable[[SetEvent], None]:
    """What a pipeline set's observer does: one record for each outcome and each version that is gone."""

    def observe(event: SetEvent) -> None:
        if isinstance(event, Retired):
            log.info("version.retired", set=event.set, version=event.version)
            return
        body = outcome_body(event)
        name = f"reload.{body.pop('outcome')}"
        del body["at"]  # the record has its own time
        match event:
            case Rejected():
                body["problems"] = body.pop("errors")
                log.error(name, **body)
            case Applied(plan=Plan(degraded=(_, *_))):
                log.warning(name, **body, problems=body["plan"]["degraded"])
            case _:
                log.info(name, **body)

    return observe
