"""A call inside an asyncio program: trio runs as a guest of asyncio's loop, in one thread, and both make progress.

    python examples/under_asyncio.py config/ai-agent.yaml caller.wav conversation.wav

`run_in_asyncio` is what your program needs; the call is that of wav_call.py.
"""

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import trio
import wav_call

if TYPE_CHECKING:
    import outcome

T = TypeVar("T")


async def run_in_asyncio(trio_main: Callable[[], Awaitable[T]]) -> T:
    """Runs a trio function beside asyncio's tasks; returns or raises what it does.

    If the asyncio task that waits here is cancelled, the trio function is cancelled, and has ended before this returns.
    One trio run at a time can be a guest of a thread, so start one for all calls and give it a nursery.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[outcome.Outcome[T]] = loop.create_future()
    scope = trio.CancelScope()
    tokens: list[trio.lowlevel.TrioToken] = []

    async def cancellable() -> T:
        tokens.append(trio.lowlevel.current_trio_token())
        with scope:
            return await trio_main()
        raise asyncio.CancelledError

    def cancel() -> None:
        if tokens:
            tokens[0].run_sync_soon(scope.cancel)  # asyncio's callbacks are outside trio, so trio must be asked to
        else:
            scope.cancel()

    trio.lowlevel.start_guest_run(
        cancellable,
        run_sync_soon_threadsafe=loop.call_soon_threadsafe,
        done_callback=ended.set_result,
        host_uses_signal_set_wakeup_fd=True,  # asyncio's loop does, on Unix
    )
    cancelled = False
    while not ended.done():
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            cancelled = True
            cancel()
    if cancelled:
        with contextlib.suppress(asyncio.CancelledError):
            ended.result().unwrap()
        raise asyncio.CancelledError
    return ended.result().unwrap()


async def main(config: str, caller: str, conversation: str) -> None:
    async def tick() -> None:
        while True:
            print("asyncio is alive", flush=True)
            await asyncio.sleep(1)

    beside = asyncio.create_task(tick())
    await run_in_asyncio(partial(wav_call.main, config, caller, conversation))
    beside.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3]))
