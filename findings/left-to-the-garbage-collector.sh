#!/bin/bash
# What:      In ordinary use, some libraries for servers on trio leave objects that only Python's garbage collector frees:
#            a connection of websockets.trio that was cancelled (the connection and its queue refer to each other), a
#            response of httpx that was read and closed (the response and its stream do; httpx2 has corrected that), an
#            exception raised by a function in trio.to_thread.run_sync, and the cancellation of a task whose nursery's
#            body raised.
# For whom:  Programs that avoid full collections, because one stops a server for 50 ms and more: such cycles have to be
#            broken by hand, or memory grows. For a connection the cycle is in its attributes recv_messages.pause and
#            .resume, for an exception in its __traceback__.
# How seen:  Each was done ten times with the collector off. Then the collector ran with gc.DEBUG_SAVEALL, which keeps what
#            it finds, and the objects of the class in question were counted.
# A good guess: 0 of each, because these libraries avoid cycles, and trio has tests for it.
# Exit status: not 0 if this has changed.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install -q --disable-pip-version-check trio==0.35.0 websockets==17.4 httpx==0.28.1 httpx2==2.16.2
cat > "$place/look.py" <<'EOF'
import gc
import sys
from functools import partial
from importlib.metadata import version

import httpx
import httpx2
import trio
from websockets.trio.client import ClientConnection, connect
from websockets.trio.server import serve

TIMES = 10
print("Python", sys.version.split()[0], *(f"{name} {version(name)}" for name in ("trio", "websockets", "httpx", "httpx2")))


class Raised(Exception):
    pass


async def left(kind, use):
    """How many objects of a class, or of its subclasses, are left to the collector by ten uses."""
    await use()  # what is made once is there
    gc.collect()
    gc.disable()
    for _ in range(TIMES):
        await use()
    await trio.sleep(0.1)
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    count = sum(issubclass(type(one), kind) for one in gc.garbage)
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()
    return count


def fail():
    raise Raised


async def thread():
    try:
        await trio.to_thread.run_sync(fail)
    except Raised:
        pass


async def nursery():
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.testing.wait_all_tasks_blocked()
            raise Raised
    except* Raised:
        pass


def responses(library):
    async def use():
        transport = library.MockTransport(lambda request: library.Response(200, text="Hello."))
        async with library.AsyncClient(transport=transport) as client, client.stream("GET", "http://test/") as response:
            await response.aread()

    return use


async def main():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with trio.open_nursery() as tasks:
        server = await tasks.start(partial(serve, echo, 0, host="127.0.0.1"))
        port = server.listeners[0].socket.getsockname()[1]

        async def connection():
            with trio.CancelScope() as leaving:
                async with connect(f"ws://127.0.0.1:{port}", proxy=None) as websocket:
                    await websocket.send("Hello.")
                    await websocket.recv()
                    leaving.cancel()
                    await trio.sleep_forever()

        counts = {
            "connections of websockets.trio that a cancellation ended": await left(ClientConnection, connection),
            "exceptions of trio.to_thread.run_sync": await left(Raised, thread),
            "cancellations of a nursery whose body raised": await left(trio.Cancelled, nursery),
            "responses of httpx": await left(httpx.Response, responses(httpx)),
            "responses of httpx2": await left(httpx2.Response, responses(httpx2)),
        }
        tasks.cancel_scope.cancel()
    for what, count in counts.items():
        print(f"{what}: {count} after {TIMES} uses")
    print("\nA good guess: 0 of each.")
    print("Seen: all of them, but none of httpx2's.")
    *others, mended = counts.values()
    raise SystemExit(0 if min(others) == TIMES and mended == 0 else 1)


import trio.testing

trio.run(main)
EOF
"$place/venv/bin/python" "$place/look.py"
