"""The metrics of an engine's fleet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.fleet.engine_fleet import EngineFleet


class FleetCollector(Collector):
    """Collects whether etcd is reached, and what the fleet has decided.

    Args:
        fleet: the engine's fleet; without one, or None, the metrics have no series.

    """

    def __init__(self, fleet: EngineFleet | None) -> None:
        self._fleet = fleet

    def describe(self) -> Iterator[Metric]:
        """Yields nothing, so that registering does not scrape."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yields the metric families."""
        fleet = self._fleet
        reached = GaugeMetricFamily("voicepipe_fleet_etcd_up", "1 while the fleet's etcd is reached, else 0.")
        decided = GaugeMetricFamily(
            "voicepipe_fleet_version",
            "The version that the fleet has decided on, as far as it is known.",
            labels=["set"],
        )
        behind = GaugeMetricFamily(
            "voicepipe_fleet_behind", "1 while a set does not serve what the fleet has decided, else 0.", labels=["set"]
        )
        if fleet is not None and fleet.fleet is not None:
            reached.add_metric([], 0 if fleet.away else 1)
            for name in fleet.names:
                version = None if fleet.membership is None else fleet.membership.decided(name)
                if version is not None:
                    decided.add_metric([name], version.version)
                    behind.add_metric([name], 1 if fleet.is_behind(name) else 0)
        yield from (reached, decided, behind)
