"""What each server refuses in a request for a chat completion, as strictly as any of its versions and models does.

Sources, read in November 2026:

- OpenAI: platform.openai.com/docs/api-reference/chat/create, and the texts of its errors.
- Mistral: the request validators of `mistral-common` (`protocol/instruct/validator.py`, V1 to V13), which its API and
  vLLM's `--tokenizer-mode mistral` run; `findings/mistral-common-versions-disagree.sh` says which takes what.
- Anthropic: docs.anthropic.com, "OpenAI SDK compatibility" and "Messages"; error texts as users of it report them. Its
  compatible endpoint turns the request into one of the Messages API, and so does this.
- vLLM: `entrypoints/chat_utils.py` (arguments are parsed) and its `examples/tool_chat_template_*.jinja`.
- llama.cpp: `common/chat.cpp` with `--jinja`: a template without a role for tools gets results as the user's messages.
- Ollama: `openai/openai.go`; templates of its library render words or calls of a message, and pass over the other.

A rule is named after who has it, and says what it says.
"""

from __future__ import annotations

import json
import re
from itertools import groupby, pairwise
from types import SimpleNamespace
from typing import Any

from vendors.openai_requests import check_chat

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
ANTHROPIC_ID = re.compile(r"[a-zA-Z0-9_-]+")

Messages = list[dict[str, Any]]


class RefusedBy(AssertionError):  # noqa: N818 - an answer
    """A server would not take the request."""

    def __init__(self, server: str, message: str, messages: Messages) -> None:
        shown = "\n".join(json.dumps(one, ensure_ascii=False) for one in messages)
        super().__init__(f"{server}: {message}\n{shown}")
        self.server = server


def check_everywhere(body: dict[str, Any]) -> None:
    """Passes if every server takes the body.

    Raises:
        RefusedBy: one does not.

    """
    body = json.loads(json.dumps(body, allow_nan=False).encode())  # as it arrives
    json.dumps(body, ensure_ascii=False).encode()  # no half of a character
    openai(body)
    mistral(body)
    anthropic(body)
    templates(body)
    ollama(body)


def calls_of(message: dict[str, Any]) -> Messages:
    return message.get("tool_calls") or []


def openai(body: dict[str, Any]) -> None:
    """Its own server in `openai_server`, and what that leaves to the types of its SDK."""
    messages = body["messages"]
    sent = SimpleNamespace(headers={"content-type": "application/json"}, json=body)
    check_chat(sent, [body["model"]], strict=True)
    for message in messages:
        refuse = _refusal("OpenAI", messages)
        allowed = {"role", "content"} | {"assistant": {"tool_calls"}, "tool": {"tool_call_id"}}.get(
            message["role"], set()
        )
        refuse(set(message) - allowed, "unknown fields")
        refuse("tool_calls" in message and not message["tool_calls"], "[] is too short - 'tool_calls'")
        for call in calls_of(message):
            refuse(not NAME.fullmatch(call["function"]["name"]), "name: string does not match pattern")
    refuse(
        body.get("tool_choice") and not body.get("tools"), "'tool_choice' is only allowed when 'tools' are specified."
    )


def mistral(body: dict[str, Any]) -> None:
    messages = body["messages"]
    refuse = _refusal("Mistral", messages)
    may_follow = {
        "system": {"system", "user", "assistant"},
        "user": {"user", "assistant", "system"},
        "assistant": {"assistant", "user", "tool"},
        "tool": {"assistant", "tool"},
    }
    for one, other in pairwise(message["role"] for message in messages):
        refuse(other not in may_follow[one], f"Unexpected role '{other}' after role '{one}'")
    refuse(messages[-1]["role"] not in {"user", "tool"}, "Expected last role User or Tool for serving")
    expected: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            number = message["tool_call_id"]
            refuse(not MISTRAL_ID.fullmatch(number), f"Tool call id was {number} but must be 9 letters or digits")
            refuse(number not in expected, f"Unexpected tool call id {number} in tool results")
            expected.remove(number)
            continue
        refuse(expected, "Not the same number of function calls and responses")
        if message["role"] == "assistant":
            both = bool(message["content"]) == bool(calls_of(message))
            refuse(both, "Assistant message must have either content or tool_calls, but not both.")
        for call in calls_of(message):
            refuse(
                not MISTRAL_ID.fullmatch(call["id"]), f"Tool call id was {call['id']} but must be 9 letters or digits"
            )
            refuse(call["id"] in expected, "Duplicate tool call id in assistant message")
            expected.append(call["id"])
    refuse(expected, "Not the same number of function calls and responses")


def anthropic(body: dict[str, Any]) -> None:
    refuse = _refusal("Anthropic", body["messages"])
    systems = [message for message in body["messages"] if message["role"] == "system"]
    refuse(any(not message["content"].strip() for message in systems), "system: text content blocks must be non-empty")
    blocks = [_blocks(message) for message in body["messages"] if message["role"] != "system"]
    turns = [
        (side, [block for _, more in group for block in more])
        for side, group in groupby(blocks, key=lambda one: one[0])
    ]
    refuse(not turns or turns[0][0] != "user", "messages: first message must use the user role")
    refuse(
        turns[-1][0] != "user", "This model does not support assistant message prefill: it must end with a user message"
    )
    used: set[str] = set()
    waiting: list[str] = []
    for side, content in turns:
        texts = [block["text"] for block in content if block["type"] == "text"]
        refuse(any(not text.strip() for text in texts), "text content blocks must contain non-whitespace text")
        refuse(any(text != text.rstrip() for text in texts if side == "assistant"), "trailing whitespace")
        results = [block["id"] for block in content if block["type"] == "tool_result"]
        refuse(
            sorted(results) != sorted(waiting),
            "`tool_use` ids without `tool_result` blocks immediately after, or reverse",
        )
        refuse(
            [b["type"] for b in content[: len(results)]] != ["tool_result"] * len(results), "tool_result must be first"
        )
        waiting = [block["id"] for block in content if block["type"] == "tool_use"]
        refuse(used & set(waiting) or len(waiting) != len(set(waiting)), "`tool_use` ids must be unique")
        refuse(any(not ANTHROPIC_ID.fullmatch(number) for number in waiting), "tool_use.id: should match pattern")
        used |= set(waiting)
    refuse(waiting, "`tool_use` ids were found without `tool_result` blocks")
    refuse(
        used and not body.get("tools"), "Requests which include `tool_use` or `tool_result` blocks must define tools"
    )


def _blocks(message: dict[str, Any]) -> tuple[str, Messages]:
    """A message as the Messages API has it: whose it is, and its blocks."""
    if message["role"] == "tool":
        return "user", [{"type": "tool_result", "id": message["tool_call_id"]}]
    text = [] if message["content"] is None else [{"type": "text", "text": message["content"]}]
    return message["role"], [*text, *({"type": "tool_use", "id": call["id"]} for call in calls_of(message))]


def templates(body: dict[str, Any]) -> None:
    """What vLLM, llama.cpp and others raise while they render a model's own template."""
    messages = [message for message in body["messages"] if message["role"] != "system"]
    refuse = _refusal("Template", messages)
    refuse(any(message["role"] == "system" for message in body["messages"][1:]), "system comes first, and once")
    # Gemma, and Mistral without tools; llama.cpp gives them results as the user's messages.
    sides = ["assistant" if message["role"] == "assistant" else "user" for message in messages]
    strict = all(side == ("user", "assistant")[at % 2] for at, side in enumerate(sides))
    refuse(not strict, "Conversation roles must alternate user/assistant/user/assistant/...")
    # Mistral with tools, Gemma in vLLM: calls and results do not count.
    spoken = [one["role"] for one in messages if one["role"] != "tool" and not one.get("tool_calls")]
    strict = all(role == ("user", "assistant")[at % 2] for at, role in enumerate(spoken))
    refuse(not strict, "After the optional system message, conversation roles must alternate user/assistant/...")
    for message in messages:
        refuse(len(calls_of(message)) > 1, "This model only supports single tool-calls at once!")  # Llama 3
        for call in calls_of(message):
            refuse(len(call["id"]) < 9, "Tool call IDs should be alphanumeric strings with length >= 9!")
            arguments = json.loads(call["function"]["arguments"], parse_constant=lambda name: refuse(name, "no JSON"))
            refuse(not isinstance(arguments, dict), "Can only get item pairs from a mapping.")
    refuse(sides[-1] != "user", "no turn of the model's is begun")


def ollama(body: dict[str, Any]) -> None:
    messages = body["messages"]
    refuse = _refusal("Ollama", messages)
    for message in messages:
        refuse(message["content"] is None and not calls_of(message), "invalid message content type: <nil>")
        refuse(message["content"] and calls_of(message), "a template would leave the words or the calls out")
        refuse(message["role"] == "tool" and not message["content"], "an empty result is no message to a template")


def _refusal(server: str, messages: Messages) -> Any:
    def refuse(wrong: object, message: str) -> None:
        if wrong:
            raise RefusedBy(server, message, messages)

    return refuse
