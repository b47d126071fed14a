"""A segment that breaks off: what of its text the caller has heard, and what is left for the next voice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.calls.replies.heard import MS_A_CHAR, SpokenSegment, split_spoken

TEXT = "one two three four"  # 18 characters


def split(segments, index=0):
    """What counts as said of a segment, and what is left of it."""
    rest = split_spoken(segments, index)
    return segments[index].text, rest.text if rest else ""


@pytest.mark.parametrize(
    ("spoken_chars", "said", "rest"),
    [
        (0, "", TEXT),
        (1, "", TEXT),
        (2, "one", "two three four"),
        (3, "one", "two three four"),
        (4, "one", "two three four"),
        (5, "one", "two three four"),
        (6, "one two", "three four"),
        (9, "one two", "three four"),
        (11, "one two three", "four"),
        (14, "one two three", "four"),
        (16, TEXT, ""),
        (18, TEXT, ""),
        (99, TEXT, ""),
    ],
)
def test_a_word_that_was_half_said_counts_as_said(spoken_chars, said, rest):
    assert split([SpokenSegment(TEXT, 0, spoken_chars * MS_A_CHAR)]) == (said, rest)


@pytest.mark.parametrize(("spoken_chars", "said"), [(2, ""), (3, "hello."), (6, "hello.")])
def test_a_single_word_is_said_or_not(spoken_chars, said):
    assert split([SpokenSegment("hello.", 0, spoken_chars * MS_A_CHAR)])[0] == said


@pytest.mark.parametrize(
    ("lasts_ms", "said"), [(150, "one"), (910, "one two"), (1000, "one two"), (1200, "one two three")]
)
def test_marks_tell_better(lasts_ms, said):
    segment = SpokenSegment(TEXT, 500, 500 + lasts_ms, marks=[(100, 3), (900, 7), (1700, 13)])
    assert split([segment])[0] == said


def test_the_voice_s_own_pace_counts():
    fast = [SpokenSegment("0123456789", 0, 200, complete=True), SpokenSegment(TEXT, 200, 200 + 8 * 20)]
    assert split(fast, 1) == ("one two", "three four")


def test_text_without_spaces_is_cut_where_it_is():
    text = "我们九点开门周日休息"
    said, rest = split([SpokenSegment(text, 0, 4 * MS_A_CHAR)])
    assert (said, rest) == ("我们九点", "开门周日休息")


def test_what_is_said_otherwise_than_it_is_written_is_cut_in_both():
    """The rest is spoken as the whole would have been, and written as it was."""
    segment = SpokenSegment("Call 555 or come", 0, 12 * MS_A_CHAR, spoken="Call five five five or come")
    rest = split_spoken([segment], 0)
    assert segment.spoken + " " + rest.spoken == "Call five five five or come"
    assert (segment.text + rest.text).replace(" ", "") == "Call555orcome"


@given(st.text("ab ", min_size=1, max_size=30).map(str.strip).filter(bool), st.integers(0, 4000))
def test_nothing_is_lost_and_nothing_comes_twice(text, lasts_ms):
    said, rest = split([SpokenSegment(text, 0, lasts_ms)])
    assert (said + rest).replace(" ", "") == text.replace(" ", "")
    assert not rest.startswith(" ")
