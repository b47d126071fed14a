"""Refusals of OpenAI, and of servers that speak its API, as `ComponentError`: pure.

OpenAI's body is `{"error": {"message", "type", "param", "code"}}`, as are Groq's and llama.cpp's; elsewhere it is
`{"error": "..."}` (Ollama), `{"object": "error", "message", "type", "code"}` (vLLM) or `{"detail": ...}` (FastAPI).
Sources: platform.openai.com/docs/guides/error-codes, and those servers' documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import frozen

from voicepipe.errors import ComponentError
from voicepipe.wire import http
from voicepipe.wire.http import retry_after_s
from voicepipe.wire.refusals import fault_of, is_too_long

PASSING = http.PASSING | {409}
"""HTTP statuses below 500 that another attempt may not meet; OpenAI's SDK repeats requests after 409 too."""

HINTS = {
    400: "it does not take the model, or an option beside it",
    401: "is {key} set for this account?",
    403: "the account of {key} may not do this",
    404: "are base_url and model right? base_url ends before /models, as a rule with /v1",
    422: "it does not take the model, or an option beside it",
    429: "the account of {key} asks too often",
}
"""By HTTP status."""

FILTERED_HINT = "the service's content filter refuses this conversation; no setting is wrong"

HINTS_BY_CODE = {
    "content_filter": FILTERED_HINT,
    "content_policy_violation": FILTERED_HINT,
    "moderation_blocked": FILTERED_HINT,
    "responsibleaipolicyviolation": FILTERED_HINT,
    "insufficient_quota": "the account of {key} has no credit left",
    "invalid_api_key": "is {key} set for this account?",
    "model_not_found": "does the account of {key} have this model? GET /models lists them",
    "not_found_error": "does the server have this model? GET /models lists them",
}
"""By the error's code or type in lower case, which say more."""

TOO_LONG_HINT = "the conversation is longer than the model takes: `history` bounds it"

LASTING = {
    "insufficient_quota",
    "billing_hard_limit_reached",
    "access_terminated",
    "context_length_exceeded",
    "model_not_found",
    "not_found_error",
}
"""Codes and types that only somebody's doing can end, whatever the status; so are those that begin with `invalid`."""

FAILURES = ("detail", "errors", "error_code", "error_msg", "errorMessage", "errmsg", "msg", "message")
"""What an answer without choices holds that tells of a failure."""

MISTAKES = {"tool_use_failed", "json_validate_failed"}
"""What Groq calls replies of the model that make no sense, whatever the status: asked again, it seldom errs again."""


@frozen
class ErrorDetails:
    """The details that an error body holds."""

    message: str
    """In words; empty: nothing."""
    names: tuple[str, ...] = ()
    """Its code and its type, where it has them."""
    param: str = ""
    """The parameter that it is about."""

    @property
    def quoted(self) -> str:
        """The details as a text for messages."""
        about = f" ({self.param})" if self.param and self.param not in self.message else ""
        return (self.message or ", ".join(self.names)) + about


def refused(status: int, headers: Mapping[str, str], body: str, key: str) -> ComponentError:
    """The error of an HTTP response without success.

    Args:
        status: the HTTP status.
        headers: of the answer, by lower-case name.
        body: of the answer.
        key: how to name the API key: `${OPENAI_API_KEY}`, never its value.

    """
    said = said_in(body)
    retryable = _passes(said, status)
    if headers.get("x-should-retry") in {"true", "false"}:  # OpenAI's own word to its clients
        retryable = headers["x-should-retry"] == "true"
    too_long = is_too_long(status, said.message, said.names)
    return ComponentError(
        f"HTTP {status}",
        retryable=retryable and not too_long,
        answered=said.quoted,
        hint=TOO_LONG_HINT if too_long else _hint(said, HINTS.get(status, ""), key),
        retry_after_s=None if too_long else retry_after_s(headers),
        fault=fault_of(status, said.message, said.names, said.param),
        too_long=too_long,
    )


def broken_off(error: object, key: str) -> ComponentError:
    """The error that an error object in mid-response becomes.

    Args:
        error: the value of `error`, or whatever stands for it.
        key: as in `refused`.

    """
    said = _said_by(error)
    status = next((int(name) for name in said.names if name.isdecimal()), 500)
    too_long = is_too_long(status, said.message, said.names)
    return ComponentError(
        "failed in mid-answer",
        retryable=_passes(said, status) and not too_long,
        answered=said.quoted,
        hint=TOO_LONG_HINT if too_long else _hint(said, HINTS.get(status, ""), key),
        fault=fault_of(status, said.message, said.names, said.param),
        too_long=too_long,
    )


def error_in(name: str, event: Mapping[str, Any]) -> object:
    """The error in an event of a reply's stream, or in a whole response; None: it holds none.

    Args:
        name: the event's, empty as a rule.
        event: its data.

    """
    response, choices, status = event.get("response"), event.get("choices"), event.get("base_resp")
    error = event.get("error")
    if isinstance(status, Mapping) and status.get("status_code"):  # MiniMax
        error = error or {"code": status["status_code"], "message": status.get("status_msg")}
    if event.get("type") == "response.failed":
        error = error or (isinstance(response, Mapping) and response.get("error")) or event
    if error or "error" in {name, event.get("type"), event.get("object")}:
        return error or event
    if choices and isinstance(choices, list):
        return next((error for choice in choices if (error := _error_of(choice))), None)
    if choices is not None or event.keys() & {"usage", "x_groq"} or str(event.get("type")).startswith("response."):
        return None
    # Proxies, and vendors with codes of their own, call it a success.
    return next((event for key in FAILURES if isinstance(event.get(key), str | list) and event[key]), None)


def _error_of(choice: object) -> object:
    """The error that stands in a choice, as OpenRouter tells what its upstreams tell."""
    if not isinstance(choice, dict):
        return None
    for part in (choice, choice.get("delta"), choice.get("message")):
        if isinstance(part, dict) and part.get("error"):
            return part["error"]
    return None


def said_in(body: str) -> ErrorDetails:
    """The details in the body of an error."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ErrorDetails(body)
    if isinstance(answer, Mapping):
        for name in ("error", "detail"):
            if answer.get(name):
                return _said_by(answer[name])
    return _said_by(answer)


def _passes(said: ErrorDetails, status: int) -> bool:
    """Whether the same request may succeed later."""
    if not MISTAKES.isdisjoint(said.names):
        return True
    lasts = any(name in LASTING or name.startswith("invalid") for name in said.names)
    return not lasts and (status >= 500 or status in PASSING)


def _hint(said: ErrorDetails, otherwise: str, key: str) -> str:
    names = map(str.lower, said.names)
    return next((HINTS_BY_CODE[name] for name in names if name in HINTS_BY_CODE), otherwise).format(key=key)


def _said_by(error: Any) -> ErrorDetails:
    if isinstance(error, Mapping):
        names = (error.get("code"), error.get("type"))
        message = next((error[key] for key in ("message", "error", *FAILURES) if error.get(key)), None)
        return ErrorDetails(
            message if isinstance(message, str) else json.dumps(error, ensure_ascii=False),
            tuple(str(name) for name in names if isinstance(name, str | int) and name),
            str(error.get("param") or ""),
        )
    return ErrorDetails(error if isinstance(error, str) else json.dumps(error, ensure_ascii=False))
