"""What a call's audio is, found out from its first frames: held against captures, recordings and made sounds."""

from __future__ import annotations

import math
import random
import wave
from array import array
from functools import cache, partial
from itertools import chain, repeat
from pathlib import Path

import pytest

from voicepipe.audio import AudioFormat, from_pcm16, open_converter
from voicepipe.errors import TransportError
from voicepipe.testing.transport import voice
from voicepipe.transports.audiosocket.audio import AudioCheck, codec_of, sound_of
from voicepipe.transports.audiosocket.wire_format import KINDS, RATES, Decoder

DATA = Path(__file__).parents[1] / "data"
ADD_SLIN = "in the dialplan, add c(slin): Dial(AudioSocket/host:port/uuid/c(slin))"
CAPTURES = sorted((DATA / "asterisk").rglob("*.a2s.bin"))
RECORDINGS = sorted((DATA / "speech").glob("*-8k.wav"))
COMPANDED_CAPTURES = {"chan_default_ulaw_caller", "chan_c_ulaw", "chan_c_ulaw_server_sends_slin8", "chan_c_alaw"}


def frames_of(path):
    return [(kind, bytes(payload)) for kind, payload in Decoder().feed(path.read_bytes()) if kind in RATES]


def see(rate, frames, every_ms=20):
    """A check that has seen these frames, one every so many ms."""
    check = AudioCheck(rate)
    for number, (kind, payload) in enumerate(frames):
        check.see(kind, payload, number * every_ms / 1000)
    return check


def refusal(rate, frames, every_ms=20):
    """After how many frames the audio is refused, and why."""
    check = AudioCheck(rate)
    for number, (kind, payload) in enumerate(frames):
        try:
            check.see(kind, payload, number * every_ms / 1000)
        except TransportError as error:
            return number + 1, str(error)
    return None


def packets(audio, size):
    return [(0x10, audio[start : start + size]) for start in range(0, len(audio) - size + 1, size)]


def samples(values):
    return array("h", (max(-32768, min(32767, int(value))) for value in values)).tobytes()


def tone(*hz, level=0.5, seconds=1.0, rate=8000):
    peak = 32767 * level / len(hz)
    return samples(peak * sum(math.sin(2 * math.pi * one * n / rate) for one in hz) for n in range(int(rate * seconds)))


@cache
def recording(path, gain=1.0):
    with wave.open(str(path)) as file:
        return samples(gain * value for value in array("h", file.readframes(file.getnframes())))


@cache
def noise(level):
    rng = random.Random(level)
    return samples(rng.gauss(0, level) for _ in range(8_000))


LINEAR = {
    "silence": partial(bytes, 16_000),
    "a voice": partial(voice, 8000, 2000),
    **{f"noise at {level}": partial(noise, level) for level in (2, 20, 200, 2000, 8000)},
    **{
        f"{hz} Hz at {level}": partial(tone, *hz, level=level)
        for level in (0.02, 0.25, 0.9)
        for hz in [(50,), (440,), (1000,)]
    },
    **{
        f"{hz} Hz at {level}": partial(tone, *hz, level=level)
        for level in (0.02, 0.5, 1.0)
        for hz in [(2100,), (3000,), (3400,)]
    },
    **{f"{hz} Hz": partial(tone, *hz) for hz in [(350, 440), (425,), (941, 1633), (697, 1209)]},
    **{
        f"{path.stem} x {gain}": partial(recording, path, gain) for path in RECORDINGS for gain in (0.02, 0.3, 1.0, 4.0)
    },
}
"""What makes each sound: each worker that collects tests would make all of them."""
COMPANDED = {
    "a voice": partial(voice, 8000, 2000),
    **{f"noise at {level}": partial(noise, level) for level in (8, 20, 200, 2000)},
    **{f"{path.stem} x {gain}": partial(recording, path, gain) for path in RECORDINGS for gain in (0.1, 1.0)},
}


@pytest.mark.parametrize(("rate", "kind"), sorted(KINDS.items()))
def test_the_kind_says_the_rate(rate, kind):
    check = AudioCheck(16000 if rate == 8000 else 8000)
    assert not check.known
    if rate != 8000:
        check.see(kind, bytes(rate // 50 * 2), 0.0)
        assert (check.rate, check.kind, check.known, check.settled) == (rate, kind, True, True)


@pytest.mark.parametrize("path", CAPTURES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_captured_audio_is_understood_or_refused_with_its_hint(path):
    frames = frames_of(path)
    name = path.name.removesuffix(".a2s.bin")
    if name in COMPANDED_CAPTURES:
        after, why = refusal(8000, frames, every_ms=0)
        assert after <= 10, "that would be after the call has begun"
        assert why.endswith(ADD_SLIN)
    elif name == "chan_c_g722":
        after, why = refusal(8000, frames * 8)
        assert after <= 100
        assert why.endswith(ADD_SLIN)
    else:
        check = see(8000, frames)
        assert {kind for kind, _ in frames} <= {check.kind}
        assert check.rate == RATES[check.kind]


@pytest.mark.parametrize("name", LINEAR)
def test_linear_audio_is_taken_in_packets_of_any_length(name):
    for size in 34, 80, 160, 240, 320, 322, 640, 960, 1602:
        frames = packets(LINEAR[name](), size)
        check = see(8000, frames, every_ms=size / 16)
        assert (check.rate, check.kind, check.known, check.is_suspicious) == (8000, 0x10, True, False)
    assert refusal(8000, frames, every_ms=0) is None  # nor if it comes in a burst


@pytest.mark.parametrize("payload", [bytes(range(256)), random.Random(1).randbytes(320), b"\xff" * 160, b"\1\2" * 160])
def test_what_is_no_codec_for_certain_is_taken_if_enough_of_it_comes(payload):
    assert see(8000, [(0x10, payload)] * 200, every_ms=len(payload) / 16).settled


def test_it_is_looked_at_for_a_second_and_a_half():
    frames = packets(voice(8000, 2000), 320)
    assert not see(8000, frames[:70]).settled
    assert see(8000, frames[:80]).settled


@pytest.mark.parametrize("codec", ["mulaw", "alaw"])
@pytest.mark.parametrize("name", COMPANDED)
def test_companded_audio_is_refused_in_packets_of_any_length(name, codec):
    for packet_ms in 10, 20, 30, 40, 60:
        _, why = refusal(8000, packets(from_pcm16(3 * COMPANDED[name](), codec), 8 * packet_ms), packet_ms)
        assert why.endswith(ADD_SLIN)


@pytest.mark.parametrize(("size", "every_ms"), [(20, 20), (50, 30), (80, 20), (160, 20), (320, 40)])
def test_another_codec_is_noise_at_full_scale_and_comes_slowly(size, every_ms):
    frames = packets(random.Random(1).randbytes(16_000), size)
    assert refusal(8000, frames, every_ms)[1].endswith(ADD_SLIN)


@pytest.mark.parametrize("codec", ["mulaw", "alaw"])
def test_digital_silence_of_a_codec_tells_nothing(codec):
    silent = packets(from_pcm16(bytes(64_000), codec), 160)
    check = see(8000, silent)
    assert not check.settled
    assert not check.is_suspicious
    assert refusal(8000, silent + packets(from_pcm16(noise(20), codec), 160))[1].endswith(ADD_SLIN)


def test_a_call_waits_for_more_of_what_sounds_compressed():
    check = AudioCheck(8000)
    check.see(0x10, from_pcm16(noise(20)[:320], "mulaw"), 0.0)
    assert check.known
    assert check.is_suspicious


def test_a_short_frame_at_the_end_of_a_played_file_is_harmless():
    frames = [*packets(tone(440), 320)[:20], (0x10, bytes(276)), (0x10, bytes(160)), *packets(voice(8000, 800), 320)]
    assert see(8000, frames).rate == 8000


@pytest.mark.parametrize(
    ("expected", "real", "says"),
    [
        (8000, 16000, "set this listener's rate to 16000 Hz, or ask for c(slin) in the dialplan"),
        (8000, 12000, "set this listener's rate to 12000 Hz, or ask for c(slin) in the dialplan"),
        (8000, 48000, "set this listener's rate to 48000 Hz, or ask for c(slin) in the dialplan"),
        (16000, 8000, "set this listener's rate to 8000 Hz, or ask for c(slin16) in the dialplan"),
        (44100, 16000, "set this listener's rate to 16000 Hz, or ask for c(slin44) in the dialplan"),
    ],
)
@pytest.mark.parametrize("packet_ms", [10, 20, 40])
def test_an_older_asterisk_labels_any_rate_as_8_khz(expected, real, says, packet_ms):
    size = AudioFormat(real).bytes_in(packet_ms)
    after, why = refusal(expected, repeat((0x10, bytes(size)), 500), packet_ms)
    assert says in why
    assert after * packet_ms < 2000
    assert see(real, [(0x10, bytes(size))] * 500, packet_ms).settled


def test_the_older_asterisks_capture():
    (path,) = (path for path in CAPTURES if "20.6.0/chan_c_slin16" in str(path))
    frames = frames_of(path)
    assert {len(payload) for _, payload in frames} == {640}
    assert "set this listener's rate to 16000 Hz" in refusal(8000, frames * 10)[1]
    check = see(16000, frames * 10)
    assert (check.rate, check.kind, check.settled) == (16000, 0x10, True)
    assert see(8000, frames * 10, every_ms=40).settled  # as a trunk's packets of 40 ms they would be fine


def came(check, *spans):
    """Shows a check 20 ms frames: spans of (frames, ms between them, ms of pause after them)."""
    now = 0.0
    for count, every_ms, pause_ms in spans:
        for _ in range(count):
            check.see(0x10, bytes(320), now)
            now += every_ms / 1000
        now += pause_ms / 1000


@pytest.mark.parametrize(
    "spans",
    [
        [(200, 0, 0), (200, 20, 0)],
        [(25, 20, 1000), (50, 0, 0), (25, 20, 1000), (50, 0, 0), (200, 20, 0)],
        [(25, 0, 500)] * 20,
        [(5, 20, 400)] * 100,
        [(1, 40, 0), (1, 20, 0)] * 100,
        [(30, 10, 0), (200, 20, 0)],
    ],
    ids=["a burst", "stalls", "bursts", "keys pressed all the time", "much lost", "catching up"],
)
def test_audio_that_comes_unevenly_has_no_other_rate(spans):
    check = AudioCheck(8000)
    came(check, *spans)
    assert check.rate == 8000


def test_a_codec_that_changes_is_refused_with_the_line_of_the_dialplan():
    for size in 320, 160:
        with pytest.raises(TransportError) as raised:
            see(8000, [(0x10, bytes(size)), (0x12, bytes(640))])
        assert str(raised.value) == (
            "the audio changed from 8000 Hz (kind 0x10) to 16000 Hz (kind 0x12) in mid-call; have the dialplan keep to "
            "one codec: Dial(AudioSocket/host:port/uuid/c(slin)), or c(slin16)"
        )
    _, why = refusal(8000, [(0x16, bytes(1920)), (0x15, bytes(1764))])
    assert "from 48000 Hz (kind 0x16) to 44100 Hz (kind 0x15)" in why
    assert why.endswith("c(slin48)), or c(slin44)")


def test_the_first_kind_decides_whatever_was_expected():
    for expected in KINDS:
        for kind in set(RATES) - {0x10}:
            assert see(expected, [(kind, bytes(320))]).rate == RATES[kind]
        assert see(expected, [(0x10, bytes(320))]).rate == expected  # it is on any rate


def sounds(audio):
    return [sound_of(payload) for _, payload in packets(audio, 480)]


def test_how_sure_the_verdict_is():
    """A piece of 480 bytes tells nothing, or the truth; companded speech is recognised in most pieces."""
    speech = b"".join(recording(path) for path in RECORDINGS)
    linear = sounds(speech)
    assert set(linear) <= {"linear", "unknown"}
    for codec in "mulaw", "alaw":
        audible = [sound for sound in sounds(from_pcm16(speech, codec)) if sound != "unknown"]
        assert audible.count("compressed") > 0.3 * len(audible)
        assert audible.count("compressed") + audible.count("doubtful") > 0.85 * len(audible)


def test_wideband_audio_is_linear_too():
    converter = open_converter(AudioFormat(8000), AudioFormat(16000), live=False)
    wide = converter.convert(b"".join(recording(path) for path in RECORDINGS)) + converter.finish()
    assert set(sounds(wide)) <= {"linear", "unknown"}


def test_names_of_codecs():
    names = ["slin", "slin12", "slin16", "slin24", "slin32", "slin44", "slin48", "slin96", "slin192"]
    assert [codec_of(rate) for rate in sorted(KINDS)] == names


def test_a_rate_that_audiosocket_has_not():
    with pytest.raises(ValueError, match="no audio at 11025 Hz; set rate to one of 8000, 12000"):
        AudioCheck(11025)


def test_a_rate_of_its_own_needs_no_look():
    check = see(8000, chain([(0x12, bytes(640))], repeat((0x12, random.Random(1).randbytes(640)), 50)))
    assert check.settled
