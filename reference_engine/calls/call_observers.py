"""Passes each event of a call to the engine's observers: outcomes, records, sessions, metrics and log.

An observer that raises must not end the call, nor keep the event from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.log.redacted_events import CallRedaction, bare_event
from reference_engine.reports.call_log import log_call_event
from reference_engine.reports.ended_calls import EndedCall
from voicepipe import CallEnded, CallRecorder, RedactSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reference_engine.log.log import Log
    from reference_engine.records.record_file import KeepRecord
    from reference_engine.records.store import RecordStore
    from reference_engine.reports.ended_calls import EndedCalls
    from reference_engine.reports.latencies import Latencies
    from reference_engine.reports.metrics import Metrics
    from reference_engine.reports.sessions import SessionStore
    from reference_engine.telemetry.opening import Telemetry
    from voicepipe import CallEvent, LoggingSettings


_tell_nobody = (lambda _event: None, lambda _record: None)


class CallObservers:
    """The engine's observers of calls.

    Args:
        sessions: the calls that are up.
        metrics: counts.
        ended: the outcomes of calls, for ten minutes.
        keep_record: called with each call's record once it is complete.
        log: gets the records of calls, and `observer.failed`.
        store: stores calls in a database; None: there is none.
        telemetry: tells other systems of calls; None: none is told.
        logging_of: returns the logging settings of a set, by its name, for `mask`; None: it has none.
        latencies: the latencies of components.

    """

    def __init__(
        self,
        sessions: SessionStore,
        metrics: Metrics,
        ended: EndedCalls,
        keep_record: KeepRecord,
        log: Log,
        *,
        store: RecordStore | None = None,
        telemetry: Telemetry | None = None,
        logging_of: Callable[[str], LoggingSettings | None],
        latencies: Latencies,
    ) -> None:
        self._sessions, self._metrics, self._ended = sessions, metrics, ended
        self._keep_record, self._log, self._logging_of = keep_record, log, logging_of
        self._store, self._telemetry, self._latencies = store, telemetry, latencies
        self._reported: set[tuple[str, type[Exception]]] = set()

    def of_call(
        self, set_name: str, transport_id: str, redact_of: Callable[[], RedactSettings] = RedactSettings
    ) -> Callable[[CallEvent], None]:
        """Returns the observer of one call, for `open_call`; it never raises.

        All observers get each event without private words. Of an event that can't be redacted they get no texts.

        Args:
            set_name: the pipeline set that answers the call.
            transport_id: the transport's ID of the call.
            redact_of: returns the settings of private words that are in force.

        """
        recorder, known, redacted = CallRecorder(), KnownValues(), CallRedaction(redact_of)

        def mask_of() -> Mask | None:
            settings = self._logging_of(set_name)
            return Mask(known, settings.mask) if settings is not None and settings.mask else None

        tell, tell_ended = _tell_nobody if self._telemetry is None else self._telemetry.of_call(mask_of)

        target = ""

        def keep_outcome(event: CallEvent) -> None:
            if isinstance(event, CallEnded):
                detail = target or event.detail
                self._ended.add(EndedCall(event.call_id, transport_id, set_name, event.outcome, detail))

        def record(event: CallEvent) -> None:
            recorder.observe(event)
            if recorder.record is not None:
                settings = self._logging_of(set_name)
                mask = Mask(known, () if settings is None else settings.mask)
                masked = mask.record(recorder.record)
                self._keep_record(masked)
                tell_ended(masked)

        def log(event: CallEvent) -> None:
            log_call_event(self._log, set_name, event, transport_id, known)

        observers = (
            ("values", known.observe),
            ("ended calls", keep_outcome),
            ("records", record),
            ("database", self._storing(mask_of)),
            ("telemetry", tell),
            ("sessions", self._sessions.observe),
            ("metrics", self._metrics.observe_call),
            ("latencies", self._latencies.observe),
            ("log", log),
        )

        def observe(event: CallEvent) -> None:
            nonlocal target
            if isinstance(event, CallEnded) and event.outcome == "transfer_requested":
                target = event.detail  # the dialplan asks for it within ten minutes, and must get the real one
            self._tell(observers, redacted, event)

        return observe

    def _storing(self, mask: Callable[[], Mask | None]) -> Callable[[CallEvent], None]:
        """Returns the observer that stores a call in the database."""
        store = self._store
        return (lambda event: store.observe(event, mask)) if store is not None else lambda _event: None

    def _tell(
        self,
        observers: Sequence[tuple[str, Callable[[CallEvent], None]]],
        redacted: CallRedaction,
        event: CallEvent,
    ) -> None:
        try:
            event = redacted(event)
        except Exception as error:  # noqa: BLE001 - a program's own values
            self._report("redaction", event, error)
            bare = bare_event(event)
            if bare is None:
                return
            event = bare
        for name, observer in observers:
            try:
                observer(event)
            except Exception as error:  # noqa: BLE001 - the boundary of an observer
                self._report(name, event, error)

    def _report(self, observer: str, event: CallEvent, error: Exception) -> None:
        """Logs an observer's exception once per type: the next events of all calls would raise it again."""
        failure = observer, type(error)
        if failure not in self._reported:
            self._reported.add(failure)
            named = {"observer": observer, "of": type(event).__name__, "reason": f"{type(error).__name__}: {error}"}
            self._log.error("observer.failed", call_id=event.call_id, **named, exc_info=error)
