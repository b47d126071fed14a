"""Lists of calls as text: a table for people, JSON for programs, CSV for spreadsheets."""

from __future__ import annotations

import csv
import io
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import asdict, fields

from reference_engine.records.history import CallSummary
from reference_engine.records.lengths import length

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reference_engine.records.history import CallPage

SHORT_ID = 8
"""The number of characters of an ID in a narrow table; `call` takes the beginning of an ID too."""

_WIDE = 120
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV Injection)."""

RED, DIM, OFF = "\x1b[31m", "\x1b[2m", "\x1b[0m"


def as_table(calls: Sequence[CallSummary], *, width: int, colour: bool = False) -> str:
    """Returns a table, with a line for each call, in the time of this machine.

    Args:
        calls: the calls, the latest first.
        width: of the terminal; in a narrow one IDs are cut to `SHORT_ID` characters.
        colour: whether failed calls are red.

    """
    if not calls:
        return "no calls\n"
    wide = width >= _WIDE
    titles = ("call", "began", "length", "pipeline", "v", "caller", "how it ended")
    rows = [_row(call, wide=wide) for call in calls]
    limits = (None, None, None, 24 if wide else 12, None, 20 if wide else 15, None)  # None: as long as it is
    columns = [
        [cut(row[number], limit) if limit else row[number] for row in (titles, *rows)]
        for number, limit in enumerate(limits)
    ]
    widths = [max(map(len, column)) for column in columns[:-1]]
    left = max(10, width - sum(widths) - 2 * len(widths))
    lines = []
    for number, call in enumerate((None, *calls)):
        cells = [column[number] for column in columns]
        aligned = [
            cell.rjust(size) if title in {"length", "v"} else cell.ljust(size)
            for title, cell, size in zip(titles, cells, widths, strict=False)
        ]
        line = "  ".join((*aligned, cut(cells[-1], left))).rstrip()
        style = DIM if call is None else RED if call.failed else ""
        lines.append(f"{style}{line}{OFF}" if colour and style else line)
    return "\n".join(lines) + "\n"


def as_json(page: CallPage) -> str:
    """Returns a page as an object: `calls`, and `next`, which `--after` takes."""
    data = {"calls": [plain(asdict(call)) for call in page.calls], "next": page.next}
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def as_csv(calls: Iterable[CallSummary]) -> str:
    """Returns calls as CSV with a line of names; no cell is taken for a formula."""
    names = [attribute.name for attribute in fields(CallSummary)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(getattr(call, name)) for name in names] for call in calls)
    return text.getvalue()


def plain(value: Any) -> Any:
    """Returns data with its times as text, for JSON."""
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list | tuple) else value


def cut(text: str, size: int) -> str:
    """Returns a text on one line, without characters that a terminal acts on, and no longer than `size`."""
    line = printable(text)
    return line if len(line) <= size else f"{line[: size - 1]}…"


def printable(text: str) -> str:
    """Returns a text with its control characters escaped: what a caller says must not act on a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _row(call: CallSummary, *, wide: bool) -> tuple[str, ...]:
    began = call.began.astimezone()
    how = call.state if call.outcome is None else call.outcome.replace("_", " ")
    return (
        call.call_id if wide else call.call_id[:SHORT_ID],
        f"{began:%Y-%m-%d %H:%M:%S}" if wide else f"{began:%m-%d %H:%M}",
        "" if call.duration_s is None else length(call.duration_s),
        call.pipeline,
        str(call.version),
        call.caller,
        ", ".join((how, *marks_of(call))),
    )


def marks_of(call: CallSummary) -> list[str]:
    """Returns what a call survived: the end alone does not tell."""
    if call.failed_over:
        return ["failover"]
    return ["with failures"] if call.failed and call.outcome not in {None, "failed"} else []


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value
