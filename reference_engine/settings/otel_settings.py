"""The keys of traces by OpenTelemetry in `engine.yaml`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, optional

from voicepipe import CaFile, Secret

PATH = "/v1/traces"
"""The path of traces below a collector's address (OTLP/HTTP)."""


def _is_endpoint(_instance: Any, _attribute: Any, endpoint: str) -> None:
    try:
        parts = urlsplit(endpoint)
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint:
        raise ValueError("must be an address that begins with http:// or https://, such as http://127.0.0.1:4318")


def _are_headers(_instance: Any, _attribute: Any, headers: Mapping[str, Secret]) -> None:
    for name, value in headers.items():
        if not name or not name.isascii() or not name.replace("-", "").isalnum():
            raise ValueError(f"{name!r} is no name of a header")
        if not (str(value).isascii() and str(value).isprintable()):
            raise ValueError(f"the header {name!r} has a line break or another special character in its value")


@frozen
class OtelSettings:
    """Traces by OpenTelemetry, sent to a collector by OTLP over HTTP. A change of any key needs a restart."""

    endpoint: str | None = field(default=None, validator=optional(_is_endpoint))
    """The collector's address, to which `/v1/traces` is appended. Null: `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` as it is,
    or `OTEL_EXPORTER_OTLP_ENDPOINT` with `/v1/traces`, or `http://localhost:4318/v1/traces`."""
    headers: Mapping[str, Secret] = field(factory=dict, validator=_are_headers)
    """Headers of each request, such as `authorization`, besides those of `OTEL_EXPORTER_OTLP_HEADERS`."""
    sampling: float = field(default=1.0, validator=and_(ge(0), le(1)))
    """The share of calls that are traced, from 0 to 1."""
    follow_parent: bool = True
    """Whether a call that comes with a trace is traced if its sender traces it, whatever `sampling` is. False: callers
    decide nothing, as is wise where anybody may call over WebSockets."""
    service_name: str = ""
    """The attribute `service.name`; empty: `OTEL_SERVICE_NAME`, or else `voicepipe`."""
    resource: Mapping[str, str] = field(factory=dict)
    """Further attributes of the resource, such as `deployment.environment.name`, besides those of
    `OTEL_RESOURCE_ATTRIBUTES`."""
    transcript: bool = False
    """Whether spans have what was said and heard, and arguments and results of tools, as `redact` leaves them."""
    ca_file: CaFile | None = None
    """A PEM file of the CA certificates to trust; null: those that this machine trusts."""
    timeout_s: float = field(default=10.0, validator=and_(gt(0), le(60)))
    """The longest wait for the collector's answer, in s."""

    @property
    def url(self) -> str:
        """Where spans are posted."""
        if self.endpoint is not None:
            return self.endpoint.rstrip("/") + PATH
        if exact := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
            return exact
        return (os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or "http://localhost:4318").rstrip("/") + PATH
