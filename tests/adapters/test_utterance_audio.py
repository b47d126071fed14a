"""The gate: sounds pass with what is around them, silence does not."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.adapters.shared.utterance_audio import MARGIN_MS, SoundGate
from voicepipe.audio import AudioFormat

AUDIO = AudioFormat(8000)


def quiet(ms):
    return b"\1\0" * (8 * ms)


def loud(ms):
    return b"\0\x10\0\xf0" * (4 * ms)


def passed(gate, audio, ms=100):
    size = AUDIO.bytes_in(ms)
    return b"".join(gate.add(audio[at : at + size]) for at in range(0, len(audio), size))


def test_nothing_passes_while_the_line_is_silent():
    gate = SoundGate(AUDIO, 120)
    assert passed(gate, quiet(60_000)) == b""
    assert gate.is_quiet
    assert gate.end_ms == 60_000
    assert gate.cut() == b""


@pytest.mark.parametrize("ms", [20, 50, 100, 333])
def test_a_sound_passes_with_its_margins(ms):
    gate = SoundGate(AUDIO, 120)
    through = passed(gate, quiet(5000) + loud(300) + quiet(5000), ms)
    assert through == quiet(MARGIN_MS) + loud(300) + quiet(MARGIN_MS)


def test_a_sound_at_the_very_beginning_passes_at_once():
    gate = SoundGate(AUDIO, 120)
    assert gate.add(loud(20)) == loud(20)
    assert not gate.is_quiet


def test_a_long_pause_is_shortened_and_a_short_one_kept():
    gate = SoundGate(AUDIO, 120)
    short = loud(100) + quiet(2 * MARGIN_MS) + loud(100)
    assert passed(gate, short) == short
    assert passed(gate, quiet(9000) + loud(100)) == quiet(2 * MARGIN_MS) + loud(100)


def test_a_cut_begins_anew_and_nothing_is_heard_twice():
    gate = SoundGate(AUDIO, 120)
    assert passed(gate, loud(100) + quiet(100)) == loud(100) + quiet(100)
    assert gate.cut() == b""
    assert passed(gate, quiet(100)) == b""
    assert passed(gate, loud(100)) == quiet(100) + loud(100)


def test_a_cut_gives_the_part_of_a_frame_that_had_come():
    gate = SoundGate(AUDIO, 120)
    assert gate.add(loud(50)) == loud(40)
    assert gate.end_ms == 40
    assert gate.cut() == loud(10)
    assert gate.end_ms == 50


def test_a_steady_noise_is_silence_after_a_while_and_a_voice_above_it_is_not():
    gate = SoundGate(AUDIO, 120)
    noise = Random(7)
    hum = b"".join(noise.randint(-900, 900).to_bytes(2, "little", signed=True) for _ in range(8000))
    for _ in range(20):
        gate.add(hum)
    assert gate.add(hum) == b""
    assert gate.add(loud(100)).endswith(loud(100))


def test_at_level_0_everything_passes():
    gate = SoundGate(AUDIO, 0)
    assert passed(gate, quiet(3000) + bytes(1600)) == quiet(3000) + bytes(1600)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 90)), max_size=12), st.integers(1, 700))
def test_what_passes_does_not_depend_on_how_the_audio_is_split(spells, size):
    audio = b"".join((loud if sounds else quiet)(20 * frames) for sounds, frames in spells)
    whole, split = SoundGate(AUDIO, 120), SoundGate(AUDIO, 120)
    pieces = b"".join(split.add(audio[at : at + 2 * size]) for at in range(0, len(audio), 2 * size))
    assert whole.add(audio) == pieces
    assert whole.end_ms == split.end_ms
