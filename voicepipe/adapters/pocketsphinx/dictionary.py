"""The words that PocketSphinx can hear, and how they are said: CMUdict's format, a word and its phones on a line."""

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
"""What words are made of: those of CMUdict, without stress. The acoustic model knows no others."""


COMMENTS = (";;", "##")
"""What lines begin with that are no entries."""

ENTRY_HINT = "a line is a word and its phones: acme AE K M IY"


@frozen
class DictionaryProblem:
    """A line of a dictionary that the library would not take."""

    line: int
    """Which, from 1."""
    column: int
    """Where in it, from 1."""
    message: str
    """What is wrong."""
    hint: str = ENTRY_HINT
    """What to do about it."""


def problems_of(content: bytes) -> Iterator[DictionaryProblem]:
    """The mistakes in lines of `word PHONE PHONE`; blank lines and comments are skipped."""
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
    """A phrase's words as dictionaries spell them: in lower case and NFC, with marks, apostrophes, hyphens and dots."""
    lowered = unicodedata.normalize("NFC", phrase.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    # `\w` has no combining marks, which are the vowels of Hindi.
    kept = "".join(char if char in ".'-_" or unicodedata.category(char)[0] in "LMN" else " " for char in lowered)
    return [word for part in kept.split() if (word := part.strip(".'-"))]


class Dictionary:
    """Words by their spelling.

    It is searched as text, some 0.2 ms a word: as a table its 135,000 words would take ten times the memory.
    """

    def __init__(self, content: bytes) -> None:
        """Takes lines of `word PHONE PHONE`, with other ways to say it as `word(2) ...`."""
        self._content = b"\n" + content.replace(b"\r\n", b"\n").rstrip() + b"\n"
        self._known: dict[str, tuple[str, ...]] = {}

    def pronunciations(self, word: str) -> tuple[str, ...]:
        """The phones of each way to say a word; none: it is unknown."""
        if (known := self._known.get(word)) is None:
            known = self._known[word] = tuple(self._look_up(word))
        return known

    def _look_up(self, word: str) -> list[str]:
        found: list[str] = []
        while True:
            entry = word if not found else f"{word}({len(found) + 1})"
            start = self._content.find(f"\n{entry} ".encode())
            if start < 0:
                return found
            line = self._content[start + 1 : self._content.index(b"\n", start + 1)]
            found.append(" ".join(line.decode().split()[1:]))

    def spell(self, phrase: str) -> tuple[str, ...]:
        """A phrase in words of the dictionary; none if it lacks one of them."""
        words = self._words(phrase)
        return words if all(map(self.pronunciations, words)) else ()

    def unknown(self, phrase: str) -> tuple[str, ...]:
        """The words of a phrase that the dictionary lacks."""
        return tuple(word for word in self._words(phrase) if not self.pronunciations(word))

    def _words(self, phrase: str) -> tuple[str, ...]:
        words: list[str] = []
        for word in words_of(phrase):
            words += [word] if self.pronunciations(word) else word.split("-")
        return tuple(filter(None, words))

    def similar(self, word: str) -> list[str]:
        """Words of the dictionary that are spelled much like one that it lacks, the nearest first."""
        # All words would take seconds to compare.
        lengths = f"{{{max(len(word) - 2, 1) - 1},{len(word) + 1}}}"
        entry = re.compile(rb"^%s[^\s()]%s(?= )" % (re.escape(word[:1]).encode(), lengths.encode()), re.MULTILINE)
        candidates = [found.decode() for found in entry.findall(self._content)]
        return get_close_matches(word, candidates, n=3, cutoff=0.75)


@lru_cache(maxsize=2)
def read_dictionary(path: Path, more: bytes = b"") -> Dictionary:
    """A dictionary file, read once a process; its package's files stay as they are.

    Args:
        path: the file.
        more: further lines of the same format, which go before those of the file.

    """
    return Dictionary(more.strip() + b"\n" + path.read_bytes())
