"""Requests for replies of every kind, made by hypothesis: conversations in an order that no call has, too."""

from __future__ import annotations

from hypothesis import strategies as st

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

WORDS = st.text("ab \n", max_size=5)
IDS = st.sampled_from(["abcDEF123", "call_1", "call_2", "0", "x" * 60, "?", ""])
NAMES = st.sampled_from(["book", "open", "a b", ""])
CALLED = st.builds(ToolCall, IDS, NAMES, st.dictionaries(WORDS, WORDS | st.floats(), max_size=1))
MESSAGES = st.one_of(
    st.builds(Message, st.just("caller"), WORDS),
    st.builds(Message, st.just("caller"), st.just("12"), pressed=st.just(True)),
    st.builds(Message, st.just("agent"), WORDS, st.booleans(), st.lists(CALLED, max_size=3).map(tuple)),
    st.builds(Message, st.just("tool"), WORDS, tool_call_id=IDS),
    st.builds(Message, st.just("operator"), WORDS),
)
TRIGGERS = st.one_of(
    st.just(CallStarted()),
    st.builds(Utterance, st.text("ab", min_size=1, max_size=3)),
    st.builds(Dtmf, st.sampled_from(["1", "12"])),
    st.builds(Silence, st.integers(1, 3)),
    st.builds(Told, WORDS),
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
