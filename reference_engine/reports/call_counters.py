"""Counts calls' events for Prometheus, by a table: each metric, its labels, and the events that it counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from attrs import define, field, frozen
from prometheus_client.metrics_core import CounterMetricFamily

from voicepipe import (
    CallEnded,
    ComponentFailed,
    FailedOver,
    Outcome,
    RecordingFailed,
    ReplyPrepared,
    ReplyResumed,
    Role,
    TurnEnded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from voicepipe import CallEvent

Key: TypeAlias = tuple[str, ...]
"""The values of a counter's labels, without `set`."""

Parts: TypeAlias = "Mapping[str, Sequence[str]]"
"""The names of a set's pipelines, under `pipelines`, and of its components, under each role."""

ROLES: tuple[Role, ...] = ("stt", "llm", "tts")
"""The roles of components."""

RUNGS = ("retry", "alternate", "apology")
"""The reactions to a component's failure."""


@frozen
class CallCounter:
    """A counter that calls' events add to."""

    metric: str
    """The metric's name, without `_total`."""
    help: str
    """The metric's help text."""
    labels: tuple[str, ...]
    """The metric's labels after `set`."""
    keys: Mapping[type, Callable[[str, Any], Key | None]]
    """For each event: a function of the pipeline and the event that returns the labels' values; None: not counted."""
    at_zero: Callable[[Parts], Iterable[Key]]
    """The series that exist at 0 before their first event, so that Prometheus sees that event as an increase."""


def _outcomes(*outcomes: str) -> Callable[[Parts], Iterable[Key]]:
    return lambda parts: product(parts["pipelines"], outcomes)


COUNTERS = (
    CallCounter(
        "voicepipe_calls",
        "Calls that have ended.",
        ("pipeline", "outcome"),
        {CallEnded: lambda pipeline, event: (pipeline, event.outcome)},
        _outcomes(*get_args(Outcome)),
    ),
    CallCounter(
        "voicepipe_component_failures",
        "Failures that calls have met.",
        ("role", "component"),
        {ComponentFailed: lambda _pipeline, event: (event.role, event.error.component)},
        lambda parts: ((role, name) for role in ROLES for name in parts[role]),
    ),
    CallCounter(
        "voicepipe_failovers",
        "What was done about components' failures.",
        ("role", "rung"),
        {FailedOver: lambda _pipeline, event: (event.role, event.rung)},
        lambda _parts: product(ROLES, RUNGS),
    ),
    CallCounter(
        "voicepipe_recordings_failed",
        "Calls whose recording has failed.",
        ("pipeline",),
        {RecordingFailed: lambda pipeline, _event: (pipeline,)},
        lambda parts: product(parts["pipelines"]),
    ),
    CallCounter(
        "voicepipe_interruptions",
        "Replies that were stopped.",
        ("pipeline", "outcome"),
        {
            TurnEnded: lambda pipeline, event: (pipeline, "ended") if event.interrupted else None,
            ReplyResumed: lambda pipeline, _event: (pipeline, "resumed"),
        },
        _outcomes("ended", "resumed"),
    ),
    CallCounter(
        "voicepipe_prepared_replies",
        "Replies that were begun before the words were final.",
        ("pipeline", "outcome"),
        {ReplyPrepared: lambda pipeline, event: (pipeline, "used" if event.used else "wasted")},
        _outcomes("used", "wasted"),
    ),
)
"""All counters of calls' events, in the order of the exposition."""

_BY_EVENT: Mapping[type, tuple[tuple[str, Callable[[str, Any], Key | None]], ...]] = {
    kind: tuple((counter.metric, counter.keys[kind]) for counter in COUNTERS if kind in counter.keys)
    for kind in {kind for counter in COUNTERS for kind in counter.keys}
}


@define
class CallCounts:
    """The counts of one set's calls."""

    by_metric: defaultdict[str, Counter[Key]] = field(factory=lambda: defaultdict(Counter))
    """The counts by the metric's name, then by its labels' values."""

    def observe(self, pipeline: str, event: CallEvent) -> None:
        """Counts an event of a call with this pipeline."""
        for metric, key_of in _BY_EVENT.get(type(event), ()):
            if (key := key_of(pipeline, event)) is not None:
                self.by_metric[metric][key] += 1

    def begin_at_zero(self, parts: Parts) -> None:
        """Creates the series of a set with these parts, at 0."""
        for counter in COUNTERS:
            self.by_metric[counter.metric].update(dict.fromkeys(counter.at_zero(parts), 0))


def call_counter_families(counted: Iterable[tuple[str, CallCounts]]) -> Iterator[CounterMetricFamily]:
    """Yields the metric families of sets, given by name."""
    families = {
        counter.metric: CounterMetricFamily(counter.metric, counter.help, labels=["set", *counter.labels])
        for counter in COUNTERS
    }
    for name, counts in counted:
        for metric, family in families.items():
            for key, number in counts.by_metric[metric].items():
                family.add_metric([name, *key], number)
    yield from families.values()
