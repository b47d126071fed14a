"""Outcomes of reloads and rollbacks, and the other events of a pipeline set."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

from attrs import field, frozen

from voicepipe.config.log_settings import LoggingSettings
from voicepipe.errors import Problem
from voicepipe.pipelines.plan import Plan


@frozen(kw_only=True)
class _OutcomeBase:
    """The fields that every outcome has, but for `version`, which only a rejection may lack."""

    set: str
    """The pipeline set's name."""
    trigger: str
    """The name of what asked for it: `start`, `signal`, `api`, ..."""
    at: datetime
    """The time of its end, in UTC."""
    seconds: float
    """Its duration, in s."""


@frozen(kw_only=True)
class Applied(_OutcomeBase):
    """A new version serves."""

    version: int
    """The number of the version."""
    digest: str
    """The digest of its configuration."""
    plan: Plan
    """The changes."""
    logging: LoggingSettings
    """Its logging settings, which take effect at once."""
    rolled_back_to: int | None = None
    """The earlier version whose configuration it serves; None: it was read from the files."""


@frozen(kw_only=True)
class Unchanged(_OutcomeBase):
    """The files have no change: there is no new version, and nothing was opened."""

    version: int
    """The number of the serving version."""
    digest: str
    """The digest of its configuration."""
    rolled_back_to: int | None = None
    """The version that a rollback went back to, which serves until the files change again; None: no rollback."""
    degraded: tuple[Problem, ...] = ()
    """The problems of components that are not open yet, which are retried at once, and of apologies that are not
    recorded."""


RejectedFor: TypeAlias = Literal["config", "open", "limit", "defect"]
"""The files have problems; a component can't be opened; a limit of the set is reached; the code has a defect."""


@frozen(kw_only=True)
class Rejected(_OutcomeBase):
    """The files can't be served; the version before goes on serving, if there is one."""

    version: int | None
    """The number of the serving version; None: no version has served yet, as is possible with `start=False`."""
    digest: str | None
    """The digest of the rejected configuration; None if it could not be read."""
    problems: tuple[Problem, ...] = field()
    """All problems, in order; never empty."""
    reason: RejectedFor = "config"
    """The kind of the problems, for counting."""
    rolled_back_to: int | None = None
    """The earlier version that was to be served again; None: the files were to be served."""
    files: tuple[Path, ...] = ()
    """The absolute paths of all files that were read or looked for; a watcher watches them too."""


ReloadOutcome: TypeAlias = Applied | Unchanged | Rejected


@frozen
class Retired:
    """The last call of a version that no longer serves has ended; components that only it used are being closed."""

    set: str
    """The pipeline set's name."""
    version: int
    """The number of the version."""


SetEvent: TypeAlias = ReloadOutcome | Retired
"""The events that a pipeline set reports to its observer."""


@frozen
class VersionRecord:
    """One version in a set's history."""

    version: int
    """The number of the version."""
    digest: str
    """The digest of its configuration."""
    active_pipeline: str
    """The name of its active pipeline."""
    applied_at: datetime
    """The time when it began to serve, in UTC."""
    trigger: str
    """The name of what asked for it; `last known good` for a first version that is not from the files."""
    plan: Plan
    """The changes that it made."""
    calls: int
    """The number of calls that hold it now."""
    state: str
    """Its state: `serving`, `draining` (only calls hold it), or `retired`."""
    rolled_back_to: int | None = None
    """The earlier version whose configuration it is; None: it was read from the files."""
    earlier_run: bool = False
    """Whether it served in an earlier process only, and was kept by a `VersionHistory`."""
