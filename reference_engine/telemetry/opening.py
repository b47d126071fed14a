"""Opens what tells other systems what happens, as engine.yaml says."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from reference_engine.errors import EngineError
from reference_engine.settings.notify_settings import default_notify_spool
from reference_engine.telemetry.webhook_events import WebhookEvents
from reference_engine.telemetry.webhooks import Webhooks
from voicepipe import CallBegan, RecordingFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference_engine.log.log import Log
    from reference_engine.records.store import RecordStore
    from reference_engine.reloads.outcomes import EngineOutcome
    from reference_engine.settings.settings import CurrentSettings
    from voicepipe import CallEvent, CallRecord

Observed = TypeVar("Observed")


def all_of(*observers: Callable[[Observed], None]) -> Callable[[Observed], None]:
    """Returns an observer that calls each of these; the first that raises is the last that is called."""

    def observe(event: Observed) -> None:
        for observer in observers:
            observer(event)

    return observe


class Telemetry:
    """Webhooks of an engine.

    Args:
        current: the settings in force.
        webhooks: the webhooks.
        events: tells them of events.
        log: gets `webhook.unfit`.

    """

    def __init__(self, current: CurrentSettings, webhooks: Webhooks, events: WebhookEvents, log: Log) -> None:
        self._current, self._log = current, log
        self.webhooks, self.events = webhooks, events

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Applies the settings that a reload of the engine's file has changed, and tells of it."""
        try:
            self.webhooks.apply(self._current.settings.notify)
        except EngineError as error:
            self._log.error("webhook.file_failed", reason=str(error))
        self.events.observe_engine(outcome)

    def of_call(self) -> tuple[Callable[[CallEvent], None], Callable[[CallRecord], None]]:
        """Returns an observer of the events of one call, and what takes its record; both are quick."""
        trace_id: str | None = None

        def observe(event: CallEvent) -> None:
            nonlocal trace_id
            if isinstance(event, CallBegan):
                trace_id = None if event.trace is None else event.trace.trace_id
                self.events.call_began(event)
            elif isinstance(event, RecordingFailed):
                self.events.recording_failed(event)

        def keep(record: CallRecord) -> None:
            self.events.call_ended(record, trace_id)

        return observe, keep


@contextmanager
def open_telemetry(current: CurrentSettings, log: Log, store: RecordStore | None = None) -> Iterator[Telemetry]:
    """Opens webhooks, and closes them on exit, within some seconds.

    Args:
        current: the settings in force.
        log: gets what becomes of webhooks.
        store: finds calls that are lost; None: there is none.

    Raises:
        EngineError: the file of waiting webhooks can't be opened.

    """
    settings = current.settings
    with Webhooks(settings.notify_spool or default_notify_spool(), log) as webhooks:
        webhooks.apply(settings.notify)
        events = WebhookEvents(webhooks, settings.name or socket.gethostname())
        if store is not None:
            store.on_lost = events.calls_lost
        yield Telemetry(current, webhooks, events, log)
