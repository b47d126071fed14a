"""A call as one of those who steer it has it: each request bears their name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from voicepipe.calls.steering import CallSteering
    from voicepipe.components.requests import Message
    from voicepipe.tools.context import SayOutcome


class SteeredBy:
    """The steering of one call by somebody; a `SteerableCall`, which explains the methods."""

    def __init__(self, steering: CallSteering, by: str) -> None:
        self._steering = steering
        self.by = by
        """Who it is, as in `CallSteered.by`."""

    @property
    def metadata(self) -> dict[str, Any]:
        """The call's bag of values."""
        return self._steering.metadata

    @property
    def variables(self) -> Mapping[str, str]:
        """The call's variables as they are now."""
        return self._steering.variables

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation so far."""
        return self._steering.conversation

    async def say(self, text: str, *, interrupt: bool = False) -> SayOutcome:
        """Has the agent say a text."""
        return await self._steering.say(text, interrupt=interrupt, by=self.by)

    async def play(self, file: str | Path, *, text: str = "", interrupt: bool = False) -> SayOutcome:
        """Plays a WAV file to the caller."""
        return await self._steering.play(file, text=text, interrupt=interrupt, by=self.by)

    def tell(self, fact: str, *, respond: bool = False) -> None:
        """Tells the model a fact."""
        self._steering.tell(fact, respond=respond, by=self.by)

    async def transfer(self, target: str) -> None:
        """Transfers the caller."""
        await self._steering.transfer(target, by=self.by)

    def hang_up(self, goodbye: str = "") -> None:
        """Ends the call."""
        self._steering.hang_up(goodbye, by=self.by)

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Changes variables of the call."""
        self._steering.set_variables(variables, by=self.by)

    async def set_language(self, language: str) -> None:
        """Switches the language of the call."""
        await self._steering.set_language(language, by=self.by)
