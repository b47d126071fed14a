"""The wire format, held against what a real Asterisk sent and against anything else."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.errors import TransportError
from voicepipe.transports.audiosocket.wire_format import (
    HANGUP,
    HEADER_BYTES,
    MAX_PAYLOAD,
    RATES,
    Decoder,
    encode_audio,
    encode_dtmf,
    encode_uuid,
)

TESTS = Path(__file__).parents[1]
CAPTURES = sorted((TESTS / "data" / "asterisk").rglob("*.a2s.bin"))


def capture(name, release="audiosocket"):
    return (TESTS / "data" / "asterisk" / release / f"{name}.a2s.bin").read_bytes()


def described(path):
    """What the capture's description says of the frames that were kept."""
    frames = json.loads(path.with_name(path.name.replace(".a2s.bin", ".json")).read_text())
    return [(kind, size) for _, kind, size in frames["a2s_frames_[t_ms,kind,payload_len]"]]


def decode(*pieces):
    decoder, frames = Decoder(), []
    for piece in pieces:
        try:
            for kind, payload in decoder.feed(piece):
                frames.append((kind, bytes(payload)))
        except TransportError as error:
            return frames, str(error)
        assert len(decoder._rest) < HEADER_BYTES + MAX_PAYLOAD
    return frames, ""


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_captures(path):
    decoder = Decoder()
    frames = [(kind, len(payload)) for kind, payload in decoder.feed(path.read_bytes())]
    assert frames == described(path)[: len(frames)]
    assert not decoder.midway
    if "kept_bytes" not in path.with_name(path.name.replace(".a2s.bin", ".json")).read_text():
        assert frames == described(path)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_asterisk_came_to_an_end_in_every_capture(path):
    """What brings Asterisk down or into a stall stays out of the repository."""
    recorded = json.loads(path.with_name(path.name.replace(".a2s.bin", ".json")).read_text())
    assert recorded["connection_end"] is not None


@pytest.mark.parametrize("name", ["app_echo_caller_hangup", "chan_c_slin44", "chan_c_ulaw"])
def test_every_splitting(name):
    data = capture(name)[: 19 + 700]
    whole = decode(data)
    for cut in range(len(data) + 1):
        assert decode(data[:cut], data[cut:]) == whole
    for size in range(1, 400):
        assert decode(*(data[start : start + size] for start in range(0, len(data), size))) == whole


def test_dtmf_capture():
    digits = [bytes(payload) for kind, payload in Decoder().feed(capture("app_dtmf_local")) if kind == 0x03]
    assert digits == [b"1", b"5", b"9", b"#", b"*", b"0", b"A", b"D"][: len(digits)]
    assert len(digits) >= 4


frames_like = st.builds(
    lambda kind, size, payload: bytes([kind]) + size.to_bytes(2, "big") + payload,
    st.sampled_from([0, 1, 2, 3, *range(0x10, 0x1A), 0xFF]),
    st.sampled_from([0, 1, 2, 16, 17, 320, MAX_PAYLOAD, MAX_PAYLOAD + 2, 0xFFFF]),
    st.binary(max_size=400),
)
sound_frames = st.builds(
    encode_audio, st.sampled_from(sorted(RATES)), st.binary(min_size=2, max_size=64).map(lambda b: b * 2)
)


@given(
    data=st.lists(st.one_of(sound_frames, sound_frames, frames_like, st.binary(max_size=40)), max_size=12).map(
        b"".join
    ),
    cuts=st.lists(st.integers(0, 3000), max_size=20),
)
def test_anything_is_frames_or_one_error_whatever_the_splitting(data, cuts):
    cuts = sorted(min(cut, len(data)) for cut in cuts)
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert decode(*pieces) == decode(data)


def test_the_fuzz_target_runs():
    rounds, refused = runpy.run_path(str(TESTS / "fuzz" / "fuzz_audiosocket.py"))["fuzz"](0, 1, least=500)
    assert 0 < refused < rounds == 500


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "0x47 with 17748 bytes: there is no such kind; let only Asterisk"),
        (b"\x16\x03\x01\x02\x00\x01", "0x16 with 769 bytes, which is no whole number of 16-bit samples; let only"),
        (b"\x12\0\x21", "0x12 with 33 bytes, which is no whole number of 16-bit samples; let only"),
        (b"SSH-2.0-x\r\n", "no such kind"),
        (b"\x02\0\0", "no such kind"),
        (b"\x19\0\x02ab", "no such kind"),
        (b"\x01\0\x0fshort", "0x01 with 15 bytes instead of 16"),
        (b"\x03\0\x02", "0x03 with 2 bytes instead of 1"),
        (b"\0\0\x01", "0x00 with 1 bytes instead of 0"),
        (b"\x10\0\x21", r"0x10 with 33 bytes, .* 16-bit samples; in the dialplan, add c\(slin\)"),
        (b"\x18\x3f\x42", "at most 16192 are taken; have the trunk send 20 ms packets"),
        (b"\xff\xff\xff", "at most 16192 are taken"),
    ],
)
def test_what_is_refused_and_why(data, says):
    good = encode_uuid(UUID(int=1)) + encode_audio(0x10, b"ab")
    decoder = Decoder()
    given_frames = decoder.feed(good + data)
    assert [next(given_frames)[0], next(given_frames)[0]] == [0x01, 0x10]
    with pytest.raises(TransportError, match=says):
        next(given_frames)
    with pytest.raises(TransportError, match=says):
        list(decoder.feed(good))


def test_a_refusal_needs_no_more_than_the_header():
    with pytest.raises(TransportError):
        list(Decoder().feed(b"\x18\xff\xfe"))


def test_empty_audio_says_nothing():
    assert decode(b"\x10\0\0" + HANGUP + b"\x10\0\0") == ([(0, b"")], "")


def test_whole_reads_are_not_copied():
    buffer = bytearray(encode_audio(0x10, b"abcd"))
    ((_, payload),) = Decoder().feed(buffer)
    buffer[3:5] = b"xy"
    assert bytes(payload) == b"xycd"


def test_encoded_frames():
    assert encode_audio(0x12, b"abcd") == b"\x12\0\x04abcd"
    assert encode_audio(0x10, memoryview(bytes(320))) == b"\x10\x01\x40" + bytes(320)
    assert encode_uuid(UUID(bytes=b"0123456789abcdef")) == b"\x01\0\x100123456789abcdef"
    assert encode_dtmf("#") == b"\x03\0\x01#"
    for size in 0, 321, MAX_PAYLOAD + 2:
        with pytest.raises(ValueError, match="fit an AudioSocket frame"):
            encode_audio(0x10, bytes(size))
