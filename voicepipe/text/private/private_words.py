r"""Replaces private words of texts by what they are: `[card number]`. Sans-IO.

Theory of operation
===================

*Kinds and patterns.* A kind is found by its meaning, however it is written or said: `4111 1111 ...`, `four one one one
...`. A pattern is a regular expression of an operator. It is matched against the text as it stands, and once more
against the text with all numbers that are said written in figures, without spaces: `K\d{6}` and `\d{6}` find what was
said as well.

*Order.* Where two are found at one place, the one that comes first in `KINDS` gives the name; patterns come last. What
they cover together is replaced as a whole.

*Long texts.* Searching takes up to 15 ms for a thousand characters, in the loop that all calls share. So at most
`LONGEST_TEXT` characters of a text are searched, and `LONGEST_DATA` of all texts of a value. Nobody knows what the rest
has, so it is replaced as a whole: `[90000 more characters]`. Where the rest begins, a number may be cut in two: digits
before it count as private, as at the end of a text that is not complete.

*A pattern that takes too long* must not hold up the calls of a process. Each has `PATTERN_S` of processor time for a
text; after that the text is replaced as a whole, for nobody knows what it has. After `MAX_TIMEOUTS` such texts the
pattern is run no more, and its texts are all replaced: `too_slow` names it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import regex
from attrs import frozen

from voicepipe.text.private.digit_runs import DigitRun, DigitToken, digit_runs, with_digits
from voicepipe.text.private.private_addresses import email_addresses
from voicepipe.text.private.private_numbers import card_numbers, ibans, may_begin_card, telephone_numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

PrivateKind: TypeAlias = Literal["iban", "card_numbers", "email", "telephone_numbers", "keys"]
"""A kind of private words; `keys` are digits that a caller pressed, which no text shows by itself."""

KINDS: tuple[PrivateKind, ...] = get_args(PrivateKind)
"""All kinds, those that others are part of first."""

NAMES: Mapping[str, str] = {
    "card_numbers": "card number",
    "telephone_numbers": "telephone number",
    "email": "e-mail address",
    "iban": "IBAN",
    "keys": "keys",
}
"""What stands for private words, in brackets, by their kind."""

PATTERN_S = 0.005
"""The processor time that a pattern has for a text, in s."""
MAX_TIMEOUTS = 3
"""The number of texts in which a pattern may take longer, before it is run no more."""
LONGEST_TEXT = 10_000
"""The most characters of a text that are searched."""
LONGEST_DATA = 2 * LONGEST_TEXT
"""The most characters of all texts of a value together."""
SHORTEST_PREFIX = 4
"""The digits at the end of a text that is not complete that may be the beginning of a private number."""


@frozen
class PrivateSpan:
    """Private words in a text."""

    begin: int
    """The index of their first character."""
    end: int
    """The index after their last."""
    kind: str
    """Their kind, or the name of the pattern."""

    @property
    def replacement(self) -> str:
        """What stands for them: `[card number]`."""
        return replacement_of(self.kind)


def replacement_of(kind: str) -> str:
    """Returns what stands for private words of a kind, or of a pattern's name: `[card number]`."""
    return f"[{NAMES.get(kind) or kind.replace('_', ' ')}]"


class _Room:
    """How many characters of a value may still be searched; one that is short costs as much as `_LEAST` of them."""

    _LEAST = 8

    def __init__(self) -> None:
        self._left = LONGEST_DATA

    def takes(self, text: str) -> bool:
        """Returns whether a text fits, and counts it."""
        if not text:
            return True
        fits = self._left > 0
        self._left -= max(self._LEAST, min(len(text), LONGEST_TEXT))
        return fits


def rest_of(text: str) -> tuple[PrivateSpan, ...]:
    """Returns the rest of a text that is too long to be searched, from the beginning of a word on; else nothing."""
    if len(text) <= LONGEST_TEXT:
        return ()
    begin = text.rfind(" ", LONGEST_TEXT // 2, LONGEST_TEXT) + 1 or LONGEST_TEXT
    return (PrivateSpan(begin, len(text), f"{len(text) - begin} more characters"),)


class PrivateWords:
    """Finds and replaces private words.

    Args:
        kinds: the kinds that are private.
        patterns: regular expressions of other private words, by name, in the syntax of the library `regex`.

    Attributes:
        kinds: the kinds.
        has_numbers: whether numbers of some kind are private.
        too_slow: names of patterns that took too long and are run no more; their texts are replaced as a whole.

    """

    def __init__(self, kinds: Collection[PrivateKind] = (), patterns: Mapping[str, str] | None = None) -> None:
        self.kinds = tuple(kind for kind in KINDS if kind in kinds)
        self.too_slow: set[str] = set()
        self._patterns = {name: regex.compile(pattern) for name, pattern in (patterns or {}).items()}
        self._timeouts: dict[str, int] = {}
        self.has_numbers = bool({"card_numbers", "telephone_numbers", "iban"} & set(kinds))

    def __bool__(self) -> bool:
        return bool(self.kinds or self._patterns)

    def find(self, text: str, *, complete: bool = True) -> tuple[PrivateSpan, ...]:
        """Returns the private words of a text, in order, without overlaps.

        Args:
            text: what was said, written, or answered.
            complete: False if more of it may follow, as of a transcript that still changes: then digits at its end, and
                an address that has begun, count as private, for they may be the beginning of something that is.

        """
        if not text or not self:
            return ()
        if rest := rest_of(text):
            return (*self.find(text[: rest[0].begin], complete=False), *rest)
        runs = digit_runs(text) if self.has_numbers else ()
        found: list[PrivateSpan] = []
        for kind in self.kinds:
            others = without_spans(runs, found) if kind == "telephone_numbers" and found else runs
            found += [PrivateSpan(begin, end, kind) for begin, end in self._of_kind(kind, text, others)]
        if not complete:
            found += self._beginnings(text, runs)
        found += [
            PrivateSpan(begin, end, name)
            for name, pattern in self._patterns.items()
            for begin, end in self._of_pattern(name, pattern, text)
        ]
        return united(found)

    def replace(self, text: str, *, complete: bool = True) -> str:
        """Returns a text with private words replaced by their kinds: `[card number]`; the arguments are `find`'s."""
        return replaced(text, self.find(text, complete=complete))

    def replace_in(self, data: Any) -> Any:
        """Returns data with private words replaced in all its texts and numbers; lists and mappings are searched too.

        A number that is private becomes a text. Data that refers to itself is cut at a depth of 32, and what exceeds
        `LONGEST_DATA` is replaced as a whole.
        """
        return self._replaced(data, 32, _Room()) if self else data

    @staticmethod
    def long_numbers(text: str, most_digits: int) -> tuple[tuple[int, int], ...]:
        """Returns where a text has numbers of more digits, in figures or in words; a plus is included.

        The rest of a text that is too long to be searched counts as one.
        """
        if rest := rest_of(text):
            begin, end = rest[0].begin, rest[0].end
            return (*PrivateWords.long_numbers(text[:begin], most_digits), (begin, end))
        long = [run for run in digit_runs(text) if len(run.digits) > most_digits]
        return tuple((run.begin - (text[run.begin - 1 : run.begin] == "+"), run.end) for run in long)

    def _replaced(self, data: Any, depth: int, room: _Room) -> Any:  # noqa: PLR0911 - a case for each type
        if isinstance(data, str):
            return self.replace(data) if room.takes(data) else replacement_of(f"{len(data)} more characters")
        if isinstance(data, bool) or data is None:
            return data
        if isinstance(data, int | float):
            text = str(data)
            replaced = self.replace(text) if room.takes(text) else replacement_of("one more number")
            return data if replaced == text else replaced
        if depth == 0:
            return "..."
        if isinstance(data, Mapping):
            return {self._replaced(key, 0, room): self._replaced(item, depth - 1, room) for key, item in data.items()}
        if isinstance(data, list | tuple | set | frozenset):
            items = [self._replaced(item, depth - 1, room) for item in data]
            return items if isinstance(data, list) or items != list(data) else data
        return data

    def _of_kind(self, kind: PrivateKind, text: str, runs: tuple[DigitRun, ...]) -> Iterator[tuple[int, int]]:
        match kind:
            case "card_numbers":
                yield from card_numbers(runs)
            case "telephone_numbers":
                yield from telephone_numbers(text, runs)
            case "iban":
                yield from ibans(text, runs)
            case "email":
                yield from email_addresses(text)
            case "keys":
                pass

    def _beginnings(self, text: str, runs: tuple[DigitRun, ...]) -> Iterator[PrivateSpan]:
        """Yields what may be the beginning of private words at the end of a text."""
        if runs and not text[runs[-1].end :].strip(" .,-?!…"):
            last = runs[-1]
            if len(last.digits) >= SHORTEST_PREFIX:
                kind = next(kind for kind in ("card_numbers", "telephone_numbers", "iban") if kind in self.kinds)
                begins_card = kind == "card_numbers" and may_begin_card(last.digits)
                yield PrivateSpan(last.begin, last.end, "card_numbers" if begins_card else "digits")

    def _of_pattern(self, name: str, pattern: regex.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
        if name in self.too_slow:
            yield 0, len(text)
            return
        try:
            for match in pattern.finditer(text, timeout=PATTERN_S):
                if match.end() > match.start():
                    yield match.span()
            figures, places = with_digits(text)
            if figures != text:
                for match in pattern.finditer(figures, timeout=PATTERN_S):
                    if match.end() > match.start():
                        yield _whole(places, *match.span())
        except TimeoutError:
            self._timeouts[name] = self._timeouts.get(name, 0) + 1
            if self._timeouts[name] >= MAX_TIMEOUTS:
                self.too_slow.add(name)
            yield 0, len(text)


def _whole(places: list[int], begin: int, end: int) -> tuple[int, int]:
    """Returns the span of the text that figures stand for, whole words of it."""
    last = places[end - 1]
    after = next((place for place in places[end:] if place > last), last + 1)
    return places[begin], after


def without_spans(runs: Iterable[DigitRun], spans: Collection[PrivateSpan]) -> tuple[DigitRun, ...]:
    """Returns runs without the tokens of spans, at which they are divided."""
    left: list[DigitRun] = []
    apart = united(spans)
    begins, ends = [span.begin for span in apart], [span.end for span in apart]
    for run in runs:
        tokens: list[DigitToken] = []
        for token in run.tokens:
            place = bisect_right(ends, token.begin)
            if place < len(ends) and begins[place] < token.end:
                left += [DigitRun(tuple(tokens))] if tokens else []
                tokens = []
            else:
                tokens.append(token)
        left += [DigitRun(tuple(tokens))] if tokens else []
    return tuple(left)


def replaced(text: str, spans: Iterable[PrivateSpan]) -> str:
    """Returns a text with spans of it, in order, replaced by their kinds."""
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.begin], span.replacement]
        at = span.end
    return "".join((*parts, text[at:])) if parts else text


def united(found: Iterable[PrivateSpan]) -> tuple[PrivateSpan, ...]:
    """Returns spans without overlaps, in order; what overlaps becomes one, of the kind that was found first."""
    return tuple(_united(list(found)))


def _united(found: list[PrivateSpan]) -> Iterator[PrivateSpan]:
    """Yields spans without overlaps, in order; what overlaps becomes one, of the kind that was found first."""
    order = {id(span): place for place, span in enumerate(found)}
    current: PrivateSpan | None = None
    first = 0
    for span in sorted(found, key=lambda span: (span.begin, -span.end)):
        if current is not None and span.begin < current.end:
            kind = span.kind if order[id(span)] < first else current.kind
            first = min(first, order[id(span)])
            current = PrivateSpan(current.begin, max(current.end, span.end), kind)
            continue
        if current is not None:
            yield current
        current, first = span, order[id(span)]
    if current is not None:
        yield current
