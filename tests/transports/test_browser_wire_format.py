"""The softphone's messages, held against the documented ones and against anything else."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from voicepipe.errors import TransportError
from voicepipe.transports.browser.wire_format import (
    CLEAR,
    HUNG_UP,
    MOST_AUDIO,
    MOST_MARK,
    MOST_TEXT,
    MOST_VALUE,
    MOST_VARIABLES,
    STARTED,
    EndCall,
    PlaceCall,
    PressKey,
    ReportMark,
    check_audio,
    encode_event,
    encode_mark,
    parse_message,
)

START = {"type": "start", "protocol": 1}
EVENT = {"type": "transcribed", "text": "<b>\u2028"}
MANY = {f"name{number}": "x" for number in range(MOST_VARIABLES + 1)}


@pytest.mark.parametrize(
    ("message", "parsed"),
    [
        (START, PlaceCall()),
        (START | {"called": "200", "caller": "+1555"}, PlaceCall("200", "+1555")),
        (START | {"variables": {"tenant": "acme", "X-Id": ""}}, PlaceCall(variables={"tenant": "acme", "X-Id": ""})),
        (START | {"screen": [390, 844], "language": "de"}, PlaceCall()),
        (START | {"called": "Zentrale ☎ 𝄞"}, PlaceCall("Zentrale ☎ 𝄞")),
        ({"type": "key", "digit": "#"}, PressKey("#")),
        ({"type": "key", "digit": "D", "ms": 80}, PressKey("D")),
        ({"type": "mark", "mark": 0}, ReportMark(0)),
        ({"type": "mark", "mark": MOST_MARK}, ReportMark(MOST_MARK)),
        ({"type": "hang_up"}, EndCall()),
        ({"type": "hang_up", "reason": "lunch"}, EndCall()),
        ({"type": "a message of next year"}, None),
        ({"type": ""}, None),
    ],
    ids=str,
)
def test_messages(message, parsed):
    assert parse_message(json.dumps(message)) == parsed


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ({}, '"type"'),
        ([], '"type"'),
        (None, '"type"'),
        ({"type": 5}, '"type"'),
        ({"type": "start"}, '"protocol" of the start is'),
        (START | {"protocol": 2}, "is '2', and the engine speaks 1; reload the page"),
        (START | {"protocol": "1"}, '"protocol"'),
        (START | {"protocol": True}, '"protocol"'),
        (START | {"called": 200}, '"called" must be a text'),
        (START | {"caller": None}, '"caller" must be a text'),
        (START | {"called": "1" * 65}, "65 characters; at most 64"),
        (START | {"called": "200\n"}, "control character"),
        (START | {"called": "\ud83d"}, "half a surrogate pair"),
        (START | {"variables": ["a"]}, '"variables" must be an object'),
        (START | {"variables": {"a": 1}}, '"variables.a" must be a text'),
        (START | {"variables": {"a": "x" * (MOST_VALUE + 1)}}, "at most 1000"),
        (START | {"variables": {"a": "\x00"}}, "control character"),
        (START | {"variables": {"a b": "x"}}, "no name of a variable"),
        (START | {"variables": {"": "x"}}, "no name of a variable"),
        (START | {"variables": {"a" * 65: "x"}}, "no name of a variable"),
        (START | {"variables": MANY}, "33 variables are too many"),
        ({"type": "key"}, '"digit" of a key'),
        ({"type": "key", "digit": 5}, '"digit" of a key'),
        ({"type": "key", "digit": "55"}, '"digit" of a key'),
        ({"type": "key", "digit": ""}, '"digit" of a key'),
        ({"type": "key", "digit": "d"}, '"digit" of a key'),
        ({"type": "key", "digit": "٣"}, '"digit" of a key'),
        ({"type": "mark"}, '"mark" must be the number'),
        ({"type": "mark", "mark": -1}, '"mark" must be the number'),
        ({"type": "mark", "mark": 1.5}, '"mark" must be the number'),
        ({"type": "mark", "mark": True}, '"mark" must be the number'),
        ({"type": "mark", "mark": MOST_MARK + 1}, '"mark" must be the number'),
    ],
    ids=str,
)
def test_what_is_none_of_the_protocol_is_refused_in_words(message, said):
    with pytest.raises(TransportError) as refused:
        parse_message(json.dumps(message))
    assert said in str(refused.value)
    assert len(str(refused.value)) < 200
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text", ["", "hello", "{", "[" * 60_000, '{"type": "start"' + " " * MOST_TEXT + "}", '{"type":NaN}', "5" * 5000]
)
def test_what_is_no_message_at_all(text):
    with pytest.raises(TransportError) as refused:
        parse_message(text)
    assert len(str(refused.value)) < 200


def understand(text):
    """The message; of one that is refused, that its reason is fit for a log."""
    with suppress(TransportError):
        try:
            return parse_message(text)
        except TransportError as error:
            assert str(error).isprintable()  # noqa: PT017 - any text may be refused or not
            raise
    return None


@settings(max_examples=50)
@given(st.text(max_size=50) | st.lists(st.floats() | st.text(max_size=5), max_size=3).map(json.dumps))
@example('{"type":"start","protocol":1,"variables":{"__proto__":"x"}}')
def test_any_text_is_understood_or_refused(text):
    understand(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=4,
)


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["start", "key", "mark", "hang_up", "other"]) | JSON},
        optional=dict.fromkeys(("protocol", "called", "caller", "variables", "digit", "mark"), JSON)
        | {"protocol": st.just(1) | JSON},
    )
)
def test_any_object_is_understood_or_refused(message):
    """What is understood can be logged, encoded, and sent on: it is text of whole characters."""
    parsed = understand(json.dumps(message))
    if isinstance(parsed, PlaceCall):
        json.dumps([parsed.called, parsed.caller, dict(parsed.variables)], ensure_ascii=False).encode()


@pytest.mark.parametrize(("size", "said"), [(1, "no whole number"), (641, "no whole"), (MOST_AUDIO + 2, "too long")])
def test_audio_that_is_refused(size, said):
    with pytest.raises(TransportError, match=said):
        check_audio(bytes(size))


@pytest.mark.parametrize("size", [0, 2, 640, 642, MOST_AUDIO])
def test_audio_that_is_taken(size):
    check_audio(bytes(size))


@pytest.mark.parametrize(
    ("encoded", "message"),
    [
        (STARTED, {"type": "started", "protocol": 1, "rate": 16000}),
        (CLEAR, {"type": "clear"}),
        (HUNG_UP, {"type": "hang_up"}),
        (encode_mark(7), {"type": "mark", "mark": 7}),
        (
            encode_event({"type": "x", "text": "<b>\u2028"}),
            {"type": "event", "event": {"type": "x", "text": "<b>\u2028"}},
        ),
    ],
    ids=["started", "clear", "hang_up", "mark", "event"],
)
def test_messages_to_the_client(encoded, message):
    assert json.loads(encoded) == message
