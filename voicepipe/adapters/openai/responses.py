"""The Responses API: a reply as a request's body, and its events as a reply. Pure.

Source: platform.openai.com/docs/api-reference/responses and .../responses-streaming. Nothing is stored on the server:
each request carries the whole conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voicepipe.adapters.openai.messages import TextTurn, turns_of
from voicepipe.adapters.openai.reply_builder import ReplyBuilder
from voicepipe.adapters.openai.sanitizers import clean, wire_arguments

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from voicepipe.adapters.openai.llm_options import OpenAIOptions
    from voicepipe.components.events import ReplyEvent
    from voicepipe.components.requests import ReplyRequest

ENDED = {"response.completed", "response.incomplete"}
DELTAS = {"response.output_text.delta", "response.refusal.delta"}


def body_for(options: OpenAIOptions, request: ReplyRequest) -> dict[str, Any]:
    """The request's body."""
    items: list[dict[str, Any]] = []
    for turn in turns_of(request):
        if isinstance(turn, TextTurn):
            items.append({"role": "assistant" if turn.by_agent else "user", "content": turn.text})
            continue
        call, arguments = turn.call, wire_arguments(turn.call)
        items.append({"type": "function_call", "call_id": call.id, "name": call.name, "arguments": arguments})
        items.append({"type": "function_call_output", "call_id": call.id, "output": turn.result})
    body: dict[str, Any] = {  # in the order in which OpenAI's SDK sends them
        "model": options.model,
        "stream": True,
        "input": items,
        "instructions": clean(request.prompt) or None,
        "max_output_tokens": options.max_tokens,
        "reasoning": {"effort": options.reasoning_effort} if options.reasoning_effort else None,
        "store": False,
        "temperature": options.temperature,
        "tools": [
            {
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": dict(tool.parameters) or {"type": "object", "properties": {}},
                "strict": False,  # the default would refuse schemas with optional parameters
            }
            for tool in request.tools
        ],
    }
    return {name: value for name, value in body.items() if value is not None and value != []}


class ResponsesReplyBuilder(ReplyBuilder):
    """A reply made of events."""

    def __init__(self, offered: Iterable[str] = (), *, thinks_first: bool = False) -> None:
        super().__init__(offered, thinks_first=thinks_first)
        self._item: object = None
        self._called: set[object] = set()

    def take(self, event: Mapping[str, Any]) -> Iterator[ReplyEvent]:
        """The events that an event of the API, or a whole response, adds."""
        kind = event.get("type")
        if kind in DELTAS:
            yield from self._say(event.get("output_index"), event.get("delta"))
        elif kind == "response.output_item.done":
            self._call(event.get("item") or {}, event.get("output_index"))
        elif isinstance(kind, str) and kind.startswith("response.reasoning"):
            self.think()
        elif kind in ENDED:
            yield from self._end(event.get("response") or {})
        elif event.get("object") == "response":
            yield from self._end(event)

    def _say(self, item: object, text: object) -> Iterator[ReplyEvent]:
        if self.has_text and item != self._item:
            yield from self.say(" ")  # another message of the same reply
        self._item = item
        yield from self.say(text)

    def _call(self, item: Mapping[str, Any], index: object) -> None:
        number = item.get("call_id") or item.get("id") or ""
        if item.get("type") == "function_call" and self._called.isdisjoint({number or index}):
            self._called.add(number or index)
            self.size += 1
            self.calls.add(number, item.get("name"), item.get("arguments"))

    def _end(self, response: Mapping[str, Any]) -> Iterator[ReplyEvent]:
        """The response as a whole, with what did not come before."""
        silent = not self.has_text
        for index, item in enumerate(response.get("output") or ()):
            self._call(item, index)
            for part in (item.get("content") or ()) if silent and item.get("type") == "message" else ():
                yield from self._say(index, part.get("text") or part.get("refusal"))
        if usage := response.get("usage"):
            self.usage = usage.get("input_tokens"), usage.get("output_tokens")
        status = response.get("status")
        reason = (response.get("incomplete_details") or {}).get("reason") if status == "incomplete" else status
        self.end(reason)
        if self.ended is None or (status == "incomplete" and self.ended == "unknown"):
            self.ended = "length" if status == "incomplete" else "complete"
