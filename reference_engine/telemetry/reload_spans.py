"""The span of a reload, which is a trace of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_engine.telemetry.span_values import Span, SpanEvent
from voicepipe import Applied, Rejected, TraceContext, Unchanged

if TYPE_CHECKING:
    from reference_engine.reloads.outcomes import EngineOutcome
    from reference_engine.telemetry.span_values import Value
    from voicepipe import Problem, SetEvent

MOST_PROBLEMS = 20
"""The most problems of a rejection that its span has as events."""


def set_span(event: SetEvent) -> Span | None:
    """Returns the span of a set's reload; None if an event is none."""
    if not isinstance(event, Applied | Unchanged | Rejected):
        return None
    problems = event.problems if isinstance(event, Rejected) else ()
    attributes: dict[str, Value] = {"voicepipe.set": event.set, "voicepipe.trigger": event.trigger}
    if event.version is not None:
        attributes["voicepipe.version"] = event.version
    if event.digest is not None:
        attributes["voicepipe.digest"] = event.digest
    if isinstance(event, Rejected):
        attributes["error.type"] = event.reason
    elif isinstance(event, Applied):
        attributes["voicepipe.plan"] = str(event.plan)
    return _span(f"reload {event.set}", event, attributes, problems, type(event).__name__.lower())


def engine_span(outcome: EngineOutcome) -> Span:
    """Returns the span of a reload of the engine's own file."""
    attributes: dict[str, Value] = {"voicepipe.trigger": outcome.trigger}
    if outcome.outcome == "rejected":
        attributes["error.type"] = "config"
    elif outcome.outcome == "applied":
        attributes["voicepipe.plan"] = str(outcome.plan)
    return _span("reload engine", outcome, attributes, outcome.problems, outcome.outcome)


def _span(
    name: str,
    event: Applied | Unchanged | Rejected | EngineOutcome,
    attributes: dict[str, Value],
    problems: tuple[Problem, ...],
    outcome: str,
) -> Span:
    end_ns = round(event.at.timestamp() * 1e9)
    noted = (
        SpanEvent(name="problem", at_ns=end_ns, attributes={"voicepipe.message": str(problem)})
        for problem in problems[:MOST_PROBLEMS]
    )
    return Span(
        name=name,
        trace=TraceContext.new(sampled=True),
        parent_id=None,
        start_ns=end_ns - round(event.seconds * 1e9),
        end_ns=end_ns,
        attributes={"voicepipe.outcome": outcome, **attributes},
        events=tuple(noted),
        failure=f"{len(problems)} problems" if outcome == "rejected" else None,
    )
