"""How a request for a reply is written down for OpenAI's APIs, and that every server takes whatever comes of it."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from openai_reply_requests import REQUESTS
from vendors.chat_rules import RefusedBy, check_everywhere
from vendors.openai_requests import check_response

from voicepipe.adapters.openai import chat_completions as openai_chat
from voicepipe.adapters.openai import responses as openai_responses
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.adapters.openai.messages import CALL_BEGINS, CUT_SHORT, GO_ON, SILENT, TextTurn, ToolTurn, turns_of
from voicepipe.adapters.openai.sanitizers import NO_RESULT, clean, wire_arguments, wire_id, wire_name
from voicepipe.components.requests import (
    CallStarted,
    Dtmf,
    Message,
    ReplyRequest,
    Silence,
    Told,
    Tool,
    ToolCall,
    ToolResults,
    Utterance,
)

HOURS = ToolCall("hours0001", "opening_hours", {"day": "Monday"})
BOOK = ToolCall("book00002", "book", {"at": "10:00"})
OPTIONS = OpenAIOptions(model="gpt-4.1-mini", base_url="http://127.0.0.1/v1")
RUNS = "still running"


def caller(text):
    return TextTurn(False, text)


def agent(text):
    return TextTurn(True, text)


def said(text, **more):
    return Message("caller", text, **more)


def replied(text, *calls, **more):
    return Message("agent", text, tool_calls=calls, **more)


def returned(call, text):
    return Message("tool", text, tool_call_id=call.id)


def told(trigger, *messages, **more):
    request = ReplyRequest(trigger, messages, **more)
    check_everywhere(openai_chat.body_for(OPTIONS, request))
    return turns_of(request)


@pytest.mark.parametrize(
    ("trigger", "mark"),
    [
        (Dtmf("12#"), "[the caller pressed 12#]"),
        (Silence(1), "[the caller says nothing]"),
        (Silence(3), "[the caller says nothing, 3 times in a row]"),
        (ToolResults({"call_9": "noon"}), '[the tools returned: ["noon"]]'),
        (Told("it rains"), "[you are told, and the caller does not hear: it rains]"),
    ],
    ids=str,
)
def test_what_no_message_holds_is_a_mark_in_the_callers_place(trigger, mark):
    assert told(trigger, said("hello"), replied("Good morning.")) == [
        caller("hello"),
        agent("Good morning."),
        caller(mark),
    ]


def test_a_model_that_speaks_first_is_told_that_the_call_begins():
    assert told(CallStarted()) == [caller(CALL_BEGINS)]


def test_an_utterance_is_told_once():
    assert told(Utterance("hello"), said("hello")) == [caller("hello")]
    assert told(Utterance("hello")) == [caller("hello")]
    assert told(Utterance("hello"), replied("Good morning.")) == [
        caller(CALL_BEGINS),
        agent("Good morning."),
        caller("hello"),
    ]


def test_a_fact_stands_where_the_program_told_it_and_once():
    mark = "[you are told, and the caller does not hear: it rains]"
    fact = Message("operator", "it rains")
    assert told(Told("it rains"), said("hello"), replied("Good morning."), fact) == [
        caller("hello"),
        agent("Good morning."),
        caller(mark),
    ]
    assert told(Utterance("is it nice"), fact, said("is it nice")) == [caller(f"{mark}\nis it nice")]
    assert told(Utterance("is it nice"), said("is it nice"), fact) == [caller(f"is it nice\n{mark}")]
    assert told(Utterance("bye"), fact, replied("It rains."), said("bye")) == [
        caller(mark),
        agent("It rains."),
        caller("bye"),
    ]


def test_keys_are_told_once_and_stay():
    keys = said("4711", pressed=True)
    expected = [caller("it is\n[the caller pressed 4711]")]
    assert told(Dtmf("4711"), said("it is"), keys) == expected
    assert told(Dtmf("4711"), said("it is"), keys, said("ok")) == [caller("it is\n[the caller pressed 4711]\nok")]
    later = (said("it is"), keys, replied("Thank you."), said("what was it"))
    assert told(Utterance("what was it"), *later) == [*expected, agent("Thank you."), caller("what was it")]


def test_a_reply_that_was_cut_short_ends_with_a_dash():
    assert told(Utterance("wait"), said("hours?"), replied("We are open ", interrupted=True), said("wait")) == [
        caller("hours?"),
        agent("We are open—"),
        caller("wait"),
    ]


def test_nothing_is_made_of_what_was_never_heard():
    """The caller spoke over the reply before a word of it was out."""
    conversation = [said("hours"), replied("", interrupted=True), said("on Monday")]
    assert told(Utterance("on Monday"), *conversation) == [caller("hours\non Monday")]


def test_calls_made_at_once_stand_behind_one_another_each_with_its_result():
    conversation = [
        said("hours?"),
        replied("", HOURS, BOOK),
        returned(BOOK, "booked"),
        returned(HOURS, "nine to five"),
        Message("tool", "of nobody", tool_call_id="call_7"),
    ]
    uses = [ToolTurn(HOURS, "nine to five"), ToolTurn(BOOK, "booked")]
    assert told(ToolResults({HOURS.id: "x", BOOK.id: "y"}), *conversation) == [caller("hours?"), *uses]
    assert told(Utterance("ok"), *conversation, replied("Nine."), said("ok"))[1:] == [
        *uses,
        agent("Nine."),
        caller("ok"),
    ]
    # It has ended for nobody but the model: there is a result in any case.
    assert told(Dtmf("1"), *conversation[:2])[1:3] == [ToolTurn(HOURS, NO_RESULT), ToolTurn(BOOK, NO_RESULT)]


@pytest.mark.parametrize("noted", [True, False], ids=["as messages too", "only in the trigger"])
def test_results_are_found_wherever_they_are(noted):
    conversation = [said("hours?"), replied("", HOURS), *[returned(HOURS, "nine to five")] * noted]
    expected = [caller("hours?"), ToolTurn(HOURS, "nine to five")]
    assert told(ToolResults({HOURS.id: "nine to five"}), *conversation) == expected


MEANWHILE = "[meanwhile the caller hears you say: {}]"


def test_what_is_said_beside_a_call_or_while_it_runs_stands_before_it():
    """Results come last, so that it is them that are replied to."""
    asked, filler = replied("Let me see.", BOOK), replied("One moment.")
    first = caller("\n".join(["book", MEANWHILE.format("Let me see."), MEANWHILE.format("One moment.")]))
    conversation = [said("book"), asked, returned(BOOK, "booked"), filler]
    assert told(ToolResults({BOOK.id: "booked"}), *conversation) == [first, ToolTurn(BOOK, "booked")]
    # A reply to results that calls another tool.
    chained = [*conversation[:3], replied("And the hours.", HOURS), returned(HOURS, "nine")]
    first = caller("\n".join(["book", MEANWHILE.format("Let me see."), MEANWHILE.format("And the hours.")]))
    uses = [ToolTurn(BOOK, "booked"), ToolTurn(HOURS, "nine")]
    assert told(ToolResults({HOURS.id: "nine"}), *chained) == [first, *uses]
    assert told(Utterance("ok"), *chained, replied("Nine."), said("ok")) == [first, *uses, agent("Nine."), caller("ok")]


def test_who_speaks_while_a_tool_runs_speaks_after_the_agent():
    """Mistral refuses the user's words right behind a tool's."""
    conversation = [said("book"), replied("One moment.", BOOK), returned(BOOK, RUNS), said("for two")]
    use = ToolTurn(BOOK, RUNS)
    assert told(Utterance("for two"), *conversation) == [caller("book"), use, agent("One moment."), caller("for two")]
    conversation[1] = replied("", BOOK)
    assert told(Utterance("for two"), *conversation) == [caller("book"), use, agent(CUT_SHORT), caller("for two")]


def test_results_that_come_after_other_words_are_told_at_the_end_too():
    conversation = [
        said("book"),
        replied("", BOOK),
        returned(BOOK, "booked"),
        said("hello?"),
        replied("Still at it."),
    ]
    expected = [caller("book"), ToolTurn(BOOK, "booked"), agent(CUT_SHORT), caller("hello?"), agent("Still at it.")]
    mark = caller('[the tools returned: ["booked"]]')
    assert told(ToolResults({BOOK.id: "booked"}), *conversation) == [*expected, mark]
    # Another tool has been called meanwhile, which runs still.
    conversation[-1] = replied("", HOURS)
    conversation.append(returned(HOURS, RUNS))
    last = [ToolTurn(HOURS, RUNS), agent(CUT_SHORT), mark]
    assert told(ToolResults({BOOK.id: "booked"}), *conversation) == [*expected[:-1], *last]


def test_an_agent_that_calls_a_tool_by_itself_was_not_spoken_to():
    conversation = [replied("Hello."), replied("I see nobody.", HOURS), returned(HOURS, "nine")]
    assert told(ToolResults({HOURS.id: "nine"}), *conversation) == [
        caller(CALL_BEGINS),
        agent("Hello."),
        caller(f"{SILENT}\n{MEANWHILE.format('I see nobody.')}"),
        ToolTurn(HOURS, "nine"),
    ]


def test_ids_that_come_twice_are_told_apart_by_their_order():
    twice = [said("when"), replied("", HOURS), returned(HOURS, "first"), replied("", HOURS)]
    _, *uses = told(ToolResults({HOURS.id: "second"}), *twice)
    assert [use.result for use in uses] == ["first", "second"]
    assert uses[0].call.id == HOURS.id != uses[1].call.id


@pytest.mark.parametrize(
    "given_id",
    [
        "call_f3a9Kq2LmZ8xYw7Vb1Nc4Td6",
        "toolu_01A09q90qw90lq917835lq9",
        "000000000-1",
        "functions.book:0",
        "0",
        "",
        "é" * 9,
    ],
)
def test_ids_of_any_vendor_are_replaced_by_one_that_all_take_and_always_the_same(given_id):
    call = ToolCall(given_id, "book", {})
    conversation = [said("book"), replied("", call), returned(call, "done")]
    _, use = told(ToolResults({given_id: "done"}), *conversation)
    assert use.result == "done"
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", use.call.id)
    later = told(Utterance("thanks"), *conversation, replied("Done."), said("thanks"))
    assert later[1] == use
    assert wire_id("abcDEF123") == "abcDEF123"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("book", "book"),
        ("functions.book", "functions_book"),
        ("book a time", "book_a_time"),
        ("", "unnamed"),
        ("ü" * 70, "_" * 64),
    ],
)
def test_names_that_models_invent_are_told_as_any_server_takes_them(name, sent):
    call = ToolCall("1", name, {})
    _, use = told(ToolResults({"1": "error: there is no such tool"}), said("book"), replied("", call))
    assert wire_name(name) == use.call.name == sent


def test_what_can_not_be_sent_is_left_out():
    assert clean(" a\0b\n") == "ab"
    assert clean("ok \ud83d\ude00") == "ok \U0001f600"
    assert clean("half \ud83d done") == "half \ufffd done"
    odd = {"x": float("nan"), "y": [float("inf"), "\ud83d"], "z": {1}}
    assert json.loads(wire_arguments(ToolCall("1", "book", odd))) == {"x": None, "y": [None, "\ufffd"], "z": "{1}"}
    told(ToolResults({"1": " \n"}), said(" hello\ud83d "), replied(" \n", ToolCall("1", "book", odd)), prompt=" \n")


def test_what_the_caller_has_heard_of_a_reply_is_to_be_continued():
    assert told(Utterance("hello"), said("hello"), said="Good mor") == [
        caller("hello"),
        agent("Good mor"),
        caller(GO_ON),
    ]
    conversation = [said("book"), replied("One moment.", BOOK), returned(BOOK, "booked")]
    assert told(ToolResults({BOOK.id: "booked"}), *conversation, said="It is") == [
        caller(f"book\n{MEANWHILE.format('One moment.')}"),
        ToolTurn(BOOK, "booked"),
        agent("It is"),
        caller(GO_ON),
    ]


def test_tools_that_were_called_are_declared_though_none_may_be_called_now():
    """Anthropic's models refuse the conversation otherwise; so many rounds of tools in a row are enough."""
    request = ReplyRequest(ToolResults({BOOK.id: "x"}), (said("book"), replied("", BOOK), replied("", BOOK)))
    body = openai_chat.body_for(OPTIONS, request)
    assert ([tool["function"]["name"] for tool in body["tools"]], body["tool_choice"]) == (["book"], "none")
    offered = ReplyRequest(request.trigger, request.messages, tools=(Tool("open", "Opens."),))
    body = openai_chat.body_for(OPTIONS, offered)
    assert ([tool["function"]["name"] for tool in body["tools"]], "tool_choice" in body) == (["open"], False)
    assert "tools" not in openai_chat.body_for(OPTIONS, ReplyRequest(CallStarted()))


USER, TOOL = {"role": "user", "content": "hi"}, {"role": "tool", "tool_call_id": "abcDEF123", "content": "x"}
CALL = {"id": "abcDEF123", "type": "function", "function": {"name": "book", "arguments": "{}"}}
CALLS, REPLY = {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "assistant", "content": "Yes."}
DECLARED = {"type": "function", "function": {"name": "book", "parameters": {"type": "object", "properties": {}}}}


@pytest.mark.parametrize(
    ("messages", "server"),
    [
        ([USER, REPLY], "Mistral"),
        ([USER, CALLS, TOOL, USER], "Mistral"),
        ([USER, CALLS | {"content": "Wait."}, TOOL], "Mistral"),
        ([USER, CALLS | {"tool_calls": [CALL | {"id": "call_1"}]}, TOOL | {"tool_call_id": "call_1"}], "Mistral"),
        ([REPLY, USER], "Anthropic"),
        ([USER, REPLY | {"content": "Yes. "}, USER], "Anthropic"),
        ([USER | {"content": " "}], "Anthropic"),
        ([USER, CALLS, TOOL, CALLS, TOOL], "Anthropic"),
        ([USER, REPLY, USER, USER], "Template"),
        ([USER, REPLY, CALLS, TOOL], "Template"),
        ([USER, CALLS | {"tool_calls": [CALL | {"function": {"name": "book", "arguments": "[]"}}]}, TOOL], "Template"),
        ([USER, CALLS, TOOL | {"content": ""}], "Ollama"),
        ([USER, CALLS | {"tool_calls": [CALL | {"function": {"name": "a b", "arguments": "{}"}}]}, TOOL], "OpenAI"),
        ([USER | {"name": "x"}], "OpenAI"),
    ],
)
def test_the_rules_refuse_what_the_servers_refuse(messages, server):
    body = {"model": "m", "messages": messages, "tools": [DECLARED]}
    with pytest.raises(RefusedBy) as refused:
        check_everywhere(body)
    assert refused.value.server == server


@pytest.mark.parametrize(
    "messages",
    [[USER], [USER, CALLS, TOOL], [USER, REPLY, USER], [USER, CALLS, TOOL, REPLY, USER]],
)
def test_the_rules_take_what_the_servers_take(messages):
    check_everywhere({"model": "m", "messages": messages, "tools": [DECLARED]})
    if TOOL in messages:
        with pytest.raises(RefusedBy, match="must define tools"):
            check_everywhere({"model": "m", "messages": messages})


def posted(body):
    """As a server gets it."""
    sent = {name: value for name, value in body.items() if value is not None}
    return SimpleNamespace(headers={"content-type": "application/json"}, json=json.loads(json.dumps(sent)))


@given(REQUESTS)
@settings(max_examples=200, deadline=None)
def test_whatever_is_asked_is_a_request_that_every_server_takes(request):
    body = openai_chat.body_for(OPTIONS, request)
    check_everywhere(body)
    check_response(posted(openai_responses.body_for(OPTIONS, request)), ["gpt-4.1-mini"], strict=True)
    # And nothing that was said is left out.
    text = json.dumps(body["messages"], ensure_ascii=False)
    for message in request.messages:
        if message.role != "tool":
            assert json.dumps(clean(message.text), ensure_ascii=False)[1:-1] in text
