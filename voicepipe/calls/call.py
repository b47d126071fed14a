"""One call: its conversation, from answer to hang-up."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import trio
from attrs import evolve

from voicepipe.calls.conversation import Conversation
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    ComponentFailed,
    ComponentUsed,
    DtmfReceived,
    FailedOver,
    RecordingFailed,
    SpeechDetected,
    Transcribed,
)
from voicepipe.calls.failover import FailoverList
from voicepipe.calls.listening.echo import EchoGuard
from voicepipe.calls.listening.listening import Listening
from voicepipe.calls.observing import EventEmitter
from voicepipe.calls.recording import RecordedTransport, recording_path
from voicepipe.calls.replies.composing import Composer
from voicepipe.calls.replies.playout import Playout
from voicepipe.calls.replies.replies import Replies
from voicepipe.calls.replies.speaking import ReplySpeaker
from voicepipe.calls.tasks import CallTasks
from voicepipe.calls.tools.running import ToolRuns
from voicepipe.calls.tools.toolbox import Toolbox
from voicepipe.calls.turns import actions
from voicepipe.calls.turns import events as turns
from voicepipe.calls.turns.events import Ending
from voicepipe.calls.turns.turn_taking import TurnTaking
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed
from voicepipe.errors import ComponentError, without_frames
from voicepipe.nurseries import defect_of, open_hidden_nursery
from voicepipe.tools.functions import ToolContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.events import CallEvent, Observer, Outcome
    from voicepipe.calls.failover import Rung
    from voicepipe.calls.listening.vad import Edge
    from voicepipe.calls.turns.actions import Action
    from voicepipe.calls.turns.events import Event
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.components.labels import Role
    from voicepipe.components.requests import CallInfo
    from voicepipe.pipelines.snapshot import OpenedSpeechToText, Pipeline
    from voicepipe.transports.protocol import Transport

HANG_UP_S = 5.0
"""How long a transport may take to end its call."""


class Call:
    """Holds one call on one pipeline; made by `open_call`.

    It connects the parts: listening and the transport report to turn-taking, and what turn-taking decides is done by
    listening and replies. It is also the sink of its transport. What comes in is dealt with synchronously, down to
    stopping the reply when the caller speaks over it, and so is the end of a timer. Beside `run`, a call has a task for
    its recogniser, one for the reply while there is one, and one for each tool that runs.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        transport: Transport,
        observer: Observer | None,
        nursery: trio.Nursery,
        at_end: AsyncExitStack,
    ) -> None:
        settings = pipeline.settings
        info = transport.info
        # Sessions, metrics, files and records are told apart by the call's ID, and a transport's own may repeat.
        self.info: CallInfo = evolve(info, call_id=str(uuid4()), transport_id=info.transport_id or info.call_id)
        """The call's ID, the transport's own, and the numbers of both parties."""
        self._recording: RecordedTransport | None = None
        if directory := settings.recording.directory:
            path = recording_path(directory, self.info.call_id)
            transport = self._recording = RecordedTransport(transport, path, settings.recording.readable_by)
        self._pipeline, self._transport, self._nursery = pipeline, transport, nursery
        self._emit = EventEmitter(self.info.call_id, observer, pipeline.reports)
        self._tasks = CallTasks(nursery, self._end)
        self._last_audio = trio.current_time()
        budgets, on_failure = settings.budgets, settings.on_failure
        self._turns = TurnTaking(
            settings.turns,
            settings.limits,
            on_failure,
            budgets.stt.first_transcript_ms,
            keys=settings.keys.items(),
            language=settings.speech.language,
        )
        self._echo = EchoGuard(transport.audio) if settings.turns.echo_guard else None
        self._listening = Listening(
            transport.audio,
            settings.turns.barge_in.min_speech_ms,
            self._on_edge,
            self._echo,
            second_opinion_ms=on_failure.second_opinion_ms,
        )
        self._stts = self._failover("stt")
        self._llms = self._failover("llm")
        self._ttss = self._failover("tts")
        playout = Playout(
            transport,
            pipeline.clock.ticker,
            settings.streaming.lead_ms,
            self._tasks,
            failed=self.fail,
            on_written=None if self._echo is None else self._echo.played,
        )
        toolbox = Toolbox(settings.tools, pipeline.tools, transport)
        conversation = Conversation(self.info, settings.prompt, toolbox.offered, settings.history)
        self._tools = ToolRuns(
            toolbox=toolbox,
            context=ToolContext(self.info.call_id, self.info),
            conversation=conversation,
            tasks=self._tasks,
            emit=self._emit,
            happened=self._happened,
            refused=self._tool_refused,
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
            happened=self._happened,
            failed=self._failed,
            tools=self._tools,
        )
        self._timers = pipeline.clock.timers
        self._fires_at, self._no_audio_s = 0.0, settings.limits.no_audio_s
        self._ending: Ending | None = None
        self._left = self._failing = False
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
        """How the call ends, and what `CallEnded.detail` will be; None while it is up.

        It is set before the line is closed. `CallEnded` is reported when the tools that have begun have ended too.
        """
        return None if self._ending is None else (self._ending.outcome, self._ending.detail)

    def drain(self) -> None:
        """Ends the call politely: after the present reply, with `limits.goodbye`."""
        self._happened(turns.DrainAsked())

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
            self._happened(turns.Answered(self._pipeline.settings.greeting))
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
                        await self._recording.finish()  # before the end is told: the record says what became of it
                finally:
                    ended = self._finish()
        self._tasks.raise_defect()
        return ended

    # --- The transport's sink ------------------------------------------------------------------------------------

    def format_changed(self, audio: AudioFormat) -> None:
        """Takes notice of the format that the call's audio turns out to have, before any has come."""
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
        self._happened(turns.KeyPressed(digit))

    def heard(self, mark: int) -> None:
        """Takes notice that the audio before a mark was played; only transports that pace themselves report it."""

    def hung_up(self, reason: str) -> None:
        """Takes notice that the caller is gone."""
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
            await self._listening.run(stts, budgets, self._on_transcript, self._on_recogniser)
        except ComponentError as error:
            self._failed(error)

    def fire(self) -> None:
        """Handles the call's timer: no audio for too long, or a deadline of turn-taking. Both may have moved since."""
        patience, now = self._no_audio_s, trio.current_time()
        if now >= self._last_audio + patience:
            self._end(Ending("no_audio", f"nothing came for {patience:g} s"))
            return
        if now >= self._turns.deadline:
            self._do(self._turns.fire_timers(now))
        self._set_timer()

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call for what was raised in one of its tasks, or for it in a task that all calls share."""
        self._tasks.fail(error)

    def _set_timer(self) -> None:
        if self._ending is None:
            self._fires_at = min(self._turns.deadline, self._last_audio + self._no_audio_s)
            self._timers.set(self, self._fires_at)

    # --- What happens, and what is done about it -----------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        try:
            self._do(self._turns.feed(event, trio.current_time()))
        except Exception as error:  # noqa: BLE001 - where it happens others' tasks run, and components' streams
            self.fail(error)

    def _do(self, asked: list[Action]) -> None:
        for action in asked:
            if self._ending is not None:
                return
            self._act(action)
        if self._turns.deadline < self._fires_at:
            self._set_timer()

    def _act(self, action: Action) -> None:  # noqa: C901 - a case for each action
        """Carries out what turn-taking has decided."""
        replies, listening = self._replies, self._listening
        match action:
            case actions.Reply(trigger, inputs):
                replies.reply(trigger, inputs, *self._turns.spoke_at)
            case actions.Announce():
                cached = self._pipeline.apology if action.apology else None
                replies.announce(action.text, cached, action.answers, action.inputs, self._turns.spoke_at[0])
            case actions.Prepare(trigger, inputs):
                replies.prepare(trigger, inputs)
            case actions.Adopt(trigger, inputs):
                replies.adopt(trigger, inputs, *self._turns.spoke_at)
            case actions.Discard():
                replies.discard()
            case actions.PauseReply():
                replies.pause()
            case actions.ResumeReply(wordless):
                if wordless and self._echo is not None:
                    self._echo.was_no_caller()
                replies.resume()
            case actions.CancelReply(retracted):
                replies.cancel(retracted=retracted, by_caller=not self._failing)
            case actions.FinaliseTranscript():
                listening.finalise()
            case actions.GiveUpOnFinal():
                listening.give_up_on_final()
            case actions.End(ending):
                self._end(ending)

    def _on_edge(self, edge: Edge) -> None:
        if edge == "ended":
            silent_ms = self._listening.silent_ms
            self._happened(turns.SpeechEnded(silent_ms / 1000, self._listening.audio_ms - silent_ms))
            return
        if edge == "began":
            self._happened(turns.SpeechBegan())
        else:
            speaking = self._turns.phase == "speaking"
            self._happened(turns.SpeechSustained())
            interrupts = speaking and self._turns.phase in {"interrupted", "user_speaking"}
            self._emit(SpeechDetected, interrupts=interrupts)

    def _on_transcript(self, event: TranscriptEvent) -> None:
        if isinstance(event, Transcript):
            if event.text:
                self._emit(Transcribed, text=event.text, final=event.final)
            if not event.final:
                self._happened(turns.Partial(event.text))
                return
            end_ms = event.audio_end_ms
            audio_ms = None if end_ms is None else self._listening.call_ms(end_ms)
            self._happened(turns.Final(event.text, event.language, event.confidence, audio_ms))
        elif isinstance(event, EndOfTurn):
            self._happened(turns.EagerEndOfTurn() if event.eager else turns.EndOfTurn())
        elif isinstance(event, TurnResumed):
            self._happened(turns.TurnResumed())

    def _on_recogniser(self, found: bool) -> None:
        if self._ending is None:
            self._happened(turns.RecogniserFound() if found else turns.RecogniserLost())

    def _component_failed(self, role: Role, error: ComponentError) -> None:
        if self._ending is None:
            self._emit(ComponentFailed, role=role, error=error)

    def _recording_failed(self, reason: str) -> None:
        if self._recording is not None:
            self._emit(RecordingFailed, path=str(self._recording.path), reason=reason)

    def _tool_refused(self, error: ComponentError) -> None:
        error.component, error.role = self._llms.first.label.name, "llm"
        self._component_failed("llm", error)

    def _failed_over(self, role: Role, rung: Rung, component: str) -> None:
        if self._ending is None:
            self._emit(FailedOver, role=role, rung=rung, component=component)

    def _failed(self, error: ComponentError) -> None:
        """Reports that a role has no component left, and says the apology."""
        role = without_frames(error).role or "llm"  # its component may keep it, and with its frames this call
        if self._turns.phase != "closing":
            self._failed_over(role, "apology", "")
        self._failing = True
        self._happened(turns.RoleFailed(str(error), role))

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._conversing.cancel()

    def _finish(self) -> CallEnded:
        """Stops everything, reports the last turn and the end."""
        self._replies.end(self._turns.take_unanswered())
        self._nursery.cancel_scope.cancel()
        ending = self._ending = self._ending or Ending("cancelled")
        for alternatives in (self._stts, self._llms, self._ttss):
            for total in alternatives.usage.values():
                self._emit(ComponentUsed, usage=total.usage)
        turns_held, at_s = self._replies.count, self._emit.at_s
        self._emit(CallEnded, outcome=ending.outcome, turns=turns_held, detail=ending.detail)
        self._emit.end()  # the transport may still deliver something; this was the last event
        # These know the call: if it knew them still, it would stay until the garbage collector comes.
        self._listening.stop_reporting_edges()
        self._tasks.detach()
        del self._replies, self._tools, self._stts, self._llms, self._ttss
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
    pipeline: Pipeline, transport: Transport, *, observer: Callable[[CallEvent], None] | None = None
) -> AsyncIterator[Call]:
    """Opens a call on a pipeline of a pinned snapshot; `await call.run()` holds the conversation.

    Leaving the context hangs up, if nobody has.

    Args:
        pipeline: from `snapshot.choose(...)`; keep the snapshot pinned until the context is left.
        transport: where the call's audio comes from and goes to.
        observer: called synchronously with every event. What it raises is logged once, as "voicepipe.observers", and
            ends nothing.

    """
    async with AsyncExitStack() as at_end, open_hidden_nursery() as nursery:
        try:
            yield Call(pipeline, transport, observer, nursery, at_end)
        finally:
            nursery.cancel_scope.cancel()
