"""Answers calls: each on the version that serves when it comes, and held to that version until it ends."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from attrs import define

from reference_engine.reports.call_log import log_call_event
from reference_engine.reports.ended_calls import EndedCall, EndedCalls
from reference_engine.upkeep.shortage import SHORT
from voicepipe import (
    Call,
    CallEnded,
    CallRecorder,
    CallRefused,
    PipelineSet,
    PipelineSetClosed,
    Snapshot,
    TransportError,
    open_call,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import NoReturn

    from reference_engine.calls.record_file import Keep
    from reference_engine.log.log import Log
    from reference_engine.reports.metrics import Metrics
    from reference_engine.reports.sessions import SessionStore
    from reference_engine.settings.settings import CurrentSettings
    from reference_engine.upkeep.shortage import Shortage
    from voicepipe import AudioSocketListener, CallEvent, CallInfo, Transport

NO_UUID = str(UUID(int=0))
"""What a dialplan sends whose UUID was never set."""


@define(eq=False)
class HeldCall:
    """A call that is up."""

    call: Call
    """The conversation."""
    pipelines: PipelineSet
    """The set that answered."""
    snapshot: Snapshot
    """The version that it keeps."""
    replaced_at: float | None = None
    """When another version was first seen to serve, on trio's clock."""
    draining: bool = False
    """Whether it was told to say goodbye."""

    def drain(self) -> None:
        """Lets it say its goodbye and hang up."""
        if not self.draining:
            self.draining = True
            self.call.drain()


class Answering:
    """Answers the calls that listeners bring, each with the set that its listener names at that moment.

    While there are `max_calls`, the listeners that are to be closed then are paused; others bring calls, to be refused.

    The boundary of a call is the listener's: what `answer` raises ends that call only, is reported to `crashed`, and
    the call is hung up.
    """

    def __init__(
        self,
        current: CurrentSettings,
        sets: Mapping[str, PipelineSet],
        sessions: SessionStore,
        metrics: Metrics,
        log: Log,
        *,
        keep: Keep,
        shortage: Shortage,
        listeners: Mapping[str, AudioSocketListener] | None = None,
        ended: EndedCalls | None = None,
    ) -> None:
        """Takes the sets that serve, by name, who is told what calls do, and what keeps their records.

        `listeners`, by name, is looked up whenever the last place is taken or becomes free. `ended` is told what
        became of each call.
        """
        self._listeners = {} if listeners is None else listeners
        self._full = False
        self._ended = EndedCalls() if ended is None else ended
        self._current, self._sets = current, sets
        self._sessions, self._metrics, self._log = sessions, metrics, log
        self._keep, self._shortage = keep, shortage
        self._taken = 0
        self._transport_ids: Counter[str] = Counter()
        self._calls: set[HeldCall] = set()
        self._reported: set[tuple[str, type[Exception]]] = set()  # what those who watch calls have raised

    async def answer(self, transport: Transport) -> None:
        """Holds one call, from the pin on a version to the hang-up.

        Raises:
            CallRefused: it is not taken, which is noted already.

        """
        info, most = transport.info, self._current.settings.max_calls
        name = self._current.set_of(info.listener)
        pipelines = self._sets.get(name) if name is not None else None
        if name is None:
            self._refuse(info, f"listener {info.listener!r} was removed from the engine's file", None)
        elif pipelines is None or pipelines.version is None:
            self._refuse(info, f"pipeline set {name!r} does not serve", name)
        elif most is not None and self._taken >= most:
            self._refuse(info, f"{self._taken} calls are up already, as many as max_calls allows", name)
        else:
            self._taken += 1
            self.update_room()
            self._transport_ids[info.transport_id] += 1
            self._warn_of_bad_id(info)
            try:
                await self._converse(pipelines, transport)
            finally:
                self._taken -= 1
                self.update_room()
                self._transport_ids[info.transport_id] -= 1
                self._transport_ids += Counter()  # forgets those that nobody has

    def update_room(self) -> None:
        """Pauses the listeners if there are as many calls as may be, and has them take calls again if there are not.

        Called when either number changes.
        """
        most = self._current.settings.max_calls
        full = most is not None and self._taken >= most
        if full == self._full:
            return
        self._full = full
        for listener in self._listeners.values():
            if listener.when_full != "close_listener":  # a call that can connect is refused by its UUID, and counted
                continue
            if full:
                listener.pause()
            else:
                listener.resume()
        self._metrics.observe_full(full)
        if full:
            self._log.warning("engine.full", calls=self._taken, max_calls=most)
        else:
            self._log.info("engine.has_room", calls=self._taken, max_calls=most)

    def __iter__(self) -> Iterator[HeldCall]:
        return iter(tuple(self._calls))

    def ending(self, name: str) -> EndedCall | None:
        """What becomes of a call, by its own ID or its transport's, whose line is being closed."""
        for held in self:
            if name in {held.call.call_id, held.call.info.transport_id} and held.call.ending is not None:
                outcome, detail = held.call.ending
                return EndedCall(
                    held.call.call_id, held.call.info.transport_id, held.pipelines.name, outcome, detail, None
                )
        return None

    def drain(self) -> None:
        """Lets every call that is up say its goodbye and hang up."""
        for held in self:
            held.drain()

    def not_a_call(self, peer: str, why: TransportError) -> None:
        """Notes a connection that was no call, or that broke the protocol."""
        if isinstance(why.__cause__, OSError) and why.__cause__.errno in SHORT:
            self._shortage.report(why.__cause__)
        else:
            self._log.warning("connection.refused", peer=peer, reason=str(why))

    def crashed(self, info: CallInfo, error: Exception) -> None:
        """Notes a call that ended by a defect."""
        self._log.error(
            "call.crashed",
            call_id=info.call_id,
            transport_id=info.transport_id,
            listener=info.listener,
            exc_info=error,
        )

    def _warn_of_bad_id(self, info: CallInfo) -> None:
        """Warns that a dialplan gives calls no IDs of their own; the engine tells them apart all the same."""
        if info.transport_id == NO_UUID:
            reason = "the UUID is all zeros"
        elif info.transport_id and self._transport_ids[info.transport_id] > 1:
            reason = "another call with this UUID is up"
        else:
            return
        self._log.warning(
            "call.id_repeated",
            transport_id=info.transport_id,
            listener=info.listener,
            reason=reason,
            hint="have the dialplan make one for each call: AudioSocket(${UUID()},...)",
        )

    async def _converse(self, pipelines: PipelineSet, transport: Transport) -> None:
        call: Call | None = None
        try:
            with pipelines.pin() as snapshot:
                pipeline = snapshot.choose(transport.info)
                observer = partial(self._observe, pipelines.name, transport.info.transport_id, CallRecorder())
                async with open_call(pipeline, transport, observer=observer) as call:
                    held = HeldCall(call, pipelines, snapshot)
                    self._calls.add(held)
                    try:
                        await call.run()
                    finally:
                        self._calls.discard(held)
                        self._sessions.forget(call.call_id)
        except PipelineSetClosed as closed:
            self._refuse(transport.info, str(closed), pipelines.name)
        except (TransportError, BaseExceptionGroup):
            raise  # the listener's
        except Exception as error:  # the boundary of a call, which ends alone
            if call is None:
                raise
            self.crashed(call.info, error)  # the listener does not know which call that was

    def _refuse(self, info: CallInfo, reason: str, name: str | None) -> NoReturn:
        if name is not None:
            self._metrics.observe_refused(name)
        named = {"set": name} if name is not None else {}
        self._log.warning(
            "call.refused", transport_id=info.transport_id, **named, listener=info.listener, reason=reason
        )
        self._ended.refuse(info, name or "", reason)
        raise CallRefused(reason)

    def _observe(self, set_name: str, transport_id: str, recorder: CallRecorder, event: CallEvent) -> None:
        def keep(event: CallEvent) -> None:
            if isinstance(event, CallEnded):
                self._ended.add(EndedCall(event.call_id, transport_id, set_name, event.outcome, event.detail))

        def record(event: CallEvent) -> None:
            recorder.observe(event)
            if recorder.record is not None:
                self._keep(recorder.record)

        def log(event: CallEvent) -> None:
            log_call_event(self._log, set_name, event, transport_id)

        for name, observe in (
            ("ended calls", keep),
            ("records", record),
            ("sessions", self._sessions.observe),
            ("metrics", self._metrics.observe_call),
            ("log", log),
        ):
            try:
                observe(event)
            except Exception as error:  # noqa: BLE001 - this runs on the call's path, and the others are to be told too
                self._report(name, event, error)

    def _report(self, observer: str, event: CallEvent, error: Exception) -> None:
        """Logs what one that watches calls has raised: once, for it would do so again at each event of each call."""
        failure = observer, type(error)
        if failure not in self._reported:
            self._reported.add(failure)
            named = {"observer": observer, "of": type(event).__name__, "reason": f"{type(error).__name__}: {error}"}
            self._log.error("observer.failed", call_id=event.call_id, **named, exc_info=error)
