"""The health of a component, for logs, metrics and status pages."""

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
    """The health of a component, for all calls of a process."""

    role: Role
    """Its role."""
    name: str
    """The name under `components:`, or else the adapter's."""
    adapter: str
    """The adapter's name."""
    model: str | None
    """The model or voice; None if it has none."""
    state: BreakerState
    """The state of its circuit breaker. `closed`: calls use it; `open`: calls skip it; `half_open`: it is being
    tried."""
    error: ComponentError | None
    """The error that opened the breaker; None while calls use the component."""
    retry_s: float
    """The time until it is tried again, in s; 0 unless the breaker is open."""
    retries: int
    """Failed probes and trials since the breaker opened."""
    successes: int
    """The total attempts of calls that succeeded."""
    failures: int
    """The total attempts that failed by the component's fault."""
    excused: int = 0
    """The total attempts that failed for another cause: a request that was too long, filtered or malformed, or a lack
    of resources on this machine."""
    was_open: bool = True
    """Whether it has ever been open; one that could not be opened is tried again."""


def health_of(
    settings: ComponentSettings, model: str | None, breaker: Breaker, *, was_open: bool = True
) -> ComponentHealth:
    """Returns the health of a component, from the present state of its breaker."""
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
