"""The spans of a call that are named to others while it is up: requests to language models, and tools."""

from __future__ import annotations

from attrs import frozen

from voicepipe.components.trace_context import TraceContext


@frozen
class CallTrace:
    """The trace of a call.

    Where nobody records the call's spans, the span that it was made for is passed on as it is: one of the call's own
    would be a parent that no trace has.
    """

    own: TraceContext | None = None
    """The call's span; None: nobody records it."""
    parent: TraceContext | None = None
    """The span that the call was made for; None: it is not known."""

    @property
    def context(self) -> TraceContext | None:
        """The call's span, or else the one that it was made for."""
        return self.own or self.parent

    def next_span(self) -> TraceContext | None:
        """Makes the span of a request or a tool, below the call's; None: the call has no trace."""
        return self.parent if self.own is None else self.own.child()

    def id_of(self, span: TraceContext | None) -> str:
        """Returns the ID of a span that `next_span` made, for events; empty if nobody records it."""
        return "" if self.own is None or span is None else span.span_id


NO_TRACE = CallTrace()
"""The trace of a call that has none."""
