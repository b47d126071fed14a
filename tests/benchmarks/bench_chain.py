"""What a call costs that listens, thinks and speaks over vendors' protocols: `python bench_chain.py [--calls 1,10]`.

The calls of `bench.py`, whose pipeline has Deepgram's speech-to-text, OpenAI's language model and Deepgram's voice, all
three at `vendor_servers.py`, which takes no time for anything. The server has a core of its own; the callers and the
vendors share the other. Beside it the bare echo of `bench.py`, and with `--against REVISION` the same calls on that
revision of voicepipe, in turn, so that all see the same machine. Prints tables and writes `out/chain.json`; medians of
all runs. A run in which the callers do not hear their replies is no measurement, and ends it.

`--scripted` has components that take no time instead of vendors, and a recogniser that looks at every 20 ms.
`--profile N` says where the time goes instead, `--tasks N` which tasks are woken how often, and `--churn N` how much
memory calls leave behind; see docs/explanation/performance.md.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median

from bench import OUT, ROOT, echo_run, machine, middle, shown
from chain_parts import Scripted, Vendors, checked_out
from chain_runs import NoMeasurementError, churn, hold, profile, set_ups, tasks

OWN = "this one"
"""The build of the working tree."""


COLUMNS = {
    "build": "",
    "n": "calls",
    "cpu_s_per_call_min": "CPU s a call-minute",
    "ratio_to_echo": "of the echo's",
    "late_p50_ms": "late, ms: p50",
    "late_p99_ms": "p99",
    "over_silence_p50_ms": "response over the silence, ms: p50",
    "over_silence_p99_ms": "p99",
    "from_end_p50_ms": "from the end of the turn, ms: p50",
    "from_end_p99_ms": "p99",
    "kb_per_active_call": "kB an active call",
    "set_ups_a_second": "set-ups a second",
    "task_steps": "task steps a second and call",
    "loop_turns": "turns of the loop",
    "pause_ms": "longest turn of the loop, ms",
    "pause_cpu_ms": "its CPU time",
    "load": "of the core",
    "vendors_load": "vendors, of theirs",
    "base_mb": "MB without calls",
    "ready_s": "start to ready, s",
}
RATIOS = {
    "n": "calls",
    "cpu_s_per_call_min": "CPU",
    "task_steps": "task steps",
    "kb_per_active_call": "kB a call",
    "late_p99_ms": "late, p99",
    "over_silence_p99_ms": "response over the silence, p99",
    "pause_ms": "longest turn of the loop",
    "set_ups_a_second": "set-ups a second",
    "base_mb": "MB without calls",
    "ready_s": "start to ready",
}


def measure(parts, builds, arguments, results):
    """Adds rows as they are known: the echo's and each build's in turn, so that all see the same machine."""
    rates = {}
    for name, folder in builds.items():
        rates[name] = set_ups(parts, folder, arguments.set_ups)
        print(f"{name}: {rates[name]} set-ups a second", flush=True)
    for calls in arguments.calls:
        rows = {name: [] for name in ("echo", *builds)}
        try:
            for number in range(1, arguments.runs + 1):
                measure_once(parts, builds, calls, number, arguments, rows)
        finally:
            add_rows(results, calls, rows, rates)


def measure_once(parts, builds, calls, number, arguments, rows):
    """A row of the echo, and of each build; every other time the builds change places."""
    print(f"{calls} calls, run {number} of {arguments.runs}", end="", flush=True)
    echo = echo_run(calls, arguments.seconds, arguments.warm_up)
    del echo["measured"]
    rows["echo"].append(echo)
    print(f", echo: {echo['cpu_s_per_call_min']:.3f} CPU s a call-minute", flush=True)
    for name in list(builds)[:: 1 if number % 2 else -1]:
        row = hold(parts, builds[name], calls, arguments.seconds, arguments.warm_up, quick=arguments.quick)
        rows[name].append(row)
        print(
            f"  {name}: {row['cpu_s_per_call_min']:.3f} CPU s a call-minute, {row['task_steps']:.0f} task steps a "
            f"second and call; p99 late {row['late_p99_ms']} ms, over "
            f"the silence {row['over_silence_p99_ms']} ms; {row['kb_per_active_call']:.0f} kB a call; longest turn of "
            f"the loop {row['pause_ms']} ms; {row['replies']} replies; the callers themselves "
            f"{row['callers_late_p99_ms']} ms",
            flush=True,
        )


def add_rows(results, calls, rows, rates):
    """The medians of what was measured, and the ratios of runs that followed each other."""
    merged = {name: {"build": name, "n": calls, **middle(measured)} for name, measured in rows.items() if measured}
    for name, row in merged.items():
        row["ratio_to_echo"] = round(row["cpu_s_per_call_min"] / merged["echo"]["cpu_s_per_call_min"], 3)
        row["set_ups_a_second"] = rates.get(name)
        results["rows"].append(row)
    for other in rows.keys() - {"echo", OWN}:
        pairs = list(zip(rows[OWN], rows[other], strict=False))
        ratios = {"build": other, "n": calls}
        for name in RATIOS.keys() - {"n"}:
            if name == "set_ups_a_second":
                ratios[name] = round(rates[OWN] / rates[other], 3)
            elif shares := [own[name] / its[name] for own, its in pairs if own[name] and its[name]]:
                ratios[name] = round(median(shares), 3)
        if pairs:
            results["ratios"].append(ratios)


def table(rows, titles):
    """Markdown."""
    columns = {name: title for name, title in titles.items() if any(row.get(name) is not None for row in rows)}
    yield f"| {' | '.join(columns.values())} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(shown(row.get(name)) for name in columns)} |"


def show(results, arguments):
    """Prints and writes what was measured."""
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2))
    print(f"\n{results['machine']}; {results['parts']}\n", *table(results["rows"], COLUMNS), sep="\n")
    if results["ratios"]:
        print(f"\n{OWN}, of {arguments.against}; the median of each pair of runs\n")
        print(*table(results["ratios"], RATIOS), sep="\n")
    print(f"\n{arguments.out}")


def parsed():
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--calls", default="1,10,25,50,100,200", help="how many at once, separated by commas")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (default: 20)")
    parser.add_argument("--warm-up", type=float, default=11, help="before each, in s (default: 11)")
    parser.add_argument("--runs", type=int, default=3, help="of which the medians are shown (default: 3)")
    parser.add_argument("--set-ups", type=int, default=100, metavar="N", help="calls to answer for their rate (100)")
    parser.add_argument("--against", metavar="REVISION", help="another build, measured in the same minutes")
    parser.add_argument("--tls", action="store_true", help="the vendors are reached by TLS")
    parser.add_argument("--live", action="store_true", help="speech and tokens come at the pace of real vendors")
    parser.add_argument("--mulaw", action="store_true", help="calls are in mu-law, and so are the vendors' streams")
    parser.add_argument("--piece-ms", type=int, default=200, help="of speech in a vendor's message (default: 200)")
    parser.add_argument("--scripted", action="store_true", help="components that take no time instead of vendors")
    parser.add_argument("--chunk-ms", type=int, default=20, help="of audio for the scripted recogniser (default: 20)")
    parser.add_argument("--churn", type=int, metavar="N", help="memory while N calls are set up and end, nothing else")
    parser.add_argument("--tasks", type=int, metavar="N", help="which tasks go on how often in N calls, nothing else")
    parser.add_argument("--profile", type=int, metavar="N", help="a sampling profile of N calls, and nothing else")
    parser.add_argument("--quick", action="store_true", help="one call for some seconds, to see that it works")
    parser.add_argument("--out", type=Path, default=OUT / "chain.json", help="where the results go, as JSON")
    arguments = parser.parse_args()
    arguments.calls = [int(number) for number in arguments.calls.split(",")]
    if arguments.quick:
        arguments.calls, arguments.runs, arguments.set_ups = [1], 1, 5
        arguments.warm_up, arguments.seconds = 0.5, 2.1  # in which there is a whole second
    return arguments


def main():
    """Measures and prints; 1 if the calls did not go as they should."""
    arguments = parsed()
    vendors = Vendors(arguments.tls, arguments.live, arguments.piece_ms, arguments.mulaw)
    parts = Scripted(arguments.chunk_ms) if arguments.scripted else vendors
    results = {"machine": machine(), "parts": str(parts), "against": arguments.against, "rows": [], "ratios": []}
    status = 0
    try:
        if arguments.churn:
            churn(parts, arguments.churn)
            return 0
        if arguments.tasks:
            tasks(parts, arguments.tasks, arguments.seconds, arguments.warm_up)
            return 0
        if arguments.profile:
            profile(parts, arguments.profile, arguments.seconds, arguments.warm_up)
            return 0
        if arguments.against:
            with checked_out(arguments.against) as folder:
                measure(parts, {OWN: ROOT, arguments.against: folder}, arguments, results)
        else:
            measure(parts, {OWN: ROOT}, arguments, results)
    except NoMeasurementError as error:
        print(error, file=sys.stderr)
        status = 1
    except KeyboardInterrupt:
        print("\nStopped" + (": this is what was measured." if results["rows"] else "."))
        status = 130
    if results["rows"]:
        show(results, arguments)
    return status


if __name__ == "__main__":
    sys.exit(main())
