"""The boundary around a component: its callers see one bare `ComponentError`, whatever the adapter raises.

Adapters are written by many hands over libraries of many habits. Some raise a library's own exceptions, some raise
groups, some call `sys.exit`, some swallow what is not theirs, some return None where text is due. If each caller of a
component dealt with that, each would deal with it differently; so it is dealt with here, once, and nothing behind the
boundary doubts a component's answers any more.

What goes in and what comes out
    Everything that calls do with a component goes through a guard: a `GuardedSpeechToText`, `GuardedLanguageModel` or
    `GuardedTextToSpeech`, whose streams are guarded in turn. Four kinds of things can come out of an adapter's method:

    - a value: `validation` checks it against the Protocol, `speech_heads` checks that speech is samples and not a file,
      and a fault is raised as a `ComponentError`;
    - a `ComponentError`: it gets the component's name and role where the adapter gave none. If its cause lies on this
      machine (no descriptors, no memory, no threads), its `fault` says so, and if TLS refused the server, it says why.
      Secrets are concealed in it: the raw text first, then it is folded to one line, then cut. Its causes are dropped
      if any of them quotes a secret, because each traceback would show it;
    - `trio.Cancelled` or `KeyboardInterrupt`: they pass untouched;
    - anything else, groups and `SystemExit` included: a `ComponentError` is made of the first leaf, so an adapter can't
      end the process.

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

What must not be kept
    An exception leads to frames, frames hold calls, and an exception that leads to itself, by a group or by a frame
    that holds it, is a circle that only the garbage collector ends. Each call ends with some exceptions. So an
    exception that was made here is raised outside of `except` and its name is deleted, and frames are taken off where
    the adapter's own nursery would keep them.
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
class ComponentRef:
    """A component as its errors name it."""

    role: Role
    """The component's role."""
    name: str
    """The name under `components:`, else the adapter's."""
    conceal: Callable[[str], str] = field(default=str, eq=False, repr=False)
    """Takes secrets out of a text."""


def as_component_error(error: BaseException, ref: ComponentRef) -> BaseException:
    """Returns the exception that stands for what an adapter raised: KeyboardInterrupt, Cancelled or a ComponentError.

    The ComponentError quotes no secret, nor does it lead to an exception that does. Callers raise it outside of
    `except` and delete the name, as the module's docstring says.
    """
    leaves = list(leaves_of(error))
    for kind in (KeyboardInterrupt, trio.Cancelled, ComponentError):
        for leaf in leaves:
            if isinstance(leaf, kind):
                return _concealed(leaf, ref) if isinstance(leaf, ComponentError) else leaf
    first = leaves[0]
    said = f": {first}" if str(first) else ""
    failure = ComponentError(f"{type(first).__name__}{said}")
    failure.__cause__ = error
    return _concealed(failure, ref)


def error_from_use(error: BaseException, ref: ComponentRef) -> BaseException:
    """Returns the one exception that stands for what came out of a nursery in which a component's stream was used.

    What the component's methods raised is a `ComponentError` by then. Any other exception is the caller's own, and goes
    first. Callers raise it outside of `except` and delete the name.
    """
    leaves = list(leaves_of(error))
    for leaf in leaves:
        if not isinstance(leaf, trio.Cancelled | ComponentError):
            return leaf
    first = next((leaf for leaf in leaves if isinstance(leaf, trio.Cancelled)), leaves[0])
    return _concealed(first, ref) if isinstance(first, ComponentError) else first


def _concealed(error: ComponentError, ref: ComponentRef) -> ComponentError:
    error.component, error.role = error.component or ref.name, error.role or ref.role
    if error.fault == "component" and is_local(error):
        error.fault = "local"  # no outage of the provider's
    if failure := tls_failure(error):
        # Else an adapter that knows nothing of TLS would call it a broken connection, which may pass.
        error.retryable, error.hint = False, error.hint or failure.hint
        if failure.cause not in error.message:
            error.message = f"{error.message}: the server {failure.cause}"
    # Adapters hand on what was said as it came: only then all secrets in it are found. It is folded and cut here.
    error.message = quoted(str(error.message), ref.conceal, MOST_SAID)
    error.answered = quoted(str(error.answered), ref.conceal)
    error.hint = quoted(str(error.hint), ref.conceal, MOST_SAID)
    error.args = (error.message,)
    if notes := getattr(error, "__notes__", None):
        error.__notes__ = [ref.conceal(str(note)) for note in notes]
    if any(ref.conceal(said) != said for led_to in errors_behind(error) for said in _said(led_to)):
        # It would stand in every traceback.
        error.__cause__ = error.__context__ = None
    return error


def _said(error: BaseException) -> Iterator[str]:
    """What a traceback shows of an exception."""
    yield str(error)
    yield from getattr(error, "__notes__", ())


def refuse(fault: str, ref: ComponentRef) -> None:
    """Raises the fault of a component's answer as a `ComponentError`; an empty text is no fault."""
    if fault:
        raise _concealed(ComponentError(fault), ref)


async def await_guarded(ref: ComponentRef, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Awaits an adapter's function and returns its result; a failure is raised as a `ComponentError`."""
    try:
        return await function(*args, **kwargs)
    except BaseException as error:
        settled = as_component_error(error, ref)
        if settled is error:
            del settled
            raise
    try:
        raise settled
    finally:
        del settled


def call_guarded(ref: ComponentRef, function: Callable[[], T]) -> T:
    """Calls an adapter's function and returns its result; a failure is raised as a `ComponentError`."""
    try:
        return function()
    except BaseException as error:
        settled = as_component_error(error, ref)
        if settled is error:
            del settled
            raise
    try:
        raise settled
    finally:
        del settled


class GuardedContext(AbstractAsyncContextManager[T, None], Generic[S, T]):
    """An adapter's context manager behind the boundary.

    Leaving it raises `ComponentError` if the adapter fails to leave, or if the adapter cut the body short by
    cancelling it from within.

    Args:
        ref: the component that errors name.
        enter: makes the adapter's context manager.
        wrap: guards what entering it gives.

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
        """Leaves the adapter's context, and gives what comes out of it."""
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
    """A stream that `down` can cancel, and that then raises `ComponentError`.

    Every call holds some of these, so they are classes: a generator would take 1 kB of each.
    """

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
        """Leaves the scope with that exception; whether it was cancelled and that is all there was to it."""
        self._streams.discard(self._scope)
        kind, traceback = (None, None) if error is None else (type(error), error.__traceback__)
        self._scope.__exit__(kind, error, traceback)
        return self._scope.cancelled_caught

    def _closed(self) -> ComponentError:
        return ComponentError("closed while in use", component=self._ref.name, role=self._ref.role)


class GuardedSpeechToText(_Guarded[SpeechToText]):
    """A `SpeechToText` behind the boundary."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        """Calls the component's own."""
        return call_guarded(self._ref, lambda: self._opened().input_for(call))

    def open_stream(self, stream_input: StreamInput, listen: Listen) -> AbstractAsyncContextManager[TranscriptStream]:
        """Calls the component's own."""
        return self._stream(
            lambda component: component.open_stream(stream_input, listen),
            lambda stream: _GuardedTranscriptStream(stream, self._ref),
        )


class GuardedLanguageModel(_Guarded[LanguageModel]):
    """A `LanguageModel` behind the boundary."""

    def respond(self, request: ReplyRequest) -> AbstractAsyncContextManager[ReplyStream]:
        """Calls the component's own."""
        return self._stream(
            lambda component: component.respond(request), lambda stream: _GuardedReplyStream(stream, self._ref)
        )


class GuardedTextToSpeech(_Guarded[TextToSpeech]):
    """A `TextToSpeech` behind the boundary."""

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """Calls the component's own."""
        return call_guarded(self._ref, lambda: self._opened().output_for(call))

    def open_stream(self, output: AudioFormat, language: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """Calls the component's own."""
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
