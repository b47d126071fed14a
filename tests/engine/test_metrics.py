"""What metrics make of calls; tests of promises have those of reloads."""

from __future__ import annotations

from datetime import datetime
from itertools import product
from types import SimpleNamespace
from typing import get_args

import pytest
from attrs import evolve
from prometheus_client import REGISTRY
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from recording import RecordedSet, pipeline

from reference_engine.reports.call_counters import ROLES
from reference_engine.reports.call_times import CALL_S
from reference_engine.reports.histogram import Histogram
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.set_metrics import REFUSALS
from reference_engine.reports.turn_metrics import RESPONSE_S, STEP_S
from reference_engine.telemetry.telemetry_metrics import TelemetryCollector
from reference_engine.telemetry.webhook_delivery import TargetCounts
from voicepipe import (
    CallBegan,
    CallEnded,
    CallInfo,
    ComponentError,
    ComponentFailed,
    ComponentLabel,
    ComponentUsage,
    ComponentUsed,
    Outcome,
    ReplyPrepared,
    ReplyResumed,
    SpeechDetected,
    Timings,
    ToolEnded,
    ToolStarted,
    TraceContext,
    TurnEnded,
    __version__,
)
from voicepipe.calls.failover import FailoverStep

LABEL = ComponentLabel("a", "a", None)


def began(call_id, name="default", of="main"):
    return CallBegan(call_id, 0.0, CallInfo(call_id), of, 1, "0" * 64, name, LABEL, LABEL, LABEL)


def turn(call_id, ms):
    return TurnEnded(call_id, 1.0, 1, "utterance", "yes", "Fine.", interrupted=False, response_ms=ms)


def failed(call_id, role, component):
    return ComponentFailed(call_id, 1.0, role, ComponentError("stalled", component=component, role=role))


@pytest.fixture
async def sets(tmp_path):
    async with RecordedSet(tmp_path).serve() as pipelines:
        yield {"main": pipelines}


@pytest.fixture
def metrics(sets):
    return Metrics(sets)


def scraped(metrics, name):
    """The samples of a metric: values of the labels without the set, which is `main`, and the sample's own."""
    families = text_string_to_metric_families(metrics.exposition()[0].decode())
    samples = [sample for family in families for sample in family.samples if sample.name == name]
    assert all(sample.labels.get("set", "main") == "main" for sample in samples)
    order = ("pipeline", "role", "component", "outcome", "rung", "step", "le", "version", "kind", "reason", "tool")
    return {tuple(one.labels[key] for key in order if key in one.labels): one.value for one in samples}


def counted(metrics, name):
    """What has been counted, without what has not."""
    return {labels: number for labels, number in scraped(metrics, name).items() if number}


async def test_whatever_may_be_counted_is_there_at_0_before_it_is(metrics, sets):
    """Else the first would be no increase, and no alert would see it."""
    (pipelines,) = sets.values()
    names = tuple(pipelines.current.pipelines)
    assert set(scraped(metrics, "voicepipe_calls_total")) == set(product(names, get_args(Outcome)))
    assert set(scraped(metrics, "voicepipe_failovers_total")) == set(product(ROLES, get_args(FailoverStep)))
    components = {(one.role, one.name) for one in pipelines.current.components}
    assert set(scraped(metrics, "voicepipe_component_failures_total")) == components
    assert set(scraped(metrics, "voicepipe_interruptions_total")) == set(product(names, ("ended", "resumed")))
    assert set(scraped(metrics, "voicepipe_prepared_replies_total")) == set(product(names, ("used", "wasted")))
    for name in ("calls", "failovers", "component_failures", "interruptions", "prepared_replies", "calls_refused"):
        assert not counted(metrics, f"voicepipe_{name}_total")
    assert set(scraped(metrics, "voicepipe_response_seconds_count").values()) == {0}
    assert set(scraped(metrics, "voicepipe_degraded").values()) == {0}


async def test_a_set_that_has_never_served_has_what_needs_no_pipeline(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.path.write_text("pipelines: [")
    async with recorded.serve(start=False) as pipelines:
        metrics = Metrics({"main": pipelines})
        assert scraped(metrics, "voicepipe_config_last_reload_successful") == {}
        await pipelines.start()
        assert set(scraped(metrics, "voicepipe_failovers_total")) == set(product(ROLES, get_args(FailoverStep)))
        assert scraped(metrics, "voicepipe_calls_refused_total") == {(reason,): 0 for reason in REFUSALS}
        assert scraped(metrics, "voicepipe_config_last_reload_successful") == {(): 0}
        assert scraped(metrics, "voicepipe_set_info") == scraped(metrics, "voicepipe_live_versions") == {}


async def test_calls_that_have_ended(metrics):
    for number, outcome in enumerate(["caller_hung_up", "agent_hung_up", "caller_hung_up"]):
        metrics.observe_call(began(str(number)))
        metrics.observe_call(SpeechDetected(str(number), 1.0, interrupts=False))
        assert not scraped(metrics, "voicepipe_calls_total")["default", "failed"]
        metrics.observe_call(CallEnded(str(number), 9.0, outcome, 1))
    assert counted(metrics, "voicepipe_calls_total") == {
        ("default", "caller_hung_up"): 2,
        ("default", "agent_hung_up"): 1,
    }
    assert metrics._calls == {}


async def test_lengths_of_calls(metrics):
    for number, seconds in enumerate((3.0, 5.0, 61.0, 4000.0)):
        metrics.observe_call(began(str(number)))
        metrics.observe_call(CallEnded(str(number), seconds, "caller_hung_up", 1))
    assert scraped(metrics, "voicepipe_call_seconds_sum")["default",] == 4069
    buckets = {float(le): count for (_, le), count in scraped(metrics, "voicepipe_call_seconds_bucket").items()}
    assert list(buckets) == [*CALL_S, float("inf")]
    assert (buckets[5.0], buckets[60.0], buckets[120.0], buckets[3600.0], buckets[float("inf")]) == (2, 2, 3, 3, 4)


async def test_tools_by_outcome_and_those_that_a_model_made_up_by_none(metrics):
    metrics.observe_call(began("1"))
    for call_id, name, ok, seconds in (
        ("a", "orders", True, 0.2),
        ("b", "orders", False, 9.0),
        ("c", "orders", True, 0.4),
    ):
        metrics.observe_call(ToolStarted("1", 1.0, call_id, name, {}))
        metrics.observe_call(ToolEnded("1", 1.0, call_id, name, ok, "", seconds))
    for number in range(100):
        metrics.observe_call(ToolEnded("1", 1.0, "d", f"made_up_{number}", ok=False, result="", seconds=0.0))
    assert scraped(metrics, "voicepipe_tool_seconds_count") == {
        ("ok", "orders"): 2,
        ("failed", "orders"): 1,
        ("failed", "(unknown)"): 100,
    }
    assert scraped(metrics, "voicepipe_tool_seconds_sum")["ok", "orders"] == pytest.approx(0.6)


async def test_refusals_by_their_reason(metrics):
    for reason in ("full", "full", "not_announced"):
        metrics.observe_refused("main", reason)
    metrics.observe_refused_connection()
    assert counted(metrics, "voicepipe_calls_refused_total") == {("full",): 2, ("not_announced",): 1}
    assert scraped(metrics, "voicepipe_connections_refused_total") == {(): 1}


async def test_the_limit_the_software_and_the_loop(sets):
    turns = Histogram((0.1, 0.2))
    turns.add(0.15)
    metrics = Metrics(sets, max_calls=lambda: 200, turns=turns)
    assert scraped(metrics, "voicepipe_max_calls") == {(): 200}
    assert scraped(Metrics(sets), "voicepipe_max_calls") == {}
    assert scraped(metrics, "voicepipe_build_info") == {(__version__,): 1}
    assert scraped(metrics, "voicepipe_event_loop_lag_seconds_bucket") == {("0.1",): 0, ("0.2",): 1, ("+Inf",): 1}


async def test_traces_and_webhooks(sets):
    counts = TargetCounts(delivered=5, failed=2, dropped=1, waiting=3)
    webhooks = SimpleNamespace(counts={"https://ops.example.com": counts})
    traces = SimpleNamespace(exported=70, dropped=4, waiting=9)
    metrics = Metrics(sets, others=[TelemetryCollector(SimpleNamespace(traces=traces, webhooks=webhooks))])
    assert scraped(metrics, "voicepipe_webhooks_total") == {("delivered",): 5, ("failed",): 2, ("dropped",): 1}
    assert scraped(metrics, "voicepipe_webhooks_waiting") == {(): 3}
    assert scraped(metrics, "voicepipe_trace_spans_total") == {("exported",): 70, ("dropped",): 4}
    assert scraped(metrics, "voicepipe_trace_spans_waiting") == {(): 9}
    untraced = Metrics(sets, others=[TelemetryCollector(SimpleNamespace(traces=None, webhooks=webhooks))])
    assert scraped(untraced, "voicepipe_trace_spans_total") == {}


async def test_response_times(metrics):
    metrics.observe_call(began("1"))
    for ms in (None, 50, 100.0, 100.1, 99_000.0):
        metrics.observe_call(turn("1", ms))
    assert scraped(metrics, "voicepipe_response_seconds_count") == {("default",): 4}
    assert scraped(metrics, "voicepipe_response_seconds_sum")["default",] == pytest.approx(99.2501)
    buckets = scraped(metrics, "voicepipe_response_seconds_bucket")
    assert [float(bound) for _, bound in buckets] == [*RESPONSE_S, float("inf")]
    assert list(buckets.values()) == [2, *[3] * (len(RESPONSE_S) - 1), 4]


async def test_steps_of_turns(metrics):
    metrics.observe_call(began("1"))
    timings = Timings(final_ms=450, asked_ms=600, first_token_ms=800, first_audio_ms=None, heard_ms=950)
    metrics.observe_call(evolve(turn("1", 950), timings=timings))
    metrics.observe_call(evolve(turn("1", None), timings=timings, trigger="dtmf"))  # nobody spoke
    assert scraped(metrics, "voicepipe_turn_step_seconds_count") == {
        ("default", step): 1 for step in ("final", "asked", "first_token", "heard")
    }
    assert scraped(metrics, "voicepipe_turn_step_seconds_sum")["default", "first_token"] == pytest.approx(0.8)
    buckets = scraped(metrics, "voicepipe_turn_step_seconds_bucket")
    finals = {float(le): count for (_, step, le), count in buckets.items() if step == "final"}
    assert list(finals) == [*STEP_S, float("inf")]
    assert next(bound for bound, count in finals.items() if count) == 0.5


async def test_how_replies_fare(metrics):
    metrics.observe_call(began("1"))
    metrics.observe_call(ReplyResumed("1", 1.0, 1))
    metrics.observe_call(evolve(turn("1", 500), interrupted=True))
    for used in (True, False, False):
        metrics.observe_call(ReplyPrepared("1", 1.0, used, "yes"))
    assert counted(metrics, "voicepipe_interruptions_total") == {("default", "resumed"): 1, ("default", "ended"): 1}
    assert counted(metrics, "voicepipe_prepared_replies_total") == {("default", "used"): 1, ("default", "wasted"): 2}


async def test_failures_of_components(metrics):
    metrics.observe_call(began("1"))
    for role, component in (("tts", "house_voice"), ("tts", "house_voice"), ("stt", "vosk")):
        metrics.observe_call(failed("1", role, component))
    assert counted(metrics, "voicepipe_component_failures_total") == {("tts", "house_voice"): 2, ("stt", "vosk"): 1}


async def test_what_calls_used(metrics):
    """Of what is not known there is no series: 0 tokens would be a price."""
    for call_id, tokens in ("1", None), ("2", 40), ("3", 2):
        metrics.observe_call(began(call_id))
        usage = ComponentUsage(
            role="llm", component="mind", adapter="openai", model=None, requests=2, reported=1, input_tokens=tokens
        )
        metrics.observe_call(ComponentUsed(call_id, 1.0, usage))
        metrics.observe_call(ComponentUsed(call_id, 1.0, evolve(usage, role="stt", component="ears", audio_s=1.5)))
    found = scraped(metrics, "voicepipe_usage_total")
    assert {labels: value for labels, value in found.items() if "mind" in labels} == {
        ("llm", "mind", "requests"): 6,
        ("llm", "mind", "reported"): 3,
        ("llm", "mind", "input_tokens"): 42,
    }
    assert found["stt", "ears", "audio_s"] == 4.5


async def test_calls_that_are_up_and_versions_that_live(tmp_path):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        metrics = Metrics({"main": pipelines})
        assert scraped(metrics, "voicepipe_active_calls") == {("1",): 0}
        with pipelines.pin(), pipelines.pin():
            await recorded.rewrite(pipelines, default=pipeline(tts="b"))
            with pipelines.pin():
                assert scraped(metrics, "voicepipe_active_calls") == {("1",): 2, ("2",): 1}
                assert scraped(metrics, "voicepipe_live_versions") == {(): 2}
        assert scraped(metrics, "voicepipe_active_calls") == {("2",): 0}
        assert scraped(metrics, "voicepipe_live_versions") == {(): 1}


async def test_what_it_has_not_heard_the_beginning_of_is_left_alone(metrics):
    metrics.observe_call(turn("9", 100.0))
    metrics.observe_call(CallEnded("9", 9.0, "failed", 0))
    assert counted(metrics, "voicepipe_calls_total") == {}


async def test_a_call_that_outlives_its_set_adds_no_series(metrics, sets):
    metrics.observe_call(began("1", of="acme"))
    metrics.observe_call(turn("1", 100.0))
    metrics.observe_call(CallEnded("1", 9.0, "drained", 1))
    assert counted(metrics, "voicepipe_calls_total") == {}
    assert b"acme" not in metrics.exposition()[0]


async def test_the_process(metrics):
    families = {one.name: one for one in text_string_to_metric_families(metrics.exposition()[0].decode())}
    (opened,) = families["process_open_fds"].samples
    assert opened.value > 0
    (started,) = families["process_start_time_seconds"].samples
    assert 0 <= datetime.now().astimezone().timestamp() - started.value < 86_400


async def test_the_text(metrics):
    text, content_type = metrics.exposition()
    text = text.decode()
    assert text.endswith("\n")
    assert content_type.startswith("text/plain; version=0.0.4")
    for line in text.splitlines():
        if line.startswith("# HELP voicepipe_"):
            assert line.endswith(".")


async def test_nothing_is_registered_for_the_whole_process(metrics, sets):
    Metrics(sets)
    assert not any(family.name.startswith("voicepipe") for family in REGISTRY.collect())


@pytest.mark.parametrize("name", ["a\nb", 'a"b', "a\\b"])
async def test_a_name_with_anything_in_it(metrics, name):
    metrics.observe_call(began("1", name))
    metrics.observe_call(CallEnded("1", 9.0, "failed", 0))
    assert counted(metrics, "voicepipe_calls_total") == {(name, "failed"): 1}


async def test_slow_turns_and_calls_point_to_their_traces(sets, metrics):
    """In OpenMetrics, which a Prometheus asks for; the latest of each bucket, and only of traces that are recorded."""
    recorded, unrecorded = TraceContext.new(sampled=True), TraceContext.new(sampled=False)
    for call_id, trace in ("1", recorded), ("2", unrecorded), ("3", None):
        metrics.observe_call(evolve(began(call_id), trace=trace))
        metrics.observe_call(turn(call_id, 1234.0))
        metrics.observe_call(CallEnded(call_id, 70.0, "caller_hung_up", 1))
    text, content_type = metrics.exposition("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3")
    assert content_type.startswith("application/openmetrics-text")
    samples = [sample for family in parsed_openmetrics(text.decode()) for sample in family.samples if sample.exemplar]
    assert [(one.name, one.labels["le"], one.exemplar.labels, one.exemplar.value) for one in samples] == [
        ("voicepipe_call_seconds_bucket", "120.0", {"trace_id": recorded.trace_id}, 70.0),
        ("voicepipe_response_seconds_bucket", "1.5", {"trace_id": recorded.trace_id}, 1.234),
    ]
    assert b"trace_id" not in metrics.exposition()[0], "the older format has no place for them"


async def test_both_formats_say_the_same(metrics):
    metrics.observe_call(began("1"))
    metrics.observe_call(CallEnded("1", 70.0, "caller_hung_up", 1))
    plain = text_string_to_metric_families(metrics.exposition()[0].decode())
    other = parsed_openmetrics(metrics.exposition("application/openmetrics-text")[0].decode())
    one, another = (
        {
            (sample.name, *sorted(sample.labels.items()))
            for family in families
            for sample in family.samples
            if sample.name.startswith("voicepipe_")
        }
        for families in (plain, other)
    )
    assert one == another
