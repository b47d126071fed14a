"""A server's answer as a reply, from the bytes of its body: no I/O, no clock.

    answer = Answer(ChatReply(), client.broken_off)
    for event in answer.feed(data): ...      # as bytes come, until `answer.over`
    for event in answer.close(): ...         # if they end before
    for event in answer.finish(): ...        # tools, cost, end

When an answer is over is harder to say than it seems. `[DONE]` ends it; it may be missing. `finish_reason` is put on
every chunk by some servers, on thoughts by others, and what a reply cost comes behind it. So the end that a model tells
is believed at once only if the cost comes with it or behind it, and no text in the same chunk; else when nothing more
comes for `patience_s`. What a server sends behind the end is not looked at, for the connection may stay open.
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
"""How long what a reply cost, or `[DONE]`, may come after the model has ended, in s. Servers that send them do so at
once."""

DOUBTFUL_S = 2.0
"""The same if the model ended in a chunk of text, in s: some servers say of each that it is the last."""

HEARTBEATS = {"ping", "heartbeat", "keepalive", "keep-alive"}
"""Names of events by which servers say that they still work."""


class ReplyParser:
    """An answer on its way.

    Args:
        reply: what its events add to.
        broken_off: makes the error of an error object in the answer.

    """

    def __init__(
        self, reply: ChatReplyBuilder | ResponsesReplyBuilder, broken_off: Callable[[object], ComponentError]
    ) -> None:
        self.reply = reply
        self.over = False
        """Whether nothing more is to be read."""
        self.events = 0
        """How many events have come; comments too, as long as the model has not ended."""
        self._broken_off = broken_off
        self._sse = ServerSentEvents(comments=True)
        self._told = False  # anything but comments
        self._doubtful = self._belied = False

    @property
    def has_ended(self) -> bool:
        """Whether the model has ended, as far as it says: what comes now may be nothing."""
        reply = self.reply
        if reply.ended is None or self._belied:
            return False
        # Of some servers each piece of the thoughts is the last.
        return reply.has_substance or reply.ended in {"length", "filtered"}

    @property
    def patience_s(self) -> float | None:
        """How long nothing may come before the reply is complete, in s; None: it is not, however long that is."""
        if not self.has_ended:
            return None
        return DOUBTFUL_S if self._doubtful else AFTERMATH_S

    def feed(self, data: bytes) -> Iterator[ReplyEvent]:
        """What bytes of the answer add to the reply.

        Raises:
            ComponentError: they say that it failed, or are no reply.

        """
        yield from self._take_all(self._sse.feed(data))

    def close(self) -> Iterator[ReplyEvent]:
        """What is left when the server has ended its answer.

        Raises:
            ComponentError: the model had not ended.

        """
        yield from self._take_all(self._sse.end())
        if not self.over and self.reply.ended is None:
            if self._sse.stray:
                raise ComponentError("answered with something that is no reply", answered=self._sse.stray)
            raise ComponentError("ended before its reply did" if self._told else "answered with nothing")
        self.over = True

    def finish(self) -> Iterator[ReplyEvent]:
        """The reply's tools, what it cost, and its end.

        Raises:
            ComponentError: it ended in a way that is no reply.

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
            self.events += not self.has_ended  # once the model has ended, it is nothing that it still works on
            return
        self.events += 1
        self._told = True
        reply = self.reply
        if data.upper() in {DONE, DONE.strip("[]")}:
            self.over, reply.ended = True, reply.ended or "complete"
            return
        if name == "error" and not data.startswith("{"):
            raise self._broken_off(data)
        event = parsed(data)
        error = error_in(name, event)
        if error is not None:
            raise self._broken_off(error)
        had_ended, size, usage = reply.ended is not None, reply.size, reply.usage
        try:
            yield from reply.take(event)
        except (AttributeError, KeyError, TypeError) as wrong:  # nothing is where it should be
            raise ComponentError("answered with something that is no reply", answered=data) from wrong
        grew = reply.size > size
        self._belied = self._belied or (had_ended and grew)
        if not had_ended:
            self._doubtful = reply.ended is not None and grew
        # What a reply cost comes at the end as a rule; without choices beside it, nowhere else.
        told_cost = reply.usage is not None and reply.usage is not usage
        certain = told_cost and (not self._doubtful or not event.get("choices"))
        self.over = self.has_ended and (certain or isinstance(reply, ResponsesReplyBuilder))
