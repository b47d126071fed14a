"""What the events of the two APIs come to, whichever it is: text without thoughts, tools, usage, the end. No I/O."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

from attrs import define, field

from voicepipe.errors import ComponentError
from voicepipe.events import ReplyDone, ReplyEvent, TextDelta, Usage
from voicepipe.requests import ToolCall

if TYPE_CHECKING:
    from collections.abc import Iterator

End = Literal["complete", "length", "filtered"]
"""How the model says that it ended: by itself, at its length limit, or stopped by a filter."""

THINK, THOUGHT = "<think>", "</think>"


class Spoken:
    """Passes text on, without what a reasoning model thinks aloud before it: `<think>...</think>` at the beginning.

    Servers that know their model keep thoughts out of the text; others pass them through.
    """

    def __init__(self) -> None:
        self._state: Literal["beginning", "thinking", "thought", "speaking"] = "beginning"
        self._held = ""

    def feed(self, text: str) -> str:
        """What of this piece, and of what was held back, is to be spoken."""
        if self._state == "speaking":
            return text
        self._held += text
        if self._state == "beginning":
            begun = self._held.lstrip()
            if THINK.startswith(begun):
                return ""  # it may become a thought
            self._state = "thinking" if begun.startswith(THINK) else "speaking"
        if self._state == "thinking":
            _, closed, after = self._held.partition(THOUGHT)
            self._held = after if closed else self._held[-len(THOUGHT) :]
            if not closed:
                return ""
            self._state = "thought"
        if self._state == "thought":
            self._held = self._held.lstrip()
            if not self._held:
                return ""
            self._state = "speaking"
        held, self._held = self._held, ""
        return held

    def finish(self) -> str:
        """What was held back and is no thought, when the text ends."""
        return self._held if self._state == "beginning" else ""


def _text_or_object(value: object) -> str | Mapping[str, Any]:
    return value if isinstance(value, str | Mapping) else str(value)


@define
class Called:
    """A tool call on its way."""

    id: str = field(default="", converter=str)
    name: str = field(default="", converter=str)
    arguments: str | Mapping[str, Any] = field(default="", converter=_text_or_object)
    """JSON, as far as it has come; some servers give an object."""


class Reply:
    """A reply on its way: what either API's events add to it, and what it is at its end."""

    def __init__(self) -> None:
        self.ended: End | None = None
        """How the model ended; None: it has not."""
        self.usage: tuple[object, object] | None = None
        """Tokens read and written, as the server tells them."""
        self.calls: list[Called] = []
        """What it called, in order."""
        self._spoken = Spoken()
        self._says = False

    def say(self, text: object) -> Iterator[ReplyEvent]:
        """The next piece of text; whatever is no text says nothing."""
        if isinstance(text, str) and (spoken := self._spoken.feed(text)):
            self._says = self._says or not spoken.isspace()
            yield TextDelta(spoken)

    @property
    def says(self) -> bool:
        """Whether anything was said."""
        return self._says

    def finish(self) -> Iterator[ReplyEvent]:
        """The tools, what it cost, and the end.

        Raises:
            ComponentError: it ended in a way that is no reply.

        """
        if rest := self._spoken.finish():
            self._says = self._says or not rest.isspace()
            yield TextDelta(rest)
        if self.ended == "filtered" and not self._says:
            hint = "its provider's content filter held the reply back: do the prompt and the conversation allow it?"
            raise ComponentError("the reply was filtered", retryable=False, hint=hint, fault="request")
        if self.ended == "length" and not self._says and not self.calls:
            hint = "raise max_tokens, or lower reasoning_effort: thoughts count"
            message = "reached its length limit before it said anything"
            raise ComponentError(message, retryable=False, hint=hint, fault="request")
        yield from self._tool_calls()
        if self.usage is not None:
            yield Usage(*map(_count, self.usage))
        if not self._says and not self.calls:
            yield ReplyDone("empty")
        else:
            yield ReplyDone("truncated" if self.ended == "length" else "complete")

    def _tool_calls(self) -> Iterator[ToolCall]:
        taken: set[str] = set()
        for call in self.calls:
            if not call.name:
                raise ComponentError("called a tool without a name", answered=str(call.arguments))
            # Results are given back by it, so it must be the call's own; some servers have none, or the same for all.
            number = call.id if call.id and call.id not in taken else f"call_{uuid4().hex[:24]}"
            taken.add(number)
            yield ToolCall(number, call.name, self._arguments(call))

    def _arguments(self, call: Called) -> Mapping[str, Any]:
        if isinstance(call.arguments, Mapping):
            return call.arguments
        try:
            arguments = json.loads(call.arguments) if call.arguments.strip() else {}
        except ValueError:
            arguments = call.arguments
        if arguments is None:
            return {}
        if not isinstance(arguments, dict):
            cut_off = self.ended == "length"
            # Models make mistakes; asked again, they seldom make the same.
            raise ComponentError(
                f"called the tool {call.name} with arguments that are no JSON object",
                answered=call.arguments,
                hint="the reply reached its length limit: raise max_tokens" if cut_off else "",
            )
        return arguments


def _count(tokens: object) -> int:
    return max(0, int(tokens)) if isinstance(tokens, int | float) and isfinite(tokens) else 0
