"""What the pages get of the engine."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from reference_engine.calls.answering import CallAnswerer
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.pages.whole_engine import WholeEngine
from reference_engine.reloads.reloading import Reloader
from reference_engine.reports.latencies import Latencies
from reference_engine.reports.reload_history import ReloadHistory
from reference_engine.reports.sessions import SessionStore
from reference_engine.sets.sets import Sets
from reference_engine.settings.settings import CurrentSettings


@frozen(eq=False)
class PageParts:
    """The parts of the engine that pages read and act on."""

    current: CurrentSettings
    """The settings in force."""
    sets: Sets
    """The pipeline sets."""
    reloader: Reloader
    """Reloads the engine's file and all sets."""
    sessions: SessionStore
    """The calls that are up."""
    readiness: Readiness
    """The state of the engine."""
    answerer: CallAnswerer
    """The calls that are up, with their versions."""
    reloads: ReloadHistory
    """The last outcomes of reloads."""
    latencies: Latencies
    """The latencies of components."""
    conceal: Callable[[str], str]
    """Removes secrets from a text."""
    whole: WholeEngine | None = None
    """The whole engine, if this process is one of its workers; None: it is the engine."""
