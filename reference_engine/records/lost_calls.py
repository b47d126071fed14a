"""Calls whose engine is gone, as they are found in the database and told to others."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen


@frozen(kw_only=True)
class LostCall:
    """A call whose engine is gone."""

    call_id: str
    """Its ID."""
    transport_id: str
    """The transport's ID of it."""
    engine: str
    """The name of the engine that had answered it."""
    worker: int | None
    """The number of that engine's process; None: it had one."""
    listener: str
    """The listener's name."""
    set: str
    """The pipeline set's name."""
    version: int
    """The version that it ran on."""
    digest: str
    """That version's digest."""
    pipeline: str
    """The pipeline's name."""
    caller: str
    """The caller's number, as it was stored; empty: not known."""
    called: str
    """The called number, likewise."""
    began: datetime
    """The time at which it began, UTC."""
    at_least_s: float
    """The time from its beginning to the last that was stored of it, in s."""
    turns: int
    """The number of turns that were stored."""
    recording: str
    """The recording's file; empty: there is none."""
    trace_id: str | None
    """The ID of its trace; None: there is none."""
