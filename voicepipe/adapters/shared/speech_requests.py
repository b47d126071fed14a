"""A synthesis stream made of requests, for vendors that answer a text with its audio.

    async with open_requests(request, output, most_chars=2500) as stream: ...

An adapter supplies `request`, which makes its vendor speak one text. The rest is done here: segments stay in order,
long ones are cut, the next request is made while the audio of the one before is still received, audio comes in whole
samples, a text without audio is an error, and leaving the stream cancels its requests.

Theory of operation
===================

The stream is a pipeline of queues, each bounded, so that a caller who listens slowly slows down the vendor:

    send --- `_texts`: segments ---> speak --- `_answers`: requests in order ---> receive
                                       |                                             |
                                       `-- a task for each request --- its parts ----'

- `speak` takes segments one by one, cuts them into pieces of at most `most_chars` and starts a request for each. It
  starts the next when the one before has begun to answer, and at most `AT_ONCE` are open (`_places`).
- `_ask` runs one request and queues its parts: audio in whole samples, marks, usage.
- `receive` takes the parts of the first request until its queue ends, then those of the next. Marks of a request count
  from its own text and audio; `receive` moves them by what the segment had before (`chars`, `_ms_before`).

Failure. A request that fails closes the input (`send` raises) and puts its error behind its last part, so that audio
which came before is still heard. `receive` raises it again each time, as a copy: a traceback belongs to one task.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from typing import TYPE_CHECKING

import trio
from attrs import evolve, frozen

from voicepipe.components.events import SpeechAudio, SpeechEvent, SpeechMark, Usage
from voicepipe.errors import ComponentError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.wire.http import unwind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.audio import AudioFormat

SpeechPart = bytes | SpeechMark | Usage
"""A part of an answer: audio, a mark, or the usage."""

SpeechRequest = Callable[[str, str], AbstractAsyncContextManager[AsyncIterator[SpeechPart]]]
"""Takes the text to speak, and the text of the reply before it; entering it returns when the answer has begun.

It yields audio in bytes, cut anywhere, marks that count from the beginning of this text (as segment 0), and the usage
that the vendor reports."""

AT_ONCE = 2
"""The most open requests of a stream: one ahead hides the latency, and vendors limit their number."""

SEGMENTS_AHEAD = 16
"""The most segments that wait for their request; `send` waits for room."""

PARTS_AHEAD = 32
"""The most parts of an answer that wait to be received; the vendor waits for room."""

_ENDS = (re.compile(r"[.!?…]\s+|[。！？]|\n"), re.compile(r"[;:,]\s+|[；：，、]"), re.compile(r"\s"))  # noqa: RUF001 - meant
"""The places at which a text may be cut: after sentences, clauses, words, in this order of preference."""


def pieces_of(text: str, most_chars: int) -> Iterator[str]:
    """Yields the text in pieces of at most that length, cut after a sentence if possible, else a clause or a word."""
    while len(text) > most_chars:
        ends = ([end.end() for end in kind.finditer(text, 0, most_chars)] for kind in _ENDS)
        cut = next((positions[-1] for positions in ends if positions), most_chars)
        yield text[:cut]
        text = text[cut:]
    yield text


def is_spoken(text: str) -> bool:
    """Whether a text has letters or digits: vendors refuse blank texts, and make no audio of lone punctuation."""
    return any(map(str.isalnum, text))


@frozen
class _RequestAudio:
    """The answer to one request."""

    parts: trio.MemoryReceiveChannel[SpeechPart | ComponentError]
    """Its parts, and then the error if the request failed."""
    segment: int
    """The number of the segment."""
    chars: int
    """The characters of the segment before this request's text."""


class _RequestSpeechStream:
    """One reply, whose segments are spoken by requests."""

    def __init__(self, request: SpeechRequest, output: AudioFormat, most_chars: int) -> None:
        self._request, self._output, self._most_chars = request, output, most_chars
        self._texts_in, self._texts = trio.open_memory_channel[tuple[str, int]](SEGMENTS_AHEAD)
        self._answers_in, self._answers = trio.open_memory_channel[_RequestAudio](AT_ONCE)
        self._places = trio.Semaphore(AT_ONCE)
        self._failure: ComponentError | None = None
        self._raised: ComponentError | None = None
        self._answer: _RequestAudio | None = None
        self._segment = -1
        self._ms_before = 0.0  # the audio of the segment before this answer
        self._bytes = 0  # the audio of the segment that was received

    async def send(self, text: str, segment: int) -> None:
        """Takes the next segment of text; waits while enough segments are queued. Raises the stream's error."""
        try:
            await self._texts_in.send((text, segment))
        except trio.ClosedResourceError:
            if self._failure is None:
                raise
            raise copy(self._failure) from None

    async def finish(self) -> None:
        """Declares the end of the text; `receive` returns None after the last of its audio."""
        self._texts_in.close()
        await trio.lowlevel.checkpoint()

    async def receive(self) -> SpeechEvent | None:
        """The next audio or mark; None after `finish()` and the last one. Cancel-safe; raises the stream's error."""
        while True:
            if self._raised is not None:
                raise copy(self._raised)
            if self._answer is None:
                try:
                    self._begin(await self._answers.receive())
                except trio.EndOfChannel:
                    return None
                continue
            try:
                part = await self._answer.parts.receive()
            except trio.EndOfChannel:
                self._answer = None
                continue
            if isinstance(part, bytes):
                self._bytes += len(part)
                return SpeechAudio(part, self._answer.segment)
            if isinstance(part, Usage):
                return part
            if isinstance(part, SpeechMark):
                chars, at_ms = part.chars + self._answer.chars, part.at_ms + round(self._ms_before)
                return evolve(part, segment=self._answer.segment, chars=chars, at_ms=at_ms)
            self._raised = part

    def _begin(self, answer: _RequestAudio) -> None:
        if answer.segment != self._segment:
            self._segment, self._bytes = answer.segment, 0
        self._ms_before = self._output.ms_in(self._bytes)
        self._answer = answer

    async def speak(self) -> None:
        """Starts the requests in order, each when the one before has begun to answer."""
        async with trio.open_nursery() as nursery:
            with self._answers_in:
                before = ""
                async for text, segment in self._texts:
                    chars = 0
                    for piece in pieces_of(text, self._most_chars):
                        if is_spoken(piece):
                            await self._places.acquire()
                            if self._failure is not None:
                                return
                            parts_in, parts = trio.open_memory_channel[SpeechPart | ComponentError](PARTS_AHEAD)
                            await self._answers_in.send(_RequestAudio(parts, segment, chars))
                            begun = trio.Event()
                            nursery.start_soon(self._ask, piece, before, parts_in, begun)
                            await begun.wait()
                        chars += len(piece)
                        before += piece
                    before += " "

    async def _ask(
        self,
        text: str,
        before: str,
        parts: trio.MemorySendChannel[SpeechPart | ComponentError],
        begun: trio.Event,
    ) -> None:
        with parts:
            try:
                async with self._request(text, before) as answer:
                    begun.set()
                    await self._relay(answer, parts)
            except ComponentError as error:
                self._failure = error
                self._texts_in.close()
                begun.set()
                await parts.send(error)
            finally:
                self._places.release()

    async def _relay(
        self,
        answer: AsyncIterator[SpeechPart],
        parts: trio.MemorySendChannel[SpeechPart | ComponentError],
    ) -> None:
        rest, has_audio = b"", False
        try:
            async for part in answer:
                if not isinstance(part, bytes):
                    await parts.send(part)
                    continue
                audio = rest + part
                whole = len(audio) - len(audio) % self._output.sample_bytes
                rest = audio[whole:]
                if whole:
                    has_audio = True
                    await parts.send(audio[:whole])
        finally:
            await unwind(answer)
        if not has_audio:
            raise ComponentError("answered a text without any audio")


async def with_charge(characters: str | None, answer: AsyncIterator[SpeechPart]) -> AsyncIterator[SpeechPart]:
    """Yields the parts of an answer, and after the first one the usage that its headers report.

    Args:
        characters: the value of the header with the charged characters; None: the response has no such header.
        answer: the audio and marks.

    """
    try:
        async for part in answer:
            yield part
            if characters is not None and characters.strip().isdecimal():
                yield Usage(characters=int(characters))
            characters = None
    finally:
        await unwind(answer)


@asynccontextmanager
async def open_requests(
    request: SpeechRequest, output: AudioFormat, *, most_chars: int
) -> AsyncIterator[_RequestSpeechStream]:
    """Opens a synthesis stream for one reply; leaving it cancels its requests.

    Args:
        request: requests the audio of a text from the vendor.
        output: the format of the answers' audio.
        most_chars: the longest text of a request, in characters.

    """
    stream = _RequestSpeechStream(request, output, most_chars)
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(stream.speak)
        yield stream
        nursery.cancel_scope.cancel()
