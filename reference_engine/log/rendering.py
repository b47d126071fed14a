"""The forms of log records: JSON for programs, text for people. It imports nothing of voicepipe, for the supervisor."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reference_engine.log.line_writer import LineWriter

LogFormat: TypeAlias = Literal["json", "console"]
"""`json`: one object per line, for programs; `console`: aligned text, for people."""

Log: TypeAlias = FilteringBoundLogger
"""A structlog logger: `log.info("call.started", call_id=...)`."""


def open_plain_log(lines: LineWriter, form: LogFormat, *, colours: bool = False) -> Log:
    """Returns a log of a process that knows no calls and no secrets; `open_log` of `log.py` is the engine's."""
    log: Log = structlog.wrap_logger(
        lines,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            *renderers(form, colours=colours),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    )
    return log


def renderers(form: LogFormat, *, colours: bool) -> Sequence[Processor]:
    """Returns the last processors of a log, which make a line of a record."""
    if form == "json":
        return [_standard_keys_first, structlog.processors.JSONRenderer()]
    return [_console_renderer(colours)]


def _standard_keys_first(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
    first = {key: record.pop(key) for key in ("timestamp", "level", "event")}
    return {**first, **record}


def _console_renderer(colours: bool) -> Callable[[WrappedLogger, str, EventDict], str]:
    """Returns a processor that renders a record for a terminal: names in short, and each problem on its own line."""
    renderer = structlog.dev.ConsoleRenderer(
        colors=colours, sort_keys=False, pad_event_to=18, exception_formatter=structlog.dev.plain_traceback
    )

    def render(logger: WrappedLogger, method: str, record: EventDict) -> str:
        problems: list[dict[str, Any]] = record.pop("problems", [])
        record.pop("plan", None)  # `summary` says it in a line
        for role in ("stt", "llm", "tts"):
            if label := record.get(role):
                record[role] = " ".join(filter(None, (label["adapter"], label["model"])))
        if listeners := record.get("listeners"):
            record["listeners"] = ", ".join("{transport} {host}:{port}".format(**listener) for listener in listeners)
        if sets := record.get("sets"):
            record["sets"] = ", ".join("{set} version {version} ({active_pipeline})".format(**shown) for shown in sets)
        if admin := record.pop("admin", None):
            record["admin"] = "{host}:{port}".format(**admin)
        for key, value in record.items():
            if isinstance(value, str):
                kept = "\n\t" if key == "exception" else ""
                record[key] = _printable(value, kept)
        lines = [renderer(logger, method, record)]
        for problem in problems:
            where = "{file}:{line}:{column}: ".format(**problem)
            path, hint = problem["path"] and f"{problem['path']}: ", problem["hint"] and f" ({problem['hint']})"
            lines.append(_printable(f"    {where}{path}{problem['message']}{hint}"))
        return "\n".join(lines)

    return render


def _printable(text: str, kept: str = "") -> str:
    """Returns the text with control characters escaped, which could move a terminal's cursor or forge a line."""
    return "".join(char if char.isprintable() or char in kept else repr(char)[1:-1] for char in text)
