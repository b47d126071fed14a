"""The floor of a conversation: whose it is, what was said on it, which timers run. What rules share. Sans-IO."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from voicepipe.calls.turns import events as turn
from voicepipe.calls.turns.endpointing import silence_ms
from voicepipe.calls.turns.unanswered import Unanswered, utterance_of
from voicepipe.components.requests import Dtmf, Silence, ToolResults
from voicepipe.text.backchannels import is_backchannel
from voicepipe.text.words import count_words
from voicepipe.text.words import phrase_of as plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.components.requests import Trigger
    from voicepipe.config.call_settings import KeyAction, LimitsSettings, OnFailure, TurnsSettings

State = Literal["listening", "user_speaking", "endpointing", "thinking", "speaking", "interrupted", "closing"]
"""
`listening`: nobody speaks; `user_speaking`: the caller does; `endpointing`: the caller has stopped, perhaps for good;
`thinking`: a reply was asked for and is not heard yet; `speaking`: it is heard; `interrupted`: it is paused, because
the caller seems to speak; `closing`: last words, then the end.
"""

REPLYING = frozenset[State]({"thinking", "speaking", "interrupted"})
"""While these a reply is on."""

COVERED_MS = 20
"""How far a final transcript may end before the end of speech and still cover it."""

LAST_WORDS_S = 30.0
"""How long the last words may take, in s: a synthesiser that hangs does not keep the call."""

CUT_SHORT_S = 1.5
"""A reply that is interrupted within so many seconds was hardly heard."""

CUT_SHORT_TIMES = 3
"""So many in a row are a loop, in which the agent interrupts itself: the next reply is heard to its end."""

WITHIN_STATE: tuple[type[turn.Timer], ...] = (
    turn.EndOfTurnDue,
    turn.FinalOverdue,
    turn.IdleDue,
    turn.ResumeDue,
    turn.ProtectionOver,
)
"""Timers that mean nothing once the state has changed."""


@lru_cache
def _phrases(phrases: tuple[str, ...], language: str | None) -> frozenset[str]:
    """A setting's phrases, as they are compared; all calls share the result."""
    return frozenset(plain(phrase, language) for phrase in phrases)


class Floor:
    """The state of one call's conversation, and the steps that rules are made of.

    Args:
        turns: when turns end and replies are interrupted.
        limits: what the call may not exceed.
        on_failure: what is said and done when a role fails.
        final_ms: how long to wait for the recogniser's last word, in ms.
        keys: what menu keys do.
        language: what is spoken, as a BCP 47 tag; None: not known.

    """

    def __init__(
        self,
        turns: TurnsSettings,
        limits: LimitsSettings,
        on_failure: OnFailure,
        final_ms: int = 1500,
        *,
        keys: Iterable[tuple[str, KeyAction]] = (),
        language: str | None = None,
    ) -> None:
        self.state: State = "listening"
        """What the call is doing."""
        self._turns, self._limits, self._on_failure = turns, limits, on_failure
        self._final_s = final_ms / 1000
        self._keys = dict(keys)
        self._language = language
        self._actions: list[turn.Action] = []
        self._timers: dict[type[turn.Timer], float] = {}
        self._unanswered = Unanswered()
        self._partial = ""  # what the recogniser makes of the rest so far
        self._gives_partials = False  # this recogniser
        self._words_are_new = False  # in the last partial
        self._prepared: str | None = None  # what a reply was begun to
        self._guesses_ends = False  # this recogniser, from the words: it knows better than a pause
        self._caller_speaks = self._sustained = False
        self._silent_since = self._final_at = 0.0
        self._speech_end_ms = 0.0
        self._final_due = False
        self._words_due = False  # the caller spoke, and no final reaches that far
        self._audible_since = 0.0  # the reply
        self._cut_short = 0  # replies in a row
        self._cut_by_partial = False  # a reply, by a guess that no final has borne out
        self._resumed_early = False  # the reply went on before the recogniser had said whether there were words
        self._entered: Dtmf | None = None  # keys that are replied to when the words before them are final
        self._idle_prompts = 0
        self._tools_run = 0  # replies whose tools have not all ended
        self._results: dict[str, str] = {}  # of tools, which no reply has taken up
        self._unsaid = ""  # something to say when the floor is free
        self._ending: turn.Ending | None = None
        self._draining = False

    @property
    def deadline(self) -> float:
        """When the next timer runs out, on the clock of the times passed in; infinite if none runs."""
        return min(self._timers.values(), default=float("inf"))

    @property
    def spoke_at(self) -> tuple[float, float]:
        """When the caller was last heard to speak, and when the last words were final."""
        return self._silent_since, self._final_at

    def take_unanswered(self) -> tuple[turn.CallerInput, ...]:
        """What was said and pressed that no reply has taken up, in order; it is asked for when the call is over."""
        self._unanswered.enter(after_words=False)
        return self._unanswered.take()

    # --- Notes that are taken whatever the state ------------------------------------------------------------------

    def _note(self, event: turn.Event, now: float) -> None:
        match event:
            case turn.SpeechBegan():
                self._caller_speaks, self._sustained = True, False
            case turn.SpeechSustained():
                self._sustained = True
            case turn.SpeechEnded(silent_s, audio_ms):
                self._caller_speaks, self._silent_since = False, now - silent_s
                self._speech_end_ms, self._words_due = audio_ms, True
            case turn.Partial(text):
                self._words_are_new = bool(text) and text != self._partial
                self._partial, self._gives_partials = text, True
            case turn.Final():
                self._partial, self._final_at = "", now
            case turn.RecogniserLost():
                self._partial, self._gives_partials, self._guesses_ends = "", False, False
            case turn.EagerEndOfTurn():
                self._guesses_ends = True
            case turn.ToolsBegan():
                self._tools_run += 1
            case turn.ToolsEnded(results):
                self._tools_run = max(0, self._tools_run - 1)
                self._results.update(results)

    # --- Steps ------------------------------------------------------------------------------------------------------

    def _do(self, action: turn.Action) -> None:
        self._actions.append(action)

    def _enter(self, state: Any) -> None:
        self.state = state
        self._final_due = False
        for timer in WITHIN_STATE:
            self._timers.pop(timer, None)

    def _listen(self, now: float) -> None:
        """Nobody speaks: what was kept for such a moment is said now, else the caller has the floor."""
        if self._results:
            self._reply_to_tools()
        elif self._unsaid:
            unsaid, self._unsaid = self._unsaid, ""
            self._announce(unsaid)
        else:
            self._enter("listening")
            if not self._tools_run:
                self._await_anything(now)

    def _let_speak(self, now: float) -> None:
        """The caller has the floor, as long as there are words."""
        self._enter("user_speaking")
        self._await_anything(now)

    def _await_anything(self, now: float) -> None:
        self._timers[turn.IdleDue] = now + self._limits.idle_prompt_s

    def _await_words(self, now: float) -> None:
        """The caller has stopped: the turn ends after as much silence as the words ask for."""
        said = " ".join([final.text for final in self._unanswered.finals] + [self._partial] * bool(self._partial))
        due = self._silent_since + silence_ms(said, self._turns, self._language) / 1000
        self._timers[turn.EndOfTurnDue] = max(now, due)

    def _reply(self, trigger: Trigger, inputs: tuple[turn.CallerInput, ...] | None = None) -> None:
        self._cut_by_partial = False
        self._discard()
        self._results.clear()  # they are in the conversation by now
        self._enter("thinking")
        self._do(turn.Reply(trigger, self._unanswered.take_noted() if inputs is None else inputs))

    def _reply_to_tools(self) -> None:
        self._reply(ToolResults(dict(self._results)))

    def _announce(self, text: str, answers: Trigger | None = None) -> None:
        self._enter("thinking")
        inputs = self._unanswered.take_noted() if answers is None else self._unanswered.take()
        self._do(turn.Announce(text, answers=answers, inputs=inputs))

    def _prompt_caller(self, now: float) -> None:
        self._idle_prompts += 1
        if self._idle_prompts > self._limits.idle_prompts:
            self._close(self._limits.goodbye, turn.Ending("idle"), now)
        else:
            self._reply(Silence(self._idle_prompts))

    def _keep(self, final: turn.Final) -> bool:
        """Keeps words for the reply; whether there are any."""
        if final.audio_ms is None or self._reaches_end_of_speech(final.audio_ms):
            self._words_due = False
        if final.text:
            self._cut_by_partial = False
            self._unanswered.finals.append(final)
        return bool(final.text)

    def _keep_sign(self, final: turn.Final) -> None:
        """Keeps words that only show that the caller listens: part of what is said next, but no reason for a reply."""
        if final.text and self._unanswered.finals:
            self._keep(final)
        elif final.text:
            self._unanswered.note(utterance_of([final]))

    def _is_covered(self) -> bool:
        """Whether everything that was said is in the finals already."""
        finals = self._unanswered.finals
        reaches = finals[-1].audio_ms if finals and not self._partial else None
        return reaches is not None and self._reaches_end_of_speech(reaches)

    def _reaches_end_of_speech(self, audio_ms: float) -> bool:
        return audio_ms + COVERED_MS >= self._speech_end_ms

    def _interrupts(self, text: str, *, so_far: bool = False) -> bool:
        """Whether words are more than a sign that the caller listens; `so_far`, more than the beginning of one."""
        backchannels = self._turns.barge_in.backchannels
        return bool(text) and not is_backchannel(text, backchannels, self._language, so_far=so_far)

    def _ask_for_last_word(self, now: float) -> None:
        self._final_due = True
        self._do(turn.FinaliseTranscript())
        self._timers[turn.FinalOverdue] = now + self._final_s

    def _are_enough(self, text: str, *, so_far: bool = False) -> bool:
        """Whether words over a reply end it."""
        barge_in = self._turns.barge_in
        needed = max(barge_in.min_words, self._resumed_early)
        allowed = barge_in.enabled and turn.ProtectionOver not in self._timers
        return allowed and 0 < needed <= count_words(text) and self._interrupts(text, so_far=so_far)

    def _conclude(self, now: float) -> None:
        self._words_due = False
        if self._unanswered.finals or self._entered is not None:
            self._reply_to_caller(now)
        elif self._caller_speaks or self._cut_by_partial:
            self._prompt_caller(now)  # a noise that goes on, or one that took a reply from the caller
        else:
            self._discard()
            self._listen(now)  # a noise, not words

    def _reply_to_caller(self, now: float) -> None:
        """Answers everything that was said and pressed, with the reply that was begun if it was begun to just that."""
        self._idle_prompts = 0
        if self._entered is not None:
            entered, self._entered = self._entered, None
            self._reply(entered, self._unanswered.take())
            return
        if self._unanswered.digits:  # one reply to both, when the number is complete
            self._discard()
            self._enter("user_speaking" if self._caller_speaks else "listening")
            return
        said = utterance_of(self._unanswered.finals)
        phrase = plain(said.text, self._language)
        if phrase in _phrases(self._turns.hang_up_phrases, self._language):
            self._discard()
            self._close(self._limits.goodbye, turn.Ending("said_goodbye", said.text), now, answers=said)
        elif self._prepared is not None and self._prepared == phrase:
            self._prepared = None
            self._enter("thinking")
            self._do(turn.Adopt(said, self._unanswered.take_words()))
        else:
            self._reply(said, self._unanswered.take_words())

    def _prepare(self, *, begin: bool = True) -> None:
        """Throws away a reply that was begun to other words than have come, and begins one to these, if it is to."""
        finals, partial = self._unanswered.finals, self._partial
        words = [*finals, *([turn.Final(partial)] if partial else [])]
        if not self._turns.preemptive or not words or self._unanswered.digits or self._entered is not None:
            return
        said = utterance_of(words)
        phrase = plain(said.text, self._language)
        if self._prepared != phrase:
            self._discard()
            if begin:
                self._prepared = phrase
                self._do(turn.Prepare(said, (*self._unanswered.noted, said)))

    def _discard(self) -> None:
        if self._prepared is not None:
            self._prepared = None
            self._do(turn.Discard())

    def _retract(self) -> None:
        self._do(turn.CancelReply(retracted=self._unanswered.is_retractable))
        self._unanswered.retract()
        self._enter("endpointing")

    def _interrupt(self, now: float) -> None:
        """The reply is over: the caller has the floor, or has said something."""
        self._cut_short = self._cut_short + 1 if now - self._audible_since < CUT_SHORT_S else 0
        self._cut_by_partial = not self._unanswered.finals
        self._do(turn.CancelReply(retracted=False))
        if self._caller_speaks:
            self._let_speak(now)
        else:
            self._enter("endpointing")
            self._await_words(now)

    def _go_on(self, *, wordless: bool) -> None:
        self._enter("speaking")
        self._do(turn.ResumeReply(wordless))

    # --- Keys -------------------------------------------------------------------------------------------------------

    def _press(self, digit: str, now: float) -> None:
        self._idle_prompts = 0
        dtmf, unanswered = self._turns.dtmf, self._unanswered
        waits, self._entered = self._entered is not None, None
        if waits:
            unanswered.close()
        if not unanswered.digits and (action := self._keys.get(digit)) is not None:
            self._do_for_key(action, Dtmf(digit), now)
        elif dtmf.gap_ms and digit != dtmf.end_key:
            self._discard()
            unanswered.dial(digit)
            self._timers[turn.DigitsDue] = now + dtmf.gap_ms / 1000
            self._timers.pop(turn.IdleDue, None)
        elif dtmf.gap_ms and not unanswered.digits:
            self._end_turn_by_key(digit, now)
        else:
            unanswered.digits = unanswered.digits or digit
            self._reply_to_digits(now, may_wait=not waits)

    def _end_turn_by_key(self, digit: str, now: float) -> None:
        """The key that ends numbers, and none to end: it ends the turn if there are words, else it is only noted."""
        if finals := self._unanswered.finals:
            self._unanswered.digits = digit
            self._unanswered.enter(after_words=True)
            self._reply(utterance_of(finals), self._unanswered.take())
        else:
            self._unanswered.note(Dtmf(digit))
            if self.state == "listening":
                self._listen(now)

    def _do_for_key(self, action: KeyAction, key: Dtmf, now: float) -> None:
        self._unanswered.close()
        self._unanswered.note(key)
        if action.say is not None:
            self._discard()
            self._announce(action.say, key)
        elif action.transfer is not None:
            self._close("", turn.Ending("transfer_requested", action.transfer), now)
        else:
            self._close(self._limits.goodbye, turn.Ending("agent_hung_up"), now, answers=key)

    def _reply_to_digits(self, now: float, *, may_wait: bool = True, after_words: bool = True) -> None:
        """Replies to a number, or first asks for the last of the words that were said beside it."""
        self._timers.pop(turn.DigitsDue, None)
        self._entered = self._unanswered.enter(after_words=after_words)
        if not may_wait or not self._words_are_coming():
            self._reply_to_caller(now)
        elif self.state != "endpointing" or not self._final_due:
            self._discard()
            self._enter("endpointing")
            self._ask_for_last_word(now)

    def _words_are_coming(self) -> bool:
        """Whether the caller was saying something, and the recogniser is yet to give its last word about it."""
        if self._final_due and turn.FinalOverdue not in self._timers:
            return False  # it has been given up on
        untold = self._sustained and (self._words_due or self._caller_speaks) and not self._gives_partials
        return bool(self._partial) or untold

    # --- The end ----------------------------------------------------------------------------------------------------

    def _close(
        self, text: str, ending: turn.Ending, now: float, *, apology: bool = False, answers: Trigger | None = None
    ) -> None:
        if self.state in REPLYING:
            self._do(turn.CancelReply(retracted=False))
        self._discard()
        self._enter("closing")
        self._timers.clear()
        self._ending, self._entered = ending, None
        if text:
            self._timers[turn.LastWordsOverdue] = now + LAST_WORDS_S
            self._do(turn.Announce(text, apology, answers, self.take_unanswered()))
        else:
            self._end()

    def _end(self) -> None:
        self._enter("closing")
        self._timers.clear()
        if self._ending is not None:
            self._do(turn.End(self._ending))
            self._ending = None
