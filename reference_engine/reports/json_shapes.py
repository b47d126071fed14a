"""The engine's results as JSON has them: HTTP bodies, and the fields of log records that are made of them.

A class is an object. A field that is `LEFT_OUT` is not in the object; any other is, null included.
The control's OpenAPI document is made of these classes: types, `Keywords` and the docstrings below the fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final, Literal, TypeAlias

from attrs import frozen, has
from cattrs import Converter
from cattrs.gen import make_dict_unstructure_fn

from reference_engine.reports.sessions import State
from voicepipe import Role


class LeftOut(Enum):
    """The type of `LEFT_OUT`, for annotations."""

    LEFT_OUT = "left out"


LEFT_OUT: Final = LeftOut.LEFT_OUT
"""The value of a field that the object does not have."""


@frozen
class Keywords:
    """What JSON Schema says of a value besides its type."""

    minimum: int | None = None
    """The least that a number may be."""
    pattern: str | None = None
    """The regular expression that text matches."""
    format: str | None = None
    """The name that JSON Schema has for the form of a text."""


Count: TypeAlias = Annotated[int, Keywords(minimum=0)]
"""A number of things, or a version's number."""

Position: TypeAlias = Annotated[int, Keywords(minimum=1)]
"""A line or a column."""

Seconds: TypeAlias = Annotated[float, Keywords(minimum=0)]
"""A duration in s."""

Digest: TypeAlias = Annotated[str, Keywords(pattern="^[0-9a-f]{64}$")]
"""SHA-256 of a configuration, in hexadecimal."""

Moment: TypeAlias = Annotated[datetime, Keywords(format="date-time")]
"""ISO 8601 with the offset of UTC."""


@frozen(kw_only=True)
class ErrorBody:
    """Why there is no other answer."""

    error: str
    """What is wrong with the request, or why it can't be done now."""
    serving_version: int | LeftOut | None = LEFT_OUT
    """The version that serves; null if none ever has."""


@frozen(kw_only=True)
class ProblemBody:
    """One thing that is wrong with a file."""

    file: str
    """The file, as it was named."""
    line: Position
    """From 1."""
    column: Position
    """From 1."""
    path: str
    """Which setting, from the top; empty for the file as a whole."""
    message: str
    """What is wrong."""
    hint: str
    """What to change; empty if the message says it."""


@frozen(kw_only=True)
class PlanBody:
    """What a version changed."""

    opened: tuple[str, ...]
    """Components that it opened: `tts espeak (en-us)`."""
    kept: tuple[str, ...]
    """Components that it shares with the version before, untouched."""
    closed: tuple[str, ...]
    """Components that close when the last call of the version before ends."""
    added: tuple[str, ...]
    """Pipelines that are new, or that calls could not get before."""
    changed: tuple[str, ...]
    """Pipelines that are different for the next call."""
    removed: tuple[str, ...]
    """Pipelines that no new call gets."""
    active: str
    """The pipeline that answers from now on."""
    was_active: str
    """The pipeline that answered before; empty for the first version."""
    degraded: tuple[ProblemBody, ...]
    """Components that could not be opened and apologies that could not be spoken beforehand; both are tried again."""
    secrets_changed: tuple[str, ...]
    """Components, and paths of other settings, that have another secret although they are written as before."""
    unserved: tuple[str, ...]
    """Pipelines that are different, and that no call gets."""
    settings: tuple[str, ...]
    """Sections of the whole file that are different; `written` if only the way it is written is."""


@frozen(kw_only=True)
class EnginePlanBody:
    """What it changed."""

    sets_added: tuple[str, ...]
    """Pipeline sets that were opened."""
    sets_removed: tuple[str, ...]
    """Pipeline sets that take no more calls, and close when those that are up have ended."""
    sets_moved: tuple[str, ...]
    """Pipeline sets that have another file."""
    listeners_closed: tuple[str, ...]
    """Listeners that take no more calls."""
    listeners_answered: tuple[str, ...]
    """Listeners whose next call another set answers."""
    changed: tuple[str, ...]
    """Other settings that are different: `max_calls`, `admin.token`."""


@frozen(kw_only=True)
class EngineOutcomeBody:
    """What reading the engine's own file again came to."""

    outcome: Literal["applied", "unchanged", "rejected"]
    """Whether the file is in force now, was in force already, or can't be."""
    trigger: str
    """What asked for it: `signal`, `control` or `watch`."""
    at: Moment
    """When it was done, in UTC."""
    seconds: Seconds
    """How long it took."""
    plan: EnginePlanBody | LeftOut = LEFT_OUT
    """What it changed; only if it was applied."""
    summary: str | LeftOut = LEFT_OUT
    """The plan in one line."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """Everything that is wrong with the file; only if it was rejected."""


@frozen(kw_only=True)
class _SetOutcome:
    set: str
    """The pipeline set."""
    trigger: str
    """What asked for it: `signal`, `control`, `watch`, ..."""
    at: Moment
    """When it was done, in UTC."""
    seconds: Seconds
    """How long it took."""


@frozen(kw_only=True)
class AppliedBody(_SetOutcome):
    """A new version serves."""

    outcome: Literal["applied"]
    """Which of the three outcomes this is."""
    version: Count
    """The new version."""
    digest: Digest
    """Its digest."""
    rolled_back_to: Count | LeftOut = LEFT_OUT
    """The earlier version that it serves again; only after a rollback."""
    plan: PlanBody
    """What it changed."""
    summary: str
    """The plan in one line."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """How the engine's own file fared, if that was read as well."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """What is wrong with the engine's own file; only if that was rejected."""
    serving_version: int | LeftOut | None = LEFT_OUT
    """The version that serves; null if none ever has. Only with `errors`."""


@frozen(kw_only=True)
class UnchangedBody(_SetOutcome):
    """The files say what is served already."""

    outcome: Literal["unchanged"]
    """Which of the three outcomes this is."""
    version: Count
    """The version that serves on."""
    digest: Digest
    """Its digest."""
    rolled_back_to: Count | LeftOut = LEFT_OUT
    """The earlier version that it serves again; only while a rollback holds."""
    degraded: tuple[ProblemBody, ...]
    """What of the version is not there by now, and is tried again."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """How the engine's own file fared, if that was read as well."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """What is wrong with the engine's own file; only if that was rejected."""
    serving_version: int | LeftOut | None = LEFT_OUT
    """The version that serves; null if none ever has. Only with `errors`."""


@frozen(kw_only=True)
class RejectedBody(_SetOutcome):
    """The files can't be served; what served before serves on."""

    outcome: Literal["rejected"]
    """Which of the three outcomes this is."""
    reason: Literal["config", "open", "limit", "defect"]
    """What stood against it: the files, a component that does not open, `max_live_versions`, or a defect of ours."""
    serving_version: int | None
    """The version that serves; null if none ever has."""
    digest: Digest | None
    """The digest of what was rejected; null if the files can't be read."""
    rolled_back_to: Count | LeftOut = LEFT_OUT
    """The earlier version that was to serve again; only if a rollback was rejected."""
    errors: tuple[ProblemBody, ...]
    """Everything that is wrong, the engine's own file included if that was rejected as well."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """How the engine's own file fared, if that was read as well."""


SetOutcomeBody = AppliedBody | UnchangedBody | RejectedBody
"""What a reload or a rollback of a set came to."""


@frozen(kw_only=True)
class SetsReloadedBody:
    """The fate of each of several sets, and, if something is wrong anywhere, all of that."""

    sets: tuple[SetOutcomeBody, ...]
    """The sets in the order of the engine's file."""
    engine: EngineOutcomeBody | LeftOut = LEFT_OUT
    """How the engine's own file fared."""
    errors: tuple[ProblemBody, ...] | LeftOut = LEFT_OUT
    """Everything that is wrong with any of the files; only if one was rejected."""


ReloadedBody = SetOutcomeBody | SetsReloadedBody
"""What a reload came to: of a single set its outcome, of several all of them."""


@frozen(kw_only=True)
class VersionBody:
    """One version of a set."""

    version: Count
    """Its number, from 1."""
    state: Literal["serving", "draining", "retired"]
    """`serving`: new calls get it; `draining`: only calls hold it; `retired`: its components are closed."""
    calls: Count
    """Calls that hold it."""
    digest: Digest
    """Its digest."""
    active_pipeline: str
    """The pipeline that answers, unless a route says another."""
    applied_at: Moment
    """When it began to serve, in UTC."""
    trigger: str
    """What asked for it."""


@frozen(kw_only=True)
class VersionDetailBody:
    """One version by itself."""

    set: str
    """The pipeline set."""
    version: Count
    """Its number, from 1."""
    state: Literal["serving", "draining", "retired"]
    """`serving`: new calls get it; `draining`: only calls hold it; `retired`: its components are closed."""
    calls: Count
    """Calls that hold it."""
    digest: Digest
    """Its digest."""
    active_pipeline: str
    """The pipeline that answers, unless a route says another."""
    applied_at: Moment
    """When it began to serve, in UTC."""
    trigger: str
    """What asked for it."""
    plan: PlanBody
    """What it changed."""
    config: Mapping[str, Any]
    """The effective configuration; secrets are not in it."""


@frozen(kw_only=True)
class ComponentErrorBody:
    """Why calls leave it alone."""

    message: str
    """What failed last."""
    answered: str
    """What the provider answered, shortened; empty if nothing."""
    hint: str
    """What to do about it; empty if that is not known."""


@frozen(kw_only=True)
class ComponentBody:
    """How a component does that the set's next call may use; it may be shared with other sets."""

    role: Role
    """What it is used as."""
    name: str
    """Its name in the configuration."""
    adapter: str
    """The adapter that opens it."""
    model: str | None
    """The model or the voice; null if the adapter has none."""
    state: Literal["closed", "open", "half_open"]
    """Its circuit breaker. `closed`: calls use it; `open`: they leave it alone; `half_open`: it is being tried."""
    was_open: bool
    """Whether it has been open since a version has it."""
    retry_s: Seconds
    """Until it is tried again; 0 while it is not left alone."""
    error: ComponentErrorBody | None
    """Why calls leave it alone; null while they don't."""
    successes: Count
    """How many attempts of calls gave something useful."""
    failures: Count
    """How many failed by its fault."""
    excused: Count
    """How many failed for no fault of its own."""


@frozen(kw_only=True)
class SetBody:
    """Where a set stands."""

    set: str
    """The pipeline set."""
    state: Literal["serving", "opening", "rejected", "removed"]
    """`rejected`: never fit so far; `removed`: only calls hold it."""
    file: str
    """Its file, as it was named."""
    version: int | None
    """The version that serves; null if none ever has."""
    digest: Digest | None
    """That version's digest."""
    active_pipeline: str | None
    """The pipeline that answers, unless a route says another."""
    pipelines: tuple[str, ...]
    """The pipelines that calls can get."""
    degraded: tuple[ProblemBody, ...]
    """What of the serving version is not there by now, and is tried again."""
    components: tuple[ComponentBody, ...]
    """The components of the serving version."""
    versions: tuple[VersionBody, ...]
    """The versions that are remembered, the oldest first."""
    last_known_good: bool
    """Whether it serves what was kept of an earlier run."""
    last_attempt: SetOutcomeBody | None
    """What the last reload or rollback came to; null if there was none."""


@frozen(kw_only=True)
class EngineFileBody:
    """The engine's file."""

    file: str
    """Its path, as it was named."""
    last_attempt: EngineOutcomeBody | None
    """How it fared when it was last read again; null if it was not."""


@frozen(kw_only=True)
class SetsBody:
    """All sets that the engine's file names, those that were, and that file if there is one."""

    sets: tuple[SetBody, ...]
    """Those that the file names, in its order."""
    removed: tuple[SetBody, ...]
    """Those that it no longer names, while calls hold them."""
    engine: EngineFileBody | None
    """The engine's file; null if the engine was given a set's own."""


@frozen(kw_only=True)
class SessionBody:
    """A call."""

    call_id: str
    """The engine's ID of it."""
    set: str
    """The pipeline set that answered."""
    version: Count
    """The version that it keeps until it ends."""
    pipeline: str
    """The pipeline that it has."""
    caller: str
    """The number that dials; empty if unknown."""
    called: str
    """The number that was dialled; empty if unknown."""
    since: Moment
    """When it was answered, in UTC."""
    state: State
    """Waiting for the caller, hearing or answering them, or speaking."""
    turns: Count
    """How many exchanges have ended."""
    transport_id: str
    """The transport's ID of it: AudioSocket's UUID."""


@frozen(kw_only=True)
class CallsBody:
    """What each call is doing."""

    calls: tuple[SessionBody, ...]
    """The calls that are up, the oldest first."""


@frozen(kw_only=True)
class CallBody:
    """How a call stands, or what became of it."""

    call_id: str
    """Empty if it was refused."""
    transport_id: str
    """The transport's ID of it: AudioSocket's UUID."""
    set: str
    """The pipeline set that answered, or was to; empty if there was none."""
    state: Literal["listening", "hearing", "speaking", "ended"]
    """As of any call while it is up."""
    outcome: str | None
    """As in `CallEnded`, or `refused`; null while it is up."""
    detail: str
    """The transfer's target, or the reason."""
    ended: Moment | None
    """When it ended, in UTC; null while it is up or its line is being closed."""


@frozen(kw_only=True)
class StatusBody:
    """How far the engine has come."""

    status: Literal["ok", "starting", "ready", "draining"]
    """`ok`: the process is alive; the others: whether calls are answered."""


@frozen(kw_only=True)
class RollbackBody:
    """What to go back to."""

    to: int | LeftOut | None = LEFT_OUT
    """A version; null or left out: the one before the one that serves."""


_CONVERTER = Converter(unstruct_collection_overrides={tuple: list})
_CONVERTER.register_unstructure_hook(datetime, datetime.isoformat)
_CONVERTER.register_unstructure_hook(LeftOut, lambda left_out: left_out)


@_CONVERTER.register_unstructure_hook_factory(has)
def _object_hook(cls: type, converter: Converter) -> Callable[[Any], dict[str, Any]]:
    """An object without what is left out. cattrs' `omit_if_default` would put the fields with defaults last."""
    unstructure: Callable[[Any], dict[str, Any]] = make_dict_unstructure_fn(cls, converter)
    return lambda body: {name: value for name, value in unstructure(body).items() if value is not LEFT_OUT}


def as_data(body: Any) -> dict[str, Any]:
    """The object that an instance of one of these classes stands for, of what JSON has.

    The keys are in the order of the fields.
    """
    data: dict[str, Any] = _CONVERTER.unstructure(body)
    return data
