"""One call: its conversation, from answer to hang-up.

Theory of operation
-------------------

A call has parts that each know a piece of it (`parts.py` draws and connects them), and it owns the two things that none
of them does: when the call begins and ends, and its tasks.

Tasks. A call has as few tasks as it can, because each costs memory and switches, and a process holds many calls:

- `run`, the task of the program that holds the call, is also the transport's (`Transport.run`);
- one for the recogniser (`_recognise`), which opens, feeds and replaces recognisers;
- one for the reply while there is one, one for each tool that runs, and one for a transfer;
- one that saves the recording, once the call is recorded.

Whatever comes from the transport is handled in the task that delivers it, which may serve many calls, and a timer fires
in the task of all timers. So the methods of a sink and of a timer's target are synchronous and do not raise: an
exception there ends this call by `fail`.

The beginning, in this order, each for the sake of the next:

1. the constructor gives the call its ID, and puts the recording between the call and its transport, so that every
   frame passes it; where the caller is to be told or asked before, it keeps none until turn-taking says so;
2. `CallBegan` is reported: an observer sees no event of the call before it;
3. the recogniser's task is started. It need not be ready: audio is buffered until it is;
4. turn-taking learns that the call was answered, and usually asks for the greeting;
5. what the program has asked for before is carried out;
6. the timer is set, and the transport runs.

The end. `_end` is the only way: the first `Ending` is kept, later ones are ignored, and the transport's task is
cancelled. There are six causes: the caller hangs up or the transport fails (`_converse`), turn-taking decides it (the
model asked for it, a limit, a drain, the apology was said), a transfer has succeeded, no audio comes (`fire`), a task
of the call raises (`CallTasks`), or the program asks for it (`hang_up`, or cancelling `run`). Then, in this order:

1. the reply stops, and what was heard of it is reported as the last turn; a transfer that runs is given up;
2. the caller is let go, if tools still run: the caller need not wait for them;
3. tools end, cancellable ones at once and others by themselves: a booking that has begun is finished, or its result
   would be unknown;
4. the recording is completed, so that the record can say what became of it;
5. all tasks are cancelled, and `ComponentUsed` and `CallEnded` are reported, the last event of all;
6. `run` raises the defect that ended the call, if one did, and `open_call` hangs up, if nobody has.

Steps 3 to 6 take place even if `run` is cancelled: they are shielded for some seconds.

A transfer is part of the call, not of its end, since nobody may take it (`transfers.py`). The caller's leg may end
while it runs, because the caller hung up or because the transfer has taken them: `hung_up` and `_converse` leave it to
the transfer to say which. After one that has succeeded nobody hangs up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from voicepipe.calls.call_trace import CallTrace
from voicepipe.calls.caller_view import caller_view
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    DtmfReceived,
    LastWordsUnconfirmed,
    RecordingConsent,
    RecordingFailed,
)
from voicepipe.calls.observing import EventEmitter
from voicepipe.calls.parts import connect_parts
from voicepipe.calls.recording import RecordedTransport, recording_path
from voicepipe.calls.steering import SteeredBy
from voicepipe.calls.tasks import CallTasks
from voicepipe.calls.texts import CallTexts
from voicepipe.calls.turns import events as turns
from voicepipe.calls.turns.events import Ending
from voicepipe.components.requests import new_call_id
from voicepipe.errors import ComponentError, TransportError
from voicepipe.nurseries import defect_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AsyncExitStack
    from datetime import datetime
    from pathlib import Path

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.events import Consent, Observer, Outcome
    from voicepipe.components.requests import CallInfo, Message
    from voicepipe.components.trace_context import TraceContext
    from voicepipe.pipelines.snapshot import Pipeline
    from voicepipe.tools.context import SayOutcome, SteerableCall
    from voicepipe.transports.protocol import Transport

HANG_UP_S = 5.0
"""The time in which a transport must end its call, in s."""

TRANSFERS: frozenset[Outcome] = frozenset({"transferred", "transfer_requested"})
"""Outcomes by which the transport has ended this leg already."""


class Call:
    """Holds one call on one pipeline; made by `open_call`.

    A call is the sink of its transport, and the target of its timer.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        transport: Transport,
        observer: Observer | None,
        nursery: trio.Nursery,
        at_end: AsyncExitStack,
        *,
        info: CallInfo,
        at: datetime,
        messages: Iterable[Message] = (),
        metadata: Mapping[str, Any] | None = None,
        trace: TraceContext | None = None,
    ) -> None:
        settings = pipeline.settings
        # Sessions, metrics, files and records are told apart by the call's ID, and a transport's own may repeat.
        info = evolve(info, call_id=new_call_id(), transport_id=info.transport_id or info.call_id)
        shows_caller = caller_view(transport)  # before the recording takes the transport's place
        self._recording: RecordedTransport | None = None
        if directory := settings.recording.directory:
            path = recording_path(directory, info.call_id)
            transport = self._recording = RecordedTransport(
                transport,
                path,
                settings.recording.readable_by,
                waits=settings.recording.consent != "none",
                mute_keys=settings.recording.mute_keys,
            )
        self._pipeline, self._transport, self._nursery = pipeline, transport, nursery
        self._emit = EventEmitter(info.call_id, (observer, shows_caller), pipeline.reports)
        self._trace = CallTrace(trace, info.trace)
        self._tasks = CallTasks(nursery, self._end)
        self._last_audio = trio.current_time()
        texts = CallTexts(info, pipeline, at)
        self._parts = connect_parts(
            pipeline,
            transport,
            texts,
            messages=messages,
            metadata=dict(metadata or {}),
            emit=self._emit,
            tasks=self._tasks,
            recording=self._recording,
            trace=self._trace,
            deadline_moved=self._deadline_moved,
            end=self._end_after_words,
            consent_settled=self._consent_settled,
        )
        self._listening, self._turns, self._steering = self._parts.listening, self._parts.turns, self._parts.steering
        self._driver, self._transfers = self._parts.driver, self._parts.transfers
        self._timers = pipeline.clock.timers
        self._greeting, self._consent = texts.greeting, texts.consent
        self._fires_at, self._no_audio_s = 0.0, settings.limits.no_audio_s
        self._ending: Ending | None = None
        self._left = False
        self._conversing = trio.CancelScope()
        at_end.push_async_callback(self._leave)  # when the tasks have ended

    @property
    def info(self) -> CallInfo:
        """The call's ID, the transport's own, the numbers of both parties, and the call's variables as they are now."""
        return self._steering.info

    @property
    def call_id(self) -> str:
        """The call's unique name; the transport's own name for it is `info.transport_id`."""
        return self._steering.info.call_id

    @property
    def variables(self) -> Mapping[str, str]:
        """The call's variables as they are now."""
        return self._steering.variables

    @property
    def metadata(self) -> dict[str, Any]:
        """A bag of values that the call's program, tools, observers and record share; see `SteerableCall.metadata`."""
        return self._steering.metadata

    @property
    def trace(self) -> TraceContext | None:
        """The call's span, that `open_call` was given, else the one that the call was made for; None: neither."""
        return self._trace.context

    @property
    def conversation(self) -> tuple[Message, ...]:
        """The conversation so far, as it was said and heard, and what the model was told besides."""
        return self._steering.conversation

    @property
    def ending(self) -> tuple[Outcome, str] | None:
        """The outcome and the detail that `CallEnded` will have; None while the call is up.

        It is set before the line is closed. `CallEnded` is reported when the tools that have begun have ended too.
        """
        return None if self._ending is None else (self._ending.outcome, self._ending.detail)

    # --- Steering ------------------------------------------------------------------------------------------------

    def steered_by(self, name: str) -> SteerableCall:
        """Returns the call for requests of somebody else than the program that holds it.

        Args:
            name: who it is, for `CallSteered.by` and the record.

        """
        return SteeredBy(self._steering, name)

    async def say(self, text: str, *, interrupt: bool = False) -> SayOutcome:
        """Has the agent say a text; see `SteerableCall.say`."""
        return await self._steering.say(text, interrupt=interrupt)

    async def play(self, file: str | Path, *, text: str = "", interrupt: bool = False) -> SayOutcome:
        """Plays a WAV file to the caller; see `SteerableCall.play`."""
        return await self._steering.play(file, text=text, interrupt=interrupt)

    def tell(self, fact: str, *, respond: bool = False) -> None:
        """Tells the model a fact, which the caller does not hear; see `SteerableCall.tell`."""
        self._steering.tell(fact, respond=respond)

    async def transfer(self, target: str) -> None:
        """Transfers the caller when the agent has finished its reply; see `SteerableCall.transfer`."""
        await self._steering.transfer(target)

    def hang_up(self, goodbye: str = "") -> None:
        """Ends the call at once, or after a goodbye; see `SteerableCall.hang_up`."""
        self._steering.hang_up(goodbye)

    def set_variables(self, variables: Mapping[str, str]) -> None:
        """Changes variables of the call; see `SteerableCall.set_variables`."""
        self._steering.set_variables(variables)

    async def set_language(self, language: str) -> None:
        """Switches the language of the call; see `SteerableCall.set_language`."""
        await self._steering.set_language(language)

    def pause_recording(self) -> bool:
        """Has the recording be silent from now on; see `SteerableCall.pause_recording`."""
        return self._steering.pause_recording()

    def resume_recording(self) -> bool:
        """Has the recording go on; see `SteerableCall.resume_recording`."""
        return self._steering.resume_recording()

    def drain(self) -> None:
        """Ends the call politely: after the present reply, with `limits.goodbye`."""
        self._steering.drain()

    # --- The beginning and the middle ----------------------------------------------------------------------------

    async def run(self) -> CallEnded:
        """Holds the conversation until the call is over.

        A role that has no component left, or a `TransportError`, ends the call, and `CallEnded.outcome` says so. Any
        other exception is a defect: it ends this call alone, and is raised when the call is over. Cancelling ends the
        call too.
        """
        pipeline, parts = self._pipeline, self._parts
        self._emit(
            CallBegan,
            info=self.info,
            set=pipeline.set,
            version=pipeline.version,
            digest=pipeline.digest,
            pipeline=pipeline.name,
            stt=parts.recognisers.first.label,
            llm=parts.models.first.label,
            tts=parts.voices.first.label,
            recording="" if self._recording is None or self._consent is not None else str(self._recording.path),
            metadata=self.metadata,
            trace=self.trace,
        )
        try:
            if self._recording is not None and self._consent is None:
                self._tasks.start_soon(self._recording.save, self._recording_failed)
            self._tasks.start_soon(self._recognise)
            parts.sounds.begin()
            self._driver.happened(turns.Answered(self._greeting, self._caller_first_s, self._consent))
            self._steering.begin()
            self._set_timer()
            with self._conversing:
                await self._converse()
            self._end_replies()
            await self._transfers.wait_over()
            if self._transfers.taken is not None and self._ending == Ending("agent_hung_up"):
                self._ending = self._transfers.taken  # it was given up too late, and the caller is gone
            if parts.tools.running:
                await self._leave()  # the caller need not wait for them
        finally:
            self._timers.remove(self)
            try:
                await parts.tools.finish()
            finally:
                try:
                    if self._recording is not None:
                        await self._recording.finish()  # before `CallEnded`, so that the record has its failure
                finally:
                    ended = self._finish()
        self._tasks.raise_defect()
        return ended

    @property
    def _caller_first_s(self) -> float | None:
        settings = self._pipeline.settings
        first = self.info.speaks_first or settings.speaks_first
        return settings.limits.first_words_s if first == "caller" else None

    # --- The transport's sink ------------------------------------------------------------------------------------

    def format_changed(self, audio: AudioFormat) -> None:
        """Notes the format of the call's audio, if it is learnt from the audio; called before any has come."""
        if self._ending is not None:  # a transport may still deliver something, and the parts may be gone
            return
        try:
            self._listening.take_format(audio)
            self._parts.replies.take_format(audio)
        except Exception as error:  # noqa: BLE001 - the task that delivers may deliver to other calls too
            self.fail(error)

    def audio(self, audio: bytes | memoryview) -> None:
        """Takes the caller's next audio."""
        self._last_audio = trio.current_time()
        try:
            self._listening.hear(audio)
        except Exception as error:  # noqa: BLE001 - the task that delivers may deliver to other calls too
            self.fail(error)

    def dtmf(self, digit: str) -> None:
        """Takes a key that the caller pressed."""
        self._emit(DtmfReceived, digit=digit)
        self._driver.happened(turns.KeyPressed(digit))

    def heard(self, mark: int) -> None:
        """Notes that the audio before a mark was played; only transports that buffer report it."""
        if self._conversing.cancel_called:  # the parts may be gone
            return
        try:
            self._parts.replies.heard(mark)
        except Exception as error:  # noqa: BLE001 - the task that delivers may deliver to other calls too
            self.fail(error)

    def hung_up(self, reason: str) -> None:
        """Ends the call: the caller has hung up; or a transfer has taken them, if one runs."""
        if self._transfers.is_on:
            self._transfers.caller_left(reason)
        else:
            self._end(Ending("caller_hung_up", reason))

    # --- The tasks of a call, and its timers ---------------------------------------------------------------------

    async def _converse(self) -> None:
        try:
            await self._transport.run(self)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary of a call; what the transport raised
            self.fail(error)
        else:
            if self._transfers.is_on:
                self._transfers.caller_left("")
                await self._transfers.wait_over()
            self._end(Ending("caller_hung_up"))

    async def _recognise(self) -> None:
        budgets, recognisers = self._pipeline.settings.budgets.stt, self._parts.recognisers
        try:
            await self._listening.run(recognisers, budgets, self._driver.on_transcript, self._driver.on_recogniser)
        except ComponentError as error:
            self._driver.role_failed(error)

    def fire(self) -> None:
        """Handles the call's timer: no audio for too long, or a deadline of turn-taking. Both may have moved since."""
        patience, now = self._no_audio_s, trio.current_time()
        if now >= self._audio_since(now) + patience:
            self._end(Ending("no_audio", f"nothing came for {patience:g} s"))
            return
        if now >= self._turns.deadline:
            self._driver.fire_timers(now)
        self._set_timer()

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call because of an exception in one of its tasks, or for it in a task that all calls share."""
        self._tasks.fail(error)

    def _deadline_moved(self, deadline: float) -> None:
        if deadline < self._fires_at:  # a later one needs nothing: `fire` finds that nothing is due, and sets it again
            self._set_timer()

    def _audio_since(self, now: float) -> float:
        """The time since which audio should have come: a caller who is being transferred may be on hold."""
        return now if self._transfers.is_on else max(self._last_audio, self._transfers.ended_at)

    def _set_timer(self) -> None:
        if self._ending is None:
            since = self._audio_since(trio.current_time())
            self._fires_at = min(self._turns.deadline, since + self._no_audio_s)
            self._timers.set(self, self._fires_at)

    def _consent_settled(self, consent: Consent) -> None:
        """Begins the recording, unless the caller has refused it."""
        recording = None if consent == "refused" else self._recording
        self._emit(RecordingConsent, consent=consent, recording="" if recording is None else str(recording.path))
        if recording is not None:
            recording.begin()
            self._tasks.start_soon(recording.save, self._recording_failed)

    def _recording_failed(self, reason: str) -> None:
        if self._recording is not None:
            self._emit(RecordingFailed, path=str(self._recording.path), reason=reason)

    # --- The end -------------------------------------------------------------------------------------------------

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._parts.stop()
        self._conversing.cancel()  # also if last words are still waited for

    def _end_after_words(self, ending: Ending) -> None:
        """Ends the call as turn-taking has decided, when the caller has heard the last words of the agent.

        A transfer has waited for these itself.
        """
        if self._ending is None and ending.outcome not in TRANSFERS and self._parts.replies.are_unconfirmed:
            self._ending = ending
            self._parts.stop()
            self._tasks.start_soon(self._close_after_words)
        else:
            self._end(ending)

    async def _close_after_words(self) -> None:
        since = trio.current_time()
        if not await self._parts.replies.wait_confirmed():
            self._emit(LastWordsUnconfirmed, waited_s=trio.current_time() - since)
        self._conversing.cancel()

    def _end_replies(self) -> None:
        by_caller = self._ending is not None and self._ending.outcome == "caller_hung_up"
        self._parts.replies.end(self._turns.take_unanswered(), self._turns.spoke_at, by_caller=by_caller)

    def _finish(self) -> CallEnded:
        """Stops everything, reports the last turn and the end."""
        parts, turns_state = self._parts, self._turns.state
        self._end_replies()
        if turns_state.consent is not None and turns_state.consent.asks and turns_state.consent_was_heard:
            self._consent_settled("refused")  # the call ended before there was an answer
        self._nursery.cancel_scope.cancel()
        ending = self._ending = self._ending or Ending("cancelled")
        parts.stop()
        parts.model_requests.finish()
        cost = parts.report_usage(self._emit, self._pipeline.settings.prices)
        result: dict[str, Any] = {
            "outcome": ending.outcome,
            "turns": parts.replies.count,
            "detail": ending.detail,
            "metadata": dict(self.metadata),
            "cost": cost.amount,
            "cost_is_least": cost.is_least,
            "currency": cost.currency,
        }
        ended = CallEnded(self.call_id, self._emit.at_s, **result)
        self._emit(CallEnded, **result)
        self._emit.end()  # the transport may still deliver something; this was the last event
        parts.cut()
        self._tasks.detach()
        return ended

    async def _leave(self) -> None:
        """Hangs up, once, unless a transfer has ended this leg; takes at most `HANG_UP_S`."""
        self._steering.stop()  # a call that never began still has those who wait for its beginning
        if self._left or (self._ending is not None and self._ending.outcome in TRANSFERS):
            return
        self._left = True
        with trio.CancelScope(shield=True, deadline=trio.current_time() + HANG_UP_S):
            try:
                await self._transport.hang_up()
            except TransportError:
                pass  # the line is gone, and the call is over all the same
            except SystemExit as error:
                raise defect_of(error) from error
