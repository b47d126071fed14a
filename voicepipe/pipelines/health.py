"""How a component does, for all calls of a process: what logs, metrics and status pages are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
from attrs import frozen

from voicepipe.components.breaker import Breaker, BreakerState
from voicepipe.components.labels import Role
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from voicepipe.config.settings import ComponentSettings


@frozen
class ComponentHealth:
    """How a component does, for all calls of a process."""

    role: Role
    """What it is used as."""
    name: str
    """As the operator knows it."""
    adapter: str
    """The adapter's name."""
    model: str | None
    """The model or voice, where the adapter has one."""
    state: BreakerState
    """`closed`: calls use it; `open`: they leave it alone; `half_open`: it is being tried."""
    error: ComponentError | None
    """Why calls leave it alone; None while they use it."""
    retry_s: float
    """Until it is tried again, in s; 0 while it is not left alone."""
    retries: int
    """How often it was tried again in vain since then."""
    successes: int
    """How many attempts of calls gave something useful, ever."""
    failures: int
    """How many failed by its fault."""
    excused: int = 0
    """How many failed for no fault of its own: what was asked was too long, filtered or malformed, or this machine was
    in want of something."""
    was_open: bool = True
    """Whether it has been open since the version that has it serves: one that could not be opened is tried again."""


def health_of(
    settings: ComponentSettings, model: str | None, breaker: Breaker, *, was_open: bool = True
) -> ComponentHealth:
    """How the component of those settings does, as its breaker sees it now."""
    return ComponentHealth(
        role=settings.role,
        name=settings.name,
        adapter=settings.adapter,
        model=model,
        state=breaker.state,
        error=breaker.error,
        retry_s=max(0.0, breaker.retry_at - trio.current_time()) if breaker.state == "open" else 0.0,
        retries=breaker.retries,
        successes=breaker.successes,
        failures=breaker.failures,
        excused=breaker.excused,
        was_open=was_open,
    )
