"""Checks for language models: the events of a reply, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import (
    CallStarted,
    Message,
    ReplyRequest,
    Silence,
    Told,
    ToolCall,
    Utterance,
)
from voicepipe.testing.conformance.asking import ASKED, TOOL_REQUEST, Asking, answer, pressed
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.usage import judge_usage
from voicepipe.testing.conformance.verdicts import Failed

if TYPE_CHECKING:
    from voicepipe.testing.conformance.subject import Subject

FACT = "The surgery is closed on Monday."
"""A fact that the program tells the model."""

TRIGGERS = (
    ReplyRequest(CallStarted(), prompt="Greet the caller."),
    TOOL_REQUEST,
    Asking().returned("from nine to five"),
    pressed("1"),
    ReplyRequest(Silence(1), (ASKED, Message("agent", "From nine to five."))),
    ReplyRequest(Utterance("hello", language="en"), (Message("caller", "hello"),), said="Good mor"),
    ReplyRequest(Told(FACT), (ASKED, Message("agent", "From nine to five."), Message("operator", FACT))),
)
"""One request for everything that makes a call ask its model."""


async def events_are_well_formed(subject: Subject[Asking]) -> None:
    """Events are of the types in `ReplyEvent`, their values are plausible, and only offered tools are called.

    Ids of tool calls are unique, because results are matched by them; arguments are a parsed mapping. A tool call that
    is given twice is run twice. A reply has at most one `Usage`, with None for figures that the provider doesn't
    report.
    """
    use = subject.use
    async with subject.bench() as bench:
        for request in (*use.requests, *TRIGGERS):
            _judge(request, await answer(bench, request))


def _judge(request: ReplyRequest, events: list[Any]) -> None:
    ids: set[str] = set()
    if sum(isinstance(event, Usage) for event in events) > 1:
        raise Failed("a reply has more than one Usage: what it cost is said once, as a whole")
    calls = [(event.name, event.arguments) for event in events if isinstance(event, ToolCall)]
    if twice := [call for number, call in enumerate(calls) if call in calls[:number]]:
        raise Failed(f"a reply calls {twice[0][0]} twice with the arguments {twice[0][1]}: is one call told twice?")
    for event in events:
        match event:
            case TextDelta(text=str()) | ReplyDone(reason="complete" | "truncated" | "empty"):
                pass
            case Usage():
                judge_usage(event)
            case ToolCall(id=str(number), name=name, arguments=arguments):
                if not number or number in ids:
                    raise Failed(f"two tool calls of a reply have the id {number!r}, or it is empty")
                ids.add(number)
                if name not in {tool.name for tool in request.tools}:
                    raise Failed(f"it calls the tool {name!r}, which was not offered")
                if not isinstance(arguments, Mapping):
                    raise Failed(f"the arguments of {name} are {type(arguments).__name__}, no mapping")
            case _:
                raise Failed(f"receive() gave {event!r}")


async def a_reply_ends_once(subject: Subject[Asking]) -> None:
    """`ReplyDone` is the last event of a reply and comes exactly once; after it `receive` returns None, each time.

    At `ReplyDone` the call stores the reply's state and stops receiving. Text after it is never spoken; a reply without
    it counts as broken off, and the next model is asked.
    """
    use = subject.use
    async with subject.bench() as bench:
        for request in (use.requests[0], use.tool_request):
            async with subject.entered("a stream", bench.component.respond(request)) as reply:
                events = await bench.rest(reply)
                again = await bench.next(reply)
            ends = sum(isinstance(event, ReplyDone) for event in events)
            if ends != 1:
                raise Failed(f"a reply has {ends} ReplyDone")
            if not isinstance(events[-1], ReplyDone):
                raise Failed(f"{type(events[-1]).__name__} came after ReplyDone")
            if again is not None:
                raise Failed(f"{type(again).__name__} came after None")


async def an_empty_reply_says_so(subject: Subject[Asking]) -> None:
    """`ReplyDone.reason` is `empty` if and only if there was no text and no tool call.

    The caller would hear nothing: at an empty reply the call asks the next model, or apologises.
    """
    use = subject.use
    async with subject.bench() as bench:
        for request in (*use.requests, *TRIGGERS):
            events = await answer(bench, request)
            has_content = any(isinstance(event, ToolCall) or getattr(event, "text", "").strip() for event in events)
            reasons = {event.reason for event in events if isinstance(event, ReplyDone)}
            if has_content and "empty" in reasons:
                raise Failed("a reply with text or tool calls is called empty")
            if not has_content and "empty" not in reasons:
                raise Failed(
                    f"a reply without text or tool call ends as {', '.join(reasons) or 'nothing'}, not as empty"
                )


async def everything_is_answered(subject: Subject[Asking]) -> None:
    """The model answers every trigger: an utterance, keys, silence, results of tools, and the start of the call.

    No valid request is refused: neither one without messages, nor one whose last message is not the caller's, was
    interrupted, or repeats text that was said already. Translate each into the service's own terms.
    """
    async with subject.bench() as bench:
        for request in TRIGGERS:
            try:
                events = await answer(bench, request)
            except Exception as error:
                raise Failed(f"{type(request.trigger).__name__}: {type(error).__name__}: {error}") from error
            if not any(isinstance(event, ReplyDone) for event in events):
                raise Failed(f"{type(request.trigger).__name__}: the reply has no ReplyDone")


LANGUAGE_MODEL = checks(events_are_well_formed, a_reply_ends_once, an_empty_reply_says_so, everything_is_answered)
