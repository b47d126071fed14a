"""Backchannels, by which callers show that they listen, in eight languages. Sans-IO.

is_backchannel("Yeah, yeah.", BACKCHANNELS)      # True: one that is said twice is one
is_backchannel("Okay, got it.", BACKCHANNELS)    # True: and so are two in a row
is_backchannel("Yeah, no.", BACKCHANNELS)        # False: a word of its own
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from voicepipe.text.words import words_in

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPANIONS = frozenset(words_in("oh ah ach och eh yes ja jo jawohl sí si sì sim oui hè हाँ हां अरे haan"))
"""Words that alone are an answer, or begin one, but beside a backchannel belong to it: `yes, okay`, `ja genau`."""

_HUM = re.compile(r"(?=..)[hm]*m[hm]*\Z")
"""`mhm`, `mmm`, `hmm`, however a recogniser writes it."""


def is_backchannel(text: str, phrases: tuple[str, ...], language: str | None = None, *, so_far: bool = False) -> bool:
    """Returns True if a text is nothing but backchannels.

    Args:
        text: what the caller said.
        phrases: what counts as one, a setting.
        language: what the caller speaks, as a BCP 47 tag; None: not known.
        so_far: whether more words may follow: then the beginning of a backchannel counts as well.

    """
    backchannels, starts, longest = _backchannels(phrases, language)
    words = _hummed(words_in(text, language))
    if not words or (words[0] not in starts and words[0] not in COMPANIONS):
        return False
    made = _made(words, backchannels, longest)
    if not so_far or not backchannels:
        return made[-1] is True
    begins = range(max(0, len(words) - longest + 1), len(words) + 1)
    return any(made[begin] is not None and _begins(tuple(words[begin:]), backchannels) for begin in begins)


def _made(words: list[str], backchannels: frozenset[tuple[str, ...]], longest: int) -> list[bool | None]:
    """For each beginning of the words: whether there is a phrase among those that it is made of; None: of others."""
    made: list[bool | None] = [False, *([None] * len(words))]
    for end in range(1, len(words) + 1):
        for begin in range(max(0, end - longest), end):
            if made[begin] is None:
                continue
            if tuple(words[begin:end]) in backchannels:
                made[end] = True
            elif end - begin == 1 and words[begin] in COMPANIONS:
                made[end] = made[end] or made[begin]
    return made


def _begins(words: tuple[str, ...], backchannels: frozenset[tuple[str, ...]]) -> bool:
    """Returns True if a phrase begins with these words."""
    return any(phrase[: len(words)] == words for phrase in backchannels)


@lru_cache
def _backchannels(
    phrases: tuple[str, ...], language: str | None
) -> tuple[frozenset[tuple[str, ...]], frozenset[str], int]:
    """A setting's phrases as words, their first words, and the length of the longest; all calls share the result."""
    backchannels = frozenset(words for phrase in phrases if (words := tuple(_hummed(words_in(phrase, language)))))
    return backchannels, frozenset(words[0] for words in backchannels), max(map(len, backchannels), default=1)


def _hummed(words: Iterable[str]) -> list[str]:
    return ["hm" if _HUM.match(word) else word for word in words]
