"""`python -m examples.talk`: an engine to talk to in the browser, and what happens in it in words.

It runs `reference-engine` with an engine's file that has a listener of type `browser`, says where to find the page, and
prints each call and each reload. The engine's whole log goes to a file. Ctrl-C stops it; a second one does so at once.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

CONFIG = Path(__file__).parents[1] / "config" / "talk.yaml"

Record: TypeAlias = dict[str, Any]
"""A line of the engine's log."""

ENDINGS = {
    "caller_hung_up": "you hung up",
    "said_goodbye": "the agent said goodbye",
    "agent_hung_up": "the agent hung up",
    "idle": "nobody spoke",
    "no_audio": "no sound came from the page",
    "drained": "the engine was stopped",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the engine until it is stopped, and returns its exit status; 0 after Ctrl-C."""
    parser = ArgumentParser(prog="python -m examples.talk", description="An engine to talk to in your browser.")
    parser.add_argument(
        "file",
        nargs="?",
        type=Path,
        default=Path(os.path.relpath(CONFIG)),
        help="an engine's file with a listener of type browser",
    )
    parser.add_argument("--log", type=Path, default=Path("demo-output/talk.log"), help="where the engine's log goes")
    parser.add_argument("--control", help="the control's socket, for a second engine beside another")
    arguments = parser.parse_args(argv)
    arguments.log.parent.mkdir(parents=True, exist_ok=True)
    return trio.run(_run, arguments.file, arguments.log, arguments.control)


async def _run(file: Path, log: Path, control: str | None) -> int:
    command = [sys.executable, "-m", "reference_engine", "run", str(file), "--log-format", "json"]
    if control is not None:
        command += ["--control", control]
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        # In a session of its own: a Ctrl-C reaches the engine once, from here.
        start = partial(trio.lowlevel.open_process, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        engine = await start(command, start_new_session=True)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pass_on, signals, engine)
                await _follow(engine, file, log)
                nursery.cancel_scope.cancel()
            return await engine.wait()
        finally:
            if engine.returncode is None:
                engine.kill()


async def _pass_on(signals: AsyncIterator[int], engine: trio.Process) -> None:
    async for _ in signals:
        _say("\nStopping: calls have a moment to end. Ctrl-C again ends it at once.")
        engine.send_signal(signal.SIGTERM)


async def _follow(engine: trio.Process, file: Path, log: Path) -> None:
    """Prints what the engine logs, until it has ended."""
    assert engine.stderr is not None
    rest = b""
    with log.open("wb") as out:
        async for piece in engine.stderr:
            out.write(piece)
            out.flush()
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue  # a library's own words: they are in the file
                if words := in_words(record, file, log):
                    _say(words)


def in_words(record: Record, file: Path, log: Path) -> str:
    """Returns a record of the engine's log in words; empty for one that need not be read here."""
    event = record.get("event", "")
    if event == "engine.ready":
        return _welcome(record, file, log)
    if event in WORDS:
        return WORDS[event](record)
    return _complaint(record) if record.get("level") in {"warning", "error"} else ""


def _welcome(record: Record, file: Path, log: Path) -> str:
    pages = [_address(listener) for listener in record["listeners"] if listener["transport"] == "browser"]
    if not pages:
        return f"\nThere is no listener of type browser in {file}.\n"
    pipelines = ", ".join(f"{entry['active_pipeline']} (version {entry['version']})" for entry in record["sets"])
    return (
        f"\n  Talk to it in your browser:  {_bold('  '.join(pages))}\n\n"
        f"  Press Call, allow the microphone, and speak. The pipeline {pipelines} answers.\n"
        f"  Edit its file while this runs: your next call uses it. Ctrl-C stops it. Log: {os.path.relpath(log)}"
    )


def _started(record: Record) -> str:
    return f"\nA call: pipeline {record['pipeline']}, version {record['version']}"


def _turn(record: Record) -> str:
    you = f"  you    {record['heard']}\n" if record["heard"] else ""
    stopped = " ..." if record["interrupted"] else ""
    after = f"   ({record['response_ms'] / 1000:.2f} s)" if record.get("response_ms") else ""
    return f"{you}  agent  {record['said']}{stopped}{after}"


def _ended(record: Record) -> str:
    why = ENDINGS.get(record["outcome"], record["outcome"].replace("_", " "))
    return f"  The call has ended after {record['duration_s']:.0f} s: {why}."


def _applied(record: Record) -> str:
    return f"\nVersion {record['version']} serves, from the next call on." if record.get("trigger") != "start" else ""


def _rejected(record: Record) -> str:
    problems = [f"\n  {entry['file']}:{entry['line']}: {entry['message']}" for entry in record["problems"]]
    return f"\nThe change is not taken, version {record['version']} serves on:{''.join(problems)}"


def _complaint(record: Record) -> str:
    hint = f"; {record['hint']}" if record.get("hint") else ""
    return f"  {record['event']}: {record.get('reason') or record.get('message') or ''}{hint}"


WORDS: dict[str, Callable[[Record], str]] = {
    "call.started": _started,
    "call.turn": _turn,
    "call.ended": _ended,
    "reload.applied": _applied,
    "reload.rejected": _rejected,
}
"""The words for a record, by its event."""


def _address(listener: dict[str, Any]) -> str:
    host = "localhost" if listener["host"] in {"127.0.0.1", "::1", "0.0.0.0", "::"} else listener["host"]
    return f"http://{host}:{listener['port']}/"


def _bold(text: str) -> str:
    return f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text


def _say(words: str) -> None:
    print(words, flush=True)


if __name__ == "__main__":
    sys.exit(main())
