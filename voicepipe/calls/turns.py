"""Turn-taking: what has happened on a call, in; what to do about it, out. No I/O, and no clock but the times passed in.

The whole behaviour is the table `RULES`: one row for each event that means something in a state. A new rule is a
new row and a case in its test; the table in the documentation is printed from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from voicepipe.calls import turn_events as turn
from voicepipe.config.settings import LimitsSettings, OnFailure, TransferTo, TurnsSettings
from voicepipe.requests import CallStarted, Dtmf, Silence, Trigger, Utterance

if TYPE_CHECKING:
    from collections.abc import Callable

State = Literal["listening", "user_speaking", "endpointing", "thinking", "speaking", "closing"]
"""
`listening`: nobody speaks; `user_speaking`: the caller does; `endpointing`: the caller has stopped, perhaps for good;
`thinking`: a reply was asked for and is not heard yet; `speaking`: it is heard; `closing`: last words, then the end.
"""

COVERED_MS = 20
"""How far a final transcript may end before the end of speech and still cover it."""

LAST_WORDS_S = 30.0
"""How long the last words may take, in s: a synthesiser that hangs does not keep the call."""


RULES: dict[tuple[State, type[turn.Event]], Callable[[TurnTaking, Any, float], None]] = {}
"""What each event does in each state; an event without a row does nothing."""


def _rule(
    event: type[turn.Event], *states: State
) -> Callable[[Callable[[TurnTaking, Any, float], None]], Callable[[TurnTaking, Any, float], None]]:
    def register(rule: Callable[[TurnTaking, Any, float], None]) -> Callable[[TurnTaking, Any, float], None]:
        for state in states:
            if RULES.setdefault((state, event), rule) is not rule:
                raise AssertionError(f"two rules for {event.__name__} while {state}")
        return rule

    return register


class TurnTaking:
    """The state of one call's conversation.

    Args:
        turns: when turns end and replies are interrupted.
        limits: what the call may not exceed.
        on_failure: what is said and done when a role fails.
        final_ms: how long to wait for the recogniser's last word, in ms.

    """

    def __init__(
        self, turns: TurnsSettings, limits: LimitsSettings, on_failure: OnFailure, final_ms: int = 1500
    ) -> None:
        self.state: State = "listening"
        """What the call is doing."""
        self._turns, self._limits, self._on_failure = turns, limits, on_failure
        self._final_s = final_ms / 1000
        self._actions: list[turn.Action] = []
        self._timers: dict[type[turn.Timer], float] = {}
        self._finals: list[turn.Final] = []  # what the caller has said and nobody has replied to
        self._answering: list[turn.Final] = []  # what the reply that is not heard yet replies to
        self._caller_speaks = False
        self._silent_since = 0.0
        self._speech_end_ms = 0.0
        self._final_due = False
        self._words_due = False  # the caller spoke, and no final reaches that far
        self._idle_prompts = 0
        self._ending: turn.Ending | None = None
        self._draining = False

    @property
    def deadline(self) -> float:
        """When `tick` is due, on the clock of the times passed in; infinite if no timer runs."""
        return min(self._timers.values(), default=float("inf"))

    @property
    def silent_since(self) -> float:
        """When the caller was last heard to speak."""
        return self._silent_since

    def handle(self, event: turn.Event, now: float) -> list[turn.Action]:
        """What to do about an event, in order."""
        self._actions = []
        self._apply(event, now)
        return self._actions

    def tick(self, now: float) -> list[turn.Action]:
        """What to do about the timers that have run out."""
        self._actions = []
        for timer, due in sorted(self._timers.items(), key=lambda item: item[1]):
            if due <= now and self._timers.pop(timer, None) is not None:
                self._apply(timer(), now)
        return self._actions

    def _apply(self, event: turn.Event, now: float) -> None:
        if isinstance(event, turn.SpeechBegan):
            self._caller_speaks = True
        elif isinstance(event, turn.SpeechEnded):
            self._caller_speaks, self._silent_since = False, now - event.silent_s
            self._speech_end_ms, self._words_due = event.audio_ms, True
        if (rule := RULES.get((self.state, type(event)))) is not None:
            rule(self, event, now)

    # --- Listening to the caller ---------------------------------------------------------------------------------

    @_rule(turn.SpeechBegan, "listening", "endpointing")
    def _listen_on(self, _event: turn.SpeechBegan, _now: float) -> None:
        """The caller has the floor."""
        self._enter("user_speaking")

    @_rule(turn.SpeechEnded, "user_speaking")
    def _await_end_of_turn(self, event: turn.SpeechEnded, now: float) -> None:
        """The turn ends if the silence lasts `end_of_turn_ms`."""
        self._enter("endpointing")
        self._timers[turn.EndOfTurnDue] = now - event.silent_s + self._turns.end_of_turn_ms / 1000

    @_rule(turn.Final, "user_speaking", "speaking", "closing")
    def _note(self, event: turn.Final, _now: float) -> None:
        """The words are kept for the reply."""
        self._keep(event)

    @_rule(turn.Final, "listening")
    def _heard_without_voice(self, event: turn.Final, now: float) -> None:
        """Words that voice activity detection missed are a turn like any other."""
        if self._keep(event):
            self._silent_since = now
            self._enter("endpointing")
            self._timers[turn.EndOfTurnDue] = now + self._turns.end_of_turn_ms / 1000

    @_rule(turn.EndOfTurnDue, "endpointing")
    def _end_turn(self, _event: turn.EndOfTurnDue, now: float) -> None:
        """The caller has finished: reply, after the recogniser's last word if that is still out."""
        if self._is_covered():
            self._reply_to_utterance()
        else:
            self._final_due = True
            self._do(turn.FinaliseTranscript())
            self._timers[turn.FinalOverdue] = now + self._final_s

    @_rule(turn.Final, "endpointing")
    def _last_word(self, event: turn.Final, now: float) -> None:
        """The recogniser's last word, if it was waited for, ends the turn."""
        self._keep(event)
        if self._final_due:
            self._conclude(now)

    @_rule(turn.FinalOverdue, "endpointing")
    def _no_last_word(self, _event: turn.FinalOverdue, _now: float) -> None:
        """A recogniser that does not give its last word has failed: another one is asked."""
        self._do(turn.GiveUpOnFinal())

    @_rule(turn.RecogniserLost, "endpointing")
    def _stop_waiting(self, _event: turn.RecogniserLost, _now: float) -> None:
        """Its last word will not come."""
        self._timers.pop(turn.FinalOverdue, None)

    @_rule(turn.RecogniserFound, "endpointing")
    def _wait_anew(self, _event: turn.RecogniserFound, now: float) -> None:
        """It has been asked for the last word in its turn."""
        if self._final_due:
            self._timers[turn.FinalOverdue] = now + self._final_s

    @_rule(turn.EndOfTurn, "user_speaking", "endpointing")
    def _trust_recogniser(self, _event: turn.EndOfTurn, now: float) -> None:
        """The recogniser knows from the words that the turn is over: no need to wait for silence."""
        if self._finals:
            if self._caller_speaks:
                self._silent_since = now
            self._reply_to_utterance()

    @_rule(turn.KeyPressed, "listening", "user_speaking", "endpointing")
    def _answer_key(self, event: turn.KeyPressed, _now: float) -> None:
        """A key is replied to at once."""
        self._finals.clear()
        self._idle_prompts = 0
        self._reply(Dtmf(event.digit))

    @_rule(turn.IdleDue, "listening")
    def _prompt(self, _event: turn.IdleDue, now: float) -> None:
        """The model says something into the silence; after `idle_prompts` of those the call ends."""
        self._idle_prompts += 1
        if self._idle_prompts > self._limits.idle_prompts:
            self._close(self._limits.goodbye, turn.Ending("idle"), now)
        else:
            self._reply(Silence(self._idle_prompts))

    # --- Replying ------------------------------------------------------------------------------------------------

    @_rule(turn.Answered, "listening")
    def _begin(self, event: turn.Answered, now: float) -> None:
        """The greeting is said, or the model speaks first."""
        self._timers[turn.MaxLengthDue] = now + self._limits.max_call_minutes * 60
        if event.greeting is None:
            self._reply(CallStarted())
        else:
            self._enter("thinking")
            self._do(turn.Announce(event.greeting))

    @_rule(turn.ReplyAudible, "thinking")
    def _be_heard(self, _event: turn.ReplyAudible, _now: float) -> None:
        """What was replied to is answered."""
        self._answering = []
        self._enter("speaking")

    @_rule(turn.SpeechSustained, "thinking")
    def _caller_goes_on(self, _event: turn.SpeechSustained, _now: float) -> None:
        """The caller had not finished: the reply that nobody heard is thrown away, and both parts get one reply."""
        self._retract()
        self._enter("user_speaking")

    @_rule(turn.Final, "thinking")
    def _late_words(self, event: turn.Final, _now: float) -> None:
        """Words that came after the turn was thought to be over belong to it."""
        answering = bool(self._answering)
        if self._keep(event) and answering:
            self._retract()
            self._reply_to_utterance()

    @_rule(turn.SpeechSustained, "speaking")
    def _interrupt(self, _event: turn.SpeechSustained, _now: float) -> None:
        """Barge-in: the caller speaks, the reply stops."""
        if self._turns.barge_in.enabled and not self._turns.barge_in.min_words:
            self._do(turn.CancelReply(retracted=False))
            self._enter("user_speaking")

    @_rule(turn.Partial, "speaking")
    def _interrupt_by_words(self, event: turn.Partial, _now: float) -> None:
        """Barge-in that waits for `min_words`."""
        needed = self._turns.barge_in.min_words
        if self._turns.barge_in.enabled and self._caller_speaks and 0 < needed <= len(event.text.split()):
            self._do(turn.CancelReply(retracted=False))
            self._enter("user_speaking")

    @_rule(turn.KeyPressed, "thinking", "speaking")
    def _interrupt_by_key(self, event: turn.KeyPressed, now: float) -> None:
        """A key interrupts whatever is said."""
        self._do(turn.CancelReply(retracted=False))
        self._answering = []
        self._answer_key(event, now)

    @_rule(turn.ReplyEnded, "thinking", "speaking")
    def _give_floor(self, event: turn.ReplyEnded, now: float) -> None:
        """The caller's turn, or the end if the model wants it."""
        self._answering = []
        if event.ending is not None:
            self._ending = event.ending
            self._end()
        elif self._draining:
            self._enter("listening")
            self._close(self._limits.goodbye, turn.Ending("drained"), now)
        elif self._caller_speaks:
            self._enter("user_speaking")
        elif self._finals or self._words_due:
            self._enter("endpointing")
            self._timers[turn.EndOfTurnDue] = max(now, self._silent_since + self._turns.end_of_turn_ms / 1000)
        else:
            self._listen(now)

    # --- Ending --------------------------------------------------------------------------------------------------

    @_rule(turn.Failed, "listening", "user_speaking", "endpointing", "thinking", "speaking")
    def _apologise(self, event: turn.Failed, now: float) -> None:
        """An apology, then what `on_failure.then` says: never dead air."""
        then = self._on_failure.then
        if isinstance(then, TransferTo):
            ending = turn.Ending("transfer_requested", then.transfer)
        else:
            ending = turn.Ending("failed" if then == "hang_up" else "returned_to_dialplan", event.detail)
        if event.role != "stt":
            self._enter("listening")  # it was the reply that failed, so none is on
        self._close(self._on_failure.say, ending, now, apology=True)

    @_rule(turn.MaxLengthDue, "listening", "user_speaking", "endpointing", "thinking", "speaking")
    def _too_long(self, _event: turn.MaxLengthDue, now: float) -> None:
        """The call has reached its greatest length."""
        self._close(self._limits.goodbye, turn.Ending("max_length"), now)

    @_rule(turn.DrainAsked, "listening", "user_speaking", "endpointing")
    def _drain(self, _event: turn.DrainAsked, now: float) -> None:
        """Goodbye."""
        self._close(self._limits.goodbye, turn.Ending("drained"), now)

    @_rule(turn.DrainAsked, "thinking", "speaking")
    def _drain_later(self, _event: turn.DrainAsked, _now: float) -> None:
        """The reply may end first."""
        self._draining = True

    @_rule(turn.ReplyEnded, "closing")
    @_rule(turn.LastWordsOverdue, "closing")
    def _ended(self, _event: turn.ReplyEnded | turn.LastWordsOverdue, _now: float) -> None:
        """The last words were said, or have had their time."""
        self._end()

    @_rule(turn.Failed, "closing")
    def _not_even_that(self, event: turn.Failed, _now: float) -> None:
        """Not even the last words could be said; that nobody listens any more doesn't matter to them."""
        if event.role != "stt":
            self._end()

    # --- Steps that rules share ----------------------------------------------------------------------------------

    def _do(self, action: turn.Action) -> None:
        self._actions.append(action)

    def _enter(self, state: State) -> None:
        self.state = state
        self._final_due = False
        for timer in (turn.EndOfTurnDue, turn.FinalOverdue, turn.IdleDue):
            self._timers.pop(timer, None)

    def _listen(self, now: float) -> None:
        self._enter("listening")
        self._timers[turn.IdleDue] = now + self._limits.idle_prompt_s

    def _reply(self, trigger: Trigger) -> None:
        self._enter("thinking")
        self._do(turn.Reply(trigger))

    def _keep(self, final: turn.Final) -> bool:
        if final.audio_ms is None or self._reaches_end_of_speech(final.audio_ms):
            self._words_due = False
        if final.text:
            self._finals.append(final)
        return bool(final.text)

    def _is_covered(self) -> bool:
        """Whether everything that was said is in the finals already."""
        reaches = self._finals[-1].audio_ms if self._finals else None
        return reaches is not None and self._reaches_end_of_speech(reaches)

    def _reaches_end_of_speech(self, audio_ms: float) -> bool:
        return audio_ms + COVERED_MS >= self._speech_end_ms

    def _conclude(self, now: float) -> None:
        self._words_due = False
        if self._finals:
            self._reply_to_utterance()
        else:
            self._listen(now)  # a noise, not words

    def _reply_to_utterance(self) -> None:
        self._answering, self._finals = self._finals, []
        self._idle_prompts = 0
        last = self._answering[-1]
        text = " ".join(final.text for final in self._answering)
        self._reply(Utterance(text, last.language, last.confidence))

    def _retract(self) -> None:
        self._do(turn.CancelReply(retracted=bool(self._answering)))
        self._finals = self._answering + self._finals
        self._answering = []

    def _close(self, text: str, ending: turn.Ending, now: float, *, apology: bool = False) -> None:
        if self.state in {"thinking", "speaking"}:
            self._do(turn.CancelReply(retracted=False))
        self._enter("closing")
        self._timers.clear()
        self._ending = ending
        if text:
            self._timers[turn.LastWordsOverdue] = now + LAST_WORDS_S
            self._do(turn.Announce(text, apology))
        else:
            self._end()

    def _end(self) -> None:
        self._enter("closing")
        self._timers.clear()
        if self._ending is not None:
            self._do(turn.End(self._ending))
            self._ending = None
