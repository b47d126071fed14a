"""How language models are used: what they are asked, and what must come of it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve, field, frozen
from attrs.validators import min_len

from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import Dtmf, Message, ReplyRequest, Tool, ToolCall, ToolResults, Utterance

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from voicepipe.components.protocols import LanguageModel, ReplyStream
    from voicepipe.testing.conformance.subject import Bench, Progress


HANG_UP = Tool("hang_up", "Ends the call when this reply has been spoken.", {"type": "object", "properties": {}})
"""What calls offer as a rule."""


def utterance(text: str) -> ReplyRequest:
    """What a call asks when the caller has said something."""
    return ReplyRequest(Utterance(text), (Message("caller", text),), "Answer in one sentence.", tools=(HANG_UP,))


TOOL = Tool(
    "opening_hours",
    "Says when the surgery is open on a day.",
    {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
)
"""What models are offered."""

ASKED = Message("caller", "when are you open on Monday")
"""A question that is answered with it."""

TOOL_REQUEST = ReplyRequest(Utterance(ASKED.text), (ASKED,), tools=(TOOL,))
"""What makes many a model call a tool."""

ANY_TOOL_REQUEST = evolve(TOOL_REQUEST)
"""The same where nothing is handed in, and nobody has said that it is answered so."""


def pressed(keys: str) -> ReplyRequest:
    """What a call asks when the caller has pressed keys."""
    asked = Message("agent", "Press one for the surgery, or seven for the pharmacy.", interrupted=True)
    return ReplyRequest(Dtmf(keys), (asked, Message("caller", keys, pressed=True)))


REQUESTS = (
    utterance("hello"),
    utterance("what are your opening hours"),
    utterance("I would like to make an appointment"),
    utterance("tomorrow at ten"),
    utterance("yes please"),
    utterance("my name is Jane Smith"),
    utterance("can you repeat that"),
    utterance("thank you, goodbye"),
)
"""What a model is asked if nothing else is handed in."""


MUCH = 60
"""How often a request is said again to make a long one."""


@frozen
class Asking:
    """A model is asked, and its reply received."""

    finishes: ClassVar[bool] = False

    requests: tuple[ReplyRequest, ...] = field(default=REQUESTS, validator=min_len(1))
    """What; each variant its own."""
    tool_request: ReplyRequest = ANY_TOOL_REQUEST
    """What is answered by calling a tool; `ANY_TOOL_REQUEST`: maybe."""
    calls_tools: bool = True
    """Whether the model calls tools at all."""

    def returned(self, result: str) -> ReplyRequest:
        """What is asked when a tool has returned that."""
        called = Message("agent", "", tool_calls=(ToolCall("call-1", TOOL.name, {"day": "Monday"}),))
        returned = Message("tool", result, tool_call_id="call-1")
        return ReplyRequest(ToolResults({"call-1": result}), (ASKED, called, returned), tools=(TOOL,))

    def open(self, component: LanguageModel, variant: int) -> AbstractAsyncContextManager[ReplyStream]:
        """The reply to a request, which is an object of its own each time, as in a call."""
        return component.respond(evolve(self.requests[variant % len(self.requests)]))

    def open_much(self, component: LanguageModel, variant: int) -> AbstractAsyncContextManager[ReplyStream]:
        """The reply to a caller who says a lot; a model that repeats it has a lot to say."""
        request = self.requests[variant % len(self.requests)]
        text = " ".join([request.messages[-1].text if request.messages else "hello"] * MUCH)
        return component.respond(evolve(request, trigger=Utterance(text), messages=(Message("caller", text),)))

    async def say_much(self, component: LanguageModel, stream: ReplyStream, variant: int) -> None:
        """All was said in the request."""

    def format_of(self, component: LanguageModel) -> None:
        """There is no audio."""

    async def begin(self, component: LanguageModel, stream: ReplyStream, variant: int) -> None:
        """All was said in the request."""

    async def say(
        self, component: LanguageModel, stream: ReplyStream, progress: Progress, variant: int, *, brief: bool
    ) -> None:
        """All was said in the request."""
        del component, stream, variant, brief
        progress.finished = True

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """The text, the tools and how it ended."""
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        tools = [(event.name, dict(event.arguments)) for event in events if isinstance(event, ToolCall)]
        ends = [event.reason for event in events if isinstance(event, ReplyDone)]
        return ((text, tools, ends),)


async def answer(bench: Bench[Asking], request: ReplyRequest) -> list[Any]:
    """The events of the reply to a request."""
    async with bench.subject.entered("a stream", bench.component.respond(request)) as reply:
        return await bench.rest(reply)
