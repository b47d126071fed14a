"""Makes the plots and tables of the page Figures from figures of calls. Sans-I/O."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from attrs import frozen

from reference_engine.pages.filters import UNKNOWN, milliseconds
from reference_engine.pages.plots import Plot, Series, plot_of
from reference_engine.records.history import CallFigures, FigureStep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import tzinfo


COLOURS = ("1", "2", "3", "4", "5")
"""The colours of series that are told apart by name; further ones are added up as `others`."""

MAX_CURRENCIES = 3
"""The most currencies that have a plot."""

TICKS = 6
"""About how many times an axis names."""


@frozen
class TimeSpan:
    """A time that figures can be asked for."""

    title: str
    """What it is called."""
    hours: int
    """Its length, in hours."""
    step: FigureStep
    """Whether each hour or each day has figures."""


SPANS: Mapping[str, TimeSpan] = {
    "24h": TimeSpan("24 hours", 24, "hour"),
    "7d": TimeSpan("7 days", 7 * 24, "hour"),
    "30d": TimeSpan("30 days", 30 * 24, "day"),
    "90d": TimeSpan("90 days", 90 * 24, "day"),
}
"""The times that can be asked for."""


@frozen
class Slots:
    """The hours or days of a plot, in order."""

    beginnings: tuple[datetime, ...]
    """Where each begins."""
    names: tuple[str, ...]
    """What each is called."""
    ticks: tuple[tuple[int, str], ...]
    """Those that the axis names."""


def slots_of(span: TimeSpan, now: datetime, zone: tzinfo) -> Slots:
    """Returns the hours or days of a time that ends now, in a zone."""
    beginnings: list[datetime] = []
    if span.step == "hour":
        last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        beginnings = [(last - timedelta(hours=back)).astimezone(zone) for back in reversed(range(span.hours))]
        names = tuple(f"{moment:%a %d %b %H:%M}" for moment in beginnings)
    else:
        today = now.astimezone(zone).date()
        for back in reversed(range(span.hours // 24)):
            day = today - timedelta(days=back)
            beginnings.append(datetime(day.year, day.month, day.day, tzinfo=zone))
        names = tuple(f"{moment:%a %d %b}" for moment in beginnings)
    return Slots(tuple(beginnings), names, tuple(_ticks(span, beginnings)))


def _ticks(span: TimeSpan, beginnings: Sequence[datetime]) -> Iterable[tuple[int, str]]:
    if span.step == "hour" and span.hours > 24:
        return [(slot, f"{moment:%d %b}") for slot, moment in enumerate(beginnings) if moment.hour == 0]
    if span.step == "hour":
        return [(slot, f"{moment:%H:%M}") for slot, moment in enumerate(beginnings) if moment.hour % 6 == 0]
    every = -(-len(beginnings) // TICKS)
    return [
        (slot, f"{moment:%d %b}") for slot, moment in enumerate(beginnings) if (len(beginnings) - 1 - slot) % every == 0
    ]


@frozen
class Compared:
    """Figures of one version, or of all, over time."""

    name: str
    """What they are: `version 7`; empty for all."""
    colour: str
    """The class of their colour."""
    by_slot: tuple[CallFigures | None, ...]
    """The figures of each slot."""


def over_time(name: str, colour: str, figures: Iterable[CallFigures], slots: Slots) -> Compared:
    """Returns figures by slot; those of other times are left out."""
    found = {one.began.timestamp(): one for one in figures if one.began is not None}
    return Compared(name, colour, tuple(found.get(moment.timestamp()) for moment in slots.beginnings))


def plots_of(compared: Sequence[Compared], slots: Slots) -> tuple[Plot, ...]:
    """Returns the plots of calls, response times, failures, length and tokens."""
    alone = compared[0] if len(compared) == 1 else None

    def plot(title: str, series: Sequence[Series], **options: Any) -> Plot:
        return plot_of(title, slots.names, series, ticks=slots.ticks, **options)

    def lines(value: Callable[[CallFigures], float | None], what: str) -> list[Series]:
        return [
            Series(one.name or what, one.colour, "line", tuple(None if at is None else value(at) for at in one.by_slot))
            for one in compared
        ]

    if alone is not None:
        counts = alone.by_slot
        calls = [
            Series(
                "without a failure", "good", "bar", tuple(None if at is None else at.calls - at.failed for at in counts)
            ),
            Series(
                "failed, or with a failure", "bad", "bar", tuple(None if at is None else at.failed for at in counts)
            ),
        ]
    else:
        calls = lines(lambda at: at.calls, "calls")
    responses = [
        series
        for one in compared
        for series in (
            Series(
                "" if one.name else "median to p95",
                one.colour,
                "band",
                tuple(None if at is None else at.p50_ms for at in one.by_slot),
                tuple(None if at is None else at.p95_ms for at in one.by_slot),
            ),
            Series(
                f"{one.name} median".strip(),
                one.colour,
                "line",
                tuple(None if at is None else at.p50_ms for at in one.by_slot),
            ),
        )
    ]
    return (
        plot("Calls", calls, whole=True, about="that ended"),
        plot("Response time", responses, written=milliseconds, about="median, and up to p95"),
        plot("Calls with a failure", lines(_failed_share, "share"), written="{:.3g} %".format),
        _lengths(plot, lines, compared),
        plot("Tokens of language models", lines(_tokens, "tokens"), written=_short, about="in and out"),
        plot("Replies cut short", lines(_cut_share, "share"), written="{:.3g} %".format, about="by the caller"),
    )


def _lengths(plot: Callable[..., Plot], lines: Callable[..., list[Series]], compared: Sequence[Compared]) -> Plot:
    """Returns the plot of the length of calls, in hours if there are some."""
    longest = max((at.seconds for one in compared for at in one.by_slot if at is not None), default=0.0)
    name, seconds = ("hours", 3600) if longest >= 2 * 3600 else ("minutes", 60)
    title = "Time on the telephone"
    return plot(title, lines(lambda at: at.seconds / seconds, name), written="{:,.3g}".format, about=f"in {name}")


def cost_plots(figures: Iterable[CallFigures], slots: Slots) -> tuple[Plot, ...]:
    """Returns a plot of costs by pipeline for each currency; figures are told apart by pipeline."""
    places = {moment.timestamp(): slot for slot, moment in enumerate(slots.beginnings)}
    sums: dict[str, dict[str, list[float | None]]] = defaultdict(dict)
    for one in figures:
        if one.began is None or (slot := places.get(one.began.timestamp())) is None:
            continue
        for currency, cost in one.costs.items():
            values = sums[currency].setdefault(one.pipeline or "", [None] * len(places))
            values[slot] = (values[slot] or 0.0) + cost
    plots = []
    for currency, by_pipeline in sorted(sums.items())[:MAX_CURRENCIES]:
        ranked = sorted(by_pipeline, key=lambda name: (-sum(filter(None, by_pipeline[name])), name))
        shown = ranked if len(ranked) <= len(COLOURS) else ranked[: len(COLOURS) - 1]
        series = [
            Series(name or "cost", colour, "bar", tuple(by_pipeline[name]))
            for name, colour in zip(shown, COLOURS, strict=False)
        ]
        if rest := ranked[len(shown) :]:
            together = zip(*(by_pipeline[name] for name in rest), strict=True)
            series.append(Series("others", "6", "bar", tuple(sum(filter(None, values)) or None for values in together)))
        written: Callable[[float], str] = "{:,.4g}".format
        plots.append(
            plot_of(
                f"Cost in {currency}",
                slots.names,
                series,
                ticks=slots.ticks,
                written=written,
                about="by pipeline, as far as it is known",
            )
        )
    return tuple(plots)


@frozen
class Compare:
    """One figure of two versions, side by side."""

    name: str
    """What it is."""
    first: str
    """That of the first."""
    second: str
    """That of the second."""
    change: str
    """How much the second differs; empty: it can't be said."""
    level: str
    """`good` if the second is better by more than chance is likely to make it, `bad` if it is worse; else empty."""


def side_by_side(first: CallFigures, second: CallFigures) -> tuple[Compare, ...]:
    """Returns the figures of two versions, each with the difference."""
    rows: list[tuple[str, Callable[[CallFigures], float | None], Callable[[float], str], int]] = [
        ("calls", lambda one: one.calls, "{:,.0f}".format, 0),
        ("with a failure", _failed_share, "{:.3g} %".format, -1),
        ("lost", lambda one: one.lost, "{:,.0f}".format, 0),
        ("median response", lambda one: one.p50_ms, milliseconds, -1),
        ("response, p95", lambda one: one.p95_ms, milliseconds, -1),
        ("response, p99", lambda one: one.p99_ms, milliseconds, -1),
        ("mean length", lambda one: one.seconds / one.calls if one.calls else None, "{:.0f} s".format, 0),
        ("turns a call", lambda one: one.turns / one.calls if one.calls else None, "{:.1f}".format, 0),
        ("replies cut short", _cut_share, "{:.3g} %".format, -1),
    ]
    rows += [
        (f"cost a call, {currency}", _cost_a_call(currency), "{:.4g}".format, -1)
        for currency in sorted({*first.costs, *second.costs})
    ]
    return tuple(_compare(name, value(first), value(second), written, better) for name, value, written, better in rows)


def _compare(
    name: str, one: float | None, other: float | None, written: Callable[[float], str], better: int
) -> Compare:
    first, second = (UNKNOWN if value is None else written(value) for value in (one, other))
    if one is None or other is None or not one:
        return Compare(name, first, second, "", "")
    share = (other - one) / one * 100
    level = "" if not better or abs(share) < 5 else "good" if share * better > 0 else "bad"
    return Compare(name, first, second, f"{share:+.0f} %" if abs(share) >= 0.5 else "0 %", level)


def _cost_a_call(currency: str) -> Callable[[CallFigures], float | None]:
    def cost(one: CallFigures) -> float | None:
        known = one.calls - one.calls_without_cost
        return one.costs[currency] / known if currency in one.costs and known else None

    return cost


def _failed_share(one: CallFigures) -> float | None:
    return one.failed / one.calls * 100 if one.calls else None


def _cut_share(one: CallFigures) -> float | None:
    return one.interruptions / one.turns * 100 if one.turns else None


def _tokens(one: CallFigures) -> float | None:
    found = [use[name] for use in one.usage for name in ("input_tokens", "output_tokens") if use.get(name) is not None]
    return sum(found) if found else None


def _short(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"
