"""The file of HAProxy, with a real HAProxy and three engines: one paused, one killed, one upgraded under calls."""

from __future__ import annotations

import csv
import re
import shutil
import signal
import socket
import subprocess
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from engine_process import engine_home, open_engine
from patience import LONG_S

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

FILE = Path(__file__).parents[2] / "examples/deploy/haproxy/haproxy.cfg"
ENGINE = """\
pipeline_sets: {{main: ai-agent.yaml}}
listeners:
  - {{set: main, name: audiosocket, port: {audiosocket}}}
  - {{set: main, name: softphone, type: browser, port: {softphone}}}
admin: {{port: {admin}}}
agent_check: {{port: {agent}}}
max_calls: 3
drain_s: 600
"""
ANY_PORTS = {"audiosocket": 0, "softphone": 0, "admin": 0, "agent": 0}
BACKEND = "audiosocket_engines"
NAMES = ("engine1", "engine2", "engine3")
pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="there is no haproxy: apt install haproxy")


def ports_of(engine):
    """The ports of an engine by what they are for."""
    (ready,) = [record for record in engine.records if record["event"] == "engine.ready"]
    return {**engine.ports, "admin": ready["admin"]["port"], "agent": ready["agent_check"]["port"]}


def file_for(engines, frontends):
    """HAProxy's file with the addresses of this test in place of those of machines.

    Args:
        engines: the ports of each.
        frontends: the descriptor of the listening socket of each `bind`.

    """
    text = FILE.read_text()
    for number, ports in enumerate(engines, 1):
        text = text.replace(f"10.0.0.1{number}:9092", f"127.0.0.1:{ports['audiosocket']}")
        text = text.replace(f"10.0.0.1{number}:9096", f"127.0.0.1:{ports['softphone']}")
        asked = f"port {ports['admin']} agent-port {ports['agent']}"
        text, replaced = re.subn(rf"(server engine{number} .*) port 9093 agent-port 9099", rf"\1 {asked}", text)
        assert replaced == 2
    for bind, descriptor in frontends.items():
        assert text.count(f"bind {bind}\n") + text.count(f"bind {bind} ") == 1
        text = re.sub(rf"bind {bind}(?=\s)", f"bind fd@{descriptor}", text)
    return text


@asynccontextmanager
async def open_haproxy(home, engines):
    """HAProxy in front of engines; gives its port for AudioSocket and the URLs of its other two."""
    with ExitStack() as opened:
        sockets = {
            bind: opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            for bind in (":9092", ":9096", "127.0.0.1:9404")
        }
        (home / "haproxy.cfg").write_text(file_for(engines, {bind: each.fileno() for bind, each in sockets.items()}))
        ports = [each.getsockname()[1] for each in sockets.values()]
        process = await trio.lowlevel.open_process(
            ["haproxy", "-db", "-f", str(home / "haproxy.cfg")],
            pass_fds=[each.fileno() for each in sockets.values()],
            stdout=subprocess.DEVNULL,
        )
        try:
            yield ports[0], *(f"http://127.0.0.1:{port}" for port in ports[1:])
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()


class Statistics:
    """What HAProxy says of the engines."""

    def __init__(self, url):
        self._url = url

    async def states(self):
        """The state of each server of AudioSocket, and the weight that it has now."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"{self._url}/stats;csv")).text
        rows = csv.DictReader(text.removeprefix("# ").splitlines())
        return {row["svname"]: (row["status"], int(row["weight"])) for row in rows if row["pxname"] == BACKEND}

    async def show(self, **expected):
        """Returns when each of these servers has that state, or that state and weight."""
        with trio.fail_after(LONG_S):
            while True:
                states = await self.states()
                if all(want in (states[name], states[name][0].partition(" ")[0]) for name, want in expected.items()):
                    return
                await trio.sleep(0.05)


class Engines:
    """The three engines, each of which may be ended and started again while the others live."""

    def __init__(self, nursery):
        self._nursery, self._ended = nursery, {}
        self.homes, self.running = {}, {}

    async def start(self, name):
        """Starts an engine in its directory."""
        self.running[name] = await self._nursery.start(self._live, name)

    async def _live(self, name, task_status):
        async with open_engine(self.homes[name], file="engine.yaml") as engine:
            self._ended[name] = trio.Event()
            task_status.started(engine)
            await self._ended[name].wait()

    async def start_again(self, name):
        """Starts it again after it has ended."""
        await self.running[name].ended()
        self._ended[name].set()
        await self.start(name)

    def owner_of(self, caller):
        """The name of the engine that has answered a caller."""
        (owner,) = [
            name
            for name, engine in self.running.items()
            for record in engine.records
            if record["event"] == "call.started" and record["transport_id"] == str(caller.call_id)
        ]
        return owner


@pytest.fixture
async def engines(nursery):
    """Three engines; one that comes back is at the same address."""
    with ExitStack() as homes:
        engines = Engines(nursery)
        for name in NAMES:
            home = engines.homes[name] = homes.enter_context(engine_home())
            (home / "engine.yaml").write_text(ENGINE.format_map(ANY_PORTS))
            await engines.start(name)
            (home / "engine.yaml").write_text(ENGINE.format_map(ports_of(engines.running[name])))
        yield engines


async def test_one_is_paused_one_killed_and_one_upgraded_while_calls_are_up(engines):
    home, ports = engines.homes["engine1"], [ports_of(engine) for engine in engines.running.values()]
    async with open_haproxy(home, ports) as (port, softphone, statistics), AsyncExitStack() as calls:
        seen = Statistics(statistics)
        await seen.show(engine1=("UP", 100), engine2=("UP", 100), engine3=("UP", 100))
        up = []

        async def call():
            """The engine that has answered one more call."""
            caller = await calls.enter_async_context(open_audiosocket_call(port=port))
            with trio.fail_after(LONG_S):
                assert await caller.agent_spoke()
            up.append((caller, owner := engines.owner_of(caller)))
            return owner

        def callers_of(name):
            return [caller for caller, owner in up if owner == name]

        # The engine with the fewest calls gets the next one.
        assert sorted([await call(), await call(), await call()]) == list(NAMES)
        await seen.show(engine1=("UP", 67), engine2=("UP", 67), engine3=("UP", 67))
        async with httpx.AsyncClient(trust_env=False) as client:
            assert "softphone" in (await client.get(softphone)).text.lower()
            assert "haproxy_server_status" in (await client.get(f"{statistics}/metrics")).text

        # One is paused: its call goes on, and it gets no other.
        await engines.running["engine1"].command("pause")
        await seen.show(engine1="DRAIN")
        assert sorted([await call(), await call()]) == ["engine2", "engine3"]

        # One is killed: its calls are gone, those of others go on, and whoever calls is answered by another.
        engines.running["engine2"].process.send_signal(signal.SIGKILL)
        await engines.running["engine2"].ended()  # until then the kernel may accept a connection that nobody serves
        for caller in callers_of("engine2"):
            with trio.fail_after(LONG_S):
                await caller.hung_up.wait()
        assert await call() == "engine3"
        await seen.show(engine2="DOWN", engine3=("UP", 0))  # it is full
        await engines.start_again("engine2")
        await seen.show(engine2=("UP", 100))

        # One is upgraded: it lets its calls end, and others take the new ones.
        upgraded = engines.running["engine3"]
        upgraded.process.terminate()
        await seen.show(engine3="DRAIN")
        assert await call() == "engine2"
        assert [caller.hung_up.is_set() for caller in callers_of("engine3")] == [False] * 3
        for caller in callers_of("engine3"):
            await caller.hang_up()
        await engines.start_again("engine3")
        await seen.show(engine3=("UP", 100))

        # The paused one has nothing to lose once its call is over, and comes back.
        (caller,) = callers_of("engine1")
        assert not caller.hung_up.is_set()
        await caller.hang_up()
        await seen.show(engine1="MAINT")
        await engines.running["engine1"].command("resume")
        await seen.show(engine1=("UP", 100))
        assert sorted([await call(), await call()]) == ["engine1", "engine3"]
