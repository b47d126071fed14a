"""Long texts are searched up to a length, whatever they are; what is not searched is not shown."""

from __future__ import annotations

import pytest

from reference_engine.log.private_words import redacted
from voicepipe import PrivateTalk, PrivateWords
from voicepipe.text.private import digit_runs as digits
from voicepipe.text.private import private_addresses, private_talk, private_words
from voicepipe.text.private.private_words import KINDS, LONGEST_DATA, LONGEST_TEXT, NAMES

CARD = "4111 1111 1111 1111"
NUMBERS = "one two three four five six seven eight nine zero "


@pytest.fixture
def searched(monkeypatch):
    """The lengths of all texts that were really looked through, for digits and for addresses."""
    lengths = []
    pieces, addresses = digits._pieces, private_addresses.email_addresses

    def note(function):
        def noted(text):
            lengths.append(len(text))
            return function(text)

        return noted

    monkeypatch.setattr(digits, "_pieces", note(pieces))
    monkeypatch.setattr(private_words, "email_addresses", note(addresses))
    digits.digit_runs.cache_clear()
    return lengths


def words():
    return PrivateWords(KINDS, {"customer": r"K\d{6}"})


@pytest.mark.parametrize("text", [NUMBERS * 2000, "a@" * 50_000, "4" * 100_000, "order 66, " * 10_000])
@pytest.mark.parametrize("how", ["replace", "replace_heard", "replace_in"])
def test_a_long_text_costs_no_more_than_one_of_that_length(searched, text, how):
    talk = PrivateTalk(words())
    replace = talk.words.replace_in if how == "replace_in" else getattr(talk, how)
    replaced = replace(text)
    assert replaced.endswith(" more characters]")
    assert searched
    assert max(searched) <= LONGEST_TEXT
    assert sum(searched) <= 3 * LONGEST_TEXT, "one text is looked through for digits once"


@pytest.mark.parametrize(
    "data",
    [
        ["a text, " * 500] * 50,
        {f"K{number:06}": number for number in range(10_000)},
        [list(range(1000, 2000))] * 20,
        {"deep": [{"deeper": NUMBERS * 1000}] * 10},
    ],
)
def test_a_value_with_many_texts_costs_no_more_than_its_length(searched, data):
    found = words()
    shown = str(found.replace_in(data))
    assert " more characters]" in shown or "[one more number]" in shown
    assert sum(searched) <= 4 * (LONGEST_DATA + LONGEST_TEXT)


def test_what_is_not_searched_is_not_shown():
    filler = "x" * 99 + " "
    for begin in range(LONGEST_TEXT - 60, LONGEST_TEXT + 60, 7):
        text = (filler * 101)[:begin] + f" {CARD} " + filler * 3 + CARD
        for shown in (words().replace(text), PrivateTalk(words()).replace_heard(text)):
            assert "1111" not in shown
            assert shown.endswith(" more characters]")
            kept, _, count = shown.rpartition("[")
            assert text.startswith(kept.split("[")[0])
            assert int(count.split()[0]) > 300


def test_logs_hide_the_rest_of_a_long_text_too(searched):
    shown = redacted("one two three four five " + "word " * 30_000 + "4711")
    assert shown.startswith("*** word word")
    assert shown.endswith("word ***")
    assert len(shown) < LONGEST_TEXT
    assert sum(searched) <= 2 * LONGEST_TEXT


def test_a_text_of_just_that_length_is_whole():
    text = ("y" * LONGEST_TEXT)[: -len(CARD) - 1] + " " + CARD
    assert len(text) == LONGEST_TEXT
    assert words().replace(text).endswith(f"y [{NAMES['card_numbers']}]")
    assert PrivateWords().replace("4" * 1_000_000) == "4" * 1_000_000, "nothing is private"


def test_a_number_that_goes_on_after_a_long_utterance_is_looked_at_anew():
    talk = PrivateTalk(words())
    assert "4111" not in talk.replace_heard("z " * LONGEST_TEXT + "4111 1111")
    assert talk._tail == ()
    assert talk.replace_heard(CARD) == "[card number]"
    assert private_talk.rest_of("short") == ()
