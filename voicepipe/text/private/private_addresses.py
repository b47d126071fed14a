"""Finds e-mail addresses in texts, written or dictated: `ada@example.com`, `ada dot b at example dot com`. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

import regex

from voicepipe.text.spelling import is_letter, is_number
from voicepipe.text.vocabulary import (
    AT,
    COPULAS,
    DOT,
    MAY_BE_DOT,
    PROVIDERS,
    SIGNS,
    TOP_LEVEL,
)
from voicepipe.text.words import words_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAILBOX = r"[\p{L}\p{N}.!#$%&'*+/=?^_`{|}~-]"
_HOST = r"[\p{L}\p{N}](?:[\p{L}\p{N}.-]{0,252}[\p{L}\p{N}])?"
_AFTER_MAILBOX = r"[\s\u200b-\u200d\u2060\ufeff]?"
_WRITTEN = regex.compile(rf"[\p{{L}}\p{{N}}]{_MAILBOX}{{0,63}}{_AFTER_MAILBOX}@\s?{_HOST}")
_QUOTED = regex.compile(rf'"[^"\n]{{1,64}}"{_AFTER_MAILBOX}@\s?{_HOST}')
_NAME = r"[\p{L}\p{N}]{1,64}"
_HALF_WRITTEN = regex.compile(
    rf"(?i)(?<![\p{{L}}\p{{N}}]){_NAME}(?:[._+-]{_NAME}){{1,8}}"
    rf"\s{{1,3}}(?:at|{'|'.join(sorted(map(regex.escape, AT)))})\s{{1,3}}"
    rf"(?:[\p{{L}}\p{{N}}-]{{1,63}}\.){{1,8}}(?:{'|'.join(sorted(map(regex.escape, TOP_LEVEL)))})(?![\p{{L}}\p{{N}}])"
)
"""What recognisers write that know addresses, but not the sign: `ada.b at example.com`."""
_REST_BEFORE = regex.compile(rf"(?r){_MAILBOX}{{0,64}}")
_REST_AFTER = regex.compile(r"(?:[.-][\p{L}\p{N}]+){0,8}")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}'’]+|@")
_MAY_HAVE_ONE = regex.compile(rf"(?i)@|\bat\b|{'|'.join(sorted(map(regex.escape, AT)))}")
_BETWEEN = regex.compile(r"[\s.,;:_\-–]{0,3}")

LONGEST_DOMAIN = 8
"""The most words of the part after the @."""
LONGEST_SPELLED = 40
"""The most letters and signs of the part before it."""


def email_addresses(text: str) -> Iterator[tuple[int, int]]:
    """Yields where e-mail addresses are, as (begin, end)."""
    text = text.replace("＠", "@")  # as long as before, so places stay
    if not _MAY_HAVE_ONE.search(text):
        return
    for form in (_WRITTEN, _QUOTED, _HALF_WRITTEN):
        for match in form.finditer(text):
            yield match.span()
    places = [(match.start(), match.end()) for match in _WORD.finditer(text)]
    words = ["@" if text[begin] == "@" else "".join(words_in(text[begin:end])) for begin, end in places]
    for at, word in enumerate(words):
        is_sign = word == "@" or word in AT or (word == "at" and at > 0)
        if not is_sign:
            continue
        first_after = at + 1
        if word == "at" and words[at + 1 : at + 3] in (["the", "rate"], ["sign"]):
            first_after = at + 3
        elif words[at + 1 : at + 2] == ["sign"]:
            first_after = at + 2
        end = _end_of_domain(words, first_after)
        if end:
            first = places[_begin_of_mailbox(words, places, at, text)][0]
            last = places[end - 1][1]
            # Words are parts of what is written without spaces: `ada.b(at)example.com`.
            before, after = _REST_BEFORE.match(text, 0, first), _REST_AFTER.match(text, last)
            yield before.start() if before else first, after.end() if after else last


def _end_of_domain(words: Sequence[str], begin: int) -> int:
    """Returns the index after the last word of a host's name that is said; 0: there is none."""
    limit = min(len(words), begin + LONGEST_DOMAIN)
    dots = [place for place in range(begin + 1, limit) if words[place] in DOT or words[place] in MAY_BE_DOT]
    end = 0
    for dot in dots:
        if end and dot != end:
            break
        if dot + 1 < len(words):
            end = dot + 2
            if words[dot + 1] == "co" or words[dot + 1] in TOP_LEVEL:
                continue
            if is_letter(words[dot + 1]):  # `dot d e`
                while end < len(words) and is_letter(words[end]) and end < dot + 4:
                    end += 1
    if end:
        return end
    return begin + 1 if begin < len(words) and words[begin] in PROVIDERS - {"web", "live", "free", "mail"} else 0


def _begin_of_mailbox(words: Sequence[str], places: Sequence[tuple[int, int]], at: int, text: str) -> int:
    """Returns the index of the first word of the part before the @."""
    begin = at - 1 if at else 0
    while (
        begin > 0 and at - begin < LONGEST_SPELLED and _BETWEEN.fullmatch(text, places[begin - 1][1], places[begin][0])
    ):
        word, before = words[begin], words[begin - 1]
        if before in COPULAS:
            break
        is_sign = before in DOT or before in SIGNS or (before in MAY_BE_DOT and begin > 1)
        after_sign = word in DOT or word in SIGNS or word in MAY_BE_DOT
        spelled = (is_letter(before) or is_number(before)) and (is_letter(word) or is_number(word))
        joined = spelled or is_number(word) or (is_letter(before) and before not in {"a", "i", "o", "e", "y", "u"})
        if not (is_sign or after_sign or joined):
            break
        begin -= 1
    return begin
