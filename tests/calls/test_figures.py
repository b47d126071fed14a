"""Figures, addresses and markup as written, and what a synthesiser gets: the table is `figures/LANGUAGE.yaml`."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from voicepipe.text.segmenting import Segmenter
from voicepipe.text.spoken.settings import SpeechSettings
from voicepipe.text.spoken.signs import SAID_BEFORE_CODES, SAID_BEFORE_DIGITS
from voicepipe.text.spoken.wording import Wording

TABLE = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))
    for path in sorted((Path(__file__).parent / "figures").glob("*.yaml"))
}
ROWS = [(language, text, said) for language, rows in TABLE.items() for text, said in rows.items()]
ANNOUNCES = re.compile(f"({SAID_BEFORE_DIGITS}|{SAID_BEFORE_CODES})$", re.IGNORECASE)
"""Behind these words (`text`, `code`) a number is read digit by digit."""
WORDS = st.text("abcdefghijklmnopqrstuvwxyzäöüéñçßकखगあ我们مرحب'", min_size=2, max_size=9).filter(
    lambda word: "'" not in word and not ANNOUNCES.search(word)
)


def whole(text, language):
    return Wording(SpeechSettings(language=language)).spoken(text)


def streamed(pieces, language):
    """What is spoken of text that comes in those pieces."""
    speech = SpeechSettings(language=language)
    segmenter, wording = Segmenter(speech.first_segment_chars, speech.max_segment_chars, language), Wording(speech)
    segments = [segment for piece in pieces for segment in segmenter.feed(piece)] + segmenter.finish()
    return " ".join(filter(None, map(wording.spoken, segments)))


def test_the_table_has_many_languages():
    assert {"en", "de", "es", "fr", "it", "pt", "nl", "zh", "ar", "hi"} <= set(TABLE)
    assert len(ROWS) > 500


@pytest.mark.parametrize(("language", "text", "said"), ROWS)
def test_figures_are_said(language, text, said):
    """None: as it is written."""
    assert whole(text, language) == (text if said is None else said)


@pytest.mark.parametrize("language", TABLE)
def test_however_they_come(language):
    """A letter at a time, or cut anywhere: a figure is in one piece when it is spoken."""
    cut = random.Random(0)
    for text in TABLE[language]:
        expected = whole(text, language)
        assert streamed([text], language) == expected
        assert streamed(list(text), language) == expected
        for at in (cut.randrange(len(text)) for _ in range(3)):
            assert streamed([text[:at], text[at:]], language) == expected


@pytest.mark.parametrize("language", TABLE)
def test_what_is_said_is_understood_as_it_is(language):
    """What was put once stays so: a segment may be said again by the next voice."""
    for text in TABLE[language]:
        said = whole(text, language)
        # A big number has no marks of thousands any more, and there is no word for a plus in every language.
        if not (re.search("[0-9]{7}", said) or said.startswith("+ ")):
            assert whole(said, language) == said


def test_a_sentence_around_a_figure_changes_nothing():
    assert whole("Please call +1 (555) 010-1234, or pay $1.5m by 3:30pm-5pm on 2026-05-03.", "en") == (
        "Please call plus 1, 5 5 5, 0 1 0, 1 2 3 4, or pay 1.5 million dollars by 3:30pm to 5pm on May 3, 2026."
    )
    assert whole("Am 12.5. von 8.30–9.30 Uhr kostet es 10-15 €, Tel. 0171/1234567.", "de") == (  # noqa: RUF001 - as written
        "Am 12. Mai von 8:30 bis 9:30 Uhr kostet es 10 bis 15 Euro, Tel. 0 1 7 1, 1 2 3, 4 5 6 7."
    )
    assert whole("Ouvert de 8h30 à 20h, appelez le 06 12 34 56 78, 1 250,50 € par mois.", "fr") == (
        "Ouvert de 8 heures 30 à 20 heures, appelez le 0 6, 1 2, 3 4, 5 6, 7 8, 1250 euros 50 par mois."
    )


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "Open from 10 – 15 minutes after the hour and then again"),  # noqa: RUF001 - as written
        ("de", "Rufen Sie an unter der Nummer 030 / 1234567 und fragen Sie"),
        ("de", "Wir wohnen jetzt in der Bahnhofstr. 12 in Köln bei Frau Meier"),
        ("en", "We are in the building at 5 Main St. 12 B and on p. 12 of No. 3"),
    ],
)
def test_a_figure_is_not_cut(language, text):
    segmenter = Segmenter(10, 250, language)
    pieces = [piece for letter in text for piece in segmenter.feed(letter)] + segmenter.finish()
    assert pieces == [text]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.one_of(WORDS, st.integers(1, 999_999).map(str)), min_size=1, max_size=12),
    st.sampled_from(sorted(TABLE)),
)
def test_words_and_plain_numbers_stay_as_they_are(parts, language):
    parts = [part for one in parts for part in ((one, "und") if one.isdigit() else (one,))]
    text = " ".join(parts)
    assert whole(text, language) == text


@settings(deadline=None, max_examples=150)
@given(st.text("0123456789 .,:/-–()+#*$€%'xhm°CATab@_<>\u0660\u0966", max_size=40), st.sampled_from(sorted(TABLE)))  # noqa: RUF001
def test_any_figures_can_be_put(text, language):
    """Nothing raises, and no digit is lost or made up, whatever stands there."""
    said = whole(text, language)
    assert said == said.strip()
    assert "\x00" not in said
    assert "\x01" not in said
