"""A language model over OpenAI's APIs, or any server that speaks them: Ollama, vLLM, llama.cpp, Groq, OpenRouter.

The whole conversation goes with each request, and nothing is kept on the server. How it is written down is in
`messages`. Replies are read by `receive` itself, so that a piece of a reply wakes one task; leaving a reply in its
middle closes its connection, which is how these APIs are told to stop.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager, suppress
from copy import copy
from typing import TYPE_CHECKING

import trio

from voicepipe.adapters.openai import chat_completions as openai_chat
from voicepipe.adapters.openai import responses as openai_responses
from voicepipe.adapters.openai.chat_completions import ChatReplyBuilder
from voicepipe.adapters.openai.client import check_installed, open_client
from voicepipe.adapters.openai.llm_options import OpenAIOptions, check_options
from voicepipe.adapters.openai.reply_parser import ReplyParser
from voicepipe.adapters.openai.responses import ResponsesReplyBuilder
from voicepipe.components.registry import Adapter
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.adapters.openai.client import OpenAIClient, ResponseBody
    from voicepipe.components.events import ReplyEvent
    from voicepipe.components.protocols import Resources
    from voicepipe.components.requests import ReplyRequest

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
        headers = request.trace.headers if request.trace is not None and options.trace_context else None
        async with self._client.post(path, {**body, **options.extra_body}, headers) as answer:
            stream = _OpenAIReplyStream(self._client, answer, reply, options.timeout_s)
            yield stream
            if stream.is_whole:
                self._thinks_first = reply.thought_first
                await stream.drain()


class _OpenAIReplyStream:
    """One reply, read as it is received."""

    def __init__(
        self,
        client: OpenAIClient,
        body: ResponseBody,
        reply: ChatReplyBuilder | ResponsesReplyBuilder,
        timeout_s: float,
    ) -> None:
        self._client, self._body, self._timeout_s = client, body, timeout_s
        self._answer = ReplyParser(reply, client.broken_off)
        self._events: deque[ReplyEvent] = deque()  # parsed, and not received yet
        self._failure: ComponentError | None = None
        self._finished = False
        self._waited_s = 0.0  # for the server, since its last event
        self._fell_silent = False  # the reply was over because nothing came any more

    async def receive(self) -> ReplyEvent | None:
        """The next event; None after `ReplyDone`. Cancel-safe; raises the reply's error."""
        if self._events or self._finished:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not (self._events or self._finished):
            await self._read()
        if self._events:
            return self._events.popleft()
        if self._failure is not None:
            raise copy(self._failure) from None  # each time one of its own: a traceback belongs to one raise
        return None

    @property
    def is_whole(self) -> bool:
        """Whether all of the reply was found, so that only the end of its connection's answer is left."""
        return self._answer.over and self._failure is None

    async def drain(self) -> None:
        """Reads the end of the answer if it comes at once, so that its connection is used again."""
        if self._fell_silent:
            return
        with suppress(*self._client.connection_errors):
            deadline = trio.current_time() + DRAIN_S
            while (left_s := deadline - trio.current_time()) > 0 and await self._body.read(left_s) is not None:
                pass

    async def _read(self) -> None:
        """Reads on, and parses what came."""
        answer = self._answer
        try:
            data = await self._next()
            events = answer.events
            if data is not None:
                self._events.extend(answer.feed(data))
            elif not answer.over:
                self._events.extend(answer.close())
            if answer.events != events:
                self._waited_s = 0.0
            if answer.over:
                self._events.extend(answer.finish())
        except ComponentError as error:  # what was parsed before is received first
            self._failure = error
        self._finished = answer.over or self._failure is not None

    async def _next(self) -> bytes | None:
        """The next bytes; None: there are no more, or no more that are needed.

        Patience counts from the last event: bytes that complete none, and comments behind the end, don't prolong it.
        Time in which nobody receives does not count.
        """
        answer, client = self._answer, self._client
        patience_s = answer.patience_s
        limit_s = self._timeout_s if patience_s is None else min(self._timeout_s, patience_s)
        began = trio.current_time()
        try:
            return await self._body.read(max(0.0, limit_s - self._waited_s))
        except client.connection_errors as error:
            if not answer.has_ended:
                raise client.unreachable(error) from error
            answer.over = self._fell_silent = client.is_timeout(error)
            return None
        finally:
            self._waited_s += trio.current_time() - began


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
