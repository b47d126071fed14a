"""Makes the metrics of the engine of those of its workers, so that no sum ever falls.

| type | in the engine's metrics |
| --- | --- |
| counter, histogram | the sum over all workers that there have been, the dead with what they last said |
| gauge | by `GAUGES`: the sum, the greatest or the least value of the workers that answer |
| exemplar | the latest |
| `_created` | the earliest |

A worker is a process: one that is started again under the same number begins at 0, and what its predecessor counted is
kept apart. What a worker counted between the last time that it was asked and a sudden death is lost, as it would be if
an engine of one process died; a worker that ends in order leaves its last metrics behind (`leave`).

A pipeline set that was removed has no series in any worker, and then none of the dead counts for it either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reference_engine.supervisor.gateway.exposition import Family, Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

GAUGES: Final[Mapping[str, Callable[[Iterable[float]], float]]] = {
    "voicepipe_config_last_reload_successful": min,
    "voicepipe_config_last_reload_success_timestamp_seconds": max,
    "voicepipe_engine_config_last_reload_successful": min,
    "voicepipe_last_known_good": max,
    "voicepipe_degraded": max,
    "voicepipe_set_info": max,
    "voicepipe_fleet_etcd_up": min,
    "voicepipe_fleet_version": max,
    "voicepipe_fleet_behind": max,
    "voicepipe_live_versions": max,
    "voicepipe_active_calls": sum,
    "voicepipe_full": max,
    "voicepipe_max_calls": max,
    "voicepipe_component_state": max,
    "voicepipe_records_waiting": sum,
    "voicepipe_trace_spans_waiting": sum,
    "voicepipe_webhooks_waiting": sum,
    "voicepipe_tasks": sum,
    "voicepipe_build_info": max,
    "process_virtual_memory_bytes": sum,
    "process_resident_memory_bytes": sum,
    "process_start_time_seconds": min,
    "process_open_fds": max,  # with the next: those of the worker that has the fewest left
    "process_max_fds": max,
}
"""What is made of the values of a gauge in several workers. Where they should be the same in all, it is the value that
an alert waits for: the worst state, the reload that failed, every version that serves. Others are summed."""

_SUMMED: Final = frozenset({"counter", "histogram", "summary"})
_SET: Final = re.compile(r'[{,]set="((?:[^"\\]|\\.)*)"')


class Totals:
    """The counts of all workers, living and dead.

    A worker is named by anything that is another for another process, such as a number that is never used again.
    """

    def __init__(self) -> None:
        self._last: dict[Hashable, dict[str, Family]] = {}
        self._dead: dict[str, Family] = {}

    def leave(self, worker: Hashable, metrics: Mapping[str, Family] | None = None) -> None:
        """Notes that a worker has ended; what it has counted stays.

        Args:
            worker: the worker; one that has never been asked leaves nothing.
            metrics: its last metrics; None: those of when it was last asked.

        """
        last = self._last.pop(worker, {})
        for family in (last if metrics is None else metrics).values():
            if family.type in _SUMMED:
                _add(self._dead.setdefault(family.name, Family(family.name, family.type, family.help)), family)

    def merge(self, answers: Mapping[Hashable, Mapping[str, Family]], living: Iterable[Hashable]) -> list[Family]:
        """Returns the engine's metrics.

        Args:
            answers: the metrics of each worker that answered, as they are now.
            living: all workers that there are; of one that did not answer its last counts are used.

        """
        living = set(living)
        for worker in self._last.keys() - living:
            self.leave(worker)
        for worker, metrics in answers.items():
            if worker in living:
                self._last[worker] = {name: each for name, each in metrics.items() if each.type in _SUMMED}
        merged = _gauges(answers.values())
        for metrics in self._last.values():
            for family in metrics.values():
                _add(merged.setdefault(family.name, Family(family.name, family.type, family.help)), family)
        sets = {found[1] for family in merged.values() for series in family.samples if (found := _SET.search(series))}
        for family in self._dead.values():
            _add(merged.setdefault(family.name, Family(family.name, family.type, family.help)), family, sets)
        return list(merged.values())


def _gauges(answers: Iterable[Mapping[str, Family]]) -> dict[str, Family]:
    """Returns all families in the order that a worker has them in, with the samples of those that are not summed."""
    merged: dict[str, Family] = {}
    values: dict[str, dict[str, list[float]]] = {}
    for metrics in answers:
        for family in metrics.values():
            merged.setdefault(family.name, Family(family.name, family.type, family.help))
            for series, sample in family.samples.items() if family.type not in _SUMMED else ():
                values.setdefault(family.name, {}).setdefault(series, []).append(sample.value)
    for name, by_series in values.items():
        rule = GAUGES.get(name, max)
        merged[name].samples = {series: Sample(float(rule(of))) for series, of in by_series.items()}
    return merged


def _add(total: Family, other: Family, sets: set[str] | None = None) -> None:
    """Adds the samples of a counter or a histogram; with `sets`, only those of these sets, or of none."""
    for series, sample in other.samples.items():
        if sets and (found := _SET.search(series)) and found[1] not in sets:
            continue
        have = total.samples.get(series)
        if have is None:
            total.samples[series] = Sample(sample.value, sample.exemplar)
        elif other.suffix_of(series) == "_created":
            have.value = min(have.value, sample.value)
        else:
            have.value += sample.value
            if sample.exemplar and sample.exemplar_time >= have.exemplar_time:
                have.exemplar = sample.exemplar
