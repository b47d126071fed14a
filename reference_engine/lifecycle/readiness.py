"""Whether the engine is starting, ready or draining."""

from __future__ import annotations

from typing import Literal

import trio
from attrs import define, field


@define(eq=False)
class Readiness:
    """The state that `/readyz` shows, and the event that requests during the start wait for."""

    state: Literal["starting", "ready", "draining"] = "starting"
    """Calls are not answered yet, are answered, or are not answered any more."""
    started: trio.Event = field(factory=trio.Event)
    """Set once calls are answered."""

    def ready(self) -> None:
        """Sets the state to `ready` and lets waiting requests go on."""
        self.state = "ready"
        self.started.set()

    def draining(self) -> None:
        """Sets the state to `draining`: no more calls are taken."""
        self.state = "draining"
