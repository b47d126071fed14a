"""Guards: the objects that calls use in place of an adapter's component and its streams.

Everything that a call does with a component goes through a `GuardedSpeechToText`, a `GuardedLanguageModel` or a
`GuardedTextToSpeech`, and their streams are guarded in turn. A guard passes each call on, checks the answer against the
Protocol, and raises one bare `ComponentError` for whatever goes wrong, as `boundary` says.

Whose exception it is
    The code inside an `async with component.open_stream(...)` raises exceptions too: a transport that is gone, a
    defect in an observer. An adapter whose context manager has a nursery wraps them into a group, or swallows them.
    The component must be blamed for none of that, since its circuit breaker counts what it is blamed for, for all
    calls. So `GuardedContext.__aexit__` knows the exception that the body raised, and raises that one, unwrapped,
    whatever the adapter makes of it. What the adapter raises while it is left counts only if the body raised nothing,
    and if no cancellation from outside is under way: then the adapter was interrupted, and what it says about that is
    of no interest. A body that was cancelled although nobody outside did so was cut short by the adapter, which is a
    failure of the component.

A component that dies
    `up` and `down` are called by the task that holds the component open. `down` cancels the scope of each open stream,
    and each of them raises "closed while in use" at its call. No stream opens until the component is up again.

Memory
    Each call holds some of these objects, so they are classes: a generator would take 1 kB of each. Frames are taken
    off an exception where the adapter's own nursery would keep them, and with them the call.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractAsyncContextManager
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from voicepipe.components.boundary import (
    as_component_error,
    await_guarded,
    call_guarded,
    raise_component_error,
    refuse,
)
from voicepipe.components.protocols import LanguageModel, NowaitTranscriptStream, SpeechToText, TextToSpeech
from voicepipe.components.speech_heads import SpeechHeads
from voicepipe.components.validation import fault_of_reply, fault_of_speech, fault_of_transcript
from voicepipe.errors import ComponentError, without_frames
from voicepipe.nurseries import leaves_of, uncancelled

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from voicepipe.audio import AudioFormat
    from voicepipe.components.boundary import ComponentRef
    from voicepipe.components.events import ReplyEvent, SpeechEvent, TranscriptEvent
    from voicepipe.components.protocols import ReplyStream, SpeechStream, TranscriptStream
    from voicepipe.components.requests import Listen, ReplyRequest, StreamInput
    from voicepipe.roles import Role

T = TypeVar("T")
S = TypeVar("S")
U = TypeVar("U")


class GuardedContext(AbstractAsyncContextManager[T, None], Generic[S, T]):
    """An adapter's context manager behind the boundary.

    Leaving it raises `ComponentError` if the adapter fails to leave, or if the adapter cut the body short by
    cancelling it from within.

    Args:
        ref: the component that errors name.
        enter: makes the adapter's context manager.
        wrap: makes the guard of the object that entering it returns.

    """

    def __init__(
        self, ref: ComponentRef, enter: Callable[[], AbstractAsyncContextManager[S]], wrap: Callable[[S], T]
    ) -> None:
        self._ref, self._enter, self._wrap = ref, enter, wrap

    async def __aenter__(self) -> T:
        async def enter() -> S:
            self._inner = self._enter()
            return await self._inner.__aenter__()

        return self._wrap(await await_guarded(self._ref, enter))

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
            raise as_component_error(left, self._ref)
        if body is not None:
            raise ComponentError("ended by itself", component=self._ref.name, role=self._ref.role)

    async def _leave(
        self, kind: type[BaseException] | None, body: BaseException | None, traceback: TracebackType | None
    ) -> BaseException | None:
        """Leaves the adapter's context, and returns the exception that leaving it raised; None: none."""
        try:
            await self._inner.__aexit__(kind, body, traceback)
        except BaseException as error:  # noqa: BLE001 - this is the boundary
            interrupts = [leaf for leaf in leaves_of(error) if isinstance(leaf, KeyboardInterrupt)]
            if not interrupts:
                # A nursery's own frames know the group that a cancellation was taken from, and so would keep the call.
                return without_frames(error) if uncancelled(error) is None else error
        else:
            return None
        raise interrupts[0]


class _GuardedTranscriptStream:
    def __init__(self, stream: TranscriptStream, ref: ComponentRef) -> None:
        self._stream, self._ref = stream, ref

    async def send(self, audio: bytes) -> None:
        await await_guarded(self._ref, self._stream.send, audio)

    async def end_utterance(self) -> None:
        await await_guarded(self._ref, self._stream.end_utterance)

    async def listen_for(self, listen: Listen) -> None:
        await await_guarded(self._ref, self._stream.listen_for, listen)

    async def finish(self) -> None:
        await await_guarded(self._ref, self._stream.finish)

    async def receive(self) -> TranscriptEvent | None:
        event = await await_guarded(self._ref, self._stream.receive)
        refuse(fault_of_transcript(event), self._ref)
        return event


class _GuardedNowaitTranscriptStream(_GuardedTranscriptStream):
    _stream: NowaitTranscriptStream

    def send_nowait(self, audio: bytes) -> None:
        try:
            self._stream.send_nowait(audio)
        except trio.WouldBlock:
            raise
        except BaseException as error:  # noqa: BLE001 - this is the boundary
            raise_component_error(error, self._ref)


def _guarded_transcripts(stream: TranscriptStream, ref: ComponentRef) -> TranscriptStream:
    guard = _GuardedNowaitTranscriptStream if isinstance(stream, NowaitTranscriptStream) else _GuardedTranscriptStream
    return guard(stream, ref)


class _GuardedReplyStream:
    def __init__(self, stream: ReplyStream, ref: ComponentRef) -> None:
        self._stream, self._ref = stream, ref

    async def receive(self) -> ReplyEvent | None:
        event = await await_guarded(self._ref, self._stream.receive)
        refuse(fault_of_reply(event), self._ref)
        return event


class _GuardedSpeechStream:
    def __init__(self, stream: SpeechStream, output: AudioFormat, ref: ComponentRef) -> None:
        self._stream, self._output, self._ref = stream, output, ref
        self._heads = SpeechHeads(output)
        self._ready: deque[SpeechEvent | None] = deque()

    async def send(self, text: str, segment: int) -> None:
        await await_guarded(self._ref, self._stream.send, text, segment)

    async def finish(self) -> None:
        await await_guarded(self._ref, self._stream.finish)

    async def receive(self) -> SpeechEvent | None:
        while not self._ready:
            event = await await_guarded(self._ref, self._stream.receive)
            refuse(fault_of_speech(event, self._output), self._ref)
            if self._heads.passes(event):
                return event
            self._ready += call_guarded(self._ref, partial(self._heads.take, event))
        return self._ready.popleft()


class _Guarded(Generic[T]):
    """A component behind the boundary; it is down until it is opened, and after its death until it is opened again."""

    def __init__(self, ref: ComponentRef) -> None:
        self._ref = ref
        self._component: T | None = None
        self._streams: set[trio.CancelScope] = set()

    def up(self, component: T) -> None:
        """Opens streams on this component from now on."""
        self._component = component

    def down(self) -> None:
        """Ends every open stream; no stream opens until `up` is called."""
        self._component = None
        for stream in self._streams:
            stream.cancel()

    def _opened(self) -> T:
        if self._component is None:
            raise ComponentError("is down", component=self._ref.name, role=self._ref.role)
        return self._component

    def _stream(
        self, enter: Callable[[T], AbstractAsyncContextManager[S]], wrap: Callable[[S], U]
    ) -> AbstractAsyncContextManager[U]:
        return _Stream(self._ref, lambda: enter(self._opened()), wrap, self._streams)


class _Stream(GuardedContext[S, U]):
    """A stream that `down` can cancel, and that then raises `ComponentError`."""

    def __init__(
        self,
        ref: ComponentRef,
        enter: Callable[[], AbstractAsyncContextManager[S]],
        wrap: Callable[[S], U],
        streams: set[trio.CancelScope],
    ) -> None:
        super().__init__(ref, enter, wrap)
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
        """Leaves the scope with that exception; returns True if it is nothing but the scope's cancellation."""
        self._streams.discard(self._scope)
        kind, traceback = (None, None) if error is None else (type(error), error.__traceback__)
        self._scope.__exit__(kind, error, traceback)
        return self._scope.cancelled_caught

    def _closed(self) -> ComponentError:
        return ComponentError("closed while in use", component=self._ref.name, role=self._ref.role)


class GuardedSpeechToText(_Guarded[SpeechToText]):
    """A `SpeechToText` behind the boundary."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        """Returns the format in which the component wants the audio of a call."""
        return call_guarded(self._ref, lambda: self._opened().input_for(call))

    def open_stream(self, stream_input: StreamInput, listen: Listen) -> AbstractAsyncContextManager[TranscriptStream]:
        """Returns a guarded recognition session, which entering connects."""
        return self._stream(
            lambda component: component.open_stream(stream_input, listen),
            lambda stream: _guarded_transcripts(stream, self._ref),
        )


class GuardedLanguageModel(_Guarded[LanguageModel]):
    """A `LanguageModel` behind the boundary."""

    def respond(self, request: ReplyRequest) -> AbstractAsyncContextManager[ReplyStream]:
        """Returns a guarded reply; entering it sends the request."""
        return self._stream(
            lambda component: component.respond(request), lambda stream: _GuardedReplyStream(stream, self._ref)
        )


class GuardedTextToSpeech(_Guarded[TextToSpeech]):
    """A `TextToSpeech` behind the boundary."""

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """Returns the format in which the component speaks in a call."""
        return call_guarded(self._ref, lambda: self._opened().output_for(call))

    def open_stream(self, output: AudioFormat, language: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """Returns a guarded synthesis session, which entering connects."""
        return self._stream(
            lambda component: component.open_stream(output, language),
            lambda stream: _GuardedSpeechStream(stream, output, self._ref),
        )


GUARDED: dict[Role, type[_Guarded[Any]]] = {
    "stt": GuardedSpeechToText,
    "llm": GuardedLanguageModel,
    "tts": GuardedTextToSpeech,
}
"""The guard of each role."""
