"""The use of language models: the requests that they are sent, and the comparison of what comes."""

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
"""The tool that calls offer by default."""


def utterance(text: str) -> ReplyRequest:
    """Returns the request of a call whose caller has said something."""
    return ReplyRequest(Utterance(text), (Message("caller", text),), "Answer in one sentence.", tools=(HANG_UP,))


TOOL = Tool(
    "opening_hours",
    "Says when the surgery is open on a day.",
    {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
)
"""The tool that requests for tool calls offer."""

ASKED = Message("caller", "when are you open on Monday")
"""A question that the tool answers."""

TOOL_REQUEST = ReplyRequest(Utterance(ASKED.text), (ASKED,), tools=(TOOL,))
"""A request that many models answer by calling the tool."""

ANY_TOOL_REQUEST = evolve(TOOL_REQUEST)
"""The default of `tool_request`: equal to `TOOL_REQUEST`, but a reply without a tool call is allowed."""


def pressed(keys: str) -> ReplyRequest:
    """Returns the request of a call whose caller has pressed keys."""
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
"""The default requests."""


MUCH = 60
"""The number of repetitions that make a long request."""


@frozen
class Asking:
    """Sends a request; the reply is received."""

    finishes: ClassVar[bool] = False

    requests: tuple[ReplyRequest, ...] = field(default=REQUESTS, validator=min_len(1))
    """The requests, one for each variant."""
    tool_request: ReplyRequest = ANY_TOOL_REQUEST
    """A request that is answered by calling a tool; with `ANY_TOOL_REQUEST`, it may be."""
    calls_tools: bool = True
    """Whether the model calls tools at all."""

    def returned(self, result: str) -> ReplyRequest:
        """Returns the request of a call in which a tool has returned a result."""
        called = Message("agent", "", tool_calls=(ToolCall("call-1", TOOL.name, {"day": "Monday"}),))
        returned = Message("tool", result, tool_call_id="call-1")
        return ReplyRequest(ToolResults({"call-1": result}), (ASKED, called, returned), tools=(TOOL,))

    def open(self, component: LanguageModel, variant: int) -> AbstractAsyncContextManager[ReplyStream]:
        """Opens the reply to a request, which is a new object each time, as in a call."""
        return component.respond(evolve(self.requests[variant % len(self.requests)]))

    def open_much(self, component: LanguageModel, variant: int) -> AbstractAsyncContextManager[ReplyStream]:
        """Opens the reply to a long request, which is long too if the model repeats it."""
        request = self.requests[variant % len(self.requests)]
        text = " ".join([request.messages[-1].text if request.messages else "hello"] * MUCH)
        return component.respond(evolve(request, trigger=Utterance(text), messages=(Message("caller", text),)))

    async def say_much(self, component: LanguageModel, stream: ReplyStream, variant: int) -> None:
        """Does nothing: the request has everything."""

    def format_of(self, component: LanguageModel) -> None:
        """Returns None: there is no audio."""

    async def begin(self, component: LanguageModel, stream: ReplyStream, variant: int) -> None:
        """Does nothing: the request has everything."""

    async def say(
        self, component: LanguageModel, stream: ReplyStream, progress: Progress, variant: int, *, brief: bool
    ) -> None:
        """Does nothing: the request has everything."""
        del component, stream, variant, brief
        progress.finished = True

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """Returns the text, the tool calls and the reason of the end."""
        text = "".join(event.text for event in events if isinstance(event, TextDelta))
        tools = [(event.name, dict(event.arguments)) for event in events if isinstance(event, ToolCall)]
        ends = [event.reason for event in events if isinstance(event, ReplyDone)]
        return ((text, tools, ends),)


async def answer(bench: Bench[Asking], request: ReplyRequest) -> list[Any]:
    """Returns the events of the reply to a request."""
    async with bench.subject.entered("a stream", bench.component.respond(request)) as reply:
        return await bench.rest(reply)
