"""OpenAI's API as the tests of its language models need it: models, Chat Completions, Responses, and its refusals.

Formats and error bodies are those of its API reference (platform.openai.com/docs/api-reference: "Chat", "Chat
streaming", "Responses", "Responses streaming", "Models"; docs/guides/error-codes) and of what its users report. What
is answered is for the test to say, request by request; events of other servers can be given literally.
"""

from __future__ import annotations

import json
from collections import deque
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import frozen
from vendors.openai_requests import KEY, Refused, check_chat, check_key, check_response, no_such_model
from vendors.serving import VendorServer

if TYPE_CHECKING:
    from collections.abc import Callable

CREATED = 1_794_000_000
MODELS = ("gpt-4.1-mini", "gpt-5-mini", "gpt-4o-mini-transcribe")


@frozen
class Says:
    """What the model answers."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    """Names and arguments of tools; the arguments as JSON, or what the model takes for it."""
    finish: str = ""
    """`finish_reason`; empty: as it should be. The Responses API says the same in its own words."""
    refusal: str = ""
    thoughts: int = 0
    """Tokens of reasoning, which are paid for."""

    @property
    def reason(self) -> str:
        return self.finish or ("tool_calls" if self.calls else "stop")

    @property
    def words(self) -> list[str]:
        """The text in the pieces that a model makes it of."""
        return pieces(self.text)


def pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if at == 0 else f" {word}" for at, word in enumerate(words)] if text else []


Answer = Says | list[Any]
"""What is said, or the events of another server as they come: objects for JSON, or lines of text."""


def echo(body: dict[str, Any]) -> Says:
    """Says what was asked last again."""
    asked = body["messages"] if "messages" in body else body["input"]
    return Says(f"You said: {asked[-1].get('content') or asked[-1].get('output')}")


class OpenAIServer(VendorServer):
    """`api.openai.com` as far as it is about text."""

    def __init__(self, api_key: str | None = KEY) -> None:
        super().__init__()
        self.api_key = api_key
        """None: it wants none."""
        self.models = list(MODELS)
        self.retrieves = True
        """Whether there is `GET /models/{model}`, which vLLM has not."""
        self.strict = True
        """Whether unknown models and parameters are refused."""
        self.answers: deque[Answer] = deque()
        """What the next requests get, one each."""
        self.reply: Callable[[dict[str, Any]], Answer] = echo
        """What all others get."""
        self.asked: deque[dict[str, Any]] = deque(maxlen=20)
        """The bodies of the requests that were taken."""
        self.requests = deque(maxlen=20)
        self._ids = count(1)

    async def answer(self, request, response) -> None:
        path = request.path.removeprefix("/v1")
        try:
            check_key(request, self.api_key)
            if path == "/models" and request.method == "GET":
                data = [{"id": m, "object": "model", "created": CREATED, "owned_by": "system"} for m in self.models]
                await response.json({"object": "list", "data": data})
            elif path.startswith("/models/") and request.method == "GET" and self.retrieves:
                await self._retrieve(path.removeprefix("/models/").replace("%2F", "/"), response)
            elif path == "/chat/completions" and request.method == "POST":
                body = check_chat(request, self.models, strict=self.strict)
                await self._chat(body, self._next(body), response)
            elif path == "/responses" and request.method == "POST":
                body = check_response(request, self.models, strict=self.strict)
                await self._response(body, self._next(body), response)
            else:
                unknown = Refused(404, f"Unknown request URL: {request.method} {request.path}.", code="unknown_url")
                await response.json(unknown.body, unknown.status)
        except Refused as refused:
            await response.json(refused.body, refused.status, {"x-request-id": "req_0123456789abcdef"})

    def _next(self, body: dict[str, Any]) -> Answer:
        self.asked.append(body)
        return self.answers.popleft() if self.answers else self.reply(body)

    async def _retrieve(self, model, response) -> None:
        if model not in self.models:
            raise no_such_model(model)
        await response.json({"id": model, "object": "model", "created": CREATED, "owned_by": "system"})

    async def _chat(self, body, answer, response) -> None:
        number = f"chatcmpl-{next(self._ids):029}"
        if not body.get("stream"):
            await response.json(completion(number, body, answer))
            return
        await start_events(response)
        events = [*chunks(number, body, answer), "data: [DONE]\n\n"] if isinstance(answer, Says) else answer
        for event in events:
            await response.send(event if isinstance(event, str | bytes) else f"data: {json.dumps(event)}\n\n")

    async def _response(self, body, answer, response) -> None:
        number = f"resp_{next(self._ids):048}"
        if not body.get("stream"):
            await response.json(whole_response(number, body, answer))
            return
        await start_events(response)
        events = answer if isinstance(answer, list) else list(response_events(number, body, answer))
        for at, event in enumerate(events):
            if isinstance(event, dict):
                data = json.dumps(event | {"sequence_number": at})
                await response.send(f"event: {event['type']}\ndata: {data}\n\n")
            else:
                await response.send(event)


async def start_events(response) -> None:
    headers = {"content-type": "text/event-stream; charset=utf-8", "x-request-id": "req_0123456789abcdef"}
    await response.start(200, headers | {"openai-processing-ms": "180", "openai-version": "2020-10-01"})


# --- Chat Completions ----------------------------------------------------------------------------------------------


def chunk(number: str, model: str, delta: dict[str, Any] | None, finish: str | None = None, **more) -> dict[str, Any]:
    """One chunk of a reply; without a delta, without choices."""
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    return {
        "id": number,
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [] if delta is None else choices,
        **more,
    }


def chunks(number: str, body: dict[str, Any], says: Says) -> list[dict[str, Any]]:
    """A reply in chunks, as OpenAI sends it."""
    model = f"{body['model']}-2026-04-14"
    asks_usage = body.get("stream_options", {}).get("include_usage")
    more = {"usage": None} if asks_usage else {}
    content = None if says.calls and not says.text else ""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": content, "refusal": None}]
    deltas += [{"content": word} for word in says.words]
    deltas += [{"refusal": word} for word in pieces(says.refusal)]
    for index, (name, arguments) in enumerate(says.calls):
        function = {"name": name, "arguments": ""}
        deltas.append({"tool_calls": [{"index": index, "id": call_id(number, index), "type": "function"}]})
        deltas[-1]["tool_calls"][0]["function"] = function
        for at in range(0, len(arguments), 4):
            deltas.append({"tool_calls": [{"index": index, "function": {"arguments": arguments[at : at + 4]}}]})
    found = [chunk(number, model, delta, **more) for delta in deltas]
    found.append(chunk(number, model, {}, says.reason, **more))
    if asks_usage:
        found.append(chunk(number, model, None, usage=usage(body, says)))
    return found


def call_id(number: str, index: int) -> str:
    return f"call_{number[-8:]}{index:016}"


def usage(body: dict[str, Any], says: Says) -> dict[str, Any]:
    read = sum(len(pieces(message.get("content") or "")) for message in body["messages"])
    written = written_tokens(says)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": says.thoughts, "audio_tokens": 0},
    }


def written_tokens(says: Says) -> int:
    return len(says.words) + len(pieces(says.refusal)) + says.thoughts + 10 * len(says.calls)


def completion(number: str, body: dict[str, Any], says: Says) -> dict[str, Any]:
    """A reply that is not streamed."""
    message: dict[str, Any] = {"role": "assistant", "content": says.text or None, "refusal": says.refusal or None}
    if says.calls:
        message["tool_calls"] = [
            {"id": call_id(number, at), "type": "function", "function": {"name": name, "arguments": arguments}}
            for at, (name, arguments) in enumerate(says.calls)
        ]
    return {
        "id": number,
        "object": "chat.completion",
        "created": CREATED,
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": says.reason}],
        "usage": usage(body, says),
    }


# --- Responses -----------------------------------------------------------------------------------------------------

INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


def whole_response(number: str, body: dict[str, Any], says: Says, status: str = "") -> dict[str, Any]:
    """A response object; while it is under way it has no output yet."""
    reason = INCOMPLETE.get(says.finish)
    final = not status
    return {
        "id": number,
        "object": "response",
        "created_at": CREATED,
        "status": status or ("incomplete" if reason else "completed"),
        "error": None,
        "incomplete_details": {"reason": reason} if reason and final else None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": body["model"],
        "output": output_items(number, says) if final else [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": body.get("store", True),
        "tool_choice": "auto",
        "tools": body.get("tools", []),
        "usage": response_usage(body, says) if final else None,
    }


def output_items(number: str, says: Says) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if says.thoughts:
        items.append({"id": f"rs_{number[5:]}", "type": "reasoning", "summary": []})
    if says.text or says.refusal:
        part = {"type": "output_text", "text": says.text, "annotations": [], "logprobs": []}
        if says.refusal:
            part = {"type": "refusal", "refusal": says.refusal}
        item = {"id": f"msg_{number[5:]}", "type": "message", "status": "completed", "role": "assistant"}
        items.append(item | {"content": [part]})
    for at, (name, arguments) in enumerate(says.calls):
        item = {"id": f"fc_{number[5:]}{at}", "type": "function_call", "status": "completed"}
        items.append(item | {"call_id": call_id(number, at), "name": name, "arguments": arguments})
    return items


def response_events(number: str, body: dict[str, Any], says: Says):
    """A response in events."""
    under_way = whole_response(number, body, says, "in_progress")
    yield {"type": "response.created", "response": under_way}
    yield {"type": "response.in_progress", "response": under_way}
    for index, item in enumerate(output_items(number, says)):
        begun = item | {"status": "in_progress", "content": [], "arguments": ""}
        kept = set(item) | ({"status"} if item["type"] != "reasoning" else set())
        begun = {name: value for name, value in begun.items() if name in kept}
        yield {"type": "response.output_item.added", "output_index": index, "item": begun}
        place = {"item_id": item["id"], "output_index": index}
        if item["type"] == "message":
            yield from message_events(place | {"content_index": 0}, item["content"][0])
        elif item["type"] == "function_call":
            arguments = item["arguments"]
            for at in range(0, len(arguments), 4):
                yield {"type": "response.function_call_arguments.delta", **place, "delta": arguments[at : at + 4]}
            yield {"type": "response.function_call_arguments.done", **place, "arguments": arguments}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    ended = whole_response(number, body, says)
    yield {"type": f"response.{ended['status']}", "response": ended}


def message_events(place: dict[str, Any], part: dict[str, Any]):
    name, text = ("refusal", part["refusal"]) if part["type"] == "refusal" else ("output_text", part["text"])
    key = "refusal" if name == "refusal" else "text"
    more = {"logprobs": []} if key == "text" else {}
    yield {"type": "response.content_part.added", **place, "part": part | {key: ""}}
    for word in pieces(text):
        yield {"type": f"response.{name}.delta", **place, "delta": word, **more}
    yield {"type": f"response.{name}.done", **place, key: text, **more}
    yield {"type": "response.content_part.done", **place, "part": part}


def response_usage(body: dict[str, Any], says: Says) -> dict[str, Any]:
    read = sum(len(pieces(str(item.get("content") or item.get("output") or ""))) for item in body["input"])
    written = written_tokens(says)
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": says.thoughts},
        "total_tokens": read + written,
    }
