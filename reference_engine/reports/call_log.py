"""Makes log records of calls' events, by a table with a row for each event that is logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from attrs import asdict, frozen

from voicepipe import (
    CallBegan,
    CallEnded,
    CallSteered,
    ComponentFailed,
    FailedOver,
    LastWordsUnconfirmed,
    RecordingConsent,
    RecordingFailed,
    ReplyPrepared,
    ReplyResumed,
    SpeechDetected,
    ToolEnded,
    ToolStarted,
    TransferEnded,
    TransferStarted,
    TurnEnded,
)

if TYPE_CHECKING:
    from reference_engine.log.log import Log
    from reference_engine.log.masked_values import KnownValues
    from voicepipe import CallEvent, Timings

Level: TypeAlias = str
"""`debug`, `info`, `warning` or `error`: the name of the log's method."""


@frozen
class Row:
    """The log record of one kind of event.

    Every record begins with `call_id` and `set`; then come `fields`, in their order.
    """

    name: str
    """The record's `event`."""
    level: Level | Callable[[Any], Level]
    """The record's level, or a function of the event that returns it."""
    fields: Mapping[str, str]
    """The record's fields, each with the path of the event's attribute that it shows, such as `error.hint`."""
    left_out_if_empty: tuple[str, ...] = ()
    """The fields that a record does not have if they are empty."""
    has_transport_id: bool = False
    """Whether the record has `transport_id`, by which a dialplan's log knows the call."""
    applies: Callable[[Any], bool] = lambda _event: True
    """A function of the event that returns whether it is logged at all."""


def _same(*names: str) -> dict[str, str]:
    """Returns fields that have the names of the event's attributes."""
    return {name: name for name in names}


ROWS: Mapping[type, Row] = {
    CallBegan: Row(
        "call.started",
        "info",
        _same("version", "pipeline")
        | {"caller": "info.caller", "called": "info.called"}
        | {"variables": "info.variables"}
        | _same("stt", "llm", "tts"),
        left_out_if_empty=("variables",),
        has_transport_id=True,
    ),
    SpeechDetected: Row("call.interrupted", "debug", _same("at_s"), applies=lambda event: event.interrupts),
    ReplyResumed: Row("call.resumed", "debug", _same("turn", "at_s")),
    ReplyPrepared: Row("call.prepared", "debug", _same("used", "heard", "at_s")),
    TurnEnded: Row(
        "call.turn",
        "info",
        _same("turn", "trigger", "heard", "pressed", "said", "interrupted", "response_ms", "timings"),
    ),
    RecordingConsent: Row("recording.consent", "info", _same("consent", "recording", "at_s"), ("recording",)),
    RecordingFailed: Row("recording.failed", "warning", _same("path", "reason", "at_s")),
    LastWordsUnconfirmed: Row("call.last_words_unconfirmed", "warning", _same("waited_s", "at_s")),
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
    CallSteered: Row(
        "call.steered",
        "info",
        _same("action", "by", "text") | {"changed": "variables", "at_s": "at_s"},
        left_out_if_empty=("text", "changed"),
    ),
    TransferStarted: Row("transfer.started", "info", _same("target", "at_s")),
    TransferEnded: Row(
        "transfer.ended",
        lambda event: "warning" if event.failure else "info",
        _same("target", "failure", "seconds"),
        left_out_if_empty=("failure",),
    ),
    CallEnded: Row(
        "call.ended",
        "info",
        _same("outcome", "turns") | {"duration_s": "at_s", "detail": "detail"},
        has_transport_id=True,
    ),
}
"""The records by event. Other events are not logged, such as `Transcribed`, which comes with every word."""


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
    "changed": dict,
}
"""Functions that make plain, short data of values, by the record's field; other values are logged as they are."""


def log_call_event(
    log: Log, set_name: str, event: CallEvent, transport_id: str = "", known: KnownValues | None = None
) -> None:
    """Logs an event; no-op if it has no row in `ROWS`.

    Args:
        log: gets the record.
        set_name: the pipeline set that answered the call.
        event: the event.
        transport_id: the transport's ID of the call, which the first and the last record of a call have.
        known: the call's values, which `logging.mask` of the set may hide; None: nothing is known.

    """
    row = ROWS.get(type(event))
    if row is None or not row.applies(event):
        return
    record: dict[str, Any] = {"call_id": event.call_id}
    if row.has_transport_id:
        record["transport_id"] = transport_id
    record["set"] = set_name
    for name, path in row.fields.items():
        value: Any = event
        for attribute in path.split("."):
            value = getattr(value, attribute)
        if name in row.left_out_if_empty and (value is None or value in ("", {})):
            continue
        record[name] = _AS_LOGGED[name](value) if name in _AS_LOGGED else value
    if known is not None:
        record["known_values"] = known  # for the log's filter, which removes it
    write = getattr(log, row.level(event) if callable(row.level) else row.level)
    write(row.name, **record)
