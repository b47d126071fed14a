"""Where the caller's speech begins and ends: on real speech, on what is not speech, and on scripted verdicts."""

import wave
from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from attrs import define, field
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.audio import FRAME_MS, AudioFormat, from_pcm16, level
from voicepipe.calls.listening.vad import FLOOR_FRAMES, HANGOVER_FRAMES, ONSET_FRAMES, VoiceActivity
from voicepipe.testing.transport import voice

SPEECH = Path(__file__).parents[1] / "data" / "speech"
HANGOVER_MS = HANGOVER_FRAMES * FRAME_MS


def read(name):
    with wave.open(str(SPEECH / name)) as file:
        return AudioFormat(file.getframerate()), file.readframes(file.getnframes())


def frames(audio, pcm):
    size = audio.bytes_in(FRAME_MS)
    return [pcm[start : start + size] for start in range(0, len(pcm) - size + 1, size)]


def edges(audio, pcm, sustained_ms=160):
    """Each edge with the time at which its frame ends, in ms."""
    vad = VoiceActivity(audio, sustained_ms)
    found = [(vad.process(frame), (n + 1) * FRAME_MS) for n, frame in enumerate(frames(audio, pcm))]
    return [(edge, at) for edge, at in found if edge]


def bursts(audio, pcm, loud=300, gap_ms=200):
    """Where the sound really is: (from, to) in ms of everything loud, with gaps of less than `gap_ms`."""
    times = [n * FRAME_MS for n, frame in enumerate(frames(audio, pcm)) if level(frame) > loud]
    parts = [[times[0]]]
    for earlier, later in pairwise(times):
        if later - earlier > gap_ms:
            parts.append([])
        parts[-1].append(later)
    return [(part[0], part[-1] + FRAME_MS) for part in parts]


@pytest.mark.parametrize(
    "name", ["appointment-16k.wav", "digits-8k.wav", "two-turns-8k.wav", "unknown-8k.wav", "yes-8k.wav"]
)
def test_edges_lie_at_the_real_speech(name):
    audio, pcm = read(name)
    found, real = edges(audio, pcm), bursts(audio, pcm)
    assert [edge for edge, _ in found] == ["began", "sustained", "ended"] * len(real)
    for (began, _, ended), (start, end) in zip(zip(*[iter(at for _, at in found)] * 3, strict=True), real, strict=True):
        assert 0 <= began - start <= 100
        assert 0 <= ended - HANGOVER_MS - end <= 120


def test_one_word_is_speech():
    assert [edge for edge, _ in edges(*read("yes-8k.wav"))] == ["began", "sustained", "ended"]


@pytest.mark.parametrize("rate", [8000, 12000, 16000, 22050, 24000, 32000, 44100, 48000])
@pytest.mark.parametrize("encoding", ["pcm16", "mulaw", "alaw"])
def test_every_format_is_heard_alike(rate, encoding):
    audio = AudioFormat(rate, encoding)
    pcm = from_pcm16(bytes(rate) + voice(rate, 900) + bytes(rate), encoding)  # from 500 to 1400 ms
    (_, began), (_, sustained), (_, ended) = edges(audio, pcm)
    assert began == 560
    assert sustained == 660
    assert 1600 <= ended <= 1620


@pytest.mark.parametrize(("ms", "expected"), [(20, []), (40, []), (80, ["began", "ended"]), (140, ["began", "ended"])])
def test_what_is_short_does_not_interrupt(ms, expected):
    found = edges(AudioFormat(8000), bytes(8000) + voice(8000, ms) + bytes(16000))
    assert [edge for edge, _ in found] == expected


@pytest.mark.parametrize("sustained_ms", [20, 60, 80, 100, 160, 300, 301, 500])
def test_speech_is_sustained_after_as_long_as_it_takes(sustained_ms):
    """But never in the frame in which it begins: the two are different things to turn-taking."""
    found = dict(edges(AudioFormat(8000), bytes(8000) + voice(8000, 900) + bytes(8000), sustained_ms))
    assert found["began"] == 560
    assert found["sustained"] == 500 + max(-(-sustained_ms // 20) * 20, 80)


def test_silence_has_no_edges():
    assert edges(AudioFormat(8000), bytes(16000 * 30)) == []
    assert edges(AudioFormat(8000, "mulaw"), b"\xff" * 8000 * 5) == []


@pytest.mark.parametrize("rms", [20, 60, 120, 250, 500])
def test_noise_does_not_interrupt(rms):
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(0, rms, 8000 * 20).clip(-32767, 32767).astype("<i2").tobytes()
        found = edges(AudioFormat(8000), noise)
        assert "sustained" not in dict(found)
        assert len(found) % 2 == 0  # whatever began has ended


def test_clicks_are_nothing():
    click = (b"\xe0\x2e" * 4 + b"\x20\xd1" * 4) * 10  # 10 ms of a square wave
    assert edges(AudioFormat(8000), (click + bytes(16000 - len(click))) * 5) == []


@define
class Verdicts:
    """A detector that says what it is told."""

    left: list = field(converter=list)

    def is_speech(self, _frame, _rate):
        return self.left.pop(0)


LOUD = voice(8000, 20)


def judged(verdicts, sustained_ms=160):
    """The edge of each frame, for a detector's verdicts on them."""
    vad = VoiceActivity(AudioFormat(8000), sustained_ms)
    vad._vad = Verdicts(verdicts)
    vad._left = len(verdicts) + 1  # or it would learn that this sound is a noise
    return [vad.process(LOUD) for _ in verdicts]


def test_a_gap_where_speech_becomes_sustained_only_delays_that():
    verdicts = [True] * 7 + [False] * 3 + [True] * 5
    found = judged(verdicts)
    assert found.index("sustained") == 10
    assert found.count("sustained") == 1


def test_a_click_and_its_hangover_are_not_sustained():
    assert set(judged([True] * 3 + [False] * 12)) == {"began", "ended", None}


@settings(deadline=None)
@given(st.lists(st.booleans(), max_size=120), st.sampled_from([20, 100, 160, 400]))
def test_edges_come_in_order_whatever_the_verdicts(verdicts, sustained_ms):
    found = judged(verdicts, sustained_ms)
    legal = {None: {"began"}, "began": {"sustained", "ended"}, "sustained": {"ended"}, "ended": {"began"}}
    last = None
    for n, edge in enumerate(found):
        if edge is None:
            continue
        assert edge in legal[last]
        last = edge
        if edge == "began":
            assert sum(verdicts[max(0, n - 4) : n + 1]) >= ONSET_FRAMES
        elif edge == "sustained":
            assert verdicts[n]
        else:
            assert not any(verdicts[n - HANGOVER_FRAMES + 1 : n + 1])
    runs = [len(list(run)) for voiced, run in groupby(verdicts) if voiced]
    if runs and max(runs) >= max(sustained_ms // 20, ONSET_FRAMES + 1) + ONSET_FRAMES:
        assert "sustained" in found


def steady(rms, seconds, rate=8000):
    """A noise that passes for a voice: a vowel without a pause."""
    t = np.arange(int(rate * seconds)) / rate
    tone = sum(np.sin(2 * np.pi * 130 * k * t) * (1.0 if 3 <= k <= 7 else 0.3) for k in range(1, 20))
    return tone * rms / np.sqrt(np.mean(tone**2))


def as_pcm(samples):
    return samples.clip(-32767, 32767).astype("<i2").tobytes()


def test_a_noise_that_goes_on_is_no_speech_any_more():
    found = edges(AudioFormat(8000), as_pcm(steady(2000, 20)))
    assert [edge for edge, _ in found] == ["began", "sustained", "ended"]
    assert found[-1][1] <= 2 * FLOOR_FRAMES * FRAME_MS + HANGOVER_MS + 200


@pytest.mark.parametrize("louder", [2.5, 5])
def test_a_voice_is_heard_over_a_noise_that_goes_on(louder):
    samples = steady(1000, 20)
    speech = np.frombuffer(voice(8000, 1000), "<i2").astype(float)
    speech *= louder * 1000 / np.sqrt(np.mean(speech**2))
    samples[10 * 8000 : 11 * 8000] += speech
    found = edges(AudioFormat(8000), as_pcm(samples))[3:]
    assert [edge for edge, _ in found][:2] == ["began", "sustained"]
    assert 10_000 < found[0][1] < 10_200
    assert 10_900 < found[-1][1] < 11_400


def test_after_a_noise_a_quiet_voice_is_heard_again():
    speech = np.frombuffer(voice(8000, 1000), "<i2").astype(float) * 0.3
    samples = np.concatenate([steady(3000, 10), np.zeros(5 * 8000), speech, np.zeros(8000)])
    found = edges(AudioFormat(8000), as_pcm(samples))[3:]
    assert [edge for edge, _ in found] == ["began", "sustained", "ended"]
    assert 15_000 < found[0][1] < 15_200


def test_somebody_who_never_pauses_is_still_speaking():
    """Half a minute without 200 ms of silence; syllables are enough."""
    found = edges(AudioFormat(8000), voice(8000, 1000) * 30)
    assert [edge for edge, _ in found] == ["began", "sustained"]
