"""How components do, as logs, metrics, `GET /sets` and `reference-engine status` show it."""

from __future__ import annotations

import pytest
import trio
from prometheus_client.parser import text_string_to_metric_families
from recording import RecordedSet, pipeline

from reference_engine.reports.call_log import log_call_event
from reference_engine.reports.component_log import component_log
from reference_engine.reports.json_bodies import set_body
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.printing import describe_sets
from voicepipe import (
    CallBegan,
    CallInfo,
    ComponentError,
    ComponentFailed,
    ComponentHealth,
    ComponentLabel,
    FailedOver,
    open_runtime,
)

LABEL = ComponentLabel("a", "a", None)
BUSY = ComponentError("HTTP 429", answered="slow down", hint="buy more", retry_after_s=9)


class Log(list):
    """Records, as they are written."""

    def __getattr__(self, level):
        return lambda event, **fields: self.append((level, event, fields))


def health(state, error=None, **fields):
    fields = {"retry_s": 0.0, "retries": 0, "successes": 0, "failures": 0} | fields
    return ComponentHealth(
        role="tts", name="aura", adapter="deepgram", model="thalia", state=state, error=error, **fields
    )


def test_records_of_a_component_s_outage():
    log = Log()
    write = component_log(log)
    write(health("open", BUSY, retry_s=9.0))
    write(health("half_open", BUSY))
    write(health("open", BUSY, retry_s=2.0, retries=1))
    write(health("half_open", BUSY, retries=1))
    write(health("closed"))
    of = {"role": "tts", "component": "aura", "adapter": "deepgram", "model": "thalia"}
    why = {"message": "HTTP 429", "retryable": True, "fault": "component", "answered": "slow down"}
    why |= {"hint": "buy more", "retry_s": 9.0}
    assert log == [("error", "component.failed", of | why), ("info", "component.recovered", of)]


@pytest.mark.parametrize(("rung", "level"), [("retry", "warning"), ("alternate", "warning"), ("apology", "error")])
def test_records_of_a_call_s_rungs(rung, level):
    log = Log()
    log_call_event(log, "main", FailedOver("1", 2.3456, "stt", rung, "vosk"))
    fields = {"call_id": "1", "set": "main", "role": "stt", "rung": rung, "component": "vosk", "at_s": 2.346}
    assert log == [(level, "component.failed_over", fields)]


@pytest.fixture
async def served(autojump_clock, tmp_path):
    """A set of two voices, its runtime, and the file."""
    recorded = RecordedSet(tmp_path)
    recorded.write(default=pipeline(tts=["a", "b"]))
    async with open_runtime() as runtime, recorded.serve(runtime=runtime) as pipelines:
        yield recorded, runtime, pipelines


def first_voice(pipelines):
    return pipelines.current.active.tts[0].breaker


def samples(metrics, name):
    families = text_string_to_metric_families(metrics.exposition()[0].decode())
    order = ("set", "role", "component", "rung", "outcome")
    return {
        tuple(sample.labels[key] for key in order if key in sample.labels): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


async def test_a_set_s_components(served):
    _, _, pipelines = served
    shown = set_body(pipelines)["components"]
    assert [(one["role"], one["name"], one["model"], one["state"]) for one in shown] == [
        ("stt", "recorded", "a", "closed"),
        ("llm", "recorded", "a", "closed"),
        ("tts", "recorded", "a", "closed"),
        ("tts", "recorded", "b", "closed"),
    ]
    first_voice(pipelines).succeeded(trio.current_time())
    first_voice(pipelines).failed(BUSY, trio.current_time())
    await trio.sleep(1)
    (ill,) = [one for one in set_body(pipelines)["components"] if one["error"]]
    assert ill == {
        "role": "tts",
        "name": "recorded",
        "adapter": "recorded",
        "model": "a",
        "was_open": True,
        "state": "open",
        "retry_s": pytest.approx(8, abs=0.1),
        "error": {"message": "HTTP 429", "answered": "slow down", "hint": "buy more"},
        "successes": 1,
        "failures": 1,
        "excused": 0,
    }


async def test_status_says_whose_breaker_is_open_and_why(served):
    _, _, pipelines = served
    sets = {"engine": None, "sets": [set_body(pipelines)], "removed": []}
    assert "recorded" not in describe_sets(sets)
    first_voice(pipelines).failed(BUSY, trio.current_time())
    sets["sets"] = [set_body(pipelines)]
    assert describe_sets(sets).endswith(
        "main: tts recorded: circuit breaker is open for 9.0 s more: HTTP 429; answered: slow down (buy more)\n"
    )
    first_voice(pipelines).try_it()
    sets["sets"] = [set_body(pipelines)]
    assert describe_sets(sets).endswith("tts recorded is being tried again: HTTP 429; answered: slow down (buy more)\n")


async def test_states_in_metrics_are_those_of_the_worst_of_a_name(served):
    _, _, pipelines = served
    metrics = Metrics({"main": pipelines})
    name = "voicepipe_component_state"
    assert set(samples(metrics, name).values()) == {0}
    first_voice(pipelines).failed(BUSY, trio.current_time())
    assert samples(metrics, name) == {
        ("main", "stt", "recorded"): 0,
        ("main", "llm", "recorded"): 0,
        ("main", "tts", "recorded"): 2,
    }
    first_voice(pipelines).try_it()
    assert samples(metrics, name)["main", "tts", "recorded"] == 1
    first_voice(pipelines).close()
    assert samples(metrics, name)["main", "tts", "recorded"] == 0


async def test_attempts_are_counted_beyond_a_component_s_life(served):
    recorded, runtime, pipelines = served
    metrics = Metrics({"main": pipelines}, attempts=lambda: runtime.attempts)
    name = "voicepipe_component_attempts_total"
    for _ in range(3):
        first_voice(pipelines).succeeded(trio.current_time())
    first_voice(pipelines).failed(BUSY, trio.current_time())
    before = samples(metrics, name)
    assert before["tts", "recorded", "success"] == 3
    assert before["tts", "recorded", "failure"] == 1
    await recorded.rewrite(pipelines, default=pipeline(tts="c"))
    assert recorded.open == {"stt a": 1, "llm a": 1, "tts c": 1}
    assert samples(metrics, name) == before


async def test_failures_and_rungs_in_metrics(served):
    _, _, pipelines = served
    metrics = Metrics({"main": pipelines})
    metrics.observe_call(CallBegan("1", 0.0, CallInfo("1"), "main", 1, "0" * 64, "default", LABEL, LABEL, LABEL))
    for rung in ("retry", "alternate", "alternate", "apology"):
        metrics.observe_call(ComponentFailed("1", 1.0, "tts", ComponentError("stalled", component="aura", role="tts")))
        metrics.observe_call(FailedOver("1", 1.0, "tts", rung, "espeak"))
    counted = {labels: count for labels, count in samples(metrics, "voicepipe_failovers_total").items() if count}
    assert counted == {
        ("main", "tts", "retry"): 1,
        ("main", "tts", "alternate"): 2,
        ("main", "tts", "apology"): 1,
    }
    assert samples(metrics, "voicepipe_component_failures_total")["main", "tts", "aura"] == 4
