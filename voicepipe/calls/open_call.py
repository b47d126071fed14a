"""Opens calls, and lists those that are up."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from voicepipe.calls.call import Call
from voicepipe.nurseries import open_hidden_nursery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from voicepipe.calls.events import CallEvent
    from voicepipe.components.requests import CallInfo, Message
    from voicepipe.components.trace_context import TraceContext
    from voicepipe.pipelines.snapshot import Pipeline
    from voicepipe.transports.protocol import Transport


class Calls:
    """The calls that are up, in the order in which they began; `open_call(..., calls=...)` enters and removes them.

    Iterating gives the calls that are up at that moment, `len` their number, `calls[call_id]` one of them.
    """

    def __init__(self) -> None:
        self._calls: dict[str, Call] = {}

    @contextmanager
    def hold(self, call: Call) -> Iterator[None]:
        """Enters a call for as long as the block runs."""
        self._calls[call.call_id] = call
        try:
            yield
        finally:
            del self._calls[call.call_id]

    def __getitem__(self, call_id: str) -> Call:
        return self._calls[call_id]

    def find(self, name: str) -> Call | None:
        """Returns the latest call with this `call_id` or `info.transport_id`; None: there is none."""
        if (call := self._calls.get(name)) is not None:
            return call
        return next((call for call in reversed(self._calls.values()) if call.info.transport_id == name), None)

    def __contains__(self, call_id: object) -> bool:
        return call_id in self._calls

    def __iter__(self) -> Iterator[Call]:
        return iter(tuple(self._calls.values()))

    def __len__(self) -> int:
        return len(self._calls)


@asynccontextmanager
async def open_call(
    pipeline: Pipeline,
    transport: Transport,
    *,
    observer: Callable[[CallEvent], None] | None = None,
    info: CallInfo | None = None,
    at: datetime | None = None,
    messages: Iterable[Message] = (),
    metadata: Mapping[str, Any] | None = None,
    calls: Calls | None = None,
    trace: TraceContext | None = None,
) -> AsyncIterator[Call]:
    """Opens a call on a pipeline of a pinned snapshot; `await call.run()` holds the conversation.

    Leaving the context hangs up, if nobody has.

    Args:
        pipeline: from `snapshot.choose(...)`; keep the snapshot pinned until the context is left.
        transport: where the call's audio comes from and goes to.
        observer: called synchronously with every event. What it raises is logged once, as "voicepipe.observers", and
            ends nothing.
        info: the numbers and variables of the call, if more is known than the transport tells; None: the transport's.
        at: the moment of the call, with a time zone, for dates and times in its texts; None: now.
        messages: a conversation that this call goes on with, for instance that of a call before; the greeting is said
            all the same.
        metadata: the beginnings of `Call.metadata`.
        calls: where the call is entered until the context is left.
        trace: the call's own span, which the program records; requests to language models and tools are spans below it,
            whose IDs the events have. None: the program records none, and they are given `info.trace` as it is.

    Raises:
        ValueError: in `messages`, a call of a tool has no result, or a result has no call.

    """
    async with AsyncExitStack() as at_end, open_hidden_nursery() as nursery:
        try:
            call = Call(
                pipeline,
                transport,
                observer,
                nursery,
                at_end,
                info=info or transport.info,
                at=at or datetime.now(UTC),
                messages=messages,
                metadata=metadata,
                trace=trace,
            )
            with nullcontext() if calls is None else calls.hold(call):
                yield call
        finally:
            nursery.cancel_scope.cancel()
