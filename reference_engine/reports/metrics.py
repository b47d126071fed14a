"""The metrics that Prometheus scrapes. Events add to plain numbers; everything else is done at a scrape.

| metric | labels | meaning |
| --- | --- | --- |
| `voicepipe_reloads_total` | set, outcome, reason | reloads by `applied`, `unchanged`, `rejected`; why, if rejected |
| `voicepipe_config_last_reload_successful` | set | 0 if the last reload was rejected, at whatever stage; else 1 |
| `voicepipe_config_last_reload_success_timestamp_seconds` | set | when files were last valid, the start's included |
| `voicepipe_engine_config_last_reload_successful` | | the same for the engine's own file |
| `voicepipe_last_known_good` | set | 1 if it serves last-known-good files because the current ones are invalid |
| `voicepipe_degraded` | set | what the serving version lacks: components not open yet, apologies not spoken |
| `voicepipe_set_info` | set, version, digest | 1, for the version that the next call gets |
| `voicepipe_live_versions` | set | versions whose components are open: the serving one, and those that calls hold |
| `voicepipe_active_calls` | set, version | calls that hold a live version |
| `voicepipe_calls_total` | set, pipeline, outcome | calls that have ended |
| `voicepipe_calls_refused_total` | set, reason | calls that were refused: `full`, `no_version`, `closing`, ... |
| `voicepipe_call_seconds` | set, pipeline | the lengths of calls that have ended |
| `voicepipe_tool_seconds` | set, tool, outcome | how long tools took: `ok` or `failed` |
| `voicepipe_full` | | 1 while there are as many calls as `max_calls` allows, and more are refused |
| `voicepipe_max_calls` | | `max_calls`; no series without a limit |
| `voicepipe_connections_refused_total` | | connections that were no calls, or broke the protocol |
| `voicepipe_response_seconds` | set, pipeline | from the end of the caller's speech to the reply's first audio |
| `voicepipe_turn_step_seconds` | set, pipeline, step | the same until each step was done: `final`, `first_token`, ... |
| `voicepipe_interruptions_total` | set, pipeline, outcome | replies that callers stopped: `ended`, or `resumed` |
| `voicepipe_prepared_replies_total` | set, pipeline, outcome | replies begun before the words were final |
| `voicepipe_component_failures_total` | set, role, component | failures that calls have met |
| `voicepipe_failovers_total` | set, role, rung | what was done about them: `retry`, `alternate`, `apology` |
| `voicepipe_usage_total` | set, role, component, kind | what calls that have ended used: tokens, characters, seconds |
| `voicepipe_component_attempts_total` | role, component, outcome | `success`, `failure`, `excused` |
| `voicepipe_component_state` | set, role, component | circuit breaker: 0 closed, 1 half open, 2 open |
| `voicepipe_recordings_failed_total` | set, pipeline | calls whose recording has failed, or ended before they did |
| `voicepipe_records_lost_total` | | calls' records that could not be written; in a database: rows |
| `voicepipe_records_waiting` | where | rows for the database that wait in `memory`, and in the `spool` on disk |
| `voicepipe_records_deleted_total` | what | calls whose records, recordings or transcripts `keep` had deleted |
| `voicepipe_event_loop_lag_seconds` | | the lengths of turns of the event loop, by which others wait |
| `voicepipe_trace_spans_total` | outcome | spans of traces: `exported`, `dropped` |
| `voicepipe_trace_spans_waiting` | | spans that wait for the collector |
| `voicepipe_webhooks_total` | target, outcome | webhooks: `delivered`, `failed`, `dropped` |
| `voicepipe_webhooks_waiting` | target | webhooks that wait |
| `voicepipe_build_info` | version, python | 1 |
| `process_*` | | memory, CPU time, descriptors, start time |

A removed set has no series. A set that has never served has the first two, and the counters without a label `pipeline`.
Prometheus sees a counter's first event as an increase only if the series was there before, at 0. So all counters,
except those of steps and of usage, exist as soon as calls can get a pipeline.
"""

from __future__ import annotations

import platform
from collections import defaultdict
from typing import TYPE_CHECKING, TypeAlias

import trio
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from reference_engine.reports.histogram import Histogram
from reference_engine.reports.loop_watch import LAG_S
from reference_engine.reports.set_metrics import SetCounters, SetsCollector
from voicepipe import (
    Applied,
    CallBegan,
    CallEnded,
    ComponentUsed,
    Rejected,
    TurnEnded,
    Unchanged,
    __version__,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from reference_engine.reloads.outcomes import EngineOutcome
    from reference_engine.reports.set_metrics import Attempts, Refusal
    from voicepipe import CallEvent, PipelineSet, SetEvent

KnownCall: TypeAlias = "tuple[str, str, str]"
"""Of a call that is up: its pipeline set's name, its pipeline's, and the ID of its trace, which is empty if it has none
that is recorded."""


def _living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living if trio.lowlevel.in_trio_run() else 0


class Metrics:
    """The engine's metrics.

    Args:
        sets: the pipeline sets by name, with a version or without; read at each scrape.
        attempts: returns how calls' attempts at each component have ended; called at each scrape.
        records_lost: returns the number of records that could not be written; called at each scrape.
        records_waiting: returns the number of rows that wait for a database, by where; called at each scrape.
        records_deleted: returns the number of calls of which something was deleted, by what; called at each scrape.
        max_calls: returns the most calls at once; None: there is no limit.
        turns: the lengths of turns of the event loop; None: they are not measured.
        others: collect metrics of parts that stand on this one.

    """

    def __init__(
        self,
        sets: Mapping[str, PipelineSet],
        attempts: Callable[[], Attempts] = dict,
        records_lost: Callable[[], int] = int,
        *,
        records_waiting: Callable[[], Mapping[str, int]] = dict,
        records_deleted: Callable[[], Mapping[str, int]] = dict,
        max_calls: Callable[[], int | None] = lambda: None,
        turns: Histogram | None = None,
        others: Iterable[Collector] = (),
    ) -> None:
        self._sets = sets
        self._counted: defaultdict[str, SetCounters] = defaultdict(SetCounters)
        self._calls: dict[str, KnownCall] = {}
        self._registry = CollectorRegistry()
        self._registry.register(SetsCollector(sets, self._counted, attempts))
        self.connections_refused = 0
        self._registry.register(
            _EngineCollector(
                self, (records_lost, records_waiting, records_deleted), max_calls, turns or Histogram(LAG_S)
            )
        )
        for other in others:
            self._registry.register(other)
        self._engine_fit = Gauge(
            "voicepipe_engine_config_last_reload_successful",
            "Whether the engine's own file was valid at its last reload.",
            registry=self._registry,
        )
        self._engine_fit.set(1)
        self._full = Gauge(
            "voicepipe_full", "Whether there are as many calls as max_calls allows.", registry=self._registry
        )
        tasks = Gauge("voicepipe_tasks", "Trio tasks that are running or waiting.", registry=self._registry)
        tasks.set_function(_living_tasks)
        ProcessCollector(registry=self._registry)

    def observe_set(self, event: SetEvent) -> None:
        """Counts an outcome; an observer of pipeline sets."""
        match event:
            case Applied() | Unchanged():
                outcome = "applied" if isinstance(event, Applied) else "unchanged"
                counted = self._counted[event.set]
                counted.reloads[outcome, ""] += 1
                counted.fit_at = event.at.timestamp()
            case Rejected():
                self._counted[event.set].reloads["rejected", event.reason] += 1
            case _:
                pass

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Notes an outcome of the engine's own file; an observer of reloads."""
        self._engine_fit.set(outcome.outcome != "rejected")

    def observe_call(self, event: CallEvent) -> None:
        """Counts an event of a call; an observer of calls."""
        if isinstance(event, CallBegan):
            trace_id = event.trace.trace_id if event.trace is not None and event.trace.sampled else ""
            self._calls[event.call_id] = event.set, event.pipeline, trace_id
        elif (call := self._calls.get(event.call_id)) is not None:
            name, pipeline, trace_id = call
            self._counted[name].calls.observe(pipeline, event)
            self._counted[name].times.observe(pipeline, event, trace_id)
            if isinstance(event, TurnEnded):
                self._counted[name].turns.observe(pipeline, event, trace_id)
            elif isinstance(event, ComponentUsed):
                self._counted[name].add_usage(event.usage)
            elif isinstance(event, CallEnded):
                del self._calls[event.call_id]

    def observe_refused(self, name: str, reason: Refusal) -> None:
        """Counts a call that a set refused."""
        self._counted[name].refused[reason] += 1

    def observe_refused_connection(self) -> None:
        """Counts a connection that was no call, or that broke the protocol."""
        self.connections_refused += 1

    def observe_full(self, full: bool) -> None:
        """Notes whether `max_calls` is reached."""
        self._full.set(full)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Returns all metrics and their `Content-Type`.

        Args:
            accept: the header `Accept` of the request. If it names OpenMetrics, as Prometheus does, the metrics have
                exemplars; otherwise they are in Prometheus's text format, 0.0.4.

        """
        for name in self._counted.keys() - self._sets.keys():
            del self._counted[name]
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _EngineCollector(Collector):
    """Collects what concerns the engine as a whole."""

    def __init__(
        self,
        metrics: Metrics,
        records: tuple[Callable[[], int], Callable[[], Mapping[str, int]], Callable[[], Mapping[str, int]]],
        max_calls: Callable[[], int | None],
        turns: Histogram,
    ) -> None:
        self._metrics, self._max_calls, self._turns = metrics, max_calls, turns
        self._records_lost, self._records_waiting, self._records_deleted = records

    def describe(self) -> Iterator[Metric]:
        """Yields nothing, so that registering does not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        lost = CounterMetricFamily("voicepipe_records_lost", "Calls' records that could not be written.")
        lost.add_metric([], self._records_lost())
        waiting = GaugeMetricFamily("voicepipe_records_waiting", "Rows that wait for the database.", labels=["where"])
        for where, number in self._records_waiting().items():
            waiting.add_metric([where], number)
        deleted = CounterMetricFamily(
            "voicepipe_records_deleted", "Calls of which something was deleted by `keep`.", labels=["what"]
        )
        for what, number in self._records_deleted().items():
            deleted.add_metric([what], number)
        refused = CounterMetricFamily("voicepipe_connections_refused", "Connections that were no calls.")
        refused.add_metric([], self._metrics.connections_refused)
        limit = GaugeMetricFamily("voicepipe_max_calls", "The most calls at once.", labels=[])
        if (most := self._max_calls()) is not None:
            limit.add_metric([], most)
        lag = HistogramMetricFamily("voicepipe_event_loop_lag_seconds", "How long turns of the event loop took.")
        lag.add_metric([], self._turns.buckets(), self._turns.total)
        build = GaugeMetricFamily("voicepipe_build_info", "The software.", labels=["version", "python"])
        build.add_metric([__version__, platform.python_version()], 1)
        yield from (lost, waiting, deleted, refused, limit, lag, build)
