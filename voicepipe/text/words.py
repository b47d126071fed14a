r"""Splits texts into words by Unicode's rules, and folds them for comparison. Sans-IO.

Two texts are equal if they have equal words here. Unicode's rules make the words:

- Words are those of UAX 29 (`\b` of the library `regex`, with its flag WORD). A word keeps its combining marks: in
  Hindi, Bengali or Thai they are its vowels and tones.
- Spelling is compared in NFKC and by full case folding: composed or not, full width or not, `STRASSE` or `Straße`.
- Invisible characters (joiners, soft hyphens, variation selectors) are left out.

Beyond these rules:

- An apostrophe of any kind vanishes (`don't`, `don’t` and `dont` are one word), and so do the middle dot of Catalan and
  the quotes within Hebrew acronyms. All other punctuation separates words, within numbers too: `3.50` is `3 50`.
- Turkish has two letters i. Where the language says so, or the text has a letter that only it and its neighbours have,
  `I` is the capital of `ı` and `İ` that of `i`; elsewhere both are capitals of `i`.
- Marks that writing usually leaves out are left out: Arabic short vowels and the tatweel, Hebrew points and accents.
- Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces between words, and where words end takes a
  dictionary. UAX 29 makes each character a word there, with its marks; so texts are compared character by character,
  and spaces that a recogniser puts between them mean nothing.
"""

from __future__ import annotations

import re
import unicodedata
from math import ceil

import regex

TURKIC = frozenset({"tr", "az", "tt", "crh", "gag"})
"""Languages whose i has a dot in capitals too, and another letter has none."""

_TURKISH_LETTERS = re.compile("[ıİğĞ]")
_TURKISH_CAPITALS = str.maketrans({"I": "ı", "İ": "i"})

# Most speech in Europe needs none of the slow steps: letters that NFKC leaves as they are, and no marks.
_USUAL = re.compile(
    "[\x00-\x7f\u00a0\u00a1\u00ab\u00bb\u00bf-\u011d\u0120-\u012f\u0134-\u013e\u0141-\u0148\u014a-\u017e"
    "\u0386\u0388-\u03ce\u0400-\u0481\u048a-\u04ff\u2010-\u2015\u2018\u2019\u201c-\u201e]*"
)
_ASCII_WORD = re.compile(r"[a-z0-9]+")
_USUAL_WORD = re.compile(r"[^\W_]+")

_LEFT_OUT = re.compile(
    "['`´’‘‛ʼʹ′＇ꞌ·‧׳״\u20e3]| \u0301"  # the last is what NFKD makes of ´
    "|[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
    "|[\u0640\u0610-\u061a\u064b-\u0652\u0656-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u08d3-\u08e1\u08e3-\u08ff]"  # Arabic
    "|[\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7]"  # Hebrew
)
_DOT_OF_CAPITAL = "i\N{COMBINING DOT ABOVE}"
"""The result of folding a Turkish capital."""
_WITHIN_WORDS = re.compile("[.,:;_\u055f\u0589\u060c\u060d\u066b\u066c\u07f8\u203f\u2040\u2044\u2054]")
"""Characters at which UAX 29 joins the words on either side."""
_WORD = regex.compile(r"(?w)\b[\p{L}\p{N}].*?\b")
_NO_WORD = regex.compile(r"[^\p{L}\p{N}\p{Mn}\p{Mc}\p{Word_Break=ALetter}]+")
_HAN = regex.compile(r"[\p{Han}\p{Hiragana}]")
_STACKED = regex.compile(r"[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]")

HAN_A_WORD = 2
"""Characters of Chinese and Japanese a word, about."""
STACKED_A_WORD = 3
"""Characters of Thai, Lao, Khmer and Burmese a word, about, marks not counted."""


def words_in(text: str, language: str | None = None) -> list[str]:
    """Returns the words of a text, folded so that equal ones are equal strings.

    Args:
        text: as it was written or recognised.
        language: its BCP 47 tag where that is known; it matters for Turkish and its neighbours only.

    """
    if not _has_dotted_capitals(text, language):
        if text.isascii():
            return _ASCII_WORD.findall(text.lower().replace("'", "").replace("`", ""))
        if _USUAL.fullmatch(text):
            for apostrophe in "'`’‘":
                text = text.replace(apostrophe, "")
            return _USUAL_WORD.findall(text.casefold())
    words: list[str] = _WORD.findall(_WITHIN_WORDS.sub(" ", _fold(text, language)))
    return words


def phrase_of(text: str, language: str | None = None) -> str:
    """Returns the words of a text with one space between: equal for texts that say the same."""
    return " ".join(words_in(text, language))


def letters_of(text: str, language: str | None = None) -> str:
    """Returns a text's letters, marks and digits, folded; a space stands for anything else between them.

    Unlike `phrase_of` it leaves scripts without spaces without spaces.
    """
    return _NO_WORD.sub(" ", _fold(text, language)).strip()


def count_words(text: str) -> int:
    """Returns how many words a text has; in scripts without spaces an estimate by its characters."""
    words = words_in(text)
    if text.isascii():
        return len(words)
    han = sum(1 for word in words if _HAN.match(word))
    stacked = sum(1 for word in words if _STACKED.match(word))
    return len(words) - han - stacked + ceil(han / HAN_A_WORD) + ceil(stacked / STACKED_A_WORD)


def base_language(language: str | None) -> str | None:
    """Returns the language of a tag without its region: `de` for `de-AT`."""
    return re.split("[-_]", language.lower(), maxsplit=1)[0] if language else None


def _fold(text: str, language: str | None) -> str:
    """Folds a text: equal for texts that differ only in case, composition and marks that are left out."""
    text = unicodedata.normalize("NFKC", _LEFT_OUT.sub("", text))
    if _has_dotted_capitals(text, language):
        text = text.translate(_TURKISH_CAPITALS)
    lowered = text.casefold()
    if lowered != text:  # else it is in NFKC still
        lowered = unicodedata.normalize("NFKC", lowered).replace(_DOT_OF_CAPITAL, "i")
    return lowered


def _has_dotted_capitals(text: str, language: str | None) -> bool:
    return (language is not None and base_language(language) in TURKIC) or _TURKISH_LETTERS.search(text) is not None
