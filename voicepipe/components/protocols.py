"""The three Protocols that adapters implement, and the streams they open.

No base class: any object of these shapes will do. A component is opened once and shared by all calls, so
it keeps no call's state; what belongs to one call lives in the streams it opens.

Rules that hold for every stream:

- `receive` has one caller and is cancel-safe: a timeout around it loses nothing and does not end the stream.
- Sending and receiving run in different tasks; `send` may block, and that is the backpressure.
- Leaving the `async with` is the only way to stop. It always works, and afterwards the adapter owns no task,
  socket, thread or process of that stream.
- Failures are `ComponentError`. The SDK wraps every adapter so that nothing else gets out, and `Cancelled`
  passes untouched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import trio
from attrs import frozen

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from voicepipe.audio import AudioFormat
    from voicepipe.components.events import ReplyEvent, SpeechEvent, TranscriptEvent
    from voicepipe.components.requests import Listen, ReplyRequest, StreamInput


@frozen
class Resources:
    """Resources that the process lends to a component while it is open."""

    component: str
    """The component's name in the configuration, for threads and processes that show up in `ps`."""
    threads: trio.CapacityLimiter
    """For `trio.to_thread.run_sync` around anything that blocks; shared by all components."""


class SpeechToText(Protocol):
    """Turns a caller's audio into text."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        """Returns the audio that suits this component best, for a call of that format; pure."""

    def open_stream(self, stream_input: StreamInput, listen: Listen) -> AbstractAsyncContextManager[TranscriptStream]:
        """Returns a recognition session for one call; entering it connects."""


class TranscriptStream(Protocol):
    """One call's recognition session."""

    async def send(self, audio: bytes) -> None:
        """Takes the next audio, in the stream's format: a chunk, or less while an utterance ends."""

    async def end_utterance(self) -> None:
        """Finalises the audio so far: one final `Transcript`, empty or not, covers its rest. The stream goes on."""

    async def listen_for(self, listen: Listen) -> None:
        """Expects other phrases from now on; components that can't do that do nothing."""

    async def finish(self) -> None:
        """Ends the audio; `receive` returns the remaining events, then None."""

    async def receive(self) -> TranscriptEvent | None:
        """Returns the next event; None only after `finish()`."""


@runtime_checkable
class NowaitTranscriptStream(TranscriptStream, Protocol):
    """A recognition session that can take audio without waiting, which saves waking a task for each piece of it.

    Calls use `send_nowait` for audio that arrives while nothing else is being sent, and `send` for the rest.
    """

    def send_nowait(self, audio: bytes) -> None:
        """Takes the next audio, as `send`; called while no other method that sends is running.

        It runs between frames of other calls, so it must not take longer than the system call that it makes.

        Raises:
            trio.WouldBlock: it would have to wait. The audio is not taken, and `send` gets it.

        """


class LanguageModel(Protocol):
    """Decides the words and the tool calls of a reply."""

    def respond(self, request: ReplyRequest) -> AbstractAsyncContextManager[ReplyStream]:
        """Returns one reply, streamed; entering it sends the request."""


class ReplyStream(Protocol):
    """A reply that is being streamed."""

    async def receive(self) -> ReplyEvent | None:
        """Returns the next event; after `ReplyDone`, None."""


class TextToSpeech(Protocol):
    """Turns text into speech."""

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """Returns the format nearest to the call's that this component can give; pure."""

    def open_stream(self, output: AudioFormat, language: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """Returns a synthesis session for one reply; entering it connects.

        Args:
            output: the format that `output_for` returned.
            language: the language of the reply, a BCP 47 tag: the pipeline's `speech.language`; None: not known. A
                voice or a language in the component's own options takes precedence.

        """


class SpeechStream(Protocol):
    """A synthesis session."""

    async def send(self, text: str, segment: int) -> None:
        """Takes the next piece of text, to be spoken as soon as possible; `segment` counts up from 0."""

    async def finish(self) -> None:
        """Ends the text; `receive` returns the remaining events, then None."""

    async def receive(self) -> SpeechEvent | None:
        """Returns the next audio or mark; None only after `finish()`."""


@runtime_checkable
class Probing(Protocol):
    """A component that can find out whether its provider works, without any caller's content."""

    async def probe(self) -> None:
        """Returns if it works, raises `ComponentError` if not."""


Component = SpeechToText | LanguageModel | TextToSpeech
