"""Keeps the last outcomes of reloads and rollbacks, of all sets and of the engine's file, for the operator's page."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import TYPE_CHECKING

from attrs import frozen

from reference_engine.reloads.outcomes import EngineOutcome
from reference_engine.reports.json_bodies import engine_outcome_body, outcome_body
from reference_engine.reports.printing import describe_reload
from voicepipe import Applied, Retired, Unchanged, format_problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voicepipe import ReloadOutcome, SetEvent

KEPT = 12
"""The number of outcomes that are kept."""


@frozen
class PastReload:
    """The outcome of a reload or a rollback."""

    outcome: str
    """`applied`, `unchanged` or `rejected`."""
    what: str
    """The pipeline set, or the engine's file."""
    trigger: str
    """Its cause."""
    at: datetime
    """The time of the outcome, in UTC."""
    text: str
    """The outcome as the console shows it, without secrets."""


class ReloadHistory:
    """The last outcomes, iterated from the latest on.

    Args:
        conceal: removes secrets from a text.

    """

    def __init__(self, conceal: Callable[[str], str]) -> None:
        self._conceal = conceal
        self._past: deque[PastReload] = deque(maxlen=KEPT)

    def observe(self, event: SetEvent) -> None:
        """Keeps an outcome; an observer of sets."""
        if not isinstance(event, Retired):
            self._keep(event, type(event).__name__.lower(), event.set)

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Keeps an outcome of the engine's file; an unchanged one says nothing beside those of the sets."""
        if outcome.outcome != "unchanged":
            self._keep(outcome, outcome.outcome, "the engine's file")

    def _keep(self, outcome: ReloadOutcome | EngineOutcome, kind: str, what: str) -> None:
        text = self._conceal(as_console(outcome))
        self._past.appendleft(PastReload(kind, what, outcome.trigger, outcome.at, text))

    def __iter__(self) -> Iterator[PastReload]:
        return iter(tuple(self._past))


def as_console(outcome: ReloadOutcome | EngineOutcome) -> str:
    """Returns an outcome as `reference-engine reload` prints it, with the lines of the files that have problems."""
    if isinstance(outcome, EngineOutcome):
        text = describe_reload({"engine": engine_outcome_body(outcome), "sets": []})
    else:
        text = describe_reload(outcome_body(outcome))
    problems = () if isinstance(outcome, Applied | Unchanged) else outcome.problems
    if problems:
        head, _, _ = text.partition("\n\n")
        text = f"{head}\n\n{format_problems(problems)}"
    return text.rstrip()
