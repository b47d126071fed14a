"""Events of turn-taking: everything in a call that decides who may speak. Sans-IO.

The call makes them: from the voice activity detector (`Speech...`), the recogniser's transcripts, keys, tools, and the
reply; the program that holds the call adds its own (`SayAsked` to `TransferAsked`). Those at the end are timers: the
rules start them, and `TurnTaking.fire_timers` makes the event when one is due.
The first line of each docstring is the event's description in docs/reference/turn-taking.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import frozen

from voicepipe.calls.events import Outcome
from voicepipe.components.labels import Role
from voicepipe.components.requests import Dtmf, Told, Utterance

CallerInput = Utterance | Dtmf
"""An input of the caller: words, or keys."""


@frozen
class Ending:
    """The end of a call."""

    outcome: Outcome
    """By whom or what, as in the call's record."""
    detail: str = ""
    """The transfer's target, the failure's message, or the phrase that the caller said."""


@frozen
class ConsentRequest:
    """What the caller hears before the call is recorded."""

    text: str
    """The announcement, or the question."""
    asks: bool
    """True if it is a question, and only a yes begins the recording."""
    answer_s: float = 6.0
    """The time that the caller has to begin an answer, in s."""


@frozen
class Answered:
    """The call was answered."""

    greeting: str | None
    """The text that is said first; None: the model speaks first."""
    caller_first_s: float | None = None
    """The time that the caller has to speak first, in s; then the greeting comes anyway. None: the agent is first."""
    consent: ConsentRequest | None = None
    """What is said before the greeting, so that the call may be recorded; None: nothing."""


@frozen
class SpeechBegan:
    """The caller began to speak (VAD)."""

    since_s: float = 0.0
    """The length of the speech so far, in s: the detector is sure only after a few frames."""


@frozen
class SpeechSustained:
    """The caller has spoken for as long as an interruption takes (VAD)."""


@frozen
class SpeechEnded:
    """The caller has stopped speaking (VAD)."""

    silent_s: float
    """The length of the silence so far, in s: the detector is sure only after a while."""
    audio_ms: float
    """The end of the speech in the call's audio, in ms."""


@frozen
class Partial:
    """A partial transcript: words that may still change."""

    text: str
    """All words since the last final; may be empty."""


@frozen
class Final:
    """A final transcript: words that won't change."""

    text: str
    """Words since the last final; empty: none were recognised in what was said."""
    language: str | None = None
    """A BCP 47 tag, if the recogniser detects languages."""
    confidence: float | None = None
    """0 to 1; None: the recogniser does not tell."""
    audio_ms: float | None = None
    """Up to where in the call's audio the transcript reaches, in ms; None: the recogniser does not tell."""


@frozen
class EndOfTurn:
    """The recogniser finds from the words that the caller has finished."""


@frozen
class EagerEndOfTurn:
    """The recogniser guesses that the caller has finished, and may withdraw that."""


@frozen
class TurnResumed:
    """The recogniser withdraws its guess: the caller goes on."""


@frozen
class ToolsBegan:
    """Tools that a reply has called begin to run."""


@frozen
class ToolsEnded:
    """All tools of one reply have ended."""

    results: Mapping[str, str]
    """The results by `ToolCall.id`; empty: no reply is to be made to them."""
    failed: frozenset[str] = frozenset()
    """The ids of those that failed or were cancelled."""


@frozen
class ToolSlow:
    """A tool has taken so long that its filler should be said."""

    filler: str
    """The text to say: the tool's `filler`."""


@frozen
class RecogniserLost:
    """The recogniser has failed, and an alternative is being opened."""


@frozen
class RecogniserFound:
    """An alternative recogniser listens, and has been sent the audio that no final covers."""


@frozen
class KeyPressed:
    """The caller has pressed a key (DTMF)."""

    digit: str
    """One of `0123456789*#ABCD`."""


@frozen
class ReplyAudible:
    """The first audio of the reply has been written."""


@frozen
class ReplyEnded:
    """The reply has been played to its end."""

    ending: Ending | None = None
    """The end of the call, if the model has requested it; None: the call goes on."""


@frozen
class RoleFailed:
    """All alternatives of a role have failed."""

    detail: str
    """The last error's message, for the call's record."""
    role: Role = "llm"
    """The role: after "stt" nobody listens; after the others the current reply has failed, and there is none to
    cancel."""


@frozen
class DrainAsked:
    """The call is to end at the next opportunity, with a goodbye."""


@frozen
class Saying:
    """A text that the agent is to say, and that no model is asked for."""

    text: str
    """The text."""
    number: int = 0
    """The number by which the call knows who waits for it; 0: nobody does."""


@frozen
class SayAsked:
    """The program has the agent say a text."""

    saying: Saying
    """The text."""
    interrupt: bool = False
    """True if it is said at once, in place of the present reply; else once nobody speaks."""


@frozen
class SayWithdrawn:
    """The program does not want a text said any more that has not begun."""

    number: int
    """The number of the text."""


@frozen
class FactTold:
    """The program has told the model a fact, which is in the conversation."""

    fact: Told | None
    """The fact, if the agent is to reply to it; None: the model reads it with its next request."""


@frozen
class LanguageSwitched:
    """The program has switched the language of the call."""

    language: str
    """The language, a BCP 47 tag."""


@frozen
class HangUpAsked:
    """The program ends the call."""

    goodbye: str
    """The last words."""


@frozen
class TransferAsked:
    """The program has the caller transferred."""

    target: str
    """The number or extension."""
    by_tool: bool = False
    """True if a tool asks for it: then the tool's result tells the model what came of it."""


@frozen
class TransferDone:
    """Somebody has taken the transfer, or the telephone system has the caller back."""

    ending: Ending
    """The end of the call."""


@frozen
class TransferUnanswered:
    """Nobody took the transfer, and the caller is back."""

    fact: Told
    """What the model is told of it."""


@frozen
class EndOfTurnDue:
    """Timer: the caller has been silent for as long as the words ask for."""


@frozen
class FinalOverdue:
    """Timer: the final that was asked for has not come within `budgets.stt.first_transcript_ms`."""


@frozen
class IdleDue:
    """Timer: there have been no new words for `idle_prompt_s`."""


@frozen
class ResumeDue:
    """Timer: the speech that paused the reply has brought no words within `resume_ms`."""


@frozen
class ProtectionOver:
    """Timer: the reply has been audible for `protect_ms`, and may be interrupted."""


@frozen
class DigitsDue:
    """Timer: no further key has been pressed within `dtmf.gap_ms`."""


@frozen
class FirstWordsDue:
    """Timer: the caller, who was to speak first, has had `first_words_s`."""


@frozen
class AnswerDue:
    """Timer: the caller has had `recording.answer_s` to answer whether the call may be recorded."""


@frozen
class WarningDue:
    """Timer: the call has `warning_s` left."""


@frozen
class MaxLengthDue:
    """Timer: the call has lasted `max_call_minutes`."""


@frozen
class LastWordsOverdue:
    """Timer: the last words have not been said within 30 s."""


Timer = (
    EndOfTurnDue
    | FinalOverdue
    | IdleDue
    | ResumeDue
    | ProtectionOver
    | DigitsDue
    | FirstWordsDue
    | AnswerDue
    | WarningDue
    | MaxLengthDue
    | LastWordsOverdue
)

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
    | RoleFailed
    | DrainAsked
    | SayAsked
    | SayWithdrawn
    | FactTold
    | LanguageSwitched
    | HangUpAsked
    | TransferAsked
    | TransferDone
    | TransferUnanswered
    | Timer
)
