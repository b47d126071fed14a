"""The messages of chan_websocket, held against what a real Asterisk sent and against anything else."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.transports.chan_websocket_captures import CAPTURES, messages_of
from voicepipe.audio import AudioFormat
from voicepipe.errors import TransportError
from voicepipe.transports.asterisk_websocket.wire_format import (
    FORMATS,
    MAX_TEXT_BYTES,
    BufferingCompleted,
    DtmfEnd,
    ErrorReported,
    MarkProcessed,
    MediaStart,
    OtherEvent,
    QueueDrained,
    QueueFull,
    Status,
    audio_format,
    decode_event,
    encode_command,
)

FIXED = {
    "client_ulaw": [],
    "server_dtmf": [DtmfEnd(digit) for digit in "159#*0AD"],
    "server_flood": [
        QueueFull(True),
        Status(1000, queue_full=True, media_paused=False),
        Status(800, queue_full=True, media_paused=False),
        QueueFull(False),
        Status(0, queue_full=False, media_paused=False),
    ],
    "server_paced": [],
    "server_slin16": [],
    "server_tts": [
        Status(0, queue_full=False, media_paused=False),
        Status(150, queue_full=False, media_paused=False),
        BufferingCompleted("utt-1"),
        MarkProcessed("mark-1"),
        QueueDrained(),
        Status(0, queue_full=False, media_paused=False),
        QueueDrained(),
        Status(40, queue_full=False, media_paused=True),
        BufferingCompleted("utt-3"),
    ],
    "server_ulaw": [],
}
"""The events of each capture after MEDIA_START."""
FIXED["server_tts_json"] = FIXED["server_tts"]


def events_of(path):
    return [decode_event(text) for _, way, kind, text in messages_of(path) if (way, kind) == ("a2s", "text")]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_every_event_of_a_real_asterisk_is_known(path):
    start, *others = [
        decode_event(text) for _at, way, kind, text in messages_of(path) if (way, kind) == ("a2s", "text")
    ]
    assert isinstance(start, MediaStart)
    assert others == FIXED[path.stem]


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_audio_has_the_format_that_was_announced(path):
    heard = events_of(path)
    sizes = {size for _, way, kind, size in messages_of(path) if (way, kind) == ("a2s", "bin")}
    assert max(sizes) == heard[0].frame_bytes == heard[0].audio.bytes_in(20)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_the_commands_that_a_real_asterisk_obeyed_are_ours(path):
    as_json = path.stem.endswith("json")
    for _, way, kind, text in messages_of(path):
        if (way, kind) == ("s2a", "text"):
            words = (
                json.loads(text) if as_json else dict(zip(("command", "correlation_id"), text.split(), strict=False))
            )
            ours = encode_command(words["command"], words.get("correlation_id", ""), as_json=as_json)
            assert json.loads(ours) == json.loads(text) if as_json else ours == text


def test_what_media_start_says_in_both_forms():
    plain = decode_event(
        "MEDIA_START connection_id:engine channel:WebSocket/engine/0x7f8b08008750 channel_id:golden-1795344638.160 "
        "format:ulaw optimal_frame_size:160 ptime:20"
    )
    assert plain == MediaStart(
        "ulaw", 160, "golden-1795344638.160", "WebSocket/engine/0x7f8b08008750", "engine", 20, {}, is_json=False
    )
    variables = {"_VP_CHAN": "1795.4", "__TENANT": "acme", "PEER": "", "odd": 7}
    text = json.dumps(
        {
            "event": "MEDIA_START",
            "connection_id": "engine",
            "channel": "WebSocket/engine/0x7f8b08008750",
            "channel_id": "golden-1795344638.160",
            "format": "slin16",
            "optimal_frame_size": 640,
            "ptime": 20,
            "channel_variables": variables,
        }
    )
    start = decode_event(text)
    assert start.is_json
    assert start.audio == AudioFormat(16_000)
    assert start.variables == {"VP_CHAN": "1795.4", "TENANT": "acme", "PEER": ""}


@pytest.mark.parametrize(
    ("name", "audio"),
    [
        ("ulaw", AudioFormat(8000, "mulaw")),
        ("alaw", AudioFormat(8000, "alaw")),
        ("slin", AudioFormat(8000)),
        ("slin12", AudioFormat(12_000)),
        ("slin16", AudioFormat(16_000)),
        ("slin24", AudioFormat(24_000)),
        ("slin32", AudioFormat(32_000)),
        ("slin44", AudioFormat(44_100)),
        ("slin48", AudioFormat(48_000)),
        ("slin96", AudioFormat(96_000)),
        ("slin192", AudioFormat(192_000)),
    ],
)
def test_formats(name, audio):
    assert audio_format(name) == audio
    assert MediaStart(name, audio.bytes_in(20)).audio == audio
    assert name in FORMATS


@pytest.mark.parametrize("name", ["opus", "g722", "gsm", "g729", "slin8", "", "x" * 300])
def test_other_formats_are_refused_with_the_change_of_the_dialplan(name):
    with pytest.raises(TransportError, match=r"not supported; in the dialplan, add c\(slin\)") as refused:
        MediaStart(name, 160).audio  # noqa: B018 - it raises
    assert len(str(refused.value)) < 400


def test_frames_of_another_length_are_refused():
    with pytest.raises(TransportError, match=r"30 ms long instead of 20.*c\(slin\)"):
        MediaStart("slin", 320, ptime_ms=30).audio  # noqa: B018 - it raises
    for size in 0, 160, 321, 10**9:
        with pytest.raises(TransportError, match="bytes instead of 320"):
            MediaStart("slin", size).audio  # noqa: B018 - it raises


@pytest.mark.parametrize(
    ("text", "event"),
    [
        ("QUEUE_DRAINED", QueueDrained()),
        ("MEDIA_XON", QueueFull(False)),
        ('{"event":"MEDIA_XOFF","channel_id":"1"}', QueueFull(True)),
        ("DTMF_END digit:*", DtmfEnd("*")),
        ("DTMF_END digit:: channel_id:1", DtmfEnd(":")),
        ("MEDIA_BUFFERING_COMPLETED", BufferingCompleted("")),
        ("MEDIA_MARK_PROCESSED two words", MarkProcessed("two words")),
        (
            '{"event":"ERROR","channel_id":"1","error_text":"Unable to parse JSON command"}',
            ErrorReported("Unable to parse JSON command"),
        ),
        (
            "ERROR channel_id:1 error_text:FLUSH_MEDIA not supported: at all",
            ErrorReported("FLUSH_MEDIA not supported: at all"),
        ),
        ("MEDIA_DIRECTION_CHANGED direction:both", OtherEvent("MEDIA_DIRECTION_CHANGED")),
        ('{"event":"SOMETHING_NEW","digit":7}', OtherEvent("SOMETHING_NEW")),
    ],
)
def test_events(text, event):
    assert decode_event(text) == event


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "[1, 2]",
        "{",
        "{}",
        '{"event": 7}',
        '{"event": null}',
        '{"command": "HANGUP"}',
        '{"event":"DTMF_END","digit":["1"]}',
        '{"event":"MEDIA_START","format":"slin","optimal_frame_size":-1,"ptime":20}',
        '{"event":"MEDIA_START","format":"slin","optimal_frame_size":true,"ptime":20}',
        "MEDIA_START format:slin optimal_frame_size:320",
        "MEDIA_START format:slin optimal_frame_size:٣٢٠ ptime:20",
        "STATUS queue_length:" + "9" * 5000,
        "{" * 100_000,
    ],
    ids=lambda text: text[:24],
)
def test_what_is_no_event_is_refused_and_not_repeated_at_length(text):
    with pytest.raises(TransportError, match="let only Asterisk") as refused:
        decode_event(text)
    assert len(str(refused.value)) < 300


@given(st.text())
def test_whatever_comes_is_an_event_or_a_transport_error(text):
    with suppress(TransportError):
        decode_event(text)


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())))
def test_whatever_json_comes_is_an_event_or_a_transport_error(values):
    for name in "MEDIA_START", "DTMF_END", "STATUS", "MEDIA_MARK_PROCESSED", "ERROR":
        with suppress(TransportError):
            decode_event(json.dumps({**values, "event": name}))


@pytest.mark.parametrize("as_json", [False, True])
def test_no_command_is_longer_than_asterisk_reads(as_json):
    assert len(encode_command("STOP_MEDIA_BUFFERING", str(2**63), as_json=as_json)) <= MAX_TEXT_BYTES
    with pytest.raises(ValueError, match="128 bytes"):
        encode_command("MARK_MEDIA", "ä" * 60, as_json=as_json)
