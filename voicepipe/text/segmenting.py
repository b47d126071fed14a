"""A reply's text in pieces that are worth speaking: sans-IO.

How text is cut does not depend on how it comes, a letter at a time or all at once: a place is only judged when enough
of what follows is known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.text.abbreviations import ABBREVIATIONS, BEFORE_NUMBERS, ORDINALS, STREETS

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOSERS = "\"'”“’»«)]}›」』）】*_~`"
"""Characters between a sentence and the space after it: quotes, brackets, marks of Markdown."""

_CLOSERS = re.escape(CLOSERS)
_END = re.compile(
    rf"""(?P<line>[^\S\n]*\n\s*)
    |(?P<wide>[。！？．｡]+[{_CLOSERS}]*)                       # no space follows these
    |(?P<strong>[!?؟]*[!?؟।॥۔][!?؟।॥۔]*[.…]*[{_CLOSERS}]*)
    |(?P<stop>[.…]+[{_CLOSERS}]*)
    |(?P<clause>[,;:،؛]+[{_CLOSERS}]*(?=\s)|(?<![0-9])\s[–—-](?=\s)|(?<=[0-9])\s[–—-](?=\s+[^\s0-9])|—|[，、；：]+)""",
    re.VERBOSE,
)
WIDE = re.compile(r"[\u1100-\u11ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef]")
"""Scripts without spaces between words, and Korean: a character is a syllable or more."""
_SPACE_TO_CUT = re.compile(r"(?<![0-9])\s|\s(?![0-9])|(?<=[\u2e80-\u9fff])(?=[\u2e80-\u9fff])")
"""The spaces at which a sentence without marks may be cut: not within `0800 123 456`."""
_WORD_BEFORE = re.compile(r"([^\s(\[{\"'“„«‹‘¿¡]+)\.$")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")
_ORDINAL = re.compile(r"(?:[0-9]{1,2}\.[-–—])?[0-9]{1,2}")

LONGEST_ABBREVIATION = 3
"""Letters of the longest word that may be an abbreviation although it is not known to be one."""

UNSPACED = "؟।॥۔"
"""Marks that end a sentence even where no space follows."""

WIDE_WEIGHT = 3
"""The number of letters that take about as long to say as such a character."""


class Segmenter:
    """Cuts streamed text into sentences as soon as each is complete; the first piece may be a clause.

    Args:
        first_chars: the first piece ends with a clause that goes on at least so far, so that speech begins early;
            0: it ends with the sentence, like others.
        most_chars: longer sentences are cut after a clause, or else between words.
        language: BCP 47 tag of the text, which tells some ordinals and abbreviations; None: any.

    """

    def __init__(self, first_chars: int = 30, most_chars: int = 250, language: str | None = None) -> None:
        self._first, self._most = first_chars, most_chars
        base = language.lower().replace("_", "-").partition("-")[0] if language else None
        self._has_ordinals = base in ORDINALS
        own = ABBREVIATIONS.get(base or "", None)
        self._abbreviations = own if own is not None else frozenset[str]().union(*ABBREVIATIONS.values())
        self._text = ""
        self._is_first = True

    def feed(self, text: str) -> list[str]:
        """Adds text; returns the pieces that it completes."""
        self._text = (self._text + text).lstrip()
        return list(self._cut(ended=False))

    def finish(self) -> list[str]:
        """Returns the rest, once the text has ended."""
        segments = list(self._cut(ended=True))
        rest, self._text = self._text.strip(), ""
        return [*segments, rest] if rest else segments

    def _cut(self, *, ended: bool) -> Iterator[str]:
        while (end := self._next(ended=ended)) is not None:
            segment, self._text = self._text[:end].strip(), self._text[end:].lstrip()
            if segment:
                self._is_first = False
                yield segment

    def _next(self, *, ended: bool) -> int | None:
        """Returns the end of the next piece; None: it has not come yet."""
        text = self._text
        most = self._place_of(self._most)
        clause = 0  # the last one within `most`
        for mark in _END.finditer(text):
            if not ended and mark.end() == len(text):
                return None  # it may go on
            if mark.end() > most:
                break
            if mark.lastgroup == "clause":
                clause = mark.end()
                if self._is_first and self._first and _weight(text[: mark.start()]) >= self._first:
                    return clause
            elif (ends := self._ends(mark, ended=ended)) is None:
                return None
            elif ends:
                return mark.end()
        if most >= len(text):
            return None
        return clause or self._between_words(most)

    def _ends(self, mark: re.Match[str], *, ended: bool) -> bool | None:
        """Returns True if a sentence ends with this mark; None: the next characters will decide."""
        text, end = self._text, mark.end()
        after = text[end:].lstrip()
        if mark.lastgroup in {"line", "wide"} or "\n" in text[end : len(text) - len(after)] or end == len(text):
            return True
        spaced = text[end].isspace()
        if mark.lastgroup == "strong":
            return spaced or bool(WIDE.match(after)) or mark.group().rstrip(CLOSERS)[-1] in UNSPACED
        if not spaced:
            return bool(WIDE.match(after)) and not text[mark.start() - 1 : mark.start()].isdigit()
        is_whole = self._is_word_whole(text[:end].rstrip(CLOSERS))
        if is_whole is not None and not (is_whole and self._needs_number(text[:end])):
            return is_whole
        if not (after or ended):
            return None
        return not (after[:1].islower() or (is_whole and after[:1].isdigit()))

    def _is_word_whole(self, text: str) -> bool | None:
        """Returns True if the word before a full stop is one without it, and so ends the sentence; None: undecided."""
        word_before = _WORD_BEFORE.search(text)
        if word_before is None or text.endswith(".."):
            return None
        word = word_before.group(1).strip(CLOSERS).lower()
        if word in self._abbreviations or (_INITIALS.fullmatch(word) and not WIDE.match(word)):
            return False
        if _ORDINAL.fullmatch(word):
            # `1. Open the door` is an item of a list, `am 3. Mai` a day.
            return not self._has_ordinals and bool(text[: word_before.start()].strip(CLOSERS + " "))
        return True if word in BEFORE_NUMBERS or (word.isalpha() and len(word) > LONGEST_ABBREVIATION) else None

    @staticmethod
    def _needs_number(text: str) -> bool:
        """Returns True if the word before a full stop is an abbreviation only if a number follows."""
        word_before = _WORD_BEFORE.search(text.rstrip(CLOSERS))
        if word_before is None:
            return False
        word = word_before.group(1).strip(CLOSERS).lower()
        return word in BEFORE_NUMBERS or word.endswith(STREETS)

    def _place_of(self, weight: int) -> int:
        """Returns the position at which the text reaches a weight; beyond its end, if it is lighter."""
        if len(self._text) * WIDE_WEIGHT <= weight:
            return len(self._text) + 1
        for place, character in enumerate(self._text):
            weight -= WIDE_WEIGHT if WIDE.match(character) else 1
            if weight < 0:
                return place
        return len(self._text) + 1

    def _between_words(self, most: int) -> int | None:
        spaces = [space.end() for space in _SPACE_TO_CUT.finditer(self._text, 1, most)]
        if spaces:
            return spaces[-1]
        # One endless word, such as an address.
        space = _SPACE_TO_CUT.search(self._text, most)
        return space.end() if space and space.end() < len(self._text) else None


def _weight(text: str) -> int:
    return len(text) + (WIDE_WEIGHT - 1) * len(WIDE.findall(text))
