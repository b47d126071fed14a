"""Tool calls in the pieces that servers send: two calls are two calls, one is one.

Each row is a stream of `delta.tool_calls` as a server sends it, or was reported to send it; what is reported is in the
named project's issue tracker.
"""

from __future__ import annotations

import json

import pytest

from voicepipe.adapters.openai.chat_completions import ChatReplyBuilder
from voicepipe.adapters.openai.tool_arguments import calls_in, is_whole
from voicepipe.adapters.openai.tool_calls import ToolCalls
from voicepipe.adapters.openai.written_calls import written_calls
from voicepipe.components.requests import ToolCall
from voicepipe.errors import ComponentError

MON, TUE = '{"day":"mon"}', '{"day":"tue"}'
BOOK, BOTH = [("book", {"day": "mon"})], [("book", {"day": "mon"}), ("book", {"day": "tue"})]
TWO_TOOLS = [("book", {"day": "mon"}), ("weather", {"city": "Leeds"})]
LEEDS = '{"city":"Leeds"}'
OFFERED = ("book", "weather", "hang_up", "get_weather")

NO = object()
"""Marks what is left out of a piece."""


def piece(index=NO, number=NO, name=NO, arguments=NO):
    function = {key: value for key, value in {"name": name, "arguments": arguments}.items() if value is not NO}
    found = {"index": index, "id": number, "type": "function", "function": function}
    return {key: value for key, value in found.items() if value is not NO}


def called(pieces, offered=OFFERED):
    calls = ToolCalls(offered)
    for one in pieces:
        calls.take(one)
    found = calls.finish(cut_off=False)
    assert len({call.id for call in found}) == len(found)
    assert all(call.id for call in found)
    return [(call.name, call.arguments) for call in found]


SERVERS = {
    "OpenAI": (
        [
            piece(0, "call_1", "book", ""),
            piece(0, arguments='{"day"'),
            piece(0, arguments=':"mon"}'),
            piece(1, "call_2", "weather", ""),
            piece(1, arguments=LEEDS),
        ],
        TWO_TOOLS,
    ),
    "OpenAI, no arguments": ([piece(0, "call_1", "hang_up", ""), piece(0, arguments="{}")], [("hang_up", {})]),
    "Azure, nulls": (
        [piece(0, "call_1", "book", ""), piece(0, None, None, '{"day":'), piece(0, None, None, '"mon"}')],
        BOOK,
    ),
    "vLLM": (
        [piece(0, "chatcmpl-tool-1", "book"), piece(0, arguments='{"day": "'), piece(0, arguments='mon"}')],
        BOOK,
    ),
    "vLLM, id and name again on the last piece (#44098)": (
        [
            piece(0, "chatcmpl-tool-1", "book", ""),
            piece(0, arguments='{"day":'),
            piece(0, "chatcmpl-tool-1", "book", '"mon"}'),
        ],
        BOOK,
    ),
    "vLLM, arguments null (#9693)": (
        [piece(0, "chatcmpl-tool-1", "book", None), piece(0, arguments=MON)],
        BOOK,
    ),
    "SGLang, whole": ([piece(0, "call_1", "book", MON), piece(1, "call_2", "book", TUE)], BOTH),
    "dynamo, all with index 0 (#4723)": ([piece(0, "call-1", "book", MON), piece(0, "call-2", "book", TUE)], BOTH),
    "llama.cpp": (
        [
            piece(0, "aB3", "book", "{"),
            piece(0, arguments='"day":"mon"}'),
            piece(1, "cD4", "weather", '{"city":'),
            piece(1, arguments='"Leeds"}'),
        ],
        TWO_TOOLS,
    ),
    "Ollama, all with index 0": ([piece(0, "call_a", "book", MON), piece(0, "call_b", "weather", LEEDS)], TWO_TOOLS),
    "Ollama until 0.4.7, no index": ([piece(NO, "call_a", "book", MON), piece(NO, "call_b", "book", TUE)], BOTH),
    "Mistral, whole in one chunk": ([piece(0, "D681PevKs", "book", MON), piece(1, "F451PevKs", "book", TUE)], BOTH),
    "Mistral, no index, id null": ([piece(NO, "null", "book", MON)], BOOK),
    "Gemini, index 0 and empty ids": ([piece(0, "", "book", MON), piece(0, "", "book", TUE)], BOTH),
    "Gemini, index 0 and no ids": ([piece(0, NO, "book", MON), piece(0, NO, "weather", LEEDS)], TWO_TOOLS),
    "Gemini 3, index 0 and ids": ([piece(0, "call_1", "book", MON), piece(0, "call_2", "book", TUE)], BOTH),
    "Gemini, its name for tools": ([piece(0, "", "default_api.book", MON)], BOOK),
    "Groq, whole": ([piece(0, "call_x", "book", MON), piece(1, "call_y", "weather", LEEDS)], TWO_TOOLS),
    "DeepSeek": (
        [piece(0, "call_0_1", "book", ""), piece(0, arguments='{"'), piece(0, arguments='day":"mon"}')],
        BOOK,
    ),
    "LiteLLM before Anthropic, {} first": (
        [piece(0, "toolu_1", "book", "{}"), piece(0, None, None, '{"day":'), piece(0, None, None, '"mon"}')],
        BOOK,
    ),
    "LiteLLM before Anthropic, an empty string (#5063)": ([piece(0, "toolu_1", "hang_up", "")], [("hang_up", {})]),
    "LiteLLM before Bedrock, two in one string (#20543)": ([piece(0, "tooluse_1", "book", MON + TUE)], BOTH),
    "OpenRouter, name empty in later pieces": (
        [piece(0, "toolu_1", "book", ""), piece(0, None, "", MON), piece(0, None, "", TUE)],
        BOTH,
    ),
    "gpt-oss, special tokens in the name": ([piece(0, "c", "book<|channel|>commentary", MON)], BOOK),
    "gpt-oss, its namespace": ([piece(0, "c", "functions.book", MON)], BOOK),
    "Kimi, its namespace and number": ([piece(0, "functions.book:0", "book", MON)], BOOK),
    "the API before tools": ([{"name": "book", "arguments": '{"day":'}, {"arguments": '"mon"}'}], BOOK),
}

WAYS = {
    "index 0 twice, one tool": ([piece(0, NO, "book", MON), piece(0, NO, "book", TUE)], BOTH),
    "index 0 twice, in fragments": (
        [piece(0, NO, "book", '{"day":'), piece(0, arguments='"mon"}{"day'), piece(0, arguments='":"tue"}')],
        BOTH,
    ),
    "index 0 twice, {} in between": ([piece(0, NO, "book", MON), piece(0, NO, "book", "{}")], BOOK),
    "{} as an object": ([piece(0, "t", "book", {}), piece(0, arguments=MON)], BOOK),
    "{} twice": ([piece(0, "t", "hang_up", "{}"), piece(0, "t", "hang_up", "{}")], [("hang_up", {})]),
    "the whole object twice": ([piece(0, "t", "book", MON), piece(0, "t", "book", MON)], BOOK),
    "the whole object after its fragments": (
        [piece(0, "t", "book", '{"day":'), piece(0, arguments='"mon"}'), piece(0, arguments='{ "day": "mon" }')],
        BOOK,
    ),
    "the whole call again, at another index": ([piece(0, "t", "book", MON), piece(1, "t", "book", MON)], BOOK),
    "the same twice, with two ids": ([piece(0, "t", "book", MON), piece(1, "u", "book", MON)], BOOK * 2),
    "the same twice, with two indexes": ([piece(0, NO, "book", MON), piece(1, NO, "book", MON)], BOOK * 2),
    "no id, no index": ([piece(NO, NO, "book", MON), piece(NO, NO, "book", TUE)], BOTH),
    "no id, no index, in fragments": (
        [
            piece(NO, NO, "book", '{"day":'),
            piece(arguments='"mon"}'),
            piece(NO, NO, "weather", '{"city":'),
            piece(arguments='"Leeds"}'),
        ],
        TWO_TOOLS,
    ),
    "name on each piece": ([piece(0, NO, "book", '{"day":'), piece(0, NO, "book", '"mon"}')], BOOK),
    "id on each piece": ([piece(0, "t", "book", '{"day":'), piece(0, "t", NO, '"mon"}')], BOOK),
    "a new id for each piece": ([piece(0, "t", "book", '{"day":'), piece(0, "u", "book", '"mon"}')], BOOK),
    "a new id for each piece, no name": ([piece(0, "t", "book", '{"day":'), piece(0, "u", NO, '"mon"}')], BOOK),
    "a new index for each piece": ([piece(0, "t", "book", '{"day":'), piece(1, NO, NO, '"mon"}')], BOOK),
    "a new index for each piece, id again": ([piece(0, "t", "book", '{"day":'), piece(1, "t", "", '"mon"}')], BOOK),
    "name in pieces": ([piece(0, "t", "bo", ""), piece(0, NO, "ok", MON)], BOOK),
    "name in pieces that is a tool's name too": (
        [piece(0, "t", "get_", ""), piece(0, "t", "weather", LEEDS)],
        [("get_weather", {"city": "Leeds"})],
    ),
    "name in growing pieces": ([piece(0, "t", "bo", ""), piece(0, "t", "book", MON)], BOOK),
    "arguments in growing pieces": (
        [piece(0, "t", "book", "{"), piece(0, arguments='{"day":'), piece(0, arguments=MON)],
        BOOK,
    ),
    "name after the arguments": ([piece(0, "t", "", MON), piece(0, "t", "book", "")], BOOK),
    "two tools without arguments": (
        [piece(NO, NO, "hang_up", ""), piece(NO, NO, "weather", "")],
        [("hang_up", {}), ("weather", {})],
    ),
    "two tools without arguments at index 0": (
        [piece(0, NO, "hang_up", ""), piece(0, NO, "weather", "")],
        [("hang_up", {}), ("weather", {})],
    ),
    "interleaved": (
        [
            piece(0, "t", "book", '{"day"'),
            piece(1, "u", "weather", '{"city"'),
            piece(0, arguments=':"mon"}'),
            piece(1, arguments=':"Leeds"}'),
        ],
        TWO_TOOLS,
    ),
    "interleaved by id alone": (
        [
            piece(NO, "t", "book", '{"day"'),
            piece(NO, "u", "weather", '{"city"'),
            piece(NO, "t", NO, ':"mon"}'),
            piece(NO, "u", NO, ':"Leeds"}'),
        ],
        TWO_TOOLS,
    ),
    "indexes as text, from 1": ([piece("1", "t", "book", MON), piece("2", "u", "weather", LEEDS)], TWO_TOOLS),
    "one id for all": ([piece(0, "0", "book", MON), piece(1, "0", "weather", LEEDS)], TWO_TOOLS),
    "one id for all, no index": ([piece(NO, "0", "book", MON), piece(NO, "0", "weather", LEEDS)], TWO_TOOLS),
    "nothing in a piece": ([piece(0, None, None, None), piece(0, "t", "book", MON), piece(1, "", "", "")], BOOK),
    "an object": ([piece(0, "t", "book", {"day": "mon"})], BOOK),
    "name and arguments beside the id": ([{"id": "t", "name": "book", "arguments": {"day": "mon"}}], BOOK),
    "blanks around the name": ([piece(0, "t", " book\n", MON)], BOOK),
}


@pytest.mark.parametrize(("pieces", "expected"), [*SERVERS.values(), *WAYS.values()], ids=[*SERVERS, *WAYS])
def test_pieces_come_to_the_calls_that_were_meant(pieces, expected):
    assert called(pieces) == expected


@pytest.mark.parametrize("name", [name for name in SERVERS if "name" not in name and "namespace" not in name])
def test_that_needs_no_list_of_tools(name):
    pieces, expected = SERVERS[name]
    assert called(pieces, ()) == expected


@pytest.mark.parametrize("key", ["tool_calls", "function_call"])
def test_one_call_may_stand_where_a_list_belongs(key):
    reply = ChatReplyBuilder(OFFERED)
    call = {"name": "book", "arguments": MON}
    delta = {key: {"index": 0, "id": "t", "function": call} if key == "tool_calls" else call}
    events = [*reply.take({"choices": [{"index": 0, "delta": delta, "finish_reason": "tool_calls"}]}), *reply.finish()]
    assert [(e.name, e.arguments) for e in events if isinstance(e, ToolCall)] == BOOK


@pytest.mark.parametrize("whole", ["delta", "message"])
def test_calls_that_come_again_at_the_end_are_the_same(whole):
    reply = ChatReplyBuilder(OFFERED)
    calls = [piece(0, "t", "book", MON), piece(1, "u", "book", TUE)]
    for delta in calls:
        list(reply.take({"choices": [{"index": 0, "delta": {"tool_calls": [delta]}}]}))
    again = [{key: value for key, value in call.items() if key != "index"} for call in calls]
    last = {"index": 0, whole: {"tool_calls": calls if whole == "delta" else again}, "finish_reason": "tool_calls"}
    events = [*reply.take({"choices": [last]}), *reply.finish()]
    assert [(e.name, e.arguments) for e in events if isinstance(e, ToolCall)] == BOTH


# --- Arguments -------------------------------------------------------------------------------------------------------

DAY = {"day": "mon"}
ARGUMENTS = {
    "": [{}],
    "  \n": [{}],
    "{}": [{}],
    "[]": [{}],
    "null": [{}],
    "None": [{}],
    '""': [{}],
    '"{}"': [{}],
    "{}{}": [{}],
    MON: [DAY],
    f" {MON}\n": [DAY],
    f"\ufeff{MON}": [DAY],
    f"{{}}{MON}": [DAY],
    f"{MON}{MON}": [DAY],
    f"{MON}\n{MON}": [DAY],
    f"[{MON}]": [DAY],
    f"[{MON}, {TUE}]": [DAY, {"day": "tue"}],
    f"{MON}{TUE}": [DAY, {"day": "tue"}],
    f"{MON},\n{TUE},": [DAY, {"day": "tue"}],
    f"{{}}{MON}{{}}{TUE}{MON}": [DAY, {"day": "tue"}],
    json.dumps(MON): [DAY],
    json.dumps(json.dumps(MON)): [DAY],
    json.dumps(MON + TUE): [DAY, {"day": "tue"}],
    json.dumps([MON, TUE]): [DAY, {"day": "tue"}],
    f"```json\n{MON}\n```": [DAY],
    f"```\n{MON}```": [DAY],
    f"{MON}<|tool_call_end|>": [DAY],
    f"{MON}</tool_call>": [DAY],
    f"{MON}}}": [DAY],
    f"{MON}[/TOOL_CALLS]": [DAY],
    f"<tool_call>{MON}": [DAY],
    f"Sure: {MON}": [DAY],
    '{"day":"mon\nday"}': [{"day": "mon\nday"}],
    '{"a":{"b":[{}]}}': [{"a": {"b": [{}]}}],
    '{"text":"{}{\\"a\\":1}"}': [{"text": '{}{"a":1}'}],
    '{"on":true}{"on":1}': [{"on": True}, {"on": 1}],
    f'{{"name":"book","arguments":{MON}}}': [DAY],
    f'{{"name":"book","parameters":{json.dumps(MON)}}}': [DAY],
    f'[{{"type":"function","id":"t","function":{{"name":"book","arguments":{json.dumps(MON)}}}}}]': [DAY],
    '{"name":"Ann","arguments":"none"}': [{"name": "Ann", "arguments": "none"}],
    '{"name":"book"}': [{"name": "book"}],
}


@pytest.mark.parametrize(("text", "expected"), ARGUMENTS.items())
def test_arguments_are_found_however_they_are_written(text, expected):
    found = calls_in(text, "book")
    assert json.dumps([arguments for _, arguments in found]) == json.dumps(expected)
    assert {name for name, _ in found} == {"book"}


def test_whole_calls_may_stand_in_the_place_of_arguments():
    text = f'[{{"name":"book","arguments":{MON}}},{{"name":"weather","arguments":{LEEDS}}}]'
    assert calls_in(text, "book", OFFERED) == TWO_TOOLS


WRONG = [
    '{"day":',
    '{"day": mon}',
    "Monday",
    '["Monday"]',
    "3",
    "true",
    '"Monday"',
    f'{MON}{{"day":',
    "{",
    "[" * 100_000,
]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_object_is_a_mistake_that_is_quoted(text):
    with pytest.raises(ValueError, match="no JSON object"):
        calls_in(text, "book")
    with pytest.raises(ComponentError, match="no JSON object") as caught:
        called([piece(0, "t", "book", text)])
    assert (caught.value.retryable, caught.value.answered) == (True, text)


@pytest.mark.parametrize(
    ("text", "whole"), [("", False), ("{", False), (MON[:-1], False), ("{}", True), (MON, True), (MON + "{", False)]
)
def test_arguments_are_whole_when_nothing_is_missing(text, whole):
    assert is_whole(text) is whole


# --- Calls in the text -----------------------------------------------------------------------------------------------

WRITTEN = {
    "Qwen": f'<tool_call>\n{{"name": "book", "arguments": {MON}}}\n</tool_call>',
    "Llama": f'<|python_tag|>{{"name": "book", "parameters": {MON}}}',
    "Llama, by type": f'{{"type": "function", "name": "book", "parameters": {MON}}}',
    "Mistral": f'[TOOL_CALLS] [{{"name": "book", "arguments": {MON}}}]',
    "Mistral, later": f"[TOOL_CALLS]book[CALL_ID]a1b2c3d4e[ARGS]{MON}",
    "Llama, as a function": f"<function=book>{MON}</function>",
    "Qwen Coder": "<function=book>\n<parameter=day>\nmon\n</parameter>\n</function>",
    "Anthropic's, in XML": '<invoke name="book"><parameter name="day">mon</parameter></invoke>',
    "GLM": "<tool_call>book\n<arg_key>day</arg_key>\n<arg_value>mon</arg_value>\n</tool_call>",
    "DeepSeek": f"<\uff5ctool▁call▁begin\uff5c>function<\uff5ctool▁sep\uff5c>book\n```json\n{MON}\n```",
    "Kimi": f"<|tool_call_begin|>functions.book:0<|tool_call_argument_begin|>{MON}<|tool_call_end|>",
    "gpt-oss": f"<|channel|>commentary to=functions.book <|constrain|>json<|message|>{MON}",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_calls_in_the_text_are_read(text):
    assert written_calls(text, OFFERED) == BOOK


def test_several_calls_in_the_text_are_read():
    assert written_calls(f"[TOOL_CALLS]book[ARGS]{MON}[TOOL_CALLS]weather[ARGS]{LEEDS}", OFFERED) == TWO_TOOLS
    text = f'{{"name": "book", "arguments": {MON}}}\n{{"name": "weather", "arguments": {LEEDS}}}'
    assert written_calls(text, OFFERED) == TWO_TOOLS
    assert written_calls("<tool_call>hang_up</tool_call>", OFFERED) == [("hang_up", {})]


@pytest.mark.parametrize(
    "text",
    [
        'print(book(day="mon"))',
        '{"name": "rob", "arguments": {"bank": "hsbc"}}',
        "book the table",
        f"rebook {MON}",
        "book {",
        '{"name": ["book"], "arguments": {}}',
        "",
    ],
)
def test_what_is_no_call_of_a_tool_that_was_offered_calls_none(text):
    assert written_calls(text, OFFERED) == []
    assert written_calls(WRITTEN["Qwen"], ()) == []
