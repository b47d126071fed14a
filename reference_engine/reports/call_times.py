"""Histograms of calls and of their tools for Prometheus: how long they took."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from attrs import define, field
from prometheus_client.metrics_core import HistogramMetricFamily, Metric

from reference_engine.reports.histogram import Histogram
from voicepipe import CallEnded, ToolEnded, ToolStarted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe import CallEvent

CALL_S = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds of the buckets of calls, in s: those of the first are mostly failures and wrong numbers."""

TOOL_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of tools, in s: the caller waits meanwhile."""

UNKNOWN = "(unknown)"
"""The label of a tool that the model made up, so that a model can't add series without limit."""

ToolOutcome: TypeAlias = "tuple[str, str]"
"""A tool, and `ok` or `failed`."""


@define
class CallTimes:
    """The durations of one set's calls, and of the tools in them."""

    calls: defaultdict[str, Histogram] = field(factory=lambda: defaultdict(partial(Histogram, CALL_S)))
    """The lengths of calls, by pipeline."""
    tools: defaultdict[ToolOutcome, Histogram] = field(factory=lambda: defaultdict(partial(Histogram, TOOL_S)))
    """The durations of tools, by tool and outcome."""
    _known_tools: set[str] = field(factory=set, init=False)

    def begin_at_zero(self, pipelines: Iterable[str]) -> None:
        """Creates the histograms of calls of pipelines, empty; those of tools begin with their first use."""
        for name in pipelines:
            _ = self.calls[name]

    def observe(self, pipeline: str, event: CallEvent, trace_id: str = "") -> None:
        """Adds what an event of a call tells, which is in this trace; empty: in none."""
        match event:
            case CallEnded():
                self.calls[pipeline].add(event.at_s, trace_id)
            case ToolStarted():
                self._known_tools.add(event.name)  # only tools that a pipeline has are started
            case ToolEnded():
                tool = event.name if event.name in self._known_tools else UNKNOWN
                self.tools[tool, "ok" if event.ok else "failed"].add(event.seconds, trace_id)
            case _:
                pass


def call_time_families(counted: Iterable[tuple[str, CallTimes]]) -> Iterator[Metric]:
    """Yields the metric families of sets, given by name."""
    calls = HistogramMetricFamily(
        "voicepipe_call_seconds", "The lengths of calls that have ended.", labels=["set", "pipeline"]
    )
    tools = HistogramMetricFamily(
        "voicepipe_tool_seconds", "How long tools took that models called.", labels=["set", "tool", "outcome"]
    )
    for name, times in counted:
        for pipeline, histogram in times.calls.items():
            calls.add_metric([name, pipeline], histogram.buckets(), histogram.total)
        for which, histogram in times.tools.items():
            tools.add_metric([name, *which], histogram.buckets(), histogram.total)
    yield from (calls, tools)
