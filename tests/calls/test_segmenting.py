"""Sentences out of streamed text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.text.segmenting import Segmenter


def segments(*pieces, **options):
    segmenter = Segmenter(**options)
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
        ("你好。我很好!再见?", ["你好。", "我很好!", "再见?"]),
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
    assert segments("It costs $1", "2.50, www.exam", "ple.com/a.b has it. Go.") == [
        "It costs $12.50, www.example.com/a.b has it.",
        "Go.",
    ]


def test_a_short_word_waits_for_the_next_letter():
    segmenter = Segmenter()
    assert segmenter.feed("I see apx. ") == []  # as far as anybody knows, an abbreviation
    assert segmenter.feed("ten. ") == []
    assert segmenter.feed("Go") == ["I see apx. ten."]


def test_the_first_piece_may_be_a_clause():
    text = "Thank you for calling, we are glad, really. Now, what can I do for you, my friend?"
    assert segments(text, first_chars=20) == [
        "Thank you for calling,",
        "we are glad, really.",
        "Now, what can I do for you, my friend?",
    ]
    assert segments(text, first_chars=0)[0] == "Thank you for calling, we are glad, really."
    assert segments("Yes. " + text, first_chars=20)[1] == "Thank you for calling, we are glad, really."
    segmenter = Segmenter(first_chars=20)
    assert segmenter.feed("Thank you for calling, ") == ["Thank you for calling,"]


def test_long_sentences_are_cut_after_a_clause_or_else_between_words():
    text = "one two three, four five six seven eight nine ten eleven twelve 0800 123 456 thirteen"
    assert segments(text, first_chars=0, most_chars=40) == [
        "one two three,",
        "four five six seven eight nine ten",
        "eleven twelve 0800 123 456 thirteen",
    ]
    url = "https://example.com/" + "a" * 60
    assert segments(f"see {url} now", first_chars=0, most_chars=40) == ["see", url, "now"]
    chinese = "我们很高兴为您服务" * 6
    cut = segments(chinese, first_chars=0, most_chars=60)
    assert "".join(cut) == chinese
    assert max(map(len, cut)) <= 20
    assert min(map(len, cut)) >= 10


@pytest.mark.parametrize("language", ["de", "de-AT", "de_DE"])
def test_languages_have_their_ordinals(language):
    assert segments("Am 3. Mai. Gut.", language=language) == ["Am 3. Mai.", "Gut."]
    assert segments("On 3. May. Good.", language="en") == ["On 3.", "May.", "Good."]
    assert segments("It is 2026. Good.", language=language) == ["It is 2026.", "Good."]


TEXT = st.text(alphabet=st.sampled_from("ab .,!?\n\"')…。，？।؟你好Dr12-–:"), max_size=80)  # noqa: RUF001 - marks of several scripts


@settings(deadline=None)
@given(TEXT, st.data(), st.sampled_from([0, 5, 30]), st.sampled_from([12, 40, 250]), st.sampled_from([None, "de"]))
def test_nothing_is_lost_and_pieces_make_no_difference(text, data, first_chars, most_chars, language):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    options = {"first_chars": first_chars, "most_chars": most_chars, "language": language}
    given_out = segments(*pieces, **options)
    assert "".join("".join(given_out).split()) == "".join(text.split())
    assert all(segment == segment.strip() and segment for segment in given_out)
    assert segments(text, **options) == given_out == segments(*text, **options)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from(["3.50", "1,000", "a@b.c", "http://x.y/z.", "e.g.", "so", "12:30", "well"]), max_size=60)
)
def test_words_are_never_cut(words):
    text = " ".join(words)
    assert " ".join(segments(*text, first_chars=10, most_chars=40)).split() == words
