"""What a call costs that listens, thinks and speaks over vendors' protocols: `python bench_chain.py [--calls 1,10]`.

The calls of `bench.py`, whose pipeline has Deepgram's speech-to-text, OpenAI's language model and Deepgram's voice, all
three at `vendor_servers.py`, which takes no time for anything. The server has a core of its own; the callers and the
vendors share the other. Beside it the bare echo of `bench.py`, and with `--against REVISION` the same calls on that
revision of voicepipe, in turn, so that all see the same machine. Prints tables and writes `out/chain.json`; medians of
all runs. A run in which the callers do not hear their replies is no measurement, and ends it.

`--scripted` has components that take no time instead of vendors, and a recogniser that looks at every 20 ms.
`--profile N` says where the time goes instead, and `--churn N` how much memory calls leave behind; see
docs/explanation/performance.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import tomllib
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from attrs import frozen
from bench import OUT, ROOT, call, cores, echo_run, machine, middle, percentile, serving, shown, write_files
from sampler import by_group

WARM_UP_CALL = ("--calls", 1, "--warm-up", 2, "--seconds", 2, "--polite")
"""One turn, in which whatever is imported late is imported."""
END_OF_TURN_MS = 600
"""Silence that ends the caller's turn."""
CYCLE_S = 10
"""How often a caller says something."""
HEARD = 0.8
"""The share of the replies due that callers must hear; which fall just out of the measurement is chance."""
LISTENING = OUT / f"chain-listening-{os.getpid()}"
"""Where vendors count the connections of recognisers."""
CHURN_UP = 100
"""Calls that are up at the same time while memory is looked at."""
CHURN_REST_S = 15
"""When no call is up for 10 s, the garbage collector visits all objects."""
OWN = "this one"
"""The build of the working tree."""

TURNS = f"""\
    greeting: Hello.
    prompt: You are the agent of a shop, and you answer in a few sentences.
    turns:
      dtmf: {{gap_ms: 0}}
      end_of_turn_ms: {END_OF_TURN_MS}
      endpointing: {{complete_ms: {END_OF_TURN_MS}}}  # whatever was said, as the peers have it
"""
CHAIN = """\
pipelines:
  default:
    stt: {{type: deepgram, api_key: "${{BENCH_KEY}}", base_url: "{base}"{more}}}
    llm: {{type: openai, model: gpt-4.1-mini, api_key: "${{BENCH_KEY}}", base_url: "{base}/v1"{more}}}
    tts: {{type: deepgram, api_key: "${{BENCH_KEY}}", base_url: "{base}"{more}}}
"""
SCRIPTED = """\
pipelines:
  default:
    stt: {{type: bench, looks: true, chunk_ms: {chunk_ms}}}
    llm: bench
    tts: bench
"""
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
    "kb_per_active_call": "kB a call",
    "late_p99_ms": "late, p99",
    "over_silence_p99_ms": "response over the silence, p99",
    "pause_ms": "longest turn of the loop",
    "set_ups_a_second": "set-ups a second",
    "base_mb": "MB without calls",
    "ready_s": "start to ready",
}
GROUPS = {
    "trio": ("trio", "outcome", "sniffio", "attr", "attrs"),
    "our wire": ("voicepipe.wire",),
    "our adapters": ("voicepipe.adapters",),
    "our calls": ("voicepipe.calls",),
    "our transports and clock": ("voicepipe.transports", "voicepipe.clock"),
    "the rest of ours": ("voicepipe", "bench_components", "server"),
    "the vendors' libraries": ("deepgram", "openai", "pydantic", "pydantic_core", "typing_extensions", "typing"),
    "websockets": ("websockets",),
    "httpx, httpcore, h11": ("httpx", "httpx2", "httpcore", "httpcore2", "h11", "anyio"),
    "json": ("json",),
    "ssl": ("ssl",),
    "contextlib": ("contextlib",),
}
"""What the table of a profile tells apart."""


class NoMeasurementError(Exception):
    """The calls did not go as they should; says what was missing."""


# --- What is measured ------------------------------------------------------------------------------------------------


def write_chain(base, ca_file=None):
    """The file to serve, with vendors at an address."""
    os.environ["BENCH_KEY"] = "bench-key"
    file = OUT / "chain.yaml"
    file.write_text(CHAIN.format(base=base, more=f', ca_file: "{ca_file}"' if ca_file else "") + TURNS)
    return file


@frozen
class Vendors:
    """Vendors, and how they are reached."""

    tls: bool = False
    live: bool = False
    """Whether speech and tokens come at the pace of real vendors."""
    piece_ms: int = 200
    """Of speech in a message."""
    mulaw: bool = False
    """Whether calls are in mu-law, which both of Deepgram's services take."""

    @property
    def server_options(self):
        """Of `server.py`."""
        return ["--mulaw"] if self.mulaw else []

    set_up_options = "--listening", LISTENING
    """Of callers that only set up calls: a call is up when it listens, too."""

    @contextmanager
    def serving(self):
        """Their address, the file of the CA to trust or None, and once they have ended what they say, in a list."""
        OUT.mkdir(parents=True, exist_ok=True)
        ca_file = OUT / "chain-ca.pem" if self.tls else None
        options = ["--listening", LISTENING, "--piece-ms", self.piece_ms, *(["--tls", ca_file] if self.tls else [])]
        options += ["--live"] if self.live else []
        try:
            with serving("vendor_servers.py", *options, core=cores()[1]) as (_, port, out):
                yield f"{'https' if self.tls else 'http'}://127.0.0.1:{port}", ca_file, out
        finally:
            LISTENING.unlink(missing_ok=True)

    @contextmanager
    def pipelines(self):
        """The file to serve, and what the vendors say, as above."""
        with self.serving() as (base, ca_file, out):
            yield write_chain(base, ca_file), out


@frozen
class Scripted:
    """Components that take no time, and a recogniser that looks at every 20 ms."""

    chunk_ms: int = 20
    """Of audio that the recogniser gets at once."""
    server_options = set_up_options = ()

    @contextmanager
    def pipelines(self):
        """The file to serve; nobody else says anything."""
        file = write_files()
        file.write_text(SCRIPTED.format(chunk_ms=self.chunk_ms) + TURNS)
        yield file, ['{"load": null, "asked": {}}']


@contextmanager
def checked_out(revision):
    """A folder with voicepipe as it was in a revision, and what its adapters are called."""
    with TemporaryDirectory(prefix="voicepipe-") as name:
        folder = Path(name)
        archive = subprocess.run(
            ["git", "-C", ROOT, "archive", revision, "voicepipe", "pyproject.toml"], stdout=subprocess.PIPE, check=False
        )
        if archive.returncode:
            raise SystemExit(f"no revision is called {revision!r}, or this is no git repository")
        subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
        project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        lines = [f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"]
        info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("".join(lines))
        lines = [
            f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in points.items())
            for group, points in project["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(lines))
        yield folder


def rss_mb(pid):
    pages = int(Path("/proc", str(pid), "statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


# --- One measurement -------------------------------------------------------------------------------------------------


def run(parts, folder, *options, work):
    """What `work(pid, port)` gives, and what the server and the vendors say; of the build in a folder."""
    with parts.pipelines() as (file, vendors):
        began = time.perf_counter()
        with serving("server.py", file, *options, *parts.server_options, path=[folder]) as (pid, port, out):
            ready_s = time.perf_counter() - began
            done = work(pid, port)
    said = json.loads(out[0])
    if not Path(said["package"]).is_relative_to(folder):
        raise NoMeasurementError(f"measured was {said['package']}, and not what is in {folder}")
    return done, {**said, "ready_s": round(ready_s, 3), "vendors": json.loads(vendors[0])}


def hold(parts, folder, calls, seconds, warm_up, *, quick=False):
    """A row: so many calls at once.

    Raises:
        NoMeasurementError: callers did not hear their replies.

    """

    def work(pid, port):
        base_mb = rss_mb(pid)
        if not quick:
            call(port, pid, *WARM_UP_CALL)
        options = "--calls", calls, "--seconds", seconds, "--warm-up", warm_up, "--polite", "--replies", int(quick)
        held = call(port, pid, *options)
        return {"base_mb": base_mb, **held}

    row, said = run(parts, folder, "--pauses", work=work)
    due = due_replies(calls, seconds)
    if row["replies"] < due or row["faults"]:
        raise NoMeasurementError(
            f"callers heard {row['replies']} replies where at least {due} were due; faults: {row['faults']}; the "
            f"vendors were asked for {said['vendors']['asked']}"
        )
    row["over_silence_p50_ms"] = round(row["caller_response_p50_ms"] - END_OF_TURN_MS, 3)
    row["over_silence_p99_ms"] = round(row["caller_response_p99_ms"] - END_OF_TURN_MS, 3)
    for name, since in ("from_end", "asked_ms"), ("from_final", "final_ms"):
        took = since_end_of_turn(said["steps"], since)[not quick :]
        row[f"{name}_p50_ms"], row[f"{name}_p99_ms"] = percentile(took, 0.5), percentile(took, 0.99)
    measured = row.pop("measured")
    pauses = [pause for pause in said["pauses"] if measured["began"] <= pause[0] <= measured["ended"]]
    row["pause_ms"] = round(max((took for _, took, _ in pauses), default=0.001) * 1000, 2)
    row["pause_cpu_ms"] = round(max((used for *_, used in pauses), default=0.001) * 1000, 2)
    row["vendors_load"], row["ready_s"] = said["vendors"]["load"], said["ready_s"]
    return row


def due_replies(calls, seconds):
    """How many replies callers must hear in that time."""
    return max(1, int(HEARD * calls * seconds / CYCLE_S))


def since_end_of_turn(steps, since="asked_ms"):
    """How long replies took, in ms, from the end of the caller's turn or another step to the first audio."""
    return [each["heard_ms"] - each[since] for each in steps if None not in (each["heard_ms"], each[since])]


def set_ups(parts, folder, calls):
    """How many calls a second are answered with the first audio of the greeting, and listen."""

    def work(pid, port):
        options = "--what", "set_up", *parts.set_up_options
        call(port, pid, *options, "--calls", 5)
        return [call(port, pid, *options, "--calls", calls)["set_ups_a_second"] for _ in range(3)]

    return round(median(run(parts, folder, work=work)[0]), 1)


def churn(parts, calls):
    """Prints the memory of a server while so many calls are set up and end."""

    def work(pid, port):
        began, each = time.perf_counter(), max(1, calls // 10)
        print(f"0 calls: {rss_mb(pid)} MB", flush=True)
        for ended in range(each, calls + 1, each):
            for _ in range(0, each, CHURN_UP):
                call(port, pid, "--what", "set_up", *parts.set_up_options, "--calls", min(each, CHURN_UP))
            print(f"{ended} calls: {rss_mb(pid)} MB, after {time.perf_counter() - began:.0f} s", flush=True)
        time.sleep(CHURN_REST_S)
        print(f"{CHURN_REST_S} s later: {rss_mb(pid)} MB", flush=True)

    _, said = run(parts, ROOT, work=work)
    print(f"the vendors were asked for {said['vendors']['asked']}")


def profile(parts, calls, seconds, warm_up):
    """Prints where the time of so many calls goes."""
    folder = OUT / f"chain-profile-{calls}"

    def work(pid, port):
        return call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", warm_up, "--polite")

    row, _ = run(parts, ROOT, "--profile", folder, "--profile-after", warm_up, work=work)
    if not row["replies"]:
        raise NoMeasurementError("callers heard no reply")
    print("".join((folder / "profile.txt").read_text().splitlines(keepends=True)[:130]))
    print(*by_group((folder / "profile.folded").read_text(), GROUPS), sep="\n")
    print(f"\n{folder}/profile.txt, profile.folded, profile.svg")


# --- All of them -----------------------------------------------------------------------------------------------------


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
            f"  {name}: {row['cpu_s_per_call_min']:.3f} CPU s a call-minute; p99 late {row['late_p99_ms']} ms, over "
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
    parser.add_argument("--profile", type=int, metavar="N", help="a sampling profile of N calls, and nothing else")
    parser.add_argument("--quick", action="store_true", help="one call for some seconds, to see that it works")
    parser.add_argument("--out", type=Path, default=OUT / "chain.json", help="where the results go, as JSON")
    arguments = parser.parse_args()
    arguments.calls = [int(number) for number in arguments.calls.split(",")]
    if arguments.quick:
        arguments.calls, arguments.runs, arguments.set_ups = [1], 1, 5
        arguments.warm_up, arguments.seconds = 0.5, 1
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
