"""The data of webhooks, by the event that they tell of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from reference_engine.reports.json_bodies import engine_outcome_body, outcome_body
from reference_engine.telemetry.webhook_spool import About
from voicepipe import Applied, Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reference_engine.log.masked_values import Mask
    from reference_engine.records.lost_calls import LostCall
    from reference_engine.reloads.outcomes import EngineOutcome
    from reference_engine.telemetry.webhooks import Webhooks
    from voicepipe import CallBegan, CallRecord, ComponentHealth, RecordingFailed, SetEvent


class WebhookEvents:
    """Tells webhooks of what the engine's observers are told; each method is an observer.

    Args:
        webhooks: where they go.
        engine: the engine's name.

    """

    def __init__(self, webhooks: Webhooks, engine: str) -> None:
        self._webhooks, self._engine = webhooks, engine

    def call_began(self, event: CallBegan, mask: Mask | None) -> None:
        """Tells `call.started`, without the values that a mask hides."""
        if "call.started" not in self._webhooks.wanted:
            return
        info = event.info
        data = {
            "engine": self._engine,
            "call_id": event.call_id,
            "transport_id": info.transport_id,
            "listener": info.listener,
            "set": event.set,
            "version": event.version,
            "pipeline": event.pipeline,
            "caller": info.caller if mask is None else mask.number("caller", info.caller),
            "called": info.called if mask is None else mask.number("called", info.called),
            "variables": dict(info.variables) if mask is None else mask.variables(info.variables),
            "trace_id": None if event.trace is None else event.trace.trace_id,
        }
        about = About(event.call_id, str(data["caller"]), str(data["called"]))
        self._webhooks.tell("call.started", lambda _target: data, about)

    def call_ended(self, record: CallRecord, trace_id: str | None = None) -> None:
        """Tells `call.ended`."""
        if "call.ended" in self._webhooks.wanted:
            self._webhooks.tell(
                "call.ended",
                lambda target: self._ended(record, trace_id, transcript=target.transcript),
                About(record.call_id, record.info.caller, record.info.called),
            )

    def calls_lost(self, lost: Iterable[LostCall]) -> None:
        """Tells `call.lost`, for each call whose engine is gone."""
        for call in lost:
            data = {**asdict(call), "engine": self._engine, "answered_by": call.engine}
            data["began"] = call.began.isoformat()
            about = About(call.call_id, call.caller, call.called)
            self._webhooks.tell("call.lost", lambda _target, data=data: data, about)  # type: ignore[misc]

    def recording_failed(self, event: RecordingFailed) -> None:
        """Tells `recording.failed`."""
        data = {"engine": self._engine, "call_id": event.call_id, "path": event.path, "reason": event.reason}
        self._webhooks.tell("recording.failed", lambda _target: data, About(event.call_id))

    def observe_component(self, health: ComponentHealth) -> None:
        """Tells `component.failed` when a circuit breaker opens, and `component.recovered` when it closes again."""
        data: dict[str, Any] = {
            "engine": self._engine,
            "role": health.role,
            "component": health.name,
            "adapter": health.adapter,
            "model": health.model,
        }
        if health.state == "closed":
            self._webhooks.tell("component.recovered", lambda _target: data)
        elif health.state == "open" and health.error is not None and not health.retries:
            error = health.error
            data |= {
                "was_open": health.was_open,
                "message": error.message,
                "retryable": error.retryable,
                "fault": error.fault,
                "answered": error.answered,
                "hint": error.hint,
                "retry_s": round(health.retry_s, 3),
            }
            self._webhooks.tell("component.failed", lambda _target: data)

    def observe_set(self, event: SetEvent) -> None:
        """Tells `reload.applied` and `reload.rejected`, of a set."""
        if isinstance(event, Applied | Rejected):
            body = outcome_body(event)
            self._webhooks.tell(f"reload.{body['outcome']}", lambda _target: {"engine": self._engine, **body})

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Tells `reload.applied` and `reload.rejected`, of the engine's own file: `set` is null."""
        body = engine_outcome_body(outcome)
        self._webhooks.tell(f"reload.{body['outcome']}", lambda _target: {"engine": self._engine, "set": None, **body})

    def _ended(self, record: CallRecord, trace_id: str | None, *, transcript: bool) -> dict[str, Any]:
        whole = record.as_data()
        failed = record.outcome == "failed" or any(failure.what == "failed" for failure in record.failures)
        data = {
            "engine": self._engine,
            "call_id": record.call_id,
            "transport_id": record.info.transport_id,
            "listener": record.info.listener,
            "set": record.set,
            "version": record.version,
            "digest": record.digest,
            "pipeline": record.pipeline,
            "caller": record.info.caller,
            "called": record.info.called,
            "began": whole["began"],
            "duration_s": whole["duration_s"],
            "outcome": record.outcome,
            "detail": record.detail,
            "failed": failed,
            "turns": len(record.turns),
            "interruptions": sum(turn.interrupted for turn in record.turns),
            "variables": dict(record.info.variables),
            "metadata": whole["metadata"],
            "usage": whole["usage"],
            "failures": whole["failures"],
            "transfers": whole["transfers"],
            "recording": record.recording,
            "recording_failed": record.recording_failed,
            "trace_id": trace_id,
        }
        if transcript:
            data["transcript"] = [
                {"turn": turn.turn, "heard": turn.heard, "said": turn.said, "interrupted": turn.interrupted}
                for turn in record.turns
            ]
        return data
