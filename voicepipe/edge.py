"""The edge of a component: whatever an adapter raises, its callers see one bare `ComponentError`.

An adapter is written by many hands over libraries of many habits. Here every exception becomes a
`ComponentError`, groups are taken apart, `SystemExit` loses its sting, `trio.Cancelled` passes untouched, and
the exceptions of the code inside an `async with` come out as they went in, even if the adapter has a nursery.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from attrs import frozen

from voicepipe.components import LanguageModel, Role, SpeechToText, TextToSpeech
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from voicepipe.audio import AudioFormat
    from voicepipe.components import ReplyStream, SpeechStream, TranscriptStream
    from voicepipe.events import ReplyEvent, SpeechEvent, TranscriptEvent
    from voicepipe.requests import Listen, ReplyRequest, StreamInput

T = TypeVar("T")
S = TypeVar("S")


@frozen
class Who:
    """The component that errors name."""

    role: Role
    """What it is used as."""
    name: str
    """As the operator knows it."""


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def settle(error: BaseException, who: Who) -> BaseException:
    """The one exception that stands for what an adapter raised: Cancelled, KeyboardInterrupt or a ComponentError."""
    leaves = list(_leaves(error))
    for kind in (trio.Cancelled, KeyboardInterrupt, ComponentError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                if isinstance(leaf, ComponentError):
                    leaf.component, leaf.role = leaf.component or who.name, leaf.role or who.role
                return leaf
    first = leaves[0]
    said = f": {first}" if str(first) else ""
    return ComponentError(f"{type(first).__name__}{said}", component=who.name, role=who.role)


async def at_edge(who: Who, awaitable: Awaitable[T]) -> T:
    """What the adapter's awaitable returns, or its failure as a `ComponentError`."""
    try:
        return await awaitable
    except (trio.Cancelled, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - this is the edge
        settled = settle(error, who)
        raise settled from (None if settled is error else error)


class Edge(AbstractAsyncContextManager[T], Generic[S, T]):
    """An adapter's context manager with a clean edge.

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

        return self._wrap(await at_edge(self._who, enter()))

    async def __aexit__(
        self, kind: type[BaseException] | None, body: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:
            # A nursery in the adapter that was cancelled swallows the cancellation that it caused in the body.
            return bool(await self._inner.__aexit__(kind, body, traceback))
        except BaseException as error:  # noqa: BLE001 - this is the edge
            theirs = {id(leaf) for leaf in _leaves(body)} if body is not None else set()
            if any(id(leaf) in theirs for leaf in _leaves(error)):
                return False
            if body is not None and trio.current_effective_deadline() == float("-inf"):
                return False  # cancelled from outside: what the adapter says about being interrupted is of no interest
            settled = settle(error, self._who)
            raise settled from (None if settled is error else error)


class _Transcripts:
    def __init__(self, stream: TranscriptStream, who: Who) -> None:
        self._stream, self._who = stream, who

    async def send(self, audio: bytes) -> None:
        await at_edge(self._who, self._stream.send(audio))

    async def end_utterance(self) -> None:
        await at_edge(self._who, self._stream.end_utterance())

    async def listen_for(self, listen: Listen) -> None:
        await at_edge(self._who, self._stream.listen_for(listen))

    async def finish(self) -> None:
        await at_edge(self._who, self._stream.finish())

    async def receive(self) -> TranscriptEvent | None:
        return await at_edge(self._who, self._stream.receive())


class _Replies:
    def __init__(self, stream: ReplyStream, who: Who) -> None:
        self._stream, self._who = stream, who

    async def receive(self) -> ReplyEvent | None:
        return await at_edge(self._who, self._stream.receive())


class _Speech:
    def __init__(self, stream: SpeechStream, who: Who) -> None:
        self._stream, self._who = stream, who

    async def send(self, text: str, segment: int) -> None:
        await at_edge(self._who, self._stream.send(text, segment))

    async def finish(self) -> None:
        await at_edge(self._who, self._stream.finish())

    async def receive(self) -> SpeechEvent | None:
        return await at_edge(self._who, self._stream.receive())


class _Edged(Generic[T]):
    """A component behind its edge; `inner` is None while it is down, and may be another one afterwards."""

    def __init__(self, who: Who) -> None:
        self._who = who
        self.inner: T | None = None

    def _up(self) -> T:
        if self.inner is None:
            raise ComponentError("is down and being reopened", component=self._who.name, role=self._who.role)
        return self.inner


class EdgedSpeechToText(_Edged[SpeechToText]):
    """A `SpeechToText` behind its edge."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        """As the component's."""
        return self._up().input_for(call)

    def open_stream(self, stream_input: StreamInput, listen: Listen) -> AbstractAsyncContextManager[TranscriptStream]:
        """As the component's."""
        return Edge(
            self._who,
            lambda: self._up().open_stream(stream_input, listen),
            lambda stream: _Transcripts(stream, self._who),
        )


class EdgedLanguageModel(_Edged[LanguageModel]):
    """A `LanguageModel` behind its edge."""

    def respond(self, request: ReplyRequest) -> AbstractAsyncContextManager[ReplyStream]:
        """As the component's."""
        return Edge(self._who, lambda: self._up().respond(request), lambda stream: _Replies(stream, self._who))


class EdgedTextToSpeech(_Edged[TextToSpeech]):
    """A `TextToSpeech` behind its edge."""

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """As the component's."""
        return self._up().output_for(call)

    def open_stream(self, output: AudioFormat, language: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """As the component's."""
        return Edge(
            self._who,
            lambda: self._up().open_stream(output, language),
            lambda stream: _Speech(stream, self._who),
        )


EdgedComponent = EdgedSpeechToText | EdgedLanguageModel | EdgedTextToSpeech

EDGES: dict[str, type[EdgedComponent]] = {
    "stt": EdgedSpeechToText,
    "llm": EdgedLanguageModel,
    "tts": EdgedTextToSpeech,
}
"""By role."""
