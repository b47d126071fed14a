"""Finds private words in a conversation, where one text alone does not show them. Sans-IO.

- *A number over two utterances.* Somebody who reads out a card number pauses, and each part is an utterance of its own:
  "4111 1111", "1111 1111". The digits at the end of an utterance are kept, and the next one is looked at together with
  them. What was heard before was given to observers already, so the first part has to be hidden when it comes: eight
  digits, or twelve and more, at the end of what a caller said, count as part of a card number if one may begin like
  that. An account of another kind that looks like this is hidden with it; a telephone number of nine to eleven digits
  is not.
- *A number that is repeated in part.* The digits of private numbers that were found are kept while the call is up:
  six of them in a row are private wherever they come again. The last four are not; agents name cards by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.text.private.digit_runs import DigitRun, digit_runs
from voicepipe.text.private.private_numbers import LONGEST_CARD, is_card_number, may_begin_card
from voicepipe.text.private.private_words import PrivateSpan, PrivateWords, replaced, rest_of, united

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_PART_OF_CARD = frozenset({8, 12, 13, 14, 15})
"""Numbers of digits that count as a part of a card number at the end of an utterance."""
_NUMBERS = frozenset({"card_numbers", "telephone_numbers", "iban"})
REPEATED = 6
"""The fewest digits of a private number that are private where they are repeated."""
LONGEST_REPEATED = 34
"""The most digits of one: those of an IBAN."""
_MAX_KNOWN = 50
_WORDS_BEFORE = 4
"""The most words before the digits of an utterance that go on with those of the one before."""


class PrivateTalk:
    """The private words of one conversation.

    Args:
        words: finds private words; may be replaced while the conversation goes on.

    """

    def __init__(self, words: PrivateWords) -> None:
        self.words = words
        self._known: dict[str, None] = {}
        self._tail: tuple[str, ...] = ()

    def find(self, text: str, *, complete: bool = True, also: Iterable[PrivateSpan] = ()) -> tuple[PrivateSpan, ...]:
        """Returns the private words of any text of the conversation, as `PrivateWords.find` does.

        Args:
            text: the text.
            complete: False if more may follow.
            also: further private words in it.

        """
        words = self.words
        rest = rest_of(text) if words else ()
        if rest:
            text = text[: rest[0].begin]
        found = [*rest, *also, *words.find(text, complete=complete and not rest)]
        if not words.has_numbers:
            return united(found)
        if found or self._known:
            runs = digit_runs(text)
            for span in found:
                if span.kind in _NUMBERS:
                    self._keep("".join(run_digits(runs, span)))
            found += [PrivateSpan(*span, "digits") for run in runs for span in self._repeated(run)]
        if not complete and self._tail:
            found += [PrivateSpan(run.begin, run.end, "digits") for run in digit_runs(text)]
        return united(found)

    def replace(self, text: str, *, complete: bool = True) -> str:
        """Returns a text of the conversation with private words replaced by their kinds."""
        return replaced(text, self.find(text, complete=complete))

    def heard(self, text: str, also: Iterable[PrivateSpan] = ()) -> tuple[PrivateSpan, ...]:
        """Returns the private words of the caller's next utterance, which may go on with the number of the last one.

        Args:
            text: the utterance, as it was heard.
            also: further private words in it.

        """
        found = [*also]
        if rest_of(text):
            self._tail = ()  # what the next utterance goes on with was not looked at
        elif "card_numbers" in self.words.kinds and text:
            found += self._parts_of_card(text, digit_runs(text))
        return self.find(text, also=found)

    def replace_heard(self, text: str) -> str:
        """Returns the caller's next utterance with private words replaced; see `heard`."""
        return replaced(text, self.heard(text))

    def _parts_of_card(self, text: str, runs: tuple[DigitRun, ...]) -> list[PrivateSpan]:
        found: list[PrivateSpan] = []
        if not runs:
            if len(text.split()) > _WORDS_BEFORE:
                self._tail = ()
            return found
        first, last = runs[0], runs[-1]
        goes_on = bool(self._tail) and len(text[: first.begin].split()) <= _WORDS_BEFORE
        before = self._tail if goes_on else ()
        if goes_on and (end := self._end_of_card(before, first)):
            found.append(PrivateSpan(first.begin, end, "card_numbers"))
            self._keep("".join(before) + first.digits)
        alone = first is last
        tokens = (*(before if alone else ()), *(token.digits for token in last.tokens))
        ends_text = not text[last.end :].strip(" .,;!?-…")
        while len("".join(tokens)) >= LONGEST_CARD:
            tokens = tokens[1:]
        self._tail = tokens if ends_text and not found else ()
        own = "".join(token.digits for token in last.tokens)
        begun = ["".join(tokens[skipped:]) for skipped in range(len(tokens))] if self._tail else []
        if any(len(part) in _PART_OF_CARD and may_begin_card(part) for part in begun if len(part) >= len(own)):
            found.append(PrivateSpan(last.begin, last.end, "part_of_a_card_number"))
        return found

    def _end_of_card(self, before: tuple[str, ...], run: DigitRun) -> int:
        """Returns the index after the rest of a card number that an earlier utterance began; 0: it did not."""
        for skipped in range(len(before)):
            digits = "".join(before[skipped:])
            for token in run.tokens:
                digits += token.digits
                if len(digits) > LONGEST_CARD:
                    break
                if is_card_number(digits):
                    return token.end
        return 0

    def _keep(self, digits: str) -> None:
        if len(digits) >= REPEATED and len(self._known) < _MAX_KNOWN:
            self._known[digits] = None

    def _repeated(self, run: DigitRun) -> Iterator[tuple[int, int]]:
        """Yields where digits of private numbers that were found before come again."""
        end = -1
        for begin, after, digits in sorted(
            run.windows(REPEATED, LONGEST_REPEATED), key=lambda part: (part[0], -part[1])
        ):
            if begin >= end and any(digits in known for known in self._known):
                yield begin, after
                end = after


def run_digits(runs: Iterable[DigitRun], span: PrivateSpan) -> Iterable[str]:
    """Yields the digits of a span."""
    for run in runs:
        for token in run.tokens:
            if span.begin <= token.begin < span.end:
                yield token.digits
