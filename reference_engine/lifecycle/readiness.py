"""The state of the engine: starting, ready or draining."""

from __future__ import annotations

from typing import Literal

import trio
from attrs import define, field


@define(eq=False)
class Readiness:
    """The state that `/readyz` reports, and the event that requests wait for during the start."""

    state: Literal["starting", "ready", "draining"] = "starting"
    """`starting`: calls are not answered yet; `ready`: they are; `draining`: they are not any more."""
    started: trio.Event = field(factory=trio.Event)
    """Set when calls are answered for the first time."""

    def ready(self) -> None:
        """Sets the state to `ready` and wakes the requests that wait for the start."""
        self.state = "ready"
        self.started.set()

    def draining(self) -> None:
        """Sets the state to `draining`: no more calls are taken."""
        self.state = "draining"
