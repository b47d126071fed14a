"""Sentences out of streamed text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.calls.segmenting import Segmenter


def segments(*pieces):
    segmenter = Segmenter()
    cut = [segment for piece in pieces for segment in segmenter.feed(piece)]
    return cut + segmenter.finish()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello. How are you? Fine!", ["Hello.", "How are you?", "Fine!"]),
        ("Dr. Smith is in.", ["Dr. Smith is in."]),
        ("Bring cash, cards etc. We open at 9 a.m. sharp.", ["Bring cash, cards etc. We open at 9 a.m. sharp."]),
        ("It costs 3.50 today.", ["It costs 3.50 today."]),
        ("Wait... What?! Oh.", ["Wait...", "What?!", "Oh."]),
        ('"Stop." He stopped.', ['"Stop."', "He stopped."]),
        ("(Really.) Yes.", ["(Really.)", "Yes."]),
        ("one\ntwo\n\nthree", ["one", "two", "three"]),
        ("你好。我很好!再见?", ["你好。", "我很好!再见?"]),  # half-width marks need a space after them
        ("Grüß Gott. Wie geht's?", ["Grüß Gott.", "Wie geht's?"]),
        ("no end", ["no end"]),
        ("  \n ", []),
        ("", []),
    ],
)
def test_sentences(text, expected):
    assert segments(text) == expected


def test_a_sentence_is_given_as_soon_as_it_is_complete():
    segmenter = Segmenter()
    assert segmenter.feed("Good morn") == []
    assert segmenter.feed("ing. ") == ["Good morning."]
    assert segmenter.feed("How are") == []
    assert segmenter.finish() == ["How are"]
    assert segmenter.finish() == []


def test_a_full_stop_at_the_end_of_a_piece_waits_for_what_follows():
    assert segments("It costs 3.", "50 today. Thanks.") == ["It costs 3.50 today.", "Thanks."]
    assert segments("Dr", ".", " Smith", " calls.") == ["Dr. Smith calls."]


TEXT = st.text(alphabet=st.sampled_from("ab .!?\n\"')…。Dr"), max_size=60)


@settings(deadline=None)
@given(TEXT, st.data())
def test_nothing_is_lost_however_the_text_comes(text, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    given_out = segments(*pieces)
    assert "".join("".join(given_out).split()) == "".join(text.split())
    assert all(segment == segment.strip() and segment for segment in given_out)


LATIN = st.text(alphabet=st.sampled_from("ab .!?\"')"), max_size=60)


@settings(deadline=None)
@given(LATIN)
def test_pieces_make_no_difference_to_the_sentences(text):
    assert segments(*text) == segments(text)
