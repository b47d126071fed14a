"""Whose fault a refusal is, vendor by vendor: their bodies as they send them, and what calls make of each."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from voicepipe.adapters.deepgram import errors as deepgram_errors
from voicepipe.adapters.elevenlabs import errors as elevenlabs_errors
from voicepipe.adapters.openai import errors as openai_errors
from voicepipe.components.breaker import Breaker
from voicepipe.wire.refusals import fault_of

NAME = "${KEY}"


def openai(message, code=None, kind="invalid_request_error", param=None, **more):
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code, **more}})


TOO_LONG = {
    "OpenAI": (
        400,
        openai(
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.",
            "context_length_exceeded",
            param="messages",
        ),
    ),
    "OpenAI, Responses": (
        400,
        openai(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "context_length_exceeded",
            param="input",
        ),
    ),
    "OpenAI, a string": (
        400,
        openai(
            "Invalid 'messages[3].content': string too long.", "string_above_max_length", param="messages[3].content"
        ),
    ),
    "OpenAI, a minute's tokens": (
        429,
        openai(
            "Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested "
            "41871. The input or output tokens must be reduced in order to run successfully.",
            "rate_limit_exceeded",
            "tokens",
        ),
    ),
    "Azure": (
        400,
        openai(
            "This model's maximum context length is 16385 tokens. However, your messages resulted in 17017 tokens. "
            "Please reduce the length of the messages.",
            "context_length_exceeded",
            param="messages",
        ),
    ),
    "llama.cpp": (
        400,
        json.dumps(
            {
                "error": {
                    "code": 400,
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 4211,
                    "n_ctx": 4096,
                    "message": "request (4211 tokens) exceeds the available context size (4096 tokens), "
                    "try increasing it",
                }
            }
        ),
    ),
    "llama.cpp before": (
        500,
        openai(
            "the request exceeds the available context size. try increasing the context size or enable context shift",
            500,
            "server_error",
        ),
    ),
    "vLLM": (
        400,
        json.dumps(
            {
                "object": "error",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
                "message": "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens "
                "(4900 in the messages, 100 in the completion).",
            }
        ),
    ),
    "vLLM, its engine": (
        400,
        json.dumps(
            {
                "object": "error",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
                "message": "The decoder prompt (length 5000) is longer than the maximum model length of 4096. Make "
                "sure that `max_model_len` is no smaller than the number of text tokens.",
            }
        ),
    ),
    "SGLang": (
        400,
        openai("The input (70000 tokens) is longer than the model's context length (65536 tokens).", 400),
    ),
    "Ollama": (400, json.dumps({"error": "prompt too long; exceeded max context length by 904 tokens"})),
    "Ollama, its input": (400, json.dumps({"error": "the input length exceeds the context length"})),
    "Mistral": (
        400,
        json.dumps(
            {
                "object": "error",
                "type": "invalid_request_error",
                "code": "3051",
                "param": None,
                "message": "Prompt contains 40960 tokens and 0 draft tokens, too large for model with 32768 maximum "
                "context length",
            }
        ),
    ),
    "Groq": (
        400,
        openai("Please reduce the length of the messages or completion.", "context_length_exceeded", param="messages"),
    ),
    "Groq, a minute's tokens": (
        413,
        openai(
            "Request too large for model `llama-3.1-8b-instant` in organization `org_1` service tier `on_demand` on "
            "tokens per minute (TPM): Limit 6000, Requested 7154, please reduce your message size and try again.",
            "rate_limit_exceeded",
            "tokens",
        ),
    ),
    "OpenRouter": (
        400,
        json.dumps(
            {
                "error": {
                    "code": 400,
                    "message": "This endpoint's maximum context length is 131072 tokens. However, "
                    "you requested about 140000 tokens.",
                }
            }
        ),
    ),
    "Anthropic's": (400, openai("prompt is too long: 213462 tokens > 200000 maximum")),
    "Gemini's": (
        400,
        openai("The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).", 400),
    ),
    "xAI": (400, openai("This model's maximum prompt length is 131072 but the request contains 537812 tokens.")),
    "LM Studio": (
        400,
        json.dumps(
            {
                "error": "Trying to keep the first 5102 tokens when context the overflows. However, the model is "
                "loaded with context length of only 4096 tokens."
            }
        ),
    ),
    "Together": (
        422,
        openai("Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. Given: 5000"),
    ),
    "a proxy": (413, "<html><title>413 Request Entity Too Large</title></html>"),
}


@pytest.mark.parametrize("vendor", TOO_LONG)
def test_the_words_for_a_conversation_that_is_too_long(vendor):
    status, body = TOO_LONG[vendor]
    error = openai_errors.refused(status, {"retry-after": "20"}, body, NAME)
    assert (error.too_long, error.fault, error.retryable, error.retry_after_s) == (True, "request", False, None)
    assert "history" in error.hint


@pytest.mark.parametrize("vendor", TOO_LONG)
def test_they_mean_the_same_in_an_answer_that_has_begun(vendor):
    _, body = TOO_LONG[vendor]
    if body.startswith("{"):
        said = json.loads(body)
        error = openai_errors.broken_off(said.get("error", said), NAME)
        assert (error.too_long, error.fault) == (True, "request") or TOO_LONG[vendor][0] in {413, 429}


OPENAI = {
    # what a request holds
    "a filter, Azure's": (400, openai("The response was filtered due to the prompt triggering the content management "
                                      "policy.", "content_filter", None, "prompt"), "request"),
    "a filter, OpenAI's": (400, openai("Your request was rejected as a result of our safety system.",
                                       "content_policy_violation"), "request"),
    "a filter, a reasoning model's": (400, openai("Invalid prompt: your prompt was flagged as potentially violating "
                                                  "our usage policy.", "invalid_prompt"), "request"),
    "a filter, OpenRouter's": (403, openai("Input was flagged by moderation", 403), "request"),
    "a schema": (400, openai("Invalid schema for function 'book': [] is not of type 'object'.",
                             "invalid_function_parameters", param="tools[0].function.parameters"), "request"),
    "roles": (400, openai("Conversation roles must alternate user/assistant/user/assistant", 400), "request"),
    "a tool's ID": (400, json.dumps({"object": "error", "message": "Tool call id was call_1 but must be a-z, A-Z, 0-9",
                                     "type": "invalid_request_error", "code": "3280"}), "request"),
    "a field, FastAPI's": (422, json.dumps({"detail": [{"loc": ["body", "input"], "msg": "too short"}]}), "request"),
    "a short recording": (400, openai("Audio file is too short. Minimum audio length is 0.1 seconds.",
                                      "audio_too_short"), "request"),
    "nothing at all": (400, "", "request"),
    # what every request would meet
    "a key": (401, openai("Incorrect API key provided", "invalid_api_key"), "component"),
    "a key, xAI's": (400, openai("Incorrect API key provided: xa***. You can obtain an API key from console.x.ai."),
                     "component"),
    "a key, Gemini's": (400, openai("API key not valid. Please pass a valid API key.", 400), "component"),
    "a permission": (403, openai("You are not allowed to do this", "forbidden"), "component"),
    "a model": (404, openai("The model `x` does not exist", "model_not_found", param="model"), "component"),
    "a model, by 400": (400, openai("invalid model ID", None, param="model"), "component"),
    "a model, Groq's": (400, openai("The model has been decommissioned", "model_decommissioned"), "component"),
    "a model, Ollama's": (400, json.dumps({"error": "registry.ollama.ai/library/gemma does not support tools"}),
                          "component"),
    "an option": (400, openai("Unsupported value: 'temperature' does not support 0.2 with this model.",
                              "unsupported_value", param="temperature"), "component"),
    "an option, of a voice": (400, openai("Invalid value: 'x'. Supported values are: 'alloy'.", None, param="voice"),
                              "component"),
    "a quota": (429, openai("You exceeded your current quota", "insufficient_quota"), "component"),
    "a rate": (429, openai("Rate limit reached for gpt-4o on tokens per min (TPM): Limit 30000, Used 29000, Requested "
                           "4000. Please try again in 6s.", "rate_limit_exceeded", "tokens"), "component"),
    "a model's own mistake": (400, openai("Failed to call a function.", "tool_use_failed"), "component"),
    "an overload": (503, openai("overloaded", None, "server_error"), "component"),
    "a defect": (500, "", "component"),
    "an engine that died": (500, json.dumps({"object": "error", "message": "EngineCore encountered an issue",
                                             "type": "InternalServerError", "code": 500}), "component"),
}  # fmt: skip


@pytest.mark.parametrize("what", OPENAI)
def test_openai_and_servers_that_speak_its_api(what):
    status, body, fault = OPENAI[what]
    error = openai_errors.refused(status, {}, body, NAME)
    assert (error.fault, error.too_long) == (fault, False), str(error)


ELEVENLABS = {
    "a long text": (400, {"status": "max_character_limit_exceeded", "message": "has 627 characters"}, "request"),
    "an empty text": (422, [{"loc": ["body", "text"], "msg": "Field required"}], "request"),
    "a text, by name": (
        400,
        {"code": "invalid_parameters", "message": "text is too short", "param": "text"},
        "request",
    ),
    "a filter": (400, {"status": "content_policy_violation", "message": "may not be said"}, "request"),
    "an option": (422, [{"loc": ["body", "voice_settings", "speed"], "msg": "too high"}], "component"),
    "a format": (422, [{"loc": ["query", "output_format"], "msg": "unknown"}], "component"),
    "a key": (401, {"status": "invalid_api_key", "message": "Invalid API key"}, "component"),
    "a key, by 400": (400, {"status": "invalid_api_key", "message": "Invalid API key"}, "component"),
    "a quota": (401, {"status": "quota_exceeded", "message": "exceeds your quota"}, "component"),
    "a quota, by 400": (400, {"status": "quota_exceeded", "message": "exceeds your quota"}, "component"),
    "a voice": (404, {"status": "voice_not_found", "message": "A voice was not found."}, "component"),
    "a voice, by 400": (400, {"status": "voice_not_found", "message": "A voice was not found."}, "component"),
    "a rate": (429, {"status": "too_many_concurrent_requests", "message": "too many"}, "component"),
    "an overload": (503, {"status": "system_busy", "message": "busy"}, "component"),
}


@pytest.mark.parametrize("what", ELEVENLABS)
def test_elevenlabs(what):
    status, detail, fault = ELEVENLABS[what]
    body = json.dumps({"detail": detail}).encode()
    assert elevenlabs_errors.refused(status, {}, body, NAME).fault == fault


DEEPGRAM = {
    "keyterms": (400, {"err_code": "Bad Request", "err_msg": "Keyterm limit exceeded."}, "request"),
    "a long text": (413, {"err_code": "PAYLOAD_TOO_LARGE", "err_msg": "Input text exceeds 2000 characters"}, "request"),
    "a text": (422, {"err_code": "UNPROCESSABLE_ENTITY", "err_msg": "No text was found"}, "request"),
    "a recording": (400, {"err_code": "Bad Request", "err_msg": "failed to process audio: corrupt data"}, "request"),
    "an option": (400, {"err_code": "INVALID_QUERY_PARAMETER", "err_msg": "Invalid query"}, "component"),
    "a model": (400, {"err_code": "Bad Request", "err_msg": "No such model/language/tier found."}, "component"),
    "a key": (401, {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}, "component"),
    "credit": (402, {"err_code": "ASR_PAYMENT_REQUIRED", "err_msg": "no credit"}, "component"),
    "a permission": (403, {"err_code": "INSUFFICIENT_PERMISSIONS", "err_msg": "no"}, "component"),
    "a rate": (429, {"err_code": "TOO_MANY_REQUESTS", "err_msg": "too many"}, "component"),
    "a defect": (500, {"err_code": "INTERNAL", "err_msg": "sorry"}, "component"),
}


@pytest.mark.parametrize("what", DEEPGRAM)
def test_deepgram(what):
    status, body, fault = DEEPGRAM[what]
    assert deepgram_errors.refused(status, {}, body, NAME).fault == fault


@pytest.mark.parametrize(
    ("code", "reason", "fault"),
    [
        (1008, "DATA-0000", "request"),
        (1011, "NET-0000", "component"),
        (1011, "NET-0001", "local"),
        (1002, "", "local"),
        (1003, "", "request"),
        (1007, "", "request"),
        (1008, "", "component"),
        (1009, "", "request"),
        (1011, "", "component"),
        (None, "reset by peer", "component"),
    ],
)
def test_deepgram_s_closing_codes(code, reason, fault):
    assert deepgram_errors.closed(code, reason).fault == fault


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("Text is too long", "request"),
        ("text was empty", "request"),
        ("Unsupported language: xx", "request"),
        ("language 'xx' is not supported by this voice", "request"),
        ("CUDA out of memory", "component"),
        ("model not found", "component"),
        ("", "component"),
    ],
)
def test_servers_with_one_status_for_everything(said, fault):
    """Wyoming's error events, and messages of a WebSocket."""
    assert fault_of(500, said, ["Error"]) == fault


VENDORS = {"openai": openai_errors, "elevenlabs": elevenlabs_errors, "deepgram": deepgram_errors}


def refused(vendor, status, headers):
    body = b"" if vendor == "elevenlabs" else ""
    return VENDORS[vendor].refused(status, headers, body, NAME)


PAUSES = {
    "0": 0.0,
    "-5": 0.0,
    "0.0": 0.0,
    "Wed, 21 Oct 2015 07:28:00 GMT": 0.0,
    "nan": None,
    "soon": None,
    "": None,
    "7": 7.0,
    "1e9": 1e9,
}


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("value", PAUSES)
def test_a_pause_of_nothing_opens_nothing(vendor, value):
    error = refused(vendor, 429, {"retry-after": value})
    assert error.retry_after_s == PAUSES[value]
    breaker = Breaker(jitter=lambda: 1.0)
    breaker.failed(error, 0.0)
    assert breaker.state == ("open" if PAUSES[value] else "closed")
    assert breaker.retry_at <= 600


@pytest.mark.parametrize("vendor", VENDORS)
def test_a_date_to_come_is_a_pause(vendor):
    at = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < refused(vendor, 503, {"retry-after": at}).retry_after_s <= 100
