"""How much silence each utterance needs: the table of docs/reference/words.md, with and without its language."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from word_tables import table

from voicepipe.calls.turns.endpointing import silence_ms
from voicepipe.config.call_settings import TurnsSettings

TURNS = TurnsSettings()
SILENCE = {
    "complete_ms": TURNS.endpointing.complete_ms,
    "end_of_turn_ms": TURNS.end_of_turn_ms,
    "unfinished_ms": TURNS.endpointing.unfinished_ms,
    "digits_ms": TURNS.endpointing.digits_ms,
}
CODES = {
    "English": "en",
    "German": "de",
    "French": "fr",
    "Spanish": "es",
    "Italian": "it",
    "Portuguese": "pt",
    "Dutch": "nl",
    "Hindi": "hi",
    "others": None,
}
TABLE = [(text, CODES[language], SILENCE[key]) for (language,), (key,), texts in table("Silence") for text in texts]


def test_the_table_is_as_long_as_it_should_be():
    assert len(TABLE) > 300
    for code in CODES.values():
        of_language = [ms for _, language, ms in TABLE if language == code]
        assert set(of_language) == set(SILENCE.values())


@pytest.mark.parametrize(("text", "language", "ms"), TABLE)
def test_the_words_say_how_much_silence_they_need(text, language, ms):
    assert silence_ms(text, TURNS, language) == ms
    if language not in LANGUAGE_MATTERS or text not in LANGUAGE_MATTERS[language]:
        assert silence_ms(text, TURNS) == ms


LANGUAGE_MATTERS: dict = {}
"""Words that go on in one language and end sentences in another."""


@pytest.mark.parametrize(
    ("text", "language", "ms"),
    [
        ("I'd like to come in", "en", 600),
        ("ik woon in", "nl", 1200),
        ("I need a van", None, 600),
        ("een brief van", "nl", 1200),
        ("is it for him or her", "de", 600),  # what nobody would say in German
        ("vorrei un", "it", 1200),
        ("there is nothing to do", None, 600),
        ("vengo da Roma e", "it", 1200),
    ],
)
def test_the_language_says_which_words_go_on(text, language, ms):
    assert silence_ms(text, TURNS, language) == ms


def test_what_was_said_before_does_not_matter():
    """All that was said since the last reply is looked at."""
    before = "Hello. My e-mail is jane at example dot com. I'd like a red dot."
    assert silence_ms(f"{before} At seven.", TURNS) == 400
    assert silence_ms(f"{before} five five five", TURNS) == 1500
    assert silence_ms("My number is 5 5 5 1 2 3 4. Thank you.", TURNS) == 400


@given(st.text(st.sampled_from("abj .,@-0123456789'oneतीन三٣éñ\N{RIGHT SINGLE QUOTATION MARK}$:"), max_size=60))
def test_any_text_has_its_silence(text):
    assert silence_ms(text, TURNS) in SILENCE.values()
