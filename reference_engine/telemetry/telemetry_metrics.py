"""The metrics of what tells other systems what happens: traces and webhooks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.telemetry.opening import Telemetry


class TelemetryCollector(Collector):
    """Collects the counts of traces and webhooks.

    Args:
        telemetry: has them; None: there are none, and the metrics have no series.

    """

    def __init__(self, telemetry: Telemetry | None) -> None:
        self._telemetry = telemetry

    def describe(self) -> Iterator[Metric]:
        """Yields nothing, so that registering does not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families."""
        spans = CounterMetricFamily("voicepipe_trace_spans", "Spans of traces, by their fate.", labels=["outcome"])
        spans_waiting = GaugeMetricFamily("voicepipe_trace_spans_waiting", "Spans that wait for the collector.")
        sent = CounterMetricFamily("voicepipe_webhooks", "Webhooks, by their fate.", labels=["target", "outcome"])
        waiting = GaugeMetricFamily("voicepipe_webhooks_waiting", "Webhooks that wait.", labels=["target"])
        telemetry = self._telemetry
        if telemetry is not None and (traces := telemetry.traces) is not None:
            spans.add_metric(["exported"], traces.exported)
            spans.add_metric(["dropped"], traces.dropped)
            spans_waiting.add_metric([], traces.waiting)
        for target, counts in telemetry.webhooks.counts.items() if telemetry is not None else ():
            for outcome in ("delivered", "failed", "dropped"):
                sent.add_metric([target, outcome], getattr(counts, outcome))
            waiting.add_metric([target], counts.waiting)
        yield from (spans, spans_waiting, sent, waiting)
