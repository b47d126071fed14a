"""The same calls through other frameworks: `python tests/benchmarks/bench_peers.py [--calls 10,50] [--runs 1]`.

Installs Pipecat and LiveKit Agents, at the versions in `peers/requirements-*.txt`, into environments of their own at
the root of the repository (once, about 0.5 GB each). Then it holds the calls of `bench.py` against a bare echo,
voicepipe and each of them in turn, so that all see the same machine: AudioSocket at 8 kHz on loopback, the server on
one core and the callers on another, components that take no time, the same voice activity detection, 600 ms of
silence to end a turn. Each server has one call to warm up. Prints one table and writes `out/peers.json`.

pipecat       a pipeline a call, as its quickstart sets it up
pipecat-lean  the same with everything switched off that a call can do without
livekit       an AgentSession a call, without a LiveKit room

`--chain` gives each Deepgram's ears, OpenAI's model and Deepgram's voice instead, by its own plugins, at the vendors of
`vendor_servers.py`; a server has one client, and shares the connections that its documentation lets it share.

A server can't hold so many calls if it drops one or needs all of its core; then it is not tried with more. All of it
takes less than an hour; `--runs 1 --calls 10,50` takes ten minutes. Let the machine do nothing else meanwhile.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

from attrs import frozen
from bench import HERE, OUT, ROOT, cores, machine, middle, percentile, pinned, shown, write_files
from chain_parts import END_OF_TURN_MS, Vendors, write_chain
from chain_runs import WARM_UP_CALL, due_replies, since_end_of_turn

FULL = 0.97
"""The load of a core from which on there is none left."""
END_S = 60
"""How long a server may take to end, and the callers to connect, before they count as stuck."""
COLUMNS = {
    "server": "",
    "n": "calls",
    "cpu_s_per_call_min": "CPU s a call-minute",
    "ratio_to_echo": "of the echo's",
    "late_p50_ms": "late, ms: p50",
    "late_p99_ms": "p99",
    "response_p50_ms": "response, ms: p50",
    "response_p99_ms": "p99",
    "over_silence_p50_ms": "over the silence, ms: p50",
    "over_silence_p99_ms": "p99",
    "set_ups_a_second": "set-ups a second",
    "kb_per_active_call": "kB an active call",
    "load": "of the core",
    "faulty": "faults",
}


@frozen
class Server:
    """What takes the calls: a script of ours, the environment that it needs, and what it is told."""

    script: str
    environment: str | None = None
    options: tuple[str, ...] = ()

    @property
    def folder(self):
        """Where its environment is."""
        return ROOT / f".venv-{self.environment}"

    @property
    def requirements(self):
        """What is installed there."""
        return HERE / f"peers/requirements-{self.environment}.txt"

    def install(self):
        """Makes the environment, unless it is there already with these versions."""
        if self.environment is None:
            return
        installed, wanted = self.folder / "installed.txt", self.requirements.read_text()
        if installed.exists() and installed.read_text() == wanted:
            return
        print(f"Installing {wanted.splitlines()[0]} into {self.folder.name} (once, about a minute)", flush=True)
        pip = [self.folder / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", self.folder], check=True)
            (self.folder / ".gitignore").write_text("*\n")
            subprocess.run([*pip, "--requirement", self.requirements], check=True, env=unconstrained())
        except subprocess.CalledProcessError:
            raise SystemExit(
                f"{self.environment} could not be installed: is PyPI within reach? `--peers` leaves it out"
            ) from None
        installed.write_text(wanted)

    def command(self, base=None, ca_file=None):
        """How it is started; with vendors at an address or without."""
        if self.script == "server.py":
            options = [write_chain(base, ca_file) if base else write_files()]
        else:
            options = [*self.options, *(["--vendors", base] if base and self.environment else [])]
        python = sys.executable if self.environment is None else self.folder / "bin/python"
        return [python, HERE / self.script, *options]


def unconstrained():
    """The environment without the Makefile's constraints, which are of voicepipe's own dependencies."""
    return {name: value for name, value in os.environ.items() if name not in {"PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"}}


OURS = {"echo": Server("echo.py"), "voicepipe": Server("server.py")}
PEERS = {
    "pipecat": Server("peers/pipecat_server.py", "pipecat"),
    "pipecat-lean": Server("peers/pipecat_server.py", "pipecat", ("--lean",)),
    "livekit": Server("peers/livekit_server.py", "livekit"),
}


class TooManyCallsError(Exception):
    """The server can't hold so many calls; says what became of them."""


class Held:
    """A server that runs, pinned to its core."""

    def __init__(self, name, server, log, base=None, ca_file=None):
        self._name = name
        trusted = {} if ca_file is None or server.environment is None else {"SSL_CERT_FILE": str(ca_file)}
        self._process = subprocess.Popen(
            list(map(str, server.command(base, ca_file))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **trusted, "PYTHONPATH": os.pathsep.join([str(HERE), str(OUT)])},
            preexec_fn=pinned(cores()[0]),  # noqa: PLW1509 - no thread of ours is running
            process_group=0,  # Ctrl-C is for us: the server ends when its input does
        )
        port = self._process.stdout.readline()
        if not port:
            raise SystemExit(f"{name} did not start: see {log.name}")
        self._port = int(port)

    def call(self, *arguments, at_most_s):
        """What the callers say."""
        echo = ["--echo"] if self._name == "echo" and "--what" not in arguments else []
        command = [sys.executable, HERE / "callers.py", self._port, "--pid", self._process.pid, *arguments, *echo]
        try:
            run = subprocess.run(
                list(map(str, command)),
                capture_output=True,
                text=True,
                timeout=at_most_s,
                stdin=subprocess.DEVNULL,
                preexec_fn=pinned(cores()[1]),
                process_group=0,
                check=True,
            )
        except subprocess.TimeoutExpired:
            raise TooManyCallsError(f"stuck for {at_most_s:.0f} s") from None
        except subprocess.CalledProcessError as error:
            raise TooManyCallsError(error.stderr.strip().splitlines()[-1]) from None
        return json.loads(run.stdout)

    def end(self):
        """Ends the server; what it has to say, if it ends by itself."""
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._process.stdout as said:
            return said.read()


@contextmanager
def held(name, said=None, vendors=None):
    """A server while it runs, and vendors for it; what it says in the end is appended to `said`."""
    serving = nullcontext((None, None, None)) if vendors is None or name == "echo" else vendors.serving()
    with serving as (base, ca_file, _), (OUT / f"peers-{name}.log").open("a") as log:
        server = Held(name, (OURS | PEERS)[name], log, base, ca_file)
        try:
            yield server
        finally:
            words = server.end()
            if said is not None:
                said.append(words)


def hold(name, calls, arguments):
    """One measurement of so many calls at once; `TooManyCallsError` if they are too many."""
    said, seconds, warm_up = [], arguments.seconds, arguments.warm_up
    with held(name, said, arguments.vendors) as server:
        server.call(*WARM_UP_CALL, at_most_s=END_S)
        row = server.call(
            "--calls", calls, "--seconds", seconds, "--warm-up", warm_up, at_most_s=seconds + warm_up + END_S
        )
    del row["measured"]
    if row["load"] >= FULL:
        raise TooManyCallsError("it needs all of its core")
    if lost := [fault for fault in row["faults"] if "dropped" in fault or "Error" in fault]:
        raise TooManyCallsError(lost[0])
    if name == "echo":
        return row
    if not said[0]:
        raise TooManyCallsError(f"it did not end within {END_S} s")
    if row["replies"] < (due := due_replies(calls, seconds)):
        raise TooManyCallsError(f"callers heard {row['replies']} replies where at least {due} were due")
    said = json.loads(said[0])
    responses = said["response_ms"]
    if arguments.vendors is not None:
        responses = since_end_of_turn(said["steps"]) if "steps" in said else responses
        row["over_silence_p50_ms"] = round(row["caller_response_p50_ms"] - END_OF_TURN_MS, 3)
        row["over_silence_p99_ms"] = round(row["caller_response_p99_ms"] - END_OF_TURN_MS, 3)
    responses = responses[1:]  # the first is of the call to warm up
    row["response_p50_ms"], row["response_p99_ms"] = percentile(responses, 0.5), percentile(responses, 0.99)
    return row


def set_ups(name, arguments):
    """How many calls a second it answers, from connecting to the first of the greeting; None if it drops one."""
    with held(name, vendors=arguments.vendors) as server:
        try:
            options = "--what", "set_up", *(arguments.vendors.set_up_options if arguments.vendors else ())
            server.call(*options, "--calls", 5, at_most_s=END_S)
            rates = [server.call(*options, "--calls", arguments.set_ups, at_most_s=END_S) for _ in range(3)]
        except TooManyCallsError as too_many:
            print(f"{name}: {too_many}", file=sys.stderr)
            return None
    return round(median(rate["set_ups_a_second"] for rate in rates))


def measure(names, numbers, arguments, rows):
    """Appends a row for each server and number of calls as it is known."""
    rates = {}
    for name in names:
        rates[name] = None if name == "echo" else set_ups(name, arguments)
        if rates[name]:
            print(f"{name}: {rates[name]} set-ups a second", flush=True)
    beaten = set()
    for calls in numbers:
        runs = {name: [] for name in names if name not in beaten}
        cant = {}
        try:
            for run in range(1, arguments.runs + 1):
                for name in [name for name in runs if name not in cant]:
                    print(f"{calls} calls, run {run} of {arguments.runs}, {name}: ", end="", flush=True)
                    try:
                        row = hold(name, calls, arguments)
                    except TooManyCallsError as too_many:
                        print(f"can't: {too_many}", flush=True)
                        cant[name] = str(too_many)
                        continue
                    runs[name].append(row)
                    print(
                        f"{row['cpu_s_per_call_min']:.3f} CPU s a call-minute, p99 late {row['late_p99_ms']} ms; "
                        f"the callers themselves {row['callers_late_p99_ms']} ms",
                        flush=True,
                    )
            beaten |= set(cant)
        finally:
            rows += rows_of(names, calls, runs, cant, rates)


def rows_of(names, calls, runs, cant, rates):
    """The medians of each server's runs, beside the echo's."""
    merged = {name: middle(measured) for name, measured in runs.items() if measured}
    for name in names:
        row = {"server": name, "n": calls, "set_ups_a_second": rates[name]}
        if name in cant:
            yield {**row, "cant": cant[name]}
        elif name in merged:
            row |= merged[name]
            row["faulty"] = len(row["faults"])
            if "echo" in merged:
                row["ratio_to_echo"] = round(row["cpu_s_per_call_min"] / merged["echo"]["cpu_s_per_call_min"], 2)
            yield row


def table(rows):
    """Markdown."""
    yield f"| {' | '.join(COLUMNS.values())} |"
    yield f"|{' --- |' * len(COLUMNS)}"
    for row in rows:
        known = {**row, "cpu_s_per_call_min": "can't"} if "cant" in row else row
        yield f"| {' | '.join(shown(known.get(name)) for name in COLUMNS)} |"


def chosen_peers(text):
    names = text.split(",")
    if unknown := [name for name in names if name not in PEERS]:
        raise ArgumentTypeError(f"no peer is called {unknown[0]!r}; there are {', '.join(PEERS)}")
    return names


def counts(text):
    try:
        return sorted({int(number) for number in text.split(",")})
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not numbers with commas between them, such as 10,50") from None


def main():
    """Installs, measures, prints; 1 if voicepipe could not hold the calls."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=counts, default="10,50,100,200", help="how many at once (10,50,100,200)")
    parser.add_argument("--peers", type=chosen_peers, default=",".join(PEERS), help=f"which ({','.join(PEERS)})")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (20)")
    parser.add_argument("--warm-up", type=float, default=16, help="before each, in s; set-ups and a turn fit in (16)")
    parser.add_argument("--runs", type=int, default=3, help="of which the medians are shown (3)")
    parser.add_argument("--set-ups", type=int, default=100, metavar="N", help="calls to answer for their rate (100)")
    parser.add_argument("--chain", action="store_true", help="with Deepgram and OpenAI, by each one's own plugins")
    parser.add_argument("--tls", action="store_true", help="which are reached by TLS")
    parser.add_argument("--out", type=Path, default=OUT / "peers.json", help="where the results go, as JSON")
    parser.add_argument("--install-only", action="store_true", help="makes the environments, and nothing else")
    arguments = parser.parse_args()
    arguments.vendors = Vendors(tls=arguments.tls) if arguments.chain else None
    OUT.mkdir(parents=True, exist_ok=True)
    rows, names, stopped = [], [*OURS, *arguments.peers], False
    try:
        for name in arguments.peers:
            PEERS[name].install()
        for log in OUT.glob("peers-*.log"):
            log.unlink()
        if arguments.install_only:
            return 0
        versions = [PEERS[name].requirements.read_text().splitlines()[0] for name in arguments.peers]
        results = {"machine": machine(), "versions": sorted(set(versions)), "rows": rows}
        each_s = arguments.seconds + arguments.warm_up + 14
        minutes = each_s * len(names) * len(arguments.calls) * arguments.runs / 60
        print(f"At most about {minutes:.0f} minutes; what the servers complain of is in {OUT}/peers-*.log", flush=True)
        measure(names, arguments.calls, arguments, rows)
    except KeyboardInterrupt:
        print("\nStopped" + (": this is what was measured." if rows else "."))
        stopped = True
        if not rows:
            return 130
    arguments.out.write_text(json.dumps(results, indent=2))
    print(f"\n{results['machine']}, {', '.join(results['versions'])}\n", *table(rows), f"\n{arguments.out}", sep="\n")
    return 130 if stopped else any("cant" in row for row in rows if row["server"] == "voicepipe")


if __name__ == "__main__":
    sys.exit(main())
