"""Makes rows of a call's events, as they happen. Pure.

The rows of `calls` are whole each time: the one that a call begins with, and the one that it ends with. So a call whose
first row was lost is nevertheless recorded once it has ended.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import TYPE_CHECKING, Any

from attrs import fields

from reference_engine.records.failing_over import has_failed_over
from reference_engine.records.row_changes import RowChange, storable_row
from voicepipe import (
    CallBegan,
    CallEnded,
    CallSteered,
    ComponentFailed,
    ComponentUsage,
    ComponentUsed,
    FailedOver,
    RecordingConsent,
    RecordingFailed,
    ReplyPrepared,
    Timings,
    ToolEnded,
    TransferEnded,
    TurnEnded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voicepipe import CallEvent, ComponentLabel

RECORDED = (
    CallBegan,
    TurnEnded,
    ToolEnded,
    ComponentFailed,
    FailedOver,
    ReplyPrepared,
    CallSteered,
    TransferEnded,
    ComponentUsed,
    RecordingConsent,
    RecordingFailed,
    CallEnded,
)
"""The events that rows are made of."""


class CallRows:
    """Makes the rows of one call.

    Args:
        began: its first event.
        at: the time of that, UTC.
        run: the engine's run.
        transport: the type of the listener that accepted it.

    """

    def __init__(self, began: CallBegan, at: datetime, *, run: str, transport: str) -> None:
        info = began.info
        self._call_id, self._at = began.call_id, at
        self._row: dict[str, Any] = {
            "call_id": began.call_id,
            "state": "up",
            "run": run,
            "began": at,
            "ended": None,
            "duration_s": None,
            "set": began.set,
            "version": began.version,
            "digest": began.digest,
            "pipeline": began.pipeline,
            "transport": transport,
            "listener": info.listener,
            "transport_id": info.transport_id,
            "caller": info.caller,
            "called": info.called,
            "variables": dict(info.variables),
            "metadata": {},
            "components": {"stt": _label(began.stt), "llm": _label(began.llm), "tts": _label(began.tts)},
            "outcome": None,
            "detail": "",
            "failed": False,
            "failed_over": False,
            "turns": 0,
            "interruptions": 0,
            "discarded_replies": 0,
            "response_ms": None,
            "cost": None,
            "cost_is_least": False,
            "currency": None,
            "recording": began.recording,
            "recording_failed": "",
            "consent": None,
            "trace_id": None if began.trace is None else began.trace.trace_id,
        }
        self._positions: dict[str, int] = {}
        self._responses: list[float] = []
        self._used: list[tuple[str, str]] = []
        self._steps: set[str] = set()

    def begin(self) -> RowChange:
        """Returns the row that the call begins with."""
        return RowChange("begin", "calls", storable_row(self._row))

    def add(self, event: CallEvent) -> RowChange | None:  # noqa: C901, PLR0911, PLR0912 - a case for each event
        """Returns the row that an event makes; None for those that the call's last row tells of."""
        row = self._row
        match event:
            case TurnEnded():
                row["turns"] += 1
                row["interruptions"] += event.interrupted
                if event.response_ms is not None:
                    self._responses.append(event.response_ms)
                return self._part("turns", _turn(event))
            case ToolEnded():
                fields = {"name": event.name, "ok": event.ok, "result": event.result, "seconds": event.seconds}
                return self._part("tools", {"at_s": event.at_s, **fields})
            case ComponentFailed():
                row["failed"] = True
                error = event.error
                words = {"message": error.message, "answered": error.answered, "hint": error.hint}
                return self._failure(event.at_s, event.role, error.component, "failed", **words)
            case FailedOver():
                self._steps.add(event.rung)
                return self._failure(event.at_s, event.role, event.component, event.rung)
            case CallSteered():
                row["variables"].update(event.variables)
                fields = {name: getattr(event, name) for name in ("at_s", "action", "by", "text")}
                return self._part("steering", {**fields, "variables": dict(event.variables)})
            case TransferEnded():
                fields = {"target": event.target, "failure": event.failure, "seconds": event.seconds}
                return self._part("transfers", {"at_s": event.at_s, **fields})
            case ComponentUsed():
                self._used.append((event.usage.role, event.usage.component))
                return self._part("usage", {name: getattr(event.usage, name) for name in _USAGE})
            case ReplyPrepared():
                row["discarded_replies"] += not event.used
            case RecordingConsent():
                changed = {"consent": event.consent, "recording": event.recording}
                row |= changed
                return RowChange("change", "calls", {"call_id": self._call_id, **changed})
            case RecordingFailed():
                row["recording_failed"] = event.reason
            case CallEnded():
                return self._end(event)
            case _:
                pass
        return None

    def _part(self, table: str, columns: Mapping[str, Any]) -> RowChange:
        position = self._positions.get(table, 0)
        self._positions[table] = position + 1
        return RowChange("put", table, storable_row({"call_id": self._call_id, "position": position, **columns}))

    def _failure(self, at_s: float, role: str, component: str, what: str, **words: str) -> RowChange:
        fields = {"at_s": at_s, "role": role, "component": component, "what": what}
        return self._part("failures", {**fields, "message": "", "answered": "", "hint": "", **words})

    def _end(self, event: CallEnded) -> RowChange:
        row = self._row
        row |= {
            "state": "ended",
            "ended": self._at + timedelta(seconds=event.at_s),
            "duration_s": event.at_s,
            "outcome": event.outcome,
            "detail": event.detail,
            "cost": event.cost,
            "cost_is_least": event.cost_is_least,
            "currency": event.currency,
            "failed": row["failed"] or event.outcome == "failed",
            "failed_over": has_failed_over(row["components"], self._used, self._steps),
            "metadata": _as_json(event.metadata),
            "response_ms": median(self._responses) if self._responses else None,
        }
        return RowChange("end", "calls", storable_row(row))


class EventRows:
    """Makes the rows of all calls of an engine.

    Args:
        run: the engine's run.
        transport_of: returns the type of a listener, by its name.

    """

    def __init__(self, run: str, transport_of: Callable[[str], str]) -> None:
        self._run, self._transport_of = run, transport_of
        self._calls: dict[str, CallRows] = {}

    @property
    def up(self) -> tuple[str, ...]:
        """The IDs of the calls that have begun and not ended."""
        return tuple(self._calls)

    def add(self, event: CallEvent, at: float) -> RowChange | None:
        """Returns the row that an event makes, if it makes one.

        Args:
            event: one of `RECORDED`.
            at: the time of `CallBegan`, in s since 1970; ignored for other events.

        """
        if isinstance(event, CallBegan):
            began = datetime.fromtimestamp(at, UTC)
            transport = self._transport_of(event.info.listener)
            call = self._calls[event.call_id] = CallRows(event, began, run=self._run, transport=transport)
            return call.begin()
        call_rows = self._calls.get(event.call_id)
        if call_rows is None:
            return None
        if isinstance(event, CallEnded):
            del self._calls[event.call_id]
        return call_rows.add(event)


_USAGE = tuple(field.name for field in fields(ComponentUsage))
_TIMINGS = tuple(field.name for field in fields(Timings))


def _label(label: ComponentLabel) -> dict[str, Any]:
    return {"name": label.name, "adapter": label.adapter, "model": label.model}


def _turn(event: TurnEnded) -> dict[str, Any]:
    return {
        "turn": event.turn,
        "at_s": event.at_s,
        "trigger": event.trigger,
        "heard": event.heard,
        "said": event.said,
        "pressed": [list(span) for span in event.pressed],
        "interrupted": event.interrupted,
        "response_ms": event.response_ms,
        "timings": {name: getattr(event.timings, name) for name in _TIMINGS},
        "heard_from_s": event.heard_from_s,
        "heard_until_s": event.heard_until_s,
        "said_from_s": event.said_from_s,
        "said_until_s": event.said_until_s,
    }


def _as_json(values: Mapping[str, Any]) -> Any:
    """Returns a program's values as JSON has them; what JSON can't represent is text."""
    shown = {}
    for name, value in values.items():
        try:
            shown[str(name)] = json.loads(json.dumps(value, default=str, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            shown[str(name)] = repr(value)[:2000]
    return shown
