"""Bytes of a server's answer as a reply, whatever they are called, however they are cut, and however they end."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vendors.openai_server import Says, chunk, chunks, response_events

from voicepipe.adapters.openai.chat_completions import ChatReplyBuilder
from voicepipe.adapters.openai.errors import broken_off
from voicepipe.adapters.openai.finish_reasons import ENDS, end_of
from voicepipe.adapters.openai.repeat_filter import RepeatFilter
from voicepipe.adapters.openai.reply_parser import AFTERMATH_S, DOUBTFUL_S, ReplyParser
from voicepipe.adapters.openai.responses import ResponsesReplyBuilder
from voicepipe.adapters.openai.sse import ServerSentEvents
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import ToolCall
from voicepipe.errors import ComponentError

OPEN = "We open at nine."
DONE = "data: [DONE]\n\n"
ASKED = {"model": "m", "messages": [{"role": "user", "content": "two words"}], "input": []}
WHOLE = {"object": "chat.completion", "choices": [{"index": 0, "message": {"content": OPEN}, "finish_reason": "stop"}]}


def answer(reply=None):
    return ReplyParser(reply or ChatReplyBuilder(("book",)), lambda error: broken_off(error, "${KEY}"))


def said_by(*pieces, reply=None):
    """Text, names of tools, and how the reply ended."""
    reading, events = answer(reply), []
    for data in pieces:
        events += reading.feed(data.encode() if isinstance(data, str) else data)
    if not reading.over:
        events += reading.close()
    events += reading.finish()
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, [event.name for event in events if isinstance(event, ToolCall)], events[-1]


def sse(*events, done=DONE):
    return "".join([f"data: {json.dumps(event)}\n\n" for event in events]) + done


def text(content, finish=None, **more):
    return chunk("c", "m", {"content": content}, finish, **more)


STOP = chunk("c", "m", {}, "stop")
WORDS = [text("We open "), text("at nine.")]
STREAM = sse(*WORDS, STOP)

BODIES = {
    "as it should be": STREAM,
    "a byte order mark": "\ufeff" + STREAM,
    "a byte order mark as the first line": "\ufeff\n" + STREAM,
    "byte order marks in the data": STREAM.replace("data: {", "data: \ufeff{"),
    "CRLF": STREAM.replace("\n", "\r\n"),
    "CR": STREAM.replace("\n", "\r"),
    "no space behind the colon": STREAM.replace("data: ", "data:"),
    "no empty lines": STREAM.replace("\n\n", "\n"),
    "many empty lines": STREAM.replace("\n\n", "\n\n\n\n"),
    "comments": ": OPENROUTER PROCESSING\n\n" + STREAM.replace("\n\n", "\n\n:\n\n"),
    "other fields": STREAM.replace("data: ", "event: message\nid: 7\nretry: 3\ndata: "),
    "several lines of data": STREAM.replace('{"id"', '{\ndata: "id"'),
    "blanks before the fields": STREAM.replace("data", "  data"),
    "events within events": STREAM.replace("data: ", "data: data: "),
    "two objects in one event": f"data: {json.dumps(WORDS[0])}{json.dumps(WORDS[1])}\n\n" + sse(STOP),
    "done in small letters": sse(*WORDS, done="data: [done]\n\n"),
    "pings": "event: ping\ndata: {}\n\nevent: ping\ndata: soon\n\n" + STREAM,
    "null and nothing": "data: null\n\ndata: \n\ndata\n\n" + STREAM,
    "no [DONE]": sse(*WORDS, STOP, done=""),
    "no end of the last event": STREAM.rstrip(),
    "[DONE] alone": sse(*WORDS),
    "spaces about [DONE]": sse(*WORDS, done="data:  [DONE] \n\n"),
    "more behind [DONE]": STREAM + sse(text("Not this."), done="data: <rubbish>\n\n"),
    "an object a line": "\n".join(map(json.dumps, [*WORDS, STOP])) + "\n",
    "objects one behind the other": "".join(map(json.dumps, [*WORDS, STOP])),
    "a list": json.dumps([*WORDS, STOP]),
    "a list, indented": json.dumps([*WORDS, STOP], indent=2),
    "a whole answer": json.dumps(WHOLE),
    "a whole answer, indented": json.dumps(WHOLE, indent=2),
    "a whole answer as an event": sse(WHOLE, done=""),
    "a whole answer behind a byte order mark": "\ufeff" + json.dumps(WHOLE),
    "a whole answer behind blanks": "\n \n" + json.dumps(WHOLE),
    "a whole answer that does not say why it ended": json.dumps({"choices": [{"message": {"content": OPEN}}]}),
    "the API before chat": sse({"choices": [{"index": 0, "text": OPEN, "finish_reason": "stop"}]}),
    "messages where deltas belong": sse(
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "message": {"content": "We open "}}]},
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "message": {"content": "at nine."}}]},
        STOP,
    ),
    "the index as text": STREAM.replace('"index": 0', '"index": "0"'),
    "thoughts in deltas of their own": sse(chunk("c", "m", {"reasoning_content": "secret"}), *WORDS, STOP),
    "`stop` upon thoughts": sse(chunk("c", "m", {"reasoning_content": "secret"}, "stop"), *WORDS, STOP),
    "`stop` upon each chunk": sse(text("We open ", "stop"), text("at nine.", "stop"), STOP),
    "`stop` and cost upon each chunk": sse(
        text("We open ", "stop", usage={"prompt_tokens": 1}), text("at nine.", "stop", usage={"prompt_tokens": 2})
    ),
    "reasons that are none": sse(text("We open ", ""), text("at nine.", "null"), STOP),
    "Gemini's thoughts": sse(
        chunk("c", "m", {"content": "secret", "extra_content": {"google": {"thought": True}}}), *WORDS, STOP
    ),
    "parts": sse(text([{"type": "thinking", "thinking": []}, {"type": "text", "text": OPEN}]), STOP),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_words_come_whatever_form_they_are_in(body):
    expected = (OPEN, [], ReplyDone("complete"))
    data = body.encode()
    assert said_by(data) == expected
    assert said_by(*(data[at : at + 1] for at in range(len(data)))) == expected
    assert said_by(*(data[at : at + 7] for at in range(0, len(data), 7))) == expected


SAYINGS = (
    Says("Grüße \u2014 你好 \U0001f642. One moment.", (("book", '{"day": "mon"}'), ("book", '{"day": "tue"}'))),
    Says("<think>secret</think>x < 5, so <3 of them.<|im_end|>"),
    Says(refusal="I can't help with that."),
    Says('<tool_call>{"name": "book", "arguments": {"day": "mon"}}</tool_call>'),
)
STREAMS = [
    *((ChatReplyBuilder, sse(*chunks("c", ASKED, says))) for says in SAYINGS),
    *((ResponsesReplyBuilder, sse(*response_events("resp_1", ASKED, says), done="")) for says in SAYINGS),
    *((ChatReplyBuilder, body) for name, body in BODIES.items() if name != "more behind [DONE]"),
]


@given(stream=st.sampled_from(STREAMS), cuts=st.lists(st.integers(0, 4000), max_size=9), to=st.sampled_from("\n\r"))
def test_how_the_bytes_are_cut_does_not_matter(stream, cuts, to):
    make, body = stream
    data = body.replace("\n", to).encode()
    cuts = sorted({0, len(data), *(at for at in cuts if at < len(data))})
    pieces = [data[start:end] for start, end in pairwise(cuts)]
    assert said_by(*pieces, reply=make(("book",))) == said_by(data, reply=make(("book",)))


class LineByLine(ServerSentEvents):
    """Reads what is sent in the usual form as it reads all else."""

    def _plain(self, data):
        return None


FRAGMENTS = [
    *(b'data: {"a": 1}\n\n', b"event: response.x\ndata: {}\n\n", b"event: error\ndata: {}\n\n", b"data: [DONE]\n\n"),
    *(
        b"data: {}\r\n\r\n",
        b"data: {}\r\r",
        b"data:{}\n\n",
        b"data: {} \n\n",
        b"data:  {}\n\n",
        b"data: {}\n",
        b"data: {",
    ),
    *(
        b'data: {"a": "}{"}\n\n',
        b"data: {}{}\n\n",
        b"data: data: {}\n\n",
        b"data: {\xff}\n\n",
        b"data: {\xc3",
        b"}\n\n",
    ),
    *('data: {"ü": "\u2028\x0b\x85"}\n\n'.encode(), "\ufeffdata: {}\n\n".encode(), "data: \ufeff{}\n\n".encode()),
    *(b"event: x\n", b"event: x y\ndata: {}\n\n", b"event:\n\n", b": ping\n\n", b"\n", b"\r", b"\r\n", b"", b"id: 3\n"),
    *(b'{"stray": 1}\n', b"[{", b"error: no\n\n", b"hello\n", b"data\n\n", b"data: {bad\n\n"),
]


@given(fragments=st.lists(st.sampled_from(FRAGMENTS), max_size=8), cuts=st.lists(st.integers(0, 150), max_size=4))
@example(fragments=FRAGMENTS[:2], cuts=[])
def test_events_in_the_usual_form_are_read_as_line_by_line(fragments, cuts):
    data = b"".join(fragments)
    cuts = sorted({0, len(data), *(at for at in cuts if at < len(data))})
    read = []
    for sse_of in (ServerSentEvents, LineByLine):
        events = sse_of(comments=True)
        found = [list(events.feed(data[start:end])) for start, end in pairwise(cuts)]
        read.append((found, list(events.end()), events.stray))
    assert read[0] == read[1]


# --- Whole texts again -----------------------------------------------------------------------------------------------

MESSAGE = {"choices": [{"index": 0, "message": {"role": "assistant", "content": OPEN}, "finish_reason": "stop"}]}
AGAIN = {
    "in the last delta": [*WORDS, text(OPEN, "stop")],
    "in a delta, and then the end": [*WORDS, text(OPEN), STOP],
    "with other blanks": [text(" We open"), text(" at nine. "), text(OPEN + "\n", "stop")],
    "as a message": [*WORDS, MESSAGE],
    "as a message beside an empty delta": [*WORDS, {"choices": [MESSAGE["choices"][0] | {"delta": {}}]}],
    "as a message beside each delta (Perplexity)": [
        {"choices": [{"index": 0, "delta": {"content": "We open "}, "message": {"content": "We open "}}]},
        {"choices": [{"index": 0, "delta": {"content": "at nine."}, "message": {"content": OPEN}}]},
        {"choices": [{"index": 0, "delta": {}, "message": {"content": OPEN}, "finish_reason": "stop"}]},
    ],
    "as a message with the thoughts": [
        chunk("c", "m", {"reasoning_content": "secret"}),
        *WORDS,
        {"choices": [{"index": 0, "message": {"content": f"<think>secret</think>{OPEN}"}, "finish_reason": "stop"}]},
    ],
    "with the thoughts": [
        text("<think>secret</think>We open "),
        text("at nine."),
        text(f"<think>secret</think>{OPEN}"),
    ],
    "as a message that goes on": [text("We open "), MESSAGE],
    "so far, in each delta": [text("We"), text("We open"), text("We open at"), text(OPEN), STOP],
    "so far, in each delta, some twice": [text("We open"), text("We open"), text("We open at"), text(OPEN), text(OPEN)],
    "and it came at once": [text(OPEN), text(OPEN, "stop")],
}


@pytest.mark.parametrize("events", AGAIN.values(), ids=AGAIN)
def test_what_comes_again_as_a_whole_is_said_once(events):
    said, calls, done = said_by(sse(*events))
    assert (said.strip(), calls, done) == (OPEN, [], ReplyDone("complete"))


@pytest.mark.parametrize(
    "deltas",
    [
        ["ha", "ha"],
        ["No", "no", "no"],
        ["1", "10"],
        ["Bye", " bye", "."],
        ["谢", "谢"],
        ["1", "1", "1"],
        ["We open", " at nine. We open", " at nine."],
        ["Very well. ", "Very well. ", "Goodbye."],
        [" ", " ", "Hello."],
    ],
)
def test_what_only_seems_to_come_again_is_said(deltas):
    new = RepeatFilter()
    assert "".join(map(new.feed, deltas)) == "".join(deltas)


# --- Ends ------------------------------------------------------------------------------------------------------------

REASONS = {
    "complete": [
        "stop",
        "STOP",
        "eos",
        "eos_token",
        "end_turn",
        "stop_sequence",
        "endTurn",
        "FinishReason.STOP",
        "COMPLETE",
    ],
    "called": ["tool_calls", "function_call", "tool_use", "TOOL_CALL", "toolCalls", "tool-calls", "Tool Calls"],
    "length": [
        *(
            "length",
            "max_tokens",
            "MAX_TOKENS",
            "model_length",
            "maxTokens",
            "max_output_tokens",
            "FinishReason.MAX_TOKENS",
        ),
        *("length_limit", "token_limit", "model_context_window_exceeded"),
    ],
    "filtered": [
        *("content_filter", "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "refusal", "sensitive"),
        *(
            "guardrail_intervened",
            "ERROR_TOXIC",
            "content-filter",
            "contentFilter",
            "blocked_by_safety",
            "input_filter",
        ),
    ],
    "failed": [
        *("error", "ERROR", "network_error", "insufficient_system_resource", "abort", "malformed_function_call"),
        *("MALFORMED_FUNCTION_CALL", "function_call_filter: MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "OTHER"),
        *("upstream_error", "provider_failed", "engine_overloaded", "error_limit", "cancelled", "time_limit"),
    ],
    "unknown": ["banana", "7"],
    None: [None, "", "null", "none", "FINISH_REASON_UNSPECIFIED", 0, {}, [], True],
}
ALL_REASONS = [(reason, end) for end, reasons in REASONS.items() for reason in reasons]


@pytest.mark.parametrize(("reason", "end"), ALL_REASONS, ids=repr)
def test_reasons_mean_the_same_in_every_vendors_spelling(reason, end):
    assert end_of(reason) == end


def test_each_reason_of_the_table_means_one_thing():
    reasons = [reason for reasons in ENDS.values() for reason in reasons]
    assert len(reasons) == len(set(reasons))
    assert all(end_of(reason) == end for end, reasons in ENDS.items() for reason in reasons)


def test_the_table_of_the_pages_says_so():
    page = (Path(__file__).parents[2] / "docs/reference/adapters/openai.md").read_text()
    table = page.partition("| `finish_reason` |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1:4] for row in table.splitlines()[2:-1]]
    ends = [{end_of(reason) for reason in re.findall("`(.*?)`", reasons)} for reasons, _, _ in rows]
    assert ends == [{"complete"}, {"called"}, {"length"}, {"filtered"}, {"failed"}]
    assert ["a failure" in with_words for _, with_words, _ in rows] == [False, False, False, False, True]
    assert ["request" in without for _, _, without in rows] == [False, False, True, True, False]


WITH_WORDS = {"complete": "complete", "called": "complete", "length": "truncated", "filtered": "complete"}
WITH_WORDS |= {"unknown": "complete", None: "complete"}


@pytest.mark.parametrize(("reason", "end"), ALL_REASONS, ids=repr)
def test_words_before_the_end_are_kept_and_a_failure_fails(reason, end):
    body = sse(text(OPEN), chunk("c", "m", {}, reason))
    if end == "failed":
        with pytest.raises(ComponentError, match="failed in mid-answer") as caught:
            said_by(body)
        assert (caught.value.retryable, caught.value.fault) == (True, "component")
        assert reason in caught.value.answered
    else:
        assert said_by(body) == (OPEN, [], ReplyDone(WITH_WORDS[end]))


WITHOUT_WORDS = {
    "length": ("length limit", False, "request"),
    "filtered": ("filtered", False, "request"),
    "failed": ("failed in mid-answer", True, "component"),
    "called": ("called none", True, "component"),
    "unknown": ("without text or a tool call", True, "component"),
}


@pytest.mark.parametrize(("reason", "end"), ALL_REASONS, ids=repr)
@pytest.mark.parametrize("thoughts", ["", "<think>secret</think>"])
def test_an_end_without_words_is_a_failure_or_nothing(reason, end, thoughts):
    body = sse(text(thoughts), chunk("c", "m", {}, reason))
    if end in WITHOUT_WORDS:
        with pytest.raises(ComponentError) as caught:
            said_by(body)
        message, retryable, fault = WITHOUT_WORDS[end]
        assert message in caught.value.message
        assert (caught.value.retryable, caught.value.fault) == (retryable, fault)
    else:
        assert said_by(body) == ("", [], ReplyDone("empty"))


def test_a_call_in_the_text_that_makes_no_sense_is_a_failure():
    with pytest.raises(ComponentError, match="a malformed tool call") as caught:
        said_by(sse(text('<tool_call>{"name": "book", "argum</tool_call>'), STOP))
    assert "parser" in caught.value.hint
    assert caught.value.retryable


def test_a_call_in_the_text_is_called_unless_it_was_called_already():
    written = '<tool_call>{"name": "book", "arguments": {"day": "mon"}}</tool_call>'
    assert said_by(sse(text(f"One moment. {written}"), STOP)) == ("One moment. ", ["book"], ReplyDone("complete"))
    call = {"index": 0, "id": "t", "function": {"name": "book", "arguments": '{"day": "mon"}'}}
    assert said_by(sse(text(written), chunk("c", "m", {"tool_calls": [call]}), STOP))[1] == ["book"]


ERRORS = {
    "an object": {"error": {"message": "Upstream died", "code": 502}},
    "beside an end": {"error": {"message": "Upstream died"}, "choices": [{"delta": {}, "finish_reason": "error"}]},
    "in a choice (OpenRouter)": {"choices": [{"delta": {"content": ""}, "error": {"message": "Upstream died"}}]},
    "in a delta": {"choices": [{"delta": {"error": "Upstream died"}}]},
    "in a message": {"choices": [{"message": {"content": None, "error": {"message": "Upstream died"}}}]},
    "vLLM's": {"object": "error", "message": "Upstream died", "type": "InternalServerError", "code": 500},
    "Ollama's": {"error": "Upstream died"},
    "FastAPI's": {"detail": "Upstream died"},
    "MiniMax's": {"base_resp": {"status_code": 1013, "status_msg": "Upstream died"}, "choices": None},
    "MiniMax's, alone": {"base_resp": {"status_code": 1013, "status_msg": "Upstream died"}},
    "Spark's": {"code": 10012, "msg": "Upstream died"},
    "DashScope's": {"code": "InternalError", "message": "Upstream died", "request_id": "r"},
    "Cloudflare's": {"success": False, "errors": [{"code": 7000, "message": "Upstream died"}]},
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("before", ["", sse(text("We open"), done="")])
@pytest.mark.parametrize("form", [sse, lambda error: json.dumps(error) + "\n"], ids=["sse", "json"])
def test_an_error_is_one_wherever_it_stands(error, before, form):
    with pytest.raises(ComponentError, match="failed in mid-answer") as caught:
        said_by(before + form(error))
    assert "Upstream died" in caught.value.answered


@pytest.mark.parametrize("line", ["event: error\ndata: Upstream died\n\n", 'error: {"message": "Upstream died"}\n\n'])
def test_an_error_may_be_an_event_or_a_line_of_its_own(line):
    with pytest.raises(ComponentError, match="failed in mid-answer") as caught:
        said_by(sse(text("We open"), done=line))
    assert caught.value.answered == "Upstream died"


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_response_that_failed_is_none_although_it_is_complete(status):
    ended = {"type": "response.completed", "response": {"status": status, "output": []}}
    with pytest.raises(ComponentError, match="failed in mid-answer"):
        said_by(sse(ended, done=""), reply=ResponsesReplyBuilder())


# --- When an answer is over ------------------------------------------------------------------------------------------

COST = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
OVER = {
    "[DONE]": (sse(*WORDS), True, None),
    "[DONE] without an empty line": (sse(*WORDS, done="data: [DONE]\n"), True, None),
    "the end, and then the cost": (sse(*WORDS, STOP, COST, done=""), True, None),
    "the end with the cost": (sse(*WORDS, STOP | {"usage": COST["usage"]}, done=""), True, None),
    "the end": (sse(*WORDS, STOP, done=""), False, AFTERMATH_S),
    "the end with words": (sse(text(OPEN, "stop"), done=""), False, DOUBTFUL_S),
    "the end with words and the cost": (sse(text(OPEN, "stop", usage=COST["usage"]), done=""), False, DOUBTFUL_S),
    "the end with words, and then the cost": (sse(text(OPEN, "stop"), COST, done=""), True, None),
    "an end that was none": (sse(text("We open ", "stop"), text("at nine."), done=""), False, None),
    "the end of the thoughts": (sse(chunk("c", "m", {"reasoning": "secret"}, "stop"), COST, done=""), False, None),
    "the end of nothing": (sse(STOP, COST, done=""), False, None),
    "the length limit within thoughts": (sse(chunk("c", "m", {}, "length"), COST, done=""), True, None),
    "words": (sse(*WORDS, done=""), False, None),
}


@pytest.mark.parametrize(("body", "over", "patience_s"), OVER.values(), ids=OVER)
def test_an_answer_is_over_when_nothing_more_can_come(body, over, patience_s):
    reading = answer()
    list(reading.feed(body.encode()))
    assert reading.over is over
    assert over or reading.patience_s == patience_s


def test_what_a_reply_cost_is_told_although_it_comes_last():
    reading = answer()
    assert Usage(3, 4) in [*reading.feed(sse(*WORDS, STOP, COST).encode()), *reading.finish()]
