"""Settings of private words: the section `redact`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import regex
from attrs import field, frozen

from voicepipe.text.private.private_words import PrivateKind, PrivateWords

if TYPE_CHECKING:
    from voicepipe.documents import Cursor

PROBE_S = 0.1
"""The processor time that a pattern has for a text that is meant to make it slow, in s."""
_PROBES = tuple(f"{char * 400}!" for char in ("a", "0", " ", "0 ", "a ", "ab", "0-", "a."))


class PrivatePattern(str):
    """A regular expression of private words, in the syntax of the library `regex`."""

    __slots__ = ()


def read_pattern(cursor: Cursor, _: Any) -> PrivatePattern:
    """Returns a regular expression; refuses one that is wrong, matches nothing but empty texts, or takes too long."""
    text = str(cursor.text())
    if not cursor.unknown:
        try:
            pattern = regex.compile(text)
        except regex.error as error:
            hint = "a backslash makes a plain character of . ( [ { + * ? and |"
            cursor.refuse(f"is not a regular expression: {error}", hint)
        if pattern.fullmatch("") is not None:
            cursor.refuse("matches an empty text", "write what must be there, such as `\\d{6}`")
        if (probe := _slow_probe(pattern)) is not None:
            hint = "repeat nothing that is repeated within: `\\d+`, not `(\\d+)+`"
            cursor.refuse(f"takes too long for texts such as {probe[:8]}...", hint)
    return PrivatePattern(text)


def _slow_probe(pattern: regex.Pattern[str]) -> str | None:
    for probe in _PROBES:
        try:
            pattern.search(probe, timeout=PROBE_S)
        except TimeoutError:
            return probe
    return None


@frozen
class RedactSettings:
    """Private words that nothing stores or shows; takes effect at once, calls that are up included.

    They are replaced in all events of calls before any observer gets these.
    """

    kinds: tuple[PrivateKind, ...] = ()
    """Kinds of private words, however they are written or said: `card_numbers`, `telephone_numbers`, `email`, `iban`,
    and `keys`, which are all digits that callers press."""
    patterns: Mapping[str, PrivatePattern] = field(factory=dict)
    """Regular expressions of other private words, by a name that stands for them: `customer_number: K\\d{6}`. Numbers
    that are said are matched as figures too."""

    def words(self) -> PrivateWords:
        """Returns what finds these words in texts."""
        return PrivateWords(self.kinds, self.patterns)
