"""Histograms of turns for Prometheus: the callers' wait for a reply, and the time until each step of the reply."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from attrs import asdict, define, field
from prometheus_client.metrics_core import HistogramMetricFamily, Metric

from reference_engine.reports.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe import TurnEnded

RESPONSE_S = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
"""Upper bounds of the response's buckets, in s: callers notice half a second, and hang up after a few seconds."""

STEP_S = (0.01, 0.02, 0.05, *RESPONSE_S)
"""Upper bounds of the steps' buckets, in s: some steps take a few milliseconds."""

PipelineStep: TypeAlias = "tuple[str, str]"
"""A pipeline's name, and a step."""


@define
class TurnTimes:
    """The durations of the turns of one set's calls."""

    responses: defaultdict[str, Histogram] = field(factory=lambda: defaultdict(partial(Histogram, RESPONSE_S)))
    """The times from the end of the caller's speech to the reply's first audio, by pipeline."""
    steps: defaultdict[PipelineStep, Histogram] = field(factory=lambda: defaultdict(partial(Histogram, STEP_S)))
    """The times from the end of the caller's speech until a step was done, by pipeline and step."""

    def begin_at_zero(self, pipelines: Iterable[str]) -> None:
        """Creates the histograms of responses of pipelines, empty; those of steps begin with their first turn."""
        for name in pipelines:
            _ = self.responses[name]

    def observe(self, pipeline: str, event: TurnEnded, trace_id: str = "") -> None:
        """Adds a turn of a call with this pipeline, which is in this trace; empty: in none."""
        if event.response_ms is not None:
            self.responses[pipeline].add(event.response_ms / 1000, trace_id)
        if event.trigger == "utterance":
            for step, ms in asdict(event.timings).items():
                if ms is not None:
                    self.steps[pipeline, step.removesuffix("_ms")].add(max(0.0, ms) / 1000, trace_id)


def turn_families(counted: Iterable[tuple[str, TurnTimes]]) -> Iterator[Metric]:
    """Yields the metric families of sets, given by name."""
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
    for name, turns in counted:
        for pipeline, histogram in turns.responses.items():
            responses.add_metric([name, pipeline], histogram.buckets(), histogram.total)
        for which, histogram in turns.steps.items():
            steps.add_metric([name, *which], histogram.buckets(), histogram.total)
    yield from (responses, steps)
