"""WAV files as telephone systems write them are read, and others are refused in words."""

import struct
from pathlib import Path

import pytest

from voicepipe.audio import AudioFormat
from voicepipe.components.values import File
from voicepipe.components.wav_file import read_wav
from voicepipe.config.wav import sound_of


def wav(header, data=b"\x01\x02" * 80, *, before=b"", form=b"WAVE"):
    chunks = b"fmt " + struct.pack("<I", len(header)) + header + before + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + form + chunks


def pcm(codec=1, channels=1, rate=8000, bits=16):
    return struct.pack("<HHIIHH", codec, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)


@pytest.mark.parametrize(
    ("header", "audio"),
    [
        (pcm(), AudioFormat(8000)),
        (pcm(rate=44_100), AudioFormat(44_100)),
        (pcm(codec=6, bits=8), AudioFormat(8000, "alaw")),
        (pcm(codec=7, bits=8) + b"\0\0", AudioFormat(8000, "mulaw")),
        (pcm(codec=0xFFFE) + struct.pack("<HHI", 22, 16, 4) + b"\x01\x00" + b"\0" * 14, AudioFormat(8000)),
    ],
)
def test_what_telephone_systems_write_is_read(header, audio):
    assert read_wav(wav(header)) == (audio, b"\x01\x02" * 80)


def test_sounds_of_a_pipeline_are_read_by_the_same_rules():
    sound = sound_of(File(Path("hold.wav"), wav(pcm(codec=7, bits=8), b"\xff" * 8000)))
    assert (sound.format, len(sound.in_format(AudioFormat(8000)))) == (AudioFormat(8000, "mulaw"), 16_000)
    with pytest.raises(ValueError, match="has 2 channels"):
        sound_of(File(Path("hold.wav"), wav(pcm(channels=2))))
    with pytest.raises(ValueError, match="not 8000 to 48000"):
        sound_of(File(Path("hold.wav"), wav(pcm(rate=96_000))))


def test_other_chunks_are_passed_over_and_odd_ones_are_padded():
    before = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    assert read_wav(wav(pcm(), before=before))[1] == b"\x01\x02" * 80


def test_a_file_that_is_cut_short_ends_with_a_whole_sample():
    assert read_wav(wav(pcm())[:-3]) == (AudioFormat(8000), b"\x01\x02" * 78)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is no WAV file"),
        (b"ID3\x03" + b"\0" * 40, "is no WAV file"),
        (wav(pcm(), form=b"AVI "), "is no WAV file"),
        (wav(pcm())[:36], "is a broken WAV file"),
        (wav(pcm()[:10]), "is a WAV file with a broken header"),
        (wav(pcm(bits=24)), "codec 1 with 24 bits"),
        (wav(pcm(codec=85)), "codec 85"),
        (wav(pcm(channels=2)), "has 2 channels, and a telephone has one"),
        (wav(pcm(rate=100)), "has 100 samples a second, not 8000 to 192000"),
        (wav(pcm(), b""), "has no audio in it"),
    ],
)
def test_others_are_refused_with_what_to_do(content, why):
    with pytest.raises(ValueError, match=why):
        read_wav(content)


@pytest.mark.parametrize("end", range(60))
def test_no_beginning_of_a_file_does_more_than_be_refused(end):
    try:
        _, audio = read_wav(wav(pcm())[:end])
    except ValueError:
        return
    assert len(audio) % 2 == 0
