"""Turn-taking: who may speak, decided by rules without I/O. Events go in, actions come out.

Theory of operation
===================

A conversation over a telephone line has one scarce thing, the right to speak, and no certain signs of who has it: a
detector that takes a cough for speech, transcripts that change until they are final, and replies of which part is still
on its way when the caller speaks over it. `TurnTaking` turns these signs into decisions. A call feeds it everything
that happens (`events`), and does what it is told in return (`actions`). It knows no audio, no component and no task.

State
-----

`TurnState` is all that is remembered between two events. Most of it is facts, such as whether the caller speaks and
what the latest partial transcript was. One field, the `phase`, says what the conversation is doing, and is what the
diagram in docs/reference/turn-taking.md draws:

    listening -> user_speaking -> endpointing -> thinking -> speaking -> listening
                                                             speaking <-> interrupted
    any phase -> closing

The phase is not the same as the facts: in `speaking` the caller may speak as well, and the reply goes on until a rule
finds that this is an interruption.

What the caller has said and pressed is in `TurnState.unanswered`. A reply takes all of it, so that no word is lost or
told to the model twice, however words, keys, replies and interruptions fall together.

Events and rules
----------------

Each event is handled in two steps:

1. A rule of every phase, if there is one for that event, records what the event says (`rules/every_phase`).
2. The rule for the event in the current phase, if there is one, decides. Rules are functions `(state, event, now)` in
   `rules/`, a module for each topic, and `RULES` is the table of them. An event without a rule in a phase is no error:
   a partial that comes while a reply is prepared means nothing more than that it came.

An event is handled completely before the next: a rule feeds no events. Several actions in a row are frequent, such as
`CancelReply` and then `Reply`, and their order counts.

Events come from a call's parts: speech from the voice activity detector, with every frame of audio; transcripts and
ends of turns from the recogniser, some hundred milliseconds behind the speech; `ReplyAudible` and `ReplyEnded` from
playout; keys from the transport; failures from any role. Their order is that of arrival. So transcripts may concern
speech before the last event of the detector, which is why both carry positions in the call's audio (`audio_ms`): a
final whose position reaches the end of the speech holds all of its words, and no other final has to be waited for.

Time
----

There is no clock in here. The caller of `feed` and `fire_timers` passes `now`, in seconds on any clock that never runs
backwards; the state keeps times on that clock. A timer is an entry in `TurnState.timers`: the class of the event that
it makes, and when that is due. Setting one again moves it, and a change of phase cancels those that belong to the
phase. `deadline` is when the first is due; whoever owns the clock calls `fire_timers` then, or later, and reads it
again after every event, since any rule may move it. Late calls are harmless: what is due by then is fired in order.

Actions
-------

An action is a request to the call, and the state assumes that it is carried out at once. What comes of it comes back as
an event. Two promises hold for the order of actions, and tests/calls/test_turns_properties.py checks them with random
conversations:

- There is at most one reply, and at most one prepared reply. `Reply`, `Announce` and `Adopt` come only when the reply
  before has ended or was cancelled.
- After `End` there are no actions any more, whatever is fed.

Another promise is that somebody always acts next: in each phase either a timer runs, or a reply, a recogniser or tools
are at work of which an event will come. Left alone, every call ends.

Why no I/O
----------

Every decision about who may speak is made in one place, in microseconds, on the path of a frame of audio: no task is
switched, and nothing can come between a detector's event and the end of a reply. It is tested with made-up times, row
by row and by random sequences, and the documentation's table and diagram are read off the functions themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns.rules import RULES
from voicepipe.calls.turns.state import SpeechTimes, TurnState
from voicepipe.calls.turns.table import IN_EVERY_PHASE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.calls.turns.actions import Action
    from voicepipe.calls.turns.events import CallerInput, Event
    from voicepipe.calls.turns.state import Phase
    from voicepipe.config.call_settings import KeyAction, LimitsSettings, OnFailure, TurnsSettings


class TurnTaking:
    """The turn-taking of one call: hands its state to the rules.

    Args:
        turns: when turns end and replies are interrupted.
        limits: what the call may not exceed.
        on_failure: the section `on_failure`.
        final_ms: how long a final transcript that was asked for is waited for, in ms.
        keys: menu keys, with what they do.
        language: the spoken language, as a BCP 47 tag; None: not known.

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
        self.state = TurnState(turns, limits, on_failure, final_ms / 1000, dict(keys), language)
        """The state of the rules, which only they change."""

    @property
    def phase(self) -> Phase:
        """The phase of the conversation."""
        return self.state.phase

    @property
    def deadline(self) -> float:
        """The time at which the next timer is due, in s; infinite if none runs. Any event may change it."""
        return min(self.state.timers.values(), default=float("inf"))

    @property
    def spoke_at(self) -> SpeechTimes:
        """The times at which the caller spoke what was taken up last."""
        state = self.state
        return SpeechTimes(state.unanswered.taken_from, state.silent_since, state.last_final_at)

    def feed(self, event: Event, now: float) -> list[Action]:
        """Handles an event; returns what to do about it, in order."""
        actions = self.state.actions = []
        self._handle(event, now)
        return actions

    def fire_timers(self, now: float) -> list[Action]:
        """Handles the timers that are due; returns what to do about them, in order."""
        state = self.state
        actions = state.actions = []
        for timer, due in sorted(state.timers.items(), key=lambda item: item[1]):
            if due <= now and state.timers.pop(timer, None) is not None:
                self._handle(timer(), now)
        return actions

    def take_unanswered(self) -> tuple[CallerInput, ...]:
        """Takes the inputs that no reply has taken up, in order: for the record of a call that is over."""
        return self.state.unanswered.take_all()

    def _handle(self, event: Event, now: float) -> None:
        state, kind = self.state, type(event)
        if (record := IN_EVERY_PHASE.get(kind)) is not None:
            record(state, event, now)
        if (rule := RULES.get((state.phase, kind))) is not None:
            rule(state, event, now)
