"""Spans of a call, made of its events after the fact. Pure: no clock, no OpenTelemetry.

    call                      the whole call
      invoke_agent PIPELINE   a turn
        speech_to_text NAME   from the first word of the caller until the words were final
        chat MODEL            a request to a language model
        text_to_speech NAME   from the first text until the last speech came
        execute_tool NAME     a tool that the model called
      transfer                a transfer

Failures, and the step after each, are events of the turn in which they happened. Names and attributes are those of
OpenTelemetry's semantic conventions for generative AI, where they have one; the others begin with `voicepipe.`.

A turn's span is made when the turn has ended, with all that was told since the turn before. What is told after the last
turn belongs to the call itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from attrs import define, evolve, field

from reference_engine.log.masked_values import Mask
from reference_engine.telemetry.span_values import Span, SpanEvent, Value
from voicepipe import (
    CallBegan,
    CallEnded,
    CallSteered,
    ComponentFailed,
    FailedOver,
    ModelAnswered,
    RecordingFailed,
    ReplyContinued,
    SpeechDetected,
    ToolEnded,
    ToolStarted,
    TraceContext,
    TransferEnded,
    TransferStarted,
    TurnEnded,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe import CallEvent, ComponentError

TRACED: frozenset[type[CallEvent]] = frozenset(
    {
        CallBegan,
        CallEnded,
        CallSteered,
        ComponentFailed,
        FailedOver,
        ModelAnswered,
        RecordingFailed,
        ReplyContinued,
        SpeechDetected,
        ToolEnded,
        ToolStarted,
        TransferEnded,
        TransferStarted,
        TurnEnded,
    }
)
"""The events of which spans are made."""

FINISH_REASONS = {"complete": "stop", "truncated": "length", "empty": "stop", "failed": "error"}


@define(eq=False)
class CallSpans:
    """Makes the spans of one call.

    Args:
        began: its first event, which has a trace.
        began_ns: the time of that, in ns since the epoch.
        mask: returns the mask of the call's values that are not to be shown; None: there are none.
        transcript: whether spans have what was said and heard.

    """

    began: CallBegan
    trace: TraceContext
    began_ns: int
    mask: Callable[[], Mask | None] = lambda: None
    transcript: bool = False
    _components: dict[str, tuple[str, str, str | None]] = field(factory=dict)
    _parts: list[Span] = field(factory=list)  # of the turn that is under way
    _events: list[SpanEvent] = field(factory=list)  # likewise
    _of_call: list[SpanEvent] = field(factory=list)
    _tools: dict[str, ToolStarted] = field(factory=dict)
    _transfer: TransferStarted | None = None
    _speech_s: float | None = None  # when the last speech of the reply came
    _last_turn: tuple[str, float] | None = None  # its span, and its end

    def __attrs_post_init__(self) -> None:
        for role in ("stt", "llm", "tts"):
            label = getattr(self.began, role)
            self._components[role] = (label.name, label.adapter, label.model)

    def take(self, event: CallEvent) -> Iterator[Span]:
        """Takes an event, and yields the spans that end with it, without the values that the mask hides."""
        for span in self._spans_of(event):
            mask = self.mask()
            yield span if mask is None else _masked(span, mask)

    def _spans_of(self, event: CallEvent) -> Iterator[Span]:  # noqa: C901, PLR0912 - a case for each event
        match event:
            case TurnEnded():
                yield from self._turn(event)
            case ModelAnswered():
                yield from self._part(self._chat(event), event.began_s)
            case ToolStarted():
                self._tools[event.tool_call_id] = event
            case ToolEnded():
                yield from self._part(self._tool(event), event.at_s - event.seconds)
            case ReplyContinued():
                self._speech_s = event.at_s
            case SpeechDetected(interrupts=True):
                self._note("interrupted", event.at_s)
            case ComponentFailed(role=role, error=error):
                about = {"voicepipe.role": role, "voicepipe.component": error.component, "error.type": _type_of(error)}
                self._note("component.failed", event.at_s, about | {"voicepipe.message": error.message})
            case FailedOver(role=role, rung=rung, component=name):
                if name:
                    self._components[role] = (name, "", None)
                self._note(
                    "failover",
                    event.at_s,
                    {"voicepipe.role": role, "voicepipe.rung": rung, "voicepipe.component": name},
                )
            case TransferStarted():
                self._transfer = event
            case TransferEnded():
                yield self._transferred(event)
            case RecordingFailed(reason=reason):
                self._of_call.append(self._event("recording.failed", event.at_s, {"voicepipe.reason": reason}))
            case CallSteered(action=action):
                self._of_call.append(self._event("steered", event.at_s, {"voicepipe.action": action}))
            case CallEnded():
                yield from self._call(event)
            case _:
                pass

    # --- Parts of a turn ---------------------------------------------------------------------------------------------

    def _part(self, span: Span, began_s: float) -> Iterator[Span]:
        """Keeps a part for the turn that is under way; one of the turn before is yielded at once."""
        if self._last_turn is not None and began_s < self._last_turn[1]:
            yield evolve(span, parent_id=self._last_turn[0])
        else:
            self._parts.append(span)

    def _chat(self, event: ModelAnswered) -> Span:
        model = event.component.model
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": event.component.adapter,
            "gen_ai.request.model": model,
            "gen_ai.request.stream": True,
            "gen_ai.usage.input_tokens": event.input_tokens,
            "gen_ai.usage.output_tokens": event.output_tokens,
            "gen_ai.response.time_to_first_chunk": (
                None if event.first_token_s is None else round(event.first_token_s - event.began_s, 6)
            ),
            "voicepipe.component": event.component.name,
        }
        if event.reason in FINISH_REASONS:
            attributes["gen_ai.response.finish_reasons"] = (FINISH_REASONS[event.reason],)
        else:
            attributes["voicepipe.cancelled"] = True
        if event.error is not None:
            attributes["error.type"] = _type_of(event.error)
        return self._span(
            f"chat {model or event.component.name}",
            event.began_s,
            event.at_s,
            attributes,
            span_id=event.span_id,
            kind="client",
            failure=None if event.error is None else event.error.message,
        )

    def _tool(self, event: ToolEnded) -> Span:
        started = self._tools.pop(event.tool_call_id, None)
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": event.name,
            "gen_ai.tool.type": "function",
            "gen_ai.tool.call.id": event.tool_call_id,
        }
        if not event.ok:
            attributes["error.type"] = "tool_error" if event.error is None else type(event.error).__name__
        if self.transcript:
            attributes["gen_ai.tool.call.arguments"] = None if started is None else _json(dict(started.arguments))
            attributes["gen_ai.tool.call.result"] = event.result
        return self._span(
            f"execute_tool {event.name}",
            event.at_s - event.seconds if started is None else started.at_s,
            event.at_s,
            attributes,
            span_id="" if started is None else started.span_id,
            failure=None if event.ok else (event.result if self.transcript else "the tool failed"),
        )

    def _turn(self, event: TurnEnded) -> Iterator[Span]:
        zero_s = self._zero_s(event)
        turn_id = token_hex(8)
        heard_s = event.heard_from_s
        times = [time for time in (heard_s, zero_s, event.said_from_s) if time is not None]
        start_s = max(0.0, min([*times, event.at_s]))
        attributes: dict[str, Any] = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": self.began.pipeline,
            "voicepipe.turn": event.turn,
            "voicepipe.trigger": event.trigger,
            "voicepipe.interrupted": event.interrupted,
            "voicepipe.response_ms": event.response_ms,
        }
        if self.transcript:
            attributes["gen_ai.input.messages"] = _messages("user", event.heard)
            attributes["gen_ai.output.messages"] = _messages("assistant", event.said)
        for name, at_s in (("reply.began", event.said_from_s), ("reply.ended", event.said_until_s)):
            if at_s is not None:
                self._note(name, at_s)
        yield self._span(
            f"invoke_agent {self.began.pipeline}",
            start_s,
            event.at_s,
            attributes,
            span_id=turn_id,
            events=tuple(sorted(self._events, key=lambda noted: noted.at_ns)),
        )
        parts = [*self._parts, *self._listening(event, zero_s), *self._speaking(event, zero_s)]
        yield from (evolve(part, parent_id=turn_id) for part in parts)
        self._last_turn = turn_id, event.at_s
        self._parts.clear()
        self._events.clear()
        self._speech_s = None

    def _zero_s(self, event: TurnEnded) -> float | None:
        """Returns the moment that a turn's `timings` count from; None: it is not known."""
        timings = event.timings
        if event.heard_until_s is not None and event.response_ms is not None:
            return event.heard_until_s
        if event.said_from_s is not None and timings.heard_ms is not None:
            return event.said_from_s - timings.heard_ms / 1000
        return event.heard_until_s

    def _listening(self, event: TurnEnded, zero_s: float | None) -> Iterator[Span]:
        if event.heard_from_s is None or zero_s is None or event.timings.final_ms is None:
            return
        name, adapter, model = self._components["stt"]
        attributes = {
            "gen_ai.operation.name": "speech_to_text",
            "gen_ai.provider.name": adapter or None,
            "gen_ai.request.model": model,
            "gen_ai.output.type": "text",
            "voicepipe.component": name,
        }
        end_s = zero_s + event.timings.final_ms / 1000
        yield self._span(f"speech_to_text {model or name}", event.heard_from_s, end_s, attributes)

    def _speaking(self, event: TurnEnded, zero_s: float | None) -> Iterator[Span]:
        timings = event.timings
        if zero_s is None or timings.first_audio_ms is None:
            return
        name, adapter, model = self._components["tts"]
        attributes = {
            "gen_ai.operation.name": "text_to_speech",
            "gen_ai.provider.name": adapter or None,
            "gen_ai.request.model": model,
            "gen_ai.output.type": "speech",
            "voicepipe.component": name,
        }
        first_s = zero_s + timings.first_audio_ms / 1000
        asked_ms = next((ms for ms in (timings.first_token_ms, timings.asked_ms) if ms is not None), 0.0)
        yield self._span(
            f"text_to_speech {model or name}",
            min(zero_s + asked_ms / 1000, first_s),
            max(first_s, self._speech_s or 0.0),
            attributes,
            events=(self._event("first_audio", first_s),),
        )

    # --- The call ----------------------------------------------------------------------------------------------------

    def _transferred(self, event: TransferEnded) -> Span:
        began_s = event.at_s - event.seconds if self._transfer is None else self._transfer.at_s
        self._transfer = None
        attributes: dict[str, Any] = {"error.type": "transfer_failed" if event.failure else None}
        if self.transcript:
            attributes["voicepipe.target"] = event.target
        return self._span("transfer", began_s, event.at_s, attributes, failure=event.failure or None)

    def _call(self, event: CallEnded) -> Iterator[Span]:
        yield from self._parts
        began, parent = self.began, self.began.info.trace
        is_child = parent is not None and parent.trace_id == self.trace.trace_id
        failed = event.outcome == "failed"
        attributes = {
            "gen_ai.conversation.id": event.call_id,
            "gen_ai.agent.name": began.pipeline,
            "voicepipe.set": began.set,
            "voicepipe.version": began.version,
            "voicepipe.digest": began.digest,
            "voicepipe.pipeline": began.pipeline,
            "voicepipe.listener": began.info.listener,
            "voicepipe.transport_id": began.info.transport_id,
            "voicepipe.outcome": event.outcome,
            "voicepipe.turns": event.turns,
            "error.type": "failed" if failed else None,
        }
        events = sorted([*self._of_call, *self._events], key=lambda noted: noted.at_ns)
        span = self._span("call", 0.0, event.at_s, attributes, span_id=self.trace.span_id, kind="server")
        yield evolve(
            span,
            parent_id=parent.span_id if is_child and parent is not None else None,
            parent_is_remote=is_child,
            events=tuple(events),
            failure=(event.detail or "the call failed") if failed else None,
        )

    def _note(self, name: str, at_s: float, attributes: Mapping[str, Value] | None = None) -> None:
        self._events.append(self._event(name, at_s, attributes))

    def _event(self, name: str, at_s: float, attributes: Mapping[str, Value] | None = None) -> SpanEvent:
        return SpanEvent(name=name, at_ns=self._ns(at_s), attributes=attributes or {})

    def _ns(self, at_s: float) -> int:
        return self.began_ns + round(at_s * 1e9)

    def _span(
        self, name: str, start_s: float, end_s: float, attributes: Mapping[str, Any], span_id: str = "", **fields: Any
    ) -> Span:
        """Makes a span below the call's; times go forward, and attributes that are not known are left out."""
        known = {key: value for key, value in attributes.items() if value is not None}
        return Span(
            name=name,
            trace=evolve(self.trace, span_id=span_id or token_hex(8)),
            parent_id=self.trace.span_id,
            start_ns=self._ns(start_s),
            end_ns=self._ns(max(start_s, end_s)),
            attributes={"gen_ai.conversation.id": self.began.call_id} | known,
            **fields,
        )


def _masked(span: Span, mask: Mask) -> Span:
    """Returns a span without the values that a mask hides."""
    events = tuple(evolve(event, attributes=mask.text(event.attributes)) for event in span.events)
    return evolve(span, attributes=mask.text(span.attributes), events=events, failure=mask.text(span.failure))


def _type_of(error: ComponentError) -> str:
    """Returns an error's kind, of which there are few (`error.type`)."""
    return "timeout" if type(error).__name__ == "BudgetExceeded" else f"{error.fault}_error"


def _messages(role: str, text: str) -> str | None:
    """Returns a message as the semantic conventions have it; None if it is empty."""
    return _json([{"role": role, "parts": [{"type": "text", "content": text}]}]) if text else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
