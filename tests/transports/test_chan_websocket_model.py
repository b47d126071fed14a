"""The model of chan_websocket against which the transport is tested does what a real Asterisk did."""

from __future__ import annotations

import json

import pytest

from tests.transports.chan_websocket_captures import CAPTURES, messages_of
from voicepipe.testing.chan_websocket import ChanWebSocket
from voicepipe.transports.asterisk_websocket.wire_format import decode_event

TICK_MS = 20
TOLERANCE_MS = 45
"""Two ticks and the machine on which it was recorded."""


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: path.stem)
def test_it_answers_as_a_real_asterisk_did(path):
    """The engine's messages at their times give Asterisk's events, in order and at about their times."""
    messages = messages_of(path)
    start = decode_event(messages[0][3])
    asterisk = ChanWebSocket(
        start.format,
        as_json=start.is_json,
        variables={name: value for name, value in start.variables.items() if "MEDIA_WEBSOCKET" not in name},
        connection_id=start.connection_id,
        channel_id=start.channel_id,
    )
    assert without_name(asterisk.start()) == without_name(messages[0][3])
    got, ticked, digits = [], messages[0][0], []

    def tick_until(at):
        nonlocal ticked
        while ticked + TICK_MS <= at and asterisk.closed is None:
            ticked += TICK_MS
            asterisk.tick()
            note(ticked)

    def note(at):
        got.extend((at, text) for text in asterisk.events)
        asterisk.events.clear()

    expected = [(at, text) for at, way, kind, text in messages[1:] if (way, kind) == ("a2s", "text")]
    for at, way, kind, what in messages[1:]:
        tick_until(at)
        if way == "s2a":
            asterisk.take(what if kind == "text" else bytes(what))
            note(at)
        elif kind == "text" and "DTMF_END" in what:
            digits.append(decode_event(what).digit)
            got.append((at, asterisk.digit(digits[-1])))
    assert [text for _, text in got] == [text for _, text in expected]
    late = [abs(at - when) for (at, _), (when, _) in zip(got, expected, strict=True)]
    assert max(late, default=0) < TOLERANCE_MS
    ends = [int(code, 16) for _, way, kind, code in messages if (way, kind) == ("a2s", "close")]
    if ends and any(kind == "text" and "HANGUP" in text for _, _, kind, text in messages):
        assert asterisk.closed == ends[0]


def without_name(text):
    """A MEDIA_START without the name of its channel, which has an address in it, and with variables in any order."""
    if text.startswith("{"):
        return {**json.loads(text), "channel": None}
    return [word for word in text.split() if not word.startswith("channel:")]


@pytest.fixture
def asterisk():
    return ChanWebSocket("ulaw", as_json=False)


def test_a_full_queue_is_looked_at_once_a_message(asterisk):
    for _ in range(4):
        asterisk.take(bytes(160 * 300))
    assert (asterisk.queued_frames, asterisk.dropped_bytes) == (1200, 0)
    asterisk.take(bytes(160))
    assert (asterisk.queued_frames, asterisk.dropped_bytes) == (1200, 160)
    assert asterisk.events == ["MEDIA_XOFF"]


def test_partial_frames_are_lost_except_while_buffering(asterisk):
    asterisk.take(bytes(400))
    assert (asterisk.queued_frames, asterisk.dropped_bytes) == (2, 80)
    asterisk.take("START_MEDIA_BUFFERING")
    for _ in range(3):
        asterisk.take(bytes(400))
    asterisk.take("STOP_MEDIA_BUFFERING")
    assert (asterisk.queued_frames, asterisk.dropped_bytes) == (2 + 8, 80)


@pytest.mark.parametrize("text", ["", "MARK_MEDIA " + "x" * 118, "NO_SUCH_COMMAND", '{"command":"HANGUP"}'])
def test_what_it_ignores(asterisk, text):
    asterisk.take(text)
    assert asterisk.ignored == [text]
    assert (asterisk.events, asterisk.closed) == ([], None)


@pytest.mark.parametrize(("size", "code"), [(65_531, None), (65_532, 1009)])
def test_a_message_that_is_too_long_closes_the_connection(asterisk, size, code):
    asterisk.take(bytes(size))
    assert asterisk.closed == code


def test_a_flush_drops_marks_too_and_ends_buffering(asterisk):
    asterisk.take("START_MEDIA_BUFFERING")
    asterisk.take(bytes(160 * 3 + 7))
    asterisk.take("MARK_MEDIA 1")
    asterisk.take("REPORT_QUEUE_DRAINED")
    asterisk.take("FLUSH_MEDIA")
    asterisk.take(bytes(7))
    assert asterisk.tick() == b""
    assert (asterisk.events, asterisk.flushed_frames, asterisk.dropped_bytes) == (["QUEUE_DRAINED"], 3, 7)
