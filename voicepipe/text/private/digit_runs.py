"""Finds the digits of a text, however they are written or said, and the runs that they form. Sans-IO.

A number that is read out reaches a transcript in many forms: `4111 1111`, `4111-1111.`, `four one one one`, `double
four`, `forty-one eleven`, `4 one 1 1`, `vierundvierzig`. Here they all are one thing: a *run*, which is a text of
digits with the place of each of them.

- A *token* is a group of figures or one number in words, with its digits: `forty one` is one token with the digits 41.
- Tokens belong to one run while nothing stands between them but spaces, some punctuation, and words that people say
  there: `and`, `dash`, `uh`.
- A single letter before or between figures is a token as well, without digits, which account numbers need.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, bisect_right
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import regex
from attrs import frozen

from voicepipe.text.number_values import TIMES, power_of, value_of
from voicepipe.text.number_words import KINDS
from voicepipe.text.vocabulary import SIGNS
from voicepipe.text.words import words_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PIECE = regex.compile(r"\p{Nd}+|\p{Han}|[\p{L}\p{M}'’]+")
_GAP = regex.compile(r"[\s,.;:()\[\]/_·•|+*#'\"’\p{Pd}\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff\u00ad]*")
"""What may stand between two tokens of a run, besides fillers."""
_MAX_GAP = 6
"""The most characters of that between two of them."""

FILLERS = SIGNS | frozenset(
    words_in(
        "and und y et e en plus minus uh um er erm ah hm hmm äh ähm öh euh eh ehm em then next finally space dann luego"
        " puis poi daarna strich leerzeichen espacio espace spazio espaço"
    )
)
"""Words that are said between digits."""

_WEAK = frozenset(words_in("do das teen char un une um uma ein een en once sei meia six sept elf tres sto nau se oh"))
"""Number words that are other words elsewhere: next to figures they are those."""
_SURE_NEXT_TO_FIGURES = frozenset(words_in("oh six sept elf tres once"))


@frozen
class DigitToken:
    """Figures or a number in words."""

    begin: int
    """The index of its first character in the text."""
    end: int
    """The index after its last."""
    digits: str
    """Its digits, in ASCII."""
    figures: bool
    """Whether it is written in figures."""


@frozen
class DigitRun:
    """Tokens that follow one another."""

    tokens: tuple[DigitToken, ...]
    """The tokens, in order; never empty."""

    @property
    def begin(self) -> int:
        """The index of its first character in the text."""
        return self.tokens[0].begin

    @property
    def end(self) -> int:
        """The index after its last."""
        return self.tokens[-1].end

    @property
    def digits(self) -> str:
        """All its digits."""
        return "".join(token.digits for token in self.tokens)

    def windows(self, shortest: int, longest: int) -> Iterator[tuple[int, int, str]]:
        """Yields each part that begins and ends with a token, the longest first, as (begin, end, digits)."""
        starts, total = [], 0
        for token in self.tokens:
            starts.append(total)
            total += len(token.digits)
        starts.append(total)
        if total < shortest:
            return
        digits = self.digits
        found: list[tuple[int, int]] = []
        for first, start in enumerate(starts[:-1]):  # by the sums, which only grow: all pairs would be too many
            ends = range(bisect_left(starts, start + shortest), bisect_right(starts, start + longest))
            found += [(first, end - 1) for end in ends if end > first]
        found.sort(key=lambda window: starts[window[1] + 1] - starts[window[0]], reverse=True)
        for first, last in found:
            part = digits[starts[first] : starts[last + 1]]
            yield self.tokens[first].begin, self.tokens[last].end, part


class _Piece(NamedTuple):
    """Figures or a word; a text has many of them, and making a tuple is quick."""

    begin: int
    end: int
    word: str
    """Folded; figures in ASCII."""
    figures: bool


MAX_DIGITS_A_RUN = 512
"""The most digits of one run: a longer one is taken in parts, so that a flood of figures costs little."""


@lru_cache(maxsize=2)
def digit_runs(text: str) -> tuple[DigitRun, ...]:
    """Returns the runs of a text, in order. Whoever looks for several kinds of numbers asks for one text repeatedly."""
    pieces = _pieces(text)
    if not pieces:
        return ()
    runs: list[list[DigitToken]] = []
    last_end, joined, length = -1, False, 0
    at = 0
    while at < len(pieces):
        piece = pieces[at]
        used, digits = _token_at(pieces, at, text) if piece.figures or _may_begin(piece.word) else (0, "")
        if used == 1 and joined and piece.word in FILLERS and _is_hesitation(runs[-1][-1], pieces, at):
            used = 0
        if not used:
            if not (piece.word in FILLERS and joined and _is_gap(text, last_end, piece.begin)):
                joined = False
            last_end = piece.end
            at += 1
            continue
        token = DigitToken(piece.begin, pieces[at + used - 1].end, digits, piece.figures)
        goes_on = joined and _is_gap(text, last_end, token.begin) and length + len(digits) <= MAX_DIGITS_A_RUN
        if goes_on and not _is_other_word(runs[-1][-1], token, text):
            runs[-1].append(token)
            length += len(digits)
        else:
            runs.append([token])
            length = len(digits)
        joined, last_end = True, token.end
        at += used
    return tuple(DigitRun(tuple(run)) for run in runs)


def _pieces(text: str) -> list[_Piece]:
    pieces = []
    for match in _PIECE.finditer(text):
        found = match[0]
        if found[0].isdecimal():
            word = found if found.isascii() else "".join(str(unicodedata.digit(digit)) for digit in found)
            pieces.append(_Piece(match.start(), match.end(), word, figures=True))
        else:
            folded = found.lower() if found.isascii() and found.isalpha() else "".join(words_in(found))
            pieces.append(_Piece(match.start(), match.end(), folded, figures=False))
    return pieces


def _is_gap(text: str, begin: int, end: int) -> bool:
    return begin == end or (end - begin <= _MAX_GAP and _GAP.fullmatch(text, begin, end) is not None)


def _is_other_word(before: DigitToken, token: DigitToken, text: str) -> bool:
    """Returns True if a weak number word next to figures is another word: `4567 do you`."""
    if before.figures == token.figures:
        return False
    said, figures = (token, before) if before.figures else (before, token)
    word = "".join(words_in(text[said.begin : said.end]))
    return word in _WEAK - _SURE_NEXT_TO_FIGURES and len(figures.digits) > 1


def _is_hesitation(before: DigitToken, pieces: Sequence[_Piece], at: int) -> bool:
    """Returns True if a number word that is a filler elsewhere stands between groups of figures: `4567 um 8901`."""
    after = pieces[at + 1] if at + 1 < len(pieces) else None
    return before.figures and len(before.digits) > 1 and after is not None and after.figures and len(after.word) > 1


# --- Number words ---------------------------------------------------------------------------------------------------


def _token_at(pieces: Sequence[_Piece], at: int, text: str) -> tuple[int, str]:
    """Returns the number of pieces of the token that begins here, and its digits; 0 pieces: none begins here."""
    piece = pieces[at]
    if piece.figures:
        return 1, piece.word
    if (times := TIMES.get(piece.word)) is not None and at + 1 < len(pieces):
        following = pieces[at + 1]
        digit = following.word if following.figures else _unit(following.word)
        if digit is not None and digit and len(digit) == 1:
            return 2, digit * times
        if following.figures and _is_gap(text, piece.end, following.begin):
            return 2, following.word[:1] * (times - 1) + following.word
        return 0, ""
    used, value = _number_at(pieces, at, text)
    return (used, str(value)) if used else (0, "")


@lru_cache(maxsize=4096)
def _may_begin(word: str) -> bool:
    """Returns True if a number may begin with a word; most words of a conversation are asked about often."""
    return word in TIMES or power_of(word) is not None or value_of(word) is not None


def _unit(word: str) -> str | None:
    value = value_of(word)
    return str(value) if value is not None and value < 10 else None


def _number_at(pieces: Sequence[_Piece], at: int, text: str) -> tuple[int, int]:
    """Returns the pieces and the value of the number in words that begins here, hundreds and thousands included."""
    used, small = _small_at(pieces, at, text)
    if not used and power_of(pieces[at].word) is None:
        return 0, 0
    total, current = 0, small
    place = at + used
    while place < len(pieces) and not pieces[place].figures and _follows(pieces, place, text):
        power = power_of(pieces[place].word)
        if power is None:
            break
        current = (current or 1) * power
        place += 1
        if power == 1000:
            total, current = total + current, 0
        place, rest = _rest_at(pieces, place, text)
        current += rest
    return place - at, total + current


def _rest_at(pieces: Sequence[_Piece], place: int, text: str) -> tuple[int, int]:
    """Returns where the number below a hundred ends that follows a power, and its value; `and` may stand before it."""
    start = place
    if start < len(pieces) and KINDS.get(pieces[start].word) == "join":
        start += 1
    if start < len(pieces) and not pieces[start].figures and _follows(pieces, start, text):
        used, value = _small_at(pieces, start, text)
        if used and value:
            return start + used, value
    return place, 0


def _follows(pieces: Sequence[_Piece], at: int, text: str) -> bool:
    """Returns True if a piece belongs to the number of the piece before it: a space or a hyphen is between them."""
    return at == 0 or text[pieces[at - 1].end : pieces[at].begin].strip() in {"", "-", "‐", "–"}


def _small_at(pieces: Sequence[_Piece], at: int, text: str) -> tuple[int, int]:  # noqa: PLR0911 - one a language
    """Returns the pieces and the value of the number below a hundred that begins here; also of a compound word."""
    word = pieces[at].word
    value = None if pieces[at].figures or power_of(word) is not None else value_of(word)
    if value is None:
        return 0, 0
    if word == "quatre" and _word(pieces, at + 1, text) in {"vingt", "vingts"}:
        used, rest = _below_twenty(pieces, at + 2, text)
        return 2 + used, 80 + rest
    if word == "dix" and (unit := value_of(_word(pieces, at + 1, text) or " ")) in {7, 8, 9}:
        return 2, 10 + (unit or 0)
    if value >= 20 and value % 10 == 0 and value < 100:
        start = at + 1
        if (joined := _word(pieces, start, text)) is not None and KINDS.get(joined) == "join":
            start += 1
        used, rest = _below_twenty(pieces, start, text)
        if used and (0 < rest < 10 or (value in {60, 80} and rest >= 10)):
            return start - at + used, value + rest
        return 1, value
    if 0 < value < 10 and (ten := _word(pieces, at + 1, text)) and ten[0] == "و":
        tens = value_of(ten)
        if tens is not None and tens >= 20:
            return 2, tens + value
    return 1, value


def _below_twenty(pieces: Sequence[_Piece], at: int, text: str) -> tuple[int, int]:
    word = _word(pieces, at, text)
    value = None if word is None else value_of(word)
    if word is None or value is None or not 0 < value < 20:
        return 0, 0
    if word == "dix" and (unit := value_of(_word(pieces, at + 1, text) or " ")) in {7, 8, 9}:
        return 2, 10 + (unit or 0)
    return 1, value


def _word(pieces: Sequence[_Piece], at: int, text: str) -> str | None:
    """Returns the word of a piece that belongs to the number of the piece before it; None: it does not."""
    if at >= len(pieces) or pieces[at].figures or not _follows(pieces, at, text):
        return None
    return pieces[at].word


def is_glued(text: str, run: DigitRun) -> bool:
    """Returns True if a run is part of a longer word: `K123456`."""
    before = text[run.begin - 1 : run.begin]
    return before.isalpha() and run.tokens[0].figures


def with_digits(text: str) -> tuple[str, list[int]]:
    """Returns a text with its runs as plain digits, and for each character of it the index in the given text.

    One index more than there are characters: that of the end.
    """
    parts: list[str] = []
    places: list[int] = []
    at = 0
    for run in digit_runs(text):
        parts.append(text[at : run.begin])
        places += range(at, run.begin)
        for token in run.tokens:
            parts.append(token.digits)
            places += [token.begin] * len(token.digits)
        at = run.end
    parts.append(text[at:])
    places += range(at, len(text) + 1)
    return "".join(parts), places


def gaps(text: str, run: DigitRun) -> list[str]:
    """Returns what stands between the tokens of a run."""
    return [text[before.end : after.begin] for before, after in pairwise(run.tokens)]
