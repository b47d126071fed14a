"""One call: its conversation, from answer to hang-up.

Theory of operation
-------------------

A call connects parts that each know a piece of it, and it owns the two things that none of them does: when the call
begins and ends, and its tasks.

    transport ---audio---> Listening ---edges, transcripts---> TurnDriver <---> TurnTaking
        ^                                                       |      ^
        |                                                       v      |
        +----frames---- Playout <---speech--- ReplySpeaker <--- Replies ---> Conversation, ToolRuns

`turn_driver.py` explains how decisions are made and carried out; `listening/listening.py` and `replies/speaking.py`
explain the two directions of audio.

Tasks. A call has as few tasks as it can, because each costs memory and switches, and a process holds many calls:

- `run`, the task of the program that holds the call, is also the transport's (`Transport.run`);
- one for the recogniser (`_recognise`), which opens, feeds and replaces recognisers;
- one for the reply while there is one, and one for each tool that runs;
- one that saves the recording, if the call is recorded.

Whatever comes from the transport is handled in the task that delivers it, which may serve many calls, and a timer fires
in the task of all timers. So the methods of a sink and of a timer's target are synchronous and do not raise: an
exception there ends this call by `fail`.

The beginning, in this order, each for the sake of the next:

1. the constructor gives the call its ID, and puts the recording between the call and its transport, so that every
   frame passes it;
2. `CallBegan` is reported: an observer sees no event of the call before it;
3. the recogniser's task is started. It need not be ready: audio is buffered until it is;
4. turn-taking learns that the call was answered, and usually asks for the greeting;
5. the timer is set, and the transport runs.

The end. `_end` is the only way: the first `Ending` is kept, later ones are ignored, and the transport's task is
cancelled. There are five causes: the caller hangs up or the transport fails (`_converse`), turn-taking decides it (the
model asked for it, a limit, a drain, the apology was said), no audio comes (`fire`), a task of the call raises
(`CallTasks`), or the program asks for it (`hang_up`, or cancelling `run`). Then, in this order:

1. the reply stops, and what was heard of it is reported as the last turn;
2. the caller is transferred or let go, if tools still run: the caller need not wait for them;
3. tools end, cancellable ones at once and others by themselves: a booking that has begun is finished, or its result
   would be unknown;
4. the recording is completed, so that the record can say what became of it;
5. all tasks are cancelled, and `ComponentUsed` and `CallEnded` are reported, the last event of all;
6. `run` raises the defect that ended the call, if one did, and `open_call` hangs up, if nobody has.

Steps 3 to 6 take place even if `run` is cancelled: they are shielded for some seconds.

Memory. The parts refer to the call by callbacks, and the call to the parts. `_finish` cuts these references, so that a
call is freed by its last reference, and the garbage collector, which stops all calls while it runs, has nothing to do.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import trio
from attrs import evolve

from voicepipe.calls.caller_view import caller_view
from voicepipe.calls.conversation import Conversation
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    ComponentFailed,
    ComponentUsed,
    DtmfReceived,
    FailedOver,
    LastWordsUnconfirmed,
    RecordingFailed,
)
from voicepipe.calls.failover import FailoverList
from voicepipe.calls.listening.echo import EchoGuard
from voicepipe.calls.listening.listening import Listening
from voicepipe.calls.observing import EventEmitter
from voicepipe.calls.recording import RecordedTransport, recording_path
from voicepipe.calls.replies.composing import Composer
from voicepipe.calls.replies.open_playout import open_playout
from voicepipe.calls.replies.replies import Replies
from voicepipe.calls.replies.speaking import ReplySpeaker
from voicepipe.calls.replies.waiting_sounds import WaitingSounds
from voicepipe.calls.tasks import CallTasks
from voicepipe.calls.texts import CallTexts
from voicepipe.calls.tools.running import ToolRuns
from voicepipe.calls.tools.toolbox import Toolbox
from voicepipe.calls.turn_driver import TurnDriver
from voicepipe.calls.turns import events as turns
from voicepipe.calls.turns.events import Ending
from voicepipe.calls.turns.turn_taking import TurnTaking
from voicepipe.components.requests import new_call_id
from voicepipe.errors import ComponentError
from voicepipe.nurseries import defect_of, open_hidden_nursery
from voicepipe.tools.functions import ToolContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.events import CallEvent, Observer, Outcome
    from voicepipe.calls.failover import FailoverStep
    from voicepipe.components.labels import Role
    from voicepipe.components.requests import CallInfo
    from voicepipe.pipelines.snapshot import OpenedSpeechToText, Pipeline
    from voicepipe.transports.protocol import Transport

HANG_UP_S = 5.0
"""The time in which a transport must end its call, in s."""


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
    ) -> None:
        settings = pipeline.settings
        # Sessions, metrics, files and records are told apart by the call's ID, and a transport's own may repeat.
        self.info: CallInfo = evolve(info, call_id=new_call_id(), transport_id=info.transport_id or info.call_id)
        """The call's ID, the transport's own, and the numbers of both parties."""
        shows_caller = caller_view(transport)  # before the recording takes the transport's place
        self._recording: RecordedTransport | None = None
        if directory := settings.recording.directory:
            path = recording_path(directory, self.info.call_id)
            transport = self._recording = RecordedTransport(transport, path, settings.recording.readable_by)
        self._pipeline, self._transport, self._nursery = pipeline, transport, nursery
        self._emit = EventEmitter(self.info.call_id, (observer, shows_caller), pipeline.reports)
        self._tasks = CallTasks(nursery, self._end)
        self._last_audio = trio.current_time()
        texts = CallTexts(self.info, pipeline, at)
        budgets, on_failure = settings.budgets, settings.on_failure
        self._turns = TurnTaking(
            settings.turns,
            texts.limits,
            texts.on_failure,
            budgets.stt.first_transcript_ms,
            keys=texts.keys.items(),
            language=settings.speech.language,
        )
        echo = EchoGuard(transport.audio) if settings.turns.echo_guard else None
        self._driver = TurnDriver(
            self._turns,
            pipeline,
            texts,
            tasks=self._tasks,
            emit=self._emit,
            echo=echo,
            deadline_moved=self._deadline_moved,
            end=self._end_after_words,
        )
        self._listening = Listening(
            transport.audio,
            settings.turns.barge_in.min_speech_ms,
            self._driver.on_edge,
            echo,
            second_opinion_ms=on_failure.second_opinion_ms,
        )
        self._stts = self._failover("stt")
        self._llms = self._failover("llm")
        self._ttss = self._failover("tts")
        playout = open_playout(
            transport,
            pipeline.clock,
            settings.streaming,
            self._tasks,
            failed=self.fail,
            echo=echo,
            recording=self._recording,
            noise=pipeline.sounds.noise,
        )
        self._sounds = WaitingSounds(playout, pipeline, pipeline.clock.refills)
        toolbox = Toolbox(settings.tools, pipeline.tools, transport)
        conversation = Conversation(texts, toolbox.offered, settings.history)
        self._tools = ToolRuns(
            toolbox=toolbox,
            context=ToolContext(self.info.call_id, self.info, texts.values_for_tools),
            conversation=conversation,
            tasks=self._tasks,
            emit=self._emit,
            happened=self._driver.happened,
            refused=self._tool_refused,
            waits=self._sounds.tools_changed,
        )
        composer = Composer(self._llms, conversation.states, conversation.fits, budgets.llm, settings.speech)
        speaker = ReplySpeaker(composer, self._ttss, budgets.tts, playout)
        self._replies = Replies(
            speaker=speaker,
            conversation=conversation,
            playout=playout,
            listening=self._listening,
            tasks=self._tasks,
            emit=self._emit,
            happened=self._driver.happened,
            failed=self._driver.role_failed,
            tools=self._tools,
            sounds=self._sounds,
        )
        self._driver.connect(self._listening, self._replies)
        self._timers = pipeline.clock.timers
        self._greeting = texts.greeting
        self._fires_at, self._no_audio_s = 0.0, settings.limits.no_audio_s
        self._ending: Ending | None = None
        self._left = False
        self._conversing = trio.CancelScope()
        at_end.push_async_callback(self._leave)  # when the tasks have ended

    def _failover(self, role: Role) -> FailoverList[Any]:
        pipeline = self._pipeline
        retries = pipeline.settings.on_failure.retries
        return FailoverList(role, pipeline.role(role), retries, self._component_failed, self._failed_over)

    @property
    def call_id(self) -> str:
        """The call's unique name; the transport's own name for it is `info.transport_id`."""
        return self.info.call_id

    @property
    def ending(self) -> tuple[Outcome, str] | None:
        """The outcome and the detail that `CallEnded` will have; None while the call is up.

        It is set before the line is closed. `CallEnded` is reported when the tools that have begun have ended too.
        """
        return None if self._ending is None else (self._ending.outcome, self._ending.detail)

    def drain(self) -> None:
        """Ends the call politely: after the present reply, with `limits.goodbye`."""
        self._driver.happened(turns.DrainAsked())

    def hang_up(self) -> None:
        """Ends the call at once."""
        self._end(Ending("agent_hung_up"))

    async def run(self) -> CallEnded:
        """Holds the conversation until the call is over.

        A role that has no component left, or a `TransportError`, ends the call, and `CallEnded.outcome` says so. Any
        other exception is a defect: it ends this call alone, and is raised when the call is over. Cancelling ends the
        call too.
        """
        pipeline = self._pipeline
        self._emit(
            CallBegan,
            info=self.info,
            set=pipeline.set,
            version=pipeline.version,
            digest=pipeline.digest,
            pipeline=pipeline.name,
            stt=self._stts.first.label,
            llm=self._llms.first.label,
            tts=self._ttss.first.label,
            recording="" if self._recording is None else str(self._recording.path),
        )
        try:
            if self._recording is not None:
                self._tasks.start_soon(self._recording.save, self._recording_failed)
            self._tasks.start_soon(self._recognise, self._stts)
            self._sounds.begin()
            self._driver.happened(turns.Answered(self._greeting))
            self._set_timer()
            with self._conversing:
                await self._converse()
            self._replies.end(self._turns.take_unanswered())
            if self._tools.running:
                await self._leave()  # the caller need not wait for them
        finally:
            self._timers.remove(self)
            try:
                await self._tools.finish()
            finally:
                try:
                    if self._recording is not None:
                        await self._recording.finish()  # before `CallEnded`, so that the record has its failure
                finally:
                    ended = self._finish()
        self._tasks.raise_defect()
        return ended

    # --- The transport's sink ------------------------------------------------------------------------------------

    def format_changed(self, audio: AudioFormat) -> None:
        """Notes the format of the call's audio, if it is learnt from the audio; called before any has come."""
        if self._ending is not None:  # a transport may still deliver something, and the parts may be gone
            return
        try:
            self._listening.take_format(audio)
            self._replies.take_format(audio)
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
            self._replies.heard(mark)
        except Exception as error:  # noqa: BLE001 - the task that delivers may deliver to other calls too
            self.fail(error)

    def hung_up(self, reason: str) -> None:
        """Ends the call: the caller has hung up."""
        self._end(Ending("caller_hung_up", reason))

    # --- The tasks of a call, and its timers ---------------------------------------------------------------------

    async def _converse(self) -> None:
        try:
            await self._transport.run(self)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary of a call; what the transport raised
            self.fail(error)
        else:
            self._end(Ending("caller_hung_up"))

    async def _recognise(self, stts: FailoverList[OpenedSpeechToText]) -> None:
        budgets = self._pipeline.settings.budgets.stt
        try:
            await self._listening.run(stts, budgets, self._driver.on_transcript, self._driver.on_recogniser)
        except ComponentError as error:
            self._driver.role_failed(error)

    def fire(self) -> None:
        """Handles the call's timer: no audio for too long, or a deadline of turn-taking. Both may have moved since."""
        patience, now = self._no_audio_s, trio.current_time()
        if now >= self._last_audio + patience:
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

    def _set_timer(self) -> None:
        if self._ending is None:
            self._fires_at = min(self._turns.deadline, self._last_audio + self._no_audio_s)
            self._timers.set(self, self._fires_at)

    # --- Reports of the parts ------------------------------------------------------------------------------------

    def _component_failed(self, role: Role, error: ComponentError) -> None:
        if self._ending is None:
            self._emit(ComponentFailed, role=role, error=error)

    def _recording_failed(self, reason: str) -> None:
        if self._recording is not None:
            self._emit(RecordingFailed, path=str(self._recording.path), reason=reason)

    def _tool_refused(self, error: ComponentError) -> None:
        error.component, error.role = self._llms.first.label.name, "llm"
        self._component_failed("llm", error)

    def _failed_over(self, role: Role, step: FailoverStep, component: str) -> None:
        if self._ending is None:
            self._emit(FailedOver, role=role, rung=step, component=component)

    # --- The end -------------------------------------------------------------------------------------------------

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._driver.stop()
        self._conversing.cancel()  # also if last words are still waited for

    def _end_after_words(self, ending: Ending) -> None:
        """Ends the call as turn-taking has decided, when the caller has heard the last words of the agent."""
        if self._ending is None and self._replies.are_unconfirmed:
            self._ending = ending
            self._driver.stop()
            self._tasks.start_soon(self._close_after_words)
        else:
            self._end(ending)

    async def _close_after_words(self) -> None:
        since = trio.current_time()
        if not await self._replies.wait_confirmed():
            self._emit(LastWordsUnconfirmed, waited_s=trio.current_time() - since)
        self._conversing.cancel()

    def _finish(self) -> CallEnded:
        """Stops everything, reports the last turn and the end."""
        self._replies.end(self._turns.take_unanswered())
        self._nursery.cancel_scope.cancel()
        ending = self._ending = self._ending or Ending("cancelled")
        self._driver.stop()
        for alternatives in (self._stts, self._llms, self._ttss):
            for total in alternatives.usage.values():
                self._emit(ComponentUsed, usage=total.usage)
        turns_held, at_s = self._replies.count, self._emit.at_s
        self._emit(CallEnded, outcome=ending.outcome, turns=turns_held, detail=ending.detail)
        self._emit.end()  # the transport may still deliver something; this was the last event
        self._listening.stop_reporting_edges()
        self._driver.disconnect()
        self._tasks.detach()
        del self._replies, self._tools, self._sounds, self._stts, self._llms, self._ttss
        return CallEnded(self.call_id, at_s, ending.outcome, turns_held, ending.detail)

    async def _leave(self) -> None:
        """Transfers the caller or hangs up, once; takes at most `HANG_UP_S`."""
        if self._left:
            return
        self._left = True
        with trio.CancelScope(shield=True, deadline=trio.current_time() + HANG_UP_S):
            try:
                if self._ending is not None and self._ending.outcome == "transfer_requested":
                    await self._transport.transfer(self._ending.detail)
                else:
                    await self._transport.hang_up()
            except SystemExit as error:
                raise defect_of(error) from error


@asynccontextmanager
async def open_call(
    pipeline: Pipeline,
    transport: Transport,
    *,
    observer: Callable[[CallEvent], None] | None = None,
    info: CallInfo | None = None,
    at: datetime | None = None,
) -> AsyncIterator[Call]:
    """Opens a call on a pipeline of a pinned snapshot; `await call.run()` holds the conversation.

    Leaving the context hangs up, if nobody has.

    Args:
        pipeline: from `snapshot.choose(...)`; keep the snapshot pinned until the context is left.
        transport: where the call's audio comes from and goes to.
        observer: called synchronously with every event. What it raises is logged once, as "voicepipe.observers", and
            ends nothing.
        info: the numbers and variables of the call, if more is known than the transport tells; None: the transport's.
        at: the moment of the call, with a time zone, for dates and times in its texts; None: now.

    """
    info, at = info or transport.info, at or datetime.now(UTC)
    async with AsyncExitStack() as at_end, open_hidden_nursery() as nursery:
        try:
            yield Call(pipeline, transport, observer, nursery, at_end, info=info, at=at)
        finally:
            nursery.cancel_scope.cancel()
