"""From played audio back to the words that were heard."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.calls.heard import MS_A_CHAR, Segment, heard_text

TEXT = "one two three four"  # 18 characters
WHOLE = [Segment(TEXT, 0, 1800, complete=True)]  # 100 ms a character


@pytest.mark.parametrize(
    ("played_ms", "heard"),
    [
        (0, ""),
        (20, ""),
        (299, ""),
        (300, "one"),
        (690, "one"),
        (700, "one two"),
        (1299, "one two"),
        (1300, "one two three"),
        (1780, "one two three"),
        (1800, TEXT),
        (5000, TEXT),
    ],
)
def test_whole_words_in_proportion(played_ms, heard):
    assert heard_text(WHOLE, played_ms) == heard


def test_marks_are_trusted_over_proportion():
    segment = Segment(TEXT, 0, 1800, complete=True, marks=[(0, 0), (1000, 3), (1500, 7)])
    assert heard_text([segment], 900) == ""
    assert heard_text([segment], 1000) == "one"
    assert heard_text([segment], 1600) == "one two"
    assert heard_text([segment], 1800) == TEXT


def test_segments_are_heard_one_after_another():
    segments = [Segment("Good morning.", 0, 1000, complete=True), Segment("How are you?", 1000, 2000, complete=True)]
    assert heard_text(segments, 1000) == "Good morning."
    assert heard_text(segments, 1600) == "Good morning. How are"
    assert heard_text(segments, 2000) == "Good morning. How are you?"


def test_text_without_audio_was_not_heard():
    assert (
        heard_text([Segment("Good morning.", 0, 1000, complete=True), Segment("How are you?")], 9000) == "Good morning."
    )
    assert heard_text([], 1000) == ""


def test_while_audio_is_still_coming_its_end_is_not_taken_for_the_end_of_the_text():
    """All that has come was played; of the text that is about a third."""
    text = "This is a sentence whose audio has only begun to come."
    arrived_ms = len(text) * MS_A_CHAR / 3
    heard = heard_text([Segment(text, 0, arrived_ms)], arrived_ms)
    assert text.startswith(heard)
    assert len(text) / 4 < len(heard) <= len(text) / 3


def test_audio_that_has_run_out_is_all_there_was_if_it_is_enough_for_the_text():
    """The synthesiser has not said that the segment is complete, as the model has more to say."""
    whole = [Segment(TEXT, 0, len(TEXT) * 50)]
    assert heard_text(whole, len(TEXT) * 50) == TEXT
    assert heard_text(whole, len(TEXT) * 50 - 20) == "one two three"
    assert heard_text([Segment(TEXT, 0, len(TEXT) * 40)], len(TEXT) * 40) == "one two"


def test_earlier_segments_tell_the_pace():
    fast = Segment("0123456789", 0, 200, complete=True)  # 20 ms a character
    assert heard_text([fast, Segment(TEXT, 200, 220)], 340) == "0123456789 one two"
    slow = Segment("0123456789", 0, 2000, complete=True)  # 200 ms a character
    assert heard_text([slow, Segment(TEXT, 2000, 2020)], 3400) == "0123456789 one two"


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab ", min_size=1, max_size=20), st.integers(1, 50)), max_size=5), st.booleans())
def test_more_audio_is_never_fewer_words(pieces, complete):
    segments, at = [], 0.0
    for text, frames in pieces:
        segments.append(Segment(text.strip(), at, at + frames * 20, complete=complete or at == 0))
        at += frames * 20
    heard = [heard_text(segments, ms) for ms in range(0, int(at) + 40, 20)]
    whole = " ".join(filter(None, (segment.text for segment in segments)))
    assert all(whole.startswith(text) for text in heard[:-1]) or not complete
    assert [len(text) for text in heard] == sorted(len(text) for text in heard)
    assert heard[0] == ""
