"""What a synthesiser gets: the filters one by one, and what they leave alone. Languages are in the corpus."""

from __future__ import annotations

import subprocess
import sys

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.text.spoken.settings import SpeechSettings
from voicepipe.text.spoken.wording import Wording, prepare

ALL = SpeechSettings(language="en")
NONE = SpeechSettings(language="en", markup=False, emoji=False, addresses=False, numbers=False)


def spoken(text, **changes):
    return Wording(evolve(ALL, **changes)).spoken(text)


@pytest.mark.parametrize(
    ("filter_", "text", "expected"),
    [
        ("markup", "# **Very** _good_", "Very good"),
        ("emoji", "Good 😀 morning", "Good morning"),
        ("addresses", "Mail a@b.org.", "Mail a at b dot org."),
        ("numbers", "It is $5.", "It is 5 dollars."),
    ],
)
def test_each_filter_can_be_switched_off(filter_, text, expected):
    assert Wording(evolve(NONE, **{filter_: True})).spoken(text) == expected
    assert spoken(text, **{filter_: False}) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("**Bold *and* more**", "Bold and more"),
        ("**cut in the", "cut in the"),
        ("middle** of it", "middle of it"),
        ("2 * 3 and 4*5", "2 * 3 and 4*5"),
        ("__init__ and my_var_name", "init and my var name"),
        ("> quoted", "quoted"),
        ("- [ ] to do", "to do"),
        ("-5 degrees", "-5 degrees"),
        ("![a cat](cat.png) and [that](<x>)", "a cat and that"),
        ("see <https://example.com/x>", "see example dot com"),
        ("a < b and c > d", "a < b and c > d"),
        ("one<br/>two", "one two"),
        ("~~not~~ this", "not this"),
        ("***", ""),
        ("...", ""),
        ("👋", ""),
        ("https://user:pw@www.example.co.uk:8080/a?b", "example dot co dot uk"),
        ("https://example.com/a_b_c and some_name", "example dot com and some name"),
    ],
)
def test_what_is_only_for_the_eye_is_left_out(text, expected):
    assert spoken(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$1", "1 dollar"),
        ("$1.00", "1 dollar"),
        ("$0.05", "0.05 dollars"),
        ("-$5 or $5k or $2M", "-5 dollars or 5000 dollars or 2 million dollars"),
        ("€1,250.75", "1250 euros 75"),
        ("£3 million", "3 million pounds"),
        ("5 USD", "5 US dollars"),
        ("$1.2.3", "$1.2.3"),
        ("B12 and 4x4 and 1st", "B12 and 4x4 and 1st"),
        ("13/01/2026", "January 13, 2026"),
        ("99/99/2026 and 2026-13-01", "99/99/2026 and 2026-13-01"),
        ("1/2 cup", "1/2 cup"),
        ("12345", "12345"),
        ("1234567", "1 2 3, 4 5 6 7"),
        ("1,234,567.89", "1234567.89"),
        ("3.14159 or 0.125", "3.14159 or 0.125"),
        ("2026.", "2026."),
        ("10-12", "10-12"),
        ("#1 of #channel", "number 1 of #channel"),
        ("AT&T & friends", "AT&T and friends"),
        ("0800 123 456", "0 8 0 0, 1 2 3, 4 5 6"),
        ("٣ أيام", "٣ أيام"),
    ],
)
def test_figures(text, expected):
    assert spoken(text) == expected


def test_languages_without_words_of_their_own_keep_signs():
    said = "Den 5 mars 2026, 12 svenska kronor 50, 50 %, a@b.se"
    assert spoken("Den 2026-03-05, 12,50 SEK, 50 %, a@b.se", language="sv") == said
    assert spoken("1.250,50 tlh 50%", language="tlh") == "1250.50 tlh 50%"  # which nobody has heard of: as in English


def test_code_is_not_spoken_whatever_it_is_cut_into():
    wording = Wording(ALL)
    said = [wording.spoken(one) for one in ("So:\n```sh", "rm *", "```\nDone.", "~~~ x", "y", "~~~", "Yes.")]
    assert said == ["So:", "", "Done.", "", "", "", "Yes."]


@settings(deadline=None)
@given(st.text("ab* _`#|[](){}<>&$€1,.-/:@%\n😀你", max_size=60), st.sampled_from(["en", "de", "zh", "fr"]))
def test_anything_can_be_put(text, language):
    said = Wording(SpeechSettings(language=language)).spoken(text)
    assert "\n" not in said
    assert said == said.strip()


@settings(deadline=None)
@given(st.lists(st.sampled_from(["hello", "Straße,", "don't", "well-known", "je", "vous", "12,", "(so)", "9:30"])))
def test_plain_text_stays_as_it_is(words):
    assert spoken(" ".join(words)) == (" ".join(words) if words else "")


def test_the_library_is_loaded_when_a_pipeline_opens_and_not_before():
    program = (
        "import sys, voicepipe.text.spoken.wording as spoken\n"
        "from voicepipe.text.spoken.settings import SpeechSettings\n"
        "assert 'babel' not in sys.modules\n"
        "spoken.prepare(SpeechSettings(language='en', numbers=False))\n"
        "assert 'babel' not in sys.modules\n"
        "spoken.prepare(SpeechSettings())  # the language is not known\n"
        "assert 'babel' not in sys.modules\n"
        "spoken.prepare(SpeechSettings(language='en'))\n"
        "assert 'babel' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    prepare(ALL)
