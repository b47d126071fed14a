"""A file of 1,000 pipelines, checked and reloaded under calls: `python tests/benchmarks/big_reload.py`.

Prints how long the check takes, and how regularly the agents' frames come while the file is reloaded again and
again, beside the same calls without reloads.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.soak import FILE, HEAD, Phase, open_soak, run_phase

from voicepipe import load_config

PIPELINE = """\
  p{number}:
    stt: {{type: vosk, model: models/tiny-en}}
    llm: {{type: scripted, script: alpha.yaml}}
    tts: {{type: espeak, voice: en-us, words_per_minute: {pace}}}
    greeting: "Number {number}."
    turns: {{end_of_turn_ms: {silence}}}
"""


def big_file(pipelines: int, *, turn: int = 0) -> str:
    """A set's file with so many pipelines, two of which can be reached; another one for each turn."""
    extra = (PIPELINE.format(number=n, pace=100 + n % 300, silence=500 + n % 200) for n in range(pipelines - 2))
    return FILE.format(active="alpha", pace=140 + turn % 40) + "".join(extra)


async def keep_reloading(pipelines: int, engine, phase: Phase) -> None:
    """Writes the file and has it reloaded, over and over."""
    turn = 0
    while True:
        turn += 1
        engine.yaml.write_text(big_file(pipelines, turn=turn))
        answer = await engine.ask("POST", "/-/reload")
        if answer.status_code == 200:
            phase.applied += 1
        else:
            phase.faults.append(f"refused: {answer.text[:300]}")
        await trio.sleep(0.5)


async def reload_under_calls(
    pipelines: int, calls: int, seconds: float, *, progress=print, reloads: int = 0
) -> tuple[float, Phase, Phase]:
    """Seconds that a check takes, and the two phases; the second has so many `reloads` at least."""
    async with open_soak() as (engine, hello):
        engine.yaml.write_text(big_file(pipelines))
        began = time.perf_counter()
        config = await trio.to_thread.run_sync(load_config, engine.yaml)
        checked_s = time.perf_counter() - began
        if len(config.pipelines) != pipelines:
            raise AssertionError(f"{len(config.pipelines)} pipelines instead of {pipelines}")
        progress(f"{calls} calls for {seconds:g} s without reloads")
        calm = await run_phase(engine, calls, seconds, hello)
        progress(f"{calls} calls for {seconds:g} s while {pipelines} pipelines are reloaded")
        reload = partial(keep_reloading, pipelines)
        busy = await run_phase(
            engine, calls, seconds, hello, reload=reload, enough=lambda phase: phase.applied >= reloads
        )
    return checked_s, calm, busy


def main() -> int:
    """Prints both; 1 if a reload was refused or a call dropped."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pipelines", type=int, default=1000, help="in the file (default: 1000)")
    parser.add_argument("--calls", type=int, default=10, help="at once (default: 10)")
    parser.add_argument("--seconds", type=float, default=30, help="of each of the two phases (default: 30)")
    arguments = parser.parse_args()
    checked_s, calm, busy = trio.run(reload_under_calls, arguments.pipelines, arguments.calls, arguments.seconds)
    print(f"\n{arguments.pipelines} pipelines are checked in {checked_s:.2f} s")
    print("ms between an agent's frames, as the callers get them (20 is on time)")
    print(HEAD, calm.line("without reloads"), busy.line("with reloads"), sep="\n")
    faults = calm.faults + busy.faults
    print(f"\n{len(faults)} faults", *faults[:20], sep="\n  ")
    return bool(faults)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
