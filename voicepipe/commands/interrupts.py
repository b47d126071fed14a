"""Ctrl-C in a command-line program: status 130, and not a word on stderr, at whatever moment it comes.

`KeyboardInterrupt` can't promise that. It is raised between any two instructions: out of an import, a destructor
(where it is printed and lost), a vendor's `except BaseException`, a nursery (where it becomes a group), or while the
interpreter shuts down. So none is raised here:

- The handler ends the process. What has been printed was flushed, or has no use without the rest.
- While trio runs, something may have to be closed in order: there the first Ctrl-C cancels, and the second one ends
  the process.
- When all is done, and the interpreter only takes itself apart, a Ctrl-C changes nothing any more.

A terminal sends the signal to every process of the foreground group. Components' processes have sessions of their own,
so they are closed by whoever opened them, or end when their standard input does.

This module imports next to nothing: its handler has to be there before anything else is imported.
"""

from __future__ import annotations

import atexit
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import TypeVar, TypeVarTuple

    T = TypeVar("T")
    Ts = TypeVarTuple("Ts")

INTERRUPTED = 128 + signal.SIGINT
"""The exit status, as of a program that a shell saw die of the signal."""


@contextmanager
def interrupts_end_it(*, for_good: bool) -> Iterator[None]:
    """Makes SIGINT end the process with status 130, during the block or for good.

    A handler that was set before stays, and so does an ignored SIGINT, as in the background of a shell.

    Args:
        for_good: whether the handler stays after the block, because the process has no other purpose.

    """
    if threading.current_thread() is not threading.main_thread() or (
        signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):
        yield
        return
    signal.signal(signal.SIGINT, _end)
    if for_good:
        # The first to be registered is the last to be called: nothing that can hang comes after it.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        if not for_good:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def run_interruptible(async_fn: Callable[[*Ts], Awaitable[T]], *args: *Ts) -> T:
    """Runs an async function by trio and returns its result; within `interrupts_end_it`, a first SIGINT cancels it.

    Raises:
        KeyboardInterrupt: it was cancelled so, and has ended, whatever it returned or raised.

    """
    import trio  # noqa: PLC0415 - see the module

    interrupted = False

    async def run() -> T:
        token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as scope:

            def cancel(_signal: int, _frame: object) -> None:
                nonlocal interrupted
                interrupted = True
                signal.signal(signal.SIGINT, _end)
                token.run_sync_soon(scope.cancel)

            signal.signal(signal.SIGINT, cancel)
            try:
                return await async_fn(*args)
            finally:
                signal.signal(signal.SIGINT, _end)
        raise KeyboardInterrupt

    async def leave_it() -> T:
        return await async_fn(*args)

    if signal.getsignal(signal.SIGINT) is not _end:
        return trio.run(leave_it)
    try:
        result = trio.run(run)
    except BaseException:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    if interrupted:
        raise KeyboardInterrupt
    return result


def _end(_signal: int, _frame: object) -> None:
    os._exit(INTERRUPTED)
