"""The state of turn-taking: all that is remembered of one call between two events. Sans-IO.

`TurnState` is plain data. The rules in `rules/` read and change it, and nothing else does; `turn_taking` says how it
all fits together. Times are seconds on the clock of the `now` that the rules are given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from attrs import define, field, frozen

from voicepipe.calls.turns import events
from voicepipe.calls.turns.actions import Action
from voicepipe.calls.turns.unanswered import Unanswered
from voicepipe.components.requests import Dtmf, Trigger
from voicepipe.config.call_settings import KeyAction, LimitsSettings, OnFailure, TurnsSettings

Phase = Literal[
    "listening",
    "user_speaking",
    "endpointing",
    "thinking",
    "speaking",
    "interrupted",
    "asking_consent",
    "awaiting_consent",
    "transferring",
    "closing",
]
"""The phases of a conversation.

`listening`: nobody speaks; `user_speaking`: the caller speaks; `endpointing`: the caller has stopped, and may go on;
`thinking`: a reply was requested and none of it has been heard; `speaking`: the reply is being heard; `interrupted`:
the reply is paused, because the caller seems to speak; `asking_consent`: the caller hears that the call is to be
recorded, or is asked whether it may be; `awaiting_consent`: the caller answers that, or is to speak first;
`transferring`: the agent is silent until somebody takes the
call or the caller is back; `closing`: last words are said, then the call ends.
"""

REPLYING = frozenset[Phase]({"thinking", "speaking", "interrupted", "asking_consent"})
"""The phases with a reply that can be cancelled."""

BEFORE_THE_END: tuple[Phase, ...] = (
    "listening",
    "user_speaking",
    "endpointing",
    "thinking",
    "speaking",
    "interrupted",
    "asking_consent",
    "awaiting_consent",
)
"""The phases in which the call neither ends nor is transferred."""

TIMERS_OF_PHASE: tuple[type[events.Timer], ...] = (
    events.EndOfTurnDue,
    events.FinalOverdue,
    events.IdleDue,
    events.ResumeDue,
    events.ProtectionOver,
    events.AnswerDue,
)
"""Timers that are cancelled when the phase changes; the others run on."""


@frozen
class SpeechTimes:
    """When the caller spoke what a reply takes up, in s on the clock of `now`."""

    began: float | None
    """The beginning of the speech; None: nothing was said, or no speech was detected."""
    ended: float
    """The end of the last speech, or the time at which a rule ended the turn during it."""
    final: float
    """The time of the last final transcript."""


@define(eq=False)
class TurnState:
    """The state of one call that the rules read and change, and its settings."""

    # Settings: set when the call begins, never changed.

    turns: TurnsSettings
    """The section `turns`: the ends of turns, and interruptions."""
    limits: LimitsSettings
    """The section `limits`."""
    on_failure: OnFailure
    """The section `on_failure`."""
    final_s: float
    """The time within which a final transcript that was requested must come, in s."""
    keys: Mapping[str, KeyAction]
    """Menu keys, by digit; a key that is not in here is replied to."""
    language: str | None
    """The language of the call, a BCP 47 tag; None if it is not known."""

    # The conversation: set by the rules.

    phase: Phase = "listening"
    """The present phase; changed by `enter`."""
    timers: dict[type[events.Timer], float] = field(factory=dict)
    """The time at which each running timer is due, in s; `inf` for a protection that lasts as long as its phase."""
    actions: list[Action] = field(factory=list)
    """The actions that the present event causes, in order; each event begins with a new list."""
    unanswered: Unanswered = field(factory=Unanswered)
    """The caller's words and keys that no reply has taken up yet."""

    # The caller's speech: set from voice activity, in every phase.

    caller_speaks: bool = False
    """True while the caller speaks."""
    speech_sustained: bool = False
    """True if that speech, or the last, has lasted for `barge_in.min_speech_ms`; cleared when a reply becomes audible
    in silence, since speech before a reply is none over it."""
    speaks_since: float = 0.0
    """The time at which the caller began that speech, or the last, in s."""
    spoken_from: float | None = None
    """The time at which the speech began that no final transcript covers yet, in s, noises before it left out; None:
    there is none."""
    words_from: float | None = None
    """The time at which the speech of the latest final transcript began, in s; None: no speech was detected."""
    silent_since: float = 0.0
    """The time at which the caller stopped speaking, in s; a rule that ends a turn during speech sets it."""
    speech_end_ms: float = 0.0
    """The end of the last speech in the call's audio, in ms."""
    speech_is_uncovered: bool = False
    """True if the caller spoke, and no final transcript has reached the end of that speech."""

    # The recogniser: set from transcripts, in every phase; cleared when the recogniser is lost.

    partial: str = ""
    """The latest partial transcript; empty after a final."""
    partial_has_changed: bool = False
    """True if the latest partial has words, and other words than the one before: noise on the line brings none."""
    gives_partials: bool = False
    """True if this recogniser has sent a partial; one that has not must be asked before silence means "no words"."""
    guesses_end_of_turn: bool = False
    """True if this recogniser has sent an `EagerEndOfTurn`; then its guesses begin replies, and pauses do not."""
    last_final_at: float = 0.0
    """The time of the last final, in s: `final_at` of a reply's timings."""
    awaits_final: bool = False
    """True if a rule has requested a final and will decide by it; cleared by `enter`."""

    # Replies: set by the rules.

    prepared_phrase: str | None = None
    """The words that a preemptive reply was prepared for, in the form in which words are compared; None if there is no
    prepared reply."""
    digits_awaiting_final: Dtmf | None = None
    """Keys whose reply waits for the final of the words before them; only while `endpointing`."""
    audible_since: float = 0.0
    """The time at which the current reply, or the last, became audible, in s."""
    hasty_interruptions: int = 0
    """The number of replies in a row that were interrupted within `barge_in.HASTY_S`."""
    interrupted_by_partial: bool = False
    """True if the last reply was interrupted by a partial or by speech, and no final has brought words since: then the
    caller is owed a reply even if there were none."""
    resumed_before_final: bool = False
    """True if the reply was resumed before the recogniser told of any words; late words then end it."""
    idle_prompts: int = 0
    """The number of replies in a row that were prompts into the caller's silence."""
    replying_to: Trigger | None = None
    """The event that the reply in `thinking` answers; None: it is an announcement."""
    greeting: str | None = None
    """The text that the agent says first; None: the model speaks first."""
    greeting_is_due: bool = False
    """True if the agent has not spoken and is to greet; a reply of the model takes the greeting's place."""

    # Consent to the recording: set by the rules, before the greeting.

    consent: events.ConsentRequest | None = None
    """What the caller is told or asked before anything else; None: nothing, or it is settled."""
    times_asked: int = 0
    """How often that was said, or begun."""
    consent_was_heard: bool = False
    """True if the caller has heard any of it."""
    answer_until: float = 0.0
    """The time until which the caller may begin to answer, in s."""
    spoke_over_question: bool = False
    """True if the caller has said or pressed something over the question that is no answer."""

    # The program: set by the rules from what it asks for.

    sayings: list[events.Saying] = field(factory=list)
    """The texts that are said as soon as nobody speaks, in order: the program's, and the warning of the greatest
    length."""
    owed: Trigger | None = None
    """The event that the model is asked to reply to as soon as nobody speaks: a fact, or what an interruption by the
    program left unanswered. Every request to a model clears it, as the conversation has it."""
    transfer_to: str = ""
    """The target of a transfer that begins when the reply has ended; empty: none does."""
    tools_transfer: str = ""
    """The target of a transfer that a tool has asked for, and whose result the model is going to reply to; empty: there
    is none."""
    if_back: events.Ending | None = None
    """The end of the call if nobody takes the transfer; None: the conversation goes on."""
    role_lost: events.RoleFailed | None = None
    """The failure of a role during a transfer, to be apologised for if nobody takes it."""

    # Tools: set from their events, in every phase.

    running_tools: int = 0
    """The number of replies whose tools still run; the caller, who waits for them, is not idle."""
    tool_results: dict[str, str] = field(factory=dict)
    """Results by `ToolCall.id` that no reply has taken up; cleared when a reply is requested."""
    failed_tools: set[str] = field(factory=set)
    """The ids of `tool_results` whose tools failed."""

    # The end: set by the rules.

    draining: bool = False
    """True if the call ends after the current reply."""
    ending: events.Ending | None = None
    """The end of the call once the last words are said; None before that is known, and after `End` was requested."""

    def enter(self, phase: Phase) -> None:
        """Changes the phase, or begins it anew, and cancels the timers and the wait that belong to the old one."""
        self.phase = phase
        self.awaits_final = False
        for timer in TIMERS_OF_PHASE:
            self.timers.pop(timer, None)
