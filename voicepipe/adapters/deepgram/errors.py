"""Deepgram's refusals and close codes as `ComponentError`: pure, and without the SDK.

Sources: developers.deepgram.com/docs/errors and /docs/stt-troubleshooting-websocket-data-and-net-errors.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from voicepipe.errors import ComponentError, Fault
from voicepipe.wire.http import PASSING, retry_after_s
from voicepipe.wire.refusals import fault_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_HINTS = {
    400: "Deepgram does not take the model or an option beside it",
    401: "is {key} set for this account?",
    402: "the project of {key} has no credit left",
    403: "the project of {key} may not use this model",
    404: "is base_url right, and does that server have the model?",
    429: "the project of {key} has as many streams open as it may have",
}

_CLOSINGS: dict[str, tuple[bool, str, Fault]] = {
    "DATA-0000": (False, "it can't decode the audio: are encoding and sample rate those of the stream?", "request"),
    "NET-0000": (True, "it had nothing to send in time: see status.deepgram.com", "component"),
    "NET-0001": (True, "it got no audio for 10 s: is keep_alive_s below that, and the network in order?", "local"),
}
"""By the code in the reason of a Close frame: whether another attempt may succeed, a hint, whose fault it is."""

_CLOSED_FOR: dict[int, Fault] = {1002: "local", 1003: "request", 1007: "request", 1009: "request", 1010: "local"}
"""Whose fault close codes are that blame the client's messages (RFC 6455, section 7.4.1)."""

_LASTING = {1002, 1003, 1007, 1008, 1009, 1010}
"""Close codes after which another attempt fails too (RFC 6455, section 7.4.1)."""


def refused(status: int, headers: Mapping[str, str], body: Any, key: str) -> ComponentError:
    """The error of an HTTP response without success.

    Args:
        status: the HTTP status.
        headers: of the answer; a handshake that fails has the reason in `dg-error` as well as in the body.
        body: bytes, text, or what JSON made of it.
        key: how to name the API key: `${DEEPGRAM_API_KEY}`, never its value.

    """
    headers = {name.lower(): value for name, value in headers.items()}
    said = _answer(body) or headers.get("dg-error", "")
    lacks_permission = "INSUFFICIENT_PERMISSIONS" in str(body) and status == 401
    return ComponentError(
        f"HTTP {status}",
        retryable=status >= 500 or status in PASSING,
        answered=_with_request(said, headers.get("dg-request-id")),
        hint=(_HINTS[403] if lacks_permission else _HINTS.get(status, "")).format(key=key),
        retry_after_s=retry_after_s(headers),
        fault=fault_of(status, said, said.split(": ")[:1]),
    )


def closed(code: int | None, reason: str, request_id: str | None = None) -> ComponentError:
    """The error of a WebSocket that ended too early.

    Args:
        code: of the closing frame; None: there was none.
        reason: what stood in it, or what made the connection break.
        request_id: what Deepgram's support asks for.

    """
    if code is None:
        broke = "the connection broke" + (f": {reason}" if reason else "")
        return ComponentError(broke, answered=_with_request("", request_id))
    named = re.search(r"(NET|DATA)-?(\d{4})", reason, re.IGNORECASE)
    otherwise = (code not in _LASTING, "", _CLOSED_FOR.get(code, "component"))
    passing, hint, fault = _CLOSINGS.get(f"{named[1]}-{named[2]}".upper() if named else "", otherwise)
    return ComponentError(
        f"the connection was closed with code {code}",
        retryable=passing,
        answered=_with_request(reason, request_id),
        hint=hint,
        fault=fault,
    )


def _answer(body: Any) -> str:
    """The sentence in a body: Deepgram's JSON has it as `err_msg`, or as `message` with `details`."""
    if isinstance(body, bytes):
        body = body.decode(errors="replace")
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except ValueError:
            return str(body)
    if not isinstance(body, dict):
        return str(body)
    parts = [body.get(name) for name in ("err_code", "category", "err_msg", "message", "details", "reason")]
    return ": ".join(part for part in parts if isinstance(part, str) and part) or str(body)


def _with_request(answer: str, request_id: str | None) -> str:
    # In front: a long answer is cut.
    return f"(request {request_id}) {answer}".rstrip() if request_id else answer
