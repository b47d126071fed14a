"""A synthesis stream made of requests: for vendors that take a text and answer with its audio.

    async with open_requests(request, output, most_chars=2500) as stream: ...

An adapter brings `request`, which asks its vendor to speak one text. Everything else is here: the order of segments,
the cutting of long ones, the next request while the audio of the one before still comes, whole samples, the error for a
text without audio, and the cancellation of requests when the stream is left.
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
"""What comes of an answer."""

SpeechRequest = Callable[[str, str], AbstractAsyncContextManager[AsyncIterator[SpeechPart]]]
"""Takes the text to speak and what the reply said before it; entering it returns when the answer has begun.

What it gives are bytes of audio, cut anywhere, marks that count from the beginning of this text, segment 0, and what
the vendor charges for it."""

AT_ONCE = 2
"""Requests of one stream that are under way together: vendors count them, and one ahead hides their latency."""

SEGMENTS_AHEAD = 16
"""How many segments a stream takes before `send` waits."""

PIECES_AHEAD = 32
"""How many pieces of an answer are read before they are received; beyond that the vendor waits."""

_ENDS = (re.compile(r"[.!?…]\s+|[。！？]|\n"), re.compile(r"[;:,]\s+|[；：，、]"), re.compile(r"\s"))  # noqa: RUF001 - meant
"""Where a text may be cut, best first."""


def pieces_of(text: str, most_chars: int) -> Iterator[str]:
    """The text cut into pieces of at most that length, after a sentence if it can be, else a clause, else a word."""
    while len(text) > most_chars:
        ends = ([end.end() for end in kind.finditer(text, 0, most_chars)] for kind in _ENDS)
        cut = next((found[-1] for found in ends if found), most_chars)
        yield text[:cut]
        text = text[cut:]
    yield text


def is_spoken(text: str) -> bool:
    """Whether a text has anything to speak: vendors refuse blank texts, and answer lone punctuation with no audio."""
    return any(map(str.isalnum, text))


@frozen
class _RequestAudio:
    """The audio and marks of one request."""

    heard: trio.MemoryReceiveChannel[SpeechPart | ComponentError]
    segment: int
    chars: int
    """Characters of the segment before this request's."""


class _RequestSpeechStream:
    """One reply, spoken by one request after the other."""

    def __init__(self, request: SpeechRequest, output: AudioFormat, most_chars: int) -> None:
        self._request, self._output, self._most_chars = request, output, most_chars
        self._texts_in, self._texts = trio.open_memory_channel[tuple[str, int]](SEGMENTS_AHEAD)
        self._answers_in, self._answers = trio.open_memory_channel[_RequestAudio](AT_ONCE)
        self._places = trio.Semaphore(AT_ONCE)
        self._failure: ComponentError | None = None
        self._raised: ComponentError | None = None
        self._answer: _RequestAudio | None = None
        self._segment = -1
        self._ms_before = 0.0  # of the segment, before this answer
        self._bytes = 0  # of the segment

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
                heard = await self._answer.heard.receive()
            except trio.EndOfChannel:
                self._answer = None
                continue
            if isinstance(heard, bytes):
                self._bytes += len(heard)
                return SpeechAudio(heard, self._answer.segment)
            if isinstance(heard, Usage):
                return heard
            if isinstance(heard, SpeechMark):
                chars, at_ms = heard.chars + self._answer.chars, heard.at_ms + round(self._ms_before)
                return evolve(heard, segment=self._answer.segment, chars=chars, at_ms=at_ms)
            self._raised = heard

    def _begin(self, answer: _RequestAudio) -> None:
        if answer.segment != self._segment:
            self._segment, self._bytes = answer.segment, 0
        self._ms_before = self._output.ms_in(self._bytes)
        self._answer = answer

    async def speak(self) -> None:
        """Makes one request after the other, the next while the audio of the one before still comes."""
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
                            heard_in, heard = trio.open_memory_channel[SpeechPart | ComponentError](PIECES_AHEAD)
                            await self._answers_in.send(_RequestAudio(heard, segment, chars))
                            begun = trio.Event()
                            nursery.start_soon(self._ask, piece, before, heard_in, begun)
                            await begun.wait()
                        chars += len(piece)
                        before += piece
                    before += " "

    async def _ask(
        self,
        text: str,
        before: str,
        heard: trio.MemorySendChannel[SpeechPart | ComponentError],
        begun: trio.Event,
    ) -> None:
        with heard:
            try:
                async with self._request(text, before) as answer:
                    begun.set()
                    await self._relay(answer, heard)
            except ComponentError as error:
                self._failure = error
                self._texts_in.close()
                begun.set()
                await heard.send(error)
            finally:
                self._places.release()

    async def _relay(
        self,
        answer: AsyncIterator[SpeechPart],
        heard: trio.MemorySendChannel[SpeechPart | ComponentError],
    ) -> None:
        rest, spoken = b"", False
        try:
            async for found in answer:
                if not isinstance(found, bytes):
                    await heard.send(found)
                    continue
                audio = rest + found
                whole = len(audio) - len(audio) % self._output.sample_bytes
                rest = audio[whole:]
                if whole:
                    spoken = True
                    await heard.send(audio[:whole])
        finally:
            await unwind(answer)
        if not spoken:
            raise ComponentError("answered a text without any audio")


async def with_charge(characters: str | None, answer: AsyncIterator[SpeechPart]) -> AsyncIterator[SpeechPart]:
    """An answer, and after its first part what its headers say is charged for it.

    Args:
        characters: the header that tells characters; None: there is none.
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
    """A synthesis stream of one reply; leaving it cancels its requests.

    Args:
        request: has a vendor speak a text.
        output: what the answers are in.
        most_chars: the longest text that a request may have.

    """
    stream = _RequestSpeechStream(request, output, most_chars)
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(stream.speak)
        yield stream
        nursery.cancel_scope.cancel()
