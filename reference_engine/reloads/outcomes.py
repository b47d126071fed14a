"""The outcomes of reloads, as values."""

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
    """`applied`: it is in force now; `unchanged`: it says what was in force already; `rejected`: it can't be."""
    trigger: str
    """What asked for it: `signal`, `control` or `watch`."""
    at: datetime
    """When it was done, in UTC."""
    seconds: float
    """How long it took."""
    plan: EnginePlan = field(factory=EnginePlan)
    """What it changed; nothing if it was rejected."""
    problems: tuple[Problem, ...] = ()
    """Why it was rejected."""
    opened: Mapping[str, ReloadOutcome] = field(factory=dict, repr=False)
    """Sets that it could not be decided without, with what opening them came to."""


@frozen
class Reloaded:
    """The outcomes of a reload of the engine's file and of its sets."""

    engine: EngineOutcome | None
    """The engine's file; None if there is none, or it was not asked about."""
    sets: tuple[ReloadOutcome, ...]
    """Those of the sets, in the order of the engine's file; a set may be rejected while others are applied."""

    @property
    def rejected(self) -> bool:
        """Whether any of these files can't be served."""
        engine = self.engine is not None and self.engine.outcome == "rejected"
        return engine or any(isinstance(outcome, Rejected) for outcome in self.sets)
