"""What a worker process is started with: its argument, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import attrs
from attrs import frozen


@frozen(kw_only=True)
class WorkerStart:
    """The argument of a worker's process."""

    number: int
    """Its number, from 1; a worker that takes the place of another has the number of that one."""
    generation: int
    """The generation of workers that it belongs to, from 1."""
    link: int
    """The descriptor of its end of the link."""
    log_lock: int
    """The descriptor that processes lock to write to stderr, one after the other."""
    log_format: Literal["json", "console"]
    """The format of the log."""
    colours: bool
    """Whether a log for a terminal has colours."""
    run: Mapping[str, Any]
    """The options of the command `run`, as `RunOptions.as_data` returns them."""
    addresses: Mapping[str, Sequence[Any]]
    """The host and port of each listener that the supervisor has bound, by name."""

    settings: int | None = None
    """The descriptor of a file with the settings in force; None: it reads the engine's file."""

    def as_text(self) -> str:
        """Returns it as a process's argument."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Returns what `as_text` has written."""
        return cls(**json.loads(text))
