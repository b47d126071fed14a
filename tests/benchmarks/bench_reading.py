"""What the reading of a small file costs beside calls: `python tests/benchmarks/bench_reading.py [--runs 20]`.

The reading of a reload takes a process. Measures it both ways, in turn, so that both see the same machine: with a
process that imports everything for it, and with a fork of a process that has done so. Prints the medians of the time
and of the CPU time, and the memory that the process in between holds.
"""

from __future__ import annotations

import resource
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median
from time import perf_counter

import trio
from bench import machine

from voicepipe import installed
from voicepipe.pipelines.read_in_helper import load
from voicepipe.pipelines.reading_template import open_reading_template

FILE = Path(__file__).parents[2] / "config/ai-agent.yaml"


def cpu_s():
    """CPU time of all processes that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_mb(pid):
    """What a process holds that no other one has, and all that it holds, in MB."""
    rollup = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(int(rollup[name].split()[0]) / 1024 for name in ("Private_Dirty", "Rss"))


async def read_and_close(readings):
    """Reads with one template, which is started for the first reading: times of all in ms, and its memory."""
    took = []
    async with open_reading_template() as template:
        for _ in range(readings):
            began = perf_counter()
            await load(FILE, installed(), {}, (), template=template)
            took.append((perf_counter() - began) * 1000)
        memory = memory_mb(template.pid)
    return took, memory


def measure(runs):
    """The times and CPU times of both ways, in ms, and the memory of a template."""
    anew, forked, anew_cpu, forked_cpu = [], [], [], []
    for _ in range(runs):
        before = cpu_s()
        (first,), _ = trio.run(read_and_close, 1)
        one = cpu_s() - before
        (_, *others), memory = trio.run(read_and_close, 11)
        anew.append(first)
        anew_cpu.append(one * 1000)
        forked += others
        forked_cpu.append((cpu_s() - before - 2 * one) * 100)
    return {"anew": (anew, anew_cpu), "forked": (forked, forked_cpu)}, memory


def main():
    """Measures and prints."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="of each (default: 10)")
    rows, (private, whole) = measure(parser.parse_args().runs)
    print(f"\n{machine()}\n\n| a reading's process | ms | CPU ms |\n| --- | --- | --- |")
    for title, name in (("imports everything", "anew"), ("is forked from a template", "forked")):
        took, cpu = rows[name]
        print(f"| {title} | {median(took):.0f} | {median(cpu):.0f} |")
    ratios = (median(rows["forked"][at]) / median(rows["anew"][at]) for at in (0, 1))
    print("| ratio | {:.2f} | {:.2f} |".format(*ratios))
    print(f"\nThe template holds {private:.0f} MB of its own, {whole:.0f} MB with what it shares.")


if __name__ == "__main__":
    sys.exit(main())
