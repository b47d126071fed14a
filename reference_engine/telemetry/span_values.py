"""A span and its events as values, before OpenTelemetry makes its own of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import field, frozen

from voicepipe import TraceContext

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
"""The value of an attribute."""


@frozen(kw_only=True)
class SpanEvent:
    """Something that happened in a span."""

    name: str
    """Its name."""
    at_ns: int
    """When, in ns since the epoch."""
    attributes: Mapping[str, Value] = field(factory=dict)
    """Its attributes."""


@frozen(kw_only=True)
class Span:
    """One span."""

    name: str
    """Its name."""
    trace: TraceContext
    """Its trace, and its ID."""
    parent_id: str | None
    """The span above it; None: it is the first of its trace."""
    parent_is_remote: bool = False
    """Whether that is a span of another program."""
    kind: Literal["internal", "server", "client"] = "internal"
    """Its kind."""
    start_ns: int
    """Its beginning, in ns since the epoch."""
    end_ns: int
    """Its end, in ns since the epoch."""
    attributes: Mapping[str, Value] = field(factory=dict)
    """Its attributes; those that are not known are left out."""
    events: tuple[SpanEvent, ...] = ()
    """What happened in it."""
    failure: str | None = None
    """What went wrong; None: nothing did."""
