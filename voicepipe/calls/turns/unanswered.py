"""The caller's words and keys that no reply has taken up yet, in order. Sans-IO.

Nothing that comes in here is dropped: each reply and each announcement takes all of it, and it is in the conversation
from then on, whatever becomes of the reply. Three groups keep the order:

- before: earlier than the words that wait for a reply. Words in front of a key, keys, and backchannels, which the model
  is told but which ask for no reply.
- `finals`: the words that wait for a reply.
- after: a key that was pressed when the words in front of it were not final yet.

Keys of a number come in when the number is complete, at the place of its last key.

A reply that nobody has heard may be retracted, because the caller goes on. What it took comes back then, to be taken
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
    """The words of one or more finals as one utterance; language and confidence are the last final's."""
    *_, last = finals = list(finals)
    return Utterance(" ".join(final.text for final in finals), last.language, last.confidence)


@define(eq=False)
class Unanswered:
    """The caller's words and keys between two replies."""

    finals: list[Final] = field(factory=list)
    """Words that wait for a reply."""
    digits: str = ""
    """Keys of a number that is not complete."""
    taken_from: float | None = None
    """The time at which the caller began to speak the words that were taken last, in s; None: there were none, or no
    speech was detected. Words that ask for no reply count only if there are no others."""
    _finals_from: float | None = None
    _before_from: float | None = None
    _before: list[CallerInput] = field(factory=list)
    _after: list[CallerInput] = field(factory=list)
    _taken_before: list[CallerInput] = field(factory=list)
    _taken_finals: list[Final] = field(factory=list)
    _taken_before_from: float | None = None

    @property
    def inputs(self) -> tuple[CallerInput, ...]:
        """Everything in order, consecutive words as one utterance; without the keys of an incomplete number."""
        words = [utterance_of(self.finals)] if self.finals else []
        return (*self._before, *words, *self._after)

    @property
    def is_retractable(self) -> bool:
        """True if the last reply took words, and has not been heard."""
        return bool(self._taken_finals)

    @property
    def before_words(self) -> tuple[CallerInput, ...]:
        """The inputs before the words that wait for a reply."""
        return tuple(self._before)

    def keep(self, final: Final, spoken_from: float | None = None) -> None:
        """Adds words that wait for a reply, which the caller began to speak at `spoken_from`, in s."""
        if not self.finals:
            self._finals_from = spoken_from
        self.finals.append(final)

    def note(self, said_or_pressed: CallerInput, spoken_from: float | None = None) -> None:
        """Adds something before the words that wait for a reply: the model is told, and need not reply.

        Args:
            said_or_pressed: words or keys.
            spoken_from: the time at which the caller began to speak it, in s; None: it was pressed, or is not known.

        """
        self._before.append(said_or_pressed)
        if spoken_from is not None:
            self._before_from = spoken_from

    def dial(self, digit: str) -> None:
        """Adds a key to the number that is being dialled; the words so far stand before the number."""
        self.set_aside()
        self.digits += digit

    def complete_number(self, *, after_words: bool) -> Dtmf | None:
        """Adds the number that was being dialled, and returns it; None: no key of one was pressed.

        Args:
            after_words: whether the number stands behind the words that wait for a reply, and behind those that are not
                final yet, because a key has just completed it; else those words were said after its last key.

        """
        digits, self.digits = self.digits, ""
        if not digits:
            return None
        number = Dtmf(digits)
        (self._after if after_words else self._before).append(number)
        return number

    def set_aside(self) -> None:
        """Puts everything so far before what comes next: no reply of its own, it is taken with that."""
        self._before_from = self._spoken_from
        self._before, self.finals, self._after = [*self.inputs], [], []

    def take(self) -> tuple[CallerInput, ...]:
        """Takes everything, for good."""
        taken = self.inputs
        self.taken_from, self._before_from = self._spoken_from, None
        self._before, self.finals, self._after = [], [], []
        self.commit()
        return taken

    def take_before_words(self) -> tuple[CallerInput, ...]:
        """Takes what asks for no reply, for good, and leaves the words that wait for one."""
        taken, self._before = tuple(self._before), []
        self.taken_from, self._before_from = self._before_from, None
        self.commit()
        return taken

    def take_words(self) -> tuple[CallerInput, ...]:
        """Takes everything for a reply to the words in it; `retract` brings it back until `commit`."""
        before, finals, before_from = self._before, self.finals, self._before_from
        taken = self.take()
        self._taken_before, self._taken_finals, self._taken_before_from = before, finals, before_from
        return taken

    def take_all(self) -> tuple[CallerInput, ...]:
        """Takes everything, for good, and the keys of an incomplete number: the call ends."""
        self.complete_number(after_words=False)
        return self.take()

    def retract(self) -> None:
        """Brings back what the last reply took."""
        if self._taken_finals:
            self._finals_from = self.taken_from
        self._before_from = self._before_from if self._before_from is not None else self._taken_before_from
        self._before = self._taken_before + self._before
        self.finals = self._taken_finals + self.finals
        self.commit()

    def commit(self) -> None:
        """Forgets what the last reply took: the reply was heard, or is over, so it is not retracted any more."""
        self._taken_before, self._taken_finals, self._taken_before_from = [], [], None

    @property
    def _spoken_from(self) -> float | None:
        return self._finals_from if self.finals else self._before_from
