"""What the engine says in JSON: the same shapes in HTTP bodies and in log records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict

from reference_engine.reports.ended_calls import EndedCall
from voicepipe import Applied, Rejected, Unchanged, effective_config, problems_as_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reference_engine.reloads.outcomes import EngineOutcome, Reloaded
    from reference_engine.reports.sessions import Session
    from voicepipe import ComponentHealth, PipelineSet, Plan, ReloadOutcome, VersionRecord


def plan_body(plan: Plan) -> dict[str, Any]:
    """What a reload changed: components opened, kept, closed; pipelines added, changed, removed; what is degraded."""
    return {**asdict(plan, recurse=False), "degraded": problems_as_data(plan.degraded)}


def outcome_body(outcome: ReloadOutcome) -> dict[str, Any]:
    """What a reload came to: `outcome` says which of the three, the other keys are those of its kind."""
    said = {
        "set": outcome.set,
        "trigger": outcome.trigger,
        "at": outcome.at.isoformat(),
        "seconds": round(outcome.seconds, 3),
    }
    match outcome:
        case Applied():
            serves = {"version": outcome.version, "digest": outcome.digest, **_rolled_back(outcome)}
            return {
                **said,
                "outcome": "applied",
                **serves,
                "plan": plan_body(outcome.plan),
                "summary": str(outcome.plan),
            }
        case Unchanged():
            serves = {"version": outcome.version, "digest": outcome.digest, **_rolled_back(outcome)}
            return {**said, "outcome": "unchanged", **serves, "degraded": problems_as_data(outcome.degraded)}
        case Rejected():
            errors = problems_as_data(outcome.problems)
            serving = {"serving_version": outcome.version, "digest": outcome.digest, **_rolled_back(outcome)}
            return {**said, "outcome": "rejected", "reason": outcome.reason, **serving, "errors": errors}


def _rolled_back(outcome: Applied | Unchanged | Rejected) -> dict[str, int]:
    return {"rolled_back_to": outcome.rolled_back_to} if outcome.rolled_back_to is not None else {}


def engine_outcome_body(outcome: EngineOutcome) -> dict[str, Any]:
    """What reading the engine's file again came to."""
    said = {
        "outcome": outcome.outcome,
        "trigger": outcome.trigger,
        "at": outcome.at.isoformat(),
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.outcome == "rejected":
        return {**said, "errors": problems_as_data(outcome.problems)}
    if outcome.outcome == "unchanged":
        return said
    plan = asdict(outcome.plan, recurse=False, filter=lambda field, _: field.name != "restart")
    return {**said, "plan": {name: list(names) for name, names in plan.items()}, "summary": str(outcome.plan)}


def reloaded_body(reloaded: Reloaded, sets: Mapping[str, PipelineSet]) -> dict[str, Any]:
    """What a reload came to: of a single set its own outcome, else `sets`; `errors` has whatever is wrong anywhere."""
    outcomes = [outcome_body(outcome) for outcome in reloaded.sets]
    body: dict[str, Any] = outcomes[0] if len(outcomes) == 1 else {"sets": outcomes}
    if reloaded.engine is not None:
        body["engine"] = engine_outcome_body(reloaded.engine)
    if reloaded.rejected:
        engine = reloaded.engine.problems if reloaded.engine else ()
        problems = [problem for one in reloaded.sets if isinstance(one, Rejected) for problem in one.problems]
        body["errors"] = problems_as_data([*engine, *problems])
        if "set" in body:
            body.setdefault("serving_version", serving_version(sets.get(body["set"])))
    return body


def serving_version(pipelines: PipelineSet | None) -> int | None:
    """The version that the next call gets; None if nothing serves."""
    return pipelines.version if pipelines is not None else None


def serves_last_known_good(pipelines: PipelineSet) -> bool:
    """Whether a set serves what was kept of an earlier run, because its files are not fit."""
    return pipelines.last_known_good and isinstance(pipelines.last_attempt, Rejected)


_NOTHING_SERVES: Mapping[str, Any] = {
    "version": None,
    "digest": None,
    "active_pipeline": None,
    "pipelines": [],
    "degraded": [],
    "components": [],
    "versions": [],
    "last_known_good": False,
}


def set_body(pipelines: PipelineSet, state: Literal["serving", "removed"] = "serving") -> dict[str, Any]:
    """Where a set stands: what serves, which versions calls still hold, and how the last reload went."""
    last = outcome_body(pipelines.last_attempt) if pipelines.last_attempt else None
    if pipelines.version is None:
        return unopened_set_body(pipelines.name, pipelines.path) | {
            "state": "rejected" if isinstance(pipelines.last_attempt, Rejected) else "opening",
            "last_attempt": last,
        }
    current = pipelines.current
    return {
        "set": pipelines.name,
        "state": state,
        "file": str(pipelines.path),
        "version": current.version,
        "digest": current.digest,
        "active_pipeline": current.config.active_pipeline,
        "pipelines": list(current.pipelines),
        "degraded": problems_as_data(pipelines.degraded),
        "components": [component_body(health) for health in current.components],
        "versions": [version_body(record) for record in pipelines.history],
        "last_known_good": serves_last_known_good(pipelines),
        "last_attempt": last,
    }


def unopened_set_body(name: str, path: Path) -> dict[str, Any]:
    """The body of a set that has no version and whose file has not been read yet."""
    return {"set": name, "state": "opening", "file": str(path), **_NOTHING_SERVES, "last_attempt": None}


def component_body(health: ComponentHealth) -> dict[str, Any]:
    """How a component of a set does, for all calls of the process."""
    error = health.error
    return {
        "role": health.role,
        "name": health.name,
        "adapter": health.adapter,
        "model": health.model,
        "state": health.state,
        "was_open": health.was_open,
        "retry_s": round(health.retry_s, 3),
        "error": {"message": error.message, "answered": error.answered, "hint": error.hint} if error else None,
        "successes": health.successes,
        "failures": health.failures,
        "excused": health.excused,
    }


def version_body(record: VersionRecord) -> dict[str, Any]:
    """One version of a set, in a list of them."""
    return {
        "version": record.version,
        "state": record.state,
        "calls": record.calls,
        "digest": record.digest,
        "active_pipeline": record.active_pipeline,
        "applied_at": record.applied_at.isoformat(),
        "trigger": record.trigger,
    }


def version_detail_body(pipelines: PipelineSet, record: VersionRecord) -> dict[str, Any]:
    """One version by itself: what it changed, and what it was built from, without any secret."""
    config = effective_config(pipelines.config_of(record.version))
    return {"set": pipelines.name, **version_body(record), "plan": plan_body(record.plan), "config": config}


def call_body(call: Session | EndedCall) -> dict[str, Any]:
    """How a call stands that somebody asks for, or what became of it."""
    said = {"call_id": call.call_id, "transport_id": call.transport_id, "set": call.set}
    if isinstance(call, EndedCall):
        at = call.ended.isoformat() if call.ended is not None else None
        return {**said, "state": "ended", "outcome": call.outcome, "detail": call.detail, "ended": at}
    return {**said, "state": call.state, "outcome": None, "detail": "", "ended": None}


def session_body(session: Session) -> dict[str, Any]:
    """One call as it stands."""
    return {**asdict(session), "since": session.since.isoformat()}
