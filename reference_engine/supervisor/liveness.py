"""Finds workers that hang, and ends them: processes that are stopped, or whose event loop does not turn.

A verdict counts questions, not seconds: a supervisor that was itself held up asks later, and blames nobody for it. In
every `hang_s` there are `CHECKS` questions, and a worker that has answered none of the last `CHECKS` is killed.

While it starts, a worker may be held up by a library that loads a model: it has `START_S` then, and as long as it likes
for its imports, before which it can't answer.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

import trio

from reference_engine.link.messages import AskAlive

if TYPE_CHECKING:
    from reference_engine.supervisor.supervisor import Supervisor

CHECKS: Final = 5
"""The number of questions in `hang_s`."""
START_S: Final = 120.0
"""The time for which the event loop of a worker may be held up while it starts, in s."""


async def kill_hung_workers(supervisor: Supervisor) -> None:
    """Asks each worker again and again whether it is alive, and kills those that hang, until it is cancelled."""
    hang_s = supervisor.plan.hang_s
    number = 0
    while True:
        await trio.sleep(hang_s / CHECKS)
        number += 1
        for worker in supervisor.workers:
            if worker.started is None or worker.killed_because:
                continue
            allowed = CHECKS if worker.ready_at is not None else max(CHECKS, ceil(START_S / hang_s * CHECKS))
            if worker.unanswered >= allowed:
                supervisor.log.error(
                    "worker.hung",
                    worker=worker.number,
                    pid=worker.pid,
                    unanswered_s=round(worker.unanswered * hang_s / CHECKS, 3),
                    calls=worker.calls,
                    hint="it did not answer; raise `hang_s` if something may hold it up for that long",
                )
                worker.kill(f"it did not answer for {hang_s:g} s (hang_s)")
                continue
            worker.unanswered += 1
            worker.post(AskAlive(number))
