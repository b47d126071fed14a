"""How many calls a second the store of records takes in and stores, and what it costs calls: `make bench-records`.

Calls of three turns and three used components end at a steady rate, as they would in many engines at once; each is
eight events and as many rows. For each database the table shows what `observe` costs the call's path for each event,
the processor time of the threads for each call, how many rows were in memory and on disk at most, and how long after
the last call all were stored. A row that is lost, or a count that does not agree, ends it with status 1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from postgresql import open_server, programs  # noqa: E402
from recorded_events import Log, began, ended, record_store, turn, used  # noqa: E402
from sqlalchemy import func, select  # noqa: E402

from reference_engine.records.database import reading_engine  # noqa: E402
from reference_engine.records.tables import calls, hourly, turns, usage  # noqa: E402
from reference_engine.settings.records_place import read_place  # noqa: E402

TURNS = 3
SAID = "I have two seats in the stalls for Friday evening, row seven. Shall I book them for you?"
HEARD = "do you have two tickets for friday evening please"
PERIOD_S = 0.02


def events_of(call_id):
    """The events of one call."""
    parts = [turn(call_id, number, heard=HEARD, said=SAID) for number in range(1, TURNS + 1)]
    uses = [used(call_id, role) for role in ("stt", "llm", "tts")]
    return [began(call_id), *parts, *uses, ended(call_id, TURNS)]


def measure(name, url, rate, seconds):
    """Prints a line for one database; returns whether nothing was lost."""
    log, most = Log(), [0, 0]
    with tempfile.TemporaryDirectory(prefix="spool-") as spool, record_store(url, Path(spool), log=log) as store:
        store.wait_ready()
        number, observing, cpu = 0, 0.0, time.process_time()
        made = 0.0
        until = time.perf_counter()
        begun = until
        for _ in range(round(seconds / PERIOD_S)):
            now = time.thread_time()
            batch = []
            for _ in range(round(rate * PERIOD_S)):
                number += 1
                batch.append(events_of(f"{name}-{number}"))
            made += time.thread_time() - now
            now = time.thread_time()
            for events in batch:
                for event in events:
                    store.observe(event)
            observing += time.thread_time() - now
            most = [max(most[0], store.waiting), max(most[1], store.spooled)]
            until += PERIOD_S
            threading.Event().wait(max(0.0, until - time.perf_counter()))
        took = time.perf_counter() - begun
        last = time.perf_counter()
        is_stored = store.wait_stored(300)
        late = time.perf_counter() - last
        cpu = time.process_time() - cpu - made - observing
        lost = store.lost
    with reading_engine(read_place(url)).connect() as connection:
        counts = [select(func.count()).select_from(table) for table in (calls, turns, usage)]
        found = [connection.execute(count).scalar() for count in counts]
        figures = connection.execute(select(func.sum(hourly.c.calls), func.sum(hourly.c.turns))).one()
    is_whole = is_stored and not lost and found == [number, number * 3, number * 3]
    is_whole = is_whole and tuple(figures) == (number, number * 3)
    print(
        f"{name:<12}{number / took:>10,.0f}{observing / number / 8 * 1e6:>12.2f}{cpu / number * 1e6:>12,.0f}"
        f"{most[0]:>12,}{most[1]:>12,}{late:>10.1f}   {'all stored once' if is_whole else f'LOST: {found}, {lost}'}",
        flush=True,
    )
    return is_whole


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=int, default=2000, help="calls that end each second (default: 2000)")
    parser.add_argument("--seconds", type=float, default=10.0, help="for how long (default: 10)")
    arguments = parser.parse_args()
    print(f"{arguments.rate:,} calls a second for {arguments.seconds:g} s, {TURNS} turns each")
    print("database     calls/s   us/event  CPU us/call   in memory     on disk    late s")
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="records-")))
        whole = measure("SQLite", f"sqlite://{directory}/calls.db", arguments.rate, arguments.seconds)
        if programs() is None:
            print("PostgreSQL   is not installed: apt install postgresql")
        else:
            server = stack.enter_context(open_server())
            url = server.url(server.new_database())
            whole = measure("PostgreSQL", url, arguments.rate, arguments.seconds) and whole
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
