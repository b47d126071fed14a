"""The page Figures: calls, response times, failures, usage and cost over hours and days, by pipeline and version."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import trio
from attrs import evolve, frozen
from starlette.routing import Route

from reference_engine.pages.call_words import one_line
from reference_engine.pages.figure_plots import (
    SPANS,
    Compare,
    cost_plots,
    over_time,
    plots_of,
    side_by_side,
    slots_of,
)
from reference_engine.pages.plots import Plot
from reference_engine.pages.shell import PageLink, Shell
from reference_engine.records.history import CallFigures, FigureFilter
from reference_engine.records.reading import RecordsUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from reference_engine.pages.figure_plots import Slots
    from reference_engine.pages.parts import PageParts
    from reference_engine.pages.records_of_pages import PageRecords

MAX_ROWS = 100
"""The most pipelines and versions of the table."""


@frozen
class AskedFigures:
    """The figures that an address asks for."""

    span: str
    """The time, of `SPANS`."""
    zone_name: str
    """The time zone of hours and days."""
    zone: tzinfo
    """That zone."""
    set: str
    """The set; empty: all."""
    pipeline: str
    """The pipeline; empty: all."""
    versions: tuple[int, ...]
    """Two versions to set side by side; empty: none."""


@frozen(kw_only=True)
class ShownFigures:
    """The figures as the page shows them."""

    total: CallFigures | None
    """Those of the whole time; None: there was no call."""
    rows: tuple[CallFigures, ...]
    """Those of each pipeline and version, the most calls first."""
    plots: tuple[Plot, ...]
    """The plots."""
    compared: tuple[Compare, ...]
    """The two versions side by side."""
    times: tuple[tuple[str, CallFigures], ...]
    """Those of each hour or day with calls, by name: the plots as a table."""
    versions: tuple[int, ...]
    """The versions that had calls, the latest first."""


def read_asked(query: Mapping[str, str]) -> AskedFigures:
    """Returns what an address asks for; what can't be read is left out."""
    name = query.get("zone", "")[:64]
    try:
        zone: tzinfo = ZoneInfo(name) if name else UTC
    except (ValueError, OSError):  # no such zone, or no name of one
        name, zone = "", UTC
    span = query.get("span", "")
    given = [query.get("version", ""), query.get("other", "")]
    versions = tuple(int(text) for text in given if text.isascii() and text.isdecimal() and len(text) < 10)
    return AskedFigures(
        span if span in SPANS else "24h",
        name or "UTC",
        zone,
        one_line(query.get("set", "").replace("\0", ""), 200),
        one_line(query.get("pipeline", "").replace("\0", ""), 200),
        versions if len(set(versions)) == 2 else (),
    )


async def read_shown(
    records: PageRecords, asked: AskedFigures, now: datetime
) -> ShownFigures | RecordsUnavailable | None:
    """Returns the figures that are asked for; None: there is no database."""
    if (reader := records.reader) is None:
        return None
    span = SPANS[asked.span]
    slots = slots_of(span, now, asked.zone)
    chosen = FigureFilter(
        since=slots.beginnings[0], set=asked.set or None, pipeline=asked.pipeline or None, zone=asked.zone
    )
    told_apart = evolve(chosen, by=("set", "pipeline", "version"))
    by_version = evolve(chosen, by=("version",))
    steps = evolve(chosen, step=span.step, versions=asked.versions, by=("version",) if asked.versions else ())
    costs = evolve(chosen, step=span.step, by=("pipeline",), versions=asked.versions)

    def read(connection: Any) -> tuple[tuple[CallFigures, ...], ...]:
        from reference_engine.records.figures import read_all_figures  # noqa: PLC0415 - SQLAlchemy takes 0.2 s to import

        return read_all_figures(connection, (chosen, told_apart, by_version, steps, costs))

    found = await reader.run(read)
    if isinstance(found, RecordsUnavailable):
        return found
    return await trio.to_thread.run_sync(partial(_shown, found, slots, asked.versions))


def _shown(found: tuple[tuple[CallFigures, ...], ...], slots: Slots, versions: tuple[int, ...]) -> ShownFigures:
    total, rows, by_version, steps, costs = found
    compared: tuple[Compare, ...] = ()
    if versions:
        of_version = {one.version: one for one in by_version}
        if all(version in of_version for version in versions):
            compared = side_by_side(*(of_version[version] for version in versions))
        shown = [
            over_time(f"version {version}", colour, [one for one in steps if one.version == version], slots)
            for version, colour in zip(versions, ("1", "2"), strict=True)
        ]
    else:
        shown = [over_time("", "1", steps, slots)]
    names = {moment.timestamp(): name for moment, name in zip(slots.beginnings, slots.names, strict=True)}
    times = [
        (names[one.began.timestamp()], one) for one in steps if one.began is not None and one.began.timestamp() in names
    ]
    return ShownFigures(
        total=total[0] if total else None,
        rows=tuple(sorted(rows, key=lambda one: -one.calls)[:MAX_ROWS]),
        plots=(*plots_of(shown, slots), *cost_plots(costs, slots)),
        compared=compared,
        times=tuple(reversed(times)),
        versions=tuple(sorted({one.version for one in by_version if one.version is not None}, reverse=True)),
    )


def add_figures(shell: Shell, parts: PageParts, records: PageRecords) -> None:
    """Adds the page to the shell."""

    async def show(request: Request) -> Response:
        asked = read_asked(request.query_params)
        now = datetime.now(UTC)
        shown = await read_shown(records, asked, now)
        problem = shown.problem if isinstance(shown, RecordsUnavailable) else ""
        return await shell.page(
            request,
            "figures.html",
            HTTPStatus.SERVICE_UNAVAILABLE if problem else HTTPStatus.OK,
            asked=asked,
            shown=None if problem else shown,
            problem=problem,
            spans={name: span.title for name, span in SPANS.items()},
            sets=tuple(sorted(parts.sets.serving)),
            has_zone="zone" in request.query_params,
        )

    shell.add(PageLink("Figures", "/figures"), Route("/figures", show, methods=["GET"]))
