"""Spans of whole calls: what is below what, when it was, and what it says."""

from __future__ import annotations

import json

import pytest
import trio

from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.telemetry.spans import TRACED, CallSpans
from voicepipe import (
    CallBegan,
    CallEvent,
    CallInfo,
    ComponentError,
    ModelAnswered,
    ReplyDone,
    TextDelta,
    ToolCall,
    ToolStarted,
    TraceContext,
    TransferEnded,
    TransferStarted,
    Usage,
)
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.functions import FunctionTool

BEGAN_NS = 1_764_558_000_000_000_000
PARENT = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True)
LOOK = [TextDelta("One moment."), ToolCall("1", "look", {"who": "Anna"}), Usage(7, 5), ReplyDone()]


async def held(answers, *, info=None, trace=None, wait_ms=5000):
    """A call with a greeting, an utterance and what follows it."""
    answers = list(answers)
    info = info or CallInfo(transport_id="7", caller="+15550100")

    async def look(_arguments, _context):
        await trio.sleep(0.5)
        return "Anna is in 12"

    call = RehearsedCall(
        stt=ScriptedSpeechToText(["where is anna"]),
        llm=ScriptedLanguageModel(lambda _request: answers.pop(0)),
        transport=MemoryTransport(info=info),
        settings={
            "tools": ("look",),
            "functions": (FunctionTool("look", "Looks.", {"type": "object"}, look),),
            "greeting": "Hello.",
        },
        options={"trace": trace or TraceContext.new(sampled=True)},
    )

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(wait_ms)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    return call


def spans_of(call, mask=lambda: None, *, transcript=False):
    began = call.told(CallBegan)[0]
    spans = CallSpans(began, began.trace, BEGAN_NS, mask, transcript)
    return [span for event in call.events for span in spans.take(event)]


def tree(spans):
    """Names, each below its parent's, in the order of their beginnings."""
    by_parent = {}
    for span in sorted(spans, key=lambda span: span.start_ns):
        by_parent.setdefault(span.parent_id, []).append(span)
    root = next(span for span in spans if span.name == "call")

    def below(span):
        return {
            f"{number} {child.name}": below(child) for number, child in enumerate(by_parent.get(span.trace.span_id, []))
        }

    return below(root)


def only(spans, name):
    (span,) = (span for span in spans if span.name == name)
    return span


async def test_a_calls_spans_form_one_tree(autojump_clock):
    call = await held([LOOK, "In room twelve."])
    spans = spans_of(call)
    assert tree(spans) == {
        "0 invoke_agent test": {"0 text_to_speech test_tts": {}},
        "1 invoke_agent test": {
            "0 speech_to_text test_stt": {},
            "1 chat test_llm": {},
            "2 execute_tool look": {},
            "3 text_to_speech test_tts": {},
        },
        "2 invoke_agent test": {"0 chat test_llm": {}, "1 text_to_speech test_tts": {}},
    }
    ids = [span.trace.span_id for span in spans]
    assert len(set(ids)) == len(ids)
    assert {span.trace.trace_id for span in spans} == {call.call.trace.trace_id}
    assert {span.attributes["gen_ai.conversation.id"] for span in spans} == {call.call.call_id}
    for span in spans:
        assert BEGAN_NS <= span.start_ns <= span.end_ns <= only(spans, "call").end_ns
        assert all(BEGAN_NS <= event.at_ns <= span.end_ns for event in span.events)


async def test_the_ids_that_tools_and_models_were_told_are_those_of_their_spans(autojump_clock):
    call = await held([LOOK, "In room twelve."])
    spans = spans_of(call)
    told = {request.trace.span_id for request in call.llm.requests}
    assert {span.trace.span_id for span in spans if span.name == "chat test_llm"} == told
    assert only(spans, "execute_tool look").trace.span_id == call.told(ToolStarted)[0].span_id


async def test_attributes_have_the_names_of_the_semantic_conventions(autojump_clock):
    call = await held([LOOK, "In room twelve."])
    spans = spans_of(call)
    asked = next(span for span in spans if span.name == "chat test_llm")
    event = call.told(ModelAnswered)[0]
    assert asked.kind == "client"
    assert asked.attributes == {
        "gen_ai.conversation.id": call.call.call_id,
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": event.component.adapter,
        "gen_ai.request.stream": True,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.response.time_to_first_chunk": 0.0,
        "gen_ai.response.finish_reasons": ("stop",),
        "voicepipe.component": event.component.name,
    }
    tool = only(spans, "execute_tool look")
    assert tool.end_ns - tool.start_ns == pytest.approx(0.5e9, abs=1000)
    assert tool.attributes == {
        "gen_ai.conversation.id": call.call.call_id,
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "1",
    }
    whole = only(spans, "call")
    assert (whole.kind, whole.parent_id, whole.failure) == ("server", None, None)
    assert whole.attributes["voicepipe.outcome"] == "caller_hung_up"


async def test_the_names_are_those_of_the_installed_conventions(autojump_clock):
    conventions = pytest.importorskip("opentelemetry.semconv._incubating.attributes.gen_ai_attributes")
    known = {value for name, value in vars(conventions).items() if name.startswith("GEN_AI_")} | {"error.type"}
    call = await held([LOOK, "In room twelve."])
    used = {key for span in spans_of(call, transcript=True) for key in span.attributes}
    assert {key for key in used if not key.startswith("voicepipe.")} <= known


async def test_what_was_said_is_in_no_span_unless_it_is_asked_for(autojump_clock):
    call = await held([LOOK, "In room twelve."])
    shown = repr(spans_of(call))
    assert not [word for word in ("anna", "Anna", "room twelve", "Hello", "+15550100") if word in shown]
    spans = spans_of(call, transcript=True)
    turn = next(span for span in spans if span.attributes.get("voicepipe.trigger") == "utterance")
    said = [{"role": "user", "parts": [{"type": "text", "content": "where is anna"}]}]
    assert json.loads(turn.attributes["gen_ai.input.messages"]) == said
    tool = only(spans, "execute_tool look")
    assert json.loads(tool.attributes["gen_ai.tool.call.arguments"]) == {"who": "Anna"}
    assert tool.attributes["gen_ai.tool.call.result"] == "Anna is in 12"


async def test_masked_values_are_in_no_span(autojump_clock):
    info = CallInfo(transport_id="7", caller="Anna", variables={"room": "12"})
    call = await held([LOOK, "In room twelve."], info=info)
    known = KnownValues(info)
    shown = repr(spans_of(call, lambda: Mask(known, ("caller",)), transcript=True))
    assert "Anna" not in shown
    assert "***" in shown


async def test_a_call_that_came_with_a_trace_is_below_its_sender(autojump_clock):
    info = CallInfo(transport_id="7", trace=PARENT)
    call = await held(["Hi."], info=info, trace=PARENT.child())
    whole = only(spans_of(call), "call")
    assert (whole.trace.trace_id, whole.parent_id, whole.parent_is_remote) == (PARENT.trace_id, PARENT.span_id, True)


async def test_failures_and_the_step_after_are_events_and_errors(autojump_clock):
    class Broken(ScriptedLanguageModel):
        def respond(self, request):
            raise ComponentError("has left", retryable=False)

    models = [Broken(None), ScriptedLanguageModel(lambda _request: "Hi.")]
    call = RehearsedCall(llm=models, settings={"greeting": None}, options={"trace": TraceContext.new(sampled=True)})

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    spans = spans_of(call)
    failed = next(span for span in spans if span.failure)
    assert (failed.name.split()[0], failed.failure, failed.attributes["error.type"]) == (
        "chat",
        "has left",
        "component_error",
    )
    turn = only(spans, "invoke_agent test")
    assert [event.name for event in turn.events][:2] == ["component.failed", "failover"]
    assert turn.events[1].attributes["voicepipe.rung"] == "alternate"


async def test_a_transfer_and_what_is_left_at_the_end(autojump_clock):
    call = await held(["Hi."])
    began = call.told(CallBegan)[0]
    spans = CallSpans(began, began.trace, BEGAN_NS)
    list(spans.take(TransferStarted("c", 1.0, "+15550123")))
    (transfer,) = spans.take(TransferEnded("c", 3.0, "+15550123", "busy", 2.0))
    assert (transfer.name, transfer.failure, transfer.end_ns - transfer.start_ns) == ("transfer", "busy", 2e9)
    assert "+15550123" not in repr(transfer)
    cancelled = ModelAnswered("c", 4.0, began.llm, 3.5, None, "cancelled", span_id="00f067aa0ba902b7")
    assert list(spans.take(cancelled)) == []
    left = list(spans.take(call.events[-1]))
    assert [span.name.split()[0] for span in left] == ["chat", "call"]
    assert left[0].parent_id == began.trace.span_id


def test_every_event_that_is_traced_is_one():
    assert set(CallEvent.__args__) >= TRACED
