"""What Prometheus learns of the turns of calls: how long their steps take, and how replies fare."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, TypeAlias

from attrs import asdict, define, field
from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric

from voicepipe import ReplyPrepared, ReplyResumed, TurnEnded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe import CallEvent

RESPONSE_S = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper bounds of the histogram's buckets, in s: people notice from about half a second, and hang up after some."""

STEP_S = (0.01, 0.02, 0.05, *RESPONSE_S)
"""The same for steps, of which some take next to nothing."""

PipelineAnd: TypeAlias = "tuple[str, str]"
"""A pipeline's name, and a step or an outcome."""


@define
class _Histogram:
    bounds: tuple[float, ...]
    counts: list[int] = field(factory=list)
    total: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        return list(zip([*map(str, self.bounds), "+Inf"], accumulate(self.counts), strict=True))


@define
class TurnCounts:
    """The turns of one set's calls, counted."""

    responses: defaultdict[str, _Histogram] = field(factory=lambda: defaultdict(partial(_Histogram, RESPONSE_S)))
    """What callers waited for, by pipeline."""
    steps: defaultdict[PipelineAnd, _Histogram] = field(factory=lambda: defaultdict(partial(_Histogram, STEP_S)))
    """How long after the caller's last sound each step was done."""
    interruptions: Counter[PipelineAnd] = field(factory=Counter)
    """Replies that were stopped: `ended`, or `resumed`."""
    prepared: Counter[PipelineAnd] = field(factory=Counter)
    """Replies that were begun before the words were final: `used`, or `wasted`."""

    def begin_at_zero(self, pipelines: Iterable[str]) -> None:
        """Enters what may be counted of pipelines; of the steps of turns only those are there that were taken."""
        for name in pipelines:
            _ = self.responses[name]
            self.interruptions.update({(name, "ended"): 0, (name, "resumed"): 0})
            self.prepared.update({(name, "used"): 0, (name, "wasted"): 0})

    def observe(self, pipeline: str, event: CallEvent) -> None:
        """Takes in what a call of a pipeline tells its observer."""
        match event:
            case TurnEnded():
                self._observe_turn(pipeline, event)
            case ReplyResumed():
                self.interruptions[pipeline, "resumed"] += 1
            case ReplyPrepared():
                self.prepared[pipeline, "used" if event.used else "wasted"] += 1
            case _:
                pass

    def _observe_turn(self, pipeline: str, event: TurnEnded) -> None:
        if event.interrupted:
            self.interruptions[pipeline, "ended"] += 1
        if event.response_ms is not None:
            self.responses[pipeline].add(event.response_ms / 1000)
        if event.trigger == "utterance":
            for step, ms in asdict(event.timings).items():
                if ms is not None:
                    self.steps[pipeline, step.removesuffix("_ms")].add(max(0.0, ms) / 1000)


def turn_families(counted: Iterable[tuple[str, TurnCounts]]) -> Iterator[Metric]:
    """The metrics of sets, by name."""
    responses = HistogramMetricFamily(
        "voicepipe_response_seconds",
        "From the end of the caller's speech to the first audio of the reply.",
        labels=["set", "pipeline"],
    )
    steps = HistogramMetricFamily(
        "voicepipe_turn_step_seconds",
        "From the end of the caller's speech until a step of the reply was done.",
        labels=["set", "pipeline", "step"],
    )
    interruptions = CounterMetricFamily(
        "voicepipe_interruptions", "Replies that were stopped.", labels=["set", "pipeline", "outcome"]
    )
    prepared = CounterMetricFamily(
        "voicepipe_prepared_replies",
        "Replies that were begun before the words were final.",
        labels=["set", "pipeline", "outcome"],
    )
    for name, turns in counted:
        for pipeline, histogram in turns.responses.items():
            responses.add_metric([name, pipeline], histogram.buckets(), histogram.total)
        for which, histogram in turns.steps.items():
            steps.add_metric([name, *which], histogram.buckets(), histogram.total)
        for which, number in turns.interruptions.items():
            interruptions.add_metric([name, *which], number)
        for which, number in turns.prepared.items():
            prepared.add_metric([name, *which], number)
    yield from (responses, steps, interruptions, prepared)
