"""What happens on a call, as turn-taking sees it, and what turn-taking wants done about it."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import Factory, field, frozen

from voicepipe.calls.events import Outcome
from voicepipe.components.labels import Role
from voicepipe.components.requests import Dtmf, Trigger, Utterance

CallerInput = Utterance | Dtmf
"""What a caller puts into a conversation."""


def _own_input(trigger: Trigger | None) -> tuple[CallerInput, ...]:
    return (trigger,) if isinstance(trigger, CallerInput) else ()


@frozen
class Ending:
    """How the call is to end."""

    outcome: Outcome
    """As in the call's record."""
    detail: str = ""
    """More about it: the transfer's target, the failure."""


# Events: what happened.


@frozen
class Answered:
    """The call is up."""

    greeting: str | None
    """What is said first; None: the model speaks first."""


@frozen
class SpeechBegan:
    """The caller began to speak (VAD)."""


@frozen
class SpeechSustained:
    """The caller has spoken for as long as an interruption takes (VAD)."""


@frozen
class SpeechEnded:
    """The caller has stopped speaking (VAD)."""

    silent_s: float
    """For how long already, in s."""
    audio_ms: float
    """Where the speech ended in the call's audio, in ms."""


@frozen
class Partial:
    """The recogniser's guess so far."""

    text: str
    """Of the words since the last final."""


@frozen
class Final:
    """Words that won't change."""

    text: str
    """Empty: there were none in what was finalised."""
    language: str | None = None
    """Where the recogniser detects it."""
    confidence: float | None = None
    """0 to 1, or None."""
    audio_ms: float | None = None
    """How far into the call's audio it reaches."""


@frozen
class EndOfTurn:
    """The recogniser, which listens to the words, thinks that the caller has finished."""


@frozen
class EagerEndOfTurn:
    """The recogniser guesses that the caller has finished, and may take it back."""


@frozen
class TurnResumed:
    """The recogniser takes its guess back: the caller goes on."""


@frozen
class ToolsBegan:
    """Tools that a reply called run, whatever is said meanwhile."""


@frozen
class ToolsEnded:
    """All of them have ended."""

    results: Mapping[str, str]
    """By `ToolCall.id`."""


@frozen
class ToolSlow:
    """They take so long that something should be said."""

    filler: str
    """What."""


@frozen
class RecogniserLost:
    """The recogniser is gone, and another one is being sought."""


@frozen
class RecogniserFound:
    """A recogniser listens, and has been told everything that no final covers."""


@frozen
class KeyPressed:
    """DTMF."""

    digit: str
    """Of `0123456789*#ABCD`."""


@frozen
class ReplyAudible:
    """The first audio of the reply was written."""


@frozen
class ReplyEnded:
    """The reply has been played to its end."""

    ending: Ending | None = None
    """What the model wants to happen then."""


@frozen
class Failed:
    """A role has nothing left that works."""

    detail: str
    """For the record."""
    role: Role = "llm"
    """Which one."""


@frozen
class DrainAsked:
    """The call is to end politely, soon."""


@frozen
class EndOfTurnDue:
    """Timer: the caller has been silent for `end_of_turn_ms`."""


@frozen
class FinalOverdue:
    """Timer: the recogniser's last word has not come within `budgets.stt.first_transcript_ms`."""


@frozen
class IdleDue:
    """Timer: nobody has said anything for `idle_prompt_s`."""


@frozen
class ResumeDue:
    """Timer: the speech that paused the reply has brought no words within `resume_ms`."""


@frozen
class ProtectionOver:
    """Timer: the reply has been heard for `protect_ms`."""


@frozen
class DigitsDue:
    """Timer: no further key has come within `dtmf.gap_ms`."""


@frozen
class WarningDue:
    """Timer: the call has `warning_s` left."""


@frozen
class MaxLengthDue:
    """Timer: the call has lasted `max_call_minutes`."""


@frozen
class LastWordsOverdue:
    """Timer: the last words have not been said within `LAST_WORDS_S`."""


Event = (
    Answered
    | SpeechBegan
    | SpeechSustained
    | SpeechEnded
    | Partial
    | Final
    | EndOfTurn
    | EagerEndOfTurn
    | TurnResumed
    | ToolsBegan
    | ToolsEnded
    | ToolSlow
    | RecogniserLost
    | RecogniserFound
    | KeyPressed
    | ReplyAudible
    | ReplyEnded
    | Failed
    | DrainAsked
    | EndOfTurnDue
    | FinalOverdue
    | IdleDue
    | ResumeDue
    | ProtectionOver
    | DigitsDue
    | WarningDue
    | MaxLengthDue
    | LastWordsOverdue
)
Timer = (
    EndOfTurnDue
    | FinalOverdue
    | IdleDue
    | ResumeDue
    | ProtectionOver
    | DigitsDue
    | WarningDue
    | MaxLengthDue
    | LastWordsOverdue
)


# Actions: what to do.


@frozen
class Reply:
    """Ask the language model, and speak what it says."""

    trigger: Trigger
    """What it replies to."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """Everything that the caller said and pressed since the last reply, in order; the trigger may be among it."""


@frozen
class Announce:
    """Speak this text, without the language model."""

    text: str
    """What to say."""
    apology: bool = False
    """Whether it is the one of `on_failure`, of which there is a recording."""
    answers: Trigger | None = None
    """What the caller did to hear it: said that it is over, pressed a menu key."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.answers), takes_self=True))
    """As in `Reply`."""


@frozen
class Prepare:
    """Begin a reply that must not be heard yet: what it replies to may still change."""

    trigger: Utterance
    """What it replies to, as far as that is known."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """As in `Reply`; they come again, in `Adopt` or in another reply."""


@frozen
class Adopt:
    """The reply that was begun is right: let it be heard."""

    trigger: Utterance
    """What it replies to."""
    inputs: tuple[CallerInput, ...] = field(default=Factory(lambda self: _own_input(self.trigger), takes_self=True))
    """As in `Reply`."""


@frozen
class Discard:
    """Throw away the reply that was begun: what it replied to was not what was said."""


@frozen
class PauseReply:
    """Stop playing the reply; it may go on."""


@frozen
class ResumeReply:
    """Go on with the reply where it stopped."""

    wordless: bool
    """Whether what paused it brought no words: then it was a noise, or the reply itself, come back over the line."""


@frozen
class CancelReply:
    """Stop the reply at once: nothing more of it is written."""

    retracted: bool
    """True if the caller has not finished: what was replied to comes again, as part of a longer utterance."""


@frozen
class FinaliseTranscript:
    """Ask the recogniser for its last word on what was said so far."""


@frozen
class GiveUpOnFinal:
    """The recogniser has not given its last word in time: take another one."""


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
