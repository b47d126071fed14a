"""An attempt to serve a configuration: how far it came, and the rejection that an error makes of it."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio
from attrs import define, field

from voicepipe.config.reading_helper import DefectError, broke_down, defect
from voicepipe.errors import ComponentsUnavailable, ConfigError, Location, Problem, without_frames
from voicepipe.pipelines.outcome import Rejected, RejectedFor

_log = logging.getLogger("voicepipe")


@define
class Attempt:
    """How far an attempt to serve a configuration has come."""

    set: str
    """The pipeline set's name."""
    trigger: str
    """What asked for it."""
    to: int | None = None
    """For a rollback: the version that is gone back to. None: the files are read."""
    began: float = field(factory=trio.current_time)
    """When, on trio's clock."""
    stage: RejectedFor = "config"
    """The reason that a rejection gives if this fails now."""
    digest: str | None = None
    """The configuration's digest; None until it is read."""
    files: tuple[Path, ...] = ()
    """Absolute paths of the files that it was read from."""

    def outcome(self) -> dict[str, Any]:
        """The fields that every `ReloadOutcome` has, but for the version that serves."""
        return {
            "set": self.set,
            "trigger": self.trigger,
            "at": datetime.now(UTC),
            "seconds": trio.current_time() - self.began,
        }

    def rejected(self, error: ConfigError, version: int | None) -> Rejected:
        """The outcome if that error ended the attempt; `version` serves on, or None."""
        return Rejected(
            version=version,
            digest=self.digest,
            problems=error.problems,
            reason=self._reason(error),
            files=self.files or error.files,
            rolled_back_to=self.to,
            **self.outcome(),
        )

    def _reason(self, error: ConfigError) -> RejectedFor:
        if isinstance(error, DefectError):
            return "defect"
        return "open" if isinstance(error, ComponentsUnavailable) else self.stage


def as_config_error(error: Exception, path: Path) -> ConfigError:
    """The `ConfigError` that an attempt's exception is told as, free to be kept.

    Anything but a `ConfigError` is a defect of ours or of an adapter: its traceback is logged. The exception that is
    returned leads to no frames: the thread that read the file has frames that know it, and only the garbage collector
    would free that circle.
    """
    if isinstance(error, ConfigError):
        return without_frames(error)
    _log.error("a reload of %s failed by a defect", path, exc_info=error)
    return defect(path, broke_down(error))


def neither_served(refused: ConfigError, last_known_good: ConfigError, path: Path) -> ConfigError:
    """Why neither the files nor the last known good sources can be served."""
    first, *more = last_known_good.problems
    others = f", and {len(more)} more" if more else ""
    hint = "mend the file, and the start needs no other"
    message = f"what was served last can't be served either: {first}{others}"
    # If either may be served later as it is, trying again is worth it.
    away = isinstance(refused, ComponentsUnavailable) or isinstance(last_known_good, ComponentsUnavailable)
    kind = ComponentsUnavailable if away else ConfigError
    return kind([*refused.problems, Problem(Location(path), "", message, hint)], refused.files)
