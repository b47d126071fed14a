"""Reads the parameters of requests, strictly: a misspelt `set` must not reload all sets."""

from __future__ import annotations

import json
import re
from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING

import trio
from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY = 4096
"""The most bytes of a body; the longest useful one is `{"to": 3}`."""

BODY_S = 5.0
"""The time in which a body must arrive, in s."""

_ENTITY_TAG = re.compile(r'"?([1-9][0-9]{0,8})"?')


def check_parameters(request: Request, *names: str) -> None:
    """Checks that a request has only these parameters, each once; raises HTTPException (400) if not."""
    for name, _value in (given := request.query_params).multi_items():
        if name not in names:
            known = f"parameters: {', '.join(names)}" if names else "this request takes none"
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"unknown parameter {name!r}; {known}")
        if len(given.getlist(name)) > 1:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"the parameter {name!r} is given twice")


def boolean_parameter(request: Request, name: str) -> bool:
    """Returns a boolean parameter, by default false; raises HTTPException (400) for anything but true and false."""
    text = request.query_params.get(name, "false")
    if text not in {"true", "false"}:
        raise HTTPException(HTTPStatus.BAD_REQUEST, f"{name} must be true or false, not {text!r}")
    return text == "true"


def if_match_version(request: Request) -> int | None:
    """Returns the version of `If-Match: "3"`; None for `*` and without the header. Raises HTTPException (400)."""
    text = request.headers.get("if-match", "*").strip()
    if text == "*":
        return None
    if match := _ENTITY_TAG.fullmatch(text):
        return int(match[1])
    raise HTTPException(HTTPStatus.BAD_REQUEST, f'If-Match must be a version, such as "3", not {text!r}')


async def body_of(request: Request, most: int) -> bytes:
    """Returns the body of a request.

    Raises:
        HTTPException: the body has more than so many bytes (413), or does not arrive in time (408).

    """
    content = bytearray()
    with trio.move_on_after(BODY_S) as reading:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > most:
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is longer than {most} bytes")
    if reading.cancelled_caught:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"the body did not arrive within {BODY_S:g} s")
    return bytes(content)


async def rollback_target(request: Request) -> int | None:
    """Returns the version in the body `{"to": 3}`; None if the body is empty or has none.

    Raises:
        HTTPException: the body is too long (413), does not arrive in time (408), or is anything else (400).

    """
    content = await body_of(request, MAX_BODY)
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
            raise HTTPException(
                HTTPStatus.BAD_REQUEST,
                'the body must be {"to": 3} in JSON, or empty for the version before the serving one',
            )
