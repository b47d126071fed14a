"""E-mail and web addresses that are dictated: whether the caller is in the middle of one. Sans-IO."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from voicepipe.text.number_words import KINDS
from voicepipe.text.spelling import is_letter, is_number
from voicepipe.text.vocabulary import (
    ARTICLES,
    AT,
    COPULAS,
    DOT,
    MAIL,
    MAY_BE_DOT,
    NO_DOMAINS,
    NO_MAILBOX,
    NO_NAMES,
    PROVIDERS,
    SIGNS,
    TOP_LEVEL,
    TWO_WORD_SIGNS,
)
from voicepipe.text.words import words_in

if TYPE_CHECKING:
    from collections.abc import Sequence

_WRITTEN = re.compile(r"[^\s@]*@[^\s@]*|\bwww\.\S*|\b\w[\w-]+\.[a-z]{2,6}\b", re.IGNORECASE)


LONGEST_PART = 4
"""The most words of one part of an address."""


def words_of_address(text: str, words: list[str]) -> list[str]:
    """The words of a text, with the signs of the addresses that are written in it as words.

    Args:
        text: as it came.
        words: what it has besides, as `words_in` gives it.

    """
    if "@" not in text and "." not in text[:-1]:
        return words
    spelled = _WRITTEN.sub(lambda match: match[0].replace("@", " arroba ").replace(".", " dot "), text)
    return words if spelled == text else words_in(spelled)


def address_at_end(words: Sequence[str], *, finished: bool) -> Literal["begun", "whole"] | None:
    """Returns True if the words end within an e-mail or web address, or with one; None: with none.

    Args:
        words: as `words_of_address` gives them.
        finished: whether a mark that ends sentences follows. Recognisers put one at every pause; so it counts only
            where little else speaks for an address.

    """
    if _ends_in_sign(words, finished=finished):
        return "begun"
    at = _last_at(words, finished=finished)
    dots = [place for place in range(at + 1, len(words)) if words[place] in DOT or words[place] in MAY_BE_DOT]
    if at < 0:
        dots = [place for place in dots if words[place] in DOT]
        if not dots and _is_name_of_mailbox(words):
            return "begun"
        if not _is_name_with_dots(words, dots):
            return None
    return _state(words[(dots[-1] if dots else at) + 1 :], has_dot=bool(dots))


def _state(rest: Sequence[str], *, has_dot: bool) -> Literal["begun", "whole"] | None:
    """Returns the state of an address, by what comes after its last dot, or after the @."""
    if has_dot and rest and (rest[0] in TOP_LEVEL or "".join(rest) in TOP_LEVEL):
        return "whole" if len(rest) == 1 or rest[0] not in TOP_LEVEL else None  # None: the caller talks of other things
    return "begun" if len(rest) <= LONGEST_PART else None


def _ends_in_sign(words: Sequence[str], *, finished: bool) -> bool:
    """Returns True if the last word is a sign in an address, and the next part is still to be said."""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if last in DOT or last in SIGNS or tuple(words[-2:]) in TWO_WORD_SIGNS:
        return bool(before) and before not in ARTICLES
    if last not in MAY_BE_DOT or not before or before in ARTICLES or is_number(before):
        return False
    is_bare = len(words) <= 3 and not finished and ARTICLES.isdisjoint(words) and before not in NO_NAMES
    return is_bare or _speaks_of_mail(words)


def _last_at(words: Sequence[str], *, finished: bool) -> int:
    """Returns the index of the last @ sign; -1 if there is none."""
    for place in range(len(words) - 1, -1, -1):
        word = words[place]
        if place and word in AT and word in KINDS and is_number(words[place - 1]):
            continue  # the English eight, in Hindi's letters
        if word in AT or (word == "rate" and tuple(words[max(0, place - 2) : place]) == ("at", "the")):
            return place
        if word == "at" and place > 0 and _is_sign_at(words, place, finished=finished):
            return place
    return -1


def _is_sign_at(words: Sequence[str], place: int, *, finished: bool) -> bool:
    """Returns True if this `at` is the sign, and not the preposition."""
    before, after = words[place - 1], words[place + 1] if place + 1 < len(words) else ""
    if after in NO_DOMAINS or (after and is_number(after)):
        return False
    if _speaks_of_mail(words[max(0, place - 8) : place]):
        return True
    if is_letter(before) or any(word in DOT or word in SIGNS for word in words[max(0, place - 4) :]):
        return before not in NO_NAMES
    if not after or after in PROVIDERS:
        return bool(after)
    return len(words) == 3 and not finished and before not in NO_NAMES


def _speaks_of_mail(words: Sequence[str]) -> bool:
    return any(word in MAIL or word in AT for word in words)


def _is_name_of_mailbox(words: Sequence[str]) -> bool:
    """`my e-mail is jane`: the rest is still to be said."""
    for place in range(len(words) - 2, max(len(words) - 5, 1), -1):
        if words[place] in COPULAS:
            return not MAIL.isdisjoint(words[max(0, place - 3) : place]) and words[place + 1] not in NO_MAILBOX
    return False


def _is_name_with_dots(words: Sequence[str], dots: list[int]) -> bool:
    """`jane dot smith`, `www dot example`: a name before the @, or a host."""
    if "www" in words[-6:] and not dots:
        return True
    if not dots or dots[-1] == 0 or any(word in ARTICLES for word in words[max(0, dots[-1] - 2) : dots[-1]]):
        return False
    return 0 < len(words) - dots[-1] - 1 <= 2
