"""From played audio back to the words that were heard."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.calls.replies.heard import MS_A_CHAR, SpokenSegment, heard_text, split_spoken

TEXT = "one two three four"  # 18 characters
WHOLE = [SpokenSegment(TEXT, 0, 1800, complete=True)]  # 100 ms a character


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
    segment = SpokenSegment(TEXT, 0, 1800, complete=True, marks=[(0, 0), (1000, 3), (1500, 7)])
    assert heard_text([segment], 900) == ""
    assert heard_text([segment], 1000) == "one"
    assert heard_text([segment], 1600) == "one two"
    assert heard_text([segment], 1800) == TEXT


def test_segments_are_heard_one_after_another():
    segments = [
        SpokenSegment("Good morning.", 0, 1000, complete=True),
        SpokenSegment("How are you?", 1000, 2000, complete=True),
    ]
    assert heard_text(segments, 1000) == "Good morning."
    assert heard_text(segments, 1600) == "Good morning. How are"
    assert heard_text(segments, 2000) == "Good morning. How are you?"


def test_text_without_audio_was_not_heard():
    assert (
        heard_text([SpokenSegment("Good morning.", 0, 1000, complete=True), SpokenSegment("How are you?")], 9000)
        == "Good morning."
    )
    assert heard_text([], 1000) == ""


def test_while_audio_is_still_coming_its_end_is_not_taken_for_the_end_of_the_text():
    """All that has come was played; of the text that is about a third."""
    text = "This is a sentence whose audio has only begun to come."
    arrived_ms = len(text) * MS_A_CHAR / 3
    heard = heard_text([SpokenSegment(text, 0, arrived_ms)], arrived_ms)
    assert text.startswith(heard)
    assert len(text) / 4 < len(heard) <= len(text) / 3


def test_audio_that_has_run_out_is_all_there_was_if_it_is_enough_for_the_text():
    """The synthesiser has not said that the segment is complete, as the model has more to say."""
    whole = [SpokenSegment(TEXT, 0, len(TEXT) * 50)]
    assert heard_text(whole, len(TEXT) * 50) == TEXT
    assert heard_text(whole, len(TEXT) * 50 - 20) == "one two three"
    assert heard_text([SpokenSegment(TEXT, 0, len(TEXT) * 40)], len(TEXT) * 40) == "one two"


def test_earlier_segments_tell_the_pace():
    fast = SpokenSegment("0123456789", 0, 200, complete=True)  # 20 ms a character
    assert heard_text([fast, SpokenSegment(TEXT, 200, 220)], 340) == "0123456789 one two"
    slow = SpokenSegment("0123456789", 0, 2000, complete=True)  # 200 ms a character
    assert heard_text([slow, SpokenSegment(TEXT, 2000, 2020)], 3400) == "0123456789 one two"


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab ", min_size=1, max_size=20), st.integers(1, 50)), max_size=5), st.booleans())
def test_more_audio_is_never_fewer_words(pieces, complete):
    segments, at = [], 0.0
    for text, frames in pieces:
        segments.append(SpokenSegment(text.strip(), at, at + frames * 20, complete=complete or at == 0))
        at += frames * 20
    heard = [heard_text(segments, ms) for ms in range(0, int(at) + 40, 20)]
    whole = " ".join(filter(None, (segment.text for segment in segments)))
    assert all(whole.startswith(text) for text in heard[:-1]) or not complete
    assert [len(text) for text in heard] == sorted(len(text) for text in heard)
    assert heard[0] == ""


COSTS = "It costs $12.50 today, **really**."
SPOKEN = "It costs 12 dollars 50 today, really."


@pytest.mark.parametrize(
    ("spoken", "heard"),
    [
        ("It costs", "It costs"),
        ("It costs 12 dollars", "It costs"),
        ("It costs 12 dollars 50", "It costs $12.50"),
        ("It costs 12 dollars 50 today,", "It costs $12.50 today,"),
        ("It costs 12 dollars 50 today, real", "It costs $12.50 today,"),
        (SPOKEN, COSTS),
    ],
)
def test_what_was_heard_is_told_in_the_words_of_the_model(spoken, heard):
    in_proportion = SpokenSegment(COSTS, 0, len(SPOKEN) * 100, complete=True, spoken=SPOKEN)
    assert heard_text([in_proportion], len(spoken) * 100) == heard
    marked = SpokenSegment(COSTS, 0, 5000, complete=True, marks=[(1000, len(spoken))], spoken=SPOKEN)
    assert heard_text([marked], 1000) == heard


def test_scripts_without_spaces_are_heard_by_the_character():
    segment = SpokenSegment("感谢您致电 Acme 诊所。", 0, 1300, complete=True)
    assert heard_text([segment], 300) == "感谢您"
    assert heard_text([segment], 800) == "感谢您致电"
    assert heard_text([segment], 1300) == segment.text


def test_a_segment_is_cut_where_its_audio_ends():
    segment = SpokenSegment(COSTS, 0, 2250, marks=[(0, 0), (2000, 22)], spoken=SPOKEN)
    rest = split_spoken([segment], 0)
    assert (segment.text, segment.spoken) == ("It costs $12.50", "It costs 12 dollars 50")
    assert (rest.text, rest.spoken) == ("today, **really**.", "today, really.")
    plain = SpokenSegment(TEXT, 0, 2000, marks=[(0, 0), (1800, len(TEXT))])
    assert split_spoken([plain], 0) is None
    assert plain.text == TEXT


@settings(deadline=None)
@given(st.text("ab $1", max_size=20), st.text("ab 1", max_size=20))
def test_however_text_is_spoken_more_of_it_is_never_fewer_words(text, spoken):
    segment = SpokenSegment(" ".join(text.split()), 0, 2000, complete=True, spoken=" ".join(spoken.split()))
    heard = [heard_text([segment], ms) for ms in range(0, 2040, 20)]
    assert all(segment.text.startswith(one) for one in heard)
    assert [len(one) for one in heard] == sorted(len(one) for one in heard)
    assert heard[-1] == segment.text
