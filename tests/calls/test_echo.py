"""The agent's own voice, come back over lines of 20 to 400 ms and -40 to -10 dB, with and without a caller."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from voicepipe.audio import AudioFormat, from_pcm16
from voicepipe.calls.listening.echo import LEAST, MOST, UNKNOWN, EchoGuard
from voicepipe.calls.listening.vad import VoiceActivity

SPEECH = Path(__file__).parents[1] / "data/speech"
FRAME = 160
LINEAR = AudioFormat(8000)
DELAYS = (20, 60, 150, 300, 400)


def speech(name):
    with wave.open(str(SPEECH / name)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32)
    return samples[np.argmax(np.abs(samples) > 300) :]


AGENT = np.concatenate([speech("two-turns-8k.wav")] * 2)
CALLER = speech("digits-8k.wav")


class Line:
    """A call in which the agent speaks all the time, and its voice comes back."""

    def __init__(self, echo_db=None, delay_ms=0, caller_at_s=None, caller_db=0.0, audio=LINEAR, agent=AGENT):
        self.guard = EchoGuard(audio)
        self.interruptions = []
        """When the caller was found to interrupt, in s."""
        self.passed = np.zeros(len(agent) // FRAME)
        """The level of what a recogniser gets, frame by frame."""
        line = np.random.default_rng(1).normal(0, 30, len(agent))
        if echo_db is not None:
            late = delay_ms * 8
            line[late:] += agent[: len(agent) - late] * 10 ** (echo_db / 20)
        if caller_at_s is not None:
            start = int(caller_at_s * 8000)
            said = CALLER[: len(line) - start]
            line[start : start + len(said)] += said * 10 ** (caller_db / 20)
        voice = VoiceActivity(LINEAR, 160)
        for number in range(len(agent) // FRAME):
            at, here = 100 + number * 0.02, slice(number * FRAME, (number + 1) * FRAME)
            self.guard.played(at + 0.02, self._coded(agent[here], audio))
            heard = line[here].clip(-32767, 32767)
            echo = self.guard.is_echo(at + 0.003, self._coded(heard, audio))
            self.passed[number] = 0 if echo else np.sqrt((heard**2).mean())
            edge = voice.process(bytes(2 * FRAME) if echo else heard.astype("<i2").tobytes())
            if edge == "sustained":
                if self.guard.explains():
                    voice.end()
                else:
                    self.interruptions.append(number * 0.02)

    @staticmethod
    def _coded(samples, audio):
        return from_pcm16(samples.astype("<i2").tobytes(), audio.encoding)


@pytest.mark.parametrize("delay_ms", DELAYS)
@pytest.mark.parametrize("echo_db", [None, -40, -34, -30, -26, -20])
def test_the_agent_does_not_hear_itself(echo_db, delay_ms):
    line = Line(echo_db, delay_ms)
    assert line.interruptions == []
    assert (line.passed > 180).mean() < 0.005  # of what is louder, voice activity detection makes speech


@pytest.mark.parametrize("delay_ms", DELAYS)
@pytest.mark.parametrize("echo_db", [-14, -10])
def test_a_loud_echo_interrupts_once_at_most_before_it_is_known(echo_db, delay_ms):
    """The second time it is held against a longer piece of speech; a pause without words tells as well."""
    line = Line(echo_db, delay_ms)
    assert len(line.interruptions) <= 2
    assert line.guard.limit <= MOST


@pytest.mark.parametrize("delay_ms", DELAYS)
@pytest.mark.parametrize("echo_db", [None, -40, -30, -20, -14, -10])
def test_a_caller_is_heard_over_the_agent_on_each_of_these_lines(echo_db, delay_ms):
    line = Line(echo_db, delay_ms, caller_at_s=4.0, caller_db=-3)
    assert any(4.0 <= at <= 4.5 for at in line.interruptions)


@pytest.mark.parametrize("caller_db", [0, -6, -12])
def test_a_caller_interrupts_at_any_moment_of_a_clean_line(caller_db):
    """Within 0.6 s of the first sound, beside 0.4 s without the guard: a quiet caller may take the first word twice."""
    missed = [
        at
        for at in np.arange(0.1, 5.0, 0.25)
        if not any(at <= when <= at + 0.8 for when in Line(None, 0, at, caller_db).interruptions)
    ]
    assert len(missed) <= 1


def test_what_is_learned():
    assert Line().guard.limit < 0.03
    assert Line().guard.delay_ms is None
    assert Line(-20, 150).guard.limit == pytest.approx(UNKNOWN, rel=0.1)
    loud = Line(-14, 300).guard
    assert loud.delay_ms == pytest.approx(300, abs=20)
    assert 0.2 <= loud.limit <= MOST


def test_when_the_delay_is_known_an_answer_right_after_the_agent_is_no_echo():
    agent = AGENT.copy()
    agent[6 * 8000 :] = 0
    line = Line(-14, 300, caller_at_s=6.4, caller_db=-12, agent=agent)
    answer = line.passed[int(6.4 / 0.02) : int(6.4 / 0.02) + 50]
    assert (answer > 0).mean() > 0.9


def test_mu_law_is_compared_as_it_sounds():
    assert Line(-20, 150, audio=AudioFormat(8000, "mulaw")).interruptions == []


def test_nothing_is_taken_for_echo_while_the_agent_is_silent():
    guard = EchoGuard(LINEAR)
    loud = (np.ones(FRAME) * 3000).astype("<i2").tobytes()
    quiet = (np.ones(FRAME) * 100).astype("<i2").tobytes()
    assert not guard.is_echo(1.0, quiet)
    guard.played(2.0, loud)
    assert guard.is_echo(2.1, quiet)
    assert not guard.is_echo(2.1, loud)
    assert not guard.is_echo(2.6, quiet)


def test_a_pause_without_words_raises_the_limit_and_silence_lowers_it_again():
    guard = EchoGuard(LINEAR)
    agent = (np.ones(FRAME) * 4000).astype("<i2").tobytes()
    noise = (np.ones(FRAME) * 900).astype("<i2").tobytes()
    for number in range(20):
        guard.played(1 + number * 0.02, agent)
        guard.is_echo(1 + number * 0.02, noise)
    guard.was_no_caller()
    assert guard.limit == pytest.approx(1.6 * 900 / 4000, rel=0.01)
    for number in range(20, 140):
        guard.played(1 + number * 0.02, agent)
        guard.is_echo(1 + number * 0.02, bytes(2 * FRAME))
    assert guard.limit == LEAST


def test_what_comes_late_or_out_of_order_is_harmless():
    guard = EchoGuard(LINEAR)
    agent = (np.ones(FRAME) * 4000).astype("<i2").tobytes()
    for at in (5.0, 4.9, 9.0, 8.98, 1000.0, 999.99):
        guard.played(at, agent)
        guard.is_echo(at + 0.01, agent)
    assert not guard.explains()
