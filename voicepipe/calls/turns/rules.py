"""Turn-taking: what has happened on a call, in; what to do about it, out. No I/O, and no clock but the times passed in.

The whole behaviour is the table `RULES`: one row for each event that means something in a state. A new rule is a
new row and a case in its test; the table and the diagram in the documentation are made from it.
"""

from __future__ import annotations

from math import inf

from voicepipe.calls.turns import events as turn
from voicepipe.calls.turns.state import CUT_SHORT_TIMES, LAST_WORDS_S, Floor, State
from voicepipe.calls.turns.table import RULES, rule
from voicepipe.components.requests import CallStarted

__all__ = ["LAST_WORDS_S", "RULES", "State", "TurnTaking"]

STILL_SPEAKING_MS = 500
"""How long who speaks when a reply begins has to hear that, stop, and be found silent, before it interrupts, in ms."""


class TurnTaking(Floor):
    """The rules of one call's conversation; its state is the `Floor`."""

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
        self._note(event, now)
        if (found := RULES.get((self.state, type(event)))) is not None:
            found(self, event, now)

    # --- Listening to the caller ---------------------------------------------------------------------------------

    @rule(turn.SpeechBegan, "listening", "endpointing")
    def _listen_on(self, _event: turn.SpeechBegan, now: float) -> None:
        """The caller has the floor."""
        self._discard()
        if self._entered is not None:
            self._reply_to_caller(now)  # keys do not wait for what is said after them
        else:
            self._let_speak(now)

    @rule(turn.Partial, "user_speaking")
    def _words_come(self, _event: turn.Partial, now: float) -> None:
        """It is words, not noise."""
        if self._words_are_new:
            self._await_anything(now)
            self._prepare(begin=False)

    @rule(turn.IdleDue, "user_speaking")
    def _noise_goes_on(self, _event: turn.IdleDue, now: float) -> None:
        """So long without a new word is a noise on the line: what was said before is answered, or the caller idle."""
        self._silent_since = now
        self._enter("endpointing")
        if self._gives_partials and not self._partial:
            self._conclude(now)
        else:
            self._ask_for_last_word(now)

    @rule(turn.SpeechEnded, "user_speaking")
    def _await_end_of_turn(self, _event: turn.SpeechEnded, now: float) -> None:
        """The turn ends if the silence lasts as long as the words ask for."""
        self._enter("endpointing")
        self._await_words(now)
        self._prepare(begin=not self._guesses_ends)

    @rule(turn.Partial, "endpointing")
    def _words_catch_up(self, _event: turn.Partial, now: float) -> None:
        """They say how much silence ends the turn."""
        if not self._final_due:
            self._await_words(now)
            self._prepare(begin=not self._guesses_ends)

    @rule(turn.Final, "user_speaking")
    def _keep_words(self, event: turn.Final, now: float) -> None:
        """The words are kept for the reply."""
        if self._keep(event):
            self._await_anything(now)
            self._prepare(begin=False)

    @rule(turn.Final, "listening")
    def _heard_without_voice(self, event: turn.Final, now: float) -> None:
        """Words that voice activity detection missed are a turn like any other."""
        if self._keep(event):
            self._silent_since = now
            self._enter("endpointing")
            self._await_words(now)

    @rule(turn.EndOfTurnDue, "endpointing")
    def _end_turn(self, _event: turn.EndOfTurnDue, now: float) -> None:
        """The caller has finished: reply, after the recogniser's last word if that is still out."""
        if self._is_covered():
            self._reply_to_caller(now)
        else:
            self._ask_for_last_word(now)

    @rule(turn.Final, "endpointing")
    def _last_word(self, event: turn.Final, now: float) -> None:
        """The recogniser's last word, if it was waited for, ends the turn."""
        self._keep(event)
        if self._final_due:
            self._conclude(now)
        else:
            self._await_words(now)
            self._prepare(begin=not self._guesses_ends)

    @rule(turn.FinalOverdue, "endpointing")
    def _no_last_word(self, _event: turn.FinalOverdue, now: float) -> None:
        """A recogniser that does not give its last word has failed: another one is asked."""
        self._do(turn.GiveUpOnFinal())
        if self._entered is not None:
            self._reply_to_caller(now)

    @rule(turn.RecogniserLost, "endpointing")
    def _stop_waiting(self, _event: turn.RecogniserLost, now: float) -> None:
        """Its last word will not come; keys do not wait for another recogniser's."""
        self._timers.pop(turn.FinalOverdue, None)
        if self._entered is not None:
            self._reply_to_caller(now)

    @rule(turn.RecogniserFound, "endpointing")
    def _wait_anew(self, _event: turn.RecogniserFound, now: float) -> None:
        """It has been asked for the last word in its turn."""
        if self._final_due:
            self._timers[turn.FinalOverdue] = now + self._final_s

    @rule(turn.EndOfTurn, "user_speaking", "endpointing")
    def _trust_recogniser(self, _event: turn.EndOfTurn, now: float) -> None:
        """The recogniser knows from the words that the turn is over: no need to wait for silence."""
        if self._unanswered.finals:
            if self._caller_speaks:
                self._silent_since = now
            self._reply_to_caller(now)

    @rule(turn.EagerEndOfTurn, "user_speaking", "endpointing")
    def _trust_guess(self, _event: turn.EagerEndOfTurn, _now: float) -> None:
        """With `preemptive`, a reply to the words so far is begun; nobody hears it before the turn is over."""
        self._prepare()

    @rule(turn.TurnResumed, "user_speaking", "endpointing")
    def _take_guess_back(self, _event: turn.TurnResumed, _now: float) -> None:
        """The reply that was begun is thrown away."""
        self._discard()

    @rule(turn.IdleDue, "listening")
    def _prompt(self, _event: turn.IdleDue, now: float) -> None:
        """The model says something into the silence; after `idle_prompts` of those the call ends."""
        self._prompt_caller(now)

    # --- Keys ------------------------------------------------------------------------------------------------------

    @rule(turn.KeyPressed, "listening", "user_speaking", "endpointing")
    def _take_key(self, event: turn.KeyPressed, now: float) -> None:
        """A menu key does what it is for; others are replied to, one by one or as a number."""
        self._press(event.digit, now)

    @rule(turn.DigitsDue, "listening", "user_speaking", "endpointing")
    def _answer_digits(self, _event: turn.DigitsDue, now: float) -> None:
        """The number is complete: it is replied to."""
        self._reply_to_digits(now, after_words=False)

    @rule(turn.KeyPressed, "thinking", "speaking", "interrupted")
    def _interrupt_by_key(self, event: turn.KeyPressed, now: float) -> None:
        """A key interrupts whatever is said."""
        self._give_way(now)
        self._press(event.digit, now)

    @rule(turn.DigitsDue, "thinking", "speaking", "interrupted")
    def _interrupt_by_digits(self, _event: turn.DigitsDue, now: float) -> None:
        """So does a number whose keys were pressed before."""
        self._give_way(now)
        self._reply_to_digits(now, after_words=False)

    def _give_way(self, now: float) -> None:
        self._do(turn.CancelReply(retracted=False))
        self._unanswered.answered()
        if self._caller_speaks:
            self._let_speak(now)
        else:
            self._enter("listening")

    # --- Replying ------------------------------------------------------------------------------------------------

    @rule(turn.Answered, "listening")
    def _begin(self, event: turn.Answered, now: float) -> None:
        """The greeting is said, or the model speaks first."""
        limits = self._limits
        self._timers[turn.MaxLengthDue] = now + limits.max_call_minutes * 60
        if 0 < limits.warning_s < limits.max_call_minutes * 60:
            self._timers[turn.WarningDue] = self._timers[turn.MaxLengthDue] - limits.warning_s
        if event.greeting is None:
            self._reply(CallStarted())
        else:
            self._announce(event.greeting)

    @rule(turn.ReplyAudible, "thinking")
    def _be_heard(self, _event: turn.ReplyAudible, now: float) -> None:
        """What was replied to is answered."""
        self._unanswered.answered()
        self._resumed_early = False
        self._sustained &= self._caller_speaks
        self._enter("speaking")
        self._audible_since = now
        protect_ms = max(self._turns.barge_in.protect_ms, STILL_SPEAKING_MS if self._caller_speaks else 0)
        if self._cut_short >= CUT_SHORT_TIMES:
            self._timers[turn.ProtectionOver] = inf
        elif protect_ms:
            self._timers[turn.ProtectionOver] = now + protect_ms / 1000

    @rule(turn.SpeechSustained, "thinking")
    def _caller_goes_on(self, _event: turn.SpeechSustained, now: float) -> None:
        """The caller had not finished: the reply that nobody heard is thrown away, and both parts get one reply."""
        if self._unanswered.is_retractable:
            self._retract()
            self._let_speak(now)

    @rule(turn.Final, "thinking")
    def _late_words(self, event: turn.Final, now: float) -> None:
        """Words that came after the turn was thought to be over belong to it."""
        retractable = self._unanswered.is_retractable
        if self._keep(event) and retractable:
            self._retract()
            self._reply_to_caller(now)

    @rule(turn.SpeechSustained, "speaking")
    def _barge_in(self, _event: turn.SpeechSustained, now: float) -> None:
        """Barge-in: the caller speaks, the reply stops. Whether for good, the words say."""
        barge_in = self._turns.barge_in
        if not barge_in.enabled or barge_in.min_words or turn.ProtectionOver in self._timers:
            return
        if not barge_in.resume_ms or self._interrupts(self._partial, so_far=True):
            self._interrupt(now)
            return
        self._do(turn.PauseReply())
        self._enter("interrupted")
        self._timers[turn.ResumeDue] = now + barge_in.resume_ms / 1000

    @rule(turn.ProtectionOver, "speaking")
    def _protected_no_more(self, _event: turn.ProtectionOver, now: float) -> None:
        """Who still speaks now interrupts."""
        if self._caller_speaks and self._sustained:
            self._barge_in(turn.SpeechSustained(), now)

    @rule(turn.Partial, "speaking")
    def _interrupt_by_words(self, event: turn.Partial, now: float) -> None:
        """Barge-in that waits for `min_words`, or words that come after the reply went on without them."""
        if (self._caller_speaks or self._resumed_early) and self._are_enough(event.text, so_far=True):
            self._interrupt(now)

    @rule(turn.SpeechEnded, "speaking")
    def _ask_over_reply(self, _event: turn.SpeechEnded, _now: float) -> None:
        """A recogniser without partials is asked for the words that `min_words` waits for."""
        barge_in = self._turns.barge_in
        if barge_in.enabled and barge_in.min_words and self._sustained and not self._gives_partials:
            self._do(turn.FinaliseTranscript())

    @rule(turn.Final, "speaking")
    def _words_while_speaking(self, event: turn.Final, now: float) -> None:
        """Late or enough, they interrupt; else they wait for the reply's end. Signs of listening are only noted."""
        interrupts = (self._resumed_early or self._sustained) and self._are_enough(event.text)
        self._resumed_early = False
        if not event.text or self._interrupts(event.text):
            self._keep(event)
        else:
            self._words_due = False
            self._keep_sign(event)
        if interrupts:
            self._interrupt(now)

    @rule(turn.Partial, "interrupted")
    def _it_is_words(self, event: turn.Partial, now: float) -> None:
        """Words: the reply is over."""
        if self._interrupts(event.text, so_far=True):
            self._interrupt(now)

    @rule(turn.Final, "interrupted")
    def _it_was_words(self, event: turn.Final, now: float) -> None:
        """Words end the reply and are replied to; without any, or when the caller only listens, it goes on."""
        if self._interrupts(event.text):
            self._keep(event)
            self._interrupt(now)
            return
        self._keep_sign(event)
        if self._final_due or not self._caller_speaks:
            self._words_due = False
            self._go_on(wordless=not event.text)

    @rule(turn.SpeechEnded, "interrupted")
    def _ask_for_words(self, _event: turn.SpeechEnded, now: float) -> None:
        """The recogniser is asked whether there were words."""
        self._do(turn.FinaliseTranscript())
        self._timers[turn.ResumeDue] = now + self._turns.barge_in.resume_ms / 1000

    @rule(turn.ResumeDue, "interrupted")
    def _resume(self, _event: turn.ResumeDue, now: float) -> None:
        """No words have come: the reply goes on where it stopped. A recogniser without partials is asked first."""
        if self._caller_speaks and not self._gives_partials and not self._final_due:
            self._final_due = True
            self._do(turn.FinaliseTranscript())
            self._timers[turn.ResumeDue] = now + self._final_s
        else:
            self._resumed_early = True
            self._go_on(wordless=True)

    @rule(turn.ReplyEnded, "thinking", "speaking", "interrupted")
    def _give_floor(self, event: turn.ReplyEnded, now: float) -> None:
        """The caller's turn, or the end if the model wants it."""
        self._unanswered.answered()
        self._cut_short = 0
        if event.ending is not None:
            self._ending = event.ending
            self._end()
        elif self._draining:
            self._enter("listening")
            self._close(self._limits.goodbye, turn.Ending("drained"), now)
        elif self._caller_speaks:
            self._let_speak(now)
        elif self._unanswered.finals or self._words_due:
            self._enter("endpointing")
            self._await_words(now)
        else:
            self._listen(now)

    # --- Tools -------------------------------------------------------------------------------------------------------

    @rule(turn.ToolsBegan, "listening")
    def _wait_for_tools(self, _event: turn.ToolsBegan, _now: float) -> None:
        """A caller who waits for something is not idle."""
        self._timers.pop(turn.IdleDue, None)

    @rule(turn.ToolsEnded, "listening")
    def _answer_tools(self, _event: turn.ToolsEnded, now: float) -> None:
        """The model makes something of the results; if somebody speaks, in the next reply."""
        self._listen(now)

    @rule(turn.ToolSlow, "listening")
    def _fill(self, event: turn.ToolSlow, _now: float) -> None:
        """Something is said meanwhile."""
        self._announce(event.filler)

    # --- Ending --------------------------------------------------------------------------------------------------

    @rule(turn.Failed, "listening", "user_speaking", "endpointing", "thinking", "speaking", "interrupted")
    def _apologise(self, event: turn.Failed, now: float) -> None:
        """An apology, then what `on_failure.then` says: never dead air."""
        then = self._on_failure.then
        if isinstance(then, str):
            ending = turn.Ending("failed" if then == "hang_up" else "returned_to_dialplan", event.detail)
        else:
            ending = turn.Ending("transfer_requested", then.transfer)
        if event.role != "stt":
            self._enter("listening")  # it was the reply that failed, so none is on
        self._close(self._on_failure.say, ending, now, apology=True)

    @rule(turn.WarningDue, "listening")
    def _warn(self, _event: turn.WarningDue, _now: float) -> None:
        """The caller is told that the call must end soon."""
        self._announce(self._limits.warning)

    @rule(turn.WarningDue, "user_speaking", "endpointing", "thinking", "speaking", "interrupted")
    def _warn_later(self, _event: turn.WarningDue, _now: float) -> None:
        """The caller is told when nobody speaks."""
        self._unsaid = self._limits.warning

    @rule(turn.MaxLengthDue, "listening", "user_speaking", "endpointing", "thinking", "speaking", "interrupted")
    def _too_long(self, _event: turn.MaxLengthDue, now: float) -> None:
        """The call has reached its greatest length."""
        self._close(self._limits.goodbye, turn.Ending("max_length"), now)

    @rule(turn.DrainAsked, "listening", "user_speaking", "endpointing")
    def _drain(self, _event: turn.DrainAsked, now: float) -> None:
        """Goodbye."""
        self._close(self._limits.goodbye, turn.Ending("drained"), now)

    @rule(turn.DrainAsked, "thinking", "speaking", "interrupted")
    def _drain_later(self, _event: turn.DrainAsked, _now: float) -> None:
        """The reply may end first."""
        self._draining = True

    @rule(turn.ReplyEnded, "closing")
    @rule(turn.LastWordsOverdue, "closing")
    def _ended(self, _event: turn.ReplyEnded | turn.LastWordsOverdue, _now: float) -> None:
        """The last words were said, or have had their time."""
        self._end()

    @rule(turn.Final, "closing")
    @rule(turn.KeyPressed, "closing")
    def _only_keep(self, event: turn.Final | turn.KeyPressed, _now: float) -> None:
        """What is said or pressed over the last words gets no reply; it is in the record."""
        if isinstance(event, turn.KeyPressed):
            self._unanswered.dial(event.digit)
        else:
            self._keep(event)

    @rule(turn.Failed, "closing")
    def _not_even_that(self, event: turn.Failed, _now: float) -> None:
        """Not even the last words could be said; that nobody listens any more doesn't matter to them."""
        if event.role != "stt":
            self._end()
