"""What a transport may show its caller of the call: a selection of the call's events, as data for JSON.

A softphone shows its caller the conversation and what answers it (`CallEventReceiver`). The caller is a stranger to
whoever runs the pipelines. So each field is chosen, not left out: a new event or field is not shown until it is in
`SHOWN`. Arguments and results of tools, messages of vendors and details of failures are not in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import asdict

from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    DtmfReceived,
    FailedOver,
    ReplyContinued,
    ReplyResumed,
    ReplyStarted,
    SpeechDetected,
    Timings,
    ToolEnded,
    ToolStarted,
    Transcribed,
    TurnEnded,
)
from voicepipe.components.labels import ComponentLabel
from voicepipe.transports.protocol import CallEventReceiver

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.calls.events import CallEvent, Observer
    from voicepipe.transports.protocol import Transport

SHOWN: Mapping[type[CallEvent], tuple[str, tuple[str, ...]]] = {
    CallBegan: ("call_began", ("set", "version", "pipeline", "stt", "llm", "tts")),
    SpeechDetected: ("speech_detected", ("interrupts",)),
    Transcribed: ("transcribed", ("text", "final")),
    DtmfReceived: ("dtmf_received", ("digit",)),
    ReplyStarted: ("reply_started", ("turn", "response_ms")),
    ReplyContinued: ("reply_continued", ("turn", "text")),
    ReplyResumed: ("reply_resumed", ("turn",)),
    TurnEnded: ("turn_ended", ("turn", "heard", "pressed", "said", "interrupted", "response_ms", "timings")),
    ToolStarted: ("tool_started", ("tool_call_id", "name")),
    ToolEnded: ("tool_ended", ("tool_call_id", "name", "ok", "seconds")),
    FailedOver: ("failed_over", ("role", "rung")),
    CallEnded: ("call_ended", ("outcome", "turns")),
}
"""The event's `type` and its fields, by the event; all have `call_id` and `at_s` too."""


def caller_view(transport: Transport) -> Observer | None:
    """Returns an observer that gives a transport the events it may show; None if the transport shows none."""
    if not isinstance(transport, CallEventReceiver):
        return None
    receive = transport.call_event

    def show(event: CallEvent) -> None:
        if (shown := shown_event(event)) is not None:
            receive(shown)

    return show


def shown_event(event: CallEvent) -> dict[str, Any] | None:
    """Returns an event as data for JSON; None if it is not for callers."""
    if (row := SHOWN.get(type(event))) is None:
        return None
    name, fields = row
    shown = {"type": name, "call_id": event.call_id, "at_s": round(event.at_s, 3)}
    return shown | {field: _plain(getattr(event, field)) for field in fields}


def _plain(value: Any) -> Any:
    if isinstance(value, ComponentLabel):
        return f"{value.name} ({value.model})" if value.model else value.name
    if isinstance(value, Timings):
        return {step: _plain(ms) for step, ms in asdict(value).items()}
    if isinstance(value, float):
        return round(value, 1)
    return [list(span) for span in value] if isinstance(value, tuple) else value
