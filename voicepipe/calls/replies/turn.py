"""A turn: the caller's inputs and the reply to them, in parts that are each written in one place.

| part | contents | written by |
| --- | --- | --- |
| `caller` | the inputs, and the time at which they were said | `Replies`, as a whole, also when a reply is adopted |
| `text` | the words of the reply | `Composer`, from the model's stream |
| `sound` | the places of that text in the audio | `ReplySpeaker`, from the synthesiser's stream |
| `fate` | whether it is wanted, audible, committed | `Replies`, from the actions of turn-taking |

A turn has no state of its own beyond these. Only `Replies` knows the present turn.
"""

from __future__ import annotations

from typing import Any

import trio
from attrs import define, field, frozen

from voicepipe.calls.events import Timings
from voicepipe.calls.replies.reply_sound import ReplySound
from voicepipe.calls.replies.reply_text import ReplyText
from voicepipe.calls.tools.running import CalledTools
from voicepipe.calls.turns.events import CallerInput
from voicepipe.components.requests import CallStarted, Dtmf, Silence, Told, ToolResults, Trigger, Utterance

NO_TOOLS_CALLED = CalledTools()

TRIGGER_NAMES: dict[type[Any], Any] = {
    CallStarted: "call_started",
    Utterance: "utterance",
    Dtmf: "dtmf",
    Silence: "silence",
    ToolResults: "tool_results",
    Told: "told",
    type(None): "announcement",
}
"""The values of `TurnEnded.trigger`."""


@frozen
class CallerSide:
    """The caller's side of a turn: the inputs before a reply, and the one that is replied to."""

    trigger: Trigger | None
    """The input that is replied to; None: the call says something by itself."""
    inputs: tuple[CallerInput, ...] = ()
    """Everything that the caller said and pressed since the turn before, in order."""
    spoken_at: float | None = None
    """The time at which the caller stopped speaking, on trio's clock; None: the reply answers nothing that was said."""
    final_at: float | None = None
    """The time at which the words were final, on trio's clock; None: there are none, or the time is unknown."""
    speech: tuple[float, float] | None = None
    """The beginning and the end of the speech in `inputs`, on trio's clock; None: there is none."""

    @property
    def trigger_name(self) -> Any:
        """The value of `TurnEnded.trigger`."""
        return TRIGGER_NAMES[type(self.trigger)]

    @property
    def line(self) -> tuple[str, tuple[tuple[int, int], ...]]:
        """The inputs in one line, and the spans of keys in it: for `TurnEnded.heard` and `TurnEnded.pressed`."""
        line, pressed = "", []
        for part in self.inputs:
            begins = len(line) + bool(line)
            line += (" " if line else "") + (part.text if isinstance(part, Utterance) else part.digits)
            if isinstance(part, Dtmf):
                pressed.append((begins, len(line)))
        return line, tuple(pressed)


@define(eq=False)
class Fate:
    """The fate of a reply."""

    adopted: trio.Event | None = None
    """Set when a prepared reply is adopted; None: the reply was wanted from the start."""
    audible_at: float | None = None
    """The time at which its first audio was written, on trio's clock; None: it has not been."""
    committed: bool = False
    """True if the model's state was kept, and the tools that it calls have begun."""
    called: CalledTools = NO_TOOLS_CALLED
    """The tools that have begun."""
    saying: int = 0
    """The number of the program's text that it is; 0: it is none."""

    @property
    def is_prepared(self) -> bool:
        """True if the reply is prepared and not adopted yet, so that the words may still change."""
        return self.adopted is not None and not self.adopted.is_set()


@define(eq=False)
class Turn:
    """One turn of a call."""

    number: int
    """The turn's number in the call, from 1."""
    caller: CallerSide
    """The caller's side."""
    text: ReplyText
    """The text of the reply."""
    sound: ReplySound
    """The audio of the reply, as far as there is any."""
    fate: Fate
    """The fate of the reply."""
    asked_at: float
    """The time at which the reply was requested, on trio's clock."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    """The scope of all work for the reply, except tools that have begun."""

    @property
    def timings(self) -> Timings:
        """The times of the turn's steps, from the end of the caller's speech if there was any."""
        caller = self.caller
        since = self.asked_at if caller.spoken_at is None else caller.spoken_at

        def after(at: float | None) -> float | None:
            return None if at is None else (at - since) * 1000

        return Timings(
            final_ms=None if caller.spoken_at is None else after(caller.final_at),
            asked_ms=after(self.asked_at),
            first_token_ms=after(self.text.first_token_at),
            first_audio_ms=after(self.sound.first_audio_at),
            heard_ms=after(self.fate.audible_at),
        )

    @property
    def response_ms(self) -> float | None:
        """From the end of the caller's speech to the first audio of the reply, in ms; None: one of them is missing."""
        spoken_at, audible_at = self.caller.spoken_at, self.fate.audible_at
        return None if spoken_at is None or audible_at is None else (audible_at - spoken_at) * 1000
