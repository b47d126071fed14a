"""Traces from a call's events to a collector that speaks OTLP, and what happens while it is away."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic

import pytest
from attrs import evolve
from patience import LONG_S
from telemetry_peers import Log, open_receiver, until

from reference_engine.reloads.outcomes import EngineOutcome
from reference_engine.settings.otel_settings import OtelSettings
from reference_engine.telemetry import traces as module
from reference_engine.telemetry.span_export import SpanExporter
from reference_engine.telemetry.traces import Traces
from voicepipe import (
    CallBegan,
    CallEnded,
    CallInfo,
    ComponentLabel,
    Location,
    ModelAnswered,
    Problem,
    Rejected,
    Secret,
    TraceContext,
)

collector_messages = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
LABEL = ComponentLabel("chat", "openai", "gpt-5-mini")
PARENT = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True, state="a=1")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    for name in ("OTEL_SERVICE_NAME", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"):
        monkeypatch.delenv(name, raising=False)


def decoded(body):
    request = collector_messages.ExportTraceServiceRequest.FromString(body)
    return [
        (resource.resource, span)
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def attributes(of):
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in of.attributes}


def trace_a_call(traces, call_id="c"):
    info = CallInfo(call_id, trace=PARENT)
    trace = traces.span_of(info)
    began = CallBegan(call_id, 0.0, info, "main", 1, "0" * 64, "default", LABEL, LABEL, LABEL, trace=trace)
    traces.begin_call(began, trace, lambda: None)
    traces.observe_call(ModelAnswered(call_id, 2.0, LABEL, 1.0, 1.5, "complete", 7, 5, span_id="00f067aa0ba902b7"))
    traces.observe_call(CallEnded(call_id, 3.0, "caller_hung_up", 1))
    return trace


def test_a_collector_gets_a_call_as_otlp(monkeypatch):
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=pbx-1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
    with open_receiver() as collector:
        settings = OtelSettings(
            collector.url, {"authorization": Secret("Bearer x")}, resource={"deployment.environment.name": "test"}
        )
        with Traces(settings, log := Log(), SpanExporter) as traces:
            trace = trace_a_call(traces)
            path, headers, body = collector.next()
            until(lambda: traces.exported == 2)
    assert path == "/v1/traces"
    assert headers["content-type"] == "application/x-protobuf"
    assert (headers["authorization"], headers["x-tenant"]) == ("Bearer x", "acme")
    (resource, chat), (_, call) = decoded(body)
    about = attributes(resource)
    assert {name: about[name] for name in ("service.name", "host.name", "deployment.environment.name")} == {
        "service.name": "voicepipe",
        "host.name": "pbx-1",
        "deployment.environment.name": "test",
    }
    assert (call.trace_id.hex(), call.span_id.hex(), call.parent_span_id.hex()) == (
        PARENT.trace_id,
        trace.span_id,
        PARENT.span_id,
    )
    assert (call.name, call.kind, call.trace_state) == ("call", 2, "a=1")
    assert (chat.name, chat.kind, chat.parent_span_id.hex()) == ("chat gpt-5-mini", 3, trace.span_id)
    assert chat.span_id.hex() == "00f067aa0ba902b7"
    assert chat.end_time_unix_nano - chat.start_time_unix_nano == 1_000_000_000
    assert attributes(chat)["gen_ai.usage.input_tokens"] == 7
    assert call.end_time_unix_nano - call.start_time_unix_nano == 3_000_000_000
    assert log == []


def test_a_collector_that_is_away_is_said_once_and_gets_all_when_it_is_back(monkeypatch):
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.02)
    with open_receiver() as collector, Traces(OtelSettings(collector.url), log := Log(), SpanExporter) as traces:
        collector.status = 503
        trace_a_call(traces)
        for _ in range(3):
            collector.next()
        assert (log.names(), traces.waiting, traces.exported) == (["traces.failing"], 2, 0)
        collector.status = 200
        until(lambda: traces.exported == 2)
        until(lambda: log.names() == ["traces.failing", "traces.recovered"])


def test_what_a_collector_refuses_is_dropped_and_counted():
    with open_receiver() as collector, Traces(OtelSettings(collector.url), log := Log(), SpanExporter) as traces:
        collector.status = 302
        collector.headers = {"location": f"{collector.url}/login"}
        trace_a_call(traces)
        assert collector.next()[0] == "/v1/traces"
        until(lambda: traces.dropped == 2)
        until(lambda: log.names() == ["traces.failing", "traces.dropped"])
        assert log[0][2]["reason"] == "HTTP 302"
    assert collector.rest() == []


def test_spans_that_wait_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MOST_SPANS", 5)
    with open_receiver() as collector, Traces(OtelSettings(collector.url), Log(), SpanExporter, close_s=0.1) as traces:
        collector.status = 503
        for number in range(4):
            trace_a_call(traces, str(number))
        until(lambda: traces.dropped == 3)
        assert traces.waiting == 5


def test_a_collector_that_hangs_holds_up_no_end():
    with open_receiver() as collector:
        collector.may_answer.clear()
        with Traces(OtelSettings(collector.url, timeout_s=60), Log(), SpanExporter, close_s=0.1) as traces:
            trace_a_call(traces)
            collector.next()
            began = monotonic()
        assert monotonic() - began < LONG_S / 2
        collector.may_answer.set()


def test_the_last_spans_are_sent_at_the_end():
    with open_receiver() as collector:
        with Traces(OtelSettings(collector.url), Log(), SpanExporter, close_s=LONG_S) as traces:
            trace_a_call(traces)
        assert len(decoded(collector.next()[2])) == 2


def test_a_reload_is_a_trace_of_its_own():
    at = datetime(2026, 12, 1, 3, tzinfo=UTC)
    problem = Problem(Location("a.yaml", 3, 5), "pipelines", "is empty")
    with open_receiver() as collector, Traces(OtelSettings(collector.url), Log(), SpanExporter) as traces:
        traces.observe_set(
            Rejected(set="main", trigger="signal", at=at, seconds=0.5, version=3, digest=None, problems=(problem,))
        )
        traces.observe_engine(EngineOutcome(outcome="applied", trigger="signal", at=at, seconds=0.1))
        until(lambda: traces.exported == 2)
        (_, of_set), (_, of_engine) = (span for *_, body in collector.rest() for span in decoded(body))
    assert (of_set.name, of_set.status.code, of_set.parent_span_id) == ("reload main", 2, b"")
    assert of_set.end_time_unix_nano - of_set.start_time_unix_nano == 500_000_000
    assert "is empty" in attributes(of_set.events[0])["voicepipe.message"]
    assert (of_engine.name, attributes(of_engine)["voicepipe.outcome"]) == ("reload engine", "applied")
    assert of_set.trace_id != of_engine.trace_id


@pytest.mark.parametrize(
    ("settings", "sampled_parent", "share"),
    [
        ({"sampling": 1.0}, None, 1.0),
        ({"sampling": 0.0}, None, 0.0),
        ({"sampling": 0.25}, None, 0.25),
        ({"sampling": 0.0}, True, 1.0),
        ({"sampling": 1.0}, False, 0.0),
        ({"sampling": 0.0, "follow_parent": False}, True, 0.0),
    ],
)
def test_which_calls_are_traced(settings, sampled_parent, share):
    traces = Traces(OtelSettings(**settings), Log(), SpanExporter)
    parent = None if sampled_parent is None else evolve(PARENT, sampled=sampled_parent)
    spans = [traces.span_of(CallInfo(trace=parent)) for _ in range(2000)]
    assert sum(span.sampled for span in spans) / 2000 == pytest.approx(share, abs=0.06)
    if parent is not None:
        assert {span.trace_id for span in spans} == {parent.trace_id}
        assert parent.span_id not in {span.span_id for span in spans}


def test_where_spans_go(monkeypatch):
    assert OtelSettings().url == "http://localhost:4318/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    assert OtelSettings().url == "http://collector:4318/v1/traces"
    assert OtelSettings("https://otel.example.com/otlp").url == "https://otel.example.com/otlp/v1/traces"
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://collector:4318/exactly")
    assert OtelSettings().url == "http://collector:4318/exactly"
