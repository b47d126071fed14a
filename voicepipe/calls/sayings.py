"""The texts and sounds that the program has the agent say, and those who wait until they were heard."""

from __future__ import annotations

from itertools import count

import trio
from attrs import define, field

from voicepipe.pipelines.snapshot import CachedSpeech
from voicepipe.tools.context import SayOutcome

UNHEARD = SayOutcome("", whole=False)


@define(eq=False)
class _Asked:
    """One text or sound that was asked for."""

    speech: CachedSpeech | None
    ended: trio.Event = field(factory=trio.Event)
    outcome: SayOutcome = UNHEARD


class Sayings:
    """Keeps what the program has asked the agent to say, by numbers that turn-taking hands around."""

    def __init__(self) -> None:
        self._numbers = count(1)
        self._asked: dict[int, _Asked] = {}

    def add(self, speech: CachedSpeech | None) -> int:
        """Adds a text, with its sound if no voice is to speak it; returns its number."""
        number = next(self._numbers)
        self._asked[number] = _Asked(speech)
        return number

    def speech_of(self, number: int) -> CachedSpeech | None:
        """Returns the sound of a text; None: a voice speaks it."""
        asked = self._asked.get(number)
        return None if asked is None else asked.speech

    def end(self, number: int, outcome: SayOutcome) -> None:
        """Notes what was heard, and wakes `wait`; no-op for a number that is not known any more."""
        if (asked := self._asked.pop(number, None)) is not None:
            asked.outcome = outcome
            asked.ended.set()

    def end_all(self) -> None:
        """Ends all that is left, unheard: the call is over."""
        for number in tuple(self._asked):
            self.end(number, UNHEARD)

    async def wait(self, number: int) -> SayOutcome:
        """Waits until a text was heard, or will not be heard any more."""
        asked = self._asked.get(number)
        if asked is None:
            return UNHEARD
        await asked.ended.wait()
        return asked.outcome
