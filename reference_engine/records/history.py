"""Calls as they are read from the database of records: what is asked for, and what is answered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from attrs import frozen

CallState = Literal["up", "ended", "lost"]


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
    turns: int
    """The number of turns."""
    response_ms: float | None
    """The median of its response times; None: there was none."""
    cost: float | None
    """What its components cost; None: not known."""
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
