"""A real engine for tests: a process of its own, on a free port and a control socket of its own, with its log read."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import httpx
import trio
from attrs import define, field
from forked_program import CAN_FORK, ForkedProcess, fork_program
from patience import LONG_S

CONFIG = Path(__file__).parents[1] / "config"

QUICK = """\
active_pipeline: default
limits: {goodbye: "Bye.", idle_prompt_s: 600}  # no caller is idle because the machine is slow
pipelines:
  default:
    stt: {type: vosk, model: models/tiny-en}
    llm: {type: scripted, script: scripts/reception.yaml}
    tts: {type: espeak, voice: en-us}
    greeting: "Hello."
  night:
    stt: {type: vosk, model: models/tiny-en}
    llm: {type: scripted, script: scripts/reception.yaml}
    tts: {type: espeak, voice: en-gb}
    greeting: "Good night."
"""
"""Two pipelines whose greetings are short."""

TWO_SETS = """\
pipeline_sets: {main: ai-agent.yaml, acme: acme.yaml}
listeners:
  - {set: main, name: main, port: 0}
  - {set: acme, name: acme, port: 0}
control: c.sock
admin: {port: 0}
"""
"""An engine's file; `engine_home` has the files of both sets."""


@define(eq=False)
class EngineProcess:
    """A running engine."""

    process: trio.Process | ForkedProcess
    home: Path
    """The directory that it runs in."""
    records: list = field(factory=list)
    """What it has logged so far, parsed."""
    _more: trio.Event = field(factory=trio.Event)

    async def logged(self, event, *, after=0, **fields):
        """The first record of that event, among those from index `after` on, that has these fields."""
        with trio.fail_after(LONG_S):
            while True:
                for record in self.records[after:]:
                    if record["event"] == event and fields.items() <= record.items():
                        return record
                await self._more.wait()

    async def id_of(self, caller):
        """What the engine calls the call of a caller, once it has answered it."""
        return (await self.logged("call.started", transport_id=str(caller.call_id)))["call_id"]

    @property
    def calm_records(self):
        """Its records but those of an event loop that was held up, as it is where other programs take the processor."""
        return [record for record in self.records if not record["event"].startswith("loop.")]

    def count(self, event):
        """How many records of that event there are."""
        return sum(record["event"] == event for record in self.records)

    @property
    def port(self):
        """Where its AudioSocket listens."""
        (ready,) = [record for record in self.records if record["event"] == "engine.ready"]
        return ready["listeners"][0]["port"]

    @property
    def control(self):
        """Its control socket."""
        return self.home / "c.sock"

    @property
    def yaml(self):
        """Its configuration."""
        return self.home / "ai-agent.yaml"

    @property
    def ports(self):
        """Where its listeners listen, by name."""
        (ready,) = [record for record in self.records if record["event"] == "engine.ready"]
        return {listener["name"]: listener["port"] for listener in ready["listeners"]}

    @property
    def admin(self):
        """Where its control is over TCP, as a URL."""
        (ready,) = [record for record in self.records if record["event"] == "engine.ready"]
        return "http://{host}:{port}".format(**ready["admin"])

    def edit(self, old, new, *, file="ai-agent.yaml"):
        """Replaces a text in its configuration, once."""
        text = (self.home / file).read_text()
        assert text.count(old) == 1
        (self.home / file).write_text(text.replace(old, new))

    async def ask(self, method, path, **request):
        """An answer of its control; `request` is what httpx takes."""
        transport = httpx.AsyncHTTPTransport(uds=str(self.control))
        async with httpx.AsyncClient(transport=transport, base_url="http://engine", timeout=LONG_S) as client:
            return await client.request(method, path, **request)

    async def ask_admin(self, method, path, **request):
        """The same over TCP."""
        async with httpx.AsyncClient(base_url=self.admin, timeout=LONG_S, trust_env=False) as client:
            return await client.request(method, path, **request)

    async def samples(self):
        """What Prometheus would scrape: values by name and labels, as the text has them."""
        lines = (await self.ask("GET", "/metrics")).text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def hang_up(self):
        """Sends SIGHUP."""
        self.process.send_signal(signal.SIGHUP)

    async def comes_true(self, condition):
        """Returns when an async condition holds."""
        with trio.fail_after(LONG_S):
            while not await condition():  # noqa: ASYNC110 - it is about another process
                await trio.sleep(0.02)

    async def command(self, *arguments):
        """Runs `reference-engine` against it."""
        return await run_command(*arguments, "--control", str(self.control), home=self.home)

    async def ended(self):
        """Its exit status, once it has ended and all of its log was read."""
        with trio.fail_after(LONG_S):
            return await self.process.wait()

    async def read_log(self):
        """Collects what it logs; each line must be a JSON object."""
        rest = b""
        with suppress(trio.ClosedResourceError):
            async for data in self.process.stderr:
                *lines, rest = (rest + data).split(b"\n")
                self.records += map(json.loads, lines)
                self._more.set()
                self._more = trio.Event()
        assert not rest


@contextmanager
def engine_home(yaml=QUICK):
    """A directory with a configuration in it, whose path is short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="engine-") as directory:
        home = Path(directory)
        (home / "models").symlink_to(CONFIG / "models")
        shutil.copytree(CONFIG / "scripts", home / "scripts")
        (home / "ai-agent.yaml").write_text(yaml)
        (home / "acme.yaml").write_text(yaml)
        (home / "engine.yaml").write_text(TWO_SETS)
        yield home


ENGINE = ("-m", "reference_engine")


def command_line(*arguments, program=ENGINE):
    """The arguments of a `reference-engine` process of this Python, or of another program that runs one."""
    return [sys.executable, *program, *arguments]


IMPORT_PATH = os.environ.get("PYTHONPATH")
"""Where a forked engine's modules are from; under another path it begins afresh, to import what is there."""


async def run_command(*arguments, home, fresh=False):
    """Runs `reference-engine` to its end in a directory; `fresh` is as for `open_process`."""
    with trio.fail_after(LONG_S):
        if fresh or not CAN_FORK or os.environ.get("PYTHONPATH") != IMPORT_PATH:
            return await trio.run_process(
                command_line(*arguments), cwd=home, capture_stdout=True, capture_stderr=True, check=False
            )
        said = {"stdout": b"", "stderr": b""}

        async def read(stream, name):
            async with stream:
                async for data in stream:
                    said[name] += data

        async with trio.open_nursery() as nursery:
            with pipe() as (stdout, out), pipe() as (stderr, err):
                nursery.start_soon(read, stdout, "stdout")
                nursery.start_soon(read, stderr, "stderr")
                process = await fork_program([*map(str, arguments)], cwd=home, stdout=out, stderr=err)
            ended = await ending(process)
        return subprocess.CompletedProcess(arguments, ended, **said)


async def ending(process):
    """Waits for a process; kills it if this is cancelled."""
    try:
        return await process.wait()
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            await process.aclose()


@contextmanager
def pipe():
    """The reading end of a pipe, as a stream that has to be closed, and its other end while this is open."""
    reading, writing = os.pipe()
    try:
        yield trio.lowlevel.FdStream(reading), writing
    finally:
        os.close(writing)


@asynccontextmanager
async def open_process(*arguments, home, program=ENGINE, fresh=False):
    """A `reference-engine` process in a directory; killed when this is left, if it is still running.

    Args:
        arguments: of the command.
        home: the directory.
        program: another program that runs one, as arguments of Python.
        fresh: whether it begins with its imports, for tests of what happens meanwhile; else it is a fork of a process
            that has imported what it needs.

    """
    if fresh or program != ENGINE or not CAN_FORK or os.environ.get("PYTHONPATH") != IMPORT_PATH:
        command = command_line(*arguments, program=program)
        process = await trio.lowlevel.open_process(command, cwd=home, stderr=subprocess.PIPE)
    else:
        with pipe() as (reading, writing):
            process = await fork_program([*map(str, arguments)], cwd=home, stdout=1, stderr=writing)
        process.stderr = reading
    async with process.stderr:
        try:
            yield process
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
                if isinstance(process, ForkedProcess):
                    await process.aclose()


@asynccontextmanager
async def open_engine(home, *arguments, ready=True, file="ai-agent.yaml", program=ENGINE, fresh=False):
    """An engine that serves a file of a directory, a set's or an engine's.

    Args:
        home: the directory.
        arguments: of `run`, besides the file and its addresses.
        ready: whether to wait until it serves.
        file: the file.
        program: as for `open_process`.
        fresh: as for `open_process`.

    """
    run = ["run", file, "--control", str(home / "c.sock")]
    text = (home / file).read_text()
    is_of_another_type = "listeners:" in text and "type: " in text
    if text.count("{set:") < 2 and not is_of_another_type:  # else it can't say which listener
        run += ["--audiosocket", "127.0.0.1:0"]
    run += ["--log-format", "json", *arguments]
    async with (
        trio.open_nursery() as nursery,
        open_process(*run, home=home, program=program, fresh=fresh) as process,
    ):
        engine = EngineProcess(process, home)
        nursery.start_soon(engine.read_log)
        if ready:
            await engine.logged("engine.ready")
        yield engine
        nursery.cancel_scope.cancel()
