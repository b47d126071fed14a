"""What a call costs that listens, thinks and speaks over vendors' protocols: `python bench_chain.py [--calls 1,10]`.

The calls of `bench.py`, whose pipeline has Deepgram's speech-to-text, OpenAI's language model and Deepgram's voice, all
three at `vendor_servers.py`, which takes no time for anything. The server has a core of its own; the callers and the
vendors share the other. Beside it the bare echo of `bench.py`. Prints a table and writes `out/chain.json`; medians of
all runs. A run in which the callers do not hear their replies is no measurement, and ends it.

`--profile N` says where the time goes instead; see docs/explanation/performance.md.
"""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections import Counter
from pathlib import Path
from statistics import median

from bench import OUT, call, cores, echo_run, machine, middle, percentile, serving, shown

WARM_UP_CALL = ("--calls", 1, "--warm-up", 2, "--seconds", 2)
"""One turn, in which whatever is imported late is imported."""
END_OF_TURN_MS = 600
"""Silence that ends the caller's turn: `turns.end_of_turn_ms`."""
CYCLE_S = 10
"""How often a caller says something."""
HEARD = 0.8
"""The share of the replies due that callers must hear; which fall just out of the measurement is chance."""

CHAIN = """\
pipelines:
  default:
    stt: {{type: deepgram, api_key: "${{BENCH_KEY}}", base_url: "{base}"{ca}}}
    llm: {{type: openai, model: gpt-4.1-mini, api_key: "${{BENCH_KEY}}", base_url: "{base}/v1"{ca}}}
    tts: {{type: deepgram, api_key: "${{BENCH_KEY}}", base_url: "{base}"{ca}}}
    greeting: Hello.
    prompt: You are the agent of a shop, and you answer in a few sentences.
    turns:
      dtmf: {{gap_ms: 0}}
      end_of_turn_ms: 600
      endpointing: {{complete_ms: 600}}  # whatever was said, as the peers have it
"""
COLUMNS = {
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
    "pause_ms": "longest turn of the loop, ms",
    "pause_cpu_ms": "by its CPU time",
    "load": "of the core",
    "vendors_load": "vendors, of theirs",
}
GROUPS = {
    "trio": ("trio", "outcome", "sniffio", "attr", "attrs"),
    "our wire": ("voicepipe.wire",),
    "our adapters": ("voicepipe.adapters",),
    "our calls": ("voicepipe.calls",),
    "our transports": ("voicepipe.transports", "voicepipe.clock"),
    "the rest of ours": ("voicepipe", "bench_components", "server"),
    "the vendors' libraries": ("deepgram", "openai", "pydantic", "pydantic_core", "typing_extensions", "typing"),
    "websockets": ("websockets",),
    "httpx, httpcore, h11": ("httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio"),
    "json": ("json",),
    "ssl": ("ssl",),
    "contextlib": ("contextlib",),
}
"""What the table of a profile tells apart, by how modules begin; the first that fits. The rest of the standard library
counts as whoever called it."""


class NoMeasurementError(Exception):
    """The calls did not go as they should; says what was missing."""


def write_chain(port, ca_file=None):
    """The file to serve, with vendors at that port."""
    OUT.mkdir(parents=True, exist_ok=True)
    file = OUT / "chain.yaml"
    base = f"{'http' if ca_file is None else 'https'}://127.0.0.1:{port}"
    file.write_text(CHAIN.format(base=base, ca="" if ca_file is None else f', ca_file: "{ca_file}"'))
    return file


class Chain:
    """Vendors and a server, as options choose them."""

    def __init__(self, arguments):
        os.environ["BENCH_KEY"] = "bench-key"
        self._ca_file = OUT / "chain-ca.pem" if arguments.tls else None
        self._vendor_options = [
            *(["--tls", self._ca_file] if arguments.tls else []),
            *(["--live"] if arguments.live else []),
            "--piece-ms",
            arguments.piece_ms,
        ]

    def run(self, *options, work, path=()):
        """What `work(pid, port)` gives, with what the server says of itself, and the vendors of theirs."""
        with serving("vendor_servers.py", *self._vendor_options, core=cores()[1]) as (_, vendors_port, vendors):
            file = write_chain(vendors_port, self._ca_file)
            began = time.perf_counter()
            with serving("server.py", file, *options, path=path) as (pid, port, server):
                ready_s = time.perf_counter() - began
                done = work(pid, port)
        vendors, server = json.loads(vendors[0]), json.loads(server[0])
        return done, {**server, "ready_s": ready_s, "vendors": vendors}

    def hold(self, calls, seconds, warm_up, path=()):
        """A row: so many calls at once.

        Raises:
            NoMeasurementError: callers did not hear their replies.

        """

        def work(pid, port):
            base_mb = rss_mb(pid)
            call(port, pid, *WARM_UP_CALL)
            return {
                "base_mb": base_mb,
                **call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", warm_up),
            }

        row, server = self.run("--pauses", work=work, path=path)
        due = max(1, int(HEARD * calls * seconds / CYCLE_S))
        if row["replies"] < due or row["faults"]:
            raise NoMeasurementError(
                f"callers heard {row['replies']} replies where at least {due} were due; faults: {row['faults']}; the "
                f"vendors were asked for {server['vendors']}"
            )
        row["over_silence_p50_ms"] = round(row["caller_response_p50_ms"] - END_OF_TURN_MS, 3)
        row["over_silence_p99_ms"] = round(row["caller_response_p99_ms"] - END_OF_TURN_MS, 3)
        steps = [steps for steps in server["steps"] if steps["heard_ms"] is not None][1:]
        for name, since in ("from_end", "asked_ms"), ("from_final", "final_ms"):
            took = [each["heard_ms"] - each[since] for each in steps if each[since] is not None]
            row[f"{name}_p50_ms"], row[f"{name}_p99_ms"] = percentile(took, 0.5), percentile(took, 0.99)
        measured = row.pop("measured")
        pauses = [pause for pause in server["pauses"] if measured["began"] <= pause[0] <= measured["ended"]]
        row["pause_ms"] = round(max((took for _, took, _ in pauses), default=0.001) * 1000, 2)
        row["pause_cpu_ms"] = round(max((used for *_, used in pauses), default=0.001) * 1000, 2)
        row["vendors_load"] = row.pop("vendors_cpu_s", None) or server["vendors"]["cpu_s"] / (seconds + warm_up + 5)
        row["ready_s"] = server["ready_s"]
        return row

    def set_ups(self, calls, path=()):
        """How many calls a second are answered, up to the first audio of the greeting."""

        def work(pid, port):
            call(port, pid, "--what", "set_up", "--calls", 5)
            return median(call(port, pid, "--what", "set_up", "--calls", calls)["set_ups_a_second"] for _ in range(3))

        return round(self.run(work=work, path=path)[0], 1)

    def profile(self, calls, seconds, warm_up, path=()):
        """A profile of so many calls, in a folder."""
        folder = OUT / f"chain-profile-{calls}"

        def work(pid, port):
            return call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", warm_up)

        row, _ = self.run("--profile", folder, "--profile-after", warm_up, work=work, path=path)
        if not row["replies"]:
            raise NoMeasurementError("callers heard no reply")
        return folder


def rss_mb(pid):
    pages = int(Path("/proc", str(pid), "statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


def group_of(module):
    """The part of the program that a module belongs to."""
    module = module.removeprefix("<attrs generated methods ")
    for group, begins in GROUPS.items():
        if any(module == name or module.startswith(f"{name}.") for name in begins):
            return group
    return "others"


def by_group(folded):
    """A table of a profile's stacks: the share of each group alone, and with whatever it calls."""
    alone, within, total = Counter(), Counter(), 0
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        groups = [group_of(function.partition(":")[0]) for function in stack.split(";")]
        total += int(count)
        alone[next((group for group in reversed(groups) if group != "others"), "others")] += int(count)
        for group in set(groups):
            within[group] += int(count)
    yield "| part | alone | with what it calls |"
    yield "| --- | --- | --- |"
    for group, count in alone.most_common():
        yield f"| {group} | {100 * count / total:.1f} % | {100 * within[group] / total:.1f} % |"


def measure(chain, arguments, results):
    """Appends rows as they are known: the echo's and the chain's in turn, so that both see the same machine."""
    for calls in arguments.calls:
        echoes, ours = [], []
        for run in range(1, arguments.runs + 1):
            echoes.append(echo_run(calls, arguments.seconds, arguments.warm_up))
            echoes[-1].pop("measured")
            row = chain.hold(calls, arguments.seconds, arguments.warm_up)
            ours.append(row)
            print(
                f"{calls} calls, run {run} of {arguments.runs}: {row['cpu_s_per_call_min']:.3f} CPU s a call-minute "
                f"(echo {echoes[-1]['cpu_s_per_call_min']:.3f}); p99 late {row['late_p99_ms']} ms, over the silence "
                f"{row['over_silence_p99_ms']} ms; {row['kb_per_active_call']:.0f} kB a call; longest turn of the loop "
                f"{row['pause_ms']} ms; {row['replies']} replies heard; base {row['base_mb']} MB, ready in "
                f"{row['ready_s']:.2f} s; the callers themselves {row['callers_late_p99_ms']} ms",
                flush=True,
            )
        echo, own = {"n": calls, **middle(echoes)}, {"n": calls, **middle(ours)}
        own["ratio_to_echo"] = round(own["cpu_s_per_call_min"] / echo["cpu_s_per_call_min"], 3)
        results["echo"].append(echo)
        results["chain"].append(own)


def table(rows):
    """Markdown."""
    columns = {name: title for name, title in COLUMNS.items() if any(row.get(name) is not None for row in rows)}
    yield f"| {' | '.join(columns.values())} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(shown(row.get(name)) for name in columns)} |"


def main():
    """Measures and prints; 1 if the calls did not go as they should."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--calls", default="1,10,25,50,100,200", help="how many at once, separated by commas")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (default: 20)")
    parser.add_argument("--warm-up", type=float, default=11, help="before each, in s (default: 11)")
    parser.add_argument("--runs", type=int, default=3, help="of which the medians are shown (default: 3)")
    parser.add_argument("--set-ups", type=int, default=100, metavar="N", help="calls to answer for their rate (100)")
    parser.add_argument("--tls", action="store_true", help="the vendors are reached by TLS")
    parser.add_argument("--live", action="store_true", help="speech and tokens come at the pace of real vendors")
    parser.add_argument("--piece-ms", type=int, default=200, help="of speech in a message (default: 200)")
    parser.add_argument("--profile", type=int, metavar="N", help="a sampling profile of N calls, and nothing else")
    parser.add_argument("--out", type=Path, default=OUT / "chain.json", help="where the results go, as JSON")
    arguments = parser.parse_args()
    arguments.calls = [int(number) for number in arguments.calls.split(",")]
    chain = Chain(arguments)
    try:
        if arguments.profile:
            folder = chain.profile(arguments.profile, arguments.seconds, arguments.warm_up)
            print("".join((folder / "profile.txt").read_text().splitlines(keepends=True)[:130]))
            print(*by_group((folder / "profile.folded").read_text()), sep="\n")
            print(f"\n{folder}/profile.txt, profile.folded, profile.svg")
            return 0
        results = {"machine": machine(), "echo": [], "chain": []}
        measure(chain, arguments, results)
        results["set_ups_a_second"] = chain.set_ups(arguments.set_ups)
    except NoMeasurementError as nothing:
        print(nothing, file=sys.stderr)
        return 1
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2))
    print(f"\n{results['machine']}\n", *table(results["chain"]), sep="\n")
    last = results["chain"][-1]
    print(
        f"\n{results['set_ups_a_second']} set-ups a second; base memory {last['base_mb']} MB; ready in "
        f"{last['ready_s']:.2f} s; {arguments.out}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
