"""Answers calls: each on the version that serves when it comes, and held to that version until it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import asdict

from voicepipe import CallBegan, CallEnded, ComponentFailed, PipelineSetClosed, SpeechDetected, TurnEnded, open_call

if TYPE_CHECKING:
    from reference_engine.sessions import SessionStore
    from reference_engine.telemetry import Log
    from voicepipe import Call, CallEvent, CallInfo, PipelineSet, Transport, TransportError


class Answering:
    """Answers the calls that a listener brings, with one pipeline set.

    The edge of a call is the listener's: what `answer` raises ends that call only, is reported to `crashed`, and
    the call is hung up.
    """

    def __init__(self, pipelines: PipelineSet, sessions: SessionStore, log: Log) -> None:
        self._pipelines, self._sessions, self._log = pipelines, sessions, log
        self._calls: set[Call] = set()

    async def answer(self, transport: Transport) -> None:
        """Holds one call, from the pin on a version to the hang-up."""
        try:
            with self._pipelines.pin() as snapshot:
                pipeline = snapshot.choose(transport.info)
                async with open_call(pipeline, transport, observer=self._observe) as call:
                    await self._hold(call)
        except PipelineSetClosed as closed:
            self._log.warning("call.refused", call_id=transport.info.call_id, reason=str(closed))

    async def _hold(self, call: Call) -> None:
        self._calls.add(call)
        try:
            await call.run()
        finally:
            self._calls.discard(call)
            self._sessions.forget(call.call_id)

    def drain(self) -> None:
        """Lets every call that is up say its goodbye and hang up."""
        for call in tuple(self._calls):
            call.drain()

    def refused(self, peer: str, why: TransportError) -> None:
        """Notes a connection that was no call, or that broke the protocol."""
        self._log.warning("connection.refused", peer=peer, reason=str(why))

    def crashed(self, info: CallInfo, error: Exception) -> None:
        """Notes a call that ended by a defect."""
        self._log.error("call.crashed", call_id=info.call_id, set=self._pipelines.name, exc_info=error)

    def _observe(self, event: CallEvent) -> None:
        try:
            self._sessions.observe(event)
            log_call_event(self._log, self._pipelines.name, event)
        except Exception:  # noqa: BLE001 - this runs on the call's path, where nothing may be raised
            self._log.exception("observer.failed", call_id=event.call_id)


def log_call_event(log: Log, set_name: str, event: CallEvent) -> None:
    """Writes the record of an event that has one."""
    match event:
        case CallBegan():
            log.info(
                "call.started",
                call_id=event.call_id,
                set=event.set,
                version=event.version,
                pipeline=event.pipeline,
                caller=event.info.caller,
                called=event.info.called,
                stt=asdict(event.stt),
                llm=asdict(event.llm),
                tts=asdict(event.tts),
            )
        case SpeechDetected(interrupts=True):
            log.debug("call.interrupted", call_id=event.call_id, set=set_name, at_s=round(event.at_s, 3))
        case TurnEnded():
            log.info(
                "call.turn",
                call_id=event.call_id,
                set=set_name,
                turn=event.turn,
                trigger=event.trigger,
                heard=event.heard,
                said=event.said,
                interrupted=event.interrupted,
                response_ms=None if event.response_ms is None else round(event.response_ms, 1),
            )
        case ComponentFailed():
            log.warning(
                "component.failed",
                call_id=event.call_id,
                set=set_name,
                role=event.role,
                component=event.error.component,
                message=event.error.message,
                retryable=event.error.retryable,
                answered=event.error.answered,
                hint=event.error.hint,
            )
        case CallEnded():
            log.info(
                "call.ended",
                call_id=event.call_id,
                set=set_name,
                outcome=event.outcome,
                turns=event.turns,
                duration_s=round(event.at_s, 2),
                detail=event.detail,
            )
        case _:
            pass
