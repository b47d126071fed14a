"""How language models are used: what they are asked, and what must come of it again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve, field, frozen
from attrs.validators import min_len

from voicepipe.events import ReplyDone, TextDelta
from voicepipe.requests import Message, ReplyRequest, Tool, ToolCall, Utterance

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from voicepipe.components import LanguageModel, ReplyStream
    from voicepipe.testing.conformance.subject import Progress


HANG_UP = Tool("hang_up", "Ends the call when this reply has been spoken.", {"type": "object", "properties": {}})
"""What calls offer as a rule."""


def utterance(text: str) -> ReplyRequest:
    """What a call asks when the caller has said something."""
    return ReplyRequest(Utterance(text), (Message("caller", text),), "Answer in one sentence.", tools=(HANG_UP,))


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


@frozen
class Asking:
    """A model is asked, and its reply received."""

    finishes: ClassVar[bool] = False

    requests: tuple[ReplyRequest, ...] = field(default=REQUESTS, validator=min_len(1))
    """What; each variant its own."""

    def open(self, component: LanguageModel, variant: int) -> AbstractAsyncContextManager[ReplyStream]:
        """The reply to a request, which is an object of its own each time, as in a call."""
        return component.respond(evolve(self.requests[variant % len(self.requests)]))

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
