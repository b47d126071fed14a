"""Reads calls from a file of records: all of it each time, for there is no index; a database answers in milliseconds.

The file has calls that have ended, one a line, in the order in which they ended; or, exported from a database, all.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from heapq import nlargest
from statistics import median
from typing import TYPE_CHECKING, Any

from reference_engine.records.failing_over import has_failed_over
from reference_engine.records.history import CallDetail, CallPage, CallSummary
from reference_engine.records.page_places import PagePlace, read_page_place
from reference_engine.records.words import asked_words, has_words, words_in

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reference_engine.records.history import CallFilter


def find_calls_in_file(path: Path, filter: CallFilter, after: str | None = None, limit: int = 50) -> CallPage:  # noqa: A002 - as in queries.py
    """Returns a page of the calls that match a filter, the latest first; see `queries.find_calls`.

    Raises:
        OSError: the file can't be read.
        ValueError: `after` is not from a page.

    """
    place = None if after is None else read_page_place(after)
    matching = (
        summary
        for record in _records(path)
        if _matches(summary := _summary(record), record, filter)
        and (place is None or _key(summary) < (place.began, place.call_id))
    )
    found = nlargest(limit + 1, matching, key=_key)
    shown = tuple(found[:limit])
    return CallPage(
        calls=shown, next=PagePlace(shown[-1].began, shown[-1].call_id).as_text() if len(found) > limit else None
    )


def find_call_in_file(path: Path, call_id: str) -> CallDetail | None:
    """Returns a call by its ID, or the latest by the transport's; None: there is no such call."""
    latest: dict[str, Any] | None = None
    for record in _records(path):
        if record["call_id"] == call_id:
            return _detail(record)
        if record["info"].get("transport_id") == call_id and (latest is None or record["began"] > latest["began"]):
            latest = record
    return None if latest is None else _detail(latest)


def call_ids_in_file(path: Path, beginning: str, limit: int) -> list[str]:
    """Returns the IDs of calls that begin with a text, up to a number of them."""
    ids = (record["call_id"] for record in _records(path) if record["call_id"].startswith(beginning))
    return [call_id for call_id, _ in zip(ids, range(limit), strict=False)]


def _records(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the records of a file; a line that is none, such as a torn last one, is passed over."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and {"call_id", "began", "info"} <= record.keys():
                yield record


def _key(summary: CallSummary) -> tuple[datetime, str]:
    return summary.began, summary.call_id


def _summary(record: dict[str, Any]) -> CallSummary:
    state = record.get("state", "ended")
    info, failures = record["info"], record.get("failures", ())
    failed = any(failure["what"] == "failed" for failure in failures)
    used = ((use["role"], use["component"]) for use in record.get("usage", ()))
    responses = [ms for turn in record.get("turns", ()) if (ms := _response_ms(turn)) is not None]
    return CallSummary(
        call_id=record["call_id"],
        transport_id=info.get("transport_id", ""),
        state=state,
        began=_time(record["began"]),
        duration_s=record.get("duration_s"),
        engine=record.get("engine", ""),
        set=record["set"],
        version=record["version"],
        digest=record["digest"],
        pipeline=record["pipeline"],
        transport=record.get("transport", ""),
        caller=info.get("caller", ""),
        called=info.get("called", ""),
        outcome=record.get("outcome"),
        detail=record.get("detail", ""),
        failed=failed or state == "lost" or record.get("outcome") == "failed",
        failed_over=has_failed_over(record.get("components", {}), used, {failure["what"] for failure in failures}),
        turns=len(record.get("turns", ())),
        response_ms=median(responses) if responses else None,
        cost=record.get("cost"),
        cost_is_least=record.get("cost_is_least", False),
        currency=record.get("currency"),
    )


def _detail(record: dict[str, Any]) -> CallDetail:
    return CallDetail(
        summary=_summary(record),
        listener=record["info"].get("listener", ""),
        software=record.get("software", ""),
        variables=record["info"].get("variables", {}),
        metadata=record.get("metadata", {}),
        components=record.get("components", {}),
        turns=tuple({**turn, "response_ms": _response_ms(turn)} for turn in record.get("turns", ())),
        tools=tuple(record.get("tools", ())),
        failures=tuple(record.get("failures", ())),
        steering=tuple(record.get("steered", ())),
        transfers=tuple(record.get("transfers", ())),
        usage=tuple(record.get("usage", ())),
        interruptions=sum(turn["interrupted"] for turn in record.get("turns", ())),
        discarded_replies=record.get("discarded_replies", 0),
        recording=record.get("recording", ""),
        recording_failed=record.get("recording_failed", ""),
        consent=record.get("consent"),
        trace_id=record.get("trace_id"),
    )


def _response_ms(turn: dict[str, Any]) -> float | None:
    """Returns how long the caller waited after speaking; None of a greeting, a key, and a reply that nobody heard."""
    if turn.get("trigger") != "utterance":
        return None
    value: float | None = turn.get("timings", {}).get("heard_ms")
    return value


def _matches(summary: CallSummary, record: dict[str, Any], asked: CallFilter) -> bool:
    names = ("set", "pipeline", "version", "state", "outcome")
    return (
        all(getattr(asked, name) in {None, getattr(summary, name)} for name in names)
        and (asked.since is None or summary.began >= asked.since)
        and (asked.until is None or summary.began < asked.until)
        and asked.failed in {None, summary.failed}
        and asked.failed_over in {None, summary.failed_over}
        and _number_matches(summary.caller, asked.caller)
        and _number_matches(summary.called, asked.called)
        and (asked.text is None or _has_text(record, asked.text))
    )


def _number_matches(number: str, wanted: str | None) -> bool:
    if wanted is None:
        return True
    return number.startswith(wanted.rstrip("*")) if wanted.endswith("*") else number == wanted


def _has_text(record: dict[str, Any], asked: str) -> bool:
    words = asked_words(asked)
    turns = record.get("turns", ())
    return bool(words) and has_words(words, words_in(text for turn in turns for text in (turn["heard"], turn["said"])))


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
