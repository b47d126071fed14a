"""Answers calls: pins the serving version, chooses a pipeline, and runs the call on that version until it ends.

Theory of operation
===================

*Who calls whom.* A listener accepts a connection, reads the call's UUID, and runs `CallAnswerer.answer` in a task of
its own. That task is the call: when `answer` returns or raises, the listener hangs up.

*Admission.* `answer` refuses a call whose listener is no longer in the engine's file, whose set has no version, or that
is more than `max_calls` (`capacity.py`). The set is looked up for each call, because a reload of the engine's file may
let another set answer the listener. A refusal is logged, counted and remembered for `GET /calls/{call}`; then
`CallRefused` tells the listener to refuse the connection in the way that its `when_full` says.

*Pinning.* `pipelines.pin()` is where a call gets its version. From there on the call uses that snapshot only; reloads,
rollbacks and removals change what the next call gets. The version's components stay open until its last pin is
released. There is no `await` between the check that a version serves and the pin; a set that closes in between all the
same raises `PipelineSetClosed`, which is a refusal.

*IDs.* A call has two: `call_id`, which the engine makes and which is unique, and `transport_id`, AudioSocket's UUID,
which the dialplan makes. The engine keys everything by `call_id`. Repeated UUIDs are legal, and only warned of
(`repeated_uuids.py`).

*Announcements.* A dialplan may have told of a call before it connects (`announcements.py`): numbers, variables, and the
pipeline that is to answer. They are joined to what the transport knows before anything is chosen by them.

*Ending calls from outside.* Iterating over a `CallAnswerer` gives the calls that are up. A stop drains all of them
(`lifecycle/stopping.py`), and the drain deadline those of replaced versions (`drain_deadline.py`). Draining is a
request: the agent finishes its reply, says goodbye and hangs up. `answer` is never cancelled for it; only the stop's
own deadline cancels.

*Failures.* The listener is the boundary of a call, so one call's exception never reaches another call:

- a `TransportError` (the connection broke) and cancellation propagate to the listener;
- any other exception after the call was opened is a defect, and is logged here, where the `call_id` is known;
- an exception before that is the listener's to report, through `log_crash`.

An observer that raises is not an exception of the call: see `call_observers.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define

from reference_engine.calls.announcements import Announcement, Announcements, joined
from reference_engine.calls.call_observers import CallObservers
from reference_engine.calls.capacity import Capacity
from reference_engine.calls.repeated_uuids import UuidsInUse
from reference_engine.reports.ended_calls import EndedCall, EndedCalls
from reference_engine.reports.latencies import Latencies
from reference_engine.upkeep.shortage import EXHAUSTED
from voicepipe import Call, CallRefused, Calls, PipelineSet, PipelineSetClosed, Snapshot, TransportError, open_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import NoReturn

    from reference_engine.calls.capacity import CallSlots
    from reference_engine.log.log import Log
    from reference_engine.records.record_file import KeepRecord
    from reference_engine.records.store import RecordStore
    from reference_engine.reports.metrics import Metrics
    from reference_engine.reports.sessions import SessionStore
    from reference_engine.reports.set_metrics import Refusal
    from reference_engine.settings.settings import CurrentSettings
    from reference_engine.telemetry.opening import Telemetry
    from reference_engine.upkeep.shortage import Shortage
    from voicepipe import CallInfo, Listener, LoggingSettings, Pipeline, RedactSettings, Transport


@define(eq=False)
class ActiveCall:
    """A call that is up."""

    call: Call
    """The call itself."""
    pipelines: PipelineSet
    """The set that answered it."""
    snapshot: Snapshot
    """The version that it keeps until it ends."""
    replaced_at: float | None = None
    """The time on trio's clock when its version was first seen not to serve any more; set by the drain deadline."""
    draining: bool = False
    """True once it was asked to say goodbye."""

    def drain(self) -> None:
        """Asks the call to say goodbye and to hang up; no-op if it was asked before."""
        if not self.draining:
            self.draining = True
            self.call.drain()


class CallAnswerer:
    """Answers the calls of all listeners, each with the set that its listener names at that moment.

    Iterating gives the calls that are up.

    Args:
        current: the settings in force.
        sets: the pipeline sets by name, with a version or without; looked up for each call.
        sessions: the store of the calls that are up.
        metrics: counts calls.
        log: gets the records of calls.
        keep: called with each call's record.
        store: stores calls in a database; None: there is none.
        telemetry: tells other systems of calls; None: none is told.
        shortage: reports that connections can't be accepted for lack of a resource.
        listeners: the listeners by name, to be paused at `max_calls`; they may be opened later.
        ended: the store of outcomes.
        announced: the calls that were announced and have not connected.
        logging_of: returns the logging settings of a set, by its name; None: it has none.
        latencies: the latencies of components; None: nobody wants to know them.
        slots: the places for calls of all workers; None: this process is the whole engine.

    Attributes:
        capacity: the number of calls, and the listeners that are paused at `max_calls`.

    """

    def __init__(
        self,
        current: CurrentSettings,
        sets: Mapping[str, PipelineSet],
        sessions: SessionStore,
        metrics: Metrics,
        log: Log,
        *,
        keep: KeepRecord,
        store: RecordStore | None = None,
        telemetry: Telemetry | None = None,
        shortage: Shortage,
        listeners: Mapping[str, Listener] | None = None,
        ended: EndedCalls | None = None,
        announced: Announcements | None = None,
        logging_of: Callable[[str], LoggingSettings | None] = lambda _set: None,
        latencies: Latencies | None = None,
        slots: CallSlots | None = None,
    ) -> None:
        ended = EndedCalls() if ended is None else ended
        self.capacity = Capacity(current, {} if listeners is None else listeners, metrics, log, slots)
        self._current, self._sets, self._sessions, self._metrics = current, sets, sessions, metrics
        self._ended, self._shortage, self._log = ended, shortage, log
        self._announced = Announcements() if announced is None else announced
        self._logging_of, self._telemetry = logging_of, telemetry
        self._latencies = Latencies() if latencies is None else latencies
        self._observers = CallObservers(
            sessions,
            metrics,
            ended,
            keep,
            log,
            store=store,
            telemetry=telemetry,
            logging_of=logging_of,
            latencies=self._latencies,
        )
        self._uuids = UuidsInUse(log)
        self._up, self._calls = Calls(), dict[str, ActiveCall]()

    async def answer(self, transport: Transport) -> None:
        """Runs one call, from the pin on a version to the hang-up.

        Raises:
            CallRefused: the call is not taken; this is logged already.
            TransportError: the connection broke.

        """
        info = transport.info
        name = self._current.set_of(info.listener)
        pipelines = self._sets.get(name) if name is not None else None
        if name is None:
            self._refuse(info, f"listener {info.listener!r} was removed from the engine's file", None, "closing")
        elif pipelines is None or pipelines.version is None:
            reason = f"pipeline set {name!r} has no version that serves; `reference-engine status` shows why"
            self._refuse(info, reason, name, "no_version")
        elif self.capacity.paused:
            self._refuse(info, "the engine is paused; `reference-engine resume` ends that", name, "paused")
        elif self.capacity.is_full:
            self._refuse_as_full(info, name)
        elif self._current.requires_announcement(info.listener) and not self._announced.find(info.transport_id):
            reason = f"it was not announced: listener {info.listener!r} has `require_announced: true`"
            advice = "so have the dialplan `POST /calls/{call}` first"
            self._refuse(info, f"{reason}, {advice}", name, "not_announced")
        else:
            async with self.capacity.admit_call() as admitted:
                if not admitted:
                    self._refuse_as_full(info, name)
                with self._uuids.hold(info):
                    await self._run_call(pipelines, transport)

    def __iter__(self) -> Iterator[ActiveCall]:
        return iter(tuple(self._calls.values()))

    def find(self, name: str) -> ActiveCall | None:
        """Returns the latest call that is up with this `call_id` or `transport_id`, or None."""
        call = self._up.find(name)
        return None if call is None else self._calls.get(call.call_id)

    def logging_of(self, set_name: str) -> LoggingSettings | None:
        """Returns the logging settings of a set, which tell how much of a conversation is shown; None: it has none."""
        return self._logging_of(set_name)

    def redact_of(self, name: str) -> RedactSettings | None:
        """Returns what is private in a call that is up, by its `call_id` or `transport_id`; None: there is no such."""
        active = self.find(name)
        return None if active is None else active.pipelines.current.config.redact

    def pipelines_of(self, listener: str) -> tuple[str, ...]:
        """Returns the pipelines that calls of a listener may get now; none if its set has no version."""
        name = self._current.set_of(listener)
        pipelines = self._sets.get(name) if name is not None else None
        return () if pipelines is None or pipelines.version is None else tuple(pipelines.current.pipelines)

    def ending(self, name: str) -> EndedCall | None:
        """Returns the outcome of a call that is about to be hung up; None if there is no such call.

        Args:
            name: its `call_id` or its `transport_id`.

        """
        for active in self:
            call = active.call
            if name in {call.call_id, call.info.transport_id} and call.ending is not None:
                return EndedCall(call.call_id, call.info.transport_id, active.pipelines.name, *call.ending, None)
        return None

    def drain(self) -> None:
        """Asks every call that is up to say goodbye and to hang up."""
        for active in self:
            active.drain()

    def drain_version(self, set_name: str, version: int) -> int:
        """Asks the calls of one version of a set to say goodbye and to hang up; returns their number."""
        calls = [active for active in self if (active.pipelines.name, active.snapshot.version) == (set_name, version)]
        for active in calls:
            active.drain()
        self._log.info("version.draining", set=set_name, version=version, calls=len(calls))
        return len(calls)

    def log_refused_connection(self, peer: str, why: TransportError) -> None:
        """Logs a connection that was not a call, or that broke the protocol; a listener's `on_refused`."""
        if isinstance(why.__cause__, OSError) and why.__cause__.errno in EXHAUSTED:
            self._shortage.report(why.__cause__)
        else:
            self._metrics.observe_refused_connection()
            self._log.warning("connection.refused", peer=peer, reason=str(why))

    def log_crash(self, info: CallInfo, error: Exception) -> None:
        """Logs a call that a defect ended; a listener's `on_crash`."""
        self._log.error(
            "call.crashed",
            call_id=info.call_id,
            transport_id=info.transport_id,
            listener=info.listener,
            exc_info=error,
        )

    async def _run_call(self, pipelines: PipelineSet, transport: Transport) -> None:
        call: Call | None = None
        announcement = self._announced.find(transport.info.transport_id)
        info = joined(transport.info, announcement)
        try:
            with pipelines.pin() as snapshot:
                pipeline = self._pipeline(snapshot, info, announcement)
                self._announced.remove(info.transport_id)
                self._warn_if_shortened(info, pipelines.name)
                observer = self._observers.of_call(
                    pipelines.name, info.transport_id, lambda: pipelines.current.config.redact
                )
                trace = None if self._telemetry is None else self._telemetry.span_of(info)
                async with open_call(
                    pipeline, transport, observer=observer, info=info, calls=self._up, trace=trace
                ) as call:
                    self._calls[call.call_id] = ActiveCall(call, pipelines, snapshot)
                    try:
                        await call.run()
                    finally:
                        del self._calls[call.call_id]
                        self._sessions.forget(call.call_id)
                        self._latencies.forget(call.call_id)
        except PipelineSetClosed as closed:
            self._refuse(transport.info, str(closed), pipelines.name, "closing")
        except (TransportError, BaseExceptionGroup):
            raise  # the listener takes groups apart
        except Exception as error:  # the boundary of a call
            if call is None:
                raise
            self.log_crash(call.info, error)  # `transport.info` lacks the call_id, so the listener can't log it

    def _pipeline(self, snapshot: Snapshot, info: CallInfo, announcement: Announcement | None) -> Pipeline:
        """Returns the pipeline that was announced for a call, or else that of the routes."""
        name = "" if announcement is None else announcement.pipeline
        if not name:
            return snapshot.choose(info)
        if (pipeline := snapshot.pipelines.get(name)) is None:
            reason = f"it was announced for pipeline {name!r}, which set {snapshot.set!r} has not opened"
            self._refuse(info, f"{reason}; pipelines: {', '.join(snapshot.pipelines)}", snapshot.set, "not_opened")
        return pipeline

    def _warn_if_shortened(self, info: CallInfo, set_name: str) -> None:
        if info.shortened:
            self._log.warning(
                "call.variables_shortened",
                transport_id=info.transport_id,
                set=set_name,
                listener=info.listener,
                variables=list(info.shortened),
                hint="a call has up to 64 variables, with values up to 2,000 characters and 16,000 in all",
            )

    def _refuse_as_full(self, info: CallInfo, name: str) -> NoReturn:
        calls = self.capacity.calls_of_all
        self._refuse(info, f"{calls} calls are up already, as many as max_calls allows", name, "full")

    def _refuse(self, info: CallInfo, reason: str, name: str | None, kind: Refusal) -> NoReturn:
        if name is not None:
            self._metrics.observe_refused(name, kind)
        named = {"set": name} if name is not None else {}
        self._log.warning(
            "call.refused", transport_id=info.transport_id, **named, listener=info.listener, reason=reason
        )
        self._ended.refuse(info, name or "", reason)
        raise CallRefused(reason)
