"""One run of the benchmark's chain: so many calls at once, set-ups, memory, tasks, a profile."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from statistics import median

from bench import OUT, ROOT, call, percentile, serving
from chain_parts import END_OF_TURN_MS
from sampler import by_group

WARM_UP_CALL = ("--calls", 1, "--warm-up", 2, "--seconds", 2, "--polite")
"""One turn, in which whatever is imported late is imported."""
CYCLE_S = 10
"""How often a caller says something."""
HEARD = 0.8
"""The share of the replies due that callers must hear; which fall just out of the measurement is chance."""
CHURN_UP = 100
"""Calls that are up at the same time while memory is looked at."""
CHURN_REST_S = 15
"""When no call is up for 10 s, the garbage collector visits all objects."""
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


def rss_mb(pid):
    pages = int(Path("/proc", str(pid), "statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


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
    row["loop_turns"] = round(a_second(said["loop_turns"], measured) / calls, 2)
    row["steps_by_task"] = steps_by_task(said["task_steps"], measured, calls)
    row["task_steps"] = round(sum(row["steps_by_task"].values()), 2)
    row["vendors_load"], row["ready_s"] = said["vendors"]["load"], said["ready_s"]
    return row


def a_second(counts, measured):
    """The mean of counts by second, of whole seconds that were measured."""
    inside = [count for second, count in counts.items() if measured["began"] <= int(second) <= measured["ended"] - 1]
    return sum(inside) / max(1, len(inside))


def steps_by_task(by_second, measured, calls):
    """How often a task of each name goes on in a second, per call; most often first."""
    names = {name for counts in by_second.values() for name in counts}
    rates = {
        name: a_second({second: counts.get(name, 0) for second, counts in by_second.items()}, measured) / calls
        for name in names
    }
    return {name: round(rate, 6) for name, rate in sorted(rates.items(), key=lambda item: -item[1]) if rate}


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
            for begun in range(0, each, CHURN_UP):
                call(port, pid, "--what", "set_up", *parts.set_up_options, "--calls", min(each - begun, CHURN_UP))
            print(f"{ended} calls: {rss_mb(pid)} MB, after {time.perf_counter() - began:.0f} s", flush=True)
        time.sleep(CHURN_REST_S)
        print(f"{CHURN_REST_S} s later: {rss_mb(pid)} MB", flush=True)

    _, said = run(parts, ROOT, work=work)
    print(f"the vendors were asked for {said['vendors']['asked']}")


def tasks(parts, calls, seconds, warm_up):
    """Prints how often each task goes on in so many calls, which does not depend on the machine, and its CPU time."""

    def work(pid, port):
        call(port, pid, *WARM_UP_CALL)
        return call(port, pid, "--calls", calls, "--seconds", seconds, "--warm-up", warm_up, "--polite")

    row, said = run(parts, ROOT, "--task-times", work=work)
    measured = row["measured"]
    steps = steps_by_task(said["task_steps"], measured, calls)
    cpu_s = steps_by_task(said["task_cpu_s"], measured, calls)
    longest = {name: max(seconds.get(name, 0) for seconds in said["task_longest_s"].values()) for name in cpu_s}
    rows = [(name, steps.get(name, 0), cpu * 1e6, longest[name] * 1e3) for name, cpu in cpu_s.items()]
    rows.insert(0, ("all", sum(steps.values()), sum(cpu_s.values()) * 1e6, max(longest.values()) * 1e3))
    print("| task | steps a second and call | CPU us a second and call | us a step | longest step ever, ms of CPU |")
    print("| --- | --- | --- | --- | --- |")
    for name, rate, cpu_us, longest_ms in rows:
        print(f"| {name} | {rate:.2f} | {cpu_us:.0f} | {cpu_us / rate if rate else 0:.0f} | {longest_ms:.1f} |")


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
