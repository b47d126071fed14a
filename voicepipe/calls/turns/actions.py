"""Actions of turn-taking: what the rules ask the call to do. Sans-IO.

An action is a request: by the time that the rules return it, the state already assumes that it is carried out. What
comes of it comes back as an event: a `Reply` as `ReplyAudible` and `ReplyEnded`, or `RoleFailed`; `FinaliseTranscript`
as a `Final`. No event answers `CancelReply` and `Discard`: what they stop sends none any more.
"""

from __future__ import annotations

from attrs import Factory, field, frozen

from voicepipe.calls.turns.events import CallerInput, Ending
from voicepipe.components.requests import Trigger, Utterance


def _own_input(trigger: Trigger | None) -> tuple[CallerInput, ...]:
    return (trigger,) if isinstance(trigger, CallerInput) else ()


@frozen
class Reply:
    """Request a reply from the language model, and speak it."""

    trigger: Trigger
    """What it replies to."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """Everything that the caller said and pressed since the last reply, in order; the trigger may be among it."""


@frozen
class Announce:
    """Speak a text as it is, without the language model."""

    text: str
    """What to say."""
    apology: bool = False
    """Whether the text is `on_failure.say`, of which there may be a recording."""
    answers: Trigger | None = None
    """What the caller did to hear it: said a phrase that ends the call, pressed a menu key; None: nothing."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.answers), takes_self=True))
    """As in `Reply`."""


@frozen
class Prepare:
    """Request a reply that is not to be heard yet: what it replies to may still change."""

    trigger: Utterance
    """What it replies to, as far as that is known."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """As in `Reply`; they come again, in `Adopt` or in another reply."""


@frozen
class Adopt:
    """Let the prepared reply be heard: its words are what was said."""

    trigger: Utterance
    """What it replies to."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """As in `Reply`."""


@frozen
class Discard:
    """Throw the prepared reply away: other words came than it was prepared for."""


@frozen
class PauseReply:
    """Stop playing the reply; `ResumeReply` or `CancelReply` follows."""


@frozen
class ResumeReply:
    """Go on with the reply where it was paused."""

    wordless: bool
    """Whether no words were recognised in what paused it: it was a noise, or the reply's own echo."""


@frozen
class CancelReply:
    """Stop the reply at once: no more of it is written."""

    retracted: bool
    """Whether nobody has heard it and the caller had not finished: its inputs come again, in a later reply."""


@frozen
class FinaliseTranscript:
    """Ask the recogniser for the final transcript of what was said so far."""


@frozen
class GiveUpOnFinal:
    """The recogniser has not given its final in time: go on with the next alternative."""


@frozen
class End:
    """End the call."""

    ending: Ending
    """How."""


Action = (
    Reply
    | Announce
    | Prepare
    | Adopt
    | Discard
    | PauseReply
    | ResumeReply
    | CancelReply
    | FinaliseTranscript
    | GiveUpOnFinal
    | End
)
