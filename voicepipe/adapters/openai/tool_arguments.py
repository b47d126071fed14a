"""The arguments of tool calls, as models and servers write them: pure.

The API says one JSON object in a string. What comes besides: nothing at all, `null`, an empty list for no arguments,
`{}` before the real ones (proxies in front of Anthropic's API), the same object twice, several objects one behind the
other (parallel calls under one index), a string that holds JSON, a list of objects or of whole calls, code fences,
special tokens behind the object, line breaks within strings.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

Arguments = dict[str, Any]

MOST_NESTED = 3
"""How often JSON may be wrapped in a string of JSON."""

NONE = {"", "null", "none", "undefined"}
"""What stands for no arguments, in lower case."""

CALL_KEYS = {"id", "type", "index", "name", "arguments", "parameters", "function"}
"""What a whole call may hold that stands where its arguments should."""

_DECODER = json.JSONDecoder(strict=False)
_BETWEEN = " \t\r\n,;\ufeff"


def calls_in(text: str, name: str, offered: Container[str] = ()) -> list[tuple[str, Arguments]]:
    """The calls that a text of arguments stands for, as names and arguments: one as a rule, never none.

    Args:
        text: all that came as arguments.
        name: the tool that was called.
        offered: names of tools; a whole call within the arguments is taken for one if its name is among these.

    Raises:
        ValueError: there is no JSON object in it, or one that is cut off.

    """
    try:
        calls = [call for value in _values(text) for call in _calls(value, name, offered, MOST_NESTED)]
    except ValueError:
        raise ValueError("no JSON object, or one that is cut off") from None
    full = [call for call in calls if call[1]] or calls[:1]
    written = [(called, json.dumps(arguments, sort_keys=True)) for called, arguments in full]
    return [call for at, call in enumerate(full) if written[at] not in written[:at]] or [(name, {})]


def is_whole(text: str) -> bool:
    """Whether an object is complete in it, so that what comes next is something else."""
    try:
        return bool(list(_values(text)))
    except ValueError:
        return False


def begins_object(text: str) -> bool:
    """Whether a piece of arguments can't go on with an object that is open, or is the first of one."""
    return text.lstrip(_BETWEEN).startswith("{")


def _values(text: str) -> Iterator[Any]:
    """The JSON values one behind the other, without what stands before the first and behind the last."""
    at, seen = _next(text, 0), False
    if text[at:].strip().casefold() in NONE:
        return
    while at < len(text) and (text[at] == "{" or not seen):
        try:
            value, at = _decoded(text, at)
        except ValueError:
            if text[at] == "{" or (begin := text.find("{", at)) < 0:
                raise
            value, at = _decoded(text, begin)
        seen = True
        yield value
        at = _next(text, at)


def _decoded(text: str, at: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except RecursionError:
        raise ValueError from None


def _next(text: str, at: int) -> int:
    """The position of the next value: behind spaces, commas and the marks of a code block."""
    while at < len(text):
        if text[at] in _BETWEEN:
            at += 1
        elif text.startswith("```", at):
            at += 3
            at += 4 if text[at : at + 4].casefold() == "json" else 0
        else:
            break
    return at


def _calls(value: Any, name: str, offered: Container[str], nested: int) -> Iterator[tuple[str, Arguments]]:
    if value is None:
        return
    if isinstance(value, dict):
        yield from _unwrapped(value, name, offered, nested)
    elif isinstance(value, list):
        for item in value:
            yield from _calls(item, name, offered, nested)
    elif isinstance(value, str) and nested:
        for inner in _values(value):
            yield from _calls(inner, name, offered, nested - 1)
    else:
        raise ValueError


def _unwrapped(value: Arguments, name: str, offered: Container[str], nested: int) -> Iterator[tuple[str, Arguments]]:
    """The arguments, which may be those of a whole call that stands in their place."""
    call = value["function"] if isinstance(value.get("function"), dict) else value
    called = call.get("name")
    keys = [key for key in ("arguments", "parameters") if key in call]
    is_call = value.keys() <= CALL_KEYS and call.keys() <= CALL_KEYS and len(keys) == 1
    if nested and is_call and isinstance(called, str) and (called == name or called in offered):
        inner = list(_calls(call[keys[0]], called, offered, nested - 1))
        yield from inner or [(called, {})]
    else:
        yield name, value
