"""How far the engine has come."""

from __future__ import annotations

from typing import Literal

import trio
from attrs import define, field


@define(eq=False)
class Readiness:
    """What `/readyz` tells, and what requests that come during the start wait for."""

    state: Literal["starting", "ready", "draining"] = "starting"
    """Calls are not answered yet, are answered, or are not answered any more."""
    started: trio.Event = field(factory=trio.Event)
    """Set once calls are answered."""

    def ready(self) -> None:
        """Calls are answered from now on."""
        self.state = "ready"
        self.started.set()

    def draining(self) -> None:
        """No more calls are taken."""
        self.state = "draining"
