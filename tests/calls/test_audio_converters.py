"""Formats and their conversion: exact sizes while live, nothing lost, no alias that anybody hears."""

import math
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.audio import FRAME_MS, AudioFormat, from_pcm16, level, open_converter, to_pcm16

RATES = (8000, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def sine(rate, hertz, ms, amplitude=10000):
    samples = (int(amplitude * math.sin(2 * math.pi * hertz * n / rate)) for n in range(rate * ms // 1000))
    return array("h", samples).tobytes()


def decibels(of, against):
    return 20 * math.log10(max(level(of), 0.3) / level(against))


@pytest.mark.parametrize("encoding", ["pcm16", "mulaw", "alaw"])
def test_the_same_format_needs_no_converter(encoding):
    assert open_converter(AudioFormat(8000, encoding), AudioFormat(8000, encoding), live=True) is None


@pytest.mark.parametrize("target", RATES)
@pytest.mark.parametrize("source", RATES)
def test_live_audio_keeps_its_frames(source, target):
    if source == target:
        return
    one, other = AudioFormat(source), AudioFormat(target)
    converter = open_converter(one, other, live=True)
    frame = sine(source, 440, FRAME_MS)
    assert [len(converter.convert(frame)) for _ in range(20)] == [other.bytes_in(FRAME_MS)] * 20
    assert converter.finish() == b""


@pytest.mark.parametrize(
    ("source", "target"), [(8000, 16000), (16000, 8000), (48000, 8000), (44100, 16000), (24000, 8000)]
)
@pytest.mark.parametrize("live", [True, False])
def test_a_tone_that_both_rates_carry_passes_at_its_level(source, target, live):
    converter = open_converter(AudioFormat(source), AudioFormat(target), live=live)
    tone = sine(source, 1000, 400)
    out = converter.convert(tone) + converter.finish()
    middle = out[len(out) // 4 & ~1 : len(out) * 3 // 4 & ~1]
    assert abs(decibels(middle, tone)) < 0.2


@pytest.mark.parametrize(
    ("source", "target"), [(16000, 8000), (48000, 8000), (44100, 16000), (24000, 8000), (48000, 16000)]
)
@pytest.mark.parametrize("live", [True, False])
def test_a_tone_above_the_target_is_not_heard_as_another(source, target, live):
    converter = open_converter(AudioFormat(source), AudioFormat(target), live=live)
    tone = sine(source, target * 0.62, 400)
    out = converter.convert(tone) + converter.finish()
    assert decibels(out[len(out) // 4 & ~1 : len(out) * 3 // 4 & ~1], tone) < -60


@pytest.mark.parametrize("live", [True, False])
@settings(deadline=None)
@given(data=st.data())
def test_pieces_make_no_difference_to_the_audio(live, data):
    tone = sine(16000, 300, 200)
    whole = open_converter(AudioFormat(16000), AudioFormat(8000), live=live)
    expected = whole.convert(tone) + whole.finish()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(tone) // 2), max_size=6)))
    converter, out = open_converter(AudioFormat(16000), AudioFormat(8000), live=live), b""
    for start, end in zip([0, *cuts], [*cuts, len(tone) // 2], strict=True):
        out += converter.convert(tone[2 * start : 2 * end])
    assert abs(len(out + converter.finish()) - len(expected)) <= 2
    if live:
        assert max(abs(a - b) for a, b in zip(array("h", out), array("h", expected), strict=True)) <= 1


def test_burst_conversion_loses_no_length():
    converter = open_converter(AudioFormat(22050), AudioFormat(8000), live=False)
    out = b"".join(converter.convert(sine(22050, 440, 20)) for _ in range(50)) + converter.finish()
    assert abs(AudioFormat(8000).ms_in(len(out)) - 1000) < 2


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_companding(encoding):
    tone = sine(8000, 440, 100)
    coded = from_pcm16(tone, encoding)
    assert len(coded) == len(tone) // 2
    back = to_pcm16(coded, encoding)
    noise = array("h", (a - b for a, b in zip(array("h", tone), array("h", back), strict=True))).tobytes()
    assert decibels(noise, tone) < -30
    assert from_pcm16(back, encoding) == coded
    assert to_pcm16(AudioFormat(8000, encoding).silence, encoding) in {b"\0\0", b"\x08\x00"}


@pytest.mark.parametrize("encoding", ["mulaw", "alaw"])
def test_companded_audio_at_another_rate(encoding):
    converter = open_converter(AudioFormat(8000, encoding), AudioFormat(16000), live=True)
    assert len(converter.convert(AudioFormat(8000, encoding).silence * 160)) == 640
    back = open_converter(AudioFormat(16000), AudioFormat(8000, encoding), live=True)
    assert len(back.convert(bytes(640))) == 160


def test_nothing_in_is_nothing_out():
    for source, target in [(AudioFormat(8000), AudioFormat(16000)), (AudioFormat(8000, "mulaw"), AudioFormat(8000))]:
        for live in (True, False):
            assert open_converter(source, target, live=live).convert(b"") == b""


def test_loud_audio_is_clipped_and_not_wrapped():
    square = (b"\xff\x7f" * 10 + b"\x00\x80" * 10) * 40
    out = array("h", open_converter(AudioFormat(8000), AudioFormat(16000), live=True).convert(square))
    assert max(out) == 32767
    assert min(out) == -32768


@pytest.mark.parametrize(
    ("audio", "size"),
    [
        (AudioFormat(8000), 320),
        (AudioFormat(16000), 640),
        (AudioFormat(44100), 1764),
        (AudioFormat(8000, "mulaw"), 160),
    ],
)
def test_bytes_and_ms(audio, size):
    assert audio.bytes_in(FRAME_MS) == size
    assert audio.ms_in(size) == FRAME_MS
    assert str(audio) == f"{audio.encoding} at {audio.rate} Hz"
