"""How tests wait: for what should come about, and else so long that no machine is as slow as that.

No test's verdict may depend on how fast the machine is: waiting for something ends when it has come, not after a
time in which it should have, and a limit is there for what would never end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

LONG_S = 240.0
"""How long anything may take on a machine that does much else besides; usually it takes a thousandth of that."""


async def until(condition: Callable[[], object]) -> None:
    """Returns when something has come about, be it in another task, thread or process."""
    with trio.fail_after(LONG_S):
        while not condition():  # noqa: ASYNC110 - nobody sets an event for it
            await trio.sleep(0.001)
