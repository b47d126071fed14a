"""Private words in texts: a table of what is found, in several languages, and of look-alikes that stay."""

from __future__ import annotations

import sys

import pytest

from voicepipe import PrivateTalk, PrivateWords
from voicepipe.text.number_values import VALUES, value_of
from voicepipe.text.number_words import KINDS as KINDS_OF_WORDS
from voicepipe.text.private.digit_runs import digit_runs
from voicepipe.text.private.private_words import KINDS

CARD, PHONE, MAIL, IBAN = "[card number]", "[telephone number]", "[e-mail address]", "[IBAN]"

FOUND = [
    ("my card is 4111 1111 1111 1111, thanks", f"my card is {CARD}, thanks"),
    ("4111-1111-1111-1111", CARD),
    ("4111.1111.1111.1111 exp 12/28", f"{CARD} exp 12/28"),
    ("4,111,111,111,111,111", CARD),
    ("it's 41111111111111111228", f"it's {CARD}"),
    ("four one one one one one one one one one one one one one one one please", f"{CARD} please"),
    ("four one one one, one one one one. One one one one, and one one one one.", f"{CARD}."),
    ("forty-one eleven eleven eleven eleven eleven double one, uh, double one", CARD),
    ("four triple one double one double one double one double one double one double one", CARD),
    ("378282246310005 or 3782 822463 10005", f"{CARD} or {CARD}"),
    ("5555555555554444 6011111111111117", f"{CARD} {CARD}"),
    ("2223 0000 4841 0010", CARD),
    ("30569309025904, 3530111333300000", f"{CARD}, {CARD}"),
    ("vier eins eins eins, eins eins eins eins, eins eins eins eins, eins eins eins eins bitte", f"{CARD} bitte"),
    ("einundvierzig elf elf elf elf elf elf elf", CARD),
    ("quatre un un un un un un un un un un un un un un un merci", f"{CARD} merci"),
    ("cuatro uno uno uno uno uno uno uno uno uno uno uno uno uno uno uno", CARD),
    ("चार एक एक एक एक एक एक एक एक एक एक एक एक एक एक एक", CARD),
    ("٤١١١ ١١١١ ١١١١ ١١١١", CARD),
    ("四一一一一一一一一一一一一一一一", CARD),
    ("call me at +49 30 901820", f"call me at {PHONE}"),
    ("call +49 (30) 90 18 20, 12 people", f"call {PHONE}, 12 people"),
    ("0171 2345678", PHONE),
    ("zero one seven one two three four five six seven eight", PHONE),
    ("zéro six douze trente-quatre cinquante-six soixante-dix-huit", PHONE),
    ("my number is 555-123-4567 do you have it", f"my number is {PHONE} do you have it"),
    ("(212) 555-0142", PHONE),
    ("555-1234", PHONE),
    ("plus four nine three zero nine zero one eight two zero", PHONE),
    ("ada@example.com", MAIL),
    ("it is ada dot byron at example dot com", f"it is {MAIL}"),
    ("my e-mail is j o h n 42 at gmail dot com please", f"my e-mail is {MAIL} please"),
    ("jean arobase exemple point fr", MAIL),
    ("write to ada.byron at ada-mueller.de, please", f"write to {MAIL}, please"),
    ("ada_byron at gmail.com", MAIL),
    ("ada.byron(at)example.com", MAIL),
    ('"ada byron"@example.com', MAIL),
    ("ada＠example.com", MAIL),
    ("ada\u200b@example.com", MAIL),
    ("4111 uh 1111 um 1111 1111", CARD),
    ("4111, and then 1111, 1111 and finally 1111", CARD),
    ("Dora Emil 89 3704 0044 0532 0130 00", IBAN),
    ("delta echo eight nine 3704 0044 0532 0130 00", IBAN),
    ("DE89 3704 0044 0532 0130 00 bitte", f"{IBAN} bitte"),
    ("DE89370400440532013000", IBAN),
    (
        "D E eight nine three seven zero four zero zero four four zero five three two zero one three zero zero zero",
        IBAN,
    ),
    ("GB82 WEST 1234 5698 7654 32", IBAN),
]

KEPT = [
    "",
    "order 1234567890123456",
    "4111 1111 1111 1112",
    "order number 4500123456",
    "your booking reference is 2125550142",
    "GB82 WEST 1234 5698 7654 33",
    "invoice 2026-12-01 10:30, total 1,234,567.89 EUR",
    "we meet on 24.12.2026 at 10:30 for 12 people",
    "the year 1999 and 2000 and nineteen eighty four",
    "two hundred and fifty euros",
    "Ich wohne in der Straße 12, 10115 Berlin",
    "meet me at noon at the office",
    "look at acme-mueller.com, or come at 10.30 at the latest",
    "um 10 Uhr, um 12 oder um 15",
    "one two three, testing",
]


@pytest.mark.parametrize(("text", "left"), FOUND)
def test_private_words_are_replaced_by_what_they_are(text, left):
    assert PrivateWords(KINDS).replace(text) == left


@pytest.mark.parametrize("text", KEPT)
def test_look_alikes_stay(text):
    assert PrivateWords(KINDS).replace(text) == text


def test_every_number_word_has_a_value():
    kinds = {"zero", "unit", "pair", "ten"}
    assert {word for word, kind in KINDS_OF_WORDS.items() if kind in kinds} <= set(VALUES)


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("vierundzwanzig", 24),
        ("tweeëntwintig", 22),
        ("ventitré", 23),
        ("quarantotto", 48),
        ("vierhundertfünf", 405),
        ("zweitausendfünfzehn", 2015),
        ("garten", None),
    ],
)
def test_compound_numbers_have_their_value(word, value):
    assert value_of(word) == value


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("double oh seven", ["007"]),
        ("two hundred and fifty", ["250"]),
        ("forty one hundred", ["4100"]),
        ("four thousand one hundred eleven", ["4111"]),
        ("quatre-vingt-dix-sept, soixante et onze", ["9771"]),
        ("555 1234 do you", ["5551234", "2"]),
        ("10 to 12", ["10", "12"]),
    ],
)
def test_digits_are_those_that_were_said(text, digits):
    assert [run.digits for run in digit_runs(text)] == digits


def test_a_card_number_over_two_utterances_is_hidden_in_both():
    talk = PrivateTalk(PrivateWords(["card_numbers"]))
    assert talk.replace_heard("it is 4111 1111") == "it is [part of a card number]"
    assert talk.replace_heard("and then 1111 1111 okay") == f"and then {CARD} okay"
    assert talk.replace_heard("no more") == "no more"
    assert talk.replace("I have 411111, ending in 1111") == "I have [digits], ending in 1111"


def test_a_text_that_may_go_on_shows_no_beginning_of_a_number():
    words = PrivateWords(["card_numbers"])
    said = [
        "four",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
        "one",
    ]
    for end in range(1, len(said)):
        assert words.replace(" ".join(said[:end]), complete=False).count("one") < 3


@pytest.mark.parametrize("text", ["4111 1111 1111 1111 ", "1 ", "ada@b.de ", "+49 30 901820, "])
def test_the_cost_of_a_text_grows_with_its_length_only(text):
    """Calls wait meanwhile. Lines of code that are run are counted."""
    words = PrivateWords(KINDS)

    def lines_run(text):
        count = 0

        def trace(_frame, event, _argument):
            nonlocal count
            count += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            words.replace(text)
        finally:
            sys.settrace(before)
        return count

    assert lines_run(text * 400) <= 4.5 * lines_run(text * 100)


def test_a_pattern_finds_what_was_said_and_a_slow_one_hides_the_text():
    words = PrivateWords(patterns={"customer_number": r"K ?\d{6}", "slow": r"(x+x+)+y"})
    assert words.replace("it is K 123456.") == "it is [customer number]."
    assert words.replace("it is K one two three four five six, yes") == "it is [customer number], yes"
    for _ in range(5):
        assert words.replace("x" * 60) == "[slow]"
    assert words.too_slow == {"slow"}
    assert words.replace("short") == "[slow]"
