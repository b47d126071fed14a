"""The state of the engine: starting, ready, paused or draining."""

from __future__ import annotations

from typing import Literal

import trio
from attrs import define, field


@define(eq=False)
class Readiness:
    """The state that `/readyz` reports, and the event that requests wait for during the start."""

    state: Literal["starting", "ready", "paused", "draining"] = "starting"
    """`starting`: calls are not answered yet; `ready`: they are; `paused`: not until it is resumed; `draining`: not any
    more."""
    started: trio.Event = field(factory=trio.Event)
    """Set when calls are answered for the first time."""

    def ready(self) -> None:
        """Sets the state to `ready` and wakes the requests that wait for the start."""
        self.state = "ready"
        self.started.set()

    def draining(self) -> None:
        """Sets the state to `draining`: no more calls are taken."""
        self.state = "draining"

    def pause(self) -> bool:
        """Sets the state from `ready` to `paused`; returns False if calls are not answered anyway."""
        if self.state == "ready":
            self.state = "paused"
        return self.state == "paused"

    def resume(self) -> bool:
        """Sets the state from `paused` to `ready`; returns False if calls are not answered all the same."""
        if self.state == "paused":
            self.state = "ready"
        return self.state == "ready"
