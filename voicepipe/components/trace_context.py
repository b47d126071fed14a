"""The W3C trace context of a call: which trace it belongs to, as the headers `traceparent` and `tracestate` say.

Pure functions, after the W3C Recommendation "Trace Context" (https://www.w3.org/TR/trace-context-1/). OpenTelemetry's
own propagator is not used: it is not installed unless traces are exported, and a call passes a context on without it.
"""

from __future__ import annotations

import re
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

TRACEPARENT, TRACESTATE = "traceparent", "tracestate"
"""The headers, and the names of variables that stand for them where a transport has no headers, in any case."""

MOST_MEMBERS = 32
"""The most members of a `tracestate` (section 3.3.1.1)."""

MOST_STATE = 16 * 1024
"""The most characters of a `tracestate` that are looked at; 32 members have fewer than 17,000."""

_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_KEY = re.compile(r"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}")
_VALUE = re.compile(r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]")
_SAMPLED = 0x01


def _is_id(_instance: Any, attribute: Any, text: str) -> None:
    digits = 32 if attribute.name == "trace_id" else 16
    if not re.fullmatch(f"[0-9a-f]{{{digits}}}", text) or not text.strip("0"):
        raise ValueError(f"{attribute.name} must be {digits} lower-case hexadecimal digits, not all 0: {text!r}")


def _is_state(_instance: Any, _attribute: Any, text: str) -> None:
    if _state_of(text) != text:
        raise ValueError(f"no tracestate by the W3C's rules: {text[:80]!r}")


@frozen
class TraceContext:
    """One span of a trace, as it is named to others: the W3C's trace context."""

    trace_id: str = field(validator=_is_id)
    """The trace: 32 hexadecimal digits."""
    span_id: str = field(validator=_is_id)
    """The span in it, which is the parent of what is made for it: 16 hexadecimal digits."""
    sampled: bool = False
    """Whether the span is recorded, so that others record theirs too."""
    state: str = field(default="", validator=_is_state)
    """What other systems pass on with the trace, as in the header `tracestate`; empty: nothing."""

    @classmethod
    def new(cls, *, sampled: bool) -> TraceContext:
        """Makes the first span of a new trace, with random IDs."""
        return cls(_random_id(16), _random_id(8), sampled)

    @classmethod
    def parse(cls, traceparent: str, tracestate: str = "") -> TraceContext | None:
        """Returns the context of two headers; None: `traceparent` is not valid, so that there is none.

        A `tracestate` that is not valid is dropped alone. Of a version that is not known yet the parts of version 00
        are taken, as the recommendation has it.
        """
        parts = _PARENT.fullmatch(traceparent.strip(" \t"))
        if parts is None or parts["version"] == "ff" or (parts["version"] == "00" and parts["more"]):
            return None
        trace, span = parts["trace"], parts["span"]
        if not trace.strip("0") or not span.strip("0"):
            return None
        return cls(trace, span, bool(int(parts["flags"], 16) & _SAMPLED), _state_of(tracestate))

    @classmethod
    def of_headers(cls, headers: Mapping[str, str]) -> TraceContext | None:
        """Returns the context in headers, or in variables that have their names; None: there is no valid one.

        Args:
            headers: names in any case; a header that came several times is joined by `, `.

        """
        found: dict[str, str] = {}
        for name, value in headers.items():
            if len(name) == len(TRACESTATE) or len(name) == len(TRACEPARENT):
                found.setdefault(name.lower(), value)
        parent = found.get(TRACEPARENT)
        return None if parent is None else cls.parse(parent, found.get(TRACESTATE, ""))

    def child(self) -> TraceContext:
        """Makes a span below this one, with a random ID."""
        return evolve(self, span_id=_random_id(8))

    @property
    def traceparent(self) -> str:
        """The header `traceparent` that names this span as the parent."""
        return f"00-{self.trace_id}-{self.span_id}-{_SAMPLED if self.sampled else 0:02x}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a request that is made for this span."""
        return {TRACEPARENT: self.traceparent} | ({TRACESTATE: self.state} if self.state else {})


def _random_id(size: int) -> str:
    while not (text := token_hex(size)).strip("0"):
        pass
    return text


def _state_of(tracestate: str) -> str:
    """Returns a `tracestate` without empty members and spaces around them; empty if it is not valid."""
    if len(tracestate) > MOST_STATE:
        return ""
    members: dict[str, str] = {}
    for member in filter(None, (part.strip(" \t") for part in tracestate.split(","))):
        key, equals, value = member.partition("=")
        if not (equals and _KEY.fullmatch(key) and _VALUE.fullmatch(value)) or key in members:
            return ""
        members[key] = member
    return ",".join(members.values()) if len(members) <= MOST_MEMBERS else ""
