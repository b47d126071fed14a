"""JSON bodies of reloads: the answers of reloads and rollbacks, and the fields of their log records."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from reference_engine.reports.json_types import LEFT_OUT, Count, Digest, LeftOut, Moment, Position, Seconds


@frozen(kw_only=True)
class ProblemBody:
    """A problem in a file."""

    file: str
    """The path, as it was given."""
    line: Position
    """Counted from 1; 0: the problem is of the file as a whole."""
    column: Position
    """Counted from 1; 0 likewise."""
    path: str
    """The path of the setting, such as `pipelines.main.tts`; empty for the file as a whole."""
    message: str
    """The problem."""
    hint: str
    """The remedy; empty if the message says it."""


@frozen(kw_only=True)
class PlanBody:
    """The changes of a version."""

    opened: tuple[str, ...]
    """Components that were opened: `tts espeak (en-us)`."""
    kept: tuple[str, ...]
    """Components that it shares with the version before; they stayed open."""
    closed: tuple[str, ...]
    """Components that close when the last call of the version before ends."""
    added: tuple[str, ...]
    """Pipelines that calls could not get before."""
    changed: tuple[str, ...]
    """Pipelines that are different for the next call."""
    removed: tuple[str, ...]
    """Pipelines that no new call gets."""
    active: str
    """The active pipeline from now on."""
    was_active: str
    """The active pipeline before; empty for the first version."""
    degraded: tuple[ProblemBody, ...]
    """Components that did not open, and apologies that could not be prepared; both are tried again."""
    secrets_changed: tuple[str, ...]
    """Components, and paths of other settings, whose secret has another value although the file is the same."""
    unserved: tuple[str, ...]
    """Pipelines that are different but that no call gets."""
    settings: tuple[str, ...]
    """Other sections of the file that are different; `written` if the meaning is the same."""


@frozen(kw_only=True)
class EnginePlanBody:
    """The changes of the engine's own file."""

    sets_added: tuple[str, ...]
    """Pipeline sets that were opened."""
    sets_removed: tuple[str, ...]
    """Pipeline sets that take no more calls, and close when their last call ends."""
    sets_moved: tuple[str, ...]
    """Pipeline sets that have another file."""
    listeners_closed: tuple[str, ...]
    """Listeners that take no more calls."""
    listeners_answered: tuple[str, ...]
    """Listeners whose next call is answered by another set."""
    changed: tuple[str, ...]
    """Other settings that are different: `max_calls`, `admin.token`."""


@frozen(kw_only=True)
class EngineOutcomeBody:
    """The outcome of a reload of the engine's own file."""

    outcome: Literal["applied", "unchanged", "rejected"]
    """`applied`: it is in force now; `unchanged`: it was already; `rejected`: it can't be."""
    trigger: str
    """The cause: `signal`, `control` or `watch`."""
    at: Moment
    """The time of the outcome, in UTC."""
    seconds: Seconds
    """The duration, in s."""
    plan: EnginePlanBody | LeftOut = LEFT_OUT
    """The changes; only if it was applied."""
    summary: str | LeftOut = LEFT_OUT
    """The plan in one line."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """The problems of the file; only if it was rejected."""


@frozen(kw_only=True)
class _SetOutcome:
    set: str
    """The pipeline set."""
    trigger: str
    """The cause: `signal`, `control`, `watch`, ..."""
    at: Moment
    """The time of the outcome, in UTC."""
    seconds: Seconds
    """The duration, in s."""


@frozen(kw_only=True)
class AppliedBody(_SetOutcome):
    """A new version serves."""

    outcome: Literal["applied"]
    """The kind of outcome."""
    version: Count
    """The new version."""
    digest: Digest
    """Its digest."""
    rolled_back_to: Count | LeftOut = LEFT_OUT
    """The earlier version that serves again; only after a rollback."""
    plan: PlanBody
    """The changes from the version before."""
    summary: str
    """The plan in one line."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """The outcome of the engine's own file, if that was reloaded too."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """The problems of the engine's own file; only if that was rejected."""
    serving_version: int | LeftOut | None = LEFT_OUT
    """The version that serves; null if none ever has. Only with `errors`."""


@frozen(kw_only=True)
class UnchangedBody(_SetOutcome):
    """The files are the ones that are served already."""

    outcome: Literal["unchanged"]
    """The kind of outcome."""
    version: Count
    """The version that continues to serve."""
    digest: Digest
    """Its digest."""
    rolled_back_to: Count | LeftOut = LEFT_OUT
    """The earlier version that serves again; only while a rollback holds."""
    degraded: tuple[ProblemBody, ...]
    """Components and apologies that are still missing; they are tried again."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """The outcome of the engine's own file, if that was reloaded too."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """The problems of the engine's own file; only if that was rejected."""
    serving_version: int | LeftOut | None = LEFT_OUT
    """The version that serves; null if none ever has. Only with `errors`."""


@frozen(kw_only=True)
class RejectedBody(_SetOutcome):
    """The files can't be served; the version before continues to serve."""

    outcome: Literal["rejected"]
    """The kind of outcome."""
    reason: Literal["config", "open", "limit", "defect"]
    """The reason: invalid files, a component that does not open, `max_live_versions`, or a defect of voicepipe."""
    serving_version: int | None
    """The version that serves; null if none ever has."""
    digest: Digest | None
    """The digest of the rejected configuration; null if the files are invalid."""
    rolled_back_to: Count | LeftOut = LEFT_OUT
    """The earlier version that was to serve again; only for a rollback."""
    errors: tuple[ProblemBody, ...]
    """All problems, with those of the engine's own file if that was rejected too."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """The outcome of the engine's own file, if that was reloaded too."""


SetOutcomeBody = AppliedBody | UnchangedBody | RejectedBody
"""The outcome of a reload or a rollback of a set."""


@frozen(kw_only=True)
class SetsReloadedBody:
    """The outcomes of several sets."""

    sets: tuple[SetOutcomeBody, ...]
    """The sets in the order of the engine's file."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """The outcome of the engine's own file."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """All problems of all files; only if one was rejected."""


ReloadedBody = SetOutcomeBody | SetsReloadedBody
"""The answer of a reload: the outcome of a single set, or those of several."""
