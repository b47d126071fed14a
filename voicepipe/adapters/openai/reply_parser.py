"""A server's streamed answer as events of a reply, from the bytes of its body: no I/O, no clock.

    parser = ReplyParser(ChatReplyBuilder(), client.broken_off)
    for event in parser.feed(data): ...      # as bytes come, until `parser.over`
    for event in parser.close(): ...         # if the body ends before
    for event in parser.finish(): ...        # tool calls, usage, end

Theory of operation
===================

Bytes become a reply in four layers. Each is pure, so each has its own table of what real servers send:

1. `sse.ServerSentEvents`: bytes to events (a name and data). Servers break the standard in a dozen ways, up to a plain
   JSON answer with no events at all.
2. `ReplyParser`, here: which events count, which report an error, and when the reply is over.
3. `ChatReplyBuilder` and `ResponsesReplyBuilder`: the JSON of one API to calls of the common `ReplyBuilder`: `say`,
   `think`, `end`, and tool calls.
4. `ReplyBuilder`: the reply itself. Text runs through `RepeatFilter` (servers that send all of it again) and
   `CallerText` (thoughts and tool calls that models write into their text). What is left is yielded at once as
   `TextDelta`, so that the first words are spoken while the rest is still being made.

Tool calls come in pieces: an id and a name first, then arguments a few characters at a time, and servers disagree about
every part of that (`tool_calls`). Which call a piece belongs to is decided as it comes; whether the collected text is
one JSON object, several or none is decided in `finish()`, for only then all of it is there (`tool_arguments`). So a
tool never starts before the model has ended. Calls that a model wrote into its text count only if the server found
none itself (`written_calls`).

What ends a reply
-----------------

The caller waits for this: a reply that is over too late delays tools and the end of the turn, one that is over too
early is cut off. There are these signs, weakest last:

- `data: [DONE]`, or the Responses API's `response.completed`: over at once. `[DONE]` may never come.
- A `finish_reason` with usage beside or behind it, and no text in the same chunk: over at once.
- A `finish_reason` alone: the model has ended (`has_ended`), but usage may follow, so the reader waits for
  `AFTERMATH_S` more. If the chunk also held text the sign is doubtful, since some servers put a `finish_reason` on
  every chunk; the reader then waits for `DOUBTFUL_S`. If more text comes after all, the sign was wrong (`_belied`),
  and from then on only the stronger signs count.
- A `finish_reason` before anything was said: some servers end each piece of the model's thoughts with one. Not an end,
  unless the reason is the length limit or a filter.
- The end of the body (`close`): over if the model has ended, else the reply broke off, which is an error.

Waiting is the reader's (`llm._OpenAIReplyStream`): it asks for `patience_s` after every event. None means that the
reply is not complete however long nothing comes; then the options' `timeout_s` is what fails it. Comments and
heartbeats count as events only until the model has ended: a server that sends them for ever must not keep a complete
reply from being over.

Behind the end nothing counts any more: an error there, or a broken connection, does not undo a reply that is complete.
The reader still drains the body for a moment, so that the connection can serve the next request.

In `finish()` a reply may turn out to be none: filtered, cut off before its first word, or ended "to call a tool"
without any call. Each is a `ComponentError` with a hint, and the call goes on to its next alternative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.adapters.openai.errors import error_in
from voicepipe.adapters.openai.responses import ResponsesReplyBuilder
from voicepipe.adapters.openai.sse import DONE, ServerSentEvents, parsed
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voicepipe.adapters.openai.chat_completions import ChatReplyBuilder
    from voicepipe.components.events import ReplyEvent

AFTERMATH_S = 0.5
"""How long to wait for usage or `[DONE]` after the model has ended, in s; servers that send them do so at once."""

DOUBTFUL_S = 2.0
"""How long to wait if the model ended in a chunk with text, in s: some servers put an end on every chunk."""

HEARTBEATS = {"ping", "heartbeat", "keepalive", "keep-alive"}
"""Names of events that only say that the server still works."""


class ReplyParser:
    """Parses one answer.

    Args:
        reply: builds the reply from the events.
        broken_off: makes a `ComponentError` of an error object in the answer.

    """

    def __init__(
        self, reply: ChatReplyBuilder | ResponsesReplyBuilder, broken_off: Callable[[object], ComponentError]
    ) -> None:
        self.reply = reply
        self.over = False
        """Whether nothing more is to be read."""
        self.events = 0
        """Events so far; comments count until the model has ended."""
        self._broken_off = broken_off
        self._sse = ServerSentEvents(comments=True)
        self._has_data = False  # anything but comments came
        self._doubtful = self._belied = False

    @property
    def has_ended(self) -> bool:
        """Whether the model has ended, by all signs so far: perhaps nothing more comes."""
        reply = self.reply
        if reply.ended is None or self._belied:
            return False
        # Some servers end each piece of the thoughts.
        return reply.has_substance or reply.ended in {"length", "filtered"}

    @property
    def patience_s(self) -> float | None:
        """The silence after which the reply counts as complete, in s; None: no silence makes it complete."""
        if not self.has_ended:
            return None
        return DOUBTFUL_S if self._doubtful else AFTERMATH_S

    def feed(self, data: bytes) -> Iterator[ReplyEvent]:
        """Parses the next bytes; yields the events that they complete.

        Raises:
            ComponentError: the server reports an error, or sends something that is no reply.

        """
        return self._take_all(self._sse.feed(data))

    def close(self) -> Iterator[ReplyEvent]:
        """Parses the rest at the end of the body.

        Raises:
            ComponentError: the body ended before the model did.

        """
        yield from self._take_all(self._sse.end())
        if not self.over and self.reply.ended is None:
            if self._sse.stray:
                raise ComponentError("answered with something that is no reply", answered=self._sse.stray)
            raise ComponentError("ended before its reply did" if self._has_data else "answered with nothing")
        self.over = True

    def finish(self) -> Iterator[ReplyEvent]:
        """The reply's tool calls, its usage, and its end.

        Raises:
            ComponentError: the model ended without a reply.

        """
        return self.reply.finish()

    def _take_all(self, events: Iterator[tuple[str, str]]) -> Iterator[ReplyEvent]:
        while not self.over:
            try:
                event = next(events, None)
                if event is None:
                    return
                yield from self._take(*event)
            except ComponentError:
                if not self.has_ended:
                    raise
                self.over = True  # nothing behind the end undoes it

    def _take(self, name: str, data: str) -> Iterator[ReplyEvent]:
        data = data.strip()
        if not data or data == "null" or name in HEARTBEATS:
            self.events += not self.has_ended  # after the end there is nothing to keep alive
            return
        self.events += 1
        self._has_data = True
        reply = self.reply
        if data.upper() in {DONE, DONE.strip("[]")}:
            self.over, reply.ended = True, reply.ended or "complete"
            return
        if name == "error" and not data.startswith("{"):
            raise self._broken_off(data)
        event = parsed(data)
        reported = error_in(name, event)
        if reported is not None:
            raise self._broken_off(reported)
        had_ended, size, usage = reply.ended is not None, reply.size, reply.usage
        try:
            yield from reply.take(event)
        except (AttributeError, KeyError, TypeError) as error:  # nothing is where it should be
            raise ComponentError("answered with something that is no reply", answered=data) from error
        grew = reply.size > size
        self._belied = self._belied or (had_ended and grew)
        if not had_ended:
            self._doubtful = reply.ended is not None and grew
        # Usage comes at the end as a rule, and only there if no choices stand beside it.
        has_usage = reply.usage is not None and reply.usage is not usage
        certain = has_usage and (not self._doubtful or not event.get("choices"))
        self.over = self.has_ended and (certain or isinstance(reply, ResponsesReplyBuilder))
