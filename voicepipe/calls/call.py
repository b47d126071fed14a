"""One call: its conversation, from answer to hang-up."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

import trio
from attrs import evolve

from voicepipe.calls import turn_events as turns
from voicepipe.calls.alternatives import Alternatives
from voicepipe.calls.conversation import Conversation
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    ComponentFailed,
    DtmfReceived,
    FailedOver,
    ReplyStarted,
    SpeechDetected,
    Transcribed,
    TurnEnded,
)
from voicepipe.calls.exchange import Exchange
from voicepipe.calls.listening import Listening
from voicepipe.calls.playout import Playout
from voicepipe.calls.speaking import Speaker
from voicepipe.calls.spoken_reply import SpokenReply
from voicepipe.calls.tools import ending_of, offered_tools
from voicepipe.calls.turn_events import Ending
from voicepipe.calls.turns import TurnTaking
from voicepipe.errors import ComponentError, TransportError
from voicepipe.events import EndOfTurn, Transcript
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.requests import CallInfo, Trigger, Utterance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from typing import NoReturn

    from voicepipe.calls.alternatives import Rung
    from voicepipe.calls.events import CallEvent, Observer
    from voicepipe.calls.turn_events import Action, Event
    from voicepipe.calls.vad import Edge
    from voicepipe.components import Role
    from voicepipe.events import TranscriptEvent
    from voicepipe.pipelines.snapshot import Pipeline
    from voicepipe.transports.protocol import Transport

HANG_UP_S = 5.0
"""How long a transport may take to end its call."""


class Call:
    """One call on one pipeline; made by `open_call`.

    It is also the sink of its transport: what comes in is dealt with synchronously, down to stopping the reply
    when the caller speaks over it. Two tasks per call run beside that, for the recogniser and the timers, and
    one for the reply while there is one.
    """

    def __init__(
        self, pipeline: Pipeline, transport: Transport, observer: Observer | None, nursery: trio.Nursery
    ) -> None:
        settings = pipeline.settings
        self.info: CallInfo = evolve(transport.info, call_id=transport.info.call_id or str(uuid4()))
        """Who rings whom."""
        self._pipeline, self._transport, self._nursery = pipeline, transport, nursery
        self._observer = observer
        self._began = self._last_audio = trio.current_time()
        final_ms = settings.budgets.stt.first_transcript_ms
        self._turns = TurnTaking(settings.turns, settings.limits, settings.on_failure, final_ms)
        self._listening = Listening(transport.audio, settings.turns.barge_in.min_speech_ms, self._on_edge)
        self._playout = Playout(transport, pipeline.ticker, settings.streaming.lead_ms, nursery)
        retries, tell = settings.on_failure.retries, (self._component_failed, self._failed_over)
        self._stts = Alternatives("stt", pipeline.stt, retries, *tell)
        self._conversation = Conversation(self.info, settings.prompt, offered_tools(settings.tools, transport.can))
        self._speaker = Speaker(
            Alternatives("llm", pipeline.llm, retries, *tell),
            Alternatives("tts", pipeline.tts, retries, *tell),
            self._conversation.states,
            settings.budgets,
            self._playout,
            transport.audio,
        )
        self._exchange: Exchange | None = None
        self._exchanges = 0
        self._armed = 0.0
        self._rearm = trio.Event()
        self._ending: Ending | None = None
        self._over = trio.Event()

    @property
    def call_id(self) -> str:
        """Unique; the transport's own where it has one."""
        return self.info.call_id

    def drain(self) -> None:
        """Ends the call politely: after the reply that is on, with the configured goodbye."""
        self._happened(turns.DrainAsked())

    def hang_up(self) -> None:
        """Ends the call at once."""
        self._end(Ending("agent_hung_up"))

    async def run(self) -> CallEnded:
        """Holds the conversation until the call is over, however that comes; failures of components don't raise."""
        pipeline = self._pipeline
        self._tell(
            CallBegan(
                call_id=self.call_id,
                at_s=0.0,
                info=self.info,
                set=pipeline.set,
                version=pipeline.version,
                digest=pipeline.digest,
                pipeline=pipeline.name,
                stt=pipeline.stt[0].label,
                llm=pipeline.llm[0].label,
                tts=pipeline.tts[0].label,
            )
        )
        try:
            self._nursery.start_soon(self._read)
            self._nursery.start_soon(self._recognise)
            self._nursery.start_soon(self._keep_time)
            self._happened(turns.Answered(self._pipeline.settings.greeting))
            await self._over.wait()
        finally:
            ended = self._finish()
        return ended

    # --- The transport's sink ------------------------------------------------------------------------------------

    def audio(self, audio: bytes | memoryview) -> None:
        """Takes the caller's next audio."""
        self._last_audio = trio.current_time()
        self._listening.hear(audio)

    def dtmf(self, digit: str) -> None:
        """Takes a key that the caller pressed."""
        self._tell(DtmfReceived(self.call_id, self._at(), digit))
        self._happened(turns.KeyPressed(digit))

    def heard(self, mark: int) -> None:
        """Takes a transport's word that audio was played; only transports that pace themselves give it."""

    def hung_up(self, reason: str) -> None:
        """Takes notice that the caller is gone."""
        self._end(Ending("caller_hung_up", reason))

    # --- The tasks of a call -------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            await self._transport.run(self)
        except TransportError as error:
            self._end(Ending("failed", str(error)))
        else:
            self._end(Ending("caller_hung_up"))

    async def _recognise(self) -> None:
        budgets = self._pipeline.settings.budgets.stt
        try:
            await self._listening.run(self._stts, budgets, self._on_transcript, self._on_recogniser)
        except ComponentError as error:
            self._failed(error)

    async def _keep_time(self) -> NoReturn:
        patience = self._pipeline.settings.limits.no_audio_s
        while True:
            self._rearm = trio.Event()
            self._armed = min(self._turns.deadline, self._last_audio + patience)
            with trio.move_on_at(self._armed):
                await self._rearm.wait()
            now = trio.current_time()
            if now >= self._last_audio + patience:
                self._end(Ending("no_audio", f"nothing came for {patience:g} s"))
            elif now >= self._turns.deadline:
                self._do(self._turns.tick(now))

    async def _reply(self, exchange: Exchange) -> None:
        reply = exchange.reply
        try:
            with reply.scope:
                await self._speaker.speak(reply)
                ending = ending_of(reply.tool_calls, self._conversation.tools, self._tool_refused)
        except ComponentError as error:
            if self._exchange is exchange:
                self._close_exchange(exchange, interrupted=True)
                self._failed(error)
            return
        # A reply that was dropped while it was only waiting to be heard ends here too, but it is not the turn any more.
        if self._exchange is exchange:
            self._commit(exchange)
            self._close_exchange(exchange, interrupted=False)
            self._happened(turns.ReplyEnded(ending))

    # --- What happens, and what is done about it -----------------------------------------------------------------

    def _happened(self, event: Event) -> None:
        self._do(self._turns.handle(event, trio.current_time()))

    def _do(self, actions: list[Action]) -> None:
        for action in actions:
            if self._ending is not None:
                return
            match action:
                case turns.Reply(trigger):
                    self._start_reply(trigger)
                case turns.Announce(text, apology):
                    recorded = self._pipeline.apology if apology else None
                    self._start(SpokenReply(self._begin_playout(), None, text, recorded), trigger=None)
                case turns.CancelReply(retracted):
                    self._cancel_reply(retracted=retracted)
                case turns.FinaliseTranscript():
                    self._listening.finalise()
                case turns.GiveUpOnFinal():
                    self._listening.give_up_on_final()
                case turns.End(ending):
                    self._end(ending)
        if self._turns.deadline < self._armed:
            self._rearm.set()

    def _on_edge(self, edge: Edge) -> None:
        if edge == "ended":
            silent_ms = self._listening.silent_ms
            self._happened(turns.SpeechEnded(silent_ms / 1000, self._listening.audio_ms - silent_ms))
            return
        if edge == "began":
            self._happened(turns.SpeechBegan())
        else:
            speaking = self._turns.state == "speaking"
            self._happened(turns.SpeechSustained())
            interrupts = speaking and self._turns.state == "user_speaking"
            self._tell(SpeechDetected(self.call_id, self._at(), interrupts))

    def _on_transcript(self, event: TranscriptEvent) -> None:
        if isinstance(event, Transcript):
            if event.text:
                self._tell(Transcribed(self.call_id, self._at(), event.text, event.final))
            if not event.final:
                self._happened(turns.Partial(event.text))
                return
            end_ms = event.audio_end_ms
            audio_ms = None if end_ms is None else self._listening.call_ms(end_ms)
            self._happened(turns.Final(event.text, event.language, event.confidence, audio_ms))
        elif isinstance(event, EndOfTurn) and not event.eager:
            self._happened(turns.EndOfTurn())

    def _on_recogniser(self, found: bool) -> None:
        if self._ending is None:
            self._happened(turns.RecogniserFound() if found else turns.RecogniserLost())

    def _component_failed(self, role: Role, error: ComponentError) -> None:
        if self._ending is None:
            self._tell(ComponentFailed(self.call_id, self._at(), role, error))

    def _tool_refused(self, error: ComponentError) -> None:
        error.component, error.role = self._pipeline.llm[0].label.name, "llm"
        self._component_failed("llm", error)

    def _failed_over(self, role: Role, rung: Rung, component: str) -> None:
        if self._ending is None:
            self._tell(FailedOver(self.call_id, self._at(), role, rung, component))

    def _failed(self, error: ComponentError) -> None:
        """A role has nothing left that works."""
        role = error.role or "llm"
        if self._turns.state != "closing":
            self._failed_over(role, "apology", "")
        self._happened(turns.Failed(str(error), role))

    # --- Replies -------------------------------------------------------------------------------------------------

    def _start_reply(self, trigger: Trigger) -> None:
        self._start(SpokenReply(self._begin_playout(), self._conversation.ask(trigger)), trigger)
        self._listening.settle()

    def _begin_playout(self) -> int:
        return self._playout.begin(self._on_audible)

    def _start(self, reply: SpokenReply, trigger: Trigger | None) -> None:
        spoken_at = self._turns.silent_since if isinstance(trigger, Utterance) else None
        self._exchanges += 1
        self._exchange = Exchange(self._exchanges, trigger, reply, spoken_at)
        self._nursery.start_soon(self._reply, self._exchange)

    def _on_audible(self) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.audible_at = trio.current_time()
            self._tell(ReplyStarted(self.call_id, self._at(), exchange.number, exchange.response_ms))
            self._commit(exchange)
            self._happened(turns.ReplyAudible())

    def _commit(self, exchange: Exchange) -> None:
        """Keeps what the model wants kept, once its reply counts."""
        if exchange.reply.done is not None and not exchange.committed:
            exchange.committed = True
            if (listen := self._conversation.commit(exchange.reply)) is not None:
                self._listening.expect(listen)

    def _cancel_reply(self, *, retracted: bool) -> None:
        exchange = self._exchange
        if exchange is None:
            return
        if retracted:
            self._exchange = None
            self._exchanges -= 1
            self._conversation.retract()
        else:
            if exchange.audible_at is not None:
                self._commit(exchange)
            self._close_exchange(exchange, interrupted=True)
        self._playout.drop()
        exchange.reply.scope.cancel()

    def _close_exchange(self, exchange: Exchange, *, interrupted: bool) -> None:
        """Keeps of the reply what was heard, and reports the turn."""
        if self._exchange is not exchange:
            return
        self._exchange = None
        said = exchange.reply.heard(self._playout.played_ms)
        self._conversation.agent_said(said, interrupted=interrupted)
        self._tell(
            TurnEnded(
                call_id=self.call_id,
                at_s=self._at(),
                turn=exchange.number,
                trigger=exchange.trigger_name,
                heard=exchange.heard,
                said=said,
                interrupted=interrupted,
                response_ms=exchange.response_ms,
            )
        )

    # --- The end -------------------------------------------------------------------------------------------------

    def _end(self, ending: Ending) -> None:
        if self._ending is None:
            self._ending = ending
            self._over.set()

    def _finish(self) -> CallEnded:
        """Stops everything, reports the last turn and the end."""
        if self._exchange is not None:
            self._close_exchange(self._exchange, interrupted=True)
        self._playout.drop()
        self._nursery.cancel_scope.cancel()
        self._ending = self._ending or Ending("cancelled")
        ended = CallEnded(self.call_id, self._at(), self._ending.outcome, self._exchanges, self._ending.detail)
        self._tell(ended)
        self._observer = None  # the transport may still deliver something; this was the last event
        return ended

    async def _leave(self) -> None:
        """Ends the transport's side, in its own way."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + HANG_UP_S):
            if self._ending is not None and self._ending.outcome == "transfer_requested":
                await self._transport.transfer(self._ending.detail)
            else:
                await self._transport.hang_up()

    def _at(self) -> float:
        return trio.current_time() - self._began

    def _tell(self, event: CallEvent) -> None:
        if self._observer is not None:
            self._observer(event)


@asynccontextmanager
async def open_call(
    pipeline: Pipeline, transport: Transport, *, observer: Callable[[CallEvent], None] | None = None
) -> AsyncIterator[Call]:
    """A call on a pipeline of a pinned snapshot; `await call.run()` holds the conversation.

    Leaving it hangs up, if nobody has.

    Args:
        pipeline: from `snapshot.choose(...)`; keep the snapshot pinned until this is left.
        transport: where the call's audio comes from and goes to.
        observer: told everything that happens, synchronously.

    """
    call: Call | None = None
    try:
        async with open_hidden_nursery() as nursery:
            call = Call(pipeline, transport, observer, nursery)
            try:
                yield call
            finally:
                nursery.cancel_scope.cancel()
    finally:
        if call is not None:
            await call._leave()  # noqa: SLF001 - its other half
