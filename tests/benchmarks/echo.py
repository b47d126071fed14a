"""The measure of all: a bare AudioSocket echo on trio, with nothing around it. Prints its port; ends with its input."""

from __future__ import annotations

import gc
import sys

import trio

UUID_FRAME = 3 + 16


async def echo(stream):
    """Sends back what comes, but for the frame that says which call it is."""
    async with stream:
        skip = UUID_FRAME
        try:
            async for data in stream:
                if skip:
                    skip, rest = max(0, skip - len(data)), data[skip:]
                    if rest:
                        await stream.send_all(rest)
                else:
                    await stream.send_all(data)
        except trio.BrokenResourceError:
            pass


async def main():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=1024)
    print(listeners[0].socket.getsockname()[1], flush=True)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, echo, listeners)
        gc.collect()
        gc.freeze()
        await trio.to_thread.run_sync(sys.stdin.read)
        nursery.cancel_scope.cancel()


trio.run(main)
