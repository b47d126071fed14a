"""The reasons for which models end, in the spellings of OpenAI and of servers that speak its API: pure.

Sources: the references of OpenAI, Azure, Anthropic (`stop_reason`), Gemini (`FinishReason`), Mistral, DeepSeek, Cohere,
Bedrock, Zhipu and OpenRouter, and the sources of vLLM, SGLang, TGI, llama.cpp and LiteLLM.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

End: TypeAlias = Literal["complete", "called", "length", "filtered", "failed", "unknown"]
"""`complete`: by itself; `called`: for the results of tools; `length`: at its length limit; `filtered`: stopped by a
filter; `failed`: it broke off; `unknown`: for a reason that this version does not know."""

ENDS: Mapping[End, frozenset[str]] = {
    "complete": frozenset(
        {"stop", "stop_sequence", "stop_token", "eos", "eos_token", "end", "end_turn", "end_of_turn", "eot", "complete"}
        | {"completed", "done", "finished", "success", "normal", "pause_turn"}
    ),
    "called": frozenset(
        {"tool_call", "tool_calls", "function_call", "function_calls", "tool_use", "call_tool", "requires_action"}
    ),
    "length": frozenset(
        {"length", "max_length", "model_length", "max_tokens", "max_output_tokens", "max_new_tokens", "token_limit"}
        | {"max_completion_tokens", "max_tokens_reached", "model_context_window_exceeded", "context_length_exceeded"}
    ),
    "filtered": frozenset(
        {"content_filter", "content_filtered", "content_policy_violation", "safety", "image_safety", "recitation"}
        | {"blocklist", "prohibited_content", "spii", "refusal", "sensitive", "guardrail_intervened", "error_toxic"}
        | {"moderation", "guardrails", "policy_violation", "language"}
    ),
    "failed": frozenset(
        {"error", "network_error", "insufficient_system_resource", "abort", "aborted", "cancelled", "canceled"}
        | {"timeout", "timed_out", "time_limit", "failed", "failure", "incomplete", "overloaded", "engine_overloaded"}
        | {"malformed_function_call", "malformed_tool_call", "malformed_tool_use", "malformed_response"}
        | {"unexpected_tool_call", "too_many_tool_calls", "malformed_model_output", "missing_thought_signature"}
        | {"other", "internal_error", "server_error", "repetition", "error_limit"}
    ),
}
"""Reasons, in lower case with underscores, by what they mean."""

NO_END = {"", "null", "none", "unspecified", "finish_reason_unspecified", "unknown_finish_reason"}
"""What some servers put where nothing belongs, while the reply goes on."""

WORDS: Mapping[str, End] = {
    **dict.fromkeys(("error", "fail", "failed", "failure", "malformed", "abort", "aborted", "invalid"), "failed"),
    **dict.fromkeys(("timeout", "overloaded", "unavailable", "disconnected", "exception"), "failed"),
    **dict.fromkeys(("filter", "filtered", "safety", "blocked", "prohibited", "policy", "moderation"), "filtered"),
    **dict.fromkeys(("length", "tokens"), "length"),
    **dict.fromkeys(("tool", "tools", "function"), "called"),
    **dict.fromkeys(("stop", "stopped", "eos"), "complete"),
}
"""What a reason means that is not in the table, by the first of these words, in this order, that is in it."""

_BY_REASON: Mapping[str, End] = {reason: end for end, reasons in ENDS.items() for reason in reasons}
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_OTHER = re.compile(r"[^a-z0-9]+")


def end_of(reason: object) -> End | None:
    """The end that a `finish_reason` stands for; None: the reply goes on.

    Spelling does not matter: `MAX_TOKENS`, `maxTokens` and `FinishReason.MAX_TOKENS` are one. Of
    `function_call_filter: MALFORMED_FUNCTION_CALL` the last part counts, which says more.
    """
    if not isinstance(reason, str):
        return None
    parts = [_plain(part) for part in re.split(r"[.:]", reason)]
    if all(part in NO_END for part in parts):
        return None
    for part in (_plain(reason), *reversed(parts)):
        if part in _BY_REASON:
            return _BY_REASON[part]
    words = [word for part in parts for word in part.split("_")]
    return next((WORDS[word] for word in WORDS if word in words), "unknown")


def _plain(reason: str) -> str:
    return _OTHER.sub("_", _HUMP.sub("_", reason).casefold()).strip("_")
