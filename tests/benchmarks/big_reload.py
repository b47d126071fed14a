"""A file of 1,000 pipelines, checked and reloaded under calls: `python tests/benchmarks/big_reload.py`.

Prints how long the check takes, how regularly the agents' frames come while the file is reloaded again and again,
beside the same calls without reloads, and what held up the engine for longest in either: a look of the garbage
collector, any step of a task. `--short` is for machines with little time: fewer pipelines, calls and seconds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import trio
from attrs import define

sys.path.insert(0, str(Path(__file__).parents[1]))


from benchmarks import pauses
from benchmarks.pauses import longest, read_pauses
from benchmarks.soak import FILE, HEAD, Phase, all_answered, open_soak, run_phase

from voicepipe import load_config
from voicepipe.pipelines.gc_schedule import QUIET_S

PIPELINE = """\
  p{number}:
    stt: {{type: vosk, model: models/tiny-en}}
    llm: {{type: scripted, script: alpha.yaml}}
    tts: {{type: espeak, voice: en-us, words_per_minute: {pace}}}
    greeting: "Number {number}."
    turns: {{end_of_turn_ms: {silence}}}
    selectable: {selectable}
"""

SELECTABLE = 4
"""One of so many pipelines is selectable, so that it is opened and part of each version."""

PAUSES = f"{'longest, ms':<18}{'looks':>6}  {'look':>7}  {'step':>7}  {'wake-up':>7}"


@define
class Measured:
    """What came of the two phases."""

    checked_s: float
    """How long a check of the file takes."""
    calm: Phase
    """Calls without reloads."""
    busy: Phase
    """The same with reloads."""
    calm_pauses: list[pauses.Pause]
    """What held up the engine in the first."""
    busy_pauses: list[pauses.Pause]
    """And in the second."""
    quiet_pauses: list[pauses.Pause]
    """And when no call was up any more."""
    retired: int
    """How many versions retired meanwhile."""


def big_file(pipelines: int, *, turn: int = 0) -> str:
    """A set's file with so many pipelines, some of which can be reached; another one for each turn."""
    extra = (
        PIPELINE.format(
            number=n, pace=100 + n % 4, silence=500 + n % 200, selectable=str(n % SELECTABLE == turn % 2).lower()
        )
        for n in range(pipelines - 2)
    )
    return FILE.format(active="alpha", pace=140 + turn % 40) + "".join(extra)


async def keep_reloading(pipelines: int, engine, phase: Phase) -> None:
    """Writes the file and has it reloaded, over and over."""
    turn = 0
    while True:
        turn += 1
        engine.yaml.write_text(big_file(pipelines, turn=turn))
        answer = await engine.ask("POST", "/-/reload", timeout=None)  # the helper that reads it gives way to all else
        if answer.status_code == 200:
            phase.applied += 1
        else:
            phase.faults.append(f"refused: {answer.text[:300]}")
        await trio.sleep(0.5)


async def reload_under_calls(
    pipelines: int, calls: int, seconds: float, *, progress=print, reloads: int = 0, quiet_s: float = 0.0
) -> Measured:
    """Holds the calls for so long without reloads and so long with them.

    Args:
        pipelines: in the file.
        calls: at once.
        seconds: of each of the two phases.
        progress: told what comes next.
        reloads: how many there are in the second phase at least.
        quiet_s: how long to wait after the last call.

    """
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "pauses.json"
        async with open_soak(program=(pauses.__file__, str(out))) as (engine, hello):
            engine.yaml.write_text(big_file(pipelines))
            began = time.perf_counter()
            config = await trio.to_thread.run_sync(load_config, engine.yaml)
            checked_s = time.perf_counter() - began
            if len(config.pipelines) != pipelines:
                raise AssertionError(f"{len(config.pipelines)} pipelines instead of {pipelines}")
            await run_phase(engine, 1, 3, hello, enough=all_answered(engine, 1))
            times = [time.monotonic()]
            progress(f"{calls} calls for {seconds:g} s without reloads")
            calm = await run_phase(engine, calls, seconds, hello)
            times.append(time.monotonic())
            progress(f"{calls} calls for {seconds:g} s while {pipelines} pipelines are reloaded")
            busy = await run_phase(
                engine,
                calls,
                seconds,
                hello,
                reload=partial(keep_reloading, pipelines),
                enough=lambda phase: phase.applied >= reloads,
            )
            times.append(time.monotonic())
            await trio.sleep(quiet_s)
            times.append(time.monotonic())
            engine.process.terminate()
            await engine.ended()
        noted = read_pauses(out)
    by_phase = [[one for one in noted if begin < one.at <= end] for begin, end in pairwise(times)]
    return Measured(checked_s, calm, busy, *by_phase, retired=engine.count("version.retired"))


def pauses_line(name: str, noted: list[pauses.Pause]) -> str:
    """For the table."""
    kinds = "  ".join(f"{longest(noted, kind).ms:7.1f}" for kind in ("look", "step", "late"))
    return f"{name:<18}{sum(one.kind == 'look' for one in noted):>6}  {kinds}"


def main() -> int:
    """Prints both; 1 if a reload was refused or a call dropped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", type=int, help="in the file (default: 1000)")
    parser.add_argument("--calls", type=int, help="at once (default: 10)")
    parser.add_argument("--seconds", type=float, help="of each of the two phases (default: 75)")
    parser.add_argument("--short", action="store_true", help="50 pipelines, 4 calls, 15 s, if nothing else is said")
    arguments = parser.parse_args()
    usual = (50, 4, 15.0) if arguments.short else (1000, 10, 75.0)
    given = (arguments.pipelines, arguments.calls, arguments.seconds)
    pipelines, calls, seconds = (least if one is None else one for one, least in zip(given, usual, strict=True))
    measured = trio.run(partial(reload_under_calls, pipelines, calls, seconds, quiet_s=QUIET_S + 2))
    print(f"\n{pipelines} pipelines are checked in {measured.checked_s:.2f} s")
    print("ms between an agent's frames, as the callers get them (20 is on time)")
    print(HEAD, measured.calm.line("without reloads"), measured.busy.line("with reloads"), sep="\n")
    print(f"\nwhat held up the engine; {measured.retired} versions retired")
    print("look: of the garbage collector, and step: of a task, in CPU time; wake-up: how late, whoever was to blame")
    print(
        PAUSES,
        pauses_line("without reloads", measured.calm_pauses),
        pauses_line("with reloads", measured.busy_pauses),
        pauses_line("then, no calls", measured.quiet_pauses),
        sep="\n",
    )
    for name, noted in (("without", measured.calm_pauses), ("with", measured.busy_pauses)):
        step = longest(noted, "step")
        print(f"the longest step {name} reloads was of {step.what or 'none'}")
    faults = measured.calm.faults + measured.busy.faults
    print(f"\n{len(faults)} faults", *faults[:20], sep="\n  ")
    return bool(faults)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
