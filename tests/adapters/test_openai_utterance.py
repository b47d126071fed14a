"""What of a call's audio is uploaded to be transcribed."""

from __future__ import annotations

import io
import wave

import numpy as np
import pytest

from voicepipe.adapters.openai.utterance import MARGIN_MS, UtteranceAudio, UtterancePart, wav
from voicepipe.audio import AudioFormat

LINE = AudioFormat(8000)
MARGIN = LINE.bytes_in(MARGIN_MS)


def utterance_audio(*, silence_level: int = 120, longest_s: float = 30.0) -> UtteranceAudio:
    return UtteranceAudio(LINE, silence_level, longest_s)


def voice(ms: int, loudness: int = 5000) -> bytes:
    """A tone in syllables of 150 ms."""
    seconds = np.arange(8 * ms) / 8000
    shape = 0.1 + 0.9 * np.sin(np.pi * seconds / 0.15) ** 2
    return (loudness * shape * np.sin(2 * np.pi * 300 * seconds)).astype("<i2").tobytes()


def noise(ms: int, level: int) -> bytes:
    return np.random.default_rng(ms).normal(0, level, 8 * ms).clip(-32768, 32767).astype("<i2").tobytes()


def silence(ms: int) -> bytes:
    return bytes(LINE.bytes_in(ms))


def heard(audio: bytes, *, ms: float = 100, heard_by: UtteranceAudio | None = None) -> UtterancePart:
    """What is cut out of that audio, which comes in chunks."""
    utterance, size = heard_by or utterance_audio(), LINE.bytes_in(ms)
    for at in range(0, len(audio), size):
        assert utterance.add(audio[at : at + size]) == []
    return utterance.cut()


@pytest.mark.parametrize("ms", [0.125, 7, 20, 100, 1e6])
def test_sound_is_kept_with_a_margin_of_silence_whatever_the_chunks(ms):
    said = voice(500)
    found = heard(silence(5000) + said + silence(600), ms=ms)
    assert found == UtterancePart(silence(MARGIN_MS) + said + silence(MARGIN_MS), 6100, 500)


def test_what_stands_at_the_edges_is_kept_whole():
    assert heard(voice(500)) == UtterancePart(voice(500), 500, 500)
    assert heard(silence(200) + voice(510) + silence(200)).audio == silence(200) + voice(510) + silence(200)


def test_a_pause_is_kept_and_a_long_silence_is_shortened():
    one, other = voice(300), voice(450)
    assert heard(one + silence(700) + other).audio == one + silence(700) + other
    assert heard(one + silence(20_000) + other).audio == one + silence(2 * MARGIN_MS) + other


def test_nothing_is_heard_twice():
    utterance = utterance_audio()
    first = heard(voice(300) + silence(700), heard_by=utterance)
    assert first.audio == voice(300) + silence(MARGIN_MS)
    assert utterance.cut() == UtterancePart(b"", 1000)
    second = heard(voice(450), heard_by=utterance)
    assert second == UtterancePart(silence(300) + voice(450), 1450, 450)


@pytest.mark.parametrize("audio", [b"", silence(3000), noise(3000, 60), voice(40), voice(1000, loudness=100)])
def test_silence_and_clicks_are_nothing(audio):
    assert heard(audio) == UtterancePart(b"", len(audio) // 16)


def test_everything_is_sound_if_so_configured():
    assert heard(silence(3000), heard_by=utterance_audio(silence_level=0)).audio == silence(3000)


@pytest.mark.parametrize("level", [150, 500, 2000])
def test_a_steady_noise_is_silence_after_a_while(level):
    utterance = utterance_audio()
    heard(noise(10_000, level), heard_by=utterance)
    assert heard(noise(5000, level), heard_by=utterance).audio == b""
    found = heard(noise(2000, level) + voice(600, loudness=8 * level) + noise(1000, level), heard_by=utterance)
    assert LINE.ms_in(len(found.audio)) == pytest.approx(600 + 2 * MARGIN_MS, abs=60)


def test_speech_of_a_minute_is_no_noise():
    utterance = utterance_audio(longest_s=100)
    assert heard(voice(60_000), heard_by=utterance).audio == voice(60_000)


@pytest.mark.parametrize("ms", [20, 100, 70_000])
def test_what_is_too_long_is_cut_at_its_quietest_moment(ms):
    said = voice(9000) + silence(300) + voice(9000) + silence(340) + voice(3000)
    utterance = utterance_audio(longest_s=10)
    parts = []
    for at in range(0, len(said), LINE.bytes_in(ms)):
        parts += utterance.add(said[at : at + LINE.bytes_in(ms)])
    parts.append(utterance.cut())
    assert [part.end_ms for part in parts] == [9000, 18_300, 21_640]
    assert b"".join(part.audio for part in parts) == said


def test_where_silence_was_left_out_the_end_is_right_all_the_same():
    utterance = utterance_audio(longest_s=4)
    said = voice(3000) + silence(10_000) + voice(1800)
    [part] = utterance.add(said)
    rest = utterance.cut()
    assert 13_000 - MARGIN_MS <= part.end_ms <= 14_800
    assert rest.end_ms == 14_800
    assert said.endswith(rest.audio)
    assert LINE.ms_in(len(rest.audio)) == 14_800 - part.end_ms


def test_the_file_is_a_wav():
    with wave.open(io.BytesIO(wav(LINE, voice(300)))) as file:
        assert file.getparams()[:4] == (1, 2, 8000, 2400)
        assert file.readframes(2400) == voice(300)
