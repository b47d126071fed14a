"""An end for what shields itself from being cancelled and never ends: a verdict instead of a test that hangs."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_S = 0.5
"""How often it is looked."""

_due: dict[trio.CancelScope, float] = {}


@contextmanager
def overdue_at(scope: trio.CancelScope, due: float) -> Iterator[None]:
    """Cancels a scope at a time, and then takes the shields of what is still in the block."""
    _due[scope] = due
    try:
        yield
    finally:
        del _due[scope]


async def end_what_is_overdue() -> None:
    """Looks, as long as it is not cancelled; runs beside each check."""
    while True:
        await trio.sleep(LOOK_S)
        if trio.current_time() > min(_due.values(), default=inf) + LOOK_S:
            for scope, due in list(_due.items()):
                if trio.current_time() > due + LOOK_S:
                    scope.cancel()
            # Which of them is in the way can't be told from outside; the check has failed anyway.
            for shielded in gc.get_objects():
                if type(shielded) is trio.CancelScope and shielded.shield:
                    shielded.shield = False
