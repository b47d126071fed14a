"""What Prometheus scrapes: counts that events add to, and states that are read when somebody asks.

| metric | labels | what it is |
| --- | --- | --- |
| `voicepipe_reloads_total` | set, outcome, reason | reloads by `applied`, `unchanged`, `rejected`; why, if rejected |
| `voicepipe_config_last_reload_successful` | set | 0 if the last reload was rejected, at whatever stage; else 1 |
| `voicepipe_config_last_reload_success_timestamp_seconds` | set | when files were last valid, the start's included |
| `voicepipe_engine_config_last_reload_successful` | | the same for the engine's own file |
| `voicepipe_last_known_good` | set | 1 if it serves last-known-good files because the current ones are invalid |
| `voicepipe_degraded` | set | what the serving version lacks: components not open yet, apologies not spoken |
| `voicepipe_set_info` | set, version, digest | 1, for the version that the next call gets |
| `voicepipe_live_versions` | set | versions whose components are open: the serving one, and those that calls hold |
| `voicepipe_calls` | set, version | calls that hold a live version |
| `voicepipe_calls_total` | set, pipeline, outcome | calls that have ended |
| `voicepipe_calls_refused_total` | set | calls that were refused: past `max_calls`, or the set was closing |
| `voicepipe_full` | | 1 while there are as many calls as `max_calls` allows, and more are refused |
| `voicepipe_response_seconds` | set, pipeline | from the end of the caller's speech to the reply's first audio |
| `voicepipe_turn_step_seconds` | set, pipeline, step | the same until each step was done: `final`, `first_token`, ... |
| `voicepipe_interruptions_total` | set, pipeline, outcome | replies that were stopped: `ended` there, or `resumed` |
| `voicepipe_prepared_replies_total` | set, pipeline, outcome | replies begun before the words were final |
| `voicepipe_component_failures_total` | set, role, component | failures that calls have met |
| `voicepipe_failovers_total` | set, role, rung | what was done about them: `retry`, `alternate`, `apology` |
| `voicepipe_usage_total` | set, role, component, kind | what calls that have ended used: tokens, characters, seconds |
| `voicepipe_component_attempts_total` | role, component, outcome | `success`, `failure`, `excused` |
| `voicepipe_component_state` | set, role, component | circuit breaker: 0 closed, 1 half open, 2 open |
| `voicepipe_recordings_failed_total` | set, pipeline | calls whose recording has failed, or ended before they did |
| `voicepipe_records_lost_total` | | calls' records that could not be written |
| `process_*` | | memory, CPU time, descriptors, start time |

A set that is gone has no series. One that has never served has the first two, and counts that need no pipeline. All
counts but those of steps and of usage are there at 0 as soon as calls can get a pipeline: else the first would be no
increase.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import define, field
from prometheus_client import CollectorRegistry, Gauge, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reference_engine.reports.call_counters import CallCounts, call_counter_families
from reference_engine.reports.json_bodies import serves_last_known_good
from reference_engine.reports.turn_metrics import TurnTimes, turn_families
from voicepipe import Applied, CallBegan, CallEnded, ComponentUsed, Rejected, TurnEnded, Unchanged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reference_engine.reloads.outcomes import EngineOutcome
    from voicepipe import CallEvent, ComponentUsage, PipelineSet, Role, SetEvent

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
"""What `exposition()` is, for HTTP's `Content-Type`."""

OUTCOMES = (
    ("applied", ""),
    ("unchanged", ""),
    ("rejected", "config"),
    ("rejected", "open"),
    ("rejected", "limit"),
    ("rejected", "defect"),
)
"""Outcome and reason of reloads; all are there from the start, so that a first rejection is an increase."""

MAX_PIPELINES_AT_ZERO = 200
"""Of how many pipelines of a set there are series before their first call; of others they begin with that. A scrape is
made on the loop that calls are on."""

USAGE_KINDS = (
    "requests",
    "reported",
    "input_tokens",
    "output_tokens",
    "characters",
    "audio_s",
    "charged_characters",
    "charged_audio_s",
)
"""The values of `kind` in `voicepipe_usage_total`: fields of `ComponentUsage`."""

STATES = ("closed", "half_open", "open")
"""A component's states, each at its number in `voicepipe_component_state`."""

Attempts: TypeAlias = "Mapping[tuple[Role, str], tuple[int, int, int]]"
"""How many attempts of calls succeeded, failed, and failed for no fault of the component's, by role and component."""

PerPipeline: TypeAlias = "tuple[str, str]"
"""A pipeline set's name, and a pipeline's."""


def _living_tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living if trio.lowlevel.in_trio_run() else 0


@define
class _Counted:
    """What has been counted of one set."""

    reloads: Counter[tuple[str, str]] = field(factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)))
    fit_at: float = 0.0
    calls: CallCounts = field(factory=CallCounts)
    refused: int = 0
    turns: TurnTimes = field(factory=TurnTimes)
    usage: defaultdict[tuple[str, str, str], float] = field(factory=lambda: defaultdict(float))

    def begin_at_zero(self, pipelines: PipelineSet) -> None:
        """Enters whatever may be counted of a set, so that the first event is an increase."""
        parts: dict[str, list[str]] = defaultdict(list)
        if pipelines.version is not None:
            parts["pipelines"] = list(islice(pipelines.current.pipelines, MAX_PIPELINES_AT_ZERO))
            for health in pipelines.current.components:
                parts[health.role].append(health.name)
            self.turns.begin_at_zero(parts["pipelines"])
        self.calls.begin_at_zero(parts)

    def add_usage(self, usage: ComponentUsage) -> None:
        """Adds what a call used; what is not known adds nothing, so that a series begins with the first known."""
        for kind in USAGE_KINDS:
            if (amount := getattr(usage, kind)) is not None:
                self.usage[usage.role, usage.component, kind] += amount


class Metrics:
    """The engine's metrics; its observers add to plain numbers, and all else is done when it is scraped."""

    def __init__(
        self,
        sets: Mapping[str, PipelineSet],
        attempts: Callable[[], Attempts] = dict,
        records_lost: Callable[[], int] = int,
    ) -> None:
        """Takes the sets by name, with a version or without; which they are is looked up at each scrape.

        So is `attempts`: how many succeeded and failed at each component.
        """
        self._sets = sets
        self._counted: defaultdict[str, _Counted] = defaultdict(_Counted)
        self._calls: dict[str, PerPipeline] = {}
        self._registry = CollectorRegistry()
        self._registry.register(_Scrape(sets, self._counted, attempts))
        self._registry.register(_Lost(records_lost))
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
        """Takes in what a pipeline set tells its observer."""
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
        """Takes in how the engine's own file fared."""
        self._engine_fit.set(outcome.outcome != "rejected")

    def observe_call(self, event: CallEvent) -> None:
        """Takes in what a call tells its observer."""
        if isinstance(event, CallBegan):
            self._calls[event.call_id] = event.set, event.pipeline
        elif (call := self._calls.get(event.call_id)) is not None:
            name, pipeline = call
            self._counted[name].calls.observe(pipeline, event)
            if isinstance(event, TurnEnded):
                self._counted[name].turns.observe(pipeline, event)
            elif isinstance(event, ComponentUsed):
                self._counted[name].add_usage(event.usage)
            elif isinstance(event, CallEnded):
                del self._calls[event.call_id]

    def observe_refused(self, name: str) -> None:
        """Counts a call that a set did not take."""
        self._counted[name].refused += 1

    def observe_full(self, full: bool) -> None:
        """Takes in whether there is room for one more call."""
        self._full.set(full)

    def exposition(self) -> bytes:
        """All of them in Prometheus's text format, 0.0.4."""
        for name in self._counted.keys() - self._sets.keys():
            del self._counted[name]
        return generate_latest(self._registry)


class _Lost(Collector):
    """What could not be kept of calls."""

    def __init__(self, records: Callable[[], int]) -> None:
        self._records = records

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering does not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        lost = CounterMetricFamily("voicepipe_records_lost", "Calls' records that could not be written.")
        lost.add_metric([], self._records())
        yield lost


class _Scrape(Collector):
    """Makes metrics of the sets as they are, and of what was counted."""

    def __init__(
        self,
        sets: Mapping[str, PipelineSet],
        counted: Mapping[str, _Counted],
        attempts: Callable[[], Attempts],
    ) -> None:
        self._sets, self._counted, self._attempts = sets, counted, attempts

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that registering does not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        for family in chain(self._states(), self._counts(), self._components()):
            family.samples = [sample._replace(labels=_writable(sample.labels)) for sample in family.samples]
            yield family

    def _states(self) -> Iterator[Metric]:
        successful = GaugeMetricFamily(
            "voicepipe_config_last_reload_successful", "Whether the last reload's files were valid.", labels=["set"]
        )
        fit_at = GaugeMetricFamily(
            "voicepipe_config_last_reload_success_timestamp_seconds",
            "When files were last found valid, at a reload or at the start.",
            labels=["set"],
        )
        info = GaugeMetricFamily(
            "voicepipe_set_info", "The version that the next call gets.", labels=["set", "version", "digest"]
        )
        kept = GaugeMetricFamily(
            "voicepipe_last_known_good",
            "Whether it serves last-known-good files because the current ones are invalid.",
            labels=["set"],
        )
        degraded = GaugeMetricFamily(
            "voicepipe_degraded", "What the serving version lacks, and is tried again.", labels=["set"]
        )
        live = GaugeMetricFamily("voicepipe_live_versions", "Versions that serve or that calls hold.", labels=["set"])
        calls = GaugeMetricFamily("voicepipe_calls", "Calls that are up.", labels=["set", "version"])
        for name, pipelines in self._sets.items():
            if pipelines.version is None:
                if isinstance(pipelines.last_attempt, Rejected):
                    successful.add_metric([name], 0)
                continue
            current = pipelines.current
            versions = [version for version in pipelines.history if version.state != "retired"]
            applied_at = max((version.applied_at.timestamp() for version in versions), default=0.0)
            successful.add_metric([name], 0 if isinstance(pipelines.last_attempt, Rejected) else 1)
            fit_at.add_metric([name], max(self._counted[name].fit_at, applied_at))
            info.add_metric([name, str(current.version), current.digest], 1)
            kept.add_metric([name], serves_last_known_good(pipelines))
            degraded.add_metric([name], len(pipelines.degraded))
            live.add_metric([name], len(versions))
            for version in versions:
                calls.add_metric([name, str(version.version)], version.calls)
        yield from (successful, fit_at, info, kept, degraded, live, calls)

    def _counts(self) -> Iterator[Metric]:
        reloads = CounterMetricFamily("voicepipe_reloads", "Reloads.", labels=["set", "outcome", "reason"])
        refused = CounterMetricFamily("voicepipe_calls_refused", "Calls that were refused at once.", labels=["set"])
        usage = CounterMetricFamily(
            "voicepipe_usage", "What calls used of components.", labels=["set", "role", "component", "kind"]
        )
        for name, pipelines in self._sets.items():
            counted = self._counted[name]
            counted.begin_at_zero(pipelines)
            for outcome, number in counted.reloads.items():
                reloads.add_metric([name, *outcome], number)
            refused.add_metric([name], counted.refused)
            for used, amount in counted.usage.items():
                usage.add_metric([name, *used], amount)
        yield from (reloads, refused)
        yield from call_counter_families((name, self._counted[name].calls) for name in self._sets)
        yield usage
        yield from turn_families((name, self._counted[name].turns) for name in self._sets)

    def _components(self) -> Iterator[Metric]:
        state = GaugeMetricFamily(
            "voicepipe_component_state",
            "Circuit breaker of a component: 0 closed, 1 half open, 2 open.",
            labels=["set", "role", "component"],
        )
        attempts = CounterMetricFamily(
            "voicepipe_component_attempts",
            "What calls asked of a component, and what came of it.",
            labels=["role", "component", "outcome"],
        )
        for name, pipelines in self._sets.items():
            if pipelines.version is None:
                continue
            worst: Counter[tuple[Role, str]] = Counter()
            for health in pipelines.current.components:
                component = health.role, health.name  # several may have one name: the worst state counts
                worst[component] = max(worst[component], STATES.index(health.state))
            for component, number in worst.items():
                state.add_metric([name, *component], number)
        for which, (succeeded, failed, excused) in self._attempts().items():
            attempts.add_metric([*which, "success"], succeeded)
            attempts.add_metric([*which, "failure"], failed)
            attempts.add_metric([*which, "excused"], excused)
        yield from (state, attempts)


def _writable(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as UTF-8 can hold them: bytes of a file's name may be none."""
    return {name: value.encode("utf-8", "backslashreplace").decode() for name, value in labels.items()}
