"""The metrics of pipeline sets for Prometheus: counters that observers add to, and gauges that are read at a scrape."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import chain, islice
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from attrs import define, field
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from reference_engine.reports.call_counters import CallCounts, call_counter_families
from reference_engine.reports.call_times import CallTimes, call_time_families
from reference_engine.reports.json_bodies import serves_last_known_good
from reference_engine.reports.turn_metrics import TurnTimes, turn_families
from voicepipe import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from voicepipe import ComponentUsage, PipelineSet, Role

OUTCOMES = (
    ("applied", ""),
    ("unchanged", ""),
    ("rejected", "config"),
    ("rejected", "open"),
    ("rejected", "limit"),
    ("rejected", "defect"),
)
"""The outcomes of reloads, each with its reason; all series exist from the start, at 0."""

Refusal: TypeAlias = Literal["full", "paused", "no_version", "not_announced", "not_opened", "closing"]
"""Why a call was refused: `max_calls` are up, the set has no version, the call was not announced, it was announced for
a pipeline that is not open, or the set closes."""

REFUSALS: tuple[Refusal, ...] = get_args(Refusal)
"""All of them; their series exist from the start, at 0."""

MAX_PIPELINES_AT_ZERO = 200
"""The most pipelines of a set whose series exist at 0; those of further ones begin with their first call. A scrape runs
on the event loop that calls run on, so it must stay short."""

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
"""The states of a circuit breaker, in the order of their numbers in `voicepipe_component_state`."""

Attempts: TypeAlias = "Mapping[tuple[Role, str], tuple[int, int, int]]"
"""The numbers of calls' attempts that succeeded, failed, and were excused, by role and component."""


@define
class SetCounters:
    """The counts of one set."""

    reloads: Counter[tuple[str, str]] = field(factory=lambda: Counter(dict.fromkeys(OUTCOMES, 0)))
    fit_at: float = 0.0
    calls: CallCounts = field(factory=CallCounts)
    times: CallTimes = field(factory=CallTimes)
    refused: Counter[str] = field(factory=lambda: Counter(dict.fromkeys(REFUSALS, 0)))
    turns: TurnTimes = field(factory=TurnTimes)
    usage: defaultdict[tuple[str, str, str], float] = field(factory=lambda: defaultdict(float))

    def begin_at_zero(self, pipelines: PipelineSet) -> None:
        """Creates the series of a set at 0, so that the first event of each is an increase."""
        parts: dict[str, list[str]] = defaultdict(list)
        if pipelines.version is not None:
            parts["pipelines"] = list(islice(pipelines.current.pipelines, MAX_PIPELINES_AT_ZERO))
            for health in pipelines.current.components:
                parts[health.role].append(health.name)
            self.turns.begin_at_zero(parts["pipelines"])
            self.times.begin_at_zero(parts["pipelines"])
        self.calls.begin_at_zero(parts)

    def add_usage(self, usage: ComponentUsage) -> None:
        """Adds the usage of a call; an unknown amount adds nothing, so its series begins with the first known one."""
        for kind in USAGE_KINDS:
            if (amount := getattr(usage, kind)) is not None:
                self.usage[usage.role, usage.component, kind] += amount


class SetsCollector(Collector):
    """Collects the metrics of sets: their present state, and their counts."""

    def __init__(
        self,
        sets: Mapping[str, PipelineSet],
        counted: Mapping[str, SetCounters],
        attempts: Callable[[], Attempts],
    ) -> None:
        self._sets, self._counted, self._attempts = sets, counted, attempts

    def describe(self) -> Iterator[Metric]:
        """Yields nothing, so that registering does not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families of all sets."""
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
        calls = GaugeMetricFamily("voicepipe_active_calls", "Calls that are up.", labels=["set", "version"])
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
        refused = CounterMetricFamily(
            "voicepipe_calls_refused", "Calls that were refused at once.", labels=["set", "reason"]
        )
        usage = CounterMetricFamily(
            "voicepipe_usage", "What calls used of components.", labels=["set", "role", "component", "kind"]
        )
        for name, pipelines in self._sets.items():
            counted = self._counted[name]
            counted.begin_at_zero(pipelines)
            for outcome, number in counted.reloads.items():
                reloads.add_metric([name, *outcome], number)
            for reason, number in counted.refused.items():
                refused.add_metric([name, reason], number)
            for used, amount in counted.usage.items():
                usage.add_metric([name, *used], amount)
        yield from (reloads, refused)
        yield from call_counter_families((name, self._counted[name].calls) for name in self._sets)
        yield usage
        yield from call_time_families((name, self._counted[name].times) for name in self._sets)
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
                component = health.role, health.name  # if several have one name, the worst state counts
                worst[component] = max(worst[component], STATES.index(health.state))
            for component, number in worst.items():
                state.add_metric([name, *component], number)
        for which, (succeeded, failed, excused) in self._attempts().items():
            attempts.add_metric([*which, "success"], succeeded)
            attempts.add_metric([*which, "failure"], failed)
            attempts.add_metric([*which, "excused"], excused)
        yield from (state, attempts)


def _writable(labels: Mapping[str, str]) -> dict[str, str]:
    """Returns labels that can be written in UTF-8; bytes of a file name that are not UTF-8 are escaped."""
    return {name: value.encode("utf-8", "backslashreplace").decode() for name, value in labels.items()}
