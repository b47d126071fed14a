"""The wire format of media streams, held against the carriers' documented messages and against anything else."""

from __future__ import annotations

import base64
import json
import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_streams import (
    CARRIERS,
    LINEAR_FRAME,
    MULAW_FRAME,
    PlivoStream,
    TelnyxStream,
    TwilioStream,
    VonageStream,
    encoded,
    wire,
)

from voicepipe.audio import AudioFormat
from voicepipe.errors import TransportError
from voicepipe.transports.media_stream.dialects import DIALECTS
from voicepipe.transports.media_stream.formats import read_format
from voicepipe.transports.media_stream.texts import MOST, VALUE_CHARACTERS
from voicepipe.transports.media_stream.wire_format import (
    FAULTS,
    MESSAGE_CHARACTERS,
    StreamDecoder,
    StreamEncoder,
    StreamKey,
    StreamMark,
    StreamStarted,
    StreamStopped,
)

MULAW = AudioFormat(8000, "mulaw")


def decoder(name, **options):
    dialect = DIALECTS[name]
    return StreamDecoder(dialect, dialect.audio[0], **options)


def begun(stream, **options):
    """A decoder whose stream has started, and what its start message said."""
    reading = decoder(stream.name, **options)
    *before, started = [reading.feed(wire(message)) for message in stream.opening()]
    assert before in ([], [None])
    assert isinstance(started, StreamStarted)
    return reading, started


def audio_of(reading, messages):
    return [audio for message in messages if (audio := reading.feed(wire(message))) is not None]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_stream_from_its_start_to_its_stop(carrier):
    stream = carrier()
    reading, started = begun(stream)
    assert (started.call_id, started.stream_id) == (stream.call_id, stream.stream_id)
    frame = LINEAR_FRAME if stream.name == "vonage" else MULAW_FRAME
    assert started.audio == (AudioFormat(16000) if stream.name == "vonage" else MULAW)
    assert audio_of(reading, [stream.media(), stream.media()]) == [frame, frame]
    assert [reading.feed(wire(stream.key(digit))) for digit in "5#*"] == [StreamKey(digit) for digit in "5#*"]
    assert reading.feed(wire(stream.mark("17"))) == StreamMark(17)
    if (stop := stream.stop()) is not None:
        assert reading.feed(wire(stop)) == StreamStopped("the carrier ended the stream")


@pytest.mark.parametrize("carrier", CARRIERS)
def test_what_is_sent_is_what_the_carrier_documents(carrier):
    stream = carrier()
    _, started = begun(stream)
    sending = StreamEncoder(DIALECTS[stream.name], started)
    frame = LINEAR_FRAME if stream.name == "vonage" else MULAW_FRAME
    sent = [stream.heard(message) for message in sending.audio(memoryview(frame * 3))]
    assert b"".join(audio for _, audio in sent) == frame * 3
    assert {kind for kind, _ in sent} == {"audio"}
    assert stream.heard(sending.mark(42)) == ("mark", "42")
    assert stream.heard(sending.clear()) == ("clear", None)
    if stream.name == "plivo":
        assert stream.heard(sending.keys("12#")) == ("keys", "12#")
    else:
        with pytest.raises(NotImplementedError, match="12#"):
            sending.keys("12#")


@pytest.mark.parametrize(
    ("carrier", "sent"),
    [
        (VonageStream, [LINEAR_FRAME, bytes(300) + bytes(340)]),  # each message has exactly 20 ms
        (TelnyxStream, [MULAW_FRAME + bytes(75) + b"\xff" * 85]),  # at least 20 ms, filled up with mu-law's silence
        (TwilioStream, [MULAW_FRAME + bytes(75)]),
    ],
)
def test_the_end_of_the_speech(carrier, sent):
    stream = carrier()
    _, started = begun(stream)
    audio = LINEAR_FRAME + bytes(300) if stream.name == "vonage" else MULAW_FRAME + bytes(75)
    assert [stream.heard(message)[1] for message in StreamEncoder(DIALECTS[stream.name], started).audio(audio)] == sent


def test_numbers_and_parameters():
    _, telnyx = begun(TelnyxStream(customer="7"))
    assert (telnyx.caller, telnyx.called) == ("+13122010094", "+13122123456")
    assert telnyx.variables == {
        "customer": "7",
        "account": "AC3",
        "client_state": "have a nice day",
        "call_session_id": "session",
        "tags": '["TAG1","TAG2"]',
        "stream": TelnyxStream.stream_id,
    }
    parameters = {"caller": "+49301", "called": "+49302", "tenant": "acme"}
    for carrier in (TwilioStream, PlivoStream):
        _, started = begun(carrier(**parameters))
        assert (started.caller, started.called) == ("+49301", "+49302")
        assert started.variables == {**parameters, "account": "AC3", "stream": carrier.stream_id}
    _, vonage = begun(VonageStream(**parameters, uuid="aaaa-bbbb", nested={"line": "12 Street"}, age=40))
    assert (vonage.call_id, vonage.caller) == ("aaaa-bbbb", "+49301")
    assert vonage.variables == {**parameters, "uuid": "aaaa-bbbb", "nested": '{"line":"12 Street"}', "age": "40"}


@pytest.mark.parametrize(
    ("extra", "variables"),
    [
        ("userId=12345;sessionId=abc-xyz", {"userId": "12345", "sessionId": "abc-xyz"}),
        ("a=1, b=2=3", {"a": "1", "b": "2=3"}),
        ('{"a": "1"}', {"a": "1"}),
        ("{}", {}),
        ("{", {}),
        ("[" * 5000, {}),
        ("", {}),
        (None, {}),
        (["a=1"], {}),
    ],
)
def test_plivos_extra_headers(extra, variables):
    (start,) = PlivoStream().opening()
    started = decoder("plivo").feed(wire({**start, "extra_headers": extra}))
    assert {name: value for name, value in started.variables.items() if name not in {"account", "stream"}} == variables


def test_what_a_stranger_gives_is_bounded():
    stream = TwilioStream(**{f"v{number}": "x" * 3000 for number in range(15)})
    _, started = begun(stream)
    assert {len(value) for name, value in started.variables.items() if name.startswith("v")} == {VALUE_CHARACTERS}
    _, started = begun(TwilioStream(**{f"v{number}": "x" for number in range(900)}, caller="4" * 5000))
    assert len(started.variables) == MOST
    assert len(started.caller) == 128
    _, started = begun(TwilioStream(**{"x" * 65: "too long a name", "": "no name"}, odd="a\nb\x00c\ud800d\u202ee"))
    assert {**started.variables, "account": "", "stream": ""} == {"odd": "a b c d e", "account": "", "stream": ""}


# --- Formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("announced", "format_"),
    [
        ({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}, MULAW),
        ({"encoding": "PCMU", "sample_rate": 8000, "channels": 1}, MULAW),
        ({"encoding": "PCMU", "sample_rate": "8000", "channels": "1"}, MULAW),
        ({"encoding": "PCMA", "sample_rate": 8000}, AudioFormat(8000, "alaw")),
        ({"encoding": "L16", "sample_rate": 16000, "channels": 1}, AudioFormat(16000)),
        ({"encoding": "audio/x-L16", "sampleRate": 24000, "channels": 1}, AudioFormat(24000)),
        ({"encoding": "audio/x-l16;rate=16000"}, AudioFormat(16000)),
        ({"encoding": "audio/x-mulaw"}, MULAW),
        ("audio/l16;rate=8000", AudioFormat(8000)),
        ("audio/l16; rate=16000", AudioFormat(16000)),
        ({}, MULAW),
        (None, MULAW),
    ],
)
def test_formats(announced, format_):
    assert read_format(announced, MULAW) == format_


@pytest.mark.parametrize(
    ("announced", "message"),
    [
        ({"encoding": "OPUS", "sample_rate": 16000}, "encoded as 'OPUS'"),
        ({"encoding": "G722", "sample_rate": 8000}, "encoded as 'G722'"),
        ({"encoding": "AMR-WB"}, "encoded as 'AMR-WB'"),
        ({"encoding": 7}, "encoded as 7"),
        ({"encoding": "L16", "sample_rate": 44100}, "pcm16 at 44100 Hz"),
        ({"encoding": "PCMU", "sample_rate": 16000}, "mulaw at 16000 Hz"),
        ({"encoding": "L16", "sample_rate": True}, "pcm16 at True Hz"),
        ({"encoding": "L16", "sample_rate": -8000}, "pcm16 at -8000 Hz"),
        ({"encoding": "L16", "sample_rate": "9" * 5000}, "pcm16 at"),
        ({"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2}, "2 channels; ask for one track"),
        ("audio/opus", "encoded as 'audio/opus'"),
        (["L16"], "its format is"),
    ],
)
def test_formats_that_a_call_cannot_have(announced, message):
    with pytest.raises(TransportError, match=r"in the instructions|one track") as error:
        read_format(announced, MULAW)
    assert message in str(error.value)
    assert len(str(error.value)) < 300


def test_big_endian_linear_audio():
    stream = TelnyxStream()
    stream.encoding, stream.rate = "L16", 16000
    reading, started = begun(stream, byte_order="big")
    big, little = b"\x01\x02\x03\x04" * 160, b"\x02\x01\x04\x03" * 160
    assert audio_of(reading, [stream.media(big)]) == [little]
    sending = StreamEncoder(DIALECTS["telnyx"], started, byte_order="big")
    assert [stream.heard(message) for message in sending.audio(little)] == [("audio", big)]


# --- Order ------------------------------------------------------------------------------------------------------------


def pieces(stream, count):
    """Media messages with distinct audio, which is their number."""
    return [stream.media(bytes([number]) * 160) for number in range(1, count + 1)]


def numbers(audio):
    return [piece for each in audio for piece in each[::160]]


@pytest.mark.parametrize(
    ("order", "heard"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 1, 2, 2, 3], [1, 2, 3]),  # repeated
        ([1, 3, 2, 4], [1, 2, 3, 4]),  # out of order
        ([1, 4, 3, 2, 5], [1, 2, 3, 4, 5]),
        ([1, 3, 4, 5, 6, 2, 7], [1, 3, 4, 5, 6, 7]),  # one that comes too late was given up
        ([1, 3], [1]),  # still waited for
        ([3, 4, 5], [3, 4, 5]),  # the count may begin anywhere
        ([2, 1, 3], [2, 3]),
        ([1, 200, 201, 202, 203], [1, 200, 201, 202, 203]),  # a pause that the count goes on in
        ([200, 201, 1, 2, 3], [200, 201, 1, 2, 3]),  # the count began again
    ],
)
def test_telnyx_does_not_promise_an_order(order, heard):
    stream = TelnyxStream()
    reading, _ = begun(stream)
    sent = pieces(stream, 203)
    assert numbers(audio_of(reading, [sent[number - 1] for number in order])) == heard


@pytest.mark.parametrize("carrier", [TwilioStream, PlivoStream])
def test_other_carriers_gaps_are_not_waited_for(carrier):
    stream = carrier()
    reading, _ = begun(stream)
    sent = pieces(stream, 9)
    order = [1, 3, 3, 2, 4, 9]
    assert numbers(audio_of(reading, [sent[number - 1] for number in order])) == [1, 3, 4, 9]


def test_audio_of_both_tracks_in_one_count():
    stream = TelnyxStream()
    reading, _ = begun(stream)
    sent = [stream.media(bytes([number]) * 160, "outbound" if number % 2 else "inbound") for number in range(8)]
    assert numbers(audio_of(reading, sent)) == [0, 2, 4, 6]


def test_pieces_without_a_number_are_in_the_order_in_which_they_came():
    stream = TwilioStream()
    reading, _ = begun(stream)
    messages = []
    for message, chunk in zip(pieces(stream, 6), [None, "x", {}, 1.5, True, "\u0661"], strict=True):
        messages.append({**message, "media": {**message["media"], "chunk": chunk}})
    assert numbers(audio_of(reading, messages)) == [1, 2, 3, 4, 5, 6]


def test_a_key_that_is_sent_twice_is_one_key():
    stream = TwilioStream()
    reading, _ = begun(stream)
    first, second = stream.key("1"), stream.key("1")
    assert [reading.feed(wire(message)) for message in (first, first, second)] == [
        StreamKey("1"),
        None,
        StreamKey("1"),
    ]


@pytest.mark.parametrize("digit", ["", "12", "x", "flash", None, True, 1.5, [], {"digit": "1"}, "\u0661", "\n"])
def test_odd_keys_are_ignored(digit):
    stream = TwilioStream()
    reading, _ = begun(stream)
    assert reading.feed(wire(stream.key(digit))) is None


def test_keys_of_the_fourth_column_and_numbers():
    stream = TwilioStream()
    reading, _ = begun(stream)
    assert [reading.feed(wire(stream.key(key))) for key in ("a", "D", 7)] == [*map(StreamKey, "AD7")]


# --- Faults -----------------------------------------------------------------------------------------------------------


def test_unknown_events_fields_tracks_and_marks_are_ignored():
    stream = TwilioStream()
    reading, _ = begun(stream)
    for message in (
        {"event": "transcription", "text": "hello"},
        {"event": None},
        {"event": ["media"]},
        {"event": {}},
        {},
        {"event": "clear", "streamSid": "x"},
        stream.media(track="outbound"),
        stream.mark("label of somebody else"),
        stream.mark("9" * 40),
        {"event": "mark"},
        {"event": "mark", "mark": "12"},
        stream.opening()[1],
    ):
        assert reading.feed(wire(message)) is None
    assert reading.feed(b"binary, which this dialect has not") is None
    assert audio_of(reading, [{**stream.media(), "new": {"field": 1}}]) == [MULAW_FRAME]


def test_telnyx_reports_of_faults_are_in_the_reason_of_the_end():
    stream = TelnyxStream()
    reading, _ = begun(stream)
    fault = {"code": 100005, "title": "invalid_media", "detail": "no audio"}
    assert reading.feed(wire({"event": "error", "payload": fault, "stream_id": stream.stream_id})) is None
    stopped = reading.feed(wire(stream.stop()))
    assert isinstance(stopped, StreamStopped)
    assert "invalid_media" in stopped.reason


@pytest.mark.parametrize(
    ("dialect", "messages", "message"),
    [
        ("twilio", VonageStream().opening(), "a stream of vonage connected, not of twilio; set `dialect`"),
        ("twilio", TelnyxStream().opening(), "looks like one of telnyx; set `dialect`"),
        ("twilio", PlivoStream().opening(), "looks like one of plivo; set `dialect`"),
        ("plivo", TwilioStream().opening(), "looks like one of twilio; set `dialect`"),
        ("telnyx", TwilioStream().opening(), "looks like one of twilio; set `dialect`"),
        ("twilio", [{"event": "start"}], "without a stream's ID; set `dialect`"),
    ],
)
def test_another_dialect(dialect, messages, message):
    reading = decoder(dialect)
    *before, last = [wire(each) for each in messages]
    assert [reading.feed(each) for each in before] in ([], [None])
    with pytest.raises(TransportError, match=message):
        reading.feed(last)


BAD = [
    "",
    "{",
    "null",
    "[]",
    '"media"',
    "7",
    "NaN",
    "[" * 20_000,
    "9" * 5000,
    "x" * (MESSAGE_CHARACTERS + 1),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad[:8]} of {len(bad)}")
def test_what_is_no_message(bad):
    with pytest.raises(TransportError, match="check `dialect`") as error:
        decoder("twilio").feed(bad)
    assert len(str(error.value)) < 400
    stream = TwilioStream()
    reading, _ = begun(stream)
    assert reading.feed(bad) is None  # in a call it is dropped
    assert audio_of(reading, [stream.media()]) == [MULAW_FRAME]


@pytest.mark.parametrize(
    "media",
    [
        None,
        [],
        "audio",
        {},
        {"payload": None},
        {"payload": 7},
        {"payload": ["AAAA"]},
        {"payload": "AAA"},
        {"payload": "A?=="},
        {"payload": "AAAA\nAAAA"},
        {"payload": "ÄÄÄÄ"},
        {"payload": "\ud800AAA"},
    ],
)
def test_media_that_cannot_be_read_is_dropped_until_there_is_nothing_else(media):
    stream = TwilioStream()
    reading, _ = begun(stream)
    for _ in range(3):
        heard = [reading.feed(wire({"event": "media", "media": media})) for _ in range(FAULTS - 1)]
        assert heard == [None] * (FAULTS - 1)
        assert audio_of(reading, [stream.media()]) == [MULAW_FRAME]
    with pytest.raises(TransportError, match=f"the {FAULTS}th in a row"):  # noqa: PT012 - the last of them
        for _ in range(FAULTS):
            reading.feed(wire({"event": "media", "media": media}))


def test_half_a_sample_is_dropped():
    stream = VonageStream()
    reading, _ = begun(stream)
    assert reading.feed(bytes(641)) is None
    assert reading.feed(b"") is None
    assert reading.feed(bytes(640)) == bytes(640)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_audio_before_the_start_is_no_audio_of_a_call(carrier):
    stream = carrier()
    assert decoder(stream.name).feed(wire(stream.media())) is None


def test_a_second_stream_on_one_connection():
    reading, _ = begun(TwilioStream())
    other = TwilioStream()
    other.stream_id = "MZ9"
    with pytest.raises(TransportError, match="a second stream"):
        reading.feed(wire(other.opening()[1]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def broken(draw):
    """A message of a carrier, some value of which was replaced by anything, or anything at all."""
    carrier = draw(st.sampled_from(CARRIERS))
    stream = carrier()
    messages = [*stream.opening(), stream.media(), stream.key("1"), stream.mark("1"), stream.stop()]
    message = draw(st.sampled_from(messages))
    if not isinstance(message, dict) or draw(st.integers(0, 9)) == 0:
        return stream.name, draw(st.binary(max_size=64) | st.text(max_size=64) | JSON.map(json.dumps))
    message = json.loads(json.dumps(message))
    inside = message
    while True:
        key = draw(st.sampled_from(sorted(inside)))
        if isinstance(inside[key], dict) and inside[key] and draw(st.booleans()):
            inside = inside[key]
            continue
        inside[key] = draw(JSON)
        return stream.name, json.dumps(message)


@given(broken(), st.booleans())
def test_anything_is_read_or_refused_in_words(case, has_started):
    name, message = case
    reading = decoder(name)
    if has_started:
        stream = next(carrier for carrier in CARRIERS if carrier.name == name)()
        reading, _ = begun(stream)
    result, refused = None, ""
    try:
        result = reading.feed(message)
    except TransportError as error:
        refused = str(error)
    assert len(refused) < 500
    assert isinstance(result, bytes | StreamStarted | StreamKey | StreamMark | StreamStopped | None)
    if isinstance(result, StreamStarted):
        assert StreamEncoder(DIALECTS[name], result).audio(bytes(640))
        assert json.dumps([result.call_id, result.caller, dict(result.variables)], ensure_ascii=False).encode()


def test_damaged_calls():
    fuzz = runpy.run_path(str(Path(__file__).parents[1] / "fuzz" / "fuzz_media_stream.py"))["fuzz"]
    rounds, refused = fuzz(0, 1, least=500)
    assert 0 < refused < rounds


@given(st.binary(min_size=1, max_size=2000))
def test_audio_comes_back_as_it_went(audio):
    stream = TwilioStream()
    reading, started = begun(stream)
    (message,) = StreamEncoder(DIALECTS["twilio"], started).audio(audio)
    payload = json.loads(message)["media"]["payload"]
    assert payload == encoded(audio)
    assert base64.b64decode(payload) == audio
    assert reading.feed(wire(stream.media(audio))) == audio
