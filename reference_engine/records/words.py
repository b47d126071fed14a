"""The words of calls for the full text: made here in one way for SQLite, PostgreSQL and files of records.

Neither database is left to find words in a text. Their ideas of a word differ, and a query in their languages of
queries has errors: of both there is none left if they are given nothing but words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_WORD = 64
"""The number of characters of a word that count."""

_WORD = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
    r"|[^\W_\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
"""A character of the scripts without spaces (Thai, Lao, Burmese, Khmer, Kana, Han), or letters and digits of others."""


def words_in(texts: Iterable[str]) -> list[str]:
    """Returns the words of texts, sorted, each once, without case and accents: `Müller` is `muller`."""
    return sorted({word[:LONGEST_WORD] for text in texts for word in _WORD.findall(_folded(text))})


def asked_words(text: str) -> list[str]:
    """Returns the words that are asked for; one with `*` at its end stands for all that begin with it."""
    folded = _folded(text)
    found = []
    for match in _WORD.finditer(folded):
        prefix = folded[match.end() : match.end() + 1] == "*"
        found.append(f"{match[0][:LONGEST_WORD]}{'*' if prefix else ''}")
    return list(dict.fromkeys(found))


def has_words(asked: Iterable[str], words: Iterable[str]) -> bool:
    """Returns whether all words that are asked for are among the words of a call."""
    there = frozenset(words)
    return all(any(word.startswith(one[:-1]) for word in there) if one.endswith("*") else one in there for one in asked)


def _folded(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(part for part in parts if not unicodedata.combining(part)) if not parts.isascii() else parts
