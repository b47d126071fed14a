"""Tells from a refusal's HTTP status and text whose fault it is: the request's or the component's. Pure.

A status of 400 or 422 may mean that this conversation is too long, that a filter does not like it, or that no request
of this account will ever succeed. Only the last of these is the component's fault: every other call would fail
too, so its circuit breaker counts it. In doubt the fault is the request's: then the call goes on to its next
alternative, and no other call is affected.

Sources: platform.openai.com/docs/guides/error-codes, learn.microsoft.com/azure/ai-services/openai (content filter),
console.groq.com/docs/errors, docs.mistral.ai, help.elevenlabs.io ("API - Error Code 400 or 401"),
developers.deepgram.com/docs/errors, and the sources of llama.cpp's server, vLLM, SGLang and Ollama.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.errors import Fault

TOO_LARGE, TOO_MANY_REQUESTS = 413, 429

REQUESTS = {400, TOO_LARGE, 414, 415, 422, 431}
"""HTTP statuses that are about what this request holds, unless what they say is about something else."""

REQUEST_CODES = {
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "invalid_prompt",
    "moderation_blocked",
    "max_character_limit_exceeded",
    "text_too_long",
    "input_too_long",
    "audio_too_short",
    "payload_too_large",
}
"""Codes and types that are about what a request holds, whatever the status."""

COMPONENT_CODES = {
    "access_terminated",
    "account_deactivated",
    "api_key_invalid",
    "billing_hard_limit_reached",
    "billing_not_active",
    "deploymentnotfound",
    "incorrect_api_key",
    "insufficient_quota",
    "invalid_api_key",
    "invalid_model",
    "invalid_model_id",
    "invalid_query_parameter",
    "invalid_uid",
    "invalid_voice_id",
    "json_validate_failed",
    "missing_api_key",
    "missing_permissions",
    "model_access_denied",
    "model_decommissioned",
    "model_not_available",
    "model_not_found",
    "needs_authorization",
    "not_found_error",
    "quota_exceeded",
    "subscription_required",
    "tool_use_failed",
    "unknown_parameter",
    "unsupported_parameter",
    "unsupported_value",
    "voice_access_denied",
    "voice_not_found",
}
"""Those that every request would meet, or that are the model's own mistake, whatever the status."""

CONTENT = {
    *("messages", "input", "prompt", "instructions", "contents", "text", "previous_text", "next_text"),
    *("tools", "tool_choice", "functions", "file", "audio", "body", "keyterm", "keywords", "input_tokens"),
}
"""Parameters that differ from request to request; all others are options, the same for every call."""

TOO_LONG_CODES = {
    "3051",  # Mistral's
    "array_above_max_length",
    "context_length_exceeded",
    "context_window_exceeded",
    "exceed_context_size_error",
    "model_context_window_exceeded",
    "prompt_too_long",
    "request_too_large",
    "string_above_max_length",
}
"""Codes and types of a conversation that is longer than the model takes."""

_TOO_LONG_WORDS = (
    r"maximum (context|prompt|model|input) length",
    r"exceed\w*\b[^.]{0,40}\b(context|token|model)[ _](length|window|size|limit|count)",
    r"(context|token)[ _](length|window|size|limit|count)[^.]{0,40}\bexceed",
    r"(prompt|input|inputs|conversation|messages?) (is|are|was) too (long|large)",
    r"prompt too long",
    r"(longer|greater|larger) than the (model'?s? )?(maximum )?(context|model) length",
    r"reduce the length of the (messages|input|prompt)",
    r"reduce your (prompt|message)",
    r"max_new_tokens`? must be <=",
    r"context the overflows|context overflow",
    r"too large for model with",
    r"(range of )?input length should be",
    r"the configured context size",
)
_TOO_LONG = re.compile("|".join(_TOO_LONG_WORDS), re.IGNORECASE)
_TOO_LONG_FOR_A_MINUTE = re.compile(r"request too large|tokens must be reduced|reduce your message", re.IGNORECASE)
"""What 429 says when no pause helps: one request is more than the account may send in a minute (OpenAI, Groq)."""

_FILTERED = re.compile(
    r"content (management |usage )?polic|content[ _-]filter|\bflagged\b|\bmoderation\b|\bunsafe\b|safety system",
    re.IGNORECASE,
)
_ABOUT_CONTENT = re.compile(
    r"\b(text|language|utterance|characters?|keyterms?)\b[^.]{0,60}"
    r"\b(too (long|short|many)|empty|not supported|unsupported|limit|maximum|exceed\w*)"
    r"|(unsupported|unknown) language|too many characters",
    re.IGNORECASE,
)
"""What servers that have one status for everything say of a single text or recording."""

_FOR_EVERYBODY_WORDS = (
    r"api[ _-]?key",
    r"\bmodels?\b[^.]{0,80}\b(not found|not exist|not loaded|decommissioned|no access|not available)",
    r"no such model|no models? loaded|unknown model|invalid model",
    r"\bvoice\b[^.]{0,80}\b(not found|not exist)|unknown voice|invalid voice",
    r"does not support (tools|functions|streaming|thinking|temperature|chat)",
    r"(unsupported|unknown|unrecogni[sz]ed|invalid) (query |request )?(parameter|argument)",
    r"out of credits?|insufficient (credit|quota|balance|funds)",
)
_FOR_EVERYBODY = re.compile("|".join(_FOR_EVERYBODY_WORDS), re.IGNORECASE)


def fault_of(status: int, said: str = "", codes: Iterable[str] = (), param: str = "") -> Fault:
    """The fault of a refusal: the request's or the component's.

    Args:
        status: of HTTP, or what comes closest to it.
        said: the vendor's words.
        codes: its names for the error.
        param: the parameter that it is about, with its path: `messages[0].content`, `body.text`.

    """
    names = {code.casefold() for code in codes}
    if is_too_long(status, said, names) or not REQUEST_CODES.isdisjoint(names):
        return "request"
    if not COMPONENT_CODES.isdisjoint(names):
        return "component"
    if status in REQUESTS:
        return "request" if _FILTERED.search(said) or not _is_for_everybody(said, param) else "component"
    about_content = {403: _FILTERED, 500: _ABOUT_CONTENT, 501: _ABOUT_CONTENT}.get(status)
    return "request" if about_content is not None and about_content.search(said) else "component"


def _is_for_everybody(said: str, param: str) -> bool:
    """Whether a refusal is about an option, or the account: something that is the same for every request."""
    path = re.split(r"[.\[]", param.removeprefix("body.").removeprefix("query."))[0]
    return path not in CONTENT if path else _FOR_EVERYBODY.search(said) is not None


def is_too_long(status: int, said: str = "", codes: Iterable[str] = ()) -> bool:
    """Whether a refusal says that the request is longer than the model takes: a shorter one may succeed."""
    if not TOO_LONG_CODES.isdisjoint(code.casefold() for code in codes):
        return True
    if status == TOO_MANY_REQUESTS:
        return _TOO_LONG_FOR_A_MINUTE.search(said) is not None
    return status == TOO_LARGE or (status not in {401, 402, 403, 404} and _TOO_LONG.search(said) is not None)
