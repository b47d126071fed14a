"""Chat Completions: a reply as a request's body, and its chunks as a reply. Pure.

Source: platform.openai.com/docs/api-reference/chat and .../chat-streaming. Servers that speak it differ in what they
leave out: chunks without `choices`, usage on every chunk or under `x_groq`, tool calls whole in one chunk, without
`index` (Ollama until 0.4.7), all with index 0 (Ollama later) or without `id`, a whole answer instead of chunks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from voicepipe.adapters.openai.messages import TextTurn, tools_for, turns_of
from voicepipe.adapters.openai.reply_builder import ReplyBuilder
from voicepipe.adapters.openai.sanitizers import clean, wire_arguments
from voicepipe.adapters.openai.tool_calls import ToolCalls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.adapters.openai.llm_options import OpenAIOptions
    from voicepipe.components.events import ReplyEvent
    from voicepipe.components.requests import ReplyRequest

NEWER = re.compile(r"(openai/)?(gpt-[5-9]|o[1-9])")
"""Models that refuse `max_tokens`, by how their names begin."""

THOUGHTS = frozenset({"reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks"})
"""Where servers put what a model thinks, beside `content`."""

TEXTS = {"text", "output_text", None}
"""The types of parts that are text."""


def body_for(options: OpenAIOptions, request: ReplyRequest) -> dict[str, Any]:
    """The request's body."""
    prompt, turns = clean(request.prompt), turns_of(request)
    messages: list[dict[str, Any]] = [{"role": "system", "content": prompt}] if prompt else []
    for turn in turns:
        if isinstance(turn, TextTurn):
            messages.append({"role": "assistant" if turn.by_agent else "user", "content": turn.text})
            continue
        function = {"name": turn.call.name, "arguments": wire_arguments(turn.call)}
        call = {"id": turn.call.id, "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": turn.call.id, "content": turn.result})
    tools, may_call = tools_for(request, turns)
    newer = options.is_openai or NEWER.match(options.model)
    body: dict[str, Any] = {  # in the order in which OpenAI's SDK sends them
        "model": options.model,
        "stream": True,
        "messages": messages,
        "max_completion_tokens" if newer else "max_tokens": options.max_tokens,
        "reasoning_effort": options.reasoning_effort,
        "stream_options": {"include_usage": True} if options.include_usage else None,
        "temperature": options.temperature,
        "tool_choice": "none" if tools and not may_call else None,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
                },
            }
            for tool in tools
        ],
    }
    return {name: value for name, value in body.items() if value is not None and value != []}


class ChatReplyBuilder(ReplyBuilder):
    """A reply made of chunks."""

    def take(self, chunk: Mapping[str, Any]) -> Iterator[ReplyEvent]:
        """The events that a chunk, or a whole response, adds.

        Raises:
            ComponentError: the model broke off.

        """
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        if usage:
            self.usage = usage.get("prompt_tokens"), usage.get("completion_tokens")
        for choice in chunk.get("choices") or ():
            if str(choice.get("index") or 0) == "0":
                yield from self._take(choice, is_chunk=chunk.get("object") == "chat.completion.chunk")

    def _take(self, choice: Mapping[str, Any], *, is_chunk: bool) -> Iterator[ReplyEvent]:
        delta, message = choice.get("delta") or {}, choice.get("message") or {}
        thinks = _thinks(delta)
        if thinks or _thinks(message):
            self.think()
        if not _is_thought(delta):
            yield from self.say(_text(delta.get("content")))
        yield from self.say(delta.get("refusal"))
        self._call(self.calls, delta)
        yield from self.say(choice.get("text"))
        if not (delta.get("content") or delta.get("refusal") or delta.get("tool_calls") or thinks):
            # Some have messages where deltas belong; most mean all of the reply by it.
            is_piece = is_chunk and "delta" not in choice and not choice.get("finish_reason")
            text = "" if _is_thought(message) else _text(message.get("content"))
            yield from (self.say if is_piece else self.say_whole)(text or message.get("refusal"))
            self._call_whole(message)
        self.end(choice.get("finish_reason"))
        if message and "delta" not in choice and not is_chunk and self.ended is None:
            self.ended = "complete"  # a whole answer that does not say why it ended

    def _call(self, calls: ToolCalls, delta: Mapping[str, Any]) -> None:
        """The tool calls of a delta or a message; `function_call` is what the API had before."""
        pieces = delta.get("tool_calls") or delta.get("function_call") or ()
        for piece in [pieces] if isinstance(pieces, Mapping) else pieces:
            calls.take(piece)
            self.size += 1

    def _call_whole(self, message: Mapping[str, Any]) -> None:
        """The tool calls of a whole answer, unless they came in pieces before."""
        whole = ToolCalls(self._offered)
        self._call(whole, message)
        if len(whole) > len(self.calls):
            self.calls = whole


def _text(content: object) -> str:
    """The text of what is text, or parts some of which are (Mistral's others are thoughts)."""
    if isinstance(content, list):
        parts = (part for part in content if isinstance(part, Mapping) and not part.get("thought"))
        return "".join(part["text"] for part in parts if part.get("type") in TEXTS)
    return content if isinstance(content, str) else ""


def _thinks(piece: Mapping[str, Any]) -> bool:
    """Whether there are thoughts in a delta or a message."""
    return not THOUGHTS.isdisjoint(piece) and any(piece.get(name) for name in THOUGHTS)


def _is_thought(delta: Mapping[str, Any]) -> bool:
    """Whether the content of a delta is said to be a thought, as Gemini's endpoint says it."""
    extra = delta.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    return isinstance(google, dict) and bool(google.get("thought"))
