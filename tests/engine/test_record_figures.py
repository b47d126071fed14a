"""Calls are counted once, whatever is written twice; percentiles are close; days are those of a time zone."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from attrs import asdict
from sqlalchemy import select, update

from reference_engine.records import tables
from reference_engine.records.completing import complete_calls
from reference_engine.records.figures import read_all_figures, read_figures
from reference_engine.records.histogram import (
    bound_above,
    count_values,
    pack_values,
    packed_bytes,
    packed_number,
    percentile,
    unpacked,
)
from reference_engine.records.history import FigureFilter
from tests.engine.recorded_calls import BEGAN, add_call, add_run, minutes

LLM = {"role": "llm", "component": "m", "adapter": "openai", "model": "gpt-5-mini", "requests": 2, "reported": 1}


@pytest.fixture
def connection(records_connection):
    add_run(records_connection)
    add_run(records_connection, "run-2", "osaka")
    return records_connection


def figures(connection, **asked):
    return read_figures(connection, FigureFilter(**asked))


def test_a_call_is_counted_once_however_often_its_end_is_written(connection):
    add_call(connection, call_id="up", state="up")
    ended = add_call(
        connection, cost=0.25, currency="EUR", turns=[{"response_ms": 800.0}], usage=[LLM | {"cost": 0.25}]
    )
    unpriced = add_call(connection, outcome="failed", interruptions=2, usage=[LLM | {"input_tokens": 7}])
    lost = add_call(connection, state="lost", turns=[{"response_ms": 10.0}])
    for _ in range(3):
        complete_calls(connection, [ended, unpriced, lost, "up", ended])
    (total,) = figures(connection)
    assert (total.calls, total.failed, total.lost, total.calls_without_cost) == (3, 2, 1, 2)
    assert (total.seconds, total.turns, total.interruptions) == (60.0, 1, 2)
    assert total.costs == {"EUR": 0.25}
    assert total.responses == count_values([800.0])
    sums = {"requests": 4, "reported": 2, "input_tokens": 7, "cost": 0.25}
    assert total.usage == ({"role": "llm", "adapter": "openai", "model": "gpt-5-mini"} | sums,)


def test_a_call_that_was_taken_for_lost_and_ended_after_all_is_one_call(connection):
    call = add_call(connection, state="lost")
    assert figures(connection)[0].lost == 1
    ended = {"state": "ended", "outcome": "idle", "failed": False, "duration_s": 9.0, "cost": 0.1, "currency": "EUR"}
    connection.execute(update(tables.calls).where(tables.calls.c.call_id == call).values(**ended))
    complete_calls(connection, [call])
    (total,) = figures(connection)
    assert (total.calls, total.failed, total.lost, total.calls_without_cost) == (1, 0, 0, 0)
    assert (total.seconds, total.costs["EUR"]) == (9.0, 0.1)
    connection.execute(update(tables.calls).where(tables.calls.c.call_id == call).values(state="lost"))
    complete_calls(connection, [call])
    assert figures(connection)[0].calls == 1, "what has ended is not lost afterwards"


def test_figures_are_told_apart_as_asked(connection):
    for number in range(24):
        version, run = 1 + number % 2, ("run-1", "run-2")[number % 3 == 0]
        add_call(connection, began=BEGAN + minutes(10 * number), version=version, run=run, pipeline=f"p{number % 4}")
    assert [total.calls for total in figures(connection, step="hour")] == [6, 6, 6, 6]
    assert [(total.version, total.calls) for total in figures(connection, by=("version",))] == [(1, 12), (2, 12)]
    assert [total.version for total in figures(connection, by=("version",), versions=(2, 5))] == [2]
    assert [(total.engine, total.calls) for total in figures(connection, by=("engine",))] == [
        ("osaka", 8),
        ("tokyo", 16),
    ]
    assert figures(connection, engine="osaka", pipeline="p0")[0].calls == 2
    assert figures(connection, since=BEGAN + minutes(119), until=BEGAN + minutes(121))[0].calls == 12
    assert figures(connection, set="nobody") == ()


@pytest.mark.parametrize(
    ("zone", "days"),
    [
        ("UTC", {"2026-03-28": 1, "2026-03-29": 24, "2026-03-30": 1}),
        ("Europe/Berlin", {"2026-03-29": 23, "2026-03-30": 3}),  # 28 March, 23:00 UTC is the 29th; it has 23 hours
    ],
)
def test_days_are_those_of_the_zone_with_summer_time(connection, zone, days):
    for hour in range(26):
        add_call(connection, began=datetime(2026, 3, 28, 23, tzinfo=UTC) + timedelta(hours=hour))
    found = figures(connection, step="day", zone=ZoneInfo(zone))
    assert {f"{total.began:%Y-%m-%d}": total.calls for total in found} == days


def test_an_hour_that_comes_twice_at_the_end_of_summer_time_is_two(connection):
    for hour in range(4):
        add_call(connection, began=datetime(2026, 10, 24, 23, 30, tzinfo=UTC) + timedelta(hours=hour))
    found = figures(connection, step="hour", zone=ZoneInfo("Europe/Berlin"))
    assert [f"{total.began:%H %Z}" for total in found] == ["01 CEST", "02 CEST", "02 CET", "03 CET"]
    assert [total.calls for total in figures(connection, step="day", zone=ZoneInfo("Europe/Berlin"))] == [4]


def test_percentiles_are_wrong_by_3_percent_at_most():
    values = sorted(random.Random(16).lognormvariate(6.7, 0.6) for _ in range(5000))
    halves = [packed_number(packed_bytes(pack_values(half))) for half in (values[::2], values[1::2])]
    counts = unpacked(sum(halves))
    assert counts == count_values(values)
    for share in (0.01, 0.5, 0.95, 0.99, 1.0):
        exact = values[max(1, -(-int(share * 100_000) * len(values) // 100_000)) - 1]
        assert percentile(counts, share) == pytest.approx(exact, rel=0.03)
    assert percentile({}, 0.5) is None


def test_no_values_and_the_longest_are_kept():
    assert packed_bytes(pack_values([])) == b""
    assert unpacked(packed_number(b"")) == {}
    hour = [0.0, 1.0, 3_600_000.0, 3_600_000.0]
    assert unpacked(packed_number(packed_bytes(pack_values(hour)))) == {"1": 2, bound_above(3_600_000.0): 2}


def test_several_figures_are_those_that_are_read_one_by_one(connection):
    choice = random.Random(16)
    for number in range(60):
        values = {"version": number % 3, "pipeline": f"p{number % 2}", "run": ("run-1", "run-2")[number % 5 == 0]}
        use = {**LLM, "component": "m", "input_tokens": choice.choice((None, 7)), "cost": choice.choice((None, 0.1))}
        turns = [{"response_ms": choice.uniform(1, 5000)}]
        priced = {"cost": 0.1, "currency": choice.choice(("EUR", "USD"))} if number % 2 else {}
        began = BEGAN + minutes(choice.randrange(4000))
        add_call(connection, began=began, turns=turns, usage=[use], **values, **priced, complete=number % 7 == 0)
    complete_calls(connection, connection.scalars(select(tables.calls.c.call_id)).all())
    common = {"since": BEGAN + minutes(30), "until": BEGAN + minutes(3000), "zone": ZoneInfo("Asia/Kolkata")}
    asked = [
        FigureFilter(**common),
        FigureFilter(**common, by=("set", "pipeline", "version")),
        FigureFilter(**common, step="day", by=("version",), versions=(1, 2)),
        FigureFilter(**common, step="day"),
        FigureFilter(**common, by=("engine",)),
    ]

    def comparable(figures):
        return [{**asdict(one), "usage": sorted(one.usage, key=str)} for one in figures]

    together = [comparable(figures) for figures in read_all_figures(connection, asked)]
    assert together == [comparable(read_figures(connection, one)) for one in asked]
    assert sum(one["calls"] for one in together[3]) == together[0][0]["calls"] > 30


def test_a_value_is_not_above_its_bound():
    for value in (0.0, 0.3, 1.0, 1.0001, 2.0, 512.0, 999.9, 1e6):
        assert value <= float(bound_above(value)) * 1.000001
    assert bound_above(512.0) == "512"


def test_a_sum_of_many_costs_is_right_to_the_last_digit(connection):
    for _ in range(10):
        add_call(connection, cost=0.1, currency="EUR", complete=False)
    complete_calls(connection, connection.scalars(select(tables.calls.c.call_id)).all())
    add_call(connection, cost=0.2, currency="EUR")
    add_call(connection, cost=7.0, currency="USD")
    assert figures(connection)[0].costs == {"EUR": 1.2, "USD": 7.0}
