"""What the engine says in JSON: the same shapes in HTTP bodies and in log records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from voicepipe import Applied, Rejected, Unchanged, problems_as_data

if TYPE_CHECKING:
    from reference_engine.sessions import Session
    from voicepipe import PipelineSet, Plan, ReloadOutcome


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
            plan = {"plan": plan_body(outcome.plan), "summary": str(outcome.plan)}
            return {**said, "outcome": "applied", "version": outcome.version, "digest": outcome.digest, **plan}
        case Unchanged():
            return {**said, "outcome": "unchanged", "version": outcome.version, "digest": outcome.digest}
        case Rejected():
            errors = problems_as_data(outcome.problems)
            serving = {"serving_version": outcome.version, "digest": outcome.digest}
            return {**said, "outcome": "rejected", **serving, "errors": errors}


def set_body(pipelines: PipelineSet) -> dict[str, Any]:
    """Where a set stands: what serves, which versions calls still hold, and how the last reload went."""
    current = pipelines.current
    return {
        "set": pipelines.name,
        "file": str(pipelines.path),
        "version": current.version,
        "digest": current.digest,
        "active_pipeline": current.config.active_pipeline,
        "pipelines": list(current.pipelines),
        "versions": [
            {
                "version": record.version,
                "state": record.state,
                "calls": record.calls,
                "digest": record.digest,
                "active_pipeline": record.active_pipeline,
                "applied_at": record.applied_at.isoformat(),
                "trigger": record.trigger,
            }
            for record in pipelines.history
        ],
        "last_attempt": outcome_body(pipelines.last_attempt) if pipelines.last_attempt else None,
    }


def session_body(session: Session) -> dict[str, Any]:
    """One call as it stands."""
    return {**asdict(session), "since": session.since.isoformat()}
