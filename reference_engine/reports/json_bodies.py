"""Makes JSON bodies of outcomes, sets, versions and calls, for HTTP answers and log records."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, evolve, fields

from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.log.private_words import redacted_value
from reference_engine.log.redacted_events import CallRedaction
from reference_engine.reports.ended_calls import EndedCall
from reference_engine.reports.json_types import LEFT_OUT, as_data
from reference_engine.reports.reload_bodies import (
    AppliedBody,
    EngineOutcomeBody,
    EnginePlanBody,
    PlanBody,
    ProblemBody,
    RejectedBody,
    SetOutcomeBody,
    SetsReloadedBody,
    UnchangedBody,
)
from reference_engine.reports.status_bodies import (
    AnnouncedBody,
    CallBody,
    CallsBody,
    ComponentBody,
    ComponentErrorBody,
    ConfigurationBody,
    DrainedBody,
    EngineFileBody,
    MessageBody,
    SessionBody,
    SetBody,
    SetsBody,
    VersionBody,
    VersionDetailBody,
    WithdrawnBody,
)
from voicepipe import Applied, LoggingSettings, RedactSettings, Rejected, Unchanged, effective_config, problems_as_data

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from reference_engine.records.history import StoredConfiguration
    from reference_engine.reloads.outcomes import EngineOutcome, ReloadResult
    from reference_engine.reports.sessions import Session
    from reference_engine.settings.changes import EnginePlan
    from voicepipe import (
        Call,
        ComponentHealth,
        Message,
        PipelineSet,
        Plan,
        Problem,
        ReloadOutcome,
        SetConfig,
        VersionRecord,
    )


def outcome_body(outcome: ReloadOutcome) -> dict[str, Any]:
    """Returns the JSON object of the outcome of a set's reload or rollback: one of `SetOutcomeBody`."""
    return as_data(_outcome(outcome))


def engine_outcome_body(outcome: EngineOutcome) -> dict[str, Any]:
    """Returns the JSON object of the outcome of a reload of the engine's file."""
    return as_data(_engine_outcome(outcome))


def reloaded_body(reloaded: ReloadResult, sets: Mapping[str, PipelineSet]) -> dict[str, Any]:
    """Returns the JSON object of a reload: of a single set its outcome, of several `SetsReloadedBody`."""
    engine = _engine_outcome(reloaded.engine) if reloaded.engine is not None else LEFT_OUT
    problems = [
        *(reloaded.engine.problems if reloaded.engine is not None else ()),
        *(problem for outcome in reloaded.sets if isinstance(outcome, Rejected) for problem in outcome.problems),
    ]
    errors = _problems(problems) if reloaded.rejected else LEFT_OUT
    if len(reloaded.sets) != 1:
        outcomes = tuple(_outcome(outcome) for outcome in reloaded.sets)
        return as_data(SetsReloadedBody(sets=outcomes, engine=engine, errors=errors))
    match _outcome(reloaded.sets[0]):
        case RejectedBody() as body:
            return as_data(evolve(body, engine=engine, errors=_problems(problems)))
        case AppliedBody() | UnchangedBody() as body:
            version = serving_version(sets.get(body.set)) if reloaded.rejected else LEFT_OUT
            return as_data(evolve(body, engine=engine, errors=errors, serving_version=version))


def sets_body(
    sets: Iterable[SetBody],
    removed: Iterable[SetBody],
    path: Path | None,
    last: EngineOutcome | None,
    pages: str | None = None,
) -> dict[str, Any]:
    """Returns the JSON object of all sets and of the engine's file; `path` and `last` are None without such a file."""
    engine = None
    if path is not None:
        engine = EngineFileBody(file=str(path), last_attempt=_engine_outcome(last) if last is not None else None)
    return as_data(SetsBody(sets=tuple(sets), removed=tuple(removed), engine=engine, pages=pages))


def serving_version(pipelines: PipelineSet | None) -> int | None:
    """Returns the version that the next call gets; None if none serves, or without a set."""
    return pipelines.version if pipelines is not None else None


def serves_last_known_good(pipelines: PipelineSet) -> bool:
    """Returns whether a set serves the copy of an earlier run, because its files are invalid."""
    return pipelines.last_known_good and isinstance(pipelines.last_attempt, Rejected)


def set_body(pipelines: PipelineSet, state: Literal["serving", "removed"] = "serving") -> dict[str, Any]:
    """Returns the JSON object of one set."""
    return as_data(served_set(pipelines, state))


def served_set(pipelines: PipelineSet, state: Literal["serving", "removed"] = "serving") -> SetBody:
    """Returns the body of one set, to be part of another body."""
    last = pipelines.last_attempt
    last_attempt = _outcome(last) if last is not None else None
    if pipelines.version is None:
        return evolve(
            unopened_set(pipelines.name, pipelines.path),
            state="rejected" if isinstance(last, Rejected) else "opening",
            last_attempt=last_attempt,
        )
    current = pipelines.current
    return SetBody(
        set=pipelines.name,
        state=state,
        file=str(pipelines.path),
        version=current.version,
        digest=current.digest,
        active_pipeline=current.config.active_pipeline,
        pipelines=tuple(current.pipelines),
        degraded=_problems(pipelines.degraded),
        components=tuple(_component(health) for health in current.components),
        versions=tuple(VersionBody(**_version(record)) for record in pipelines.history),
        last_known_good=serves_last_known_good(pipelines),
        last_attempt=last_attempt,
    )


def unopened_set(name: str, path: Path) -> SetBody:
    """Returns the body of a set without a version whose file has not been read yet."""
    return SetBody(
        set=name,
        state="opening",
        file=str(path),
        version=None,
        digest=None,
        active_pipeline=None,
        pipelines=(),
        degraded=(),
        components=(),
        versions=(),
        last_known_good=False,
        last_attempt=None,
    )


def version_detail_body(
    pipelines: PipelineSet, record: VersionRecord, config: SetConfig | None = None
) -> dict[str, Any]:
    """Returns the JSON object of one version with its changes and its effective configuration, without secrets.

    Args:
        pipelines: the set.
        record: the version.
        config: its configuration, if it is of an earlier run.

    """
    shown = effective_config(pipelines.config_of(record.version) if config is None else config)
    return as_data(VersionDetailBody(set=pipelines.name, **_version(record), plan=_plan(record.plan), config=shown))


def configuration_body(stored: StoredConfiguration) -> dict[str, Any]:
    """Returns the JSON object of a configuration that calls ran on."""
    return as_data(ConfigurationBody(**asdict(stored, recurse=False)))


def call_body(
    call: Session | EndedCall,
    up: Call | None = None,
    logging: LoggingSettings | None = None,
    redact: RedactSettings | None = None,
) -> dict[str, Any]:
    """Returns the JSON object of one call: its state while it is up, then its outcome.

    Args:
        call: the call.
        up: the same call while it is up, for what is said in it; None: it is not.
        logging: what may be shown of it; None: the defaults.
        redact: the private words, which are not shown in any case; None: there are none.

    """
    names: dict[str, Any] = {"call_id": call.call_id, "transport_id": call.transport_id, "set": call.set}
    if isinstance(call, EndedCall):
        body = CallBody(**names, state="ended", outcome=call.outcome, detail=call.detail, ended=call.ended)
    else:
        body = CallBody(**names, state=call.state, outcome=None, detail="", ended=None)
    if up is not None:
        body = evolve(body, **_inside(up, logging or LoggingSettings(), redact or RedactSettings()))
    return as_data(body)


def _inside(call: Call, logging: LoggingSettings, redact: RedactSettings) -> dict[str, Any]:
    """Returns what is said and known in a call, as much of it as may be shown."""
    mask = Mask(KnownValues(call.info), logging.mask)
    redaction = CallRedaction(lambda: redact)

    def shown(value: Any) -> Any:
        if logging.transcripts == "off":
            return None
        masked = mask.text(value)
        return masked if logging.transcripts == "full" else redacted_value(masked)

    def words(message: Message) -> Any:
        text = redaction.message(message)  # each of them, as a number may go on in the next
        return "*" * len(message.text) if message.pressed and logging.dtmf == "masked" else shown(text)

    messages = (
        MessageBody(role=message.role, text=words(message), interrupted=message.interrupted, pressed=message.pressed)
        for message in call.conversation
    )
    try:
        metadata = json.loads(json.dumps(dict(call.metadata), default=str, allow_nan=False))
    except (TypeError, ValueError, RecursionError):  # a program's own values, which may refer to themselves
        metadata = {str(name): str(value) for name, value in call.metadata.items()}
    return {
        "variables": shown(mask.variables(redaction.data(call.variables))) or {},
        "metadata": shown(redaction.data(metadata)) or {},
        "conversation": tuple(messages),
    }


def announced_body(transport_id: str, within_s: float) -> dict[str, Any]:
    """Returns the JSON object of an announcement that was accepted."""
    return as_data(AnnouncedBody(transport_id=transport_id, within_s=within_s))


def withdrawn_body(transport_id: str) -> dict[str, Any]:
    """Returns the JSON object of an announcement that was taken back."""
    return as_data(WithdrawnBody(transport_id=transport_id))


def drained_body(set_name: str, version: int, calls: int) -> dict[str, Any]:
    """Returns the JSON object of a version whose calls were asked to end."""
    return as_data(DrainedBody(set=set_name, version=version, calls=calls))


def calls_body(sessions: Iterable[Session]) -> dict[str, Any]:
    """Returns the JSON object of the calls that are up."""
    return as_data(CallsBody(calls=tuple(SessionBody(**asdict(session)) for session in sessions)))


def session_body(session: Session) -> dict[str, Any]:
    """Returns the JSON object of one call that is up."""
    return as_data(SessionBody(**asdict(session)))


def _outcome(outcome: ReloadOutcome) -> SetOutcomeBody:
    attempt: dict[str, Any] = {
        "set": outcome.set,
        "trigger": outcome.trigger,
        "at": outcome.at,
        "seconds": round(outcome.seconds, 3),
        "digest": outcome.digest,
        "rolled_back_to": outcome.rolled_back_to if outcome.rolled_back_to is not None else LEFT_OUT,
    }
    match outcome:
        case Applied():
            return AppliedBody(
                **attempt,
                outcome="applied",
                version=outcome.version,
                plan=_plan(outcome.plan),
                summary=str(outcome.plan),
            )
        case Unchanged():
            degraded = _problems(outcome.degraded)
            return UnchangedBody(**attempt, outcome="unchanged", version=outcome.version, degraded=degraded)
        case Rejected():
            return RejectedBody(
                **attempt,
                outcome="rejected",
                reason=outcome.reason,
                serving_version=outcome.version,
                errors=_problems(outcome.problems),
            )


def _engine_outcome(outcome: EngineOutcome) -> EngineOutcomeBody:
    applied, rejected = outcome.outcome == "applied", outcome.outcome == "rejected"
    return EngineOutcomeBody(
        outcome=outcome.outcome,
        trigger=outcome.trigger,
        at=outcome.at,
        seconds=round(outcome.seconds, 3),
        plan=_engine_plan(outcome.plan) if applied else LEFT_OUT,
        summary=str(outcome.plan) if applied else LEFT_OUT,
        errors=_problems(outcome.problems) if rejected else LEFT_OUT,
    )


def _plan(plan: Plan) -> PlanBody:
    return PlanBody(**{**asdict(plan, recurse=False), "degraded": _problems(plan.degraded)})


def _engine_plan(plan: EnginePlan) -> EnginePlanBody:
    return EnginePlanBody(**asdict(plan, recurse=False, filter=lambda field, _value: field.name != "restart"))


def _component(health: ComponentHealth) -> ComponentBody:
    error = health.error
    return ComponentBody(
        role=health.role,
        name=health.name,
        adapter=health.adapter,
        model=health.model,
        state=health.state,
        was_open=health.was_open,
        retry_s=round(health.retry_s, 3),
        error=ComponentErrorBody(message=error.message, answered=error.answered, hint=error.hint) if error else None,
        successes=health.successes,
        failures=health.failures,
        excused=health.excused,
    )


def _version(record: VersionRecord) -> dict[str, Any]:
    return asdict(record, recurse=False, filter=lambda field, _value: field.name in _OF_VERSION)


_OF_VERSION = frozenset(field.name for field in fields(VersionBody))


def _problems(problems: Iterable[Problem]) -> tuple[ProblemBody, ...]:
    return tuple(ProblemBody(**problem) for problem in problems_as_data(problems))
