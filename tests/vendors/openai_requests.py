"""What OpenAI's API takes, and how it refuses the rest: requests for Chat Completions and Responses.

Messages and codes are those of its error bodies as its reference and its users show them.
"""

from __future__ import annotations

import re
from typing import Any

KEY = "sk-test-0123456789"

CHAT = {
    "frequency_penalty",
    "logit_bias",
    "max_completion_tokens",
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "service_tier",
    "stop",
    "store",
    "stream",
    "stream_options",
    "temperature",
    "tool_choice",
    "tools",
    "top_p",
    "user",
    "verbosity",
}
RESPONSES = {
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "metadata",
    "model",
    "parallel_tool_calls",
    "previous_response_id",
    "reasoning",
    "service_tier",
    "store",
    "stream",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_p",
    "truncation",
    "user",
}
ROLES = ("system", "assistant", "user", "function", "tool", "developer")
THINKS = re.compile(r"gpt-5|o\d")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Refused(Exception):  # noqa: N818 - an answer
    """The request is answered with an error."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
        self.body = {"error": error}


def refuse_if(wrong: object, message: str, param: str | None = None, code: str | None = None) -> None:
    if wrong:
        raise Refused(400, message, param=param, code=code)


def check_key(request, api_key: str | None) -> None:
    """Refuses strangers; a server without keys is told none."""
    given = request.headers.get("authorization", "")
    if api_key is None:
        refuse_if(given, "this server has no keys")
    elif not given:
        said = "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer"
        raise Refused(401, f"{said} auth (i.e. Authorization: Bearer YOUR_KEY).")
    elif given != f"Bearer {api_key}":
        shown = given.removeprefix("Bearer ")
        masked = shown[:8] + "*" * max(0, len(shown) - 12) + shown[-4:]
        where = "You can find your API key at https://platform.openai.com/account/api-keys."
        raise Refused(401, f"Incorrect API key provided: {masked}. {where}", code="invalid_api_key")


def no_such_model(model: object) -> Refused:
    said = f"The model `{model}` does not exist or you do not have access to it."
    return Refused(404, said, code="model_not_found")


def check_chat(request, models: list[str], *, strict: bool) -> dict[str, Any]:
    """The body of a request for a completion."""
    body = _body(request, CHAT, models, strict=strict)
    _check_options(body, strict=strict)
    messages = body.get("messages")
    refuse_if(messages is None, "Missing required parameter: 'messages'.", "messages", "missing_required_parameter")
    empty = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead."
    refuse_if(not messages, empty, "messages", "empty_array")
    waiting: set[str] = set()
    for at, message in enumerate(messages):
        where = f"messages.[{at}].role"
        role = message["role"]
        expected = ", ".join(f"'{name}'" for name in ROLES)
        invalid = f"Invalid value: '{role}'. Supported values are: {expected}."
        refuse_if(role not in ROLES, invalid, f"messages[{at}].role", "invalid_value")
        if role == "tool":
            lost = "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'."
            refuse_if(message["tool_call_id"] not in waiting, f"Invalid parameter: {lost}", where)
            waiting.discard(message["tool_call_id"])
            _check_content(message, at)
            continue
        _refuse_waiting(waiting, where)
        waiting = _check_calls(message, at)
        if not waiting:
            _check_content(message, at)
    _refuse_waiting(waiting, f"messages.[{len(messages)}].role")
    for at, tool in enumerate(body.get("tools", ())):
        assert tool["type"] == "function"
        _check_tool(tool["function"], f"tools[{at}].function")
    refuse_if(body.get("tools") == [], "Invalid 'tools': empty array.", "tools", "empty_array")
    return body


def _body(request, known: set[str], models: list[str], *, strict: bool) -> dict[str, Any]:
    refuse_if(
        request.headers.get("content-type") != "application/json",
        "We could not parse the JSON body of your request.",
    )
    body = request.json
    for name in sorted(set(body) - known) if strict else ():
        refuse_if(True, f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    refuse_if("model" not in body, "you must provide a model parameter")
    if strict and body["model"] not in models:
        raise no_such_model(body["model"])
    refuse_if(
        "stream_options" in body and not body.get("stream"),
        "The 'stream_options' parameter is only allowed when 'stream' is enabled.",
        "stream_options",
    )
    for name, value in body.items():
        refuse_if(value is None, f"Invalid type for '{name}': got null instead.", name, "invalid_type")
    return body


def _check_options(body: dict[str, Any], *, strict: bool) -> None:
    thinks = THINKS.match(body["model"])
    old = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    refuse_if(strict and thinks and "max_tokens" in body, old, "max_tokens", "unsupported_parameter")
    effort = "Unrecognized request argument supplied: reasoning_effort"
    refuse_if(strict and not thinks and "reasoning_effort" in body, effort)
    hot = (
        "Unsupported value: 'temperature' does not support {} with this model. Only the default (1) value is supported."
    )
    hotter = thinks and body.get("temperature", 1) != 1
    refuse_if(strict and hotter, hot.format(body.get("temperature")), "temperature", "unsupported_value")


def _check_content(message: dict[str, Any], at: int) -> None:
    null = "Invalid value for 'content': expected a string, got null."
    refuse_if(not isinstance(message.get("content"), str), null, f"messages.[{at}].content")


def _check_calls(message: dict[str, Any], at: int) -> set[str]:
    """The ids that results are due for."""
    calls = message.get("tool_calls", ())
    for number, call in enumerate(calls):
        where = f"messages[{at}].tool_calls[{number}].id"
        long = f"Invalid '{where}': string too long. Expected a string with maximum length 40"
        refuse_if(len(call["id"]) > 40, f"{long}, but got a string with length {len(call['id'])} instead.", where)
        assert call["type"] == "function"
        assert isinstance(call["function"]["arguments"], str)
    return {call["id"] for call in calls}


def _refuse_waiting(waiting: set[str], where: str) -> None:
    said = (
        "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. "
        f"The following tool_call_ids did not have response messages: {', '.join(sorted(waiting))}"
    )
    refuse_if(waiting, said, where)


def _check_tool(function: dict[str, Any], where: str) -> None:
    pattern = f"Invalid '{where}.name': string does not match pattern. Expected a string that matches the pattern"
    refuse_if(not TOOL_NAME.fullmatch(function["name"]), f"{pattern} '^[a-zA-Z0-9_-]+$'.", where, "invalid_value")
    schema = function["parameters"]
    wrong = f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of 'type: \"object\"'"
    refuse_if(schema.get("type") != "object", wrong, f"{where}.parameters", "invalid_function_parameters")
    missing = f"Invalid schema for function '{function['name']}': object schema missing properties."
    refuse_if("properties" not in schema, missing, f"{where}.parameters", "invalid_function_parameters")


def check_response(request, models: list[str], *, strict: bool) -> dict[str, Any]:
    """The body of a request for a response."""
    body = _body(request, RESPONSES, models, strict=strict)
    required = "Missing required parameter: 'input'."
    refuse_if(not body.get("input"), required, "input", "missing_required_parameter")
    least = "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16"
    few = body.get("max_output_tokens", 16)
    below = f"{least}, but got {few} instead."
    refuse_if(few < 16, below, "max_output_tokens", "integer_below_min_value")
    called: set[str] = set()
    waiting: set[str] = set()
    for item in body["input"]:
        kind = item.get("type", "message")
        if kind == "function_call":
            assert {"call_id", "name", "arguments"} <= set(item)
            called.add(item["call_id"])
            waiting.add(item["call_id"])
        elif kind == "function_call_output":
            lost = f"No tool call found for function call output with call_id {item['call_id']}."
            refuse_if(item["call_id"] not in called, lost, "input")
            assert isinstance(item["output"], str)
            waiting.discard(item["call_id"])
        else:
            assert kind == "message"
            assert item["role"] in {"user", "assistant", "system", "developer"}
            assert isinstance(item["content"], str)
    for number in sorted(waiting):
        refuse_if(True, f"No tool output found for function call {number}.", "input")
    for at, tool in enumerate(body.get("tools", ())):
        assert (tool["type"], tool["strict"]) == ("function", False)
        _check_tool(tool, f"tools[{at}]")
    return body
