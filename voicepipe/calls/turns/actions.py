"""Actions of turn-taking, which the rules request and the call carries out. Sans-IO.

An action is a request: by the time that the rules return it, the state already assumes that it is carried out. What
comes of it comes back as an event: a `Reply` as `ReplyAudible` and `ReplyEnded`, or `RoleFailed`; `FinaliseTranscript`
as a `Final`. No event answers `CancelReply` and `Discard`: what they stop sends none any more.
"""

from __future__ import annotations

from attrs import Factory, field, frozen

from voicepipe.calls.events import Consent
from voicepipe.calls.turns.events import CallerInput, Ending
from voicepipe.components.requests import Told, Trigger, Utterance


def _own_input(trigger: Trigger | None) -> tuple[CallerInput, ...]:
    return (trigger,) if isinstance(trigger, CallerInput) else ()


@frozen
class Reply:
    """Request a reply from the language model, and speak it."""

    trigger: Trigger
    """The input that is replied to."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """Everything that the caller said and pressed since the last reply, in order; the trigger may be among it."""


@frozen
class Announce:
    """Speak a text as it is, without the language model."""

    text: str
    """The text."""
    apology: bool = False
    """True if the text is `on_failure.say`, which may have been synthesised beforehand."""
    answers: Trigger | None = None
    """The caller's input that it answers: a phrase that ends the call, or a menu key; None: none."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.answers), takes_self=True))
    """Everything that the caller said and pressed since the last reply, in order."""
    saying: int = 0
    """The number of the program's text that it is; 0: it is none."""


@frozen
class Prepare:
    """Request a reply that is not to be heard yet: what it replies to may still change."""

    trigger: Utterance
    """The words so far, which may still change."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """Everything that the caller said and pressed since the last reply; it comes again, in `Adopt` or in a reply."""


@frozen
class Adopt:
    """Let the prepared reply be heard: its words are what was said."""

    trigger: Utterance
    """The input that is replied to."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """Everything that the caller said and pressed since the last reply, in order."""


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
    """True if no words were recognised in the sound that paused it: it was a noise, or the reply's own echo."""


@frozen
class CancelReply:
    """Stop the reply at once: no more of it is written."""

    retracted: bool
    """True if nobody has heard it and the caller had not finished: its inputs come again, in a later reply."""
    by_program: bool = False
    """True if the program or a limit ends it, and the caller has not interrupted."""


@frozen
class FinaliseTranscript:
    """Ask the recogniser for the final transcript of what was said so far."""


@frozen
class GiveUpOnFinal:
    """The recogniser has not given its final in time: go on with the next alternative."""


@frozen
class BeginTransfer:
    """Transfer the caller; `TransferDone` or `TransferUnanswered` follows."""

    target: str
    """The number or extension."""


@frozen
class TellModel:
    """Tell the model a fact, to which no reply of its own is requested."""

    fact: Told
    """The fact."""


@frozen
class CancelTransfer:
    """Give the transfer up: the call ends otherwise. No event follows."""


@frozen
class SettleConsent:
    """Begin the recording of the call, or don't: the caller was told of it, or has answered."""

    consent: Consent
    """`announced`, `given` or `refused`."""


@frozen
class End:
    """End the call."""

    ending: Ending
    """The outcome, and details of it."""


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
    | BeginTransfer
    | CancelTransfer
    | TellModel
    | SettleConsent
    | End
)
