"""What is checked: an adapter with options, opened anew for each check, and how its streams are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

import trio
from attrs import define, field, frozen
from attrs.validators import gt

from voicepipe.components.boundary import GUARDED, ComponentRef, GuardedContext
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
"""Options of the adapter, or a function that gives a context manager whose value they are: for a server to run."""

NO_FIRST_EVENT = """\
No first event came, so what this check is about was not looked at. A stream gives an event as soon as there is one:
audio of the first segment before `finish()`, a final transcript after `end_utterance()`, the first words of a reply.
The checks `none_comes_only_at_the_end` and, for a voice, `speech_comes_before_the_reply_is_complete` are about that."""

THREADS = 16
"""As many as a runtime lends to its components."""


@frozen
class Limits:
    """How long the kit waits, and how much it tries."""

    deadline_s: float = field(default=10.0, validator=gt(0))
    """How long a stream may go without the next event that is due; also how soon it must notice a fault.

    This and the other times are counted only while the machine has a processor to spare for the adapter."""
    settle_s: float = field(default=5.0, validator=gt(0))
    """How long after a stream was left its sockets and tasks may take to be gone."""
    leave_s: float = field(default=0.5, validator=gt(0))
    """How long leaving a stream may take, until all that it held is gone."""
    idle_s: float = field(default=0.3, validator=gt(0))
    """How long a slow sender pauses; make the options' own timeouts shorter, and this tells something."""
    cancels: int = field(default=200, validator=gt(0))
    """At how many checkpoints of a use it is cancelled, each in a run of its own; of more, evenly chosen ones."""
    streams: int = field(default=100, validator=gt(0))
    """How many streams are opened and closed to see whether they give everything back."""
    at_once: int = field(default=8, validator=gt(1))
    """How many streams are used at the same time."""
    bytes_a_stream: int = field(default=4096, validator=gt(0))
    """How much memory a stream that was left may still hold, on average: a local test server records things too."""
    resident_bytes: int = field(default=32 << 20, validator=gt(0))
    """By how much the process may grow while all those streams are opened and closed."""
    buffered_bytes: int = field(default=4 << 20, validator=gt(0))
    """How much a stream may hold of what nobody receives."""


@frozen
class Received:
    """What `receive` gave, and how far the sender had come."""

    event: Any
    """The event, or None."""
    sent: int
    """STT: bytes of audio sent by then; TTS: segments sent by then."""
    finished: bool
    """Whether `finish` had been called."""


@define(eq=False)
class Progress:
    """How far the sender of a stream has come: set before each call, so no answer can be ahead of it."""

    sent: int = 0
    """As in `Received`."""
    utterances: int = 0
    """How often `end_utterance` was called."""
    finished: bool = False
    """Whether `finish` was called."""


class Use(Protocol):
    """How streams of a role are used; a variant is a number that tells one stream's content from another's."""

    finishes: ClassVar[bool]
    """Whether its streams have a `finish()`, before which they have no end."""

    def open(self, component: Any, variant: int) -> AbstractAsyncContextManager[Any]:
        """Opens a stream of a component."""

    def format_of(self, component: Any) -> AudioFormat | None:
        """The format of its audio, if there is any."""

    async def begin(self, component: Any, stream: Any, variant: int) -> None:
        """Sends what makes a first event come, and does not finish."""

    async def say(self, component: Any, stream: Any, progress: Progress, variant: int, *, brief: bool) -> None:
        """Sends everything and finishes; what is brief need not make sense."""

    def open_much(self, component: Any, variant: int) -> AbstractAsyncContextManager[Any]:
        """Opens a stream that is to be asked for much."""

    async def say_much(self, component: Any, stream: Any, variant: int) -> None:
        """Asks for more than what is made ahead as a rule, without finishing."""

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """What must be the same when a stream is used in the same way again: the strictest view first."""


Receive = Callable[[Any], "Awaitable[Any]"]
"""Gets the next event out of a stream; checks have their own manners."""


U = TypeVar("U", bound=Use)


@frozen
class Bench(Generic[U]):
    """An opened component to try things on."""

    subject: Subject[U]
    """What it was opened from."""
    raw: Any
    """The component as the adapter made it."""
    component: Any
    """The same behind its edge, as calls have it."""
    resources: Resources
    """What was lent to it."""

    @asynccontextmanager
    async def stream(self, variant: int = 0, *, raw: bool = False, much: bool = False) -> AsyncIterator[Any]:
        """A stream of some variant; `raw`: the adapter's own, without the edge; `much`: for `Use.say_much`."""
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
        """What a whole use of a stream gives: everything is sent by one task and received by another, to the end.

        Args:
            variant: which content.
            brief: whether something short will do.
            receive: how events are received; None: plainly, each within the deadline.
            raw: whether the stream is the adapter's own, without the edge.

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
        """Sends the beginning, and gives the first event; `means` is what it means that none comes, as in `Failed`."""
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(self.subject.use.begin, self.component, stream, variant)
            with self.subject.due("receive()", means=means):
                event = await stream.receive()
        return event

    async def next(self, stream: Any) -> Any:
        """The next event, within the deadline."""
        with self.subject.due("receive()"):
            return await stream.receive()

    async def rest(self, stream: Any) -> list[Any]:
        """What comes until None, without it."""
        events = []
        while (event := await self.next(stream)) is not None:
            events.append(event)
        return events


@frozen
class Subject(Generic[U]):
    """An adapter with its options."""

    adapter: Adapter[Any]
    """Which."""
    options: Options
    """Its options, or what yields them."""
    use: U
    """How its streams are used."""
    faults: Mapping[str, Options] = field(factory=dict)
    """Options with which something goes wrong, by what it is."""
    impossible: frozenset[str] = frozenset()
    """The kinds of faults that can't happen to it."""
    limits: Limits = Limits()
    """How long to wait, how much to try."""

    _undisturbed: list[tuple[Any, list[Received]]] = field(factory=list, init=False, eq=False, repr=False)
    """What `undisturbed` gives, once it is known."""

    async def undisturbed(self) -> tuple[Any, list[Received]]:
        """The format of the audio and what a use of a stream gives, alone: got once for all checks that look at it."""
        if self._undisturbed:
            return self._undisturbed[0]
        async with self.bench() as bench:
            undisturbed = self.use.format_of(bench.component), await bench.use()
        if not check_clock().stood_still:
            self._undisturbed.append(undisturbed)
        return undisturbed

    def __str__(self) -> str:
        return f"{self.adapter.role} adapter {self.adapter.name!r}"

    @contextmanager
    def due(self, what: str, *, means: str = "") -> Iterator[None]:
        """A scope for what must be done within the deadline, else the check fails; `means` is as in `Failed`."""
        with ended_after(self.limits.deadline_s) as scope:
            yield
        if scope.cancelled_caught:
            raise Failed(f"{what} did not return within {self.limits.deadline_s:g} s", means=means)

    @asynccontextmanager
    async def entered(self, what: str, context: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
        """What a context gives; entering it, and leaving it, must not take longer than the deadline."""
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
        """Its options, while whatever they need is running; those of a fault if one is named."""
        options = self.options if fault is None else self.faults[fault]
        if isinstance(options, self.adapter.options) or not callable(options):
            yield options
        else:
            async with options() as served:
                yield served

    @asynccontextmanager
    async def opened(self, options: Any) -> AsyncIterator[Bench[U]]:
        """A component with those options, opened as a runtime opens it."""
        who = ComponentRef(self.adapter.role, self.adapter.name)
        resources = Resources(component=self.adapter.name, threads=trio.CapacityLimiter(THREADS))
        component = GuardedContext(who, lambda: self.adapter.open(options, resources), lambda component: component)
        async with self.entered("the component", component) as raw:
            edge = GUARDED[self.adapter.role](who)
            edge.up(raw)
            yield Bench(self, raw, edge, resources)

    @asynccontextmanager
    async def bench(self) -> AsyncIterator[Bench[U]]:
        """A component with its options."""
        async with self.served() as options, self.opened(options) as bench:
            yield bench
