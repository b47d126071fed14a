"""Wyoming's wire format: what was written is read, however it was split, and what can't be meant is refused."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.adapters.wyoming.wire_format import (
    MAX_DATA,
    MAX_HEADER,
    MAX_PAYLOAD,
    WyomingDecoder,
    WyomingEvent,
    encode,
)
from voicepipe.components.quoting import MOST_QUOTED, quoted
from voicepipe.errors import ComponentError

EVENTS = [
    WyomingEvent("describe"),
    WyomingEvent("transcript", {"text": "größer\nals 你好"}),
    WyomingEvent("audio-chunk", {"rate": 16000, "width": 2, "channels": 1}, b'{"type": "x"}\n\0'),
    WyomingEvent("audio-stop", {"timestamp": None}),
]


def decoded(*pieces):
    decoder = WyomingDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    assert not decoder.midway
    return events


def test_an_event_is_a_line_then_its_data_then_its_payload():
    written = encode(EVENTS[2])
    header, _, rest = written.partition(b"\n")
    data = json.dumps(dict(EVENTS[2].data)).encode()
    assert json.loads(header) == {"type": "audio-chunk", "data_length": len(data), "payload_length": 15}
    assert rest == data + EVENTS[2].payload
    assert encode(WyomingEvent("describe")) == b'{"type": "describe"}\n'


@given(st.lists(st.integers(0, 400), max_size=20))
def test_what_was_written_is_read_however_it_was_split(cuts):
    written = b"".join(map(encode, EVENTS))
    edges = [0, *sorted(min(cut, len(written)) for cut in cuts), len(written)]
    assert decoded(*(written[one:other] for one, other in pairwise(edges))) == EVENTS


def test_a_byte_at_a_time():
    written = b"".join(map(encode, EVENTS))
    assert decoded(*(written[at : at + 1] for at in range(len(written)))) == EVENTS


@pytest.mark.parametrize(
    ("written", "event"),
    [
        (b'{"type": "transcript", "data": {"text": "hi"}}\n', WyomingEvent("transcript", {"text": "hi"})),
        (
            b'{"type": "a", "data": {"x": 1, "y": 1}, "data_length": 8}\n{"y": 2}',
            WyomingEvent("a", {"x": 1, "y": 2}),
        ),
        (b'{"type": "a", "data": null, "data_length": null, "payload_length": 0}\r\n', WyomingEvent("a")),
        (b'{"type": "a", "version": "9.9", "news": [1]}\n', WyomingEvent("a")),
    ],
)
def test_what_other_servers_write(written, event):
    assert decoded(written) == [event]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "sent what is not JSON; answered: 'HTTP/1.1 400 Bad Request"),
        (b"\xff\xfe\n", "sent what is not JSON"),
        (b"[" * 100_000 + b"\n", "sent what is not JSON"),
        (b"SSH-2.0", "sent what is not JSON; answered: 'SSH-2.0'"),
        (b'"text"\n', "sent JSON that is no object"),
        (b"{}\n", "without a type"),
        (b'{"type": 3}\n', "without a type"),
        (b'{"type": "a", "data": [1]}\n', "whose data are no object"),
        (b'{"type": "a", "data_length": -1}\n', "data_length that is not between 0 and"),
        (b'{"type": "a", "data_length": "9"}\n', "data_length that is not between 0 and"),
        (b'{"type": "a", "payload_length": true}\n', "payload_length that is not between 0 and"),
        (f'{{"type": "a", "data_length": {MAX_DATA + 1}}}\n'.encode(), "data_length that is not between"),
        (f'{{"type": "a", "payload_length": {MAX_PAYLOAD + 1}}}\n'.encode(), "payload_length that is not between"),
        (b'{"type": "a", "data_length": 2}\n[]', "sent JSON that is no object"),
        (b" " * (MAX_HEADER + 1), "bytes without the end of a header"),
    ],
)
def test_what_can_not_be_meant(written, said):
    with pytest.raises(ComponentError) as caught:
        list(WyomingDecoder().feed(written))
    assert said in str(caught.value)
    assert len(quoted(caught.value.answered)) <= MOST_QUOTED
    assert "Wyoming" in caught.value.hint


def test_what_comes_before_rubbish_is_read():
    decoder, events = WyomingDecoder(), []
    with pytest.raises(ComponentError):
        events.extend(decoder.feed(encode(EVENTS[1]) + b"rubbish\n"))
    assert events == [EVENTS[1]]


@pytest.mark.parametrize("size", [1, 30, 50])
def test_it_tells_whether_an_event_is_incomplete(size):
    decoder = WyomingDecoder()
    written = encode(EVENTS[2])
    assert list(decoder.feed(written[:size])) == []
    assert decoder.midway
    assert list(decoder.feed(written[size:])) == [EVENTS[2]]
    assert not decoder.midway
