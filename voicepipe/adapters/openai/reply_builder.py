"""Builds a reply from the events of either API: text for the caller, tool calls, usage, the end. No I/O."""

from __future__ import annotations

from math import isfinite
from typing import TYPE_CHECKING

from voicepipe.adapters.openai.control_text import CallerText
from voicepipe.adapters.openai.finish_reasons import end_of
from voicepipe.adapters.openai.repeat_filter import RepeatFilter
from voicepipe.adapters.openai.tool_calls import ToolCalls
from voicepipe.adapters.openai.written_calls import written_calls
from voicepipe.components.events import ReplyDone, ReplyEvent, TextDelta, Usage
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.adapters.openai.finish_reasons import End
    from voicepipe.components.requests import ToolCall

PARSER_HINT = "start the server with the parser of this model's tool calls (vLLM and SGLang: --tool-call-parser)"


class ReplyBuilder:
    """A reply on its way: what either API's events add to it, and what it is at its end.

    Args:
        offered: the names of the tools that the model may call.
        thinks_first: whether this server's replies begin with thoughts that are not marked.

    """

    def __init__(self, offered: Iterable[str] = (), *, thinks_first: bool = False) -> None:
        self.ended: End | None = None
        """How the model ended; None: it has not."""
        self.usage: tuple[object, object] | None = None
        """Tokens read and written, as the server tells them."""
        self.calls = ToolCalls(offered)
        """What it called, in order."""
        self.size = 0
        """How much has come of text and tool calls, whatever it is for; grows with each piece."""
        self._offered = frozenset(offered)
        self._unrepeated = RepeatFilter()
        self._for_caller = CallerText(thinks_first=thinks_first)
        self.has_text = False
        """Whether any text has come, for the caller or not."""
        self._says = False
        self._reason = ""

    def say(self, text: object) -> Iterable[ReplyEvent]:
        """Adds the next piece of text, and returns what is for the caller; whatever is no text says nothing."""
        if not isinstance(text, str) or not text:
            return ()
        self.size, self.has_text = self.size + 1, True
        return self._pass(self._for_caller.feed(self._unrepeated.feed(text)))

    def say_whole(self, text: object) -> Iterable[ReplyEvent]:
        """Adds all of the reply's text, which may have come in pieces before, and returns what is new of it."""
        if not isinstance(text, str) or not text:
            return ()
        new = self._unrepeated.feed_whole(text)
        self.size, self.has_text = self.size + bool(new), True
        return self._pass(self._for_caller.feed(new))

    def think(self) -> None:
        """Records that thoughts come beside the text, so that the text holds none."""
        self._for_caller.speaks()

    def end(self, reason: object) -> None:
        """Takes down why the model ended, if it has.

        Raises:
            ComponentError: it broke off.

        """
        ended = end_of(reason)
        if ended == "failed":
            raise ComponentError("failed in mid-answer", answered=f"finish_reason: {reason}")
        if ended is not None:
            self.ended, self._reason = ended, str(reason)

    @property
    def says(self) -> bool:
        """Whether anything was said."""
        return self._says

    @property
    def has_substance(self) -> bool:
        """Whether there is anything in it that makes a reply."""
        return self._says or bool(self.calls) or bool(self._for_caller.calls)

    @property
    def thought_first(self) -> bool:
        """Whether it began with thoughts that were not marked."""
        return self._for_caller.thought_first

    def finish(self) -> Iterator[ReplyEvent]:
        """The tools, what it cost, and the end.

        Raises:
            ComponentError: it ended in a way that is no reply.

        """
        yield from self._pass(self._for_caller.finish())
        calls = self._tool_calls()
        if not self._says and not calls:
            self._check_silence()
        yield from calls
        if self.usage is not None and (usage := Usage(*map(token_count, self.usage))) != Usage():
            yield usage
        if not self._says and not calls:
            yield ReplyDone("empty")
        else:
            yield ReplyDone("truncated" if self.ended == "length" else "complete")

    def _pass(self, text: str) -> Iterable[ReplyEvent]:
        if not text:
            return ()
        self._says = self._says or not text.isspace()
        return (TextDelta(text),)

    def _tool_calls(self) -> list[ToolCall]:
        """The tools that were called; those in the text only if the server found none there itself."""
        if not self.calls:
            for text in self._for_caller.calls:
                for name, arguments in written_calls(text, self._offered):
                    self.calls.add("", name, arguments)
        return self.calls.finish(cut_off=self.ended == "length")

    def _check_silence(self) -> None:
        """Raises if a reply with neither text nor tool calls is a failure, as its end tells."""
        if self.ended == "filtered":
            hint = "its provider's content filter held the reply back: do the prompt and the conversation allow it?"
            raise ComponentError("the reply was filtered", retryable=False, hint=hint, fault="request")
        if self.ended == "length":
            hint = "raise max_tokens, or lower reasoning_effort: thoughts count"
            message = "reached its length limit before it said anything"
            raise ComponentError(message, retryable=False, hint=hint, fault="request")
        if self._for_caller.calls:
            answered = self._for_caller.calls[0]
            raise ComponentError("wrote a malformed tool call", answered=answered, hint=PARSER_HINT)
        if self.ended == "called":
            raise ComponentError("ended to call a tool, and called none", hint=PARSER_HINT)
        if self.ended == "unknown":
            raise ComponentError("ended without text or a tool call", answered=f"finish_reason: {self._reason}")


def token_count(tokens: object) -> int | None:
    """A number of tokens as a server tells it; None if that is no such number."""
    if isinstance(tokens, int | float) and not isinstance(tokens, bool) and isfinite(tokens) and tokens >= 0:
        return int(tokens)
    return None
