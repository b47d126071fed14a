"""R06: metrics tell of reloads by outcome and reason, whether and when the last one succeeded, and what serves."""

from __future__ import annotations

import time

import pytest
from patience import LONG_S
from prometheus_client.parser import text_string_to_metric_families
from recording import RecordedSet, pipeline, raising

from reference_engine.reports.metrics import Metrics
from voicepipe import ComponentError

NAMES = {
    "voicepipe_reloads_total": {"set", "outcome", "reason"},
    "voicepipe_config_last_reload_successful": {"set"},
    "voicepipe_config_last_reload_success_timestamp_seconds": {"set"},
    "voicepipe_set_info": {"set", "version", "digest"},
}


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


class Served:
    """A set whose reloads are counted."""

    def __init__(self, recorded):
        self.recorded, self.sets = recorded, {}
        self.metrics = Metrics(self.sets)

    async def reload(self):
        return await self.sets["main"].reload()

    def samples(self):
        families = text_string_to_metric_families(self.metrics.exposition()[0].decode())
        return [sample for family in families for sample in family.samples]

    def value(self, name, **labels):
        """Of the one sample that has these labels."""
        (value,) = [one.value for one in self.samples() if one.name == name and labels.items() <= one.labels.items()]
        return value

    def reloads(self):
        """Those that were counted, by outcome and reason."""
        return {
            (one.labels["outcome"], one.labels["reason"]): one.value
            for one in self.samples()
            if one.name == "voicepipe_reloads_total" and one.value
        }


@pytest.fixture
async def served(recorded):
    served = Served(recorded)
    async with recorded.serve(observer=served.metrics.observe_set) as served.sets["main"]:
        yield served


async def test_the_names_and_labels(served):
    for name, labels in NAMES.items():
        found = [set(sample.labels) for sample in served.samples() if sample.name == name]
        assert found
        assert all(names == labels for names in found)


async def test_at_the_start(served):
    assert served.value("voicepipe_config_last_reload_successful") == 1
    assert time.time() - LONG_S < served.value("voicepipe_config_last_reload_success_timestamp_seconds") <= time.time()
    current = served.sets["main"].current
    assert served.value("voicepipe_set_info", set="main", version="1", digest=current.digest) == 1
    assert served.reloads() == {}
    for reason in ("config", "open", "limit", "defect"):  # so that the first of them is an increase
        assert served.value("voicepipe_reloads_total", outcome="rejected", reason=reason) == 0


async def test_applied_and_unchanged(served):
    began = served.value("voicepipe_config_last_reload_success_timestamp_seconds")
    served.recorded.write(default=pipeline(tts="b"))
    applied = await served.reload()
    assert served.reloads() == {("applied", ""): 1}
    assert served.value("voicepipe_set_info") == 1  # one series a set
    assert served.value("voicepipe_set_info", version="2", digest=applied.digest) == 1
    first = served.value("voicepipe_config_last_reload_success_timestamp_seconds")
    assert first == applied.at.timestamp() > began
    unchanged = await served.reload()
    assert served.reloads() == {("applied", ""): 1, ("unchanged", ""): 1}
    assert served.value("voicepipe_config_last_reload_success_timestamp_seconds") == unchanged.at.timestamp() > first
    assert served.value("voicepipe_config_last_reload_successful") == 1


def break_the_file(served):
    served.recorded.path.write_text("pipelines: [")


def break_a_component(served):
    served.recorded.opening["tts b"] = raising(ComponentError("no such voice"))
    served.recorded.write(default=pipeline(tts="b"))


class Fault(BaseException):
    """What nobody expects an adapter's check to raise."""


def break_the_code(served):
    def check(_options):
        raise Fault

    served.recorded.check = check


@pytest.mark.parametrize(
    ("stage", "reason"), [(break_the_file, "config"), (break_a_component, "open"), (break_the_code, "defect")]
)
async def test_a_failure_at_any_stage(served, stage, reason):
    before = served.value("voicepipe_config_last_reload_success_timestamp_seconds")
    stage(served)
    rejected = await served.reload()
    assert rejected.reason == reason
    assert served.reloads() == {("rejected", reason): 1}
    assert served.value("voicepipe_config_last_reload_successful") == 0
    assert served.value("voicepipe_config_last_reload_success_timestamp_seconds") == before
    assert served.value("voicepipe_set_info", version="1") == 1
    served.recorded.opening.clear()
    served.recorded.check = lambda _options: ()
    served.recorded.write(default=pipeline(tts="c"))
    await served.reload()
    assert served.value("voicepipe_config_last_reload_successful") == 1
    assert served.reloads() == {("rejected", reason): 1, ("applied", ""): 1}


async def test_a_limit_is_a_failure_too(served):
    main = served.sets["main"]
    main.max_live_versions = 1
    with main.pin():
        served.recorded.write(default=pipeline(tts="b"))
        assert (await served.reload()).reason == "limit"
    assert served.reloads() == {("rejected", "limit"): 1}
    assert served.value("voicepipe_config_last_reload_successful") == 0


async def test_each_set_has_its_own_and_a_set_that_is_gone_has_none(served, tmp_path):
    (tmp_path / "acme").mkdir()
    other = RecordedSet(tmp_path / "acme")
    async with other.serve(name="acme", observer=served.metrics.observe_set) as served.sets["acme"]:
        other.path.write_text("")
        await served.sets["acme"].reload()
        assert served.value("voicepipe_config_last_reload_successful", set="acme") == 0
        assert served.value("voicepipe_config_last_reload_successful", set="main") == 1
        assert served.value("voicepipe_reloads_total", set="acme", outcome="rejected", reason="config") == 1
        assert served.value("voicepipe_reloads_total", set="main", outcome="rejected", reason="config") == 0
        closed = served.sets.pop("acme")
    assert {sample.labels.get("set", "main") for sample in served.samples()} == {"main"}
    served.sets["acme"] = closed  # one of that name that comes again counts from zero, closed as this one is
    assert served.value("voicepipe_reloads_total", set="acme", outcome="rejected", reason="config") == 0


async def test_a_real_engine_s_metrics_log_and_http_tell_the_same(engine):
    async def told():
        samples = await engine.samples()
        (shown,) = (await engine.ask("GET", "/sets")).json()["sets"]
        assert samples[f'voicepipe_set_info{{digest="{shown["digest"]}",set="main",version="{shown["version"]}"}}'] == 1
        return samples, shown

    engine.edit("active_pipeline: default", "active_pipeline: night")
    applied = (await engine.ask("POST", "/-/reload")).json()
    samples, shown = await told()
    assert samples['voicepipe_reloads_total{outcome="applied",reason="",set="main"}'] == 1
    assert (shown["version"], shown["digest"]) == (applied["version"], applied["digest"])
    assert (await engine.logged("reload.applied"))["digest"] == applied["digest"]
    fit_at = samples['voicepipe_config_last_reload_success_timestamp_seconds{set="main"}']
    assert abs(fit_at - time.time()) < LONG_S

    engine.edit("active_pipeline: night", "active_pipeline: nigth")
    engine.hang_up()
    rejected = await engine.logged("reload.rejected")
    samples, shown = await told()
    assert samples['voicepipe_reloads_total{outcome="rejected",reason="config",set="main"}'] == 1
    assert samples['voicepipe_config_last_reload_successful{set="main"}'] == 0
    assert samples['voicepipe_config_last_reload_success_timestamp_seconds{set="main"}'] == fit_at
    assert shown["last_attempt"]["errors"] == rejected["problems"]
    assert shown["version"] == rejected["serving_version"] == 2
