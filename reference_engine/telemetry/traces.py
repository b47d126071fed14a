"""Traces of calls and reloads: observers append what happens to a queue, and a thread makes spans of it and sends them.

The call path decides once for each call whether it is traced, and then appends events. The thread looks at the queue
every `LOOK_S`. Spans that a collector does not take wait in memory, up to `MOST_SPANS`; the oldest are dropped beyond
it, and counted. The log says once that a collector is away, and once that it is back.
"""

from __future__ import annotations

from collections import deque
from threading import Event, Thread
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from attrs import evolve

from reference_engine.telemetry.reload_spans import engine_span, set_span
from reference_engine.telemetry.span_values import Span
from reference_engine.telemetry.spans import TRACED, CallSpans
from voicepipe import CallBegan, CallEnded, TraceContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from reference_engine.log.log import Log
    from reference_engine.log.masked_values import Mask
    from reference_engine.reloads.outcomes import EngineOutcome
    from reference_engine.settings.otel_settings import OtelSettings
    from reference_engine.telemetry.span_export import SpanExporter
    from voicepipe import CallEvent, CallInfo, SetEvent

LOOK_S = 1.0
"""How often the thread looks at the queue, in s."""

MOST_EVENTS = 100_000
"""The most events in the queue; the oldest are dropped beyond it."""

MOST_SPANS = 20_000
"""The most spans that wait for the collector."""

MOST_AT_ONCE = 512
"""The most spans in one request."""

LONGEST_PAUSE_S = 60.0
"""The longest pause before a collector that is away is tried again, in s; the first is 1 s."""

_Item: TypeAlias = "CallEvent | CallSpans | Span"


class Traces:
    """The traces of an engine; a context manager, whose thread runs while the block does.

    Args:
        settings: where they go, and which calls are traced.
        log: gets `traces.failing`, `traces.recovered` and `traces.dropped`.
        make_exporter: makes the connection to the collector, in the thread.
        close_s: the time in which the last spans are sent when the block is left, in s.

    Attributes:
        exported: the number of spans that the collector has taken.
        dropped: the number of spans that it will not get.

    """

    def __init__(
        self,
        settings: OtelSettings,
        log: Log,
        make_exporter: Callable[[OtelSettings], SpanExporter],
        *,
        close_s: float = 2.0,
    ) -> None:
        self._settings, self._log, self._make_exporter, self._close_s = settings, log, make_exporter, close_s
        self._bound = round(settings.sampling * 2**64)
        self.exported = self.dropped = 0
        self._queue: deque[_Item] = deque(maxlen=MOST_EVENTS)
        self._calls: dict[str, CallSpans] = {}
        self._spans: deque[Span] = deque()
        self._failures, self._reported_drops, self._report_at = 0, 0, 0.0
        self._leaving = Event()
        self._thread = Thread(target=self._run, name="traces", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leaving.set()
        self._thread.join(self._close_s)

    @property
    def waiting(self) -> int:
        """The number of spans that wait for the collector."""
        return len(self._spans)

    def span_of(self, info: CallInfo) -> TraceContext:
        """Makes the span of a call: below the one that it was made for, or in a trace of its own."""
        parent = info.trace
        context = TraceContext.new(sampled=False) if parent is None else parent.child()
        if parent is not None and self._settings.follow_parent:
            return context
        return evolve(context, sampled=int(context.trace_id[16:], 16) < self._bound)

    def begin_call(self, event: CallBegan, trace: TraceContext, mask: Callable[[], Mask | None]) -> None:
        """Takes the first event of a call that is traced."""
        began_ns = time_ns() - round(event.at_s * 1e9)
        self._queue.append(CallSpans(event, trace, began_ns, mask, self._settings.transcript))

    def observe_call(self, event: CallEvent) -> None:
        """Takes another event of a call that is traced; appends it, and returns."""
        if type(event) in TRACED:
            self._queue.append(event)

    def observe_set(self, event: SetEvent) -> None:
        """Takes a reload of a set."""
        if (span := set_span(event)) is not None:
            self._queue.append(span)

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Takes a reload of the engine's own file."""
        self._queue.append(engine_span(outcome))

    # --- The thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        exporter: SpanExporter | None = None
        try_at = 0.0
        while True:
            is_leaving = self._leaving.wait(0 if len(self._spans) >= MOST_AT_ONCE and not self._failures else LOOK_S)
            self._make_spans()
            now = monotonic()
            if self._spans and (now >= try_at or is_leaving):
                if exporter is None and (exporter := self._open()) is None:
                    return
                pause = self._export(exporter)
                try_at = monotonic() + pause
                if is_leaving and pause:
                    break
            self._report_drops(now)
            if is_leaving and not self._spans and not self._queue:
                break
        if exporter is not None:
            exporter.close()

    def _open(self) -> SpanExporter | None:
        """Makes the connection; None: that can't be done, and nothing is exported."""
        try:
            return self._make_exporter(self._settings)
        except Exception as error:  # noqa: BLE001 - OpenTelemetry may be damaged, or a certificate
            reason = f"{type(error).__name__}: {error}"
            self._log.error("traces.failed", endpoint=self._settings.url, reason=reason)
            return None

    def _make_spans(self) -> None:
        """Makes spans of all that is in the queue."""
        while self._queue:
            item = self._queue.popleft()
            try:
                self._spans.extend([item] if isinstance(item, Span) else self._spans_of(item))
            except Exception as error:  # noqa: BLE001 - an event of a program's own values must not end the thread
                self._log.error("traces.unfit", reason=f"{type(error).__name__}: {error}")
        while len(self._spans) > MOST_SPANS:
            self._spans.popleft()
            self.dropped += 1

    def _spans_of(self, event: CallEvent | CallSpans) -> list[Span]:
        if isinstance(event, CallSpans):
            self._calls[event.began.call_id] = event
            return []
        call = self._calls.get(event.call_id)
        if call is None:
            return []
        if isinstance(event, CallEnded):
            del self._calls[event.call_id]
        return list(call.take(event))

    def _export(self, exporter: SpanExporter) -> float:
        """Sends the oldest spans; returns the pause until the next attempt, in s."""
        batch = [self._spans[index] for index in range(min(MOST_AT_ONCE, len(self._spans)))]
        result = exporter.export(batch)
        if result.fate == "retry":
            self._failures += 1
            self._say_failing(result.reason, waiting=len(self._spans))
            return min(2.0 ** (self._failures - 1), LONGEST_PAUSE_S)
        for _ in batch:
            self._spans.popleft()
        if result.fate == "refused":
            self.dropped += len(batch)
            self._failures += 1
            self._say_failing(result.reason, dropped=len(batch))
        else:
            self.exported += len(batch)
            if self._failures:
                self._failures = 0
                self._log.info("traces.recovered", endpoint=self._settings.url, waiting=len(self._spans))
        return 0.0

    def _say_failing(self, reason: str, **fields: Any) -> None:
        if self._failures == 1:
            hint = "spans wait in memory, and calls go on; is the collector up, and `otel: endpoint` right?"
            self._log.warning("traces.failing", endpoint=self._settings.url, reason=reason, **fields, hint=hint)

    def _report_drops(self, now: float) -> None:
        if self.dropped > self._reported_drops and now >= self._report_at:
            dropped, self._reported_drops, self._report_at = self.dropped - self._reported_drops, self.dropped, now + 60
            self._log.warning("traces.dropped", endpoint=self._settings.url, dropped=dropped)
