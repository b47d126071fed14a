"""Telephone-like audio through the real voice activity detection and the real Vosk: who stops a reply, and who doesn't.

What is measured, and over which lines, is in `benchmarks/turn_rates.py`; `make conversation-rates` prints all of it.
"""

import pytest
from benchmarks.turn_rates import LINES, measure

pytest.importorskip("vosk", reason="the extra `vosk` is not installed")
pytest.importorskip("espeakng_loader", reason="the extra `espeak` is not installed")

QUIET = (
    "clean",
    "white noise, -40 dBFS",
    "babble of six, -50 dBFS",
    "one other voice, -50 dBFS",
    "echo -30 dB after 60 ms",
    "echo -20 dB after 150 ms",
    "hum, -35 dBFS",
)
DELAYED = ("white noise, -40 dBFS", "echo -20 dB after 150 ms")
"""Lines on which the caller's first frames may pass for an echo: some 40 ms are added."""
LOUD = ("white noise, -25 dBFS",)


@pytest.fixture(scope="module")
def rates():
    """What came of two calls of each kind over each of these lines."""
    found = {}
    chosen = [line for line in LINES if line.name in QUIET + LOUD]
    measure(chosen, 2, lambda line, rates: found.update({line.name: rates}), longest_s=6)
    return found


@pytest.mark.parametrize("name", QUIET)
def test_nothing_but_the_caller_stops_a_reply(rates, name):
    assert (rates[name].pauses, rates[name].cancelled) == (0, 0)


@pytest.mark.parametrize("name", QUIET)
def test_the_caller_stops_a_reply(rates, name):
    """Within 400 ms of the first sound, on every line on which people can talk to each other."""
    assert rates[name].barge_ins == 2
    assert rates[name].missed <= (name in DELAYED)
    assert rates[name].ended == 2


@pytest.mark.parametrize("name", LOUD)
def test_a_noise_that_is_as_loud_as_speech_only_delays_a_reply(rates, name):
    assert rates[name].cancelled == 0
    assert rates[name].pauses == rates[name].resumed
