"""The outcomes of reloads: of the engine's file, and of that file with all its sets."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from attrs import field, frozen

from reference_engine.settings.changes import EnginePlan
from voicepipe import Problem, Rejected, ReloadOutcome


@frozen(kw_only=True)
class EngineOutcome:
    """The outcome of a reload of the engine's own file."""

    outcome: Literal["applied", "unchanged", "rejected"]
    """`applied`: the file is in force now; `unchanged`: it was already; `rejected`: it can't be."""
    trigger: str
    """The cause: `signal`, `control` or `watch`."""
    at: datetime
    """The time of the outcome, in UTC."""
    seconds: float
    """The duration of the reload, in s."""
    plan: EnginePlan = field(factory=EnginePlan)
    """The changes that were made; none if it was rejected."""
    problems: tuple[Problem, ...] = ()
    """The reasons of a rejection."""
    opened: Mapping[str, ReloadOutcome] = field(factory=dict, repr=False)
    """The outcomes of sets that had to be opened before the file could be applied, by name."""


@frozen
class ReloadResult:
    """The outcomes of one reload: of the engine's file and of its sets."""

    engine: EngineOutcome | None
    """The outcome of the engine's file; None if there is none, or only a set was to be reloaded."""
    sets: tuple[ReloadOutcome, ...]
    """The outcomes of the sets, in the order of the engine's file; each set is accepted or rejected by itself."""

    @property
    def rejected(self) -> bool:
        """True if the engine's file or a set was rejected."""
        engine = self.engine is not None and self.engine.outcome == "rejected"
        return engine or any(isinstance(outcome, Rejected) for outcome in self.sets)
