"""Pronunciation dictionaries of PocketSphinx, in CMUdict's format: a word and its phones on each line."""

from __future__ import annotations

import re
import unicodedata
from difflib import get_close_matches
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


PHONES = frozenset(
    re.findall(
        r"\w+", "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M N NG OW OY P R S SH T TH UH UW V W Y Z ZH"
    )
)
"""The phones of the acoustic model: those of CMUdict, without stress."""


COMMENTS = (";;", "##")
"""The beginnings of lines that are comments."""

ENTRY_HINT = "a line is a word and its phones: acme AE K M IY"


@frozen
class DictionaryProblem:
    """A mistake in a dictionary, which the library would refuse."""

    line: int
    """The line, from 1."""
    column: int
    """The column in that line, from 1."""
    message: str
    """A description of the mistake."""
    hint: str = ENTRY_HINT
    """A way to correct it."""


def problems_of(content: bytes) -> Iterator[DictionaryProblem]:
    """Yields the mistakes in lines of `word PHONE PHONE`; blank lines and comments are skipped."""
    for number, raw in enumerate(content.split(b"\n"), 1):
        try:
            line = raw.decode()
        except UnicodeDecodeError as error:
            yield DictionaryProblem(number, error.start + 1, "this is not UTF-8", "save the file as UTF-8")
            continue
        parts = [] if line.startswith(COMMENTS) else list(re.finditer(r"\S+", line))
        if len(parts) == 1:
            yield DictionaryProblem(number, len(line.rstrip()) + 1, f"{parts[0].group()!r} has no phones after it")
        for part in parts[1:]:
            phone = part.group()
            if phone not in PHONES:
                plain = phone.upper().rstrip("0123456789")
                hint = f"did you mean {plain}?" if plain in PHONES else f"phones are {', '.join(sorted(PHONES))}"
                yield DictionaryProblem(number, part.start() + 1, f"there is no phone {phone!r}", hint)


def words_of(phrase: str) -> list[str]:
    """Splits a phrase into words as dictionaries spell them: lower case, NFC, with marks and inner `'`, `-` and `.`."""
    lowered = unicodedata.normalize("NFC", phrase.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    # `\w` has no combining marks, which are the vowels of Hindi.
    kept = "".join(char if char in ".'-_" or unicodedata.category(char)[0] in "LMN" else " " for char in lowered)
    return [word for part in kept.split() if (word := part.strip(".'-"))]


class Dictionary:
    """Pronunciations by word.

    Each look-up searches the text, which takes 0.2 ms: a table of the 135,000 words would take ten times the memory.
    """

    def __init__(self, content: bytes) -> None:
        """Takes lines of `word PHONE PHONE`; further pronunciations of a word are lines of `word(2) PHONE PHONE`."""
        self._content = b"\n" + content.replace(b"\r\n", b"\n").rstrip() + b"\n"
        self._known: dict[str, tuple[str, ...]] = {}

    def pronunciations(self, word: str) -> tuple[str, ...]:
        """Returns the phones of each pronunciation of a word; empty if the word is unknown."""
        if (known := self._known.get(word)) is None:
            known = self._known[word] = tuple(self._look_up(word))
        return known

    def _look_up(self, word: str) -> list[str]:
        pronunciations: list[str] = []
        while True:
            entry = word if not pronunciations else f"{word}({len(pronunciations) + 1})"
            start = self._content.find(f"\n{entry} ".encode())
            if start < 0:
                return pronunciations
            line = self._content[start + 1 : self._content.index(b"\n", start + 1)]
            pronunciations.append(" ".join(line.decode().split()[1:]))

    def spell(self, phrase: str) -> tuple[str, ...]:
        """Splits a phrase into words of the dictionary; empty if the dictionary lacks one of them."""
        words = self._words(phrase)
        return words if all(map(self.pronunciations, words)) else ()

    def unknown(self, phrase: str) -> tuple[str, ...]:
        """Returns the words of a phrase that the dictionary lacks."""
        return tuple(word for word in self._words(phrase) if not self.pronunciations(word))

    def _words(self, phrase: str) -> tuple[str, ...]:
        words: list[str] = []
        for word in words_of(phrase):
            words += [word] if self.pronunciations(word) else word.split("-")
        return tuple(filter(None, words))

    def similar(self, word: str) -> list[str]:
        """Returns up to three words of the dictionary that are spelled much like this one, the nearest first."""
        # To compare all words would take seconds, so only those with the same first letter and a similar length are.
        lengths = f"{{{max(len(word) - 2, 1) - 1},{len(word) + 1}}}"
        entry = re.compile(rb"^%s[^\s()]%s(?= )" % (re.escape(word[:1]).encode(), lengths.encode()), re.MULTILINE)
        candidates = [candidate.decode() for candidate in entry.findall(self._content)]
        return get_close_matches(word, candidates, n=3, cutoff=0.75)


@lru_cache(maxsize=2)
def read_dictionary(path: Path, added: bytes = b"") -> Dictionary:
    """Reads a dictionary file, once in a process: an installed package's files do not change.

    Args:
        path: the file.
        added: further lines in the same format; they precede those of the file.

    """
    return Dictionary(added.strip() + b"\n" + path.read_bytes())
