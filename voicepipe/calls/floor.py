"""The floor of a conversation: whose it is, what was said on it, which timers run. What rules share. Sans-IO."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from voicepipe.calls import turn_events as turn
from voicepipe.calls.endpointing import silence_ms
from voicepipe.requests import ToolResults, Utterance

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.config.settings import KeyAction, LimitsSettings, OnFailure, TurnsSettings
    from voicepipe.requests import Trigger

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

WITHIN_STATE: tuple[type[turn.Timer], ...] = (
    turn.EndOfTurnDue,
    turn.FinalOverdue,
    turn.IdleDue,
    turn.ResumeDue,
    turn.ProtectionOver,
)
"""Timers that mean nothing once the state has changed."""

_LETTERS = re.compile(r"[^\W_]+")


def plain(text: str) -> str:
    """Words without marks and case: what makes two phrases the same."""
    return " ".join(_LETTERS.findall(text.casefold()))


class Floor:
    """The state of one call's conversation, and the steps that rules are made of.

    Args:
        turns: when turns end and replies are interrupted.
        limits: what the call may not exceed.
        on_failure: what is said and done when a role fails.
        final_ms: how long to wait for the recogniser's last word, in ms.
        keys: what menu keys do.

    """

    def __init__(
        self,
        turns: TurnsSettings,
        limits: LimitsSettings,
        on_failure: OnFailure,
        final_ms: int = 1500,
        keys: Iterable[tuple[str, KeyAction]] = (),
    ) -> None:
        self.state: State = "listening"
        """What the call is doing."""
        self._turns, self._limits, self._on_failure = turns, limits, on_failure
        self._final_s = final_ms / 1000
        self._keys = dict(keys)
        self._backchannels = frozenset(map(plain, turns.barge_in.backchannels))
        self._hang_up_phrases = frozenset(map(plain, turns.hang_up_phrases))
        self._actions: list[turn.Action] = []
        self._timers: dict[type[turn.Timer], float] = {}
        self._finals: list[turn.Final] = []  # what the caller has said and nobody has replied to
        self._answering: list[turn.Final] = []  # what the reply that is not heard yet replies to
        self._partial = ""  # what the recogniser makes of the rest so far
        self._gives_partials = False  # on this call
        self._prepared: str | None = None  # what a reply was begun to
        self._caller_speaks = self._sustained = False
        self._silent_since = self._final_at = 0.0
        self._speech_end_ms = 0.0
        self._final_due = False
        self._words_due = False  # the caller spoke, and no final reaches that far
        self._digits = ""
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
                self._partial, self._gives_partials = text, True
            case turn.Final():
                self._partial, self._final_at = "", now
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
            self._announce(self._unsaid)
        else:
            self._enter("listening")
            if not self._tools_run:
                self._timers[turn.IdleDue] = now + self._limits.idle_prompt_s

    def _await_words(self, now: float) -> None:
        """The caller has stopped: the turn ends after as much silence as the words ask for."""
        said = " ".join([final.text for final in self._finals] + [self._partial] * bool(self._partial))
        due = self._silent_since + silence_ms(said, self._turns) / 1000
        self._timers[turn.EndOfTurnDue] = max(now, due)

    def _reply(self, trigger: Trigger) -> None:
        self._discard()
        self._results.clear()  # they are in the conversation by now
        self._enter("thinking")
        self._do(turn.Reply(trigger))

    def _reply_to_tools(self) -> None:
        self._reply(ToolResults(dict(self._results)))

    def _announce(self, text: str) -> None:
        self._unsaid = ""
        self._enter("thinking")
        self._do(turn.Announce(text))

    def _keep(self, final: turn.Final) -> bool:
        """Keeps words for the reply; whether there are any."""
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

    def _interrupts(self, text: str) -> bool:
        """Whether words are more than a sign that the caller listens."""
        return bool(text) and plain(text) not in self._backchannels

    def _conclude(self, now: float) -> None:
        self._words_due = False
        if self._finals:
            self._reply_to_utterance(now)
        else:
            self._discard()
            self._listen(now)  # a noise, not words

    def _utterance(self, finals: list[turn.Final]) -> Utterance:
        last = finals[-1]
        return Utterance(" ".join(final.text for final in finals), last.language, last.confidence)

    def _reply_to_utterance(self, now: float) -> None:
        """Answers everything that was said, with the reply that was begun if it was begun to just that."""
        self._answering, self._finals = self._finals, []
        self._idle_prompts = 0
        said = self._utterance(self._answering)
        if plain(said.text) in self._hang_up_phrases:
            self._discard()
            self._close(self._limits.goodbye, turn.Ending("said_goodbye", said.text), now)
        elif self._prepared is not None and self._prepared == plain(said.text):
            self._prepared = None
            self._enter("thinking")
            self._do(turn.Adopt(said))
        else:
            self._reply(said)

    def _prepare(self) -> None:
        """Begins a reply to what seems to have been said."""
        if not self._turns.preemptive or self._prepared is not None:
            return
        words = [*self._finals, *([turn.Final(self._partial)] if self._partial else [])]
        if words:
            said = self._utterance(words)
            self._prepared = plain(said.text)
            self._do(turn.Prepare(said))

    def _discard(self) -> None:
        if self._prepared is not None:
            self._prepared = None
            self._do(turn.Discard())

    def _retract(self) -> None:
        self._do(turn.CancelReply(retracted=bool(self._answering)))
        self._finals = self._answering + self._finals
        self._answering = []

    def _interrupt(self) -> None:
        """The reply is over: the caller has the floor."""
        self._do(turn.CancelReply(retracted=False))
        self._enter("user_speaking")

    def _close(self, text: str, ending: turn.Ending, now: float, *, apology: bool = False) -> None:
        if self.state in REPLYING:
            self._do(turn.CancelReply(retracted=False))
        self._discard()
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
