"""Drives turn-taking: feeds it with what happens in a call, and carries out the actions that it returns.

Turn-taking decides, and does no I/O (`turns/turn_taking.py`). The parts of a call that do I/O, which are listening,
replies and transfers, decide nothing. This module connects them, as a driver connects a protocol's state machine to its
socket:

    recogniser --> on_transcript, on_recogniser --+                        +--> replies: reply, prepare, pause, cancel
    voice activity --> on_edge -------------------+--> TurnTaking.feed ----+--> listening: finalise, give up
    replies, tools, keys --> happened ------------+    (event, now)        +--> transfers: begin, cancel
    the program: steering --> happened -----------+    -> [actions]        +--> the call: end; the recording: begin
    the call's timer --> fire_timers -------------+                        +--> the call's timer: the next deadline

All of this is synchronous. An event is fed where it happens, whichever task that is: the transport's when a frame of
audio ends the caller's silence, the ticker's when the first frame of a reply was written, a component's stream when a
transcript came. Its actions have been carried out before that code goes on, so a reply stops in the frame in which the
caller is found to speak over it, and no second event can come in between.

An action may cause an event in turn: a reply that is cancelled reports its turn, and an observer of that may end the
call. Such an event is fed when all actions of the first have been carried out: the state assumes that they are, and an
action that came after those of a later event would undo them.

An exception here is a defect of voicepipe or of a component's guard. It ends this call alone (`CallTasks.fail`), since
the task in which it arose may belong to all calls. After the call has ended, events are still fed, so that the record
has the words that came last, but no action is carried out.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio
from attrs import evolve

from voicepipe.audio import FRAME_MS
from voicepipe.calls.events import FailedOver, SpeechDetected, Transcribed
from voicepipe.calls.listening.vad import ONSET_FRAMES
from voicepipe.calls.texts import is_personal
from voicepipe.calls.turns import actions
from voicepipe.calls.turns import events as turns
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed
from voicepipe.errors import without_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.calls.events import Consent
    from voicepipe.calls.listening.echo import EchoGuard
    from voicepipe.calls.listening.listening import Listening
    from voicepipe.calls.listening.vad import Edge
    from voicepipe.calls.observing import EventEmitter
    from voicepipe.calls.replies.replies import Replies
    from voicepipe.calls.tasks import CallTasks
    from voicepipe.calls.texts import CallTexts
    from voicepipe.calls.transfers import Transfers
    from voicepipe.calls.turns.actions import Action
    from voicepipe.calls.turns.events import Ending, Event
    from voicepipe.calls.turns.turn_taking import TurnTaking
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.errors import ComponentError
    from voicepipe.pipelines.snapshot import CachedSpeech, Pipeline


class TurnDriver:
    """Feeds events to the turn-taking of one call, and carries out its actions.

    Args:
        turns: the call's turn-taking.
        pipeline: has the apology as speech, if it was synthesised beforehand.
        texts: puts the call's values into texts that are said.
        tasks: ends the call after a defect.
        emit: reports events to the observer.
        echo: learns of noises that were an echo; None: there is no echo guard.
        deadline_moved: called after each event with the time of the next deadline, on trio's clock.
        end: called to end the call, when its last words have been said.
        consent_settled: called when the caller was told of the recording, or has answered.

    """

    def __init__(
        self,
        turns: TurnTaking,
        pipeline: Pipeline,
        texts: CallTexts,
        *,
        tasks: CallTasks,
        emit: EventEmitter,
        echo: EchoGuard | None,
        deadline_moved: Callable[[float], None],
        end: Callable[[Ending], None],
        consent_settled: Callable[[Consent], None],
    ) -> None:
        self._turns, self._pipeline, self._texts, self._tasks, self._emit = turns, pipeline, texts, tasks, emit
        self._echo, self._deadline_moved, self._end = echo, deadline_moved, end
        self._consent_settled = consent_settled
        self._stopped = False
        self._failed_role = ""
        self._is_acting = False
        self._caused: deque[Event] = deque()  # events of actions that are being carried out

    def connect(self, listening: Listening, replies: Replies, transfers: Transfers) -> None:
        """Connects the parts that carry out actions, before the first event."""
        self._listening, self._replies, self._transfers = listening, replies, transfers

    def stop(self) -> None:
        """Carries out no more actions: the call is over."""
        self._stopped = True

    def disconnect(self) -> None:
        """Forgets the replies and the call, which refer to this object: no reference cycle is left behind."""
        del self._replies, self._transfers, self._deadline_moved, self._end, self._consent_settled

    # --- Events ------------------------------------------------------------------------------------------------------

    def happened(self, event: Event) -> None:
        """Feeds an event, and carries out the actions that it causes; does not raise.

        An event that an action causes is fed when the actions before it have been carried out.
        """
        if self._is_acting:
            self._caused.append(event)
            return
        try:
            self._carry_out(self._turns.feed(event, trio.current_time()))
        except Exception as error:  # noqa: BLE001 - a defect of one call, in a task that may belong to all calls
            self._tasks.fail(error)

    def fire_timers(self, now: float) -> None:
        """Fires the timers of turn-taking that are due, and carries out the actions that they cause."""
        self._carry_out(self._turns.fire_timers(now))

    def on_edge(self, edge: Edge) -> None:
        """Feeds an edge of the caller's speech, as voice activity detection finds it."""
        if edge == "ended":
            silent_ms = self._listening.silent_ms
            self.happened(turns.SpeechEnded(silent_ms / 1000, self._listening.audio_ms - silent_ms))
        elif edge == "began":
            self.happened(turns.SpeechBegan(ONSET_FRAMES * FRAME_MS / 1000))
        else:
            was_speaking = self._turns.phase == "speaking"
            self.happened(turns.SpeechSustained())
            interrupts = was_speaking and self._turns.phase in {"interrupted", "user_speaking"}
            self._emit(SpeechDetected, interrupts=interrupts)

    def on_transcript(self, event: TranscriptEvent) -> None:
        """Feeds an event of the recogniser."""
        if isinstance(event, Transcript):
            if event.text:
                self._emit(Transcribed, text=event.text, final=event.final)
            if not event.final:
                self.happened(turns.Partial(event.text))
                return
            end_ms = event.audio_end_ms
            audio_ms = None if end_ms is None else self._listening.call_ms(end_ms)
            self.happened(turns.Final(event.text, event.language, event.confidence, audio_ms))
        elif isinstance(event, EndOfTurn):
            self.happened(turns.EagerEndOfTurn() if event.eager else turns.EndOfTurn())
        elif isinstance(event, TurnResumed):
            self.happened(turns.TurnResumed())

    def on_recogniser(self, listens: bool) -> None:
        """Feeds that a recogniser listens from now on, or that none does."""
        if not self._stopped:
            self.happened(turns.RecogniserFound() if listens else turns.RecogniserLost())

    def role_failed(self, error: ComponentError) -> None:
        """Feeds that a role has no component left: the caller hears the apology, and the call ends."""
        role = without_frames(error).role or "llm"  # the component may keep the error, and with its frames the call
        if self._turns.phase != "closing" and not self._stopped:
            self._emit(FailedOver, role=role, rung="apology", component="")
        self._failed_role = role
        self.happened(turns.RoleFailed(str(error), role))

    # --- Actions -----------------------------------------------------------------------------------------------------

    def _carry_out(self, requested: list[Action]) -> None:
        self._is_acting = True
        try:
            for action in requested:
                if self._stopped:
                    break
                self._act(action)
        finally:
            self._is_acting = False
        if self._caused:
            self.happened(self._caused.popleft())
        elif not self._stopped:
            self._deadline_moved(self._turns.deadline)

    def _act(self, action: Action) -> None:  # noqa: C901, PLR0912 - a case for each action
        replies, listening = self._replies, self._listening
        match action:
            case actions.Reply(trigger, inputs):
                replies.reply(trigger, inputs, self._turns.spoke_at)
            case actions.Announce():
                text, cached = self._words_of(action)
                replies.announce(evolve(action, text=text), cached, self._turns.spoke_at)
            case actions.Prepare(trigger, inputs):
                replies.prepare(trigger, inputs)
            case actions.Adopt(trigger, inputs):
                replies.adopt(trigger, inputs, self._turns.spoke_at)
            case actions.Discard():
                replies.discard()
            case actions.PauseReply():
                replies.pause()
            case actions.ResumeReply(wordless):
                if wordless and self._echo is not None:
                    self._echo.was_no_caller()
                replies.resume()
            case actions.CancelReply(retracted, by_program):
                replies.cancel(retracted=retracted, by_caller=not by_program)
            case actions.FinaliseTranscript():
                listening.finalise()
            case actions.GiveUpOnFinal():
                listening.give_up_on_final()
            case actions.BeginTransfer(target):
                self._transfers.begin(target)
            case actions.TellModel(fact):
                replies.tell(fact)
            case actions.CancelTransfer():
                self._transfers.cancel()
            case actions.SettleConsent(consent):
                self._consent_settled(consent)
            case actions.End(ending):
                self._end(ending)

    def _words_of(self, announcement: actions.Announce) -> tuple[str, CachedSpeech | None]:
        """Returns the words of an announcement, and their speech if it was synthesised beforehand.

        An apology with values of the call in it is spoken for this call. Only if no voice works, the one that was
        synthesised without them takes its place.
        """
        text = announcement.text
        cached = self._pipeline.apology if announcement.apology else None
        if cached is not None and (self._failed_role == "tts" or not is_personal(text)):
            return cached.text, cached
        return self._texts.spoken(text), None
