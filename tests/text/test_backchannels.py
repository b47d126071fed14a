"""What shows only that the caller listens, in eight languages."""

import pytest
from word_tables import table

from voicepipe.text.backchannel_phrases import BACKCHANNELS
from voicepipe.text.backchannels import is_backchannel

TABLE = table("Backchannels")
LISTENS = [text for _, texts, _ in TABLE for text in texts]
INTERRUPTS = [text for _, _, texts in TABLE for text in texts]


def test_there_are_eight_languages():
    assert len(TABLE) == 8
    assert all(len(listens) >= 4 and len(interrupts) >= 3 for _, listens, interrupts in TABLE)


@pytest.mark.parametrize("text", [*BACKCHANNELS, *(f"{phrase}, {phrase}." for phrase in BACKCHANNELS)])
def test_each_is_one_and_so_is_each_said_twice(text):
    assert is_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize(
    "text", [*LISTENS, "Mm-hm.", "mhm mhm mhm", "hmmm", "MHM", "Uh-huh. Uh-huh.", "okay, okay, right"]
)
def test_these_do_not_interrupt(text):
    assert is_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("text", [*INTERRUPTS, "", "?", "wait", "oh no", "oh", "M", "no okay", "I see a dog", "हाँ रुको"])
def test_these_do(text):
    assert not is_backchannel(text, BACKCHANNELS)


@pytest.mark.parametrize("text", ["yeah", "yes", "oui", "I", "I see", "got", "okay got", "oh", "ja", "thik", "mhm ach"])
def test_a_guess_that_may_still_become_one_does_not_interrupt_yet(text):
    assert is_backchannel(text, BACKCHANNELS, so_far=True)


@pytest.mark.parametrize("text", ["no", "yes no", "I want", "okay stop", "got to", "oui mais", ""])
def test_a_guess_that_can_not_does(text):
    assert not is_backchannel(text, BACKCHANNELS, so_far=True)
    assert not is_backchannel("yes", (), so_far=True)


def test_only_what_is_configured_counts():
    assert is_backchannel("Go on, go on!", ("go on",))
    assert is_backchannel("yes, go on", ("go on",))
    assert not is_backchannel("yes, yes", ("go on",))
    assert not is_backchannel("okay", ("go on",))
    assert not is_backchannel("okay", ())
    assert not is_backchannel("go on and on", ("go on",))


def test_a_long_row_takes_no_time_that_grows_steeply():
    assert is_backchannel("uh huh " * 2000, BACKCHANNELS)
    assert not is_backchannel("uh " * 2000, BACKCHANNELS)
