"""Tool calls that a model wrote into its text, since its server did not read them out of it: pure.

    <tool_call>{"name": "book", "arguments": {"day": "mon"}}</tool_call>          Qwen, Hermes
    <|python_tag|>{"name": "book", "parameters": {"day": "mon"}}                  Llama
    [TOOL_CALLS][{"name": "book", "arguments": {"day": "mon"}}]                   Mistral
    [TOOL_CALLS]book[ARGS]{"day": "mon"}                                          Mistral, later
    <function=book><parameter=day>mon</parameter></function>                      Qwen Coder
    <tool_call>book<arg_key>day</arg_key><arg_value>mon</arg_value></tool_call>   GLM
    <|channel|>commentary to=functions.book<|message|>{"day": "mon"}<|call|>      gpt-oss

Only tools that were offered are found: what else stands there may be anything.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from voicepipe.adapters.openai.tool_arguments import calls_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from voicepipe.adapters.openai.tool_arguments import Arguments

_DECODER = json.JSONDecoder(strict=False)
_TAGGED = re.compile(
    r"""<parameter(?:=|\s+name=["'])(?P<name>[\w.-]+)["']?>\s*(?P<value>.*?)\s*</parameter>
    |<arg_key>\s*(?P<key>.*?)\s*</arg_key>\s*<arg_value>\s*(?P<of_key>.*?)\s*</arg_value>""",
    re.VERBOSE | re.DOTALL,
)
"""Arguments that are no JSON, but one tag each."""

_BETWEEN = re.compile(r"""(?:["']?>)?(?:<[^<>]*>|\[CALL_ID\]\w+|\[[A-Z_]+\]|```|json\b|[\s:\d])*""")
"""What may stand between a tool's name and its arguments; anything else, and it is no call in a form known here."""


def written_calls(text: str, offered: Collection[str]) -> list[tuple[str, Arguments]]:
    """The calls of offered tools that a text holds, as names and arguments, in order.

    Args:
        text: what stood between the marks of a tool call, these included.
        offered: the names of the tools.

    """
    if not offered:
        return []
    return list(_whole_calls(text, offered)) or list(_named_calls(text, offered))


def _whole_calls(text: str, offered: Collection[str]) -> Iterator[tuple[str, Arguments]]:
    """Calls that are JSON themselves."""
    for value in _objects(text):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from (call for call in calls_in(json.dumps(item), "", offered) if call[0])


def _named_calls(text: str, offered: Collection[str]) -> Iterator[tuple[str, Arguments]]:
    """Names of tools, each followed by its arguments."""
    longest_first = sorted(map(re.escape, offered), key=len, reverse=True)
    names = list(re.finditer(rf"(?<!\w)({'|'.join(longest_first)})(?!\w)", text))
    begin = 0
    for at, name in enumerate(names):
        if name.start() < begin:
            continue  # a word of the arguments before
        end = names[at + 1].start() if at + 1 < len(names) else len(text)
        tagged = list(_TAGGED.finditer(text, name.end(), end))
        if tagged:
            yield name[1], dict(map(_argument, tagged))
            begin = tagged[-1].end()
            continue
        between = _BETWEEN.match(text, name.end())
        begin = between.end() if between else name.end()
        arguments: Any = {}
        if begin < len(text):
            try:
                arguments, begin = _DECODER.raw_decode(text, begin)
            except (ValueError, RecursionError):
                return
        if not isinstance(arguments, dict):
            return
        yield name[1], arguments


def _argument(found: re.Match[str]) -> tuple[str, Any]:
    name, value = (found["name"], found["value"]) if found["name"] else (found["key"], found["of_key"])
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def _objects(text: str) -> Iterator[Any]:
    """The JSON objects and lists in a text, whatever stands between them."""
    at = 0
    while begin := re.compile(r"[{\[]").search(text, at):
        try:
            value, at = _DECODER.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            at = begin.end()
        else:
            yield value
