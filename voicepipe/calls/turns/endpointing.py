"""Endpointing, the time: computes the silence that ends the caller's turn, from the words so far. Sans-IO.

The rules that begin and end a turn by this silence are in `rules/end_of_turn.py`.

A caller who has finished a sentence wants an answer soon; one who said "um, and" has not finished; one who reads out a
number, spells a name or dictates an address pauses between its parts. So the words are sorted into five kinds, and
`silence_ms` takes the first that fits:

1. a number, a spelled name or an address is being read out: `endpointing.digits_ms`, if that is more;
2. it is announced and has not begun ("my e-mail is"), or a number breaks off: `endpointing.unfinished_ms`, if more;
3. the last word or mark goes on ("and", a comma): `endpointing.unfinished_ms`, if that is more;
4. a full stop ends the sentence: `endpointing.complete_ms`, if that is less;
5. anything else: `end_of_turn_ms`.

Full stops come last, because recognisers write one wherever the caller pauses: after "My number is 4 7." the rest of
the number comes. The table of utterances in docs/reference/words.md is tested.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from voicepipe.text.addresses import address_at_end, words_of_address
from voicepipe.text.spelling import (
    has_hidden_digits,
    is_lone_letter,
    is_number_cut_short,
    is_read_out,
    without_digits,
    without_quantities,
)
from voicepipe.text.vocabulary import ARTICLES
from voicepipe.text.words import base_language, words_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voicepipe.config.call_settings import TurnsSettings

_FILLERS = "uh um er erm uhm hmm euh äh ähm eh ehm ähhm uhh umm उम अं этот эээ"

_GOES_ON = {
    "en": "a an and at because but for if my of or than the their to until with your",
    "de": "aber als am beim bis das dass dem den der die ein eine einen für im mit oder um und vom von weil wenn zum",
    "es": "al como con cuando de del el la las los mi o para pero por porque pues su una y",
    "fr": "au aux avec car ce des du et je les mais mon ou par pour que sur une à parce puisque donc",
    "it": "con del della dei di che e ed gli ma mi mio mia oppure per perché quando se è o un il la le lo alla nel",
    "pt": "com de do da e mas meu minha ou para pra porque que quando se um uma é então o a os as",
    "nl": "aan als de dus een en het maar met mijn naar of om omdat op te van voor want in bij",
    "hi": "और या कि लेकिन मगर क्योंकि अगर मेरा मेरी मेरे का की के ने मतलब aur lekin kyunki mera meri",
}
"""Words that hardly ever end a finished sentence, by language."""

_ENDS_ELSEWHERE = frozenset(
    words_in(
        """
        in op te met bij om van se il le lo un do da o os as want e è é i no due mi mia come che em na
        """
    )
)
"""Words of `_GOES_ON` that end sentences in another language: they count only if the language is known."""

DICTATED = {
    "en": (
        "is its spelled",
        "name surname number mail email address code pin postcode zip password birthday id account",
    ),
    "de": (
        "ist lautet",
        "name nachname nummer mail email adresse code pin postleitzahl kennwort geburtstag telefonnummer mailadresse",
    ),
    "es": ("es", "nombre apellido número teléfono correo email dirección código clave contraseña dni"),
    "fr": ("est", "nom prénom numéro téléphone mail email adresse code courriel"),
    "it": ("è", "nome cognome numero telefono mail email indirizzo codice posta"),
    "pt": ("é", "nome sobrenome apelido número telefone email endereço morada código senha cpf"),
    "nl": (
        "is",
        "naam achternaam nummer telefoonnummer mail email adres mailadres emailadres postcode code wachtwoord",
    ),
    "hi": ("है", "नाम नंबर नम्बर फोन ईमेल पता कोड पिन"),
}
"""Words that announce something that is read out, by language: verbs, and the nouns before them: `my e-mail is`."""

_TITLES = frozenset(words_in("mr mrs ms dr prof rev sr sra srta dra hr hrn fr mme mlle sig dott dhr mevr mw डॉ श्री"))
"""A full stop after one of these ends no sentence."""
_NO_INTRODUCTION = frozenset(
    words_in(
        """
        what whats where who how when which this that was wo wer wie welche dies das qué cuál dónde quel quelle quale
        qual यह ये वह क्या
        """
    )
)
"""Words of questions and of pointing: a text with one of them announces nothing."""

_FINISHED = re.compile(r"[.!?。！？।॥؟۔።][\"'”“’‘»›)\]]*\s*$")  # noqa: RUF001 - full-width marks end sentences too
_ITS = re.compile(r"\b(?:name|number|e-?mail|address|code|pin)['\N{RIGHT SINGLE QUOTATION MARK}]s\W*$", re.IGNORECASE)
_CAPITAL = re.compile(r"\s[AEOUY][.!?]?\s*$")
_TRAILS_OFF = re.compile(r"(?:\.\.\.|…|[,;:،、，-])\s*$")  # noqa: RUF001


def silence_ms(text: str, turns: TurnsSettings, language: str | None = None) -> int:
    """Returns the silence after which the caller's turn is over, in ms.

    Args:
        text: everything that the caller has said in this turn.
        turns: the section `turns`, which has the time for each kind of words.
        language: the caller's, as a BCP 47 tag; None: not known, so words of all languages count.

    """
    endpointing = turns.endpointing
    counted = without_quantities(text)
    words = words_in(counted, language)
    if not words:
        return turns.end_of_turn_ms
    finished = _FINISHED.search(text) is not None
    address = address_at_end(words_of_address(counted, words), finished=finished)
    is_dictated = address == "begun" or is_read_out(words) or has_hidden_digits(text)
    if is_dictated or (len(before := without_digits(words)) < len(words) and _announces(text, before)):
        return max(turns.end_of_turn_ms, endpointing.digits_ms)
    if is_number_cut_short(words) or is_lone_letter(words) or _announces(text, words) or _is_title(text, words):
        return max(turns.end_of_turn_ms, endpointing.unfinished_ms)
    goes_on = address is None and words[-1] in _going_on(base_language(language)) and not _is_capital(text, words)
    if _TRAILS_OFF.search(text) or (goes_on and not finished):
        return max(turns.end_of_turn_ms, endpointing.unfinished_ms)
    if finished and not goes_on:
        return min(turns.end_of_turn_ms, endpointing.complete_ms)
    return turns.end_of_turn_ms  # `What is it for?`: word and mark disagree


@lru_cache
def _going_on(language: str | None) -> frozenset[str]:
    fillers = frozenset(words_in(_FILLERS))
    if language in _GOES_ON:
        return fillers | frozenset(words_in(_GOES_ON[language]))
    of_any_language = frozenset(word for words in _GOES_ON.values() for word in words_in(words))
    return (
        fillers
        | (of_any_language - _ENDS_ELSEWHERE)
        | frozenset(words_in(" ".join(_GOES_ON[code] for code in _ALWAYS)))
    )


_ALWAYS = ("en", "de", "es", "fr")
"""Languages whose words count even if they end sentences in another, when the language is not known."""


def _is_capital(text: str, words: Sequence[str]) -> bool:
    """Returns True if a text ends in a letter that is a name (`Group A`), not in a word of one letter (`I want a`)."""
    return len(words) > 1 and len(words[-1]) == 1 and _CAPITAL.search(text) is not None and not text.isupper()


def _is_title(text: str, words: Sequence[str]) -> bool:
    return words[-1] in _TITLES and text.rstrip().endswith(".") and len(words[-1]) < 5


def _announces(text: str, words: Sequence[str]) -> bool:
    """Returns True if the words announce something that is read out, even before a full stop (`My e-mail is.`)."""
    if words and words[-1] in ARTICLES:
        words = words[:-1]
    if words and words[-1].endswith("s") and _ITS.search(text):
        return True
    if len(words) < 3 or text.rstrip().endswith("?") or not _NO_INTRODUCTION.isdisjoint(words[-7:]):
        return False
    return any(words[-1] in verbs and not nouns.isdisjoint(words[-4:-1]) for verbs, nouns in _DICTATED)


_DICTATED = tuple((frozenset(words_in(verbs)), frozenset(words_in(nouns))) for verbs, nouns in DICTATED.values())
