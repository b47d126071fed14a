"""Turns ElevenLabs' refusals into `ComponentError`: pure.

The body's `detail` is an object with `code` and `message` (older: `status` and `message`), or a list of the mistakes in
the request's fields. Sources: elevenlabs.io/docs/eleven-api/resources/errors and
help.elevenlabs.io, "API - Error Code 400 or 401" and "429".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from voicepipe.errors import ComponentError
from voicepipe.wire.http import PASSING, retry_after_s
from voicepipe.wire.refusals import fault_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINTS = {
    400: "ElevenLabs does not take the voice, the model or an option beside them",
    401: "is {key} set for this account?",
    402: "the account of {key} needs a paid plan for this",
    403: "the account of {key} may not do this",
    404: "are base_url and voice right?",
    422: "ElevenLabs does not take the voice, the model or an option beside them",
    429: "the account of {key} asks too often",
}
"""Hints by HTTP status."""

_HINTS_BY_CODE = {
    "quota_exceeded": "the account of {key} has no characters left",
    "missing_permissions": "let {key} use text-to-speech, in the settings of the key",
    "voice_not_found": "is voice the ID of a voice of this account?",
    "model_not_found": "GET /v1/models lists the models",
    "too_many_concurrent_requests": "the plan of {key} allows fewer requests at a time",
    "concurrent_limit_exceeded": "the plan of {key} allows fewer requests at a time",
    "system_busy": "ElevenLabs has too much to do",
}
"""Hints by the error's `code` or `status`, which are more specific."""


def refused(status: int, headers: Mapping[str, str], body: bytes, key: str) -> ComponentError:
    """Returns the error for a response that is not a success.

    Args:
        status: the HTTP status.
        headers: the headers of the response, by lower-case name.
        body: the body of the response.
        key: the name of the API key for hints: `${ELEVENLABS_API_KEY}`, never its value.

    """
    code, message = _detail(body)
    return ComponentError(
        f"HTTP {status}",
        retryable=status >= 500 or status in PASSING,
        answered=": ".join(filter(None, (code, message))),
        hint=_HINTS_BY_CODE.get(code, _HINTS.get(status, "")).format(key=key),
        retry_after_s=retry_after_s(headers),
        fault=fault_of(status, message, [code], _parameter(body)),
    )


def code_of(body: bytes) -> str:
    """Returns the error's code, such as `missing_permissions`; empty if it has none."""
    return _detail(body)[0]


def _detail(body: bytes) -> tuple[str, str]:
    """Returns the error's code and its message, either of which may be empty."""
    try:
        answer = json.loads(body)
    except ValueError:
        return "", body.decode(errors="replace")
    detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
    if isinstance(detail, dict):
        # New responses have both; where they differ, `status` is more specific.
        codes = [code for code in (detail.get("status"), detail.get("code")) if isinstance(code, str)]
        code = next((code for code in codes if code in _HINTS_BY_CODE), next(iter(codes), ""))
        return code, str(detail.get("message") or ("" if code else detail))
    if isinstance(detail, list):
        return "", "; ".join(map(_field, detail))
    return "", str(detail)


def _parameter(body: bytes) -> str:
    """Returns the field that the refusal names, such as `text` or `model_id`; empty if it names none."""
    try:
        detail = json.loads(body)["detail"]
        place = detail[0]["loc"] if isinstance(detail, list) else [detail["param"]]
    except (ValueError, KeyError, IndexError, TypeError):
        return ""
    return ".".join(map(str, place if isinstance(place, list) else [place])).removeprefix("path.")


def _field(problem: Any) -> str:
    """Formats a mistake in a field: `body.text: Field required`."""
    if not isinstance(problem, dict):
        return str(problem)
    place = problem.get("loc")
    where = ".".join(map(str, place)) if isinstance(place, list) else ""
    return ": ".join(filter(None, (where, str(problem.get("msg", problem)))))
