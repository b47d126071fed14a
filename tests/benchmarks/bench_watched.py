"""What records, traces, webhooks, metrics and the page cost calls: `python tests/benchmarks/bench_watched.py`.

The same calls as `bench.py`, on the whole engine, in turn with all of it off and all of it on, so that both see the
same machine: records in SQLite, each call's trace and webhooks to a server on loopback, a scrape of the metrics each
5 s, and a browser's connection to the page Now. The engine has a core of its own; callers and servers have the other.
Prints the ratio of CPU time and the lateness of both, for each pair of runs and their medians; and for how much of its
time the engine's loop was ready to run and something else had its core, for then the lateness is not the engine's.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import httpx
from bench import OUT, call, engine, machine, table, write_files

ENGINE = """\
pipeline_sets: {{main: {file}}}
listeners:
  - {{set: main, port: 0}}
admin: {{host: 127.0.0.1, port: 0}}
"""
WATCHED = """\
records: sqlite:{folder}/calls.db
notify:
  - {{url: "http://127.0.0.1:{port}/webhooks", events: [call.started, call.ended], secret: {secret}}}
otel: {{endpoint: "http://127.0.0.1:{port}"}}
"""
SECRET = "whsec_dGhlLXNlY3JldC1vZi10aGUtYmVuY2htYXJrLTAwMDE="
SCRAPE_S = 5


class Sink(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    protocol_version = "HTTP/1.1"
    taken = 0

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        type(self).taken += 1
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@contextmanager
def sink():
    """A server for traces and webhooks; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def watching(control):
    """Scrapes the metrics and looks at the page, by the engine's socket; gives how often there was something new."""
    ended, seen = threading.Event(), {"scrapes": 0, "updates": 0}

    def client():
        return httpx.Client(transport=httpx.HTTPTransport(uds=str(control)), base_url="http://localhost", timeout=30)

    def scrape():
        with client() as http:
            while not ended.wait(SCRAPE_S):
                seen["scrapes"] += http.get("/metrics").raise_for_status().status_code == 200

    def look():
        with client() as http, http.stream("GET", "/pages/now/events") as events:
            events.raise_for_status()
            try:
                for line in events.iter_lines():
                    seen["updates"] += line.startswith("event:")
            except httpx.TransportError:
                pass  # the engine has ended

    threads = [threading.Thread(target=scrape), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    yield seen
    ended.set()
    threads[0].join()


def waited_s(pid):
    """For how long the main thread of a process was ready to run, and had no core."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9


def run(calls, seconds, warm_up, port):
    """One run of the engine; with the port of a sink, with everything on."""
    folder = OUT / "watched"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    text = ENGINE.format(file=write_files())
    if port is not None:
        text += WATCHED.format(folder=folder, port=port, secret=SECRET)
    file = folder / "engine.yaml"
    file.write_text(text)
    with engine(folder / "engine.log", file) as (pid, listens):
        arguments = ("--calls", calls, "--seconds", seconds, "--warm-up", warm_up)
        began, waited = time.monotonic(), waited_s(pid)
        with nullcontext() if port is None else watching(OUT / "control.sock") as seen:
            row = call(listens, pid, *arguments)
            row["waited"] = (waited_s(pid) - waited) / (time.monotonic() - began)
    if port is None:
        return row
    assert seen["scrapes"], "the metrics were not scraped"
    assert seen["updates"], "the page said nothing"
    assert Sink.taken, "neither traces nor webhooks came"
    return row


def main():
    """Measures in pairs, and prints; 1 if a call was dropped or lost a frame."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=200, help="how many at once (default: 200)")
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement (default: 20)")
    parser.add_argument("--warm-up", type=float, default=11, help="before each, in s (default: 11)")
    parser.add_argument("--runs", type=int, default=3, help="pairs of runs (default: 3)")
    options = parser.parse_args()
    rows = {"all off": [], "all on": []}
    with sink() as port:
        for number in range(1, options.runs + 1):
            for name, where in (("all off", None), ("all on", port)):
                rows[name].append(run(options.calls, options.seconds, options.warm_up, where))
            off, on = rows["all off"][-1], rows["all on"][-1]
            print(
                f"pair {number} of {options.runs}: {on['cpu_s_per_call_min'] / off['cpu_s_per_call_min']:.3f} of the "
                f"CPU time; p99 late {off['late_p99_ms']} and {on['late_p99_ms']} ms; "
                f"others had the core {off['waited']:.0%} and {on['waited']:.0%} of the time",
                flush=True,
            )
    print(f"\n{machine()}\n{options.calls} calls; all off, and all on\n")
    middle = [
        {name: median(row[name] for row in found) for name in ("cpu_s_per_call_min", "late_p50_ms", "late_p99_ms")}
        | {"n": options.calls}
        for found in rows.values()
    ]
    print(*table(middle), sep="\n")
    print(f"\nratio {middle[1]['cpu_s_per_call_min'] / middle[0]['cpu_s_per_call_min']:.3f}")
    return any(row["faults"] for found in rows.values() for row in found)


if __name__ == "__main__":
    sys.exit(main())
