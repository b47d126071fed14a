"""Runs an engine for `reference-engine run`: opens its log, and turns the way it ended into an exit status."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING, TypeVar

import trio

from reference_engine.engine import WorkersWantedError, run_engine
from reference_engine.errors import EngineError
from reference_engine.lifecycle.early_signals import ignore_late_signals
from reference_engine.link.link import Link
from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import LogSettings, adopt_standard_logging, open_log
from reference_engine.settings.run_options import RunOptions
from reference_engine.supervised import prepare_supervisor
from reference_engine.worker.worker_link import WorkerLink
from voicepipe import ComponentsUnavailable, ConfigError, format_problems, problems_as_data

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.link.worker_start import WorkerStart
    from reference_engine.log.log import Log, LogFormat

Error = TypeVar("Error", bound=BaseException)

EX_CONFIG = 78
"""From BSD's sysexits.h: a configuration file is invalid, so starting again won't help."""

EX_TEMPFAIL = 75
"""From BSD's sysexits.h: the files are valid but no component of them opens, so starting again may help."""


def start(options: RunOptions, log_format: LogFormat | None) -> int:
    """Runs the engine until it is stopped; returns the exit status. Errors that prevent the start are logged.

    If it is to have several workers, this process becomes their supervisor: then this does not return.
    """
    terminal = sys.stderr.isatty()
    log_format = log_format or ("console" if terminal else "json")
    colours = terminal and not os.environ.get("NO_COLOR")
    status, wanted = 1, None
    with LineWriter(sys.stderr.fileno()) as lines:
        logged = LogSettings()
        log = _open_log(lines, logged, log_format, colours=colours)
        try:
            status = _run(options, logged, log, log_format, None)
        except WorkersWantedError as workers:
            wanted = workers.settings
            try:
                prepared = prepare_supervisor(options, wanted, log_format, colours=colours)
            except EngineError as failed:
                log.error("engine.failed", reason=str(failed))  # noqa: TRY400 - the reason says all
                wanted = None
    if wanted is not None:
        prepared.become()
    return status


def start_worker(start: WorkerStart) -> int:
    """Runs one worker of an engine until its supervisor ends it; returns the exit status."""
    logged = LogSettings()
    with LineWriter(sys.stderr.fileno(), lock=start.log_lock) as lines, socket.socket(fileno=start.link) as end:
        log = _open_log(lines, logged, start.log_format, colours=start.colours, worker=start.number)
        return _run(RunOptions.of_data(start.run), logged, log, start.log_format, WorkerLink(start, Link(end)))


def _open_log(
    lines: LineWriter, logged: LogSettings, log_format: LogFormat, *, colours: bool, worker: int | None = None
) -> Log:
    log = open_log(
        lines,
        log_format,
        lambda name: logged.of_set[name].level if name in logged.of_set else "INFO",
        logging_of=logged.of_set.get,
        conceal=lambda text: logged.conceal(text),  # noqa: PLW0108 - the attribute changes
        colours=colours,
        worker=worker,
    )
    adopt_standard_logging(log)
    return log


def _run(options: RunOptions, logged: LogSettings, log: Log, log_format: LogFormat, worker: WorkerLink | None) -> int:
    """Runs the engine and returns its exit status; errors that prevent its start are logged."""
    status = 1
    try:
        status = 1 if trio.run(run_engine, options, logged, log, worker) else 0
    except* ConfigError as errors:
        failures = list(_leaves(errors))
        unavailable = all(isinstance(error, ComponentsUnavailable) for error in failures)
        status = EX_TEMPFAIL if unavailable else EX_CONFIG
        for error in failures:
            _report(error, log, log_format)
    except* EngineError as errors:
        for failed in _leaves(errors):
            log.error("engine.failed", reason=str(failed))  # noqa: TRY400 - the reason says all, a traceback nothing more
    ignore_late_signals()
    return status


def _report(error: ConfigError, log: Log, log_format: LogFormat) -> None:
    """Prints the problems to stdout as `voicepipe check` does; a JSON log gets them too."""
    count = len(error.problems)
    problems = f"{count} {'problem' if count == 1 else 'problems'}"
    unavailable = isinstance(error, ComponentsUnavailable)
    reason = (
        f"no pipeline can be opened ({problems}); the files are valid"
        if unavailable
        else f"{problems} in the configuration"
    )
    log.error(
        "engine.failed", reason=reason, **{"problems": problems_as_data(error.problems)} if log_format == "json" else {}
    )
    sys.stdout.write(format_problems(error.problems, colour=sys.stdout.isatty()))


def _leaves(errors: BaseExceptionGroup[Error]) -> Iterator[Error]:
    for error in errors.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error
