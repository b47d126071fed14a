"""The subject of checks: an adapter with options, opened anew for each check, and how its streams are used.

Theory of operation
===================

    Subject ── served() ──> options ── opened() ──> Bench ── stream() ──> a stream
       │                                              │
       use: Use (hearing, asking, speaking)           use() ──> list[Received]

*Subject* is what the author of an adapter hands in: the adapter, its options, faulty options, and limits. Options may
be a function that opens them, for a test server that has to run meanwhile: `served` enters it.

*Bench* is one opened component. It has it twice. `component` is behind the boundary, as calls use it: whatever the
adapter raises becomes a `ComponentError`. `raw` is the adapter's own object, for checks of what it raises and keeps.

*Use* says how streams of a role are used, so that most checks are written once for all roles: `Hearing` sends
utterances, `Asking` sends a request, `Speaking` sends segments of text. A *variant* is a number for different content,
by which mixed-up streams are noticed. `essence` reduces the events of a stream to views that must be equal when the use
is repeated, the strictest first: a model that words each reply differently is compared by less.

*Bench.use* sends and receives in two tasks, as a call does. It notes with each event how much had been sent by then,
so a check can tell audio that came before `finish` from audio after it. `undisturbed` is the result of one use, and
shared by all checks that only look at events.

*Deadlines.* `due` and `entered` fail the check if the adapter doesn't return in time. They count by the clock in
`waiting.py`, so they may be close without failing on a slow machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import trio
from attrs import define, field, frozen
from attrs.validators import gt

from voicepipe.components.boundary import ComponentRef
from voicepipe.components.guards import GUARDED, GuardedContext
from voicepipe.components.protocols import Resources
from voicepipe.components.registry import Adapter
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.testing.conformance.verdicts import Failed
from voicepipe.testing.conformance.waiting import check_clock, counted_s, ended_after, ending_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from voicepipe.audio import AudioFormat

T = TypeVar("T")

Options = Any | Callable[[], AbstractAsyncContextManager[Any]]
"""Options of the adapter, or a function that returns a context manager of them, for a server that has to run."""

NO_FIRST_EVENT = """\
No first event came, so what this check is about was not looked at. A stream gives an event as soon as there is one:
audio of the first segment before `finish()`, a final transcript after `end_utterance()`, the first words of a reply.
The checks `none_comes_only_at_the_end` and, for a voice, `speech_comes_before_the_reply_is_complete` are about that."""

THREADS = 16
"""The limit of a runtime's `Resources.threads`."""


@frozen
class Limits:
    """Time limits of the checks, and their numbers of repetitions."""

    deadline_s: float = field(default=10.0, validator=gt(0))
    """The longest wait for the next event that is due, or for a fault to be reported, in s.

    This and the other times count only while the machine has a processor to spare for the adapter."""
    settle_s: float = field(default=5.0, validator=gt(0))
    """The time in which a stream that was left must have released its sockets and tasks, in s."""
    leave_s: float = field(default=0.5, validator=gt(0))
    """The longest time that leaving a stream may take, with all that it held released, in s."""
    idle_s: float = field(default=0.3, validator=gt(0))
    """The pause of a slow sender, in s; useful only if the timeouts in the options are shorter."""
    cancels: int = field(default=200, validator=gt(0))
    """The most checkpoints at which a use is cancelled, each in a run of its own; evenly chosen if there are more."""
    streams: int = field(default=100, validator=gt(0))
    """The number of streams that are opened and closed to find leaks."""
    at_once: int = field(default=8, validator=gt(1))
    """The number of concurrent streams."""
    bytes_a_stream: int = field(default=4096, validator=gt(0))
    """The most memory that a stream may leave behind on average, in bytes: a test server in the process adds to it."""
    resident_bytes: int = field(default=32 << 20, validator=gt(0))
    """The most that the process may grow while these streams are opened and closed, in bytes."""
    buffered_bytes: int = field(default=4 << 20, validator=gt(0))
    """The most that a stream may buffer while nothing is received, in bytes."""


@frozen
class Received:
    """An event of `receive`, and how much had been sent by then."""

    event: Any
    """The event, or None."""
    sent: int
    """STT: bytes of audio sent by then; TTS: segments sent by then."""
    finished: bool
    """Whether `finish` had been called."""


@define(eq=False)
class Progress:
    """The progress of a stream's sender; updated before each call, so no event can be ahead of it."""

    sent: int = 0
    """The amount that was sent, as in `Received`."""
    utterances: int = 0
    """The number of calls of `end_utterance`."""
    finished: bool = False
    """Whether `finish` was called."""


class Use(Protocol):
    """The use of a role's streams; a variant is the number of a content that differs from all others."""

    finishes: ClassVar[bool]
    """Whether its streams have a `finish()`, before which they have no end."""

    def open(self, component: Any, variant: int) -> AbstractAsyncContextManager[Any]:
        """Opens a stream of a component."""

    def format_of(self, component: Any) -> AudioFormat | None:
        """The format of its audio, if there is any."""

    async def begin(self, component: Any, stream: Any, variant: int) -> None:
        """Sends enough for a first event, and does not finish."""

    async def say(self, component: Any, stream: Any, progress: Progress, variant: int, *, brief: bool) -> None:
        """Sends everything and finishes; with `brief`, short content that need not make sense."""

    def open_much(self, component: Any, variant: int) -> AbstractAsyncContextManager[Any]:
        """Opens a stream for `say_much`."""

    async def say_much(self, component: Any, stream: Any, variant: int) -> None:
        """Sends more than a stream usually buffers, without finishing."""

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """Returns views of the events that must be equal when the use is repeated, the strictest first."""


Receive = Callable[[Any], "Awaitable[Any]"]
"""Receives the next event of a stream; some checks do it in their own way."""


U = TypeVar("U", bound=Use)


@frozen
class Bench(Generic[U]):
    """An opened component, for the use of checks."""

    subject: Subject[U]
    """The adapter and options that it was opened from."""
    raw: Any
    """The component as the adapter made it."""
    component: Any
    """The component behind the boundary, as calls use it."""
    resources: Resources
    """The resources that were lent to it."""

    @asynccontextmanager
    async def stream(self, variant: int = 0, *, raw: bool = False, much: bool = False) -> AsyncIterator[Any]:
        """A stream of some variant; `raw`: the adapter's own, without the boundary; `much`: for `Use.say_much`."""
        component = self.raw if raw else self.component
        use = self.subject.use
        opening = use.open_much(component, variant) if much else use.open(component, variant)
        async with self.subject.entered("a stream", opening) as stream:
            yield stream

    async def use(
        self,
        variant: int = 0,
        *,
        brief: bool = False,
        receive: Receive | None = None,
        raw: bool = False,
    ) -> list[Received]:
        """Uses a stream from its opening to its end, sends and receives in two tasks, and returns what was received.

        Args:
            variant: the content.
            brief: whether short content is enough.
            receive: receives an event; None: `receive` of the stream, within the deadline.
            raw: whether the stream is the adapter's own, without the boundary.

        """
        progress = Progress()
        got: list[Received] = []
        async with self.stream(variant, raw=raw) as stream, open_hidden_nursery() as nursery:
            nursery.start_soon(self._say, stream, progress, variant, brief)
            while not got or got[-1].event is not None:
                event = await (receive or self.next)(stream)
                got.append(Received(event, progress.sent, progress.finished))
            nursery.cancel_scope.cancel()
        return got

    async def _say(self, stream: Any, progress: Progress, variant: int, brief: bool) -> None:
        await self.subject.use.say(self.component, stream, progress, variant, brief=brief)

    async def begin(self, stream: Any, variant: int = 0, *, means: str = NO_FIRST_EVENT) -> Any:
        """Sends the beginning and returns the first event; `means` explains a missing one, as in `Failed`."""
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(self.subject.use.begin, self.component, stream, variant)
            with self.subject.due("receive()", means=means):
                event = await stream.receive()
        return event

    async def next(self, stream: Any) -> Any:
        """Returns the next event, within the deadline."""
        with self.subject.due("receive()"):
            return await stream.receive()

    async def rest(self, stream: Any) -> list[Any]:
        """Returns the events up to the end, without the final None."""
        events = []
        while (event := await self.next(stream)) is not None:
            events.append(event)
        return events


@frozen
class Subject(Generic[U]):
    """An adapter with its options."""

    adapter: Adapter[Any]
    """The adapter."""
    options: Options
    """Its options, or a function that returns a context manager of them."""
    use: U
    """The use of its streams."""
    faults: Mapping[str, Options] = field(factory=dict)
    """Options that cause a fault, by the kind of fault."""
    impossible: frozenset[str] = frozenset()
    """The kinds of faults that are impossible for this adapter."""
    limits: Limits = Limits()
    """The time limits, and the numbers of repetitions."""

    _undisturbed: list[tuple[Any, list[Received]]] = field(factory=list, init=False, eq=False, repr=False)
    """The cached result of `undisturbed`."""

    async def undisturbed(self) -> tuple[Any, list[Received]]:
        """Returns the audio format and the events of one stream used alone; shared by all checks that need it."""
        if self._undisturbed:
            return self._undisturbed[0]
        async with self.bench() as bench:
            undisturbed = self.use.format_of(bench.component), await bench.use()
        if not check_clock().stood_still:
            self._undisturbed.append(undisturbed)
        return undisturbed

    @property
    def module(self) -> str:
        """The module of the adapter's options."""
        return str(self.adapter.options.__module__)

    def __str__(self) -> str:
        return f"{self.adapter.role} adapter {self.adapter.name!r}"

    @contextmanager
    def due(self, what: str, *, means: str = "") -> Iterator[None]:
        """Fails the check if the block takes longer than the deadline; `means` is as in `Failed`."""
        with ended_after(self.limits.deadline_s) as scope:
            yield
        if scope.cancelled_caught:
            raise Failed(f"{what} did not return within {self.limits.deadline_s:g} s", means=means)

    @asynccontextmanager
    async def entered(self, what: str, context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """Enters a context; fails the check if entering or leaving it takes longer than the deadline."""
        left = inf
        with trio.CancelScope() as opening, ExitStack() as watched:
            watched.enter_context(ending_at(opening, counted_s() + self.limits.deadline_s))
            try:
                async with context as entered:
                    watched.close()
                    try:
                        yield entered
                    finally:
                        left = counted_s()
                        watched.enter_context(ending_at(opening, left + self.limits.deadline_s))
            finally:
                if (took_s := counted_s() - left) > self.limits.deadline_s:
                    raise Failed(f"leaving {what} took {took_s:.1f} s, or had no end")
        if opening.cancelled_caught:
            raise Failed(f"{what} did not open within {self.limits.deadline_s:g} s")

    @asynccontextmanager
    async def served(self, fault: str | None = None) -> AsyncIterator[Any]:
        """The adapter's options, or those of a fault, while the server that they need is running."""
        options = self.options if fault is None else self.faults[fault]
        if isinstance(options, self.adapter.options) or not callable(options):
            yield options
        else:
            async with options() as served:
                yield served

    @asynccontextmanager
    async def opened(self, options: Any) -> AsyncIterator[Bench[U]]:
        """A component with those options, opened as a runtime opens it."""
        ref = ComponentRef(self.adapter.role, self.adapter.name)
        resources = Resources(component=self.adapter.name, threads=trio.CapacityLimiter(THREADS))
        component = GuardedContext(ref, lambda: self.adapter.open(options, resources), lambda component: component)
        async with self.entered("the component", component) as raw:
            guarded = GUARDED[self.adapter.role](ref)
            guarded.up(raw)
            yield Bench(self, raw, guarded, resources)

    @asynccontextmanager
    async def bench(self) -> AsyncIterator[Bench[U]]:
        """A component with the adapter's options, opened for one check."""
        async with self.served() as options, self.opened(options) as bench:
            yield bench
