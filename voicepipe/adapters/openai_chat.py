"""Chat Completions: a reply as a request's body, and its chunks as a reply. Pure.

Source: platform.openai.com/docs/api-reference/chat and .../chat-streaming. Servers that speak it differ in what they
leave out: chunks without `choices`, usage on every chunk or under `x_groq`, tool calls whole in one chunk, without
`index` (Ollama until 0.4.7), all with index 0 (Ollama later) or without `id`, a whole answer instead of chunks.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from voicepipe.adapters.openai_conversation import turns_of
from voicepipe.adapters.openai_reply import Called, End, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voicepipe.adapters.openai_llm import OpenAIOptions
    from voicepipe.events import ReplyEvent
    from voicepipe.requests import ReplyRequest

NEWER = re.compile(r"(openai/)?(gpt-[5-9]|o[1-9])")
"""Models that refuse `max_tokens`, by how their names begin."""

ENDS: Mapping[str, End] = {"length": "length", "max_tokens": "length", "content_filter": "filtered"}
"""What `finish_reason` means; all others are an end by itself."""


def body_for(options: OpenAIOptions, request: ReplyRequest) -> dict[str, Any]:
    """The request's body."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": request.prompt}] if request.prompt else []
    for turn in turns_of(request):
        message: dict[str, Any] = {"role": "assistant" if turn.by_agent else "user", "content": turn.text}
        if turn.returned:
            message["content"] = turn.text or None
            message["tool_calls"] = [
                {
                    "id": one.call.id,
                    "type": "function",
                    "function": {
                        "name": one.call.name,
                        "arguments": json.dumps(dict(one.call.arguments), ensure_ascii=False),
                    },
                }
                for one in turn.returned
            ]
        messages.append(message)
        messages += [{"role": "tool", "tool_call_id": one.call.id, "content": one.result} for one in turn.returned]
    newer = options.is_openai or NEWER.match(options.model)
    body: dict[str, Any] = {
        "model": options.model,
        "messages": messages,
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
                },
            }
            for tool in request.tools
        ],
        "temperature": options.temperature,
        "max_completion_tokens" if newer else "max_tokens": options.max_tokens,
        "reasoning_effort": options.reasoning_effort,
        "stream": True,
        "stream_options": {"include_usage": True} if options.include_usage else None,
    }
    return {name: value for name, value in body.items() if value is not None and value != []}


class ChatReply(Reply):
    """A reply made of chunks."""

    def __init__(self) -> None:
        super().__init__()
        self._by_index: dict[object, Called] = {}

    def take(self, chunk: Mapping[str, Any]) -> Iterator[ReplyEvent]:
        """What a chunk adds, or a whole answer."""
        usage = chunk.get("usage") or (chunk.get("x_groq") or {}).get("usage")
        if usage:
            self.usage = usage.get("prompt_tokens"), usage.get("completion_tokens")
        for choice in chunk.get("choices") or ():
            if choice.get("index") in {0, None}:
                yield from self._take(choice)

    def _take(self, choice: Mapping[str, Any]) -> Iterator[ReplyEvent]:
        delta = choice.get("delta") or choice.get("message") or {}
        yield from self.say(_text(delta.get("content")))
        yield from self.say(delta.get("refusal"))
        for call in delta.get("tool_calls") or ():
            self._call(call)
        if reason := choice.get("finish_reason"):
            self.ended = ENDS.get(reason, "complete")

    def _call(self, delta: Mapping[str, Any]) -> None:
        """A tool call, or the next piece of one."""
        index, number, function = delta.get("index"), str(delta.get("id") or ""), delta.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        call = self._by_index.get(index) if index is not None else self.calls[-1] if self.calls else None
        # An index that is used twice, or none: then a name begins a call, unless it is its own again.
        another = bool(name) and (number != call.id if number and call else index is None)
        if call is None or another:
            call = self._by_index[index] = Called()
            self.calls.append(call)
        call.id, call.name = call.id or number, call.name or name
        if isinstance(arguments, str) and isinstance(call.arguments, str):
            call.arguments += arguments
        elif arguments:
            call.arguments = arguments


def _text(content: object) -> object:
    """The text of what is text, or parts some of which are (Mistral's others are thoughts)."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content
