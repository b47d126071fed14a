"""The engine's log: text for a terminal, else one JSON object per line.

Every record has `timestamp` (ISO 8601, UTC), `level` and `event`, then its own fields.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog
from attrs import define, field

from reference_engine.log.private_words import without_private
from reference_engine.log.rendering import Log, LogFormat, renderers
from voicepipe import LoggingSettings

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

    from reference_engine.log.line_writer import LineWriter

__all__ = ["Log", "LogFormat", "LogSettings", "adopt_standard_logging", "open_log"]

_DEFAULTS = LoggingSettings()

_FOREIGN = ("message", "exception", "reason")
"""Fields with text of libraries, from which secrets have not been removed yet."""


def open_log(
    lines: LineWriter,
    form: LogFormat,
    level_of: Callable[[str], str],
    *,
    logging_of: Callable[[str], LoggingSettings | None] = lambda _set: None,
    conceal: Callable[[str], str] = str,
    colours: bool = False,
    worker: int | None = None,
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
        worker: the number of this worker, which each record has; None: the engine is a single process.

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

    def add_worker(_logger: WrappedLogger, _method: str, record: EventDict) -> EventDict:
        record["worker"] = worker
        return record

    log: Log = structlog.wrap_logger(
        lines,
        processors=[
            drop_below_the_level_of_its_set,
            add_lost_records,
            *([add_worker] if worker is not None else []),
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _PrivacyFilter(logging_of, conceal),
            *renderers(form, colours=colours),
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
