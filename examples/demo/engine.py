"""The engine of the demonstration: a real `reference-engine` in a process of its own, watched through its log."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import trio

from examples.demo.failure import DemoFailed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

LOOK_S: Final = 0.02
"""How often the log is looked at."""
START_S: Final = 60.0
"""How long the engine may take to be ready."""
STOP_S: Final = 30.0
"""How long it may take to stop when no call is up."""
RELOAD_S: Final = 60.0
"""How long it may take to reload, which has the lowest priority."""

Record: TypeAlias = dict[str, Any]
"""One line of the log."""


class EngineLog:
    """A log file of JSON lines that grows; `tell` gets each record once."""

    def __init__(self, path: Path, tell: Callable[[Record], None]) -> None:
        self.path, self._tell = path, tell
        self.records: list[Record] = []
        self._grown = trio.Event()

    async def follow(self) -> None:
        """Reads what is written, for as long as the engine writes."""
        lines = self._lines()
        while True:
            while line := next(lines):
                self._take(line)
            await trio.sleep(LOOK_S)

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
        except ValueError:
            return  # a library's own words on standard error: they stay in the file
        self.records.append(record)
        self._tell(record)
        self._grown.set()
        self._grown = trio.Event()

    def _lines(self) -> Iterator[bytes | None]:
        """Each line when it is complete; None while there is none."""
        with self.path.open("rb") as file:
            rest = b""
            while True:
                rest += file.readline()
                if rest.endswith(b"\n"):
                    yield rest
                    rest = b""
                else:
                    yield None

    async def wait_for(self, *events: str, within_s: float, after: int = 0, **fields: object) -> Record:
        """The first record of one of those events with those fields, from index `after` on.

        Raises:
            DemoFailed: it did not come in time.

        """
        with trio.move_on_after(within_s):
            while True:
                for record in self.records[after:]:
                    if record.get("event") in events and fields.items() <= record.items():
                        return record
                await self._grown.wait()
        raise DemoFailed(f"the engine did not log {' or '.join(events)} within {within_s:g} s")


class Engine:
    """A running engine."""

    def __init__(self, process: trio.Process, log: EngineLog, file: Path) -> None:
        self._process, self.log, self.file = process, log, file
        self.stopping = False

    @property
    def process_id(self) -> int:
        """For `kill -HUP`."""
        return self._process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Where it waits for calls."""
        ready = next(record for record in self.log.records if record["event"] == "engine.ready")
        listener = ready["listeners"][0]
        return listener["host"], listener["port"]

    async def reload(self) -> Record:
        """Sends SIGHUP; gives the log's record of what came of it."""
        after = len(self.log.records)
        self._process.send_signal(signal.SIGHUP)
        outcomes = ("reload.applied", "reload.unchanged", "reload.rejected")
        return await self.log.wait_for(*outcomes, within_s=RELOAD_S, after=after)

    async def stop(self) -> int | None:
        """Asks it to stop; gives its exit status, or None if it had to be killed."""
        self.stopping = True
        with trio.CancelScope(shield=True):
            self._process.terminate()
            with trio.move_on_after(STOP_S):
                return await self._process.wait()
            self._process.kill()
            await self._process.wait()
        return None

    async def watch(self) -> None:
        """Tells when it ends though nobody asked it to."""
        status = await self._process.wait()
        if not self.stopping:
            raise DemoFailed(f"the engine ended by itself, with status {status}")


@asynccontextmanager
async def open_engine(file: Path, log_path: Path, tell: Callable[[Record], None]) -> AsyncIterator[Engine]:
    """An engine that serves that file on a free port of this machine and is ready; stopped when this is left.

    Args:
        file: the pipelines' YAML.
        log_path: where its log goes.
        tell: gets each record of the log.

    Raises:
        DemoFailed: it did not start, or it ended; in a group.

    """
    with TemporaryDirectory(prefix="demo-") as directory, log_path.open("wb") as out:
        control = str(Path(directory) / "control.sock")
        run = ["run", str(file), "--audiosocket", "127.0.0.1:0", "--control", control, "--log-format", "json"]
        process = await trio.lowlevel.open_process(
            [sys.executable, "-m", "reference_engine", *run], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
        engine = Engine(process, EngineLog(log_path, tell), file)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(engine.log.follow)
                nursery.start_soon(engine.watch)
                await engine.log.wait_for("engine.ready", within_s=START_S)
                yield engine
                nursery.cancel_scope.cancel()
        finally:
            await engine.stop()
