"""Scripted components, which follow the test's script without delay, on trio's clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from voicepipe.audio import AudioFormat, level
from voicepipe.components.events import (
    ReplyDone,
    ReplyEvent,
    SpeechAudio,
    SpeechEvent,
    TextDelta,
    Transcript,
    TranscriptEvent,
)
from voicepipe.components.requests import Listen, ReplyRequest, StreamInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.components.protocols import ReplyStream, SpeechStream, TranscriptStream

LOUD = 500
"""The level above which audio counts as speech."""


class _Inbox:
    """A queue of events for one receiver; `get` is cancel-safe, and returns None after the end."""

    def __init__(self) -> None:
        self._events: deque[object] = deque()
        self._arrived = trio.Event()
        self._ended = False

    def put(self, event: object) -> None:
        self._events.append(event)
        self._arrived.set()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    async def get(self) -> object | None:
        while not self._events and not self._ended:
            self._arrived = trio.Event()
            await self._arrived.wait()
        await trio.lowlevel.checkpoint()
        return self._events.popleft() if self._events else None


@define(eq=False)
class ScriptedSpeechToText:
    """Transcribes each finalised utterance that has loud audio as the next of its texts.

    Calls share it like any component: the texts are used in the order of utterances of all calls.
    """

    texts: deque[str] = field(factory=deque, converter=deque)
    """The transcripts that are still to come."""
    heard: bytearray = field(factory=bytearray)
    """All audio that was sent."""
    listened_for: list[Listen] = field(factory=list)
    """The expected phrases that streams were given, in order."""
    open_streams: int = 0
    """The number of open streams."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        """Returns the call's own format."""
        return StreamInput(call)

    @asynccontextmanager
    async def open_stream(self, stream_input: StreamInput, listen: Listen) -> AsyncIterator[TranscriptStream]:
        """Opens a recognition session."""
        self.listened_for.append(listen)
        self.open_streams += 1
        try:
            yield _ScriptedTranscripts(self, stream_input.format)
        finally:
            self.open_streams -= 1


class _ScriptedTranscripts:
    def __init__(self, owner: ScriptedSpeechToText, audio: AudioFormat) -> None:
        self._owner, self._format = owner, audio
        self._inbox = _Inbox()
        self._sent = 0
        self._loud = False

    async def send(self, audio: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._owner.heard += audio
        self._sent += len(audio)
        if level(audio) > LOUD and not self._loud:
            self._loud = True
            if self._owner.texts:
                self._inbox.put(Transcript(self._owner.texts[0].split()[0], final=False))

    async def end_utterance(self) -> None:
        await trio.lowlevel.checkpoint()
        text = self._owner.texts.popleft() if self._loud and self._owner.texts else ""
        self._loud = False
        self._inbox.put(Transcript(text, final=True, audio_end_ms=int(self._format.ms_in(self._sent))))

    async def listen_for(self, listen: Listen) -> None:
        await trio.lowlevel.checkpoint()
        self._owner.listened_for.append(listen)

    async def finish(self) -> None:
        await self.end_utterance()
        self._inbox.end()

    async def receive(self) -> TranscriptEvent | None:
        return await self._inbox.get()  # type: ignore[return-value]  # it holds nothing else


@define(eq=False)
class ScriptedLanguageModel:
    """Answers each request with the result of a function: text, or a list of events and of pauses in seconds."""

    answer: Callable[[ReplyRequest], str | list[ReplyEvent | float]]
    """Called once for each reply; a text becomes one `TextDelta` and a `ReplyDone`."""
    requests: list[ReplyRequest] = field(factory=list)
    """All requests so far."""
    open_streams: int = 0
    """The number of open replies."""

    @asynccontextmanager
    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyStream]:
        """Opens one reply."""
        self.requests.append(request)
        answer = self.answer(request)
        events: list[ReplyEvent | float] = [TextDelta(answer), ReplyDone()] if isinstance(answer, str) else list(answer)
        self.open_streams += 1
        try:
            yield _ScriptedReplies(deque(events))
        finally:
            self.open_streams -= 1


@define(eq=False)
class _ScriptedReplies:
    _events: deque[ReplyEvent | float]

    async def receive(self) -> ReplyEvent | None:
        await trio.lowlevel.checkpoint()
        while self._events:
            event = self._events[0]
            if isinstance(event, float | int):
                await trio.sleep(event)
                self._events.popleft()
            else:
                return self._events.popleft()  # type: ignore[return-value]
        return None


@define(eq=False)
class ToneTextToSpeech:
    """Speaks each character as `ms_a_char` of constant samples, whose value is the segment's: 1000, 1100, ..."""

    ms_a_char: int = 60
    """The duration of a character, in ms."""
    rate: int | None = None
    """The rate of its speech in Hz; None: the call's."""
    open_streams: int = 0
    """The number of open streams."""
    texts: list[str] = field(factory=list)
    """All texts that were sent, in order."""

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """Returns linear audio at `rate`, or at the call's."""
        return AudioFormat(self.rate or call.rate)

    @asynccontextmanager
    async def open_stream(self, output: AudioFormat, language: str | None) -> AsyncIterator[SpeechStream]:
        """Opens a synthesis session; `language` has no effect."""
        del language
        self.open_streams += 1
        try:
            yield _Tones(self, output)
        finally:
            self.open_streams -= 1


class _Tones:
    def __init__(self, owner: ToneTextToSpeech, output: AudioFormat) -> None:
        self._owner, self._output = owner, output
        self._inbox = _Inbox()

    async def send(self, text: str, segment: int) -> None:
        await trio.lowlevel.checkpoint()
        self._owner.texts.append(text)
        sample = (1000 + 100 * segment).to_bytes(2, "little", signed=True)
        for _ in text:
            self._inbox.put(SpeechAudio(sample * int(self._output.rate * self._owner.ms_a_char / 1000), segment))

    async def finish(self) -> None:
        await trio.lowlevel.checkpoint()
        self._inbox.end()

    async def receive(self) -> SpeechEvent | None:
        return await self._inbox.get()  # type: ignore[return-value]  # it holds nothing else
