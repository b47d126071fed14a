"""Sends spans to a collector by OTLP over HTTP: one request at a time, from the thread of traces.

Requests are made here and not by OpenTelemetry's exporter, which takes a redirect for success
(findings/otlp-exporter-takes-a-redirect-for-success.sh), logs each failure, and trusts other certificates than all
other clients of the engine. What a request holds is made by OpenTelemetry's own encoder.
"""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import frozen

from voicepipe import __version__, tls_context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_engine.settings.otel_settings import OtelSettings
    from reference_engine.telemetry.span_values import Span

Fate: TypeAlias = Literal["taken", "retry", "refused"]

RETRIED = frozenset({429, 502, 503, 504})
"""The answers that a later attempt may change (OTLP/HTTP, "Retryable Response Codes")."""


@frozen
class Export:
    """What became of a request."""

    fate: Fate
    """Whether the collector has taken the spans, may take them later, or never will."""
    reason: str = ""
    """Why it has not."""


class SpanExporter:
    """The connection to the collector; used by one thread, in which it imports OpenTelemetry and httpx (0.5 s).

    Args:
        settings: where spans go.

    """

    def __init__(self, settings: OtelSettings) -> None:
        import httpx  # noqa: PLC0415 - see the class
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: PLC0415 - see the class
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - see the class
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope  # noqa: PLC0415 - see the class
        from opentelemetry.util.re import parse_env_headers  # noqa: PLC0415 - see the class

        self._encode, self._url = encode_spans, settings.url
        names = {"service.name": settings.service_name or os.environ.get("OTEL_SERVICE_NAME") or "voicepipe"}
        self._resource = Resource.create({"service.version": __version__, **settings.resource, **names})
        self._scope = InstrumentationScope("voicepipe", __version__)
        given = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
        headers = {
            **parse_env_headers(given, liberal=True),
            **{name.lower(): str(value) for name, value in settings.headers.items()},
            "content-type": "application/x-protobuf",
            "content-encoding": "gzip",
            "user-agent": f"voicepipe/{__version__}",
        }
        self._client = httpx.Client(
            headers=headers,
            timeout=settings.timeout_s,
            follow_redirects=False,
            trust_env=False,
            verify=tls_context(settings.ca_file),
        )

    def export(self, spans: Sequence[Span]) -> Export:
        """Sends spans; blocks for up to the time limit, and never raises."""
        try:
            body = self._encode([self._readable(span) for span in spans]).SerializeToString()
        except Exception as error:  # noqa: BLE001 - a value that can't be encoded must not end the thread
            return Export("refused", f"they can't be encoded: {type(error).__name__}: {error}")
        try:
            answer = self._client.post(self._url, content=gzip.compress(body, 1))
        except Exception as error:  # noqa: BLE001 - what a client, a resolver or TLS may raise for an address
            return Export("retry", f"no answer: {str(error) or type(error).__name__}")
        if answer.is_success:
            return Export("taken")
        return Export("retry" if answer.status_code in RETRIED else "refused", f"HTTP {answer.status_code}")

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()

    def _readable(self, span: Span) -> Any:
        from opentelemetry.sdk.trace import Event, ReadableSpan  # noqa: PLC0415 - see the class
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState  # noqa: PLC0415

        def context(span_id: str, *, is_remote: bool) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED if span.trace.sampled else TraceFlags.DEFAULT)
            state = TraceState.from_header([span.trace.state]) if span.trace.state else TraceState()
            return SpanContext(int(span.trace.trace_id, 16), int(span_id, 16), is_remote, flags, state)

        parent = None if span.parent_id is None else context(span.parent_id, is_remote=span.parent_is_remote)
        return ReadableSpan(
            name=span.name,
            context=context(span.trace.span_id, is_remote=False),
            parent=parent,
            resource=self._resource,
            attributes=dict(span.attributes),
            events=[Event(event.name, dict(event.attributes), event.at_ns) for event in span.events],
            kind=SpanKind[span.kind.upper()],
            status=Status(StatusCode.UNSET) if span.failure is None else Status(StatusCode.ERROR, span.failure),
            start_time=span.start_ns,
            end_time=span.end_ns,
            instrumentation_scope=self._scope,
        )
