"""Handles signals before the engine's own handlers are installed, and after they are gone.

Importing the engine takes half a second. A SIGTERM in that time would kill the process, with a status that looks like a
failure. For PID 1 of a container it would do nothing: the kernel drops signals for which PID 1 has no handler, and the
stop would be lost. This module imports almost nothing, so its handlers are installed as soon as Python runs.
"""

from __future__ import annotations

import atexit
import os
import signal

STOPS = (signal.SIGTERM, signal.SIGINT)
"""The signals that stop an engine."""


def take_early_signals() -> None:
    """Makes stop signals end the process with status 0 until the engine installs its own handlers.

    SIGHUP is ignored: no file has been read yet, so the start reads the latest ones anyway.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for stop in STOPS:
        signal.signal(stop, _end)


def end_at_interrupt() -> None:
    """Makes Ctrl-C end the process at once with status 130 and without a message; for commands other than `run`.

    Python would print a `KeyboardInterrupt` that is raised in an import, in a destructor or while the interpreter
    exits. If SIGINT is ignored, as for a shell's background jobs, it stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
        # atexit calls the first registered function last, so nothing that can hang comes after it.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def ignore_late_signals() -> None:
    """Ignores stop signals; to be called when all has closed, so that a signal can't change the exit status."""
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)


def _interrupted(_signal: int, _frame: object) -> None:
    os._exit(128 + signal.SIGINT)


def _end(_signal: int, _frame: object) -> None:
    os._exit(0)  # a module that is being imported could swallow an exception
