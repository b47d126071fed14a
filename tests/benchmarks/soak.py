"""Reloads under calls, for as long as you like: `python tests/benchmarks/soak.py [--calls 50] [--seconds 60]`.

A real engine, real AudioSocket calls, real recogniser and voices. First the calls alone, then the same with a
reload every second, good and broken files in turn. Prints how regularly the agents' frames came in both, which
calls were dropped or heard two versions (none may), and what the engine held before and after.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path

import trio
from attrs import define, field, frozen

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine_process import engine_home, open_engine
from patience import until

from voicepipe.testing.audiosocket_caller import open_audiosocket_call
from voicepipe.testing.speaker import open_speaker

PIPELINES = ("alpha", "bravo")
"""Each says its name in everything it says."""

FILE = """\
active_pipeline: {active}
logging: {{level: INFO}}
limits: {{idle_prompt_s: 600}}
budgets:  # a recogniser that gets no processor is no call that was dropped
  stt: {{connect_ms: 240000, first_transcript_ms: 240000}}
  llm: {{first_token_ms: 240000, gap_ms: 240000}}
  tts: {{connect_ms: 240000, first_audio_ms: 240000, gap_ms: 240000}}
pipelines:
  alpha:
    stt: {{type: vosk, model: models/tiny-en}}
    llm: {{type: scripted, script: alpha.yaml}}
    tts: {{type: espeak, voice: en-us}}
    greeting: Alpha.
  bravo:
    stt: {{type: vosk, model: models/tiny-en}}
    llm: {{type: scripted, script: bravo.yaml}}
    tts: {{type: espeak, voice: en-gb, words_per_minute: {pace}}}
    greeting: Bravo.
"""
SCRIPT = """\
start: talk
states:
  talk:
    say: {name}.
    otherwise: {{say: "{words}"}}
"""
BROKEN = FILE.replace("voice: en-us", "vocie: en-us")

ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0}]
max_live_versions: 100
"""

IN_REPLY_MS = 120
"""Frames further apart belong to different replies, or to either side of a pause."""

CALL_S = 20.0
"""How long a caller stays before ringing again."""

REST_S = 30.0
"""How long the engine may take, when the last call has ended, to close what calls and old versions held."""


@frozen
class Held:
    """What the engine's process holds."""

    descriptors: int
    threads: int
    """Those that do something: trio keeps idle ones for a while."""
    children: int
    tasks: int
    rss_mb: float

    def is_about(self, other: Held) -> bool:
        """Whether it is no more, but for what comes and goes: a connection of ours, a helper that starts."""
        return (
            self.descriptors <= other.descriptors + 8
            and self.threads <= other.threads
            and self.children <= other.children + 1
            and self.tasks <= other.tasks + 2
        )


async def held_by(engine) -> Held:
    """Read from /proc, and from the engine's metrics."""
    pid = engine.process.pid
    process = Path("/proc", str(pid))
    status = dict(line.split(":\t", 1) for line in (process / "status").read_text().splitlines() if ":\t" in line)
    return Held(
        descriptors=sum(1 for _descriptor in (process / "fd").iterdir()),
        threads=sum(not name.startswith("Trio thread") for name in thread_names(process)),
        children=sum(len((task / "children").read_text().split()) for task in (process / "task").iterdir()),
        tasks=int((await engine.samples())["voicepipe_tasks"]),
        rss_mb=round(int(status["VmRSS"].split()[0]) / 1024, 1),
    )


def thread_names(process: Path) -> list[str]:
    """Of its threads; trio names those that work for it after what they do."""
    names = []
    for task in (process / "task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it ended while we looked
            names.append((task / "comm").read_text())
    return names


async def held_at_rest(engine, before: Held) -> Held:
    """The same once it is about what it was before; or as it is after `REST_S`, if it never is."""
    held = await held_by(engine)
    with trio.move_on_after(REST_S):
        while not held.is_about(before):
            await trio.sleep(0.1)
            held = await held_by(engine)
    return held


@define
class Phase:
    """What came of a time with or without reloads."""

    gaps_ms: list[float] = field(factory=list)
    calls: int = 0
    applied: int = 0
    rejected: int = 0
    faults: list[str] = field(factory=list)

    def percentile(self, share: float) -> float:
        """Of the gaps between frames within a reply, in ms."""
        ordered = sorted(self.gaps_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0

    def line(self, name: str) -> str:
        """For the table."""
        shares = "  ".join(f"{self.percentile(share):7.1f}" for share in (0.5, 0.99, 0.999, 1.0))
        return f"{name:<18}{self.calls:>6}{len(self.gaps_ms):>9}  {shares}  {self.applied:>7}  {self.rejected:>8}"


COLUMNS = "p50", "p99", "p99.9", "max", "applied", "rejected"
HEAD = f"{'':<18}{'calls':>6}{'frames':>9}  " + "  ".join(f"{column:>7}" for column in COLUMNS)


async def keep_calling(port: int, phase: Phase, hello: bytes, delay: float) -> None:
    """Rings, speaks a second in ten, hangs up, rings again."""
    await trio.sleep(delay)
    while True:
        async with open_audiosocket_call(port=port) as caller:
            phase.calls += 1
            try:
                with trio.move_on_after(CALL_S):
                    while not caller.hung_up.is_set():
                        await trio.sleep(1.5)
                        await caller.say(hello)
                        await trio.sleep(7)
                if caller.hung_up.is_set():
                    phase.faults.append(f"{caller.call_id} was dropped: {caller.how}")
            finally:
                times = [when for when, _size in caller.arrivals]
                phase.gaps_ms += [gap for a, b in pairwise(times) if (gap := (b - a) * 1000) < IN_REPLY_MS]


async def keep_reloading(engine, phase: Phase) -> None:
    """Edits and reloads every second: good and broken files in turn."""
    turn = 0
    while True:
        await trio.sleep(1)
        turn += 1
        active = PIPELINES[turn // 2 % 2]
        engine.yaml.write_text((BROKEN if turn % 2 else FILE).format(active=active, pace=140 + turn % 40))
        answer = await engine.ask("POST", "/-/reload")
        if answer.status_code == 200:
            phase.applied += answer.json()["outcome"] == "applied"
        else:
            phase.rejected += 1
            if not turn % 2:
                phase.faults.append(f"a good file was refused: {answer.text[:300]}")


async def run_phase(
    engine, calls: int, seconds: float, hello: bytes, *, reload=None, enough=lambda _phase: True
) -> Phase:
    """So many calls for so long, and on a slow machine until they were enough; `reload` goes on meanwhile."""
    phase = Phase()
    async with trio.open_nursery() as nursery:
        for number in range(calls):
            nursery.start_soon(keep_calling, engine.port, phase, hello, number * min(8.0, seconds / 4) / calls)
        if reload:
            nursery.start_soon(reload, engine, phase)
        await trio.sleep(seconds)
        await until(lambda: enough(phase))
        nursery.cancel_scope.cancel()
    return phase


def all_answered(engine, calls: int):
    """Whether that many more calls than up to now have heard the agent."""
    before = engine.count("call.turn")
    return lambda _phase: engine.count("call.turn") >= before + calls


def mixed_versions(records: list[dict]) -> list[str]:
    """Calls that were answered by another pipeline than their version's, or said what another pipeline says."""
    ready = [one for record in records if record["event"] == "engine.ready" for one in record["sets"]]
    active = {one["version"]: one["active_pipeline"] for one in ready}
    active |= {one["version"]: one["plan"]["active"] for one in records if one["event"] == "reload.applied"}
    pipelines = {record["call_id"]: record["pipeline"] for record in records if record["event"] == "call.started"}
    faults = []
    for record in records:
        match record["event"]:
            case "call.started" if record["pipeline"] != active.get(record["version"]):
                faults.append(f"{record['call_id']} got {record['pipeline']} on version {record['version']}")
            case "call.turn" if record["said"] and pipelines[record["call_id"]] not in record["said"].lower():
                faults.append(f"{record['call_id']} of {pipelines[record['call_id']]} said {record['said'][:40]!r}")
            case "call.ended" if record["outcome"] != "caller_hung_up":
                faults.append(f"{record['call_id']} ended with {record['outcome']}: {record['detail']}")
            case "call.crashed":
                faults.append(f"{record['call_id']} crashed")
    return faults


@asynccontextmanager
async def open_soak(**engine_options):
    """An engine that serves the two pipelines, and a caller's voice."""
    with engine_home(FILE.format(active="alpha", pace=160)) as home:
        for name in PIPELINES:
            words = f"{name} says one two three four five six seven eight nine ten, and once more from the beginning."
            (home / f"{name}.yaml").write_text(SCRIPT.format(name=name.title(), words=words))
        (home / "engine.yaml").write_text(ENGINE)
        async with open_speaker() as speaker:
            hello = await speaker.say("hello")
        async with open_engine(home, file="engine.yaml", **engine_options) as engine:
            yield engine, hello


async def soak(calls: int, seconds: float, *, progress=print, reloads: int = 0) -> tuple[Phase, Phase, Held, Held]:
    """Both phases, and what the engine held after a first call and at the end, when all calls had ended.

    The second phase has at least so many `reloads` that were applied, and that were rejected.
    """
    async with open_soak() as (engine, hello):
        await run_phase(engine, 1, 3, hello, enough=all_answered(engine, 1))  # what is loaded once is loaded
        await engine.logged("call.ended")
        before = await held_by(engine)
        progress(f"{calls} calls for {seconds:g} s without reloads")
        calm = await run_phase(engine, calls, seconds, hello, enough=all_answered(engine, calls))
        progress(f"{calls} calls for {seconds:g} s with a reload every second")
        answered = all_answered(engine, calls)

        def enough(phase: Phase) -> bool:
            return min(phase.applied, phase.rejected) >= reloads and answered(phase)

        busy = await run_phase(engine, calls, seconds, hello, reload=keep_reloading, enough=enough)
        await until(lambda: engine.count("call.ended") == engine.count("call.started"))
        after = await held_at_rest(engine, before)
        busy.faults += mixed_versions(engine.records)
    return calm, busy, before, after


def main() -> int:
    """Prints what came of it; 1 if a call was dropped or heard two versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=50, help="at once (default: 50)")
    parser.add_argument("--seconds", type=float, default=60, help="of each of the two phases (default: 60)")
    arguments = parser.parse_args()
    calm, busy, before, after = trio.run(soak, arguments.calls, arguments.seconds)
    print("\nms between an agent's frames, as the callers get them (20 is on time)")
    print(HEAD, calm.line("without reloads"), busy.line("with reloads"), sep="\n")
    print(f"\nengine before: {before}\nengine after:  {after}")
    faults = calm.faults + busy.faults
    print(f"\n{len(faults)} faults (calls dropped, versions mixed, good files refused)", *faults[:20], sep="\n  ")
    return bool(faults)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
