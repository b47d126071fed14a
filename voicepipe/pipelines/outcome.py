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
    """What asked for it: `start`, `signal`, `api`, ..."""
    at: datetime
    """When it ended, UTC."""
    seconds: float
    """How long it took."""


@frozen(kw_only=True)
class Applied(_OutcomeBase):
    """A new version serves."""

    version: int
    """Its number."""
    digest: str
    """Its digest."""
    plan: Plan
    """What changed."""
    logging: LoggingSettings
    """Its logging settings, which take effect at once."""
    rolled_back_to: int | None = None
    """Which earlier version it was built from; None: from the files."""


@frozen(kw_only=True)
class Unchanged(_OutcomeBase):
    """The files say what is served already: no new version, nothing reopened."""

    version: int
    """The version that serves on."""
    digest: str
    """The serving digest."""
    rolled_back_to: int | None = None
    """The files say what was rolled back from, so the version that was gone back to serves on; None: no rollback."""
    degraded: tuple[Problem, ...] = ()
    """What of the serving version is not there: what is not open yet, and has been tried again at once, and apologies
    that no voice has spoken."""


RejectedFor: TypeAlias = Literal["config", "open", "limit", "defect"]
"""What the files say is wrong; a component can't be opened; a limit of the set is reached; a fault of the code."""


@frozen(kw_only=True)
class Rejected(_OutcomeBase):
    """The files can't be served; the version before serves on, if there is one."""

    version: int | None
    """The version that serves now; None: none has ever served, which a set may have that was opened with
    `start=False`."""
    digest: str | None
    """What was attempted; None if it could not be read that far."""
    problems: tuple[Problem, ...] = field()
    """Everything that is wrong, in order; never empty."""
    reason: RejectedFor = "config"
    """In a word, for counting."""
    rolled_back_to: int | None = None
    """Which earlier version was to be served again; None: the files were."""
    files: tuple[Path, ...] = ()
    """Absolute paths of everything that was read, or looked for: what a watcher watches besides the serving files."""


ReloadOutcome: TypeAlias = Applied | Unchanged | Rejected


@frozen
class Retired:
    """The last call of a version that no longer serves has ended, and what only it used is being closed."""

    set: str
    """The pipeline set's name."""
    version: int
    """The version that is gone."""


SetEvent: TypeAlias = ReloadOutcome | Retired
"""What a pipeline set tells its observer."""


@frozen
class VersionRecord:
    """One version in a set's history."""

    version: int
    """Its number."""
    digest: str
    """Its digest."""
    active_pipeline: str
    """The pipeline that answered."""
    applied_at: datetime
    """UTC."""
    trigger: str
    """What asked for it; `last known good` for a first version that is not what the files said."""
    plan: Plan
    """What it changed."""
    calls: int
    """How many calls hold it now."""
    state: str
    """`serving`, `draining` (only calls hold it), `retired`."""
