"""What it costs that workers agree on a reload: an engine of one process, and one of several workers, side by side.

Both serve the same small file. Each reload changes a greeting, so it reads the file, opens nothing new, and serves
a new version. The first reload of each engine is left out: it starts the process that reads.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from statistics import median

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from engine_process import engine_home, open_engine
from worker_engines import open_workers


async def reload(engine, number):
    """The duration of a reload that changes a greeting, in s, as the engine tells it."""
    before = "Hello" + " again" * number
    engine.edit(f'greeting: "{before}."', f'greeting: "{before} again."')
    answer = await engine.ask("POST", "/-/reload")
    return float(answer.json()["seconds"])


async def compare(workers, reloads):
    """Prints the median of both engines, which take turns so that they share what else the machine does."""
    with engine_home() as home, engine_home() as other:
        async with open_engine(home) as one, open_workers(other, workers=workers) as several:
            took = [(await reload(one, number), await reload(several, number)) for number in range(reloads + 1)][1:]
    alone, together = (median(each) for each in zip(*took, strict=True))
    print(f"{reloads} reloads of a small file, median")
    print(f"  one process   {alone * 1000:6.0f} ms")
    print(f"  {workers} workers     {together * 1000:6.0f} ms")
    print(f"  ratio         {together / alone:6.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--reloads", type=int, default=20)
    given = parser.parse_args()
    trio.run(compare, given.workers, given.reloads)
