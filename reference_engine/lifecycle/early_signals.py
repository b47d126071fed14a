"""Signals that come before there is anything to act on them, and after.

Importing what the engine stands on takes half a second. A process dies of a SIGTERM that comes then; as PID 1 of a
container it does not even do that, for the kernel drops what PID 1 has no handler for, and the stop would be lost.
This module imports next to nothing, so that the handlers are there as soon as Python is.
"""

from __future__ import annotations

import atexit
import os
import signal

STOPS = (signal.SIGTERM, signal.SIGINT)
"""What asks the engine to stop."""


def take_early_signals() -> None:
    """Until the engine has its own handlers: a stop ends the process with status 0, for nothing has begun yet.

    SIGHUP is ignored: no file has been read, so there is nothing to read again.
    """
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    for stop in STOPS:
        signal.signal(stop, _end)


def end_at_interrupt() -> None:
    """For the commands that are no engine: Ctrl-C ends the process with status 130, without a word, whenever it comes.

    A `KeyboardInterrupt` would be printed if it came out of an import, a destructor, or the interpreter's own end. A
    SIGINT that is ignored, as in a shell's background, stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
        # The first to be registered is the last to be called: nothing that can hang comes after it.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def ignore_late_signals() -> None:
    """When everything has been closed: a stop must not change the exit status any more."""
    for stop in STOPS:
        signal.signal(stop, signal.SIG_IGN)


def _interrupted(_signal: int, _frame: object) -> None:
    os._exit(128 + signal.SIGINT)


def _end(_signal: int, _frame: object) -> None:
    os._exit(0)  # an exception could be swallowed by whatever is being imported
