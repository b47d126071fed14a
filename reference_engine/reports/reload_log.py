"""Makes log records of reloads: one for each outcome, whatever its trigger, and one for each retired version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_engine.reports.json_bodies import engine_outcome_body, outcome_body
from voicepipe import Applied, Plan, Rejected, Retired, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_engine.log.log import Log
    from reference_engine.reloads.outcomes import EngineOutcome
    from voicepipe import SetEvent


def reload_log(log: Log) -> Callable[[SetEvent], None]:
    """Returns an observer of pipeline sets that logs each outcome and each version that is retired."""

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
            case Unchanged(degraded=(_, *_)):
                body["problems"] = body.pop("degraded")
                log.warning(name, **body)
            case Unchanged():
                del body["degraded"]
                log.info(name, **body)
            case _:
                log.info(name, **body)

    return observe


def engine_reload_log(log: Log) -> Callable[[EngineOutcome], None]:
    """Returns an observer of reloads that logs each outcome of the engine's own file."""

    def observe(outcome: EngineOutcome) -> None:
        body = engine_outcome_body(outcome)
        name = f"engine.reload.{body.pop('outcome')}"
        del body["at"]
        if outcome.problems:
            body["problems"] = body.pop("errors")
            log.error(name, **body)
        else:
            log.info(name, **body)

    return observe
