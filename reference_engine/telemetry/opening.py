"""Opens what tells other systems what happens, as engine.yaml says: traces and webhooks."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

from reference_engine.errors import EngineError
from reference_engine.settings.notify_settings import default_notify_spool
from reference_engine.telemetry.span_export import SpanExporter
from reference_engine.telemetry.traces import Traces
from reference_engine.telemetry.webhook_events import WebhookEvents
from reference_engine.telemetry.webhooks import Webhooks
from voicepipe import CallBegan, RecordingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference_engine.log.log import Log
    from reference_engine.log.masked_values import Mask
    from reference_engine.records.store import RecordStore
    from reference_engine.reloads.outcomes import EngineOutcome
    from reference_engine.settings.settings import CurrentSettings
    from voicepipe import CallEvent, CallInfo, CallRecord, SetEvent, TraceContext

Observed = TypeVar("Observed")


def all_of(*observers: Callable[[Observed], None]) -> Callable[[Observed], None]:
    """Returns an observer that calls each of these; the first that raises is the last that is called."""

    def observe(event: Observed) -> None:
        for observer in observers:
            observer(event)

    return observe


class Telemetry:
    """Traces and webhooks of an engine.

    Args:
        current: the settings in force.
        traces: the traces; None: there are none.
        webhooks: the webhooks.
        events: tells them of events.
        log: gets `webhook.unfit`.

    """

    def __init__(
        self, current: CurrentSettings, traces: Traces | None, webhooks: Webhooks, events: WebhookEvents, log: Log
    ) -> None:
        self._current, self.traces, self._log = current, traces, log
        self.webhooks, self.events = webhooks, events

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Applies the settings that a reload of the engine's file has changed, and tells of it."""
        try:
            self.webhooks.apply(self._current.settings.notify)
        except EngineError as error:
            self._log.error("webhook.file_failed", reason=str(error))
        self.events.observe_engine(outcome)
        if self.traces is not None:
            self.traces.observe_engine(outcome)

    def observe_set(self, event: SetEvent) -> None:
        """Tells of a reload of a set; an observer of pipeline sets."""
        self.events.observe_set(event)
        if self.traces is not None:
            self.traces.observe_set(event)

    def span_of(self, info: CallInfo) -> TraceContext | None:
        """Makes the span of a call; None: calls are not traced."""
        return None if self.traces is None else self.traces.span_of(info)

    def of_call(
        self, mask: Callable[[], Mask | None]
    ) -> tuple[Callable[[CallEvent], None], Callable[[CallRecord], None]]:
        """Returns an observer of the events of one call, and what takes its record; both are quick.

        Args:
            mask: returns the mask of the call's values that are not to be shown; None: there are none.

        """
        trace_id: str | None = None
        trace: Callable[[CallEvent], None] | None = None

        def observe(event: CallEvent) -> None:
            nonlocal trace_id, trace
            if trace is not None:
                trace(event)
            elif isinstance(event, CallBegan) and self.traces is not None and event.trace and event.trace.sampled:
                self.traces.begin_call(event, event.trace, mask)
                trace = self.traces.observe_call
            if isinstance(event, CallBegan):
                trace_id = None if event.trace is None else event.trace.trace_id
                self.events.call_began(event, mask())
            elif isinstance(event, RecordingFailed):
                self.events.recording_failed(event)

        def keep(record: CallRecord) -> None:
            self.events.call_ended(record, trace_id)

        return observe, keep


@contextmanager
def open_telemetry(
    current: CurrentSettings, log: Log, store: RecordStore | None = None, *, worker: int | None = None
) -> Iterator[Telemetry]:
    """Opens traces and webhooks, and closes them on exit, within some seconds.

    Args:
        current: the settings in force.
        log: gets what becomes of webhooks.
        store: finds calls that are lost; None: there is none.
        worker: the number of this worker, if the engine has several.

    Raises:
        EngineError: the file of waiting webhooks can't be opened.

    """
    settings = current.settings
    with ExitStack() as opened:
        traces = None
        if settings.otel is not None and os.environ.get("OTEL_SDK_DISABLED", "").lower() != "true":
            traces = opened.enter_context(Traces(settings.otel, log, SpanExporter))
        webhooks = opened.enter_context(Webhooks(settings.notify_spool or default_notify_spool(), log, worker=worker))
        webhooks.apply(settings.notify)
        events = WebhookEvents(webhooks, settings.name or socket.gethostname())
        if store is not None:
            store.on_lost = events.calls_lost
        yield Telemetry(current, traces, webhooks, events, log)
