"""Numbers that are read out and names that are spelled: whether the caller is in the middle of one. Sans-IO.

Somebody who reads out a number pauses between its groups, and somebody who spells a name pauses between letters. An
answer in such a pause interrupts the caller and costs the whole number. All that is known are the words so far, and
nobody says how long the number will be. So what counts is how the words end.

From words to tokens
    Each word is one token, whatever its language (`_token`): `digits` if it is written in digits, a `Kind` of number
    word (`unit`, `ten`, `power`, ..., see `number_words`), `letter`, `weak` (a letter, or the name of one, that is a
    word too: `a`, `y`, `be`), or `dash` (a sign that is said). The tokens that the text ends in are the run:

        my   number   is     oh     one   seven   double   four
                             zero   unit  unit    times    unit
                             +------------- the run ----------+

    Words that only join (`and`) or separate (`dash`) belong to a run within it, not at its ends, and neither do weak
    letters at its beginning: in "I have a B", the `a` is an article. After "is" they are letters: "it's A, B".

From tokens to a decision
    The run is read out (`_is_long`) if any of this holds:

    - it has `READING_OUT` digits or more, or more digits and letters together. Digits are counted as they would be
      dialled: `unit` 1, `ten` with its unit 2, `42` 2. A number with hundreds ("two hundred and fifty") counts as 2 as
      well: alone it is an amount, and a second group makes it a number that is read out;
    - it begins with a zero, or has "double" or "triple", which nobody says of amounts;
    - it follows "plus", as a telephone number does;
    - it has three letters, or two if one of them is no word.

    It is not if it looks like something short that is complete: an abbreviation ("p.m.", "the U.S."), a time of day
    ("at nine thirty"), or a year ("in nineteen ninety").

    Apart from runs, three words of a spelling alphabet ("Mike Oscar November") and a letter with its example ("M for
    Mike") are spelling.

Before the words
    Amounts in digits have signs that words lose: `3.50` is `3 50` as words, which looks like digits that are read out.
    `without_quantities` replaces money, dates, times and decimals by a word that is no number, so it is applied to the
    text first. Thai, Japanese and Korean write digits without spaces; they are found in the text itself
    (`has_hidden_digits`).

The language is never asked: callers mix them, and a word that is a number in one language and something else in another
is harmless alone. `docs/reference/words.md` has the table of utterances, which is tested.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from voicepipe.text.number_words import KINDS, Kind, is_cut_short, kind_of
from voicepipe.text.vocabulary import (
    ABBREVIATIONS,
    ALPHABETS,
    AS_IN,
    BEFORE_LETTERS,
    BEFORE_TIMES,
    BEFORE_YEARS,
    COPULAS,
    HOURS,
    LETTER_NAMES,
    MINUTES,
    SIGNS,
    WEAK_LETTER_NAMES,
    WEAK_LETTERS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

READING_OUT = 3
"""The fewest digits in a row that are a number that is being read out."""

_QUANTITIES = re.compile(
    r"[$€£¥₹]\s?\d[\d.,]*|\d[\d.,]*\s?[€£¥₹$%‰°]"  # money, percentages
    r"|(?<![\d.:/-])\d{1,2}(?:[./-])\d{1,2}[./-]\d{4}(?![\d.:/-]*\d)"  # dates
    r"|(?<![\d.:,-])\d{1,3}(?:(?:,\d{3})+|[.'\N{RIGHT SINGLE QUOTATION MARK}]\d{3})(?![\d.:-]*\d)"  # thousands
    r"|(?<![\d.:,-])\d{1,2}\s?[:.h]\s?\d{2}(?![\d:-]|[.,]\d)"  # times
    r"|(?<![\d.:,-])\d+[.,]\d{1,2}(?![\d:-]|[.,]\d)"  # decimals
)
_PREFIX = re.compile(r"(?<![\w+])\+\s?(?=\d)")
_QUANTITY = " quantity "
"""The word that replaces an amount: it is no number."""

_HIDDEN_DIGITS = re.compile(
    r"(?:(?:ศูนย์|หนึ่ง|สอง|สาม|สี่|ห้า|หก|เจ็ด|แปด|เก้า)\s*){3,}\Z"
    r"|(?:(?:ゼロ|れい|いち|に|さん|よん|ご|ろく|なな|しち|はち|きゅう|まる|[零一二三四五六七八九])[\s、の]*){3,}\Z"
    r"|(?:^|\s)(?:[공영일이삼사오육칠팔구]\s*){3,}\Z"
)
"""Digits in Thai, Japanese and Korean, where no space ends a word."""

_Token: TypeAlias = Kind | Literal["digits", "letter", "weak", "dash"]
_NUMBERS = frozenset[_Token | None]({"digits", "zero", "unit", "pair", "ten", "power", "whole"})


def without_quantities(text: str) -> str:
    """Returns a text with each amount in digits (times, money, dates) replaced by a word that is no number.

    The plus before a telephone number becomes a word too.
    """
    if not any(map(str.isdigit, text)):
        return text
    return _PREFIX.sub(" plus ", _QUANTITIES.sub(_QUANTITY, text))


def quantities(text: str) -> list[tuple[int, int]]:
    """Returns the spans of the amounts in digits of a text: times, money, dates, percentages."""
    return [match.span() for match in _QUANTITIES.finditer(text)]


def is_read_out(words: Sequence[str]) -> bool:
    """Returns True if the words end in a number that is read out, or in letters that are spelled.

    Args:
        words: the words so far, as `words_in` returns them.

    """
    if not words:
        return False
    if _ends_in_alphabet(words) or _ends_in_example(words):
        return True
    begin, tokens = _run_at_end(words)
    return bool(tokens) and _is_long(list(words[begin:]), tokens, list(words[:begin]))


def without_digits(words: Sequence[str]) -> Sequence[str]:
    """Returns the words without the run of digits and letters at their end."""
    return words[: _run_at_end(words)[0]]


def has_hidden_digits(text: str) -> bool:
    """Returns True if a text ends in several digits whose words no space separates."""
    return not text.isascii() and _HIDDEN_DIGITS.search(text.rstrip(" .。،,、")) is not None


def is_number_cut_short(words: Sequence[str]) -> bool:
    """Returns True if the words end within a number: `einund`, `quatre-vingt`, `three point`."""
    last = words[-1]
    if is_cut_short(last) or tuple(words[-2:]) == ("quatre", "vingt"):
        return True
    if len(words) > 1 and kind_of(last) == "join" and kind_of(words[-2]) == "ten":
        return True
    if len(words) > 1 and last in {"point", "komma", "virgule", "coma", "vírgula", "virgola", "दशमलव", "plus"}:
        return words[-2].isdecimal() or kind_of(words[-2]) is not None
    return last == "plus" and len(words) > 1


def is_lone_letter(words: Sequence[str]) -> bool:
    """Returns True if the words are one letter, or end in "letter B" or the like: more letters are likely to follow."""
    if not is_letter(words[-1]):
        return False
    return words[0] not in {"a", "i", "o", "e", "y"} if len(words) == 1 else words[-2] in BEFORE_LETTERS


# --- Runs of digits and letters ------------------------------------------------------------------------------------


def _token(word: str) -> _Token | None:
    if word.isdecimal():
        return "digits"
    if is_letter(word) and KINDS.get(word, "join") == "join":
        return "weak" if word in WEAK_LETTERS else "letter"
    if (kind := kind_of(word)) is not None:
        return kind
    if word in LETTER_NAMES:
        return "letter"
    if word in WEAK_LETTER_NAMES:
        return "weak"
    return "dash" if word in SIGNS else None


def is_number(word: str) -> bool:
    """Returns True if a word is a number, in digits or not."""
    return _token(word) in _NUMBERS


def is_letter(word: str) -> bool:
    """Returns True if a word is one letter of an alphabet; ideographs and syllables are words."""
    return len(word) == 1 and word.isalpha() and ord(word) < 0x530


def _run_at_end(words: Sequence[str]) -> tuple[int, list[_Token]]:
    """Returns the index at which the run at the end begins, and its tokens."""
    begin, tokens = len(words), []
    while begin > 0 and (token := _token(words[begin - 1])) is not None:
        begin -= 1
        tokens.append(token)
    tokens.reverse()
    for at in range(1, len(tokens) - 1):
        if (
            tokens[at - 1] in _NUMBERS
            and tokens[at + 1] in _NUMBERS
            and words[begin + at] in KINDS
            and tokens[at] == "weak"
        ):
            tokens[at] = "join"
    copula = begin > 0 and words[begin - 1] in COPULAS
    while tokens and (tokens[0] in {"join", "dash"} or (tokens[0] == "weak" and begin > 0 and not copula)):
        tokens.pop(0)
        begin += 1
    while tokens and tokens[-1] in {"join", "dash"}:
        tokens.pop()
    return begin, tokens


def _is_long(run: list[str], tokens: list[_Token], before: list[str]) -> bool:
    letters = tokens.count("letter") + tokens.count("weak")
    digits = _digits(run, tokens)
    if _is_abbreviation(run, tokens, before) or _is_time_or_year(run, digits, letters, before):
        return False
    times = any(
        token == "times" and following in {"unit", "zero", "digits", "letter", "weak"}  # noqa: S105 - a word
        for token, following in pairwise(tokens)
    )
    zero_first = digits > 1 and (tokens[0] == "zero" or (run[0][0] == "0" and run[0].isdecimal()))
    with_prefix = digits > 0 and bool(before) and before[-1] == "plus" and (len(before) < 2 or not _token(before[-2]))
    spelled = letters > 2 or (letters > 1 and "letter" in tokens)
    return times or zero_first or with_prefix or spelled or digits >= READING_OUT or digits + letters > READING_OUT


def _digits(run: list[str], tokens: list[_Token]) -> int:
    """Returns the number of digits that a run comes to; may replace `quatre vingt` by one word."""
    for at in range(len(run) - 1, 0, -1):
        if run[at] in {"vingt", "vingts"} and run[at - 1] == "quatre":  # four twenties are eighty, a ten
            run[at - 1 : at + 1], tokens[at - 1 : at + 1] = ["vingt"], ["ten"]
    count, at = 0, 0
    while at < len(tokens):
        token = tokens[at]
        if size := _words_of_cardinal(run[at:], tokens[at:]):
            count += 2  # two hundred and fifty: an amount, after which other groups may follow
            at += size - 1
        elif token == "digits":  # noqa: S105 - a word, no password
            count += len(run[at])
        elif token in {"ten", "pair"}:
            count += 2
            at += _words_of_unit(run[at:], tokens[at:])
        elif token == "unit" and tokens[at + 1 : at + 2] == ["ten"] and run[at + 1][0] == "و":  # noqa: S105
            count += 2  # Arabic says the unit first
            at += 1
        elif token in {"zero", "unit"}:
            count += 1
        at += 1
    return count


def _words_of_cardinal(run: list[str], tokens: list[_Token]) -> int:
    """Returns the number of words of the number with hundreds or thousands that begins here; 0: none begins here."""
    if tokens[0] == "whole":
        return 1
    at, size = 0, 0
    while at < len(tokens):
        if tokens[at] in {"unit", "pair", "ten"}:
            following = at + 1 + (_words_of_unit(run[at:], tokens[at:]) if tokens[at] != "unit" else 0)
        else:
            following = at
        if tokens[following : following + 1] != ["power"]:
            return following if size else 0
        size = following + 1
        at = size + int(tokens[size : size + 1] == ["join"] and tokens[size + 1 : size + 2] != ["power"])
    return size


def _words_of_unit(run: list[str], tokens: list[_Token]) -> int:
    """Returns the number of words that belong to the ten before them: its unit, and a word that joins the two."""
    if run[0] == "dix":
        return int(run[1:2] in (["sept"], ["huit"], ["neuf"]))
    if tokens[0] == "pair":
        return 0
    joined = int(tokens[1:2] == ["join"])
    following = tokens[joined + 1 : joined + 2]
    if following == ["pair"]:  # soixante et onze, soixante-dix-sept
        return joined + 1 + _words_of_unit(run[joined + 1 :], tokens[joined + 1 :])
    return joined + 1 if following == ["unit"] else 0


def _is_abbreviation(run: list[str], tokens: list[_Token], before: list[str]) -> bool:
    """Returns True if the letters at the end are a word: `seven p.m.`, `in the U.S.`, `OK`."""
    if not tokens or tokens[-1] not in {"letter", "weak"}:
        return False
    at = len(tokens)
    while at > 0 and tokens[at - 1] in {"letter", "weak"} and len(run[at - 1]) == 1:
        at -= 1
    joined = "".join(run[at:])
    return joined == "ok" or (joined in ABBREVIATIONS and bool(before or at > 0))


def _is_time_or_year(run: list[str], digits: int, letters: int, before: list[str]) -> bool:
    """Returns True if at most four digits are the time of day or a year, so that no more will come."""
    if letters or digits > 4:
        return False
    if before and before[-1] in BEFORE_TIMES:
        return run[0] not in {"oh", "zero", "null", "zéro", "cero", "nul"}
    if before and before[-1] in BEFORE_YEARS and digits == 4:
        return True
    return len(run) == 2 and run[0] in HOURS and run[1] in MINUTES


def _ends_in_alphabet(words: Sequence[str]) -> bool:
    """Returns True if names that stand for letters end the text: `Mike Oscar November`."""
    last = words[-3:]
    return len(last) == 3 and any(all(word in names for word in last) for names in ALPHABETS)


def _ends_in_example(words: Sequence[str]) -> bool:
    """Returns True if a letter with its example ends the text: `M for Mike`, `B as in boy`, `D wie Dora`."""
    for size in (1, 2):
        if len(words) >= size + 2 and " ".join(words[-1 - size : -1]) in AS_IN:
            letter = words[-2 - size]
            if is_letter(letter) and (letter not in WEAK_LETTERS or size == 2 or words[-2] == "wie"):
                return True
    return False
