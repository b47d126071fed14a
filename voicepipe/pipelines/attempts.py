"""One attempt to serve a configuration, and its rejection."""

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
    """The progress of an attempt to serve a configuration."""

    set: str
    """The pipeline set's name."""
    trigger: str
    """The name of what asked for it."""
    to: int | None = None
    """The version that a rollback goes back to; None: the files are read."""
    began: float = field(factory=trio.current_time)
    """Its begin, on trio's clock."""
    stage: RejectedFor = "config"
    """The reason of the rejection if the attempt fails now."""
    digest: str | None = None
    """The configuration's digest; None until it is read."""
    files: tuple[Path, ...] = ()
    """The absolute paths of the files that were read."""

    def outcome(self) -> dict[str, Any]:
        """Returns the fields that all outcomes have, except for the version."""
        return {
            "set": self.set,
            "trigger": self.trigger,
            "at": datetime.now(UTC),
            "seconds": trio.current_time() - self.began,
        }

    def rejected(self, error: ConfigError, version: int | None) -> Rejected:
        """Returns the outcome of an attempt that an error ended; `version` is the one that serves, if any."""
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
    """Returns the `ConfigError` that reports an attempt's exception, without frames, so that it may be kept.

    Anything but a `ConfigError` is a defect of voicepipe or of an adapter: its traceback is logged. With its frames the
    exception would be part of a reference cycle, which only the garbage collector would free.
    """
    if isinstance(error, ConfigError):
        return without_frames(error)
    _log.error("a reload of %s failed by a defect", path, exc_info=error)
    return defect(path, broke_down(error))


def neither_served(refused: ConfigError, last_known_good: ConfigError, path: Path) -> ConfigError:
    """Returns the error of a start whose files and whose last known good sources are both refused."""
    first, *more = last_known_good.problems
    others = f", and {len(more)} more" if more else ""
    hint = "mend the file, and the start needs no other"
    message = f"what was served last can't be served either: {first}{others}"
    # If either may be served later as it is, trying again is worth it.
    away = isinstance(refused, ComponentsUnavailable) or isinstance(last_known_good, ComponentsUnavailable)
    kind = ComponentsUnavailable if away else ConfigError
    return kind([*refused.problems, Problem(Location.of_whole(path), "", message, hint)], refused.files)
