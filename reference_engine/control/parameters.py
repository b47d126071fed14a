"""What a request asks for, read strictly: a misspelt parameter must not mean all sets."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING

import trio
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY = 4096
"""Bytes; `{"to": 3}` is the longest that makes sense."""

BODY_S = 5.0
"""How long a body may take to arrive."""

_ENTITY_TAG = re.compile(r'"?([1-9][0-9]{0,8})"?')


def only(request: Request, *names: str) -> None:
    """Refuses parameters that are not among these, and those that are there twice."""
    for name, _value in (given := request.query_params).multi_items():
        if name not in names:
            meant = f"parameters: {', '.join(names)}" if names else "this has none"
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"there is no parameter {name!r}; {meant}")
        if len(given.getlist(name)) > 1:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the parameter {name!r} is there twice")


def flag(request: Request, name: str) -> bool:
    """A parameter that is `true` or `false`; left out, it is false."""
    text = request.query_params.get(name, "false")
    if text not in {"true", "false"}:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} is true or false, not {text!r}")
    return text == "true"


def version_that_must_serve(request: Request) -> int | None:
    """The version of `If-Match: "3"`; None if there is no such header, or any version will do (`*`)."""
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    if found := _ENTITY_TAG.fullmatch(text):
        return int(found[1])
    raise HTTPException(HTTPStatus.BAD_REQUEST, f'If-Match is a version, such as "3", not {text!r}')


async def version_to_go_back_to(request: Request) -> int | None:
    """The version of `{"to": 3}`; None if the body is empty or has none."""
    content = bytearray()
    with trio.move_on_after(BODY_S) as reading:
        async for chunk in request.stream():
            content += chunk
            if len(content) > MAX_BODY:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {MAX_BODY} bytes")
    if reading.cancelled_caught:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive within {BODY_S:g} s")
    try:
        body = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError):
        body = None
    match body:
        case {"to": int(to), **others} if not others and to is not True and to is not False:
            return to
        case {"to": None, **others} if not others:
            return None
        case dict() if not body:
            return None
        case _:
            raise HTTPException(HTTPStatus.BAD_REQUEST, 'the body is JSON, {"to": 3}, or empty for the one before')
