"""Plots: their axes, gaps, bars on top of each other, and hours and days of a time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from reference_engine.pages.figure_plots import SPANS, cost_plots, over_time, plots_of, side_by_side, slots_of
from reference_engine.pages.filters import UNKNOWN
from reference_engine.pages.plots import HEIGHT, Dot, Series, plot_of, round_ticks
from reference_engine.records.histogram import count_values
from reference_engine.records.history import CallFigures

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("greatest", "whole", "ticks"),
    [
        (0, False, (0, 1)),
        (1, True, (0, 1)),
        (3, True, (0, 1, 2, 3)),
        (7.3, False, (0, 2, 4, 6, 8)),
        (0.0031, False, (0, 0.001, 0.002, 0.003, 0.004)),
        (1000, False, (0, 500, 1000)),
        (1_000_000.5, True, (0, 500_000, 1_000_000, 1_500_000)),
        (float("inf"), False, (0, 1)),
        (float("nan"), False, (0, 1)),
    ],
)
def test_axes_have_round_numbers(greatest, whole, ticks):
    assert round_ticks(greatest, whole=whole) == ticks


@pytest.mark.parametrize("greatest", [0.07, 1.0, 9.99, 10.0, 10.01, 47, 99.9, 123456, 2e9])
def test_an_axis_reaches_its_greatest_value_in_a_few_steps(greatest):
    ticks = round_ticks(greatest)
    assert ticks[-1] >= greatest > ticks[-2]
    assert 2 <= len(ticks) <= 7


def plot(*series, slots=4):
    return plot_of("Calls", [f"h{slot}" for slot in range(slots)], series, ticks=[(0, "0"), (slots - 1, "3")])


def test_bars_stand_on_top_of_each_other_and_a_single_one_is_seen():
    drawn = plot(Series("good", "good", "bar", (99, 0, None, 50)), Series("bad", "bad", "bar", (1, 0, None, 50)))
    first_good, first_bad, good, bad = drawn.boxes
    assert first_good.y == pytest.approx(first_bad.y + first_bad.height, abs=0.5)
    assert first_bad.height >= 1
    assert (good.height, bad.height) == (HEIGHT / 2, HEIGHT / 2)
    assert (bad.y, good.y) == (0, HEIGHT / 2)


def test_a_line_has_gaps_where_there_are_no_figures_and_a_lone_value_is_a_dot():
    drawn = plot(Series("p", "1", "line", (1, None, 2, 4)))
    assert [path.d for path in drawn.paths] == ["M625.0 75.0L875.0 0.0"]
    assert drawn.dots == (Dot(12.5, 112.5, "1"),)
    alone = plot(Series("p", "1", "line", (None, 4, None, None)))
    assert (alone.paths, alone.dots) == ((), (Dot(37.5, 0.0, "1"),))
    (band,) = plot(Series("p", "1", "band", (1, 1, None, None), (2, 2, None, None))).paths
    assert band.d == "M125.0 0.0L375.0 0.0L375.0 75.0L125.0 75.0Z"
    assert band.is_band
    (narrow,) = plot(Series("p", "1", "band", (None, 1, None, None), (None, 2, None, None))).paths
    assert narrow.d == "M312.5 0.0L437.5 0.0L437.5 75.0L312.5 75.0Z"


def test_bands_lie_under_lines_and_each_slot_says_its_figures():
    drawn = plot(Series("median", "1", "line", (1, 2, 3, 4)), Series("to p95", "1", "band", (1, 2, 3, 4), (2, 3, 4, 5)))
    assert [path.is_band for path in drawn.paths] == [True, False]
    assert drawn.slots[1].title == "h1: median 2, to p95 2 to 3"
    assert "median: 1 to 4" in drawn.description
    empty = plot(Series("median", "1", "line", (None,) * 4))
    assert empty.is_empty
    assert empty.slots[0].title == "h0: nothing"


def test_days_are_those_of_the_zone_and_hours_are_all_there_when_clocks_change():
    now = datetime(2026, 10, 25, 20, 30, tzinfo=UTC)  # the night before had 25 hours in Berlin
    hours = slots_of(SPANS["24h"], now, BERLIN)
    assert len(hours.beginnings) == 24
    assert [name[-5:] for name in hours.names].count("02:00") == 2
    assert len({moment.timestamp() for moment in hours.beginnings}) == 24
    days = slots_of(SPANS["30d"], now, BERLIN)
    assert [moment.hour for moment in days.beginnings] == [0] * 30
    assert days.beginnings[-1] == datetime(2026, 10, 25, tzinfo=BERLIN)
    assert slots_of(SPANS["30d"], datetime(2026, 12, 1, 23, 30, tzinfo=UTC), BERLIN).names[-1] == "Wed 02 Dec"


def figures(began, **changes):
    values = {
        "set": None,
        "pipeline": None,
        "version": None,
        "engine": None,
        "calls": 100,
        "failed": 4,
        "lost": 1,
        "seconds": 6000.0,
        "turns": 400,
        "interruptions": 20,
        "responses": count_values([800.0] * 90 + [2000.0] * 10),
        "usage": ({"role": "llm", "input_tokens": 1000, "output_tokens": 100},),
        "costs": {"EUR": 1.5},
        "calls_without_cost": 0,
    }
    return CallFigures(began=began, **values | changes)


def test_figures_stand_in_their_slots_and_other_times_have_none():
    now = datetime(2026, 12, 1, 12, 30, tzinfo=UTC)
    slots = slots_of(SPANS["24h"], now, UTC)
    shown = over_time(
        "", "1", [figures(datetime(2026, 12, 1, 11, tzinfo=UTC)), figures(datetime(2026, 1, 1, tzinfo=UTC))], slots
    )
    assert [at is not None for at in shown.by_slot] == [False] * 22 + [True, False]
    calls, responses, failures, *_ = plots_of([shown], slots)
    assert calls.slots[22].title.endswith("11:00: without a failure 96, failed, or with a failure 4")
    assert "median 8" in responses.slots[22].title
    assert "4 %" in failures.slots[22].title
    assert calls.slots[21].title.endswith("nothing")


def test_costs_are_by_pipeline_the_dearest_first_and_the_rest_together():
    now = datetime(2026, 12, 1, 12, 30, tzinfo=UTC)
    slots = slots_of(SPANS["24h"], now, UTC)
    hour = datetime(2026, 12, 1, 12, tzinfo=UTC)
    by_pipeline = [figures(hour, pipeline=f"p{number}", costs={"EUR": float(number)}) for number in range(1, 8)]
    by_pipeline.append(figures(hour, pipeline="{hostile}", costs={"{0}": 1.0}))
    euros, other = cost_plots(by_pipeline, slots)
    assert [name for name, *_ in euros.legend] == ["p7", "p6", "p5", "p4", "others"]
    assert "others 6" in euros.slots[-1].title
    assert other.title == "Cost in {0}"


def test_two_versions_side_by_side_say_what_is_better():
    hour = datetime(2026, 12, 1, 12, tzinfo=UTC)
    fast = count_values([400.0] * 100)
    rows = {row.name: row for row in side_by_side(figures(hour), figures(hour, failed=8, responses=fast, calls=100))}
    assert (rows["with a failure"].change, rows["with a failure"].level) == ("+100 %", "bad")
    assert (rows["median response"].change, rows["median response"].level) == ("-50 %", "good")
    assert (rows["calls"].change, rows["calls"].level) == ("0 %", "")
    assert rows["cost a call, EUR"].first == "0.015"
    nothing = {row.name: row for row in side_by_side(figures(hour, responses={}), figures(hour))}
    assert (nothing["median response"].first, nothing["median response"].change) == (UNKNOWN, "")
