"""The engine's log: text for a terminal, else one JSON object per line.

Every record has `timestamp` (ISO 8601, UTC), `level` and `event`, then its own fields.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import structlog
from attrs import define, field
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from reference_engine.log.private_words import without_private
from voicepipe import LoggingSettings

if TYPE_CHECKING:
    from reference_engine.log.line_writer import LineWriter

LogFormat: TypeAlias = Literal["json", "console"]
"""`json`: one object per line, for programs; `console`: aligned text, for people."""

_DEFAULTS = LoggingSettings()

_FOREIGN = ("message", "exception", "reason")
"""Fields with text of libraries, from which secrets have not been removed yet."""

Log: TypeAlias = FilteringBoundLogger
"""A structlog logger: `log.info("call.started", call_id=...)`."""


def open_log(
    lines: LineWriter,
    form: LogFormat,
    level_of: Callable[[str], str],
    *,
    logging_of: Callable[[str], LoggingSettings | None] = lambda _set: None,
    conceal: Callable[[str], str] = str,
    colours: bool = False,
) -> Log:
    """Returns a log that writes to `lines`.

    Args:
        lines: gets the finished records.
        form: their format.
        level_of: returns the level of a pipeline set, by its name; called for each record with `set`. Records of the
            engine itself (`engine.ready`, ...) are always written.
        logging_of: returns the logging settings of a pipeline set, by its name, for what its records may show of
            conversations; None: the defaults.
        conceal: removes the secrets of all sets from text of libraries and from tracebacks.
        colours: whether a `console` log has colours.

    """

    def drop_below_the_level_of_its_set(_logger: WrappedLogger, method: str, record: EventDict) -> EventDict:
        if "set" in record and not record["event"].startswith("engine."):
            wanted = logging.getLevelNamesMapping()[level_of(record["set"])]
            if logging.getLevelNamesMapping()[method.upper()] < wanted:
                raise structlog.DropEvent
        return record

    def add_lost_records(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
        if lines.lost:
            record["lost_records"], lines.lost = lines.lost, 0
        return record

    log: Log = structlog.wrap_logger(
        lines,
        processors=[
            drop_below_the_level_of_its_set,
            add_lost_records,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _PrivacyFilter(logging_of, conceal),
            *(
                [_standard_keys_first, structlog.processors.JSONRenderer()]
                if form == "json"
                else [_console_renderer(colours)]
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        cache_logger_on_first_use=True,
    )
    return log


@define
class LogSettings:
    """The settings that the log looks up for each record; they are filled in later, when pipeline sets exist."""

    of_set: dict[str, LoggingSettings] = field(factory=dict)
    """The logging settings of the pipeline sets that serve, by name."""
    conceal: Callable[[str], str] = str
    """Removes secrets from a text."""


@define
class _PrivacyFilter:
    """A processor that removes secrets from a record, and the parts of a conversation that its set hides."""

    _logging_of: Callable[[str], LoggingSettings | None]
    _conceal: Callable[[str], str]

    def __call__(self, _logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
        for name in _FOREIGN:
            if isinstance(record.get(name), str):
                record[name] = self._conceal(record[name])
        if "call_id" in record:
            without_private(record, self._logging_of(record.get("set", "")) or _DEFAULTS)
        return record


def adopt_standard_logging(log: Log) -> None:
    """Sends records of libraries' `logging`, from WARNING up, and warnings to this log, as `library.message`."""
    logging.basicConfig(handlers=[_StandardLogHandler(log)], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


class _StandardLogHandler(logging.Handler):
    """The only handler of the standard root logger."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write("library.message", logger=record.name, message=record.getMessage(), exc_info=record.exc_info)


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
