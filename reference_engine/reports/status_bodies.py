"""JSON bodies of the engine's state (sets, versions, components, calls), of errors, and of a rollback request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import field, frozen

from reference_engine.reports.json_types import LEFT_OUT, Count, Digest, LeftOut, Moment, Seconds
from reference_engine.reports.reload_bodies import EngineOutcomeBody, PlanBody, ProblemBody, SetOutcomeBody
from reference_engine.reports.sessions import State
from voicepipe import Role


@frozen(kw_only=True)
class ErrorBody:
    """An error."""

    error: str
    """The problem of the request, or the reason why it can't be carried out now."""
    serving_version: int | LeftOut | None = LEFT_OUT
    """The version that serves; null if none ever has."""
    worker: Count | LeftOut = LEFT_OUT
    """The worker that ended before it answered."""
    unanswered: tuple[Count, ...] | LeftOut = LEFT_OUT
    """The workers that have not answered, and may have the call."""


@frozen(kw_only=True)
class VersionBody:
    """One version of a set."""

    version: Count
    """Its number, counted from 1."""
    state: Literal["serving", "draining", "retired"]
    """`serving`: new calls get it; `draining`: only present calls hold it; `retired`: its components are closed."""
    calls: Count
    """The number of calls that hold it."""
    digest: Digest
    """Its digest."""
    active_pipeline: str
    """The pipeline that answers unless a route chooses another."""
    applied_at: Moment
    """The time at which it began to serve, in UTC."""
    trigger: str
    """The cause of the reload that made it."""
    rolled_back_to: Count | None = None
    """The earlier version whose configuration it is; null if it was read from the files."""
    earlier_run: bool = False
    """True if it served only before the engine was started; a rollback serves it from the copy of its files."""


@frozen(kw_only=True, slots=False)  # a class can have only one base with slots
class _SetName:
    set: str
    """The pipeline set."""


@frozen(kw_only=True)
class VersionDetailBody(VersionBody, _SetName):  # attrs puts the fields of the last base first
    """One version of a set, with its changes and its configuration."""

    plan: PlanBody
    """The changes from the version before."""
    config: Mapping[str, Any]
    """The effective configuration, without secrets."""


@frozen(kw_only=True)
class ConfigurationBody:
    """A configuration that calls ran on."""

    digest: Digest
    """Its digest."""
    set: str
    """The pipeline set that first served it."""
    first_served: Moment
    """The time at which it first served, in UTC."""
    config: Mapping[str, Any]
    """The effective configuration, without secrets; a prompt that was read from a file has its `text` too."""
    files: Mapping[str, Digest | None]
    """The SHA-256 of the files that it was read from, by their paths; null: the content is secret, or a directory."""


@frozen(kw_only=True)
class ComponentErrorBody:
    """The failure that makes calls skip a component."""

    message: str
    """The last failure."""
    answered: str
    """The provider's answer, shortened; empty if there was none."""
    hint: str
    """The remedy; empty if none is known."""


@frozen(kw_only=True)
class ComponentBody:
    """A component that the set's next call may use; other sets may share it."""

    role: Role
    """The role that it is used in."""
    name: str
    """Its name in the configuration."""
    adapter: str
    """The adapter's name."""
    model: str | None
    """The model or the voice; null if the adapter has none."""
    state: Literal["closed", "open", "half_open"]
    """The circuit breaker's state. `closed`: calls use it; `open`: calls skip it; `half_open`: it is being tried."""
    was_open: bool
    """True if it has been opened successfully; false if it has never opened so far."""
    retry_s: Seconds
    """The time until it is tried again, in s; 0 while calls use it."""
    error: ComponentErrorBody | None
    """Why calls leave it alone; null while they don't."""
    successes: Count
    """The number of calls' attempts that succeeded."""
    failures: Count
    """The number of calls' attempts that failed by its fault."""
    excused: Count
    """The number of calls' attempts that failed for another reason."""


@frozen(kw_only=True)
class BehindBody:
    """A worker that serves another version of a set than the one that is reported."""

    worker: Count
    """Its number."""
    state: Literal["serving", "opening", "rejected", "removed"]
    """The set's state there."""
    version: int | None
    """The version that serves there; null if none ever has."""
    digest: Digest | None
    """Its digest."""


@frozen(kw_only=True)
class SetBody:
    """The state of a set."""

    set: str
    """The pipeline set."""
    state: Literal["serving", "opening", "rejected", "removed"]
    """`opening`: no version yet; `rejected`: its files have never been valid; `removed`: only present calls hold it."""
    file: str
    """Its file, as it was given."""
    version: int | None
    """The version that serves; null if none ever has."""
    digest: Digest | None
    """The digest of the serving version."""
    active_pipeline: str | None
    """The pipeline that answers unless a route chooses another."""
    pipelines: tuple[str, ...]
    """The pipelines that calls can get."""
    degraded: tuple[ProblemBody, ...]
    """Components and apologies that the serving version still lacks; they are tried again."""
    components: tuple[ComponentBody, ...]
    """The components of the serving version."""
    versions: tuple[VersionBody, ...]
    """The versions that the engine keeps, the oldest first."""
    last_known_good: bool
    """True if it serves the copy of an earlier run, because its files are invalid."""
    last_attempt: SetOutcomeBody | None
    """The outcome of the last reload or rollback; null if there was none."""
    behind: tuple[BehindBody, ...] | LeftOut = LEFT_OUT
    """The workers that serve another version; only with several."""


@frozen(kw_only=True)
class EngineFileBody:
    """The engine's file."""

    file: str
    """Its path, as it was given."""
    last_attempt: EngineOutcomeBody | None
    """The outcome of its last reload; null if there was none."""


@frozen(kw_only=True)
class WorkerBody:
    """A worker: a process that holds calls."""

    worker: Count
    """Its number."""
    pid: Count
    """Its process ID."""
    state: Literal["starting", "ready", "draining"]
    """`ready`: it gets new calls; `draining`: it has only those that are up."""
    calls: Count
    """The calls that are up in it, and connections that are becoming calls."""
    since: Moment
    """The time at which it was started, in UTC."""
    memory_bytes: Count | None
    """The memory that it uses, in bytes; null if it has ended."""


@frozen(kw_only=True)
class SetsBody:
    """The state of all sets, and of the engine's file."""

    sets: tuple[SetBody, ...]
    """The sets that the engine's file names, in its order."""
    removed: tuple[SetBody, ...]
    """The sets that it no longer names and that calls still hold."""
    engine: EngineFileBody | None
    """The engine's file; null if the engine was started with a set's own file."""
    pages: str | None = None
    """The address of the operator's page over TCP; null without `admin`."""
    workers: tuple[WorkerBody, ...] | LeftOut = LEFT_OUT
    """The workers; only with several."""


@frozen(kw_only=True)
class SessionBody:
    """A call that is up."""

    call_id: str
    """The engine's ID of the call."""
    set: str
    """The pipeline set that answered."""
    version: Count
    """The version that it keeps until it ends."""
    pipeline: str
    """The pipeline that answers it."""
    caller: str
    """The caller's number; empty if unknown."""
    called: str
    """The dialled number; empty if unknown."""
    since: Moment
    """The time at which it was answered, in UTC."""
    state: State
    """`listening`: waits for the caller; `hearing`: the caller speaks or is answered; `speaking`: the agent speaks;
    `transferring`: the caller waits until somebody takes the call."""
    turns: Count
    """The number of turns that have ended."""
    transport_id: str
    """The transport's ID of the call: AudioSocket's UUID."""
    worker: Count | LeftOut = LEFT_OUT
    """The worker that has it; only with several."""


@frozen(kw_only=True)
class CallsBody:
    """The calls that are up."""

    calls: tuple[SessionBody, ...]
    """The calls that are up, the oldest first."""
    unanswered: tuple[Count, ...] | LeftOut = LEFT_OUT
    """The workers that have not answered, whose calls are missing; only if there are any."""


@frozen(kw_only=True)
class MessageBody:
    """One entry of a conversation."""

    role: Literal["caller", "agent", "tool", "operator"]
    """The speaker; `tool` for a result, `operator` for a fact that the model was told."""
    text: str | None
    """The words as they are shown; null: words are not."""
    interrupted: bool
    """Whether the caller cut it short."""
    pressed: bool
    """Whether the caller pressed it as keys."""


@frozen(kw_only=True)
class CallBody:
    """The state of a call, or its outcome."""

    call_id: str
    """The engine's ID of the call; empty if it was refused."""
    transport_id: str
    """The transport's ID of the call: AudioSocket's UUID."""
    set: str
    """The pipeline set that answered, or was to answer; empty if there was none."""
    state: State | Literal["ended"]
    """The state of a call that is up, or `ended`."""
    outcome: str | None
    """An outcome of `CallEnded`, or `refused`; null while the call is up."""
    detail: str
    """The transfer's target, or the reason of a refusal or a failure."""
    ended: Moment | None
    """The time of its end, in UTC; null until its line is closed."""
    variables: Mapping[str, str] | LeftOut = LEFT_OUT
    """The variables of a call that is up."""
    metadata: Mapping[str, Any] | LeftOut = LEFT_OUT
    """The metadata of a call that is up."""
    conversation: tuple[MessageBody, ...] | LeftOut = LEFT_OUT
    """The conversation of a call that is up, as much of it as the set's `logging.transcripts` shows."""
    worker: Count | LeftOut = LEFT_OUT
    """The worker that has it, or had it; only with several."""


@frozen(kw_only=True)
class AnnouncementBody:
    """What is known of a call before it connects; everything may be left out."""

    caller: str = ""
    """The caller's number."""
    called: str = ""
    """The number that was dialled."""
    pipeline: str = ""
    """The pipeline that is to answer; empty: the routes decide."""
    variables: Mapping[str, str] = field(factory=dict)
    """Variables by name; a form has each by itself, as `variables.NAME`."""


@frozen(kw_only=True)
class AnnouncedBody:
    """The announcement was accepted."""

    transport_id: str
    """The transport's ID that the call must connect with."""
    within_s: float
    """The time within which it must connect, in s."""


@frozen(kw_only=True)
class WithdrawnBody:
    """An announcement was taken back."""

    transport_id: str
    """The transport's ID of the call that it was for."""


@frozen(kw_only=True)
class WorkerStatusBody:
    """The state of a worker."""

    worker: Count
    """Its number."""
    status: Literal["starting", "ready", "draining"]
    """Its state, as an engine of one process has it."""


@frozen(kw_only=True)
class StatusBody:
    """The state of the engine."""

    status: Literal["ok", "starting", "ready", "paused", "draining"]
    """`ok`: the process is alive; `ready`: calls are answered; `starting`, `paused`, `draining`: they are not."""
    workers: tuple[WorkerStatusBody, ...] | LeftOut = LEFT_OUT
    """The state of each worker, of which one must be ready; only with several."""


@frozen(kw_only=True)
class PausedBody:
    """Whether the engine takes new calls."""

    status: Literal["ready", "paused"]
    """`ready`: it does; `paused`: it does not."""
    calls: Count
    """The number of calls that are up."""


@frozen(kw_only=True)
class DrainedBody:
    """The calls of a version were asked to end."""

    set: str
    """The pipeline set."""
    version: Count
    """The version."""
    calls: Count
    """The number of its calls, each of which says goodbye and hangs up."""


@frozen(kw_only=True)
class RollbackBody:
    """The version to serve again."""

    to: int | LeftOut | None = LEFT_OUT
    """The version's number; null or left out: the one before the serving version."""
