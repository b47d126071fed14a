"""A change of a pipeline set: as it is asked for, as far as it comes, and why it does not come to anything."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from voicepipe.config.helper import DefectError, broke_down, defect
from voicepipe.config.settings import SetConfig
from voicepipe.errors import ComponentsUnavailable, ConfigError, Location, Problem
from voicepipe.pipelines.outcome import Rejected, RejectedFor, ReloadOutcome

_log = logging.getLogger("voicepipe")


@define(eq=False)
class ChangeRequest:
    """A change that was asked for and has not begun."""

    trigger: str
    """What asked for it first."""
    force: bool = False
    """Whether a rollback is left for it."""
    to: int | None = None
    """Which version to go back to; None: the files are read."""
    config: SetConfig | None = None
    """What that version was built from, in case it is forgotten meanwhile."""
    done: trio.Event = field(factory=trio.Event)
    """Set when it has come to something, or never will."""
    outcome: ReloadOutcome | None = None
    """What it came to; None if the set closed before."""


@define
class Attempt:
    """How far an attempt to serve something came: what a rejection tells of it."""

    set: str
    """The pipeline set's name."""
    trigger: str
    """What asked for it."""
    began: float = field(factory=trio.current_time)
    """When, on trio's clock."""
    stage: RejectedFor = "config"
    """What a failure now would be a failure of."""
    digest: str | None = None
    """What is attempted; None until it is read."""
    files: tuple[Path, ...] = ()
    """What it was read from."""
    to: int | None = None
    """Which version is gone back to; None: the files are read."""

    def outcome(self, version: int) -> dict[str, Any]:
        """What every outcome tells."""
        return {
            "set": self.set,
            "version": version,
            "trigger": self.trigger,
            "at": datetime.now(UTC),
            "seconds": trio.current_time() - self.began,
        }

    def rejected(self, error: ConfigError, version: int) -> Rejected:
        """The outcome that an error makes of it."""
        return Rejected(
            digest=self.digest,
            problems=error.problems,
            reason="defect" if isinstance(error, DefectError) else self.stage,
            files=self.files or error.files,
            rolled_back_to=self.to,
            **self.outcome(version),
        )


def neither(refused: ConfigError, last_known_good: ConfigError, path: Path) -> ConfigError:
    """Why neither the files nor the last known good sources can be served."""
    first, *more = last_known_good.problems
    others = f", and {len(more)} more" if more else ""
    hint = "mend the file, and the start needs no other"
    message = f"what was served last can't be served either: {first}{others}"
    # If either may be served later as it is, trying again is worth it.
    away = isinstance(refused, ComponentsUnavailable) or isinstance(last_known_good, ComponentsUnavailable)
    kind = ComponentsUnavailable if away else ConfigError
    return kind([*refused.problems, Problem(Location(path), "", message, hint)], refused.files)


def defective(path: Path, error: Exception) -> DefectError:
    """The rejection that an unexpected exception makes of a change; its traceback is logged."""
    _log.error("a reload of %s failed by a defect", path, exc_info=error)
    return defect(path, broke_down(error))
