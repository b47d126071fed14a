"""The metrics of several workers as those of one engine: nothing is lost on the way, and no sum ever falls."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

import reference_engine
from reference_engine.supervisor.gateway.exposition import Family, Sample, read, write
from reference_engine.supervisor.gateway.totals import GAUGES, Totals

ODD = 'quo"te, back\\slash, {brace} # 1\nand a line, ünïcode'


def registry_with_everything():
    """Metrics of each kind, with exemplars and with labels that want escapes."""
    registry = CollectorRegistry()
    counter = Counter("calls", f"Help: {ODD}", ["set", "odd"], registry=registry)
    counter.labels("main", ODD).inc(3, exemplar={"trace_id": "a} 7 # b"})
    histogram = Histogram("seconds", "How long.", ["set"], registry=registry)
    histogram.labels("main").observe(0.3, exemplar={"trace_id": "c0ffee"})
    histogram.labels("main").observe(1e9)
    for name, value in {"big": 1e21, "infinite": float("inf"), "none": float("nan"), "less": -0.5}.items():
        Gauge(name, name, registry=registry).set(value)
    Info("build", "What it is.", registry=registry).info({"version": ODD})
    Gauge("empty", "No series.", ["set"], registry=registry)
    return registry


def text_of(registry, accept="application/openmetrics-text"):
    encode, _content_type = choose_encoder(accept)
    return encode(registry).decode()


def as_read(parse, text):
    """What the library's parser makes of a text."""
    return [
        (family.name, family.type, family.documentation, [repr(sample) for sample in family.samples])
        for family in parse(text)
    ]


@pytest.mark.parametrize(("accept", "parse"), [("application/openmetrics-text", openmetrics), ("", plain)])
def test_what_one_worker_says_is_said_again_in_both_formats(accept, parse):
    registry = registry_with_everything()
    again = write(read(text_of(registry)).values(), openmetrics=bool(accept))
    assert as_read(parse, again) == as_read(parse, text_of(registry, accept))


@pytest.mark.parametrize("line", ["no value", 'a{b="c} 1', 'a{b="c"} x', "{} 1"])
def test_what_is_no_sample_is_not_taken_for_one(line):
    with pytest.raises(ValueError, match=r"sample|float"):
        read(line)


def family(name, kind, **samples):
    return Family(
        name, kind, "", {series.replace("__", "{").replace("_is_", '="'): Sample(v) for series, v in samples.items()}
    )


def value_of(families, series):
    return {name: sample.value for family in families for name, sample in family.samples.items()}.get(series)


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("voicepipe_active_calls", (3, 4), 7),
        ("voicepipe_max_calls", (50, 50), 50),
        ("voicepipe_full", (0, 1), 1),
        ("voicepipe_config_last_reload_successful", (1, 0), 0),
        ("voicepipe_component_state", (0, 2), 2),
        ("process_start_time_seconds", (1000.5, 999.5), 999.5),
        ("process_open_fds", (20, 900), 900),
        ("process_max_fds", (1024, 1024), 1024),
        ("process_resident_memory_bytes", (1e8, 2e8), 3e8),
        ("something_new", (1, 2), 2),
    ],
)
def test_a_gauge_of_two_workers(name, values, expected):
    answers = {key: {name: Family(name, "gauge", "", {name: Sample(value)})} for key, value in enumerate(values)}
    assert value_of(Totals().merge(answers, answers), name) == expected


def test_each_gauge_of_the_engine_has_its_rule():
    """As the sources name them, and those of the process, which a library names."""
    named = set()
    for path in Path(reference_engine.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id="Gauge" | "GaugeMetricFamily"), args=[ast.Constant(value=name), *_]):
                    named.add(name)
    process = {"virtual_memory_bytes", "resident_memory_bytes", "start_time_seconds", "open_fds", "max_fds"}
    assert named | {f"process_{name}" for name in process} == set(GAUGES)


def counted(value, *, at=0.0, name="calls", labels='{set="main"}'):
    exemplar = f'{{trace_id="{at}"}} 1.0 {at}' if at else ""
    return {name: Family(name, "counter", "", {f"{name}_total{labels}": Sample(value, exemplar)})}


def test_what_a_dead_worker_counted_stays_and_its_successor_begins_at_0():
    totals, series = Totals(), 'calls_total{set="main"}'
    assert value_of(totals.merge({"1a": counted(5), "2a": counted(7)}, ["1a", "2a"]), series) == 12
    assert value_of(totals.merge({"2a": counted(8)}, ["2a"]), series) == 13
    assert value_of(totals.merge({"1b": counted(1), "2a": counted(8)}, ["1b", "2a"]), series) == 14
    totals.leave("2a", counted(9))
    assert value_of(totals.merge({"1b": counted(1)}, ["1b"]), series) == 15, "it said at its end that it had one more"
    assert value_of(totals.merge({}, ["1b"]), series) == 15, "a worker that does not answer counts as it last did"
    assert value_of(totals.merge({}, []), series) == 15


def test_a_set_that_was_removed_has_no_series_of_the_dead_either():
    totals, gone = Totals(), counted(5, labels='{set="gone",x="y"}')
    totals.merge({1: gone, 2: counted(1)}, [1, 2])
    assert value_of(totals.merge({2: counted(1)}, [2]), 'calls_total{set="gone",x="y"}') is None
    assert value_of(totals.merge({2: counted(1) | counted(2, name="other", labels="")}, [2]), "other_total") == 2


def test_the_latest_exemplar_and_the_earliest_beginning():
    totals = Totals()
    merged = totals.merge({1: counted(1, at=20.0), 2: counted(1, at=10.0), 3: counted(1)}, [1, 2, 3])
    (sample,) = merged[0].samples.values()
    assert (sample.value, sample.exemplar_time) == (3, 20.0)
    begun = {
        key: {"c": Family("c", "counter", "", {"c_total": Sample(1), "c_created": Sample(at)})}
        for key, at in ((1, 9.0), (2, 5.0))
    }
    assert value_of(totals.merge(begun, [1, 2]), "c_created") == 5.0


def test_merging_changes_nothing_that_was_read():
    answers = {1: counted(1), 2: counted(2)}
    totals = Totals()
    for _ in range(3):
        assert value_of(totals.merge(answers, [1, 2]), 'calls_total{set="main"}') == 3
    assert evolve(answers[1]["calls"].samples['calls_total{set="main"}']) == Sample(1)


LIFE = st.lists(
    st.tuples(
        st.sampled_from(["call", "call", "call", "scrape", "die", "end", "start", "hang"]),
        st.integers(min_value=0, max_value=3),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(LIFE)
def test_no_sum_ever_falls_whatever_happens_to_the_workers(life):
    """And it is the true number whenever all living workers answer, but for what died unasked after the last scrape."""
    totals, living, serial, before, lost, truth = Totals(), {}, 0, 0.0, 0, 0
    said = {}
    for what, which in life:
        worker = (which, living.get(which, (0,))[0])
        if what == "start" and which not in living:
            serial += 1
            living[which] = (serial, 0)
        elif what == "call" and which in living:
            living[which] = (living[which][0], living[which][1] + 1)
            truth += 1
        elif what == "die" and which in living:
            lost += living.pop(which)[1] - said.get(worker, 0)
        elif what == "end" and which in living:
            totals.leave(worker, counted(living.pop(which)[1]))
        elif what in {"scrape", "hang"}:
            answers = {
                (number, serial): counted(calls)
                for number, (serial, calls) in living.items()
                if what == "scrape" or number != which
            }
            said |= {key: value["calls"].samples['calls_total{set="main"}'].value for key, value in answers.items()}
            total = (
                value_of(totals.merge(answers, [(n, s) for n, (s, _) in living.items()]), 'calls_total{set="main"}')
                or 0
            )
            assert total >= before
            before = total
            if what == "scrape":
                assert total == truth - lost
