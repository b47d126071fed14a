"""What a supervisor is started with, as plain data: another program has read the engine's file and bound its ports."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import attrs
from attrs import field, frozen


@frozen(kw_only=True)
class PlannedListener:
    """A listener of the engine's file."""

    name: str
    """Its name."""
    type: str
    """Its transport."""
    set: str
    """The pipeline set that answers it."""
    host: str
    """The host that it is bound to."""
    port: int
    """The port that it is bound to."""
    descriptors: Sequence[int] = ()
    """Its listening sockets, which this process has inherited. Empty: it runs in one worker, by itself."""
    max_connections: int = 500
    """The most connections at once, over all workers."""
    closes_when_full: bool = False
    """Whether the kernel refuses connections while there is no room."""

    @property
    def is_handed(self) -> bool:
        """Whether the supervisor accepts its connections."""
        return bool(self.descriptors)


@frozen(kw_only=True)
class PlannedPort:
    """A port for anything but calls."""

    host: str
    """The host that it is bound to."""
    port: int
    """The port that it is bound to."""
    descriptors: Sequence[int]
    """Its listening sockets."""


@frozen(kw_only=True)
class SupervisorPlan:
    """All that a supervisor knows at its start."""

    file: str
    """The engine's file, or a set's, as it was given."""
    workers: int
    """The number of workers."""
    hang_s: float
    """The time after which a worker that does not answer is killed, in s."""
    drain_s: float
    """The time that calls may go on after a stop signal, in s."""
    max_calls: int | None
    """The most calls at once over all workers; None: no limit."""
    listeners: Sequence[PlannedListener]
    """The listeners."""
    control: str
    """The path of the control's Unix socket."""
    is_default_control: bool
    """Whether that is the default one, whose directory is checked."""
    admin: PlannedPort | None
    """The control over TCP; None: there is none."""
    agent_check: PlannedPort | None
    """The port for HAProxy's agent-check; None: there is none."""
    pages: str | None
    """The address of the operator's pages, for the log."""
    run: Mapping[str, Any] = field(factory=dict)
    """The options of the command `run`, for workers."""
    log_format: Literal["json", "console"] = "json"
    """The format of the log."""
    colours: bool = False
    """Whether a log for a terminal has colours."""
    python: Sequence[str] = ()
    """The interpreter with its options, which runs workers."""

    def write(self) -> int:
        """Returns the descriptor of a file in memory with the plan, which a process that is executed inherits."""
        descriptor = os.memfd_create("voicepipe-supervisor", 0)
        with open(descriptor, "w", closefd=False, encoding="utf-8") as file:
            json.dump(attrs.asdict(self), file)
        return descriptor

    @classmethod
    def read(cls, descriptor: int) -> Self:
        """Returns the plan that `write` has written, and closes its descriptor."""
        with open(descriptor, encoding="utf-8") as file:
            file.seek(0)
            plan = json.load(file)
        return cls(
            **{
                **plan,
                "listeners": tuple(PlannedListener(**listener) for listener in plan["listeners"]),
                **{name: PlannedPort(**plan[name]) if plan[name] else None for name in ("admin", "agent_check")},
            }
        )
