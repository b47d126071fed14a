"""One exchange of a conversation: what the caller said, and the reply to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import define

from voicepipe.calls.events import Timings
from voicepipe.calls.replies.reply import SpokenReply
from voicepipe.calls.tools.running import Called
from voicepipe.calls.turns.events import CallerInput
from voicepipe.components.requests import CallStarted, Dtmf, Silence, ToolResults, Trigger, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable

NOTHING_CALLED = Called()

TRIGGER_NAMES: dict[type[Any], Any] = {
    CallStarted: "call_started",
    Utterance: "utterance",
    Dtmf: "dtmf",
    Silence: "silence",
    ToolResults: "tool_results",
    type(None): "announcement",
}
"""As `TurnEnded.trigger` has them."""


def heard_in(inputs: Iterable[CallerInput]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """What a caller said and pressed as `TurnEnded` has it: in a line, and where keys stand in it."""
    heard, pressed = "", []
    for part in inputs:
        begins = len(heard) + bool(heard)
        heard += (" " if heard else "") + (part.text if isinstance(part, Utterance) else part.digits)
        if isinstance(part, Dtmf):
            pressed.append((begins, len(heard)))
    return heard, tuple(pressed)


@define(eq=False)
class Exchange:
    """The turn that is on."""

    number: int
    """Counts from 1 in a call."""
    trigger: Trigger | None
    """What is replied to; None: the call says something by itself."""
    inputs: tuple[CallerInput, ...]
    """Everything that the caller said and pressed since the turn before, in order."""
    reply: SpokenReply
    """On its way to the caller."""
    spoken_at: float | None
    """When the caller was last heard to speak, on trio's clock; None: the reply answers nothing said."""
    audible_at: float | None = None
    """When the first audio of the reply was written."""
    asked_at: float = 0.0
    """When the reply was asked for."""
    final_at: float | None = None
    """When the words that it replies to were final; None: there are none."""
    committed: bool = False
    """Whether what the model wants kept is kept."""
    called: Called = NOTHING_CALLED
    """The tools that the reply called, once it counts."""

    @property
    def is_prepared(self) -> bool:
        """Whether it was begun and is not wanted yet: what is replied to may still change."""
        return self.reply.adopted is not None and not self.reply.adopted.is_set()

    @property
    def trigger_name(self) -> Any:
        """As `TurnEnded.trigger` has it."""
        return TRIGGER_NAMES[type(self.trigger)]

    @property
    def heard(self) -> str:
        """What the caller said and pressed."""
        return heard_in(self.inputs)[0]

    @property
    def timings(self) -> Timings:
        """How long each step took."""
        since = self.asked_at if self.spoken_at is None else self.spoken_at

        def after(at: float | None) -> float | None:
            return None if at is None else (at - since) * 1000

        return Timings(
            final_ms=None if self.spoken_at is None else after(self.final_at),
            asked_ms=after(self.asked_at),
            first_token_ms=after(self.reply.first_token_at),
            first_audio_ms=after(self.reply.first_audio_at),
            heard_ms=after(self.audible_at),
        )

    @property
    def response_ms(self) -> float | None:
        """From the last of the caller's speech to the first audio of the reply, in ms."""
        if self.spoken_at is None or self.audible_at is None:
            return None
        return (self.audible_at - self.spoken_at) * 1000
