"""The edge of a component: whatever an adapter raises, its callers see one bare `ComponentError`.

An adapter is written by many hands over libraries of many habits. Here every exception becomes a
`ComponentError`, groups are taken apart, `SystemExit` loses its sting, `trio.Cancelled` passes untouched, and
the exceptions of the code inside an `async with` come out as they went in, even if the adapter has a nursery or
swallows them: a component is blamed for what its own methods raise or give, and for nothing else. A component that dies
takes its open streams with it: each ends with one `ComponentError`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import trio
from attrs import field, frozen

from voicepipe.components.protocols import LanguageModel, SpeechToText, TextToSpeech
from voicepipe.components.quoting import MOST_SAID, quoted
from voicepipe.components.speech_heads import SpeechHeads
from voicepipe.components.tls import tls_failure
from voicepipe.components.validation import fault_of_reply, fault_of_speech, fault_of_transcript
from voicepipe.errors import ComponentError, errors_behind, is_local, without_frames
from voicepipe.nurseries import leaves_of, uncancelled
from voicepipe.roles import Role

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from types import TracebackType

    from voicepipe.audio import AudioFormat
    from voicepipe.components.events import ReplyEvent, SpeechEvent, TranscriptEvent
    from voicepipe.components.protocols import ReplyStream, SpeechStream, TranscriptStream
    from voicepipe.components.requests import Listen, ReplyRequest, StreamInput

T = TypeVar("T")
S = TypeVar("S")
U = TypeVar("U")
P = ParamSpec("P")


@frozen
class Who:
    """The component that errors name."""

    role: Role
    """What it is used as."""
    name: str
    """As the operator knows it."""
    conceal: Callable[[str], str] = field(default=str, eq=False, repr=False)
    """Takes secrets out of what they say."""


def settle(error: BaseException, who: Who) -> BaseException:
    """The one exception that stands for what an adapter raised: KeyboardInterrupt, Cancelled or a ComponentError.

    It quotes no secret, nor does it lead to an exception that does.

    Who raises it does so outside of `except`, and deletes the name: an exception that leads to a group that it is
    part of, or to a frame that holds it, lives until the garbage collector comes, with everything that its frames
    hold. Each call ends with some.
    """
    leaves = list(leaves_of(error))
    for kind in (KeyboardInterrupt, trio.Cancelled, ComponentError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return _concealed(leaf, who) if isinstance(leaf, ComponentError) else leaf
    first = leaves[0]
    said = f": {first}" if str(first) else ""
    failure = ComponentError(f"{type(first).__name__}{said}")
    failure.__cause__ = error
    return _concealed(failure, who)


def raised_in_use(error: BaseException, who: Who) -> BaseException:
    """The one exception that stands for what came out of a nursery in which a component's stream was used.

    What the component's methods raised is a `ComponentError` by then. Anything else is the user's own, and goes first.
    For who raises it, the same holds as for `settle`.
    """
    leaves = list(leaves_of(error))
    for leaf in leaves:
        if not isinstance(leaf, trio.Cancelled | ComponentError):
            return leaf
    first = next((leaf for leaf in leaves if isinstance(leaf, trio.Cancelled)), leaves[0])
    return _concealed(first, who) if isinstance(first, ComponentError) else first


def _concealed(error: ComponentError, who: Who) -> ComponentError:
    error.component, error.role = error.component or who.name, error.role or who.role
    if error.fault == "component" and is_local(error):
        error.fault = "local"  # no outage of the provider's
    if failure := tls_failure(error):
        # Else an adapter that knows nothing of TLS would call it a broken connection, which may pass.
        error.retryable, error.hint = False, error.hint or failure.hint
        if failure.cause not in error.message:
            error.message = f"{error.message}: the server {failure.cause}"
    # Adapters hand on what was said as it came: only then all secrets in it are found. It is folded and cut here.
    error.message = quoted(str(error.message), who.conceal, MOST_SAID)
    error.answered = quoted(str(error.answered), who.conceal)
    error.hint = quoted(str(error.hint), who.conceal, MOST_SAID)
    error.args = (error.message,)
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [who.conceal(str(note)) for note in notes]
    if any(who.conceal(said) != said for led_to in errors_behind(error) for said in _said(led_to)):
        # It would stand in every traceback.
        error.__cause__ = error.__context__ = None
    return error


def _said(error: BaseException) -> Iterator[str]:
    """What a traceback shows of an exception."""
    yield str(error)
    yield from getattr(error, "__notes__", ())


def refuse(fault: str, who: Who) -> None:
    """Raises a fault of what a component gave, if there is one, as its `ComponentError`."""
    if fault:
        raise _concealed(ComponentError(fault), who)


async def at_edge(who: Who, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """What the adapter's async function returns, or its failure as a `ComponentError`."""
    try:
        return await function(*args, **kwargs)
    except BaseException as error:
        settled = settle(error, who)
        if settled is error:
            del settled
            raise
    try:
        raise settled
    finally:
        del settled


def at_edge_sync(who: Who, function: Callable[[], T]) -> T:
    """What the adapter's function returns, or its failure as a `ComponentError`."""
    try:
        return function()
    except BaseException as error:
        settled = settle(error, who)
        if settled is error:
            del settled
            raise
    try:
        raise settled
    finally:
        del settled


class Edge(AbstractAsyncContextManager[T, None], Generic[S, T]):
    """An adapter's context manager with a clean edge.

    Leaving it raises `ComponentError` if the adapter fails to leave, or if the adapter cut the body short by
    cancelling it from within.

    Args:
        who: the component that errors name.
        enter: makes the adapter's context manager.
        wrap: puts an edge around what entering it gives.

    """

    def __init__(self, who: Who, enter: Callable[[], AbstractAsyncContextManager[S]], wrap: Callable[[S], T]) -> None:
        self._who, self._enter, self._wrap = who, enter, wrap

    async def __aenter__(self) -> T:
        async def enter() -> S:
            self._inner = self._enter()
            return await self._inner.__aenter__()

        return self._wrap(await at_edge(self._who, enter))

    async def __aexit__(
        self, kind: type[BaseException] | None, body: BaseException | None, traceback: TracebackType | None
    ) -> None:
        left = await self._leave(kind, body, traceback)
        if trio.current_effective_deadline() == -inf:
            # Cancelled from outside: what the adapter says about being interrupted is of no interest.
            if body is None and left is not None:
                await trio.lowlevel.checkpoint_if_cancelled()
            return
        # A cancellation that doesn't come from outside is the adapter's, which cut the body short.
        own = uncancelled(body)
        if own is body is not None:
            return
        if own is not None:
            raise own
        if left is not None:
            raise settle(left, self._who)
        if body is not None:
            raise ComponentError("ended by itself", component=self._who.name, role=self._who.role)

    async def _leave(
        self, kind: type[BaseException] | None, body: BaseException | None, traceback: TracebackType | None
    ) -> BaseException | None:
        """Leaves the adapter's context, and gives what comes out of it."""
        try:
            await self._inner.__aexit__(kind, body, traceback)
        except BaseException as error:  # noqa: BLE001 - this is the edge
            interrupts = [leaf for leaf in leaves_of(error) if isinstance(leaf, KeyboardInterrupt)]
            if not interrupts:
                # A nursery's own frames know the group that a cancellation was taken from, and so would keep the call.
                return without_frames(error) if uncancelled(error) is None else error
        else:
            return None
        raise interrupts[0]


class _Transcripts:
    def __init__(self, stream: TranscriptStream, who: Who) -> None:
        self._stream, self._who = stream, who

    async def send(self, audio: bytes) -> None:
        await at_edge(self._who, self._stream.send, audio)

    async def end_utterance(self) -> None:
        await at_edge(self._who, self._stream.end_utterance)

    async def listen_for(self, listen: Listen) -> None:
        await at_edge(self._who, self._stream.listen_for, listen)

    async def finish(self) -> None:
        await at_edge(self._who, self._stream.finish)

    async def receive(self) -> TranscriptEvent | None:
        event = await at_edge(self._who, self._stream.receive)
        refuse(fault_of_transcript(event), self._who)
        return event


class _Replies:
    def __init__(self, stream: ReplyStream, who: Who) -> None:
        self._stream, self._who = stream, who

    async def receive(self) -> ReplyEvent | None:
        event = await at_edge(self._who, self._stream.receive)
        refuse(fault_of_reply(event), self._who)
        return event


class _Speech:
    def __init__(self, stream: SpeechStream, output: AudioFormat, who: Who) -> None:
        self._stream, self._output, self._who = stream, output, who
        self._heads = SpeechHeads(output)
        self._ready: deque[SpeechEvent | None] = deque()

    async def send(self, text: str, segment: int) -> None:
        await at_edge(self._who, self._stream.send, text, segment)

    async def finish(self) -> None:
        await at_edge(self._who, self._stream.finish)

    async def receive(self) -> SpeechEvent | None:
        while not self._ready:
            event = await at_edge(self._who, self._stream.receive)
            refuse(fault_of_speech(event, self._output), self._who)
            if self._heads.passes(event):
                return event
            self._ready += at_edge_sync(self._who, partial(self._heads.take, event))
        return self._ready.popleft()


class _Edged(Generic[T]):
    """A component behind its edge; it is down until it is opened, and when it has died until it is opened again."""

    def __init__(self, who: Who) -> None:
        self._who = who
        self._component: T | None = None
        self._streams: set[trio.CancelScope] = set()

    def up(self, component: T) -> None:
        """Gives this component to all streams from now on."""
        self._component = component

    def down(self) -> None:
        """Ends every open stream, and lets none open until it is up again."""
        self._component = None
        for stream in self._streams:
            stream.cancel()

    def _opened(self) -> T:
        if self._component is None:
            raise ComponentError("is down", component=self._who.name, role=self._who.role)
        return self._component

    def _stream(
        self, enter: Callable[[T], AbstractAsyncContextManager[S]], wrap: Callable[[S], U]
    ) -> AbstractAsyncContextManager[U]:
        return _Stream(self._who, lambda: enter(self._opened()), wrap, self._streams)


class _Stream(Edge[S, U]):
    """An edge that `streams` can cancel, and that then raises `ComponentError`. Every call holds some: no generator."""

    def __init__(
        self,
        who: Who,
        enter: Callable[[], AbstractAsyncContextManager[S]],
        wrap: Callable[[S], U],
        streams: set[trio.CancelScope],
    ) -> None:
        super().__init__(who, enter, wrap)
        self._streams, self._scope = streams, trio.CancelScope()

    async def __aenter__(self) -> U:
        self._scope.__enter__()
        self._streams.add(self._scope)
        try:
            return await super().__aenter__()
        except BaseException as error:
            if self._close(error):
                raise self._closed() from None
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, body: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, body, traceback)
        except BaseException as error:
            if not self._close(error):
                raise
        else:
            if not self._close(body):
                return
        raise self._closed()

    def _close(self, error: BaseException | None) -> bool:
        """Leaves the scope with that exception; whether it was cancelled and that is all there was to it."""
        self._streams.discard(self._scope)
        kind, traceback = (None, None) if error is None else (type(error), error.__traceback__)
        self._scope.__exit__(kind, error, traceback)
        return self._scope.cancelled_caught

    def _closed(self) -> ComponentError:
        return ComponentError("closed while in use", component=self._who.name, role=self._who.role)


class EdgedSpeechToText(_Edged[SpeechToText]):
    """A `SpeechToText` behind its edge."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        """As the component's."""
        return at_edge_sync(self._who, lambda: self._opened().input_for(call))

    def open_stream(self, stream_input: StreamInput, listen: Listen) -> AbstractAsyncContextManager[TranscriptStream]:
        """As the component's."""
        return self._stream(
            lambda component: component.open_stream(stream_input, listen),
            lambda stream: _Transcripts(stream, self._who),
        )


class EdgedLanguageModel(_Edged[LanguageModel]):
    """A `LanguageModel` behind its edge."""

    def respond(self, request: ReplyRequest) -> AbstractAsyncContextManager[ReplyStream]:
        """As the component's."""
        return self._stream(lambda component: component.respond(request), lambda stream: _Replies(stream, self._who))


class EdgedTextToSpeech(_Edged[TextToSpeech]):
    """A `TextToSpeech` behind its edge."""

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """As the component's."""
        return at_edge_sync(self._who, lambda: self._opened().output_for(call))

    def open_stream(self, output: AudioFormat, language: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """As the component's."""
        return self._stream(
            lambda component: component.open_stream(output, language),
            lambda stream: _Speech(stream, output, self._who),
        )


EDGES: dict[Role, type[_Edged[Any]]] = {
    "stt": EdgedSpeechToText,
    "llm": EdgedLanguageModel,
    "tts": EdgedTextToSpeech,
}
"""By role."""
