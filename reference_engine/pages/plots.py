"""Lays plots out: axes with round numbers, bars, lines and bands, with gaps where there are no figures. Sans-I/O.

`plot_of` makes numbers of figures, and the template `plots.html` draws them as SVG, so that texts are escaped where all
are, and classes have their colours in the style sheet, for light and dark. Across, positions are in percent: a plot is
as wide as its place, and its texts stay as large as all texts, on a telephone too. Down, they are in px.

pygal and matplotlib were looked at. pygal puts a style sheet and a script into each picture, which the page's policy
refuses, and scales its texts with the picture; matplotlib takes a second to import, draws texts as paths that no reader
of a screen can read, and knows no dark. What is needed of either is below.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

HEIGHT = 150.0
"""The height of the area of a plot, in px."""

ACROSS = 1000.0
"""The width of the area of lines, in units of its own."""

Form = Literal["bar", "line", "band"]
"""How figures are drawn: bars on top of each other, a line, or a band between two lines."""


@frozen
class Series:
    """Figures over time."""

    name: str
    """What they are, for the legend; empty: it has none of them."""
    colour: str
    """The class of their colour: `good`, `bad`, or `1` to `6`."""
    form: Form
    """How they are drawn."""
    values: tuple[float | None, ...]
    """A value for each slot of time; None: there is none."""
    upper: tuple[float | None, ...] = ()
    """Of a band: its upper line, as `values` are its lower."""


@frozen
class Box:
    """A bar."""

    x: float
    """Where it begins, in percent."""
    width: float
    """Its width, in percent."""
    y: float
    """Its upper end, in px from above."""
    height: float
    """Its height, in px."""
    colour: str
    """As in `Series`."""


@frozen
class Path:
    """A line, or a band."""

    d: str
    """Its path, in units of `ACROSS` by px."""
    colour: str
    """As in `Series`."""
    is_band: bool
    """Whether it is filled."""


@frozen
class Dot:
    """A value of a line without neighbours."""

    x: float
    """Where it is across, in percent."""
    y: float
    """Where it is, in px from above."""
    colour: str
    """As in `Series`."""


@frozen
class TimeSlot:
    """A span of time, for what the pointer shows."""

    x: float
    """Where it begins, in percent."""
    width: float
    """Its width, in percent."""
    title: str
    """Its time and its figures."""


@frozen
class AxisTick:
    """A number on an axis."""

    at: float
    """Where it is: in percent across, in px from above down."""
    label: str
    """What stands there."""
    anchor: str = "middle"
    """Where its text stands beside it: `start`, `middle` or `end`."""


@frozen(kw_only=True)
class Plot:
    """A plot as it is drawn."""

    title: str
    """What it shows."""
    about: str
    """More about it; may be empty."""
    description: str
    """What is in it, in a sentence: for who does not see it."""
    legend: tuple[tuple[str, str, str], ...]
    """The name, the colour and the form of each series."""
    y_ticks: tuple[AxisTick, ...]
    """The axis of values."""
    x_ticks: tuple[AxisTick, ...]
    """The axis of times."""
    boxes: tuple[Box, ...]
    """The bars."""
    paths: tuple[Path, ...]
    """The bands, and the lines above them."""
    dots: tuple[Dot, ...]
    """The values of lines between two gaps, which are no line."""
    slots: tuple[TimeSlot, ...]
    """The spans of time."""
    is_empty: bool
    """Whether there is no value at all."""
    height: float = HEIGHT
    """The height of the area, in px."""
    across: float = ACROSS
    """The width of the area of paths."""


def plot_of(
    title: str,
    times: Sequence[str],
    series: Sequence[Series],
    *,
    ticks: Sequence[tuple[int, str]],
    written: Callable[[float], str] = "{:,.0f}".format,
    whole: bool = False,
    about: str = "",
) -> Plot:
    """Returns the layout of a plot.

    Args:
        title: what it shows.
        times: the name of each slot of time, in order.
        series: the figures; bars stand on top of each other, in order.
        ticks: the slots that the axis of times names, each with its label.
        written: writes a value.
        whole: whether values are whole numbers, so that the axis has no parts of one.
        about: more about it.

    """
    heights = [*_tops(series, len(times))]
    numbers = round_ticks(max(heights, default=0.0), whole=whole)
    top = numbers[-1]
    each = 100 / max(1, len(times))
    bars = [one for one in series if one.form == "bar"]
    return Plot(
        title=title,
        about=about,
        description=_description(series, times, written),
        legend=tuple((one.name, one.colour, one.form) for one in series if one.name) if len(series) > 1 else (),
        y_ticks=tuple(AxisTick(round(_down(number, top), 1), written(number), "end") for number in numbers),
        x_ticks=tuple(
            AxisTick(round(x := (slot + 0.5) * each, 2), label, "start" if x < 5 else "end" if x > 95 else "middle")
            for slot, label in ticks
        ),
        boxes=tuple(_boxes(bars, each, top)),
        paths=tuple(
            path
            for form in ("band", "line")
            for one in series
            if one.form == form
            for path in (_path(one, len(times), top),)
            if path.d
        ),
        dots=tuple(dot for one in series if one.form == "line" for dot in _dots(one, len(times), top)),
        slots=tuple(
            TimeSlot(round(slot * each, 3), round(each, 3), f"{time}: {_figures(series, slot, written)}")
            for slot, time in enumerate(times)
        ),
        is_empty=not any(value is not None for one in series for value in (*one.values, *one.upper)),
    )


def round_ticks(greatest: float, *, whole: bool = False, number: int = 4) -> tuple[float, ...]:
    """Returns numbers for an axis from 0 to at least `greatest`: multiples of 1, 2 or 5, and their tens.

    Args:
        greatest: the greatest value.
        whole: whether none may have a fraction.
        number: about how many steps there are.

    """
    if greatest <= 0 or not math.isfinite(greatest):
        return (0.0, 1.0)
    rough = greatest / number
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) >= rough * 0.999)
    if whole:
        step = max(1.0, round(step))
    steps = math.ceil(greatest / step - 1e-9)
    return tuple(float(f"{index * step:.12g}") for index in range(steps + 1))


def _tops(series: Sequence[Series], slots: int) -> Iterator[float]:
    """Yields the greatest values, those of bars on top of each other added."""
    for slot in range(slots):
        yield sum(one.values[slot] or 0.0 for one in series if one.form == "bar")
        for one in series:
            if one.form != "bar":
                yield from (value for value in (one.values[slot], *(one.upper[slot : slot + 1])) if value is not None)


def _down(value: float, top: float) -> float:
    return HEIGHT - value / top * HEIGHT


def _boxes(bars: Sequence[Series], each: float, top: float) -> Iterator[Box]:
    gap = min(each * 0.25, 1.0)
    for slot in range(len(bars[0].values) if bars else 0):
        floor = 0.0
        for one in bars:
            value = one.values[slot]
            if value:
                y = _down(floor + value, top)
                height = max(_down(floor, top) - y, 1.0)  # a single failure among a thousand calls is seen too
                yield Box(
                    round(slot * each + gap / 2, 3),
                    round(each - gap, 3),
                    round(min(y, HEIGHT - height), 2),
                    round(height, 2),
                    one.colour,
                )
                floor += value


def _path(series: Series, slots: int, top: float) -> Path:
    """Returns a line or a band, which begins anew after each gap."""

    def point(slot: float, value: float) -> str:
        return f"{(slot + 0.5) * ACROSS / slots:.1f} {_down(value, top):.1f}"

    pieces = []
    for run in _runs([*range(slots)], series):
        if series.form == "band":
            at = [(float(slot), slot) for slot in run]
            if len(run) == 1:  # a band of no width would not be seen
                at = [(run[0] - 0.25, run[0]), (run[0] + 0.25, run[0])]
            above = [point(x, series.upper[slot] or 0.0) for x, slot in at]
            below = [point(x, series.values[slot] or 0.0) for x, slot in reversed(at)]
            pieces.append(f"M{'L'.join(above + below)}Z")
        elif len(run) > 1:
            pieces.append(f"M{'L'.join(point(slot, series.values[slot] or 0.0) for slot in run)}")
    return Path("".join(pieces), series.colour, series.form == "band")


def _dots(series: Series, slots: int, top: float) -> Iterator[Dot]:
    for run in _runs([*range(slots)], series):
        if len(run) == 1:
            value = series.values[run[0]] or 0.0
            yield Dot(round((run[0] + 0.5) * 100 / slots, 2), round(_down(value, top), 1), series.colour)


def _runs(slots: list[int], series: Series) -> Iterator[list[int]]:
    """Yields the slots between two gaps."""
    known = [
        slot
        for slot in slots
        if series.values[slot] is not None and (not series.upper or series.upper[slot] is not None)
    ]
    run: list[int] = known[:1]
    for before, slot in pairwise(known):
        if slot != before + 1:
            yield run
            run = []
        run.append(slot)
    if run:
        yield run


def _figures(series: Sequence[Series], slot: int, written: Callable[[float], str]) -> str:
    parts = []
    for one in series:
        value, upper = one.values[slot], one.upper[slot] if one.upper else None
        if value is not None:
            span = written(value) if upper is None else f"{written(value)} to {written(upper)}"
            parts.append(f"{one.name} {span}".strip())
    return ", ".join(parts) or "nothing"


def _description(series: Sequence[Series], times: Sequence[str], written: Callable[[float], str]) -> str:
    parts = []
    for one in series:
        values = [value for value in (one.upper or one.values) if value is not None]
        if values:
            parts.append(f"{one.name or 'up to'}: {written(min(values))} to {written(max(values))}")
    span = f"{times[0]} to {times[-1]}. " if times else ""
    return f"{span}{'; '.join(parts) or 'There are no figures'}."
