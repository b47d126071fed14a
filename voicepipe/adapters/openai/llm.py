"""A language model over OpenAI's APIs, or any server that speaks them: Ollama, vLLM, llama.cpp, Groq, OpenRouter.

The whole conversation goes with each request, and nothing is kept on the server. How it is written down is in
`openai_conversation`. Replies are read by a task of their own, so that `receive` can be cancelled; leaving a reply in
its middle closes its connection, which is how these APIs are told to stop.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.adapters.openai import chat_completions as openai_chat
from voicepipe.adapters.openai import responses as openai_responses
from voicepipe.adapters.openai.chat_completions import ChatReplyBuilder
from voicepipe.adapters.openai.client import HINT_SLOW, check_installed, open_client
from voicepipe.adapters.openai.llm_options import OpenAIOptions, check_options
from voicepipe.adapters.openai.reply_parser import ReplyParser
from voicepipe.adapters.openai.responses import ResponsesReplyBuilder
from voicepipe.components.events import ReplyEvent
from voicepipe.components.registry import Adapter
from voicepipe.errors import ComponentError
from voicepipe.wire.event_queue import EventQueue
from voicepipe.wire.http import unwind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.adapters.openai.client import OpenAIClient
    from voicepipe.components.protocols import Resources
    from voicepipe.components.requests import ReplyRequest

UNREAD_EVENTS = 64
"""How many events may wait to be received before the server's answer is read on."""

DRAIN_S = 0.1
"""How long the end of an answer's body may come after the end of the reply, in s. Then its connection is used again;
one whose server keeps the answer open is closed."""


class _OpenAI:
    """A model behind an address, shared by all calls."""

    def __init__(self, client: OpenAIClient, options: OpenAIOptions) -> None:
        self._client, self._options = client, options
        self._thinks_first = False  # this server's replies begin with thoughts that only their end marks

    async def probe(self) -> None:
        """Returns if the server is there, takes the key and has the model; keeps the connection for a reply."""
        await self._client.probe(self._options.model)

    @asynccontextmanager
    async def respond(self, request: ReplyRequest) -> AsyncIterator[_OpenAIReplyStream]:
        """One reply; entering it sends the request, and returns when the answer has begun."""
        options = self._options
        offered = [tool.name for tool in request.tools]
        reply: ChatReplyBuilder | ResponsesReplyBuilder
        if options.api == "responses":
            path, body = "/responses", openai_responses.body_for(options, request)
            reply = ResponsesReplyBuilder(offered, thinks_first=self._thinks_first)
        else:
            path, body = "/chat/completions", openai_chat.body_for(options, request)
            reply = ChatReplyBuilder(offered, thinks_first=self._thinks_first)
        async with self._client.post(path, {**body, **options.extra_body}) as answer, trio.open_nursery() as nursery:
            stream = _OpenAIReplyStream(self._client, answer, reply, options.timeout_s)
            nursery.start_soon(stream.read)
            yield stream
            if stream.is_whole:
                self._thinks_first = reply.thought_first
            else:
                nursery.cancel_scope.cancel()


class _OpenAIReplyStream:
    """One reply, read by a task of its own."""

    def __init__(
        self, client: OpenAIClient, answer: Any, reply: ChatReplyBuilder | ResponsesReplyBuilder, timeout_s: float
    ) -> None:
        self._client, self._timeout_s = client, timeout_s
        self._answer = ReplyParser(reply, client.broken_off)
        self._chunks = answer.aiter_bytes()
        self._events = EventQueue[ReplyEvent](UNREAD_EVENTS)

    async def receive(self) -> ReplyEvent | None:
        """The next event; None after `ReplyDone`. Cancel-safe; raises the reply's error."""
        return await self._events.receive()

    @property
    def is_whole(self) -> bool:
        """Whether all of the reply was found, so that only the end of its connection's answer is read on."""
        return self._answer.over and self._events.failure is None

    async def read(self) -> None:
        """Reads the answer to its end, or until it fails."""
        try:
            try:
                await self._read()
                for event in self._answer.finish():
                    await self._events.put(event)
            except ComponentError as error:
                self._events.end(error)
                return
            finally:
                self._events.end()
            with trio.move_on_after(DRAIN_S), suppress(ComponentError), self._client.failures():
                async for _ in self._chunks:
                    pass
        finally:
            await unwind(self._chunks)

    async def _read(self) -> None:
        """Reads until the reply is over."""
        answer = self._answer
        with trio.CancelScope() as patience:
            while not answer.over:
                events = answer.events
                patience.deadline = trio.current_time() + min(self._timeout_s, answer.patience_s or self._timeout_s)
                while answer.events == events and not answer.over:
                    data = await self._next()
                    deadline, patience.deadline = patience.deadline, inf  # it is not the server that is slow
                    for event in answer.close() if data is None else answer.feed(data):
                        await self._events.put(event)
                    patience.deadline = deadline
        if patience.cancelled_caught:
            if not answer.has_ended:
                raise ComponentError(f"nothing came for {self._timeout_s:g} s", hint=HINT_SLOW)
            answer.over = True

    async def _next(self) -> bytes | None:
        """The next bytes; None: there are no more, or no more that are needed."""
        try:
            with self._client.failures():
                return await anext(self._chunks, None)
        except ComponentError:
            if not self._answer.has_ended:
                raise
            return None


@asynccontextmanager
async def open_openai(options: OpenAIOptions, resources: Resources) -> AsyncIterator[_OpenAI]:
    """Makes the client of the server; sends nothing yet."""
    async with open_client(options, resources) as client:
        yield _OpenAI(client, options)


llm = Adapter(
    name="openai",
    role="llm",
    options=OpenAIOptions,
    open=open_openai,
    check=check_options,
    check_installed=check_installed,
)
