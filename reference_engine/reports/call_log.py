"""Log records of what happens on calls: one table, a row for each event that is worth a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import asdict, frozen

from voicepipe import (
    CallBegan,
    CallEnded,
    ComponentFailed,
    FailedOver,
    RecordingFailed,
    ReplyPrepared,
    ReplyResumed,
    SpeechDetected,
    ToolEnded,
    ToolStarted,
    TurnEnded,
)

if TYPE_CHECKING:
    from reference_engine.log.log import Log
    from voicepipe import CallEvent, Timings

Level: TypeAlias = str
"""`debug`, `info`, `warning` or `error`: the name of the log's method."""


@frozen
class Row:
    """How one kind of event is logged.

    Every record begins with `call_id` and `set`; `fields` follow in their order.
    """

    name: str
    """The record's `event`."""
    level: Level | Callable[[Any], Level]
    """Its level, or a function of the event that tells it."""
    fields: Mapping[str, str]
    """Names of the record's fields, each with the attribute of the event that it shows: `error.hint` is one inside."""
    left_out_if_empty: tuple[str, ...] = ()
    """Those of the fields that a record only has if there is something in them."""
    bears_transport_id: bool = False
    """Whether the record has the transport's ID of the call, for those who know only that one."""
    applies: Callable[[Any], bool] = lambda _event: True
    """Whether an event of the kind is logged at all."""


def _same(*names: str) -> dict[str, str]:
    """Fields of a record that are called as the event calls them."""
    return {name: name for name in names}


ROWS: Mapping[type, Row] = {
    CallBegan: Row(
        "call.started",
        "info",
        _same("version", "pipeline") | {"caller": "info.caller", "called": "info.called"} | _same("stt", "llm", "tts"),
        bears_transport_id=True,
    ),
    SpeechDetected: Row("call.interrupted", "debug", _same("at_s"), applies=lambda event: event.interrupts),
    ReplyResumed: Row("call.resumed", "debug", _same("turn", "at_s")),
    ReplyPrepared: Row("call.prepared", "debug", _same("used", "heard", "at_s")),
    TurnEnded: Row(
        "call.turn",
        "info",
        _same("turn", "trigger", "heard", "pressed", "said", "interrupted", "response_ms", "timings"),
    ),
    RecordingFailed: Row("recording.failed", "warning", _same("path", "reason", "at_s")),
    ComponentFailed: Row(
        "component.failed",
        "warning",
        {"role": "role", "component": "error.component", "at_s": "at_s"}
        | {name: f"error.{name}" for name in ("message", "retryable", "fault", "answered", "hint")},
    ),
    FailedOver: Row(
        "component.failed_over",
        lambda event: "error" if event.rung == "apology" else "warning",
        _same("role", "rung", "component", "at_s"),
    ),
    ToolStarted: Row("tool.started", "info", {"tool": "name"} | _same("tool_call_id", "arguments")),
    ToolEnded: Row(
        "tool.ended",
        lambda event: "info" if event.ok else "warning",
        {"tool": "name"} | _same("tool_call_id", "ok", "seconds", "result", "hint") | {"exc_info": "error"},
        left_out_if_empty=("hint", "exc_info"),
    ),
    CallEnded: Row(
        "call.ended",
        "info",
        _same("outcome", "turns") | {"duration_s": "at_s", "detail": "detail"},
        bears_transport_id=True,
    ),
}
"""The records, by event. An event that is not here is not logged: `Transcribed` comes with every word, for instance."""


def _rounded(digits: int) -> Callable[[float | None], float | None]:
    return lambda number: None if number is None else round(number, digits)


def _tenths(timings: Timings) -> dict[str, float | None]:
    return {step: _rounded(1)(ms) for step, ms in asdict(timings).items()}


_AS_LOGGED: Mapping[str, Callable[[Any], Any]] = {
    "at_s": _rounded(3),
    "seconds": _rounded(3),
    "duration_s": _rounded(2),
    "response_ms": _rounded(1),
    "timings": _tenths,
    "stt": asdict,
    "llm": asdict,
    "tts": asdict,
    "arguments": dict,
}
"""What makes plain data, short enough for people, of values; by the record's field. Others are logged as they are."""


def log_call_event(log: Log, set_name: str, event: CallEvent, transport_id: str = "") -> None:
    """Writes the record of an event that has a row in `ROWS`.

    Args:
        log: where to.
        set_name: the pipeline set that answered the call.
        event: what happened.
        transport_id: the transport's ID of the call, which a call's first and last record bear.

    """
    row = ROWS.get(type(event))
    if row is None or not row.applies(event):
        return
    record: dict[str, Any] = {"call_id": event.call_id}
    if row.bears_transport_id:
        record["transport_id"] = transport_id
    record["set"] = set_name
    for name, path in row.fields.items():
        value: Any = event
        for attribute in path.split("."):
            value = getattr(value, attribute)
        if name in row.left_out_if_empty and (value is None or value == ""):
            continue
        record[name] = _AS_LOGGED[name](value) if name in _AS_LOGGED else value
    write = getattr(log, row.level(event) if callable(row.level) else row.level)
    write(row.name, **record)
