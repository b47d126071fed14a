"""What the caller has said and pressed that no reply has taken up yet, in order. Sans-IO.

Nothing that comes in here is dropped: each reply and each announcement takes all of it, and it is in the conversation
from then on, whatever becomes of the reply. Three groups keep the order:

- `before`: earlier than the words that wait for an answer. Words in front of a key, keys, and what was said only to
  show that the caller listens, which is told to the model but asks for no reply.
- `finals`: the words that wait for an answer.
- `after`: a key that came when the words in front of it were not final yet.

Keys that are collected to a number come in when it is complete, at the place of the last of them.

A reply that nobody has heard may be retracted, since the caller goes on. What it took comes back then, to be taken
again together with the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from voicepipe.calls.turns.events import CallerInput, Final
from voicepipe.components.requests import Dtmf, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable


def utterance_of(finals: Iterable[Final]) -> Utterance:
    """The words of one or more finals as one utterance; language and confidence are the last one's."""
    *_, last = finals = list(finals)
    return Utterance(" ".join(final.text for final in finals), last.language, last.confidence)


@define(eq=False)
class Unanswered:
    """The caller's words and keys between two replies."""

    finals: list[Final] = field(factory=list)
    """Words that wait for an answer."""
    digits: str = ""
    """Keys of a number that is not complete."""
    _before: list[CallerInput] = field(factory=list)
    _after: list[CallerInput] = field(factory=list)
    _taken_before: list[CallerInput] = field(factory=list)
    _taken: list[Final] = field(factory=list)

    @property
    def all(self) -> tuple[CallerInput, ...]:
        """Everything in order, consecutive words as one utterance."""
        words = [utterance_of(self.finals)] if self.finals else []
        return (*self._before, *words, *self._after)

    @property
    def is_retractable(self) -> bool:
        """Whether the last reply took words, and has not been heard."""
        return bool(self._taken)

    @property
    def noted(self) -> tuple[CallerInput, ...]:
        """What came before the words that wait for an answer."""
        return tuple(self._before)

    def note(self, heard: CallerInput) -> None:
        """Adds something in front of the words that wait for an answer."""
        self._before.append(heard)

    def dial(self, digit: str) -> None:
        """Adds a key to the number that is being collected."""
        self.close()
        self.digits += digit

    def enter(self, *, after_words: bool) -> Dtmf | None:
        """Completes the number; None: there is none.

        Args:
            after_words: whether it stands behind the words that wait, those included that are not final yet, because a
                key has just completed it; else these were said since its last key.

        """
        digits, self.digits = self.digits, ""
        if not digits:
            return None
        number = Dtmf(digits)
        (self._after if after_words else self._before).append(number)
        return number

    def close(self) -> None:
        """Puts what there is in front of everything that comes: its words are answered together with that."""
        self._before, self.finals, self._after = [*self.all], [], []

    def take(self) -> tuple[CallerInput, ...]:
        """Takes everything, for good."""
        taken = self.all
        self._before, self.finals, self._after = [], [], []
        self.answered()
        return taken

    def take_noted(self) -> tuple[CallerInput, ...]:
        """Takes what asks for no reply, and leaves the words that wait for theirs."""
        taken, self._before = tuple(self._before), []
        self.answered()
        return taken

    def take_words(self) -> tuple[CallerInput, ...]:
        """Takes everything for a reply to the words in it, which may be retracted."""
        before, finals = self._before, self.finals
        taken = self.take()
        self._taken_before, self._taken = before, finals
        return taken

    def retract(self) -> None:
        """Brings back what the last reply took."""
        self._before, self.finals = self._taken_before + self._before, self._taken + self.finals
        self.answered()

    def answered(self) -> None:
        """The last reply has been heard, or is over: what it took does not come back."""
        self._taken_before, self._taken = [], []
