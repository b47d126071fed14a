"""Calls as they are read from the database of records: what is asked for, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, Literal

from attrs import field, frozen

from reference_engine.records.histogram import percentile

CallState = Literal["up", "ended", "lost"]
FigureKey = Literal["set", "pipeline", "version", "engine"]
FigureStep = Literal["hour", "day"]


@frozen(kw_only=True)
class CallFilter:
    """Which calls are asked for; a call matches all that is given."""

    since: datetime | None = None
    """Calls that began then or later."""
    until: datetime | None = None
    """Calls that began before."""
    set: str | None = None
    """The pipeline set's name."""
    pipeline: str | None = None
    """The pipeline's name."""
    version: int | None = None
    """The version that the calls ran on."""
    state: CallState | None = None
    """Whether they are up, have ended, or were lost."""
    outcome: str | None = None
    """The way in which they ended."""
    failed: bool | None = None
    """Whether they were lost, failed, or a component failed in them."""
    failed_over: bool | None = None
    """Whether another component than their first choice served them."""
    caller: str | None = None
    """The caller's number, or the beginning of it with `*` at its end."""
    called: str | None = None
    """The called number, likewise."""
    text: str | None = None
    """Words that were said or heard, all of them in one call."""


@frozen(kw_only=True)
class CallSummary:
    """One call in a list."""

    call_id: str
    """The engine's ID of the call."""
    transport_id: str
    """The transport's ID of the call."""
    state: CallState
    """Whether it is up, has ended, or was lost."""
    began: datetime
    """The time at which it was answered, UTC."""
    duration_s: float | None
    """Its length; None while it is up, and of a lost call."""
    engine: str
    """The name of the engine that answered it."""
    set: str
    """The pipeline set's name."""
    version: int
    """The version that it kept."""
    digest: str
    """That version's digest."""
    pipeline: str
    """The pipeline's name."""
    transport: str
    """The listener's type."""
    caller: str
    """The caller's number; empty: not known."""
    called: str
    """The called number; empty: not known."""
    outcome: str | None
    """The way in which it ended; None while it is up, and of a lost call."""
    detail: str
    """More about the outcome."""
    failed: bool
    """True if it was lost, failed, or a component failed in it."""
    failed_over: bool
    """True if another component than the first choice of its role served it, be it from the beginning, because the
    circuit breaker of the first was open, or after a failure."""
    turns: int
    """The number of turns."""
    response_ms: float | None
    """The median of its response times; None: there was none."""
    cost: float | None
    """What its components cost, as far as that is known; None: nothing is known."""
    cost_is_least: bool
    """True if it costs more: some price or figure is not known."""
    currency: str | None
    """The currency of that."""


@frozen(kw_only=True)
class CallPage:
    """One page of a list of calls, the latest first."""

    calls: tuple[CallSummary, ...]
    """The calls."""
    next: str | None
    """What `after` must be for the next page; None: there is none."""


@frozen(kw_only=True)
class CallDetail:
    """All there is to know about one call."""

    summary: CallSummary
    """What lists show of it."""
    listener: str
    """The listener's name."""
    software: str
    """The version of voicepipe that answered it."""
    variables: Mapping[str, str]
    """Its variables, as they were at its end."""
    metadata: Mapping[str, Any]
    """Its bag of values."""
    components: Mapping[str, Mapping[str, Any]]
    """By role: name, adapter and model of the first alternative."""
    turns: tuple[Mapping[str, Any], ...]
    """Rows of the table `turns`, in order."""
    tools: tuple[Mapping[str, Any], ...]
    """Rows of `tools`, in order."""
    failures: tuple[Mapping[str, Any], ...]
    """Rows of `failures`, in order."""
    steering: tuple[Mapping[str, Any], ...]
    """Rows of `steering`, in order."""
    transfers: tuple[Mapping[str, Any], ...]
    """Rows of `transfers`, in order."""
    usage: tuple[Mapping[str, Any], ...]
    """Rows of `usage`, in order."""
    interruptions: int
    """How often the caller cut a reply short."""
    discarded_replies: int
    """The number of replies that were prepared and not used."""
    recording: str
    """The recording's path; empty: there is none."""
    recording_failed: str
    """Why no more of it was recorded; empty: it was."""
    consent: str | None
    """The caller's consent to the recording: `announced`, `given`, `refused`; None: nobody asked."""
    trace_id: str | None
    """The ID of its trace; None: there is none."""
    worker: int | None = None
    """The number of the engine's process that answered it, from 1; None: the engine has one."""

    @property
    def known_s(self) -> float:
        """The time from its beginning to the last that is known of it, in s: a lost call was at least that long."""
        names = ("at_s", "heard_until_s", "said_until_s")
        parts = (*self.turns, *self.tools, *self.failures, *self.steering, *self.transfers)
        times: list[float | None] = [part.get(name) for part in parts for name in names]
        return max([self.summary.duration_s or 0.0, *(time for time in times if time is not None)])


@frozen(kw_only=True)
class FigureFilter:
    """Which calls are counted, and how finely; a call is counted if it matches all that is given."""

    since: datetime | None = None
    """Calls that began in that hour or later."""
    until: datetime | None = None
    """Calls that began in hours before."""
    set: str | None = None
    """The pipeline set's name."""
    pipeline: str | None = None
    """The pipeline's name."""
    versions: tuple[int, ...] = ()
    """The versions that calls ran on; empty: all."""
    engine: str | None = None
    """The name of the engine that answered."""
    step: FigureStep | None = None
    """Whether each hour or day has figures of its own; None: there are figures for the whole time."""
    by: tuple[FigureKey, ...] = ()
    """What else has figures of its own: `("version",)` sets versions side by side."""
    zone: tzinfo = UTC
    """The time zone whose days are meant."""


@frozen(kw_only=True)
class CallFigures:
    """Figures of calls that have ended or are lost."""

    began: datetime | None
    """The beginning of the hour or day, in the filter's zone; None: the figures are for the whole time."""
    set: str | None
    """The pipeline set's name; None: not told apart."""
    pipeline: str | None
    """The pipeline's name; None: not told apart."""
    version: int | None
    """The version; None: not told apart."""
    engine: str | None
    """The engine's name; None: not told apart."""
    calls: int
    """The number of calls."""
    failed: int
    """The number of them that were lost, failed, or in which a component failed."""
    lost: int
    """The number of them whose engine died."""
    seconds: float
    """The length of all calls together, in s."""
    turns: int
    """The number of turns."""
    interruptions: int
    """How often callers cut a reply short."""
    responses: Mapping[str, int]
    """A histogram of response times, see histogram.py."""
    usage: tuple[Mapping[str, Any], ...]
    """Sums of the columns of `usage`, for each role, adapter and model; what is missing is not known of any call."""
    costs: Mapping[str, float]
    """What the calls cost whose cost is known, by currency."""
    calls_without_cost: int
    """The number of calls whose cost is not known, or not all of it."""
    p50_ms: float | None = field(init=False)
    """The median of response times; None: there were none."""
    p95_ms: float | None = field(init=False)
    """The time that 95 of 100 responses do not exceed."""
    p99_ms: float | None = field(init=False)
    """The time that 99 of 100 responses do not exceed."""

    def __attrs_post_init__(self) -> None:
        for name, share in (("p50_ms", 0.5), ("p95_ms", 0.95), ("p99_ms", 0.99)):
            object.__setattr__(self, name, percentile(self.responses, share))


@frozen(kw_only=True)
class StoredVersion:
    """A version of a pipeline set that served."""

    engine: str
    """The engine's name."""
    set: str
    """The pipeline set's name."""
    version: int
    """Its number, which the set of that engine has used for one configuration only."""
    digest: str
    """The digest of its configuration."""
    run: str
    """The engine's run in which it served first."""
    served: datetime
    """The time at which it first served, UTC."""
    trigger: str
    """What asked for it."""
    rolled_back_to: int | None
    """The earlier version whose configuration it is; None: it was read from the files."""
    plan: str
    """What it changed, in words."""
    software: str | None
    """The version of voicepipe that served it first; None: not known."""


@frozen(kw_only=True)
class StoredConfiguration:
    """A configuration that calls ran on, without secrets."""

    digest: str
    """Its digest."""
    set: str
    """The pipeline set that first served it."""
    first_served: datetime
    """The time at which it first served, UTC."""
    config: Mapping[str, Any]
    """The effective configuration, as of `effective_config` with `texts`."""
    files: Mapping[str, str | None]
    """The SHA-256 of the files that it was read from, by their paths; None: the content is secret, or a directory."""
