"""The W3C trace context: by the recommendation's rules, and from a call's transport to its tools and models."""

from __future__ import annotations

import string

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.calls.events import CallBegan, CallEnded, ModelAnswered, ToolStarted
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import CallInfo, ToolCall
from voicepipe.components.trace_context import TraceContext
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.functions import FunctionTool
from voicepipe.transports.asterisk_ari.caller_info import info_of
from voicepipe.transports.asterisk_ari.events import AriChannel
from voicepipe.transports.asterisk_websocket.listener import AsteriskWebSocketOptions, _AsteriskCalls
from voicepipe.transports.browser.listener import BrowserCalls, BrowserOptions
from voicepipe.transports.websocket_calls import Upgrade

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
GIVEN = TraceContext(TRACE, SPAN, sampled=True)


@pytest.mark.parametrize(
    ("traceparent", "sampled"),
    [
        (PARENT, True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-02", False),  # a flag of level 2
        (f"00-{TRACE}-{SPAN}-ff", True),
        (f" {PARENT}\t", True),  # spaces around a header's value are none of it
        (f"cc-{TRACE}-{SPAN}-01", True),  # a version to come
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", True),
        (f"01-{TRACE}-{SPAN}-00-", False),
    ],
)
def test_a_valid_traceparent(traceparent, sampled):
    assert TraceContext.parse(traceparent) == TraceContext(TRACE, SPAN, sampled)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT.replace("00-", "", 1),
        f"ff-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-extra",
        f"00-{TRACE}-{SPAN}-01-",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.extra",
        f"cc-{TRACE}-{SPAN}-0100",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}0-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}-01",
        f"00-{TRACE}-{SPAN}0-01",
        f"00-{TRACE[:-1]}g-{SPAN}-01",
        f"00-{TRACE}-{SPAN[:-1]}.-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}-.1",
        f"00-{TRACE}-{SPAN}",
        f"00_{TRACE}_{SPAN}_01",
        f"{PARENT}\n",
        f"{PARENT}, {PARENT}",  # sent twice
        f"00-{TRACE[:-1]}٣-{SPAN}-01",  # a digit, but not of ASCII
    ],
)
def test_a_traceparent_that_is_not_valid_is_ignored(traceparent):
    assert TraceContext.parse(traceparent, "foo=1") is None
    # A variable's line break is a space, and spaces around are none of it.
    assert traceparent.endswith("\n") or CallInfo(variables={"traceparent": traceparent}).trace is None


MANY = ",".join(f"k{number}=1" for number in range(32))


@pytest.mark.parametrize(
    ("tracestate", "kept"),
    [
        ("", ""),
        ("foo=1", "foo=1"),
        ("foo=1,bar=2", "foo=1,bar=2"),
        ("foo=1 \t , \t bar=2, ", "foo=1,bar=2"),
        ("foo=1,,,bar=2", "foo=1,bar=2"),
        ("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
        ("a-_*/z=1", "a-_*/z=1"),
        ("fw529a3039@dt=FfAA", "fw529a3039@dt=FfAA"),
        ("1tenant@vendor=1", "1tenant@vendor=1"),
        (f"{'z' * 256}=1", f"{'z' * 256}=1"),
        (f"{'t' * 241}@{'v' * 14}=1", f"{'t' * 241}@{'v' * 14}=1"),
        (f"foo={'v' * 256}", f"foo={'v' * 256}"),
        ("foo=a b ", "foo=a b"),
        (MANY, MANY),
        # not valid
        (f"{MANY},more=1", ""),
        ("foo", ""),
        ("foo=", ""),
        ("=1", ""),
        ("foo =1", ""),
        ("FOO=1", ""),
        ("1foo=1", ""),
        ("foo.bar=1", ""),
        ("foo@=1", ""),
        ("@bar=1", ""),
        ("foo@@bar=1", ""),
        ("foo@bar@baz=1", ""),
        ("foo@1bar=1", ""),
        (f"{'z' * 257}=1", ""),
        (f"{'t' * 242}@v=1", ""),
        (f"t@{'v' * 15}=1", ""),
        (f"foo={'v' * 257}", ""),
        ("foo=bar=baz", ""),
        ("foo=1,foo=1", ""),
        ("foo=é", ""),
        ("foo=a\tb", ""),
        ("foo=1\n", ""),
        ("foo=1," * 5000, ""),
    ],
)
def test_a_tracestate(tracestate, kept):
    assert TraceContext.parse(PARENT, tracestate) == evolve(GIVEN, state=kept)


@given(st.text(alphabet=string.printable + "é٣", max_size=80), st.text(alphabet="af=,@*- 1\t", max_size=40))
def test_whatever_comes_what_goes_out_is_valid(traceparent, tracestate):
    assert TraceContext.parse(traceparent) is None or len(traceparent.strip()) >= len(PARENT)
    context = TraceContext.parse(PARENT, tracestate)
    assert TraceContext.of_headers(context.headers) == context


def test_a_context_is_valid_or_none():
    for wrong in ({"trace_id": "0" * 32}, {"span_id": "B7AD6B7169203331"}, {"state": "foo"}, {"trace_id": SPAN}):
        with pytest.raises(ValueError, match=r"must be|tracestate"):
            evolve(GIVEN, **wrong)
    assert TraceContext.new(sampled=True) != TraceContext.new(sampled=True)
    child = evolve(GIVEN, state="foo=1").child()
    assert child.headers == {"traceparent": f"00-{TRACE}-{child.span_id}-01", "tracestate": "foo=1"}
    assert child.span_id != SPAN


def test_names_in_any_case_and_a_state_alone_is_nothing():
    assert TraceContext.of_headers({"Traceparent": PARENT, "TRACESTATE": "a=1"}) == evolve(GIVEN, state="a=1")
    assert TraceContext.of_headers({"tracestate": "a=1", "other": PARENT}) is None


# --- From transports --------------------------------------------------------------------------------------------------


def upgrade(path="/call", **headers):
    return Upgrade(target=path, path=path, query={}, headers=headers, peer="127.0.0.1:5")


def test_transports_take_it_from_headers_and_variables():
    assert CallInfo(variables={"TRACEPARENT": PARENT, "TRACESTATE": "a=1"}).trace == evolve(GIVEN, state="a=1")
    channel = AriChannel("1", "PJSIP/a", variables={"TRACEPARENT": PARENT})
    assert info_of(channel, (), {}, "ari").trace == GIVEN
    assert info_of(AriChannel("1", "PJSIP/a"), (f"traceparent={PARENT}",), {}, "ari").trace == GIVEN
    asked = upgrade(traceparent=PARENT)
    assert asked.trace == GIVEN
    assert BrowserCalls(BrowserOptions(), "browser").transport(asked, None).info.trace == GIVEN
    assert _AsteriskCalls(AsteriskWebSocketOptions(), "a").transport(asked, None).info.trace == GIVEN
    assert upgrade().trace is None


# --- In a call --------------------------------------------------------------------------------------------------------


class Tool:
    def __init__(self):
        self.contexts = []
        self.tool = FunctionTool("look", "Looks.", {"type": "object"}, self.run)

    async def run(self, _arguments, context):
        self.contexts.append(context)
        return "found"


async def hold(answers, *, info=None, stt=("hello",), **options):
    answers, tool = list(answers), Tool()
    call = RehearsedCall(
        stt=ScriptedSpeechToText(list(stt)),
        llm=ScriptedLanguageModel(lambda _request: answers.pop(0)),
        transport=MemoryTransport(info=info or CallInfo(transport_id="7")),
        settings={"tools": ("look",), "functions": (tool.tool,), "greeting": None},
        options=options,
    )

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(600)
        await call.transport.be_silent(4000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    return call, tool


ASKS_TOOL = [Usage(input_tokens=3), 0.2, ToolCall("1", "look", {}), Usage(output_tokens=2), ReplyDone()]


async def test_each_request_and_each_tool_is_a_span_of_its_own(autojump_clock):
    own = TraceContext.new(sampled=True)
    call, tool = await hold(["Hello.", ASKS_TOOL, "Found."], trace=own)
    assert call.call.trace == own == call.told(CallBegan)[0].trace
    given = [request.trace for request in call.llm.requests]
    answered = call.told(ModelAnswered)
    assert [event.span_id for event in answered] == [trace.span_id for trace in given]
    (started,), (context,) = call.told(ToolStarted), tool.contexts
    assert started.span_id == context.trace.span_id
    spans = {own.span_id, context.trace.span_id, *(trace.span_id for trace in given)}
    assert len(spans) == 5
    assert {(trace.trace_id, trace.sampled) for trace in [context.trace, *given]} == {(own.trace_id, True)}


async def test_a_call_without_spans_of_its_own_passes_on_what_it_was_given(autojump_clock):
    call, tool = await hold(["Hello.", ASKS_TOOL, "Found."], info=CallInfo(variables={"traceparent": PARENT}))
    assert call.call.trace == GIVEN
    assert {request.trace for request in call.llm.requests} == {GIVEN} == {tool.contexts[0].trace}
    assert {event.span_id for event in (*call.told(ModelAnswered), *call.told(ToolStarted))} == {""}


async def test_without_a_trace_there_is_none(autojump_clock):
    call, tool = await hold(["Hello.", ASKS_TOOL, "Found."])
    assert call.call.trace is None
    assert tool.contexts[0].trace is None
    assert {request.trace for request in call.llm.requests} == {None}


async def test_what_a_model_answered_is_told(autojump_clock):
    class Broken(ScriptedLanguageModel):
        def respond(self, request):
            self.requests.append(request)
            raise ComponentError("has left", retryable=False)

    call, _ = await hold(["Hello.", ASKS_TOOL, "Found."])
    greeting, asked, _last = call.told(ModelAnswered)
    assert (greeting.began_s, greeting.reason, greeting.input_tokens) == (0, "complete", None)
    assert (asked.input_tokens, asked.output_tokens, asked.reason, asked.error) == (3, 2, "complete", None)
    assert asked.first_token_s - asked.began_s == pytest.approx(0.2)
    assert asked.component == call.told(CallBegan)[0].llm
    models = [Broken(None), ScriptedLanguageModel(lambda _request: "Hi.")]
    broken = RehearsedCall(llm=models, settings={"greeting": None})
    await broken.hold(broken.transport.hang_up_as_caller)
    failed = broken.told(ModelAnswered)
    assert (failed[0].reason, failed[0].first_token_s) == ("failed", None)
    assert "has left" in str(failed[0].error)


async def test_a_request_that_nobody_waits_for_any_more_is_told_before_the_calls_end(autojump_clock):
    slow = ScriptedLanguageModel(lambda _request: [600.0, TextDelta("late")])
    call = RehearsedCall(llm=slow, settings={"greeting": None})

    async def caller():
        await call.transport.be_silent(500)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    (asked,) = call.told(ModelAnswered)
    assert (asked.reason, asked.first_token_s, asked.error) == ("cancelled", None, None)
    assert isinstance(call.events[-1], CallEnded)
