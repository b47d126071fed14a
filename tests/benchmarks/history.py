"""How fast calls are found among a million: builds a database in a temporary folder and asks it.

Prints the time of each query, the median and the longest of several, and each full scan of a table that its plan has.
Exits with 1 if a page takes longer than `--limit-ms`.

    make bench-history
    make bench-history BENCH="--calls 100000"
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine, event

from reference_engine.records import tables
from reference_engine.records.completing import first_text_id
from reference_engine.records.figures import read_figures
from reference_engine.records.histogram import packed_bytes
from reference_engine.records.history import CallFilter, FigureFilter
from reference_engine.records.queries import find_call, find_calls
from reference_engine.records.words import words_in

UNTIL = datetime(2026, 12, 1, tzinfo=UTC)
SPAN_S = 365 * 24 * 3600
COMMON = (
    *("hello", "please", "thank", "you", "yes", "order", "invoice"),
    *("appointment", "tomorrow", "number", "address", "morning", "cancel", "refund"),
)
OUTCOMES = ["caller_hung_up"] * 70 + ["said_goodbye"] * 20 + ["transferred"] * 7 + ["idle"] * 2 + ["failed"]
LAST_S = SPAN_S - 3600


def build(path: Path, number: int) -> None:
    """Makes the database: a year of calls; one in a hundred failed, one of 201 pipelines has half of all."""
    engine = create_engine(f"sqlite:///{path}")
    tables.metadata.create_all(engine)
    engine.dispose()
    database = sqlite3.connect(path)
    database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -400000;")
    run = ("run", "tokyo", "tokyo", 1, "1", "1.0", "2026-01-01 00:00:00.000000", None, 1, None)
    database.execute(f"INSERT INTO engine_runs VALUES ({','.join('?' * len(run))})", run)
    choice = random.Random(16)
    columns = [column.name for column in tables.calls.columns]
    for start in range(0, number, 20_000):
        calls, turns, texts = [], [], []
        for n in range(start, min(start + 20_000, number)):
            call = one_call(choice, n, number)
            said = [choice.choices(COMMON, k=6) for _ in range(2)]
            if n % 1000 == 7:
                said[0].append("zeppelin")
            said[1].append(f"word{choice.randrange(20_000)}")
            calls.append([call[name] for name in columns])
            for position, words in enumerate(said):
                spoken = " ".join(words)
                turns.append((call["call_id"], position, position + 1, 5.0 + position, spoken, "Of course.", 800.0))
            words = words_in([*(" ".join(words) for words in said), "Of course."])
            began = datetime.fromisoformat(call["began"]).replace(tzinfo=UTC)
            texts.append((first_text_id(began) + n % 2000, call["call_id"], " ".join(words)))
        database.executemany(f"INSERT INTO calls ({names(columns)}) VALUES ({','.join('?' * len(columns))})", calls)
        database.executemany(
            """
            INSERT INTO turns
            (call_id, position, turn, at_s, trigger, heard, said, pressed, interrupted, response_ms, timings)
            VALUES (?, ?, ?, ?, 'utterance', ?, ?, '[]', 0, ?, '{}')
            """,
            turns,
        )
        database.executemany("INSERT INTO call_texts (id, call_id, words) VALUES (?, ?, ?)", texts)
        database.commit()
    add_hours(database, choice)
    database.commit()
    database.close()


def one_call(choice: random.Random, n: int, number: int) -> dict[str, object]:
    """The columns of a call; calls are spread evenly over the year, in order."""
    began = UNTIL - timedelta(seconds=SPAN_S) + timedelta(seconds=SPAN_S * n / number)
    outcome = choice.choice(OUTCOMES)
    state = "lost" if n % 5000 == 11 else "ended"
    return {column.name: None for column in tables.calls.columns} | {
        "call_id": f"{choice.getrandbits(128):032x}",
        "state": state,
        "run": "run",
        "began": f"{began:%Y-%m-%d %H:%M:%S.%f}",
        "ended": f"{began + timedelta(seconds=90):%Y-%m-%d %H:%M:%S.%f}",
        "duration_s": 90.0,
        "set": "main" if n % 4 else "acme",
        "version": 1 + n * 40 // number,
        "digest": "d" * 12,
        "pipeline": "default" if n % 2 else f"pipeline{choice.randrange(200)}",
        "transport": "audiosocket",
        "listener": "audiosocket",
        "transport_id": f"{choice.getrandbits(128):032x}",
        "caller": f"+49{choice.randrange(10**5):05}{choice.randrange(1000):03}",
        "called": f"+1800555{choice.randrange(100):04}",
        "variables": "{}",
        "metadata": "{}",
        "components": "{}",
        "outcome": None if state == "lost" else outcome,
        "detail": "",
        "failed": state == "lost" or outcome == "failed",
        "turns": 2,
        "interruptions": 0,
        "discarded_replies": 0,
        "response_ms": 800.0,
        "cost": 0.02,
        "cost_is_least": False,
        "currency": "EUR",
        "recording": "",
        "recording_failed": "",
        "counted": state,
    }


def add_hours(database: sqlite3.Connection, choice: random.Random) -> None:
    """A year of figures of five pipelines, with all three roles."""
    rows, used = [], []
    for hour in range(SPAN_S // 3600):
        began = UNTIL - timedelta(hours=hour + 1)
        for pipeline in range(5):
            key = (f"{began:%Y-%m-%d %H:%M:%S.%f}", "main", f"p{pipeline}", 1 + hour // 220, "tokyo", "EUR")
            responses = packed_bytes(sum(choice.randrange(9) << 32 * step for step in range(140, 180)))
            rows.append((*key, 23, 1, 0, 900.0, 60, 5, responses, 1.2, 0))
            tokens, characters, seconds = choice.randrange(90_000), choice.randrange(9_000), choice.random() * 900
            used += [
                (*key, "stt", "deepgram", "nova-3", 23, 23, None, None, None, seconds, None, seconds, seconds / 9000),
                (
                    *key,
                    "llm",
                    "openai",
                    "gpt-5-mini",
                    60,
                    60,
                    tokens,
                    tokens // 9,
                    None,
                    None,
                    None,
                    None,
                    tokens / 1e6,
                ),
                (*key, "tts", "elevenlabs", "", 60, 0, None, None, characters, None, None, None, None),
            ]
    for table, of_table in ((tables.hourly, rows), (tables.hourly_usage, used)):
        columns = names([column.name for column in table.columns])
        places = ",".join("?" * len(table.columns))
        database.executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({places})", of_table)


def names(columns: list[str]) -> str:
    return ",".join(f'"{name}"' for name in columns)


def queries(database: sqlite3.Connection) -> dict[str, object]:
    """Queries by what they ask for; each takes a connection."""
    middle = database.execute(
        "SELECT call_id, transport_id, caller FROM calls WHERE began > '2026-06-01' ORDER BY began LIMIT 1"
    ).fetchone()
    call_id, transport_id, caller = middle
    deep = f"20260601T000000.000000Z-{call_id}"
    filters = {
        "the latest": {},
        "since two hours ago": {"since": UNTIL - timedelta(hours=2)},
        "until half a year ago": {"until": UNTIL - timedelta(days=180)},
        "failed": {"failed": True},
        "not failed": {"failed": False},
        "lost": {"state": "lost"},
        "up": {"state": "up"},
        "outcome transferred": {"outcome": "transferred"},
        "the pipeline of half of all calls": {"pipeline": "default"},
        "a rare pipeline": {"pipeline": "pipeline7"},
        "a rare pipeline, failed": {"pipeline": "pipeline7", "failed": True},
        "set and pipeline": {"set": "acme", "pipeline": "pipeline7"},
        "version of last spring": {"version": 12},
        "version of last spring, failed": {"version": 12, "failed": True},
        "a caller": {"caller": caller},
        "callers +49*": {"caller": "+49*"},
        "callers of one district": {"caller": caller[:8] + "*"},
        "callers +4930*, failed": {"caller": "+4930*", "failed": True},
        "a called number": {"called": "+18005550042"},
        "nobody's number": {"caller": "+1*"},
        "a common word": {"text": "refund"},
        "three common words": {"text": "refund order invoice"},
        "a rare word": {"text": "zeppelin"},
        "a rare and a common word": {"text": "zeppelin order"},
        "a word of nobody": {"text": "xylophone"},
        "words by their beginning": {"text": "refu*"},
        "rare words by their beginning": {"text": "zepp*"},
        "a common word, failed": {"text": "refund", "failed": True},
        "a common word, a caller": {"text": "refund", "caller": caller},
        "a common word, a month": {
            "text": "refund",
            "since": UNTIL - timedelta(days=120),
            "until": UNTIL - timedelta(days=90),
        },
        "two contradicting conditions": {"version": 12, "since": UNTIL - timedelta(days=30)},
    }
    asked = {}
    for name, given in filters.items():
        asked[name] = lambda connection, given=given: find_calls(connection, CallFilter(**given))
        if given.get("state") != "up" and name not in {"nobody's number", "a word of nobody", "a caller"}:
            asked[f"{name}: a page in the middle"] = lambda connection, given=given: find_calls(
                connection, CallFilter(**given), deep
            )
    asked["a call by its ID"] = lambda connection: find_call(connection, call_id)
    asked["a call by the transport's ID"] = lambda connection: find_call(connection, transport_id)
    day = FigureFilter(since=UNTIL - timedelta(days=1), step="hour", by=("pipeline",))
    month = FigureFilter(since=UNTIL - timedelta(days=30), step="day", by=("version",))
    quarter = FigureFilter(since=UNTIL - timedelta(days=90), step="day", by=("version",))
    year = FigureFilter(since=UNTIL - timedelta(days=365), step="day")
    asked["figures of a day by hour and pipeline"] = lambda connection: read_figures(connection, day)
    asked["figures of a month by day and version"] = lambda connection: read_figures(connection, month)
    asked["figures of 90 days by day and version"] = lambda connection: read_figures(connection, quarter)
    asked["figures of a year by day"] = lambda connection: read_figures(connection, year)
    return asked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=7, help="times that each query is asked (default: %(default)s)")
    parser.add_argument("--limit-ms", type=float, default=200.0)
    parser.add_argument("--keep", type=Path, help="the database's file, which is kept, and used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = arguments.keep or Path(folder) / "calls.db"
        if not path.exists():
            began = time.perf_counter()
            build(path, arguments.calls)
            print(
                f"{arguments.calls:,} calls made in {time.perf_counter() - began:.0f} s, {path.stat().st_size >> 20} MB"
            )
        return measure(path, arguments.runs, arguments.limit_ms)


def measure(path: Path, runs: int, limit_ms: float) -> int:
    engine = create_engine(f"sqlite:///{path}")
    statements: list[tuple[str, object]] = []
    event.listen(engine, "before_cursor_execute", lambda _c, _u, sql, given, *_: statements.append((sql, given)))
    slow, scans = [], []
    print(f"{'in ms':58}   median  longest      CPU   rows")
    with engine.connect() as connection, contextlib.closing(sqlite3.connect(path)) as plain:
        for name, ask in queries(plain).items():
            times, cpu = [], time.process_time()
            for _ in range(runs):
                statements.clear()
                began = time.perf_counter()
                answer = ask(connection)
                times.append((time.perf_counter() - began) * 1000)
            rows = len(answer.calls) if hasattr(answer, "calls") else len(answer) if isinstance(answer, tuple) else 1
            cpu_ms = (time.process_time() - cpu) * 1000 / runs
            print(f"{name:58} {statistics.median(times):8.1f} {max(times):8.1f} {cpu_ms:8.1f} {rows:6}")
            if statistics.median(times) > limit_ms:
                slow.append(name)
            for sql, given in statements:
                plan = [row[3] for row in plain.execute(f"EXPLAIN QUERY PLAN {sql}", given)]
                scans += [f"{name}: {step}" for step in plan if is_scan(step)]
    engine.dispose()
    for scan in scans:
        print(f"full scan: {scan}")
    for name in slow:
        print(f"too slow: {name}")
    return bool(slow or scans)


def is_scan(step: str) -> bool:
    """Whether a step of SQLite's plan reads a table without an index, or sorts what it has not limited."""
    return (
        step.startswith("SCAN")
        and "INDEX" not in step
        and not step.endswith(("engine_runs", "CONSTANT ROW"))
        and ("anon" not in step and "VIRTUAL TABLE" not in step)
    )


if __name__ == "__main__":
    sys.exit(main())
