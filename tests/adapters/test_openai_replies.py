"""What the events of OpenAI's APIs, and of servers that speak them in their own ways, come to as a reply. Pure."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vendors.openai_server import Says, chunk, chunks, response_events

from voicepipe.adapters.openai.chat_completions import ChatReplyBuilder
from voicepipe.adapters.openai.responses import ResponsesReplyBuilder
from voicepipe.adapters.openai.sse import MOST_UNREAD, ServerSentEvents, parsed
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import ToolCall
from voicepipe.errors import ComponentError

ASKED = {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "two words"}], "input": []}
ASKED_FOR_USAGE = ASKED | {"stream_options": {"include_usage": True}}


def reply_of(events, reply=None):
    """Text, tools, usage and end."""
    reply = reply or ChatReplyBuilder()
    found = [said for event in events for said in reply.take(event)]
    found += reply.finish()
    text = "".join(event.text for event in found if isinstance(event, TextDelta))
    assert isinstance(found[-1], ReplyDone)
    return text, [e for e in found if isinstance(e, ToolCall)], [e for e in found if isinstance(e, Usage)], found[-1]


def openai_says(says, asked=ASKED):
    return reply_of(chunks("chatcmpl-1", asked, says))


def response_says(says):
    return reply_of(response_events("resp_1", ASKED, says), ResponsesReplyBuilder())


SAYINGS = pytest.mark.parametrize("said", [openai_says, response_says])


@SAYINGS
def test_text_comes_as_it_is(said):
    text, calls, _, done = said(Says("Good morning. How can I help?"))
    assert (text, calls, done) == ("Good morning. How can I help?", [], ReplyDone("complete"))


@SAYINGS
def test_tools_are_called_in_parallel(said):
    calls = ('{"day": "Monday"}', "{}", "")
    _, found, _, done = said(Says("", tuple(("opening_hours", arguments) for arguments in calls)))
    assert [(call.name, call.arguments) for call in found] == [
        ("opening_hours", {"day": "Monday"}),
        ("opening_hours", {}),
        ("opening_hours", {}),
    ]
    assert len({call.id for call in found}) == 3
    assert done == ReplyDone("complete")


@SAYINGS
def test_a_refusal_is_text(said):
    assert said(Says(refusal="I can't help with that."))[0] == "I can't help with that."


@SAYINGS
def test_nothing_is_empty(said):
    assert said(Says())[3] == ReplyDone("empty")


@SAYINGS
def test_the_length_limit_truncates(said):
    assert said(Says("And so on and", finish="length"))[3] == ReplyDone("truncated")


@SAYINGS
def test_a_limit_that_leaves_no_word_is_the_operators_to_raise(said):
    with pytest.raises(ComponentError, match="length limit") as caught:
        said(Says(finish="length", thoughts=100))
    assert (caught.value.retryable, "max_tokens" in caught.value.hint) == (False, True)


@SAYINGS
def test_a_filter_ends_a_reply_or_fails_it(said):
    assert said(Says("So much is", finish="content_filter"))[3] == ReplyDone("complete")
    with pytest.raises(ComponentError, match="filtered") as caught:
        said(Says(finish="content_filter"))
    assert (caught.value.retryable, bool(caught.value.hint)) == (False, True)


@SAYINGS
@pytest.mark.parametrize("arguments", ['{"day": ', "Monday", '["Monday"]'])
def test_arguments_that_are_no_object_are_a_mistake_worth_another_try(said, arguments):
    with pytest.raises(ComponentError, match="book") as caught:
        said(Says(calls=(("book", arguments),)))
    assert (caught.value.retryable, caught.value.answered) == (True, arguments)


def test_usage_is_told_if_it_is_told():
    assert openai_says(Says("One two three.", thoughts=4), ASKED_FOR_USAGE)[2] == [Usage(2, 7)]
    assert openai_says(Says("One two three."))[2] == []
    assert response_says(Says("One two three."))[2] == [Usage(0, 3)]


def test_several_messages_of_a_response_are_kept_apart():
    text, *_ = reply_of(
        [
            {"type": "response.output_text.delta", "output_index": 0, "delta": "Let me look."},
            {"type": "response.output_text.delta", "output_index": 1, "delta": "It is ten."},
            {"type": "response.completed", "response": {"status": "completed"}},
        ],
        ResponsesReplyBuilder(),
    )
    assert text == "Let me look. It is ten."


def test_a_response_without_deltas_is_read_at_its_end():
    *_, ended = response_events("resp_1", ASKED, Says("Ten.", (("hang_up", "{}"),)))
    text, calls, usage, _ = reply_of([ended], ResponsesReplyBuilder())
    assert (text, [call.name for call in calls], usage) == ("Ten.", ["hang_up"], [Usage(0, 11)])


# --- Other servers -------------------------------------------------------------------------------------------------


def tool_delta(name, arguments, **more):
    function = {name: value for name, value in {"name": name, "arguments": arguments}.items() if value is not None}
    return chunk("c", "m", {"tool_calls": [{"type": "function", "function": function, **more}]})


STOP = chunk("c", "m", {}, "tool_calls")
OWN_WAYS = {
    "whole, each with its index": [
        tool_delta("a", '{"x": 1}', index=0, id="1"),
        tool_delta("b", '{"x": 2}', index=1, id="2"),
    ],
    "all with index 0 (Ollama)": [
        tool_delta("a", '{"x": 1}', index=0, id="1"),
        tool_delta("b", '{"x": 2}', index=0, id="2"),
    ],
    "without index (Ollama until 0.4.7)": [tool_delta("a", '{"x": 1}', id="1"), tool_delta("b", '{"x": 2}', id="2")],
    "without index, in fragments": [
        tool_delta("a", '{"x"', id="1"),
        tool_delta(None, ": 1}"),
        tool_delta("b", '{"x"', id="2"),
        tool_delta(None, ": 2}"),
    ],
    "without id": [tool_delta("a", '{"x": 1}', index=0), tool_delta("b", '{"x": 2}', index=1)],
    "without id or index": [tool_delta("a", '{"x": 1}'), tool_delta("b", '{"x": 2}')],
    "with one id for both": [
        tool_delta("a", '{"x": 1}', index=0, id="0"),
        tool_delta("b", '{"x": 2}', index=1, id="0"),
    ],
    "id and name on every fragment": [
        tool_delta("a", '{"x"', index=0, id="1"),
        tool_delta("a", ": 1}", index=0, id="1"),
        tool_delta("b", '{"x": 2}', index=1, id="2"),
    ],
    "arguments as an object": [
        tool_delta("a", {"x": 1}, index=0, id="1"),
        tool_delta("b", {"x": 2}, index=1, id="2"),
    ],
    "interleaved": [
        tool_delta("a", '{"x"', index=0, id="1"),
        tool_delta("b", '{"x"', index=1, id="2"),
        tool_delta(None, ": 1}", index=0),
        tool_delta(None, ": 2}", index=1),
    ],
}


@pytest.mark.parametrize("events", OWN_WAYS.values(), ids=OWN_WAYS)
def test_tool_calls_are_put_together_however_they_come(events):
    _, calls, _, _ = reply_of([*events, STOP])
    assert [(call.name, call.arguments) for call in calls] == [("a", {"x": 1}), ("b", {"x": 2})]
    assert len({call.id for call in calls}) == 2
    assert all(call.id for call in calls)


def test_the_end_may_come_with_the_last_words():
    text, _, _, done = reply_of([chunk("c", "m", {"content": "Ten."}, "stop")])
    assert (text, done) == ("Ten.", ReplyDone("complete"))


@pytest.mark.parametrize(
    "last",
    [
        {"choices": None, "usage": {"prompt_tokens": 3, "completion_tokens": 4}},  # vLLM
        {"usage": {"prompt_tokens": 3, "completion_tokens": 4}, "timings": {"predicted_ms": 3.0}},  # llama.cpp
        chunk("c", "m", {}, x_groq={"id": "req_1", "usage": {"prompt_tokens": 3, "completion_tokens": 4}}),
        chunk("c", "m", {"content": ""}, usage={"prompt_tokens": 3, "completion_tokens": 4.0, "total_time": 0.01}),
    ],
)
def test_usage_is_found_where_servers_put_it(last):
    assert reply_of([chunk("c", "m", {"content": "Ten."}, "stop"), last])[2] == [Usage(3, 4)]


@pytest.mark.parametrize(
    "usage",
    [{}, {"prompt_tokens": None}, {"prompt_tokens": float("nan")}, {"prompt_tokens": -1, "completion_tokens": "many"}],
)
def test_usage_that_makes_no_sense_is_not_known(usage):
    found = reply_of([chunk("c", "m", {"content": "Ten."}, "stop"), {"choices": [], "usage": usage}])[2]
    assert found == []


def test_thoughts_beside_the_text_are_not_spoken():
    events = [
        chunk("c", "m", {"role": "assistant", "reasoning_content": "The caller asks"}),
        chunk("c", "m", {"reasoning": "the time.", "content": ""}),
        chunk("c", "m", {"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "Ten."}]}),
        chunk("c", "m", {}, "stop"),
    ]
    assert reply_of(events)[0] == "Ten."


@pytest.mark.parametrize("arguments", [3, ["x"], True])
def test_a_tool_call_of_odd_types_is_a_mistake_like_any_other(arguments):
    with pytest.raises(ComponentError, match="7"):
        reply_of([tool_delta(7, arguments, index=0, id=7), STOP])


def test_other_choices_are_not_ours():
    other = {"choices": [{"index": 1, "delta": {"content": "Eleven."}, "finish_reason": "stop"}]}
    assert reply_of([other, chunk("c", "m", {"content": "Ten."}, "stop")])[0] == "Ten."


# --- Server-sent events --------------------------------------------------------------------------------------------

STREAM = (
    ": waiting\n\n"
    'event: response.created\ndata: {"a": "grüße"}\nid: 7\nretry: 3\n\n'
    'data: {"b":\r\ndata: 2}\r\n\r\n'
    "data:[DONE]\n\n"
    'data: {"c": 3}'
).encode()


@pytest.mark.parametrize("comments", [True, False])
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_events_are_found_however_the_bytes_are_cut(comments, cuts):
    cuts = sorted({0, len(STREAM), *cuts})
    sse = ServerSentEvents(comments=comments)
    found = [event for start, end in pairwise(cuts) for event in sse.feed(STREAM[start:end])]
    assert [*found, *sse.end()] == [
        *([("", "")] if comments else []),
        ("response.created", '{"a": "grüße"}'),
        ("", '{"b":\n2}'),
        ("", "[DONE]"),
        ("", '{"c": 3}'),
    ]
    assert sse.stray == ""


def test_what_is_no_event_is_remembered():
    sse = ServerSentEvents()
    assert list(sse.feed(b"<html>\n<body>Bad Gateway</body>\n")) == []
    assert sse.stray == "<html>"


def test_a_line_without_end_is_not_collected_for_ever():
    sse = ServerSentEvents()
    assert list(sse.feed(b"x" * MOST_UNREAD)) == []
    with pytest.raises(ComponentError, match="more than 1 MiB"):
        list(sse.feed(b"x"))


@pytest.mark.parametrize("data", ["", "null", "[1]", "{", "\N{REPLACEMENT CHARACTER}", "[" * 100_000])
def test_what_is_no_object_is_quoted(data):
    with pytest.raises(ComponentError, match="no JSON object") as caught:
        parsed(data)
    assert caught.value.answered.startswith(data[:100])
    assert json.loads('{"a": 1}') == parsed('{"a": 1}')
