"""Reads what a dialplan tells of a call before it connects: a form, as Asterisk's `CURL()` posts it, or JSON.

`CURL(url,data)` sends POST with the type of a form, and can send neither PUT nor another type. A form has `caller`,
`called`, `pipeline` and `variables.NAME`; JSON has an object under `variables`.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import parse_qsl

from attrs import evolve
from starlette.exceptions import HTTPException

from reference_engine.calls.announcements import Announcement, as_transport_id
from reference_engine.calls.repeated_uuids import NO_UUID
from voicepipe import CallInfo, TraceContext

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_BODY = 65_536
"""The most bytes of a body: 16,000 characters of variables, percent-encoded as UTF-8."""

MAX_NAME = 200
"""The most characters of a call's ID."""

ANNOUNCED = "announced"
"""The answer to a form that was accepted."""

_KEYS = ("caller", "called", "pipeline", "variables")
_VARIABLE = "variables."
_JSON = "application/json"


def is_form(content_type: str, content: bytes) -> bool:
    """Returns True if a body is a form, by its type; JSON that is posted with the type of a form is JSON."""
    return content_type.partition(";")[0].strip().lower() != _JSON and not content.lstrip().startswith(b"{")


def announcement_of(name: str, content: bytes, *, form: bool, headers: Mapping[str, str] | None = None) -> Announcement:
    """Returns the announcement in a body.

    Args:
        name: the transport's ID of the call, from the path.
        content: the body; empty: nothing is told but that the call comes.
        form: whether the body is a form, or else JSON.
        headers: of the request; its trace context is the call's, unless a variable has one.

    Raises:
        HTTPException: the ID or the body is invalid (400).

    """
    name = as_transport_id(name.strip())
    if name == NO_UUID or not name.isprintable() or len(name) > MAX_NAME:
        _refuse("the ID of the call must be its UUID, or another text of up to 200 characters; make one by ${UUID()}")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        _refuse("the body is not UTF-8")
    told = _form(text) if form else _json(text)
    if unknown := [key for key in told if key not in _KEYS]:
        _refuse(f"unknown field {unknown[0]!r}; fields: caller, called, pipeline, variables.NAME")
    variables = told.pop("variables", {})
    if not isinstance(variables, dict):
        _refuse('`variables` must be an object, such as {"customer": "7"}')
    pipeline = _text("pipeline", told.pop("pipeline", ""))
    caller, called = (_text(key, told.get(key, "")) for key in ("caller", "called"))
    texts = {str(key): _text(f"variables.{key}", value) for key, value in variables.items()}
    info = CallInfo(transport_id=name, caller=caller, called=called, variables=texts)
    return Announcement(evolve(info, trace=info.trace or TraceContext.of_headers(headers or {})), pipeline)


def _form(text: str) -> dict[str, Any]:
    try:
        fields = parse_qsl(text, keep_blank_values=True, max_num_fields=200, encoding="utf-8", errors="strict")
    except (UnicodeDecodeError, ValueError):
        _refuse("the form can't be read: put each value into ${URIENCODE()}")
    told: dict[str, Any] = {}
    variables: dict[str, str] = {}
    for key, value in fields:
        if key.startswith(_VARIABLE):
            variables[key.removeprefix(_VARIABLE)] = value
        elif key in told:
            _refuse(f"the field {key!r} is given twice")
        elif key == "variables":
            _refuse("a form has each variable by itself, as variables.NAME=value")
        else:
            # A `+` that was not encoded is a space in a form; no number begins with one.
            told[key] = f"+{value[1:]}" if key in {"caller", "called"} and value.startswith(" ") else value
    return {**told, "variables": variables}


def _json(text: str) -> dict[str, Any]:
    try:
        told = json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        _refuse('the body must be a JSON object, such as {"caller": "+4930...", "variables": {"customer": "7"}}')
    return told


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        _refuse(f"{name} must be text")
    return str(value)


def _refuse(reason: str) -> NoReturn:
    raise HTTPException(HTTPStatus.BAD_REQUEST, reason)


def pipelines_of(sets: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of all pipelines that a call may be announced for, of the versions that serve."""
    names: dict[str, None] = {}
    for pipelines in sets.values():
        if pipelines.current is not None:
            names.update(dict.fromkeys(pipelines.current.pipelines))
    return tuple(names)
