"""How much silence ends a turn, by what was said: a table in four languages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.calls.turns.endpointing import silence_ms
from voicepipe.config.call_settings import EndpointingSettings, TurnsSettings

TURNS = TurnsSettings(
    end_of_turn_ms=600, endpointing=EndpointingSettings(complete_ms=400, unfinished_ms=1200, digits_ms=1500)
)
SAID = {
    400: (
        *("I'd like two tickets.", "Is that all?", "Stop!", 'He said "no."', "(That's it.)"),
        *("Ich möchte zwei Karten.", "Ist das alles?", "Das wäre „alles.“"),
        *("Quiero dos entradas.", "¿Eso es todo?"),
        *("Je voudrais deux places.", "C'est tout ?"),
        *("我要两张票。", "मुझे दो टिकट चाहिए।", "هل هذا كل شيء؟"),
    ),
    600: (
        *("", "   ", "...", "yes", "Two tickets", "five", "five five", "room 12", "in 2026 I moved to the coast"),
        *("What is it for?", "I want to.", "Um."),
        *("ja", "zwei Karten", "drei vier"),
        *("sí", "dos entradas", "uno dos"),
        *("oui", "deux places", "un deux"),
        *("я хочу два билета", "はい"),
    ),
    1200: (
        *("I'd like two tickets, um, and", "um", "it's for the", "I want to,", "well...", "well…", "from Monday to"),
        *("My name is -", "Because I COULDN\N{RIGHT SINGLE QUOTATION MARK}T get my", "so:"),
        *("ich hätte gern äh", "zwei Karten und", "am Montag,", "das ist für den"),
        *("quiero dos y", "es para el", "eh", "mañana, pero"),
        *("je voudrais euh", "deux places pour", "lundi, mais", "c'est avec"),
        *("我要，", "أريد،"),  # noqa: RUF001 - full-width
    ),
    1500: (
        *(
            "five five five",
            "my number is five five five",
            "oh eight hundred",
            "double seven four",
            "It's 555",
            "55 12",
        ),
        *("five five five.", "one two three,", "four one five 55"),
        *("null eins sieben", "meine Nummer ist 0171"),
        *("seis cinco cero", "mi número es 91 5"),
        *("zéro six douze 12 4", "mon numéro : 06 12"),
    ),
}


@pytest.mark.parametrize(("text", "ms"), [(text, ms) for ms, texts in SAID.items() for text in texts])
def test_the_words_say_how_much(text, ms):
    assert silence_ms(text, TURNS) == ms


@pytest.mark.parametrize("text", [text for texts in SAID.values() for text in texts])
def test_words_only_shorten_or_lengthen_what_is_configured(text):
    """Somebody who wants two seconds after everything gets them, but for finished sentences; who wants 100 ms, too."""
    slow = TurnsSettings(end_of_turn_ms=2000)
    quick = TurnsSettings(end_of_turn_ms=100)
    finished = text in SAID[400]
    assert silence_ms(text, slow) == (slow.endpointing.complete_ms if finished else 2000)
    plain = finished or text in SAID[600]
    assert (silence_ms(text, quick) == 100) == plain


@given(st.text())
def test_any_text_has_its_silence(text):
    assert silence_ms(text, TURNS) in SAID
