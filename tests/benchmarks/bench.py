"""What a call costs: `python tests/benchmarks/bench.py [--calls 1,10,50,100,200,400] [--seconds 20]`.

The same calls over AudioSocket on loopback, against a bare echo on trio, against voicepipe with components that take no
time, and against the whole engine: 8 kHz, a frame every 20 ms both ways, callers speak 1 s in 10, replies last 8 s. The
server has a core of its own, the callers another. Prints tables and writes `out/results.json`; medians of three runs.

`--reload`, `--real` and `--profile N` measure something else instead; see docs/explanation/performance.md.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import contextmanager
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
OUT = HERE / "out"

FILE = """\
pipelines:
  default:
    stt: bench
    llm: bench
    tts: bench
    greeting: Hello.
    turns: {dtmf: {gap_ms: 0}}
"""
EXTRA = """\
  p{number}:
    stt: bench
    llm: bench
    tts: {{type: bench, voice: v{number}}}
    prompt: "You are number {number}, and you answer in one sentence."
    selectable: true
"""
REAL = f"""\
pipelines:
  default:
    stt: {{type: vosk, model: {ROOT / "config/models/tiny-en"}}}
    llm: {{type: scripted, script: real.script.yaml}}
    tts: {{type: espeak, voice: en-us}}
    greeting: Hello.
"""
WORDS = "seven words take about two seconds here. " * 4
SCRIPT = f"start: talk\nstates: {{talk: {{say: Hello., otherwise: {{say: {WORDS}}}}}}}\n"
SPEECH = HERE.parent / "data/speech/digits-8k.wav"
ROLES = "stt", "llm", "tts"
PLUGIN = {
    "METADATA": "Metadata-Version: 2.1\nName: bench-components\nVersion: 1\n",
    "entry_points.txt": "".join(f"[voicepipe.{role}]\nbench = bench_components:{role}\n" for role in ROLES),
}

CALLERS = {
    "audiosocket": "callers.py",
    "asterisk_websocket": "chan_websocket_callers.py",
    "media_stream": "media_stream_callers.py",
}
"""The program that plays the callers of each transport."""
ENGINE_CALLS = 200
"""With how many calls, or as near to it as is measured, the whole engine is run."""
RELOADED_PIPELINES, RELOADED_CALLS, RELOAD_S = 200, 200, 5
COLUMNS = {
    "n": "calls",
    "cpu_s_per_call_min": "CPU s a call-minute",
    "ratio_to_echo": "of the echo's",
    "ratio_to_audiosocket": "of AudioSocket's",
    "late_p50_ms": "late, ms: p50",
    "late_p99_ms": "p99",
    "late_p999_ms": "p99.9",
    "response_p50_ms": "response, ms: p50",
    "response_p99_ms": "p99",
    "caller_response_p50_ms": "at the caller: p50",
    "barge_in_p50_ms": "barge-in, ms: p50",
    "barge_in_p99_ms": "p99",
    "loud_to_silent_p50_ms": "first loud frame to last of the reply: p50",
    "loud_to_silent_p99_ms": "p99",
    "kb_per_active_call": "kB an active call",
    "load": "of the core",
    "reloads": "reloads",
}


def cores():
    """One for the server, one for the callers; the same if there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core})


@contextmanager
def serving(script, *arguments, core=None, path=()):
    """A server on its own core: the process, its port, and once it has ended what it said, in a list.

    `core` is another core for it, and `path` has folders from which it imports first.
    """
    out = []
    with subprocess.Popen(
        [sys.executable, HERE / script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [*path, HERE, OUT]))},
        preexec_fn=pinned(cores()[0] if core is None else core),  # noqa: PLW1509 - no thread of ours is running
        process_group=0,  # Ctrl-C is for us: the server ends when its input does
    ) as process:
        try:
            yield process.pid, int(process.stdout.readline() or fail(script)), out
        finally:
            process.stdin.close()
            out.append(process.stdout.read())
            if process.wait():
                raise SystemExit(f"{script} failed with status {process.returncode}")


def fail(script):
    raise SystemExit(f"{script} did not start")


def call(port, pid, *arguments, script="callers.py"):
    """What the callers say."""
    run = subprocess.run(
        [sys.executable, HERE / script, str(port), "--pid", str(pid), *map(str, arguments)],
        stdout=subprocess.PIPE,
        preexec_fn=pinned(cores()[1]),
        process_group=0,
        check=True,
    )
    said = json.loads(run.stdout)
    for fault in said.get("faults", ()):
        print(fault, file=sys.stderr)
    return said


def write_files(pipelines=1):
    """The file to serve, and what makes the components adapters that are installed."""
    plugin = OUT / "bench_components-1.dist-info"
    plugin.mkdir(parents=True, exist_ok=True)
    for name, text in PLUGIN.items():
        (plugin / name).write_text(text)
    file = OUT / "bench.yaml"
    file.write_text(FILE + "".join(EXTRA.format(number=number) for number in range(1, pipelines)))
    return file


def percentile(values, share):
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 3) if ordered else None


def echo_run(calls, seconds, warm_up):
    with serving("echo.py") as (pid, port, _):
        return call(port, pid, "--echo", "--calls", calls, "--seconds", seconds, "--warm-up", min(2.0, warm_up))


def voicepipe_run(calls, seconds, warm_up, *options, pipelines=1, transport="audiosocket"):
    with serving("server.py", write_files(pipelines), "--transport", transport, *options) as (pid, port, out):
        script = CALLERS[transport]
        row = call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", warm_up, script=script)
    said = json.loads(out[0])
    row["response_p50_ms"] = percentile(said["response_ms"], 0.5)
    row["response_p99_ms"] = percentile(said["response_ms"], 0.99)
    row["reloads"] = said["reloads"].count("Applied") if said["reloads"] else None
    return row


@contextmanager
def engine(log, file=None):
    """The engine as operators run it, with its log in a file: its process id and port.

    `file` is its own; without one it serves the benchmark's pipelines and nothing else.
    """
    command = ["-m", "reference_engine", "run", "--log-format", "json"]
    serves = [file] if file is not None else ["--audiosocket", "127.0.0.1:0", write_files()]
    with (
        log.open("w", encoding="utf-8") as stderr,
        subprocess.Popen(
            [sys.executable, *command, "--control", OUT / "control.sock", *serves],
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(OUT)])},
            preexec_fn=pinned(cores()[0]),  # noqa: PLW1509 - no thread of ours is running
        ) as process,
    ):
        try:
            while (ready := re.search(r'"engine.ready".*?"port": (\d+)', log.read_text())) is None:
                if process.poll() is not None:
                    raise SystemExit(f"the engine did not start: see {log}")
                time.sleep(0.05)
            yield process.pid, int(ready[1])
        finally:
            process.terminate()


def engine_run(calls, seconds, warm_up):
    """A row of the engine: calls as `voicepipe_run` holds them, with its log and metrics."""
    log = OUT / "engine.log"
    with engine(log) as (pid, port):
        row = call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", warm_up)
    turns = [turn for line in log.read_text().splitlines() if (turn := json.loads(line))["event"] == "call.turn"]
    steps = [turn["timings"] for turn in turns if turn["trigger"] == "utterance"]
    took = [one["heard_ms"] - one["final_ms"] for one in steps if one["heard_ms"] is not None]
    row["response_p50_ms"], row["response_p99_ms"] = percentile(took, 0.5), percentile(took, 0.99)
    return row


def middle(rows):
    """The median of each figure."""
    merged = {}
    for name, first in rows[0].items():
        if isinstance(first, dict):
            merged[name] = middle([row[name] for row in rows])
        elif name == "faults":
            merged[name] = [fault for row in rows for fault in row[name]]
        else:
            values = [row[name] for row in rows if row.get(name) is not None]
            merged[name] = round(median(values), 4) if values else None
    return merged


def import_ms(module):
    """How long a process takes to import a module, in ms; the median of seven."""
    program = f"import time; began = time.perf_counter(); import {module}; print(time.perf_counter() - began)"
    command = [sys.executable, "-c", program]
    took = [float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout) for _ in range(7)]
    return round(median(took) * 1000, 1)


def once(calls, set_ups, seconds):
    """What does not depend on the number of calls: import, memory, set-ups."""
    measured = {"import_ms": import_ms("voicepipe"), "import_of_all_ms": import_ms("voicepipe.public")}
    with serving("server.py", write_files()) as (pid, port, _):
        pages = int(Path("/proc", str(pid), "statm").read_text().split()[1])
        measured["base_mb"] = round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)
        idle = call(port, pid, "--what", "idle", "--calls", calls, "--seconds", seconds)
        measured["kb_per_idle_call"] = round(idle["kb_per_idle_call"], 1)
        measured["cpu_s_per_idle_call_min"] = round(idle["cpu_s_per_idle_call_min"], 4)
    with serving("server.py", write_files()) as (pid, port, _):
        call(port, pid, "--what", "set_up", "--calls", 50)
        rates = [call(port, pid, "--what", "set_up", "--calls", set_ups)["set_ups_a_second"] for _ in range(3)]
        measured["set_ups_a_second"] = round(median(rates))
    return measured


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load_before": round(os.getloadavg()[0], 2),
    }


def shown(value):
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def table(rows):
    """Markdown."""
    columns = {name: title for name, title in COLUMNS.items() if any(row.get(name) is not None for row in rows)}
    yield f"| {' | '.join(columns.values())} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(shown(row.get(name)) for name in columns)} |"


def measure(numbers, seconds, warm_up, runs, transports=(), progress=print):
    """The rows of both servers, in turn, so that both see the same machine; and of further transports beside them."""
    results = {"machine": machine(), "echo": [], "voicepipe": [], "engine": []}
    results |= {f"voicepipe over {transport}": [] for transport in transports}
    for calls in numbers:
        echoes, ours, theirs = [], [], {transport: [] for transport in transports}
        for run in range(1, runs + 1):
            echoes.append(echo_run(calls, seconds, warm_up))
            ours.append(voicepipe_run(calls, seconds, warm_up))
            for transport, rows in theirs.items():
                rows.append(voicepipe_run(calls, seconds, warm_up, transport=transport))
                ratio = rows[-1]["cpu_s_per_call_min"] / ours[-1]["cpu_s_per_call_min"]
                progress(f"{calls} calls over {transport}: {ratio:.2f} of AudioSocket's CPU")
            echo_s, own_s = echoes[-1]["cpu_s_per_call_min"], ours[-1]["cpu_s_per_call_min"]
            progress(
                f"{calls} calls, run {run} of {runs}: {own_s:.3f} CPU s a call-minute, {own_s / echo_s:.2f} of the "
                f"echo's; p99 late {ours[-1]['late_p99_ms']} ms, response {ours[-1]['response_p99_ms']} ms; "
                f"the callers themselves {ours[-1]['callers_late_p99_ms']} ms"
            )
        echo, own = {"n": calls, **middle(echoes)}, {"n": calls, **middle(ours)}
        own["ratio_to_echo"] = round(own["cpu_s_per_call_min"] / echo["cpu_s_per_call_min"], 3)
        results["echo"].append(echo)
        results["voicepipe"].append(own)
        for transport, rows in theirs.items():
            row = {"n": calls, **middle(rows)}
            row["ratio_to_echo"] = round(row["cpu_s_per_call_min"] / echo["cpu_s_per_call_min"], 3)
            row["ratio_to_audiosocket"] = round(row["cpu_s_per_call_min"] / own["cpu_s_per_call_min"], 3)
            results[f"voicepipe over {transport}"].append(row)
    whole = min(numbers, key=lambda calls: abs(calls - ENGINE_CALLS))
    progress(f"the engine, {whole} calls")
    results["engine"].append({"n": whole, **middle([engine_run(whole, seconds, warm_up) for _ in range(runs)])})
    return results


def show(results):
    print(f"\n{results['machine']}")
    for name in (name for name, rows in results.items() if isinstance(rows, list)):
        print(f"\n{name}\n", *table(results[name]), sep="\n")
    print("\n" + ", ".join(f"{name} {value}" for name, value in results["once"].items()))


def reload(seconds, warm_up, runs):
    """Lateness without reloads and with them, of a file with many pipelines."""
    calls, pipelines = RELOADED_CALLS, RELOADED_PIPELINES
    calm, busy = [], []
    for run in range(1, runs + 1):
        calm.append(voicepipe_run(calls, seconds, warm_up, pipelines=pipelines))
        busy.append(voicepipe_run(calls, seconds, warm_up, "--reload", RELOAD_S, pipelines=pipelines))
        print(f"run {run} of {runs}: p99 late {calm[-1]['late_p99_ms']} ms, with reloads {busy[-1]['late_p99_ms']} ms")
    print(f"\n{calls} calls, {pipelines} pipelines; without reloads, and with one every {RELOAD_S} s\n")
    print(*table([{"n": calls, **middle(calm)}, {"n": calls, **middle(busy)}]), sep="\n")


def real(calls, seconds):
    """CPU by component with a real recogniser and a real voice."""
    write_files()
    (OUT / "real.yaml").write_text(REAL)
    (OUT / "real.script.yaml").write_text(SCRIPT)
    with serving("server.py", OUT / "real.yaml") as (pid, port, _):
        row = call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", 11, "--speech", SPEECH)
    titles = {"calls": "the calls", "vosk": "Vosk, in its process", "espeak": "espeak-ng, in its process"}
    parts = {titles.get(name, name): cpu_s for name, cpu_s in row["cpu_by_part"].items()}
    print(f"\nCPU s a call-minute with {calls} calls\n\n| part | CPU s | share |\n| --- | --- | --- |")
    for title, cpu_s in sorted(parts.items(), key=lambda part: -part[1]):
        print(f"| {title} | {cpu_s:.3f} | {100 * cpu_s / sum(parts.values()):.0f} % |")


def profile(calls, seconds):
    """Where the time goes: text and a flame graph."""
    folder = OUT / f"profile-{calls}"
    with serving("server.py", write_files(), "--profile", folder, "--profile-after", 8) as (pid, port, _):
        call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", 8)
    print("".join((folder / "profile.txt").read_text().splitlines(keepends=True)[:90]))
    print(f"{folder}/profile.txt, profile.folded, profile.svg")


def main():
    """Measures and prints; 1 if a call was dropped or lost a frame."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--calls", default="1,10,50,100,200,400", help="how many at once, separated by commas")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (default: 20)")
    parser.add_argument("--warm-up", type=float, default=11, help="before each, in s (default: 11)")
    parser.add_argument("--runs", type=int, default=3, help="of which the medians are shown (default: 3)")
    parser.add_argument("--out", type=Path, default=OUT / "results.json", help="where the results go, as JSON")
    parser.add_argument("--quick", action="store_true", help="two calls for some seconds, to see that it works")
    parser.add_argument(
        "--transport",
        action="append",
        default=[],
        choices=[name for name in CALLERS if name != "audiosocket"],
        help="one to measure beside AudioSocket, with the same calls; may be repeated",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--reload", action="store_true", help="200 calls while 200 pipelines are reloaded")
    what.add_argument("--real", type=int, metavar="N", help="N calls with Vosk and espeak-ng: CPU by component")
    what.add_argument("--profile", type=int, metavar="N", help="a sampling profile of N calls")
    arguments = parser.parse_args()
    if arguments.reload:
        return reload(arguments.seconds, arguments.warm_up, arguments.runs)
    if arguments.real:
        return real(arguments.real, arguments.seconds)
    if arguments.profile:
        return profile(arguments.profile, arguments.seconds)
    if arguments.quick:
        results = measure([2], 2, 5, 1, arguments.transport)
        results["once"] = once(calls=2, set_ups=20, seconds=1)
    else:
        numbers = [int(n) for n in arguments.calls.split(",")]
        results = measure(numbers, arguments.seconds, arguments.warm_up, arguments.runs, arguments.transport)
        print("import, memory, set-ups")
        results["once"] = once(calls=200, set_ups=1000, seconds=10)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2))
    show(results)
    return any(row["faults"] for name, rows in results.items() if name.startswith("voicepipe") for row in rows)


if __name__ == "__main__":
    sys.exit(main())
