"""Calls as rows of the database of records, for the pages that show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import fields
from sqlalchemy import Connection, Table, insert

from reference_engine.records import tables
from reference_engine.records.completing import complete_calls
from reference_engine.records.history import CallDetail, CallSummary

BEGAN = datetime(2026, 12, 1, 2, 0, 0, tzinfo=UTC)
RUN = "11111111-1111-1111-1111-111111111111"
DIGEST = "9c1f" * 16

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</title></svg><script>alert(2)</script>",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(3)",
    "' onmouseover='alert(4)",
    "\u202egnirts desrever \u0000\u0007",
    "]]><!--",
)
"""Texts that would do something if they were taken for HTML, for a template, or for an attribute."""

RUNS = {
    "run": RUN,
    "name": "engine-1",
    "host": "voice.example",
    "pid": 4711,
    "process_start": "1",
    "software": "0.1.0",
    "started": BEGAN - timedelta(days=100),
    "ended": None,
    "beat": 7,
}


def call_row(call_id: str, **changes: Any) -> dict[str, Any]:
    """Returns a row of `calls`: a call that the caller ended, unless changed."""
    row = {
        "call_id": call_id,
        "state": "ended",
        "run": RUN,
        "began": BEGAN,
        "duration_s": 30.0,
        "set": "main",
        "version": 3,
        "digest": DIGEST,
        "pipeline": "default",
        "transport": "audiosocket",
        "listener": "audiosocket",
        "transport_id": f"0b8f7a52-{call_id}",
        "caller": "+4930123456",
        "called": "+498005550100",
        "variables": {"customer": "Ada"},
        "metadata": {"basket": ["two tickets"], "vip": True},
        "components": {
            "stt": {"name": "ears", "adapter": "vosk", "model": "en"},
            "llm": {"name": "mind", "adapter": "openai", "model": "gpt-4.1-mini"},
            "tts": {"name": "voice", "adapter": "espeak", "model": None},
        },
        "outcome": "caller_hung_up",
        "detail": "",
        "failed": False,
        "failed_over": False,
        "turns": 0,
        "interruptions": 0,
        "discarded_replies": 0,
        "response_ms": 820.0,
        "cost": 0.0123,
        "cost_is_least": False,
        "currency": "EUR",
        "recording": "",
        "recording_failed": "",
        "consent": None,
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    }
    row["ended"] = None if changes.get("state") == "up" else row["began"] + timedelta(seconds=30)
    return row | changes


def turn(
    number: int,
    heard: tuple[float, float] | None,
    said: tuple[float, float] | None,
    words: tuple[str, str],
    *,
    trigger: str = "utterance",
    at_s: float | None = None,
    interrupted: bool = False,
    pressed: tuple[tuple[int, int], ...] = (),
    steps: tuple[float | None, ...] = (),
) -> dict[str, Any]:
    """Returns a row of `turns`; `steps` are the timings up to the first speech, in ms."""
    names = ("final_ms", "asked_ms", "first_token_ms", "first_audio_ms")
    timings: dict[str, float | None] = dict.fromkeys((*names, "heard_ms")) | dict(zip(names, steps, strict=False))
    if said and heard:
        timings["heard_ms"] = (said[0] - heard[1]) * 1000
    elif said:
        timings["heard_ms"] = 40.0
    ends = at_s if at_s is not None else (said or heard or (0.0, 0.0))[1]
    return {
        "turn": number,
        "at_s": ends,
        "trigger": trigger,
        "heard": words[0],
        "said": words[1],
        "pressed": [list(span) for span in pressed],
        "interrupted": interrupted,
        "response_ms": timings["heard_ms"] if heard else None,
        "timings": timings,
        "heard_from_s": heard and heard[0],
        "heard_until_s": heard and heard[1],
        "said_from_s": said and said[0],
        "said_until_s": said and said[1],
    }


def usage(role: str, component: str, adapter: str, model: str | None, **figures: Any) -> dict[str, Any]:
    """Returns a row of `usage`."""
    names = ("input_tokens", "output_tokens", "characters", "audio_s", "charged_characters", "charged_audio_s", "cost")
    row = {"role": role, "component": component, "adapter": adapter, "model": model, "requests": 3, "reported": 3}
    return row | dict.fromkeys(names) | {"cost_is_least": False, "currency": "EUR"} | figures


USAGE = (
    usage("stt", "ears", "vosk", "en", audio_s=61.2, cost=0.0),
    usage("llm", "mind", "openai", "gpt-4.1-mini", input_tokens=2412, output_tokens=188, cost=0.0123),
    usage("tts", "voice", "espeak", None, characters=412, audio_s=24.1),
)


QUOTA = "You exceeded your current quota for project box-office (insufficient_quota)"
QUOTA_HINT = "check the plan and the billing of the account, or name an alternative in `llm`"


def a_failed_call() -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A call in which the model's provider refused, and the alternative took too long."""
    return call_row(
        "failed-0001",
        outcome="failed",
        detail="llm: backup timed out",
        failed=True,
        failed_over=True,
        duration_s=21.4,
        turns=3,
        cost=None,
    ), {
        "turns": [
            turn(1, None, (0.1, 2.4), ("", "Box office, good morning. How can I help you?"), trigger="announcement"),
            turn(
                2,
                (3.6, 5.9),
                (6.9, 10.3),
                ("two tickets for saturday please", "Two tickets for Saturday. Stalls or balcony?"),
                steps=(410, 600, 780, 950),
            ),
            turn(3, (11.2, 12.0), None, ("balcony", ""), at_s=18.7, steps=(380, 600)),
            turn(
                4,
                None,
                (18.8, 21.2),
                ("", "Sorry, something went wrong. Please call again."),
                trigger="announcement",
            ),
        ],
        "failures": [
            failure(12.9, "llm", "mind", "failed", "HTTP 429", answered=QUOTA, hint=QUOTA_HINT),
            failure(12.9, "llm", "mind", "retry"),
            failure(13.6, "llm", "mind", "failed", "HTTP 429", answered=QUOTA, hint=QUOTA_HINT),
            failure(13.6, "llm", "backup", "alternate"),
            failure(18.7, "llm", "backup", "failed", "no first word within 5000 ms (budgets.llm.first_token_ms)"),
            failure(18.7, "llm", "", "apology"),
        ],
        "usage": list(USAGE),
    }


def failure(
    at_s: float, role: str, component: str, what: str, message: str = "", answered: str = "", hint: str = ""
) -> dict[str, Any]:
    """Returns a row of `failures`."""
    said = {"message": message, "answered": answered, "hint": hint}
    return {"at_s": at_s, "role": role, "component": component, "what": what, **said}


def an_ordinary_call(recording: str = "") -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A call with an interruption, a key, tools, an operator's word and a transfer that nobody took."""
    return call_row(
        "ordinary-0001",
        began=BEGAN + timedelta(minutes=7),
        duration_s=48.6,
        turns=8,
        interruptions=1,
        detail="the caller hung up",
        recording=recording,
        consent="announced",
    ), {
        "turns": [
            turn(1, None, (0.1, 2.4), ("", "Box office, good morning. How can I help you?"), trigger="announcement"),
            turn(
                2,
                (3.4, 5.2),
                (6.0, 8.3),
                ("what is on tonight", "Tonight we have Hamlet at eight, and in the small"),
                interrupted=True,
                steps=(300, 600, 700, 780),
            ),
            turn(
                3,
                (8.1, 9.6),
                (10.4, 11.6),
                ("two for hamlet please", "One moment, I will look."),
                steps=(350, 600, 690, 770),
            ),
            turn(4, None, (14.2, 18.9), ("", "There are two in row five. Press 1."), trigger="tool_results"),
            turn(5, None, (20.6, 22.4), ("1", "Booked. Anything else?"), trigger="dtmf", pressed=((0, 1),)),
            turn(
                6,
                (23.9, 26.0),
                (27.9, 29.6),
                ("can i talk to a person", "I will put you through."),
                steps=(400, 600, 1500, 1830),
            ),
            turn(7, None, (40.4, 43.0), ("", "Nobody is there right now, sorry."), trigger="told"),
            turn(8, (44.0, 44.9), (45.6, 46.9), ("never mind goodbye", "Goodbye."), steps=(300, 600, 640, 690)),
        ],
        "tools": [
            {"at_s": 13.9, "name": "find_seats", "ok": True, "result": "row 5: 11, 12", "seconds": 3.1},
            {"at_s": 13.2, "name": "price_of", "ok": False, "result": "error: no such show", "seconds": 0.8},
        ],
        "steering": [
            {
                "at_s": 39.9,
                "action": "tell",
                "by": "operator:cli",
                "text": "The desk is closed after six.",
                "variables": {},
            },
        ],
        "transfers": [{"at_s": 39.6, "target": "6001", "failure": "nobody answered within 10 s", "seconds": 10.0}],
        "usage": list(USAGE),
    }


def a_degraded_call() -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A call that ended well, on the second choice of its voice, whose first one was passed over."""
    row = call_row("degraded-0001", began=BEGAN + timedelta(minutes=11), duration_s=9.6, turns=2, failed_over=True)
    return row, {
        "turns": [
            turn(1, None, (0.1, 1.2), ("", "Hello."), trigger="announcement"),
            turn(2, (2.0, 3.4), (4.2, 5.9), ("are you open today", "Until six."), steps=(300, 600, 640, 690)),
        ],
        "usage": [*USAGE[:2], usage("tts", "spare_voice", "espeak", None, characters=16, audio_s=2.8)],
    }


def a_short_call() -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A caller who hung up while waiting for the first reply."""
    row = call_row("short-0001", began=BEGAN + timedelta(minutes=9), duration_s=5.2, turns=2, response_ms=None)
    return row, {
        "turns": [
            turn(1, None, (0.1, 1.2), ("", "Hello."), trigger="announcement"),
            turn(2, (1.5, 2.4), None, ("hello can you hear me", ""), at_s=5.2, steps=(400, 600)),
        ]
    }


def a_long_call(turns: int = 500, seconds: float = 7200) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """Two hours with 500 turns."""
    each = seconds / turns
    rows = [
        turn(
            number + 1,
            (number * each + 1, number * each + 4),
            (number * each + 5, number * each + 0.8 * each),
            (f"question {number + 1}", f"This is answer number {number + 1}, of some length."),
            steps=(300, 600, 750, 900),
        )
        for number in range(turns)
    ]
    row = call_row("long-0001", began=BEGAN - timedelta(hours=3), duration_s=seconds, turns=turns)
    return row, {"turns": rows, "failures": [failure(seconds / 3, "stt", "ears", "failed", "the connection closed")]}


def a_call_that_is_up() -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A call that goes on."""
    row = call_row("up-0001", state="up", outcome=None, duration_s=None, cost=None, began=BEGAN + timedelta(minutes=10))
    return row, {"turns": [turn(1, None, (0.1, 1.2), ("", "Hello."), trigger="announcement")]}


def a_lost_call() -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A call whose engine was killed."""
    row = call_row("lost-0001", state="lost", outcome=None, duration_s=None, cost=None, failed=True)
    return row, {"turns": [turn(1, None, (0.1, 1.2), ("", "Hello."), trigger="announcement")]}


def a_hostile_call(text: str, number: int | str = 0) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """A call with the same text in every field that somebody outside can fill."""
    text = text.replace("\0", "")  # neither database takes it
    row = call_row(
        f"hostile-{number}",
        began=BEGAN + timedelta(minutes=20),
        transport_id=text,
        caller=text,
        called=text,
        variables={text: text},
        metadata={text: [text]},
        outcome="failed",
        detail=text,
        failed=True,
        set=text,
        pipeline=text,
        trace_id=text,
        recording=f"/nowhere/{text}",
        currency=text,
        components={"llm": {"name": text, "adapter": text, "model": text}},
    )
    return row, {
        "turns": [
            turn(1, (1.0, 9.0), (10.0, 29.0), (text, text), interrupted=True, pressed=((0, 3),), trigger="utterance"),
        ],
        "tools": [{"at_s": 12.0, "name": text, "ok": False, "result": text, "seconds": 5.0}],
        "failures": [
            failure(13.0, "llm", text, "failed", text, f"{text}.", text),
            failure(14.0, "llm", text, "alternate"),
        ],
        "steering": [{"at_s": 15.0, "action": "say", "by": f"tool:{text}", "text": text, "variables": {text: text}}],
        "transfers": [{"at_s": 18.0, "target": text, "failure": text, "seconds": 3.0}],
        "usage": [usage("llm", text, text, text)],
    }


def store(connection: Connection, *samples: tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]) -> None:
    """Writes calls to a database whose tables are there, and completes those that are over."""
    if connection.execute(tables.engine_runs.select()).first() is None:
        connection.execute(insert(tables.engine_runs), [RUNS])
    connection.execute(insert(tables.calls), [row for row, _ in samples])
    for row, parts in samples:
        for name, rows in parts.items():
            table: Table = tables.metadata.tables[name]
            keys = {"call_id": row["call_id"]}
            connection.execute(insert(table), [{**keys, "position": n, **part} for n, part in enumerate(rows)])
    complete_calls(connection, [row["call_id"] for row, _ in samples])


def detail_of(sample: tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]) -> CallDetail:
    """Returns a call as it is read from a database."""
    row, parts = sample
    summary = {attribute.name for attribute in fields(CallSummary)} - {"engine"}
    rest = ("listener", "variables", "metadata", "components", "interruptions", "discarded_replies", "recording")
    rest += ("recording_failed", "consent", "trace_id")
    kinds = ("turns", "tools", "failures", "steering", "transfers", "usage")
    return CallDetail(
        summary=CallSummary(engine=RUNS["name"], **{name: row[name] for name in summary}),
        software=RUNS["software"],
        **{name: row[name] for name in rest},
        **{kind: tuple(parts.get(kind, ())) for kind in kinds},
    )
