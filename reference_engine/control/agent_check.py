"""Tells a load balancer how many calls the engine can take: HAProxy's `agent-check`.

HAProxy connects every few seconds, reads one line, and is disconnected. `agent_answer` makes that line without I/O:

    state       calls       line            what HAProxy does
    starting    -           down            sends no calls
    ready       60 of 100   ready up 40%    sends 40 % of the server's weight
    ready       100 of 100  ready up 0%     sends no new calls
    paused      some        ready drain     sends no new calls
    paused      none        maint           sends none, and shows that it may be touched
    draining    -           ready drain     sends no new calls; the process ends soon

`ready` ends a `maint` that this agent has asked for, and nothing else does.
"""

from __future__ import annotations

from contextlib import suppress
from math import ceil
from typing import TYPE_CHECKING, Final, Literal

import trio

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

MAX_AGENT_CONNECTIONS: Final = 32
"""The most connections at once; further ones are closed."""
ANSWER_S: Final = 5.0
"""The time that a line may take to be sent, in s."""


def agent_answer(state: Literal["starting", "ready", "paused", "draining"], calls: int, max_calls: int | None) -> bytes:
    """Returns the line for an engine in a state.

    Args:
        state: the state of the engine.
        calls: the number of calls that are up.
        max_calls: the most that it takes; None: there is no limit, so it is never full.

    """
    if state == "starting":
        return b"down\n"
    if state == "paused" and not calls:
        return b"maint\n"
    if state != "ready":
        return b"ready drain\n"
    free = 100 if max_calls is None else ceil(100 * max(0, max_calls - calls) / max_calls)
    return b"ready up %d%%\n" % free


async def serve_agent_check(
    listening: Sequence[socket.socket], answer: Callable[[], bytes], on_shortage: Callable[[OSError], None]
) -> None:
    """Answers each connection with a line, until it is cancelled; the sockets stay the caller's to close.

    Args:
        listening: stream sockets; they are made non-blocking.
        answer: returns the line.
        on_shortage: called when a connection can't be accepted for lack of descriptors or memory.

    """

    async def say(stream: trio.SocketStream) -> None:
        async with stream:
            with suppress(trio.BrokenResourceError), trio.move_on_after(ANSWER_S):
                await stream.send_all(answer())
                await stream.send_eof()
                # Input that nobody has read would make of the end a reset, which may overtake the line.
                while await stream.receive_some(1024):
                    pass

    async def accept(accepting: trio.socket.SocketType) -> None:
        while True:
            try:
                accepted, _address = await accepting.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                on_shortage(error)
                await trio.sleep(1)
                continue
            if len(answering.child_tasks) < MAX_AGENT_CONNECTIONS:
                answering.start_soon(say, trio.SocketStream(accepted))
            else:
                accepted.close()

    async with trio.open_nursery() as answering, trio.open_nursery() as accepts:
        for each in listening:
            each.setblocking(False)
            accepts.start_soon(accept, trio.socket.from_stdlib_socket(each))
