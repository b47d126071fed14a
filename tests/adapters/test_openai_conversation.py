"""How a request for a reply is written down for OpenAI's APIs, and that they take whatever comes of it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vendors.openai_requests import check_chat, check_response

from voicepipe.adapters import openai_chat, openai_responses
from voicepipe.adapters.openai_conversation import CALL_BEGINS, GO_ON, NO_RESULT, Returned, Turn, turns_of
from voicepipe.adapters.openai_llm import OpenAIOptions
from voicepipe.requests import (
    CallStarted,
    Dtmf,
    Message,
    ReplyRequest,
    Silence,
    Tool,
    ToolCall,
    ToolResults,
    Utterance,
)

HOURS = ToolCall("call_1", "opening_hours", {"day": "Monday"})
BOOK = ToolCall("call_2", "book", {"at": "10:00"})
OPTIONS = OpenAIOptions(model="gpt-4.1-mini", base_url="http://127.0.0.1/v1")


def caller(text):
    return Turn(False, text)


def agent(text, *returned):
    return Turn(True, text, tuple(Returned(call, result) for call, result in returned))


def told(trigger, *messages, **more):
    return turns_of(ReplyRequest(trigger, messages, **more))


@pytest.mark.parametrize(
    ("trigger", "mark"),
    [
        (Dtmf("12#"), "[the caller pressed 12#]"),
        (Silence(1), "[the caller says nothing]"),
        (Silence(3), "[the caller says nothing, 3 times in a row]"),
        (ToolResults({"call_9": "noon"}), '[the tools returned: ["noon"]]'),
    ],
    ids=str,
)
def test_what_no_message_holds_is_a_mark_in_the_callers_place(trigger, mark):
    conversation = [Message("caller", "hello"), Message("agent", "Good morning.")]
    assert told(trigger, *conversation) == [caller("hello"), agent("Good morning."), caller(mark)]


def test_a_model_that_speaks_first_is_told_that_the_call_begins():
    assert told(CallStarted()) == [caller(CALL_BEGINS)]


def test_an_utterance_is_told_once():
    assert told(Utterance("hello"), Message("caller", "hello")) == [caller("hello")]
    assert told(Utterance("hello")) == [caller("hello")]
    greeted = Message("agent", "Good morning.")
    assert told(Utterance("hello"), greeted) == [caller(CALL_BEGINS), agent("Good morning."), caller("hello")]


def test_a_reply_that_was_cut_short_ends_with_a_dash():
    conversation = [Message("caller", "hours?"), Message("agent", "We are open ", interrupted=True)]
    assert told(Utterance("wait"), *conversation, Message("caller", "wait")) == [
        caller("hours?"),
        agent("We are open—"),
        caller("wait"),
    ]


def test_nothing_is_made_of_what_was_never_heard():
    """The caller spoke over the reply before a word of it was out."""
    conversation = [Message("caller", "hours"), Message("agent", "", interrupted=True), Message("caller", "on Monday")]
    assert told(Utterance("on Monday"), *conversation) == [caller("hours\non Monday")]


def test_results_stand_behind_their_calls_and_every_call_has_one():
    conversation = [
        Message("caller", "hours?"),
        Message("agent", "One moment.", tool_calls=(HOURS, BOOK)),
        Message("caller", "hello?"),
        Message("tool", "nine to five", tool_call_id="call_1"),
        Message("tool", "of nobody", tool_call_id="call_7"),
    ]
    assert told(Utterance("hello?"), *conversation) == [
        caller("hours?"),
        agent("One moment.", (HOURS, "nine to five"), (BOOK, NO_RESULT)),
        caller("hello?"),
    ]


@pytest.mark.parametrize("noted", [True, False], ids=["as messages too", "only in the trigger"])
def test_results_are_found_wherever_they_are(noted):
    conversation = [Message("caller", "hours?"), Message("agent", "", tool_calls=(HOURS,))]
    if noted:
        conversation.append(Message("tool", "nine to five", tool_call_id="call_1"))
    expected = [caller("hours?"), agent("", (HOURS, "nine to five"))]
    assert told(ToolResults({"call_1": "nine to five"}), *conversation) == expected


def test_ids_that_come_twice_are_told_apart_by_their_order():
    twice = [
        Message("agent", "", tool_calls=(HOURS,)),
        Message("tool", "first", tool_call_id="call_1"),
        Message("agent", "", tool_calls=(HOURS,)),
    ]
    assert told(ToolResults({"call_1": "second"}), *twice)[1:] == [
        agent("", (HOURS, "first")),
        agent("", (HOURS, "second")),
    ]


def test_an_id_that_another_vendor_made_too_long_is_replaced():
    long = ToolCall("functions." + "x" * 80, "book", {})
    conversation = [Message("agent", "", tool_calls=(long,)), Message("tool", "done", tool_call_id=long.id)]
    _, turn = told(ToolResults({long.id: "done"}), *conversation)
    ((call, result),) = [(one.call, one.result) for one in turn.returned]
    assert (call.name, result) == ("book", "done")
    assert len(call.id) < 40


def test_what_the_caller_has_heard_of_a_reply_is_to_be_continued():
    assert told(Utterance("hello"), Message("caller", "hello"), said="Good mor") == [
        caller("hello"),
        agent("Good mor"),
        caller(GO_ON),
    ]


WORDS = st.text("ab ", max_size=5)
IDS = st.sampled_from(["call_1", "call_2", "0", "x" * 60, "?"])
CALLS = st.builds(ToolCall, IDS, st.just("book"), st.dictionaries(WORDS, WORDS, max_size=1))
MESSAGES = st.one_of(
    st.builds(Message, st.just("caller"), WORDS),
    st.builds(
        Message,
        st.just("agent"),
        WORDS,
        st.booleans(),
        st.lists(CALLS, max_size=3, unique_by=lambda c: c.id).map(tuple),
    ),
    st.builds(Message, st.just("tool"), WORDS, tool_call_id=IDS),
)
TRIGGERS = st.one_of(
    st.just(CallStarted()),
    st.builds(Utterance, st.text("ab", min_size=1, max_size=3)),
    st.builds(Dtmf, st.just("1")),
    st.builds(Silence, st.integers(1, 3)),
    st.builds(ToolResults, st.dictionaries(IDS, WORDS, max_size=3)),
)
REQUESTS = st.builds(
    ReplyRequest,
    TRIGGERS,
    st.lists(MESSAGES, max_size=8).map(tuple),
    prompt=WORDS,
    tools=st.sampled_from([(), (Tool("book", "Books a time."),)]),
    said=WORDS,
)


def posted(body):
    """As a server gets it."""
    sent = {name: value for name, value in body.items() if value is not None}
    return SimpleNamespace(headers={"content-type": "application/json"}, json=json.loads(json.dumps(sent)))


@given(REQUESTS)
@settings(max_examples=100, deadline=None)
def test_whatever_is_asked_is_a_request_that_the_apis_take(request):
    chat = posted(openai_chat.body_for(OPTIONS, request))
    messages = check_chat(chat, ["gpt-4.1-mini"], strict=True)["messages"]
    check_response(posted(openai_responses.body_for(OPTIONS, request)), ["gpt-4.1-mini"], strict=True)
    # Nor do the templates of open models have a reason to refuse it.
    turns = [message["role"] for message in messages if message["role"] in {"user", "assistant"}]
    assert turns[0] == "user"
    for at, role in enumerate(turns[1:], 1):
        assert role != turns[at - 1] or role == "assistant"
