"""Requests of a call to its language models, each of which is reported when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from voicepipe.calls.call_trace import NO_TRACE
from voicepipe.calls.events import ModelAnswered
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from types import TracebackType

    from voicepipe.calls.call_trace import CallTrace
    from voicepipe.calls.events import AnswerEnd
    from voicepipe.calls.observing import EventEmitter
    from voicepipe.components.events import Usage
    from voicepipe.components.labels import ComponentLabel


class ModelRequests:
    """Begins requests, and reports those that are over.

    Args:
        emit: reports events to the observer; None: nobody is told.
        trace: the call's, in which each request is a span.

    """

    def __init__(self, emit: EventEmitter | None = None, trace: CallTrace = NO_TRACE) -> None:
        self.emit, self.trace = emit, trace
        self._running: set[ModelRequest] = set()

    def begin(self, component: ComponentLabel) -> ModelRequest:
        """Begins a request, which is over when its context is left."""
        request = ModelRequest(self, component)
        self._running.add(request)
        return request

    def ended(self, request: ModelRequest) -> bool:
        """Notes that a request is over; False if it was over before."""
        if request not in self._running:
            return False
        self._running.discard(request)
        return True

    def finish(self) -> None:
        """Reports the requests that still run as cancelled: the call is over."""
        for request in tuple(self._running):
            request.end("cancelled")


class ModelRequest:
    """One request to a language model, from the moment that it is made; see `ModelRequests.begin`."""

    def __init__(self, requests: ModelRequests, component: ComponentLabel) -> None:
        self._requests, self._component = requests, component
        self.span = requests.trace.next_span()
        """The span of the request; None: there is no trace."""
        self.finish_reason: AnswerEnd | None = None
        """The model's own end of its answer; None: it has not come."""
        self._began_s = self._now_s()
        self._first_token_s: float | None = None
        self._tokens: dict[str, int] = {}

    def _now_s(self) -> float:
        return 0.0 if self._requests.emit is None else self._requests.emit.at_s

    def note_token(self) -> None:
        """Notes that a word or a tool call has come; the first one counts."""
        if self._first_token_s is None:
            self._first_token_s = self._now_s()

    def note_usage(self, usage: Usage) -> None:
        """Adds the tokens that the provider reports."""
        for name, tokens in (("input_tokens", usage.input_tokens), ("output_tokens", usage.output_tokens)):
            if tokens is not None:
                self._tokens[name] = self._tokens.get(name, 0) + tokens

    def end(self, reason: AnswerEnd, error: ComponentError | None = None) -> None:
        """Reports the request; no-op if it was reported."""
        requests = self._requests
        if requests.ended(self) and requests.emit is not None:
            requests.emit(
                ModelAnswered,
                component=self._component,
                began_s=self._began_s,
                first_token_s=self._first_token_s,
                reason=reason,
                error=error,
                span_id=requests.trace.id_of(self.span),
                **self._tokens,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, ComponentError):
            self.end("failed", error)
        else:
            self.end("cancelled" if error is not None or self.finish_reason is None else self.finish_reason)
