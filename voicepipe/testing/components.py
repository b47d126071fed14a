"""Scripted components: they do what the test says, at once, on trio's clock."""

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
"""Level above which audio counts as something said."""


class _Inbox:
    """Events for one receiver: cancel-safe, and None after the end."""

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
    """Hears what it was told: each utterance that is finalised, if anything loud was sent, is the next text.

    Shared by calls like any component: the texts are given out in the order of utterances.
    """

    texts: deque[str] = field(factory=deque, converter=deque)
    """What will be heard."""
    heard: bytearray = field(factory=bytearray)
    """All audio that was sent."""
    listened_for: list[Listen] = field(factory=list)
    """What streams were told to expect."""
    open_streams: int = 0
    """How many streams are open."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        """The call's own format."""
        return StreamInput(call)

    @asynccontextmanager
    async def open_stream(self, stream_input: StreamInput, listen: Listen) -> AsyncIterator[TranscriptStream]:
        """A session."""
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
    """Answers each request with what a function makes of it: text, or a list of events and pauses in seconds."""

    answer: Callable[[ReplyRequest], str | list[ReplyEvent | float]]
    """Called once a reply; text becomes one delta and a `ReplyDone`."""
    requests: list[ReplyRequest] = field(factory=list)
    """Every request so far."""
    open_streams: int = 0
    """How many replies are on."""

    @asynccontextmanager
    async def respond(self, request: ReplyRequest) -> AsyncIterator[ReplyStream]:
        """One reply."""
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
    """Speaks every character as `ms_a_char` of a constant level that tells the segment: 1000, 1100, ..."""

    ms_a_char: int = 60
    """How long a character lasts."""
    rate: int | None = None
    """Its own rate in Hz; None: the call's."""
    open_streams: int = 0
    """How many streams are open."""
    texts: list[str] = field(factory=list)
    """Everything that was sent to be spoken."""

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """Linear audio at its own rate, or the call's."""
        return AudioFormat(self.rate or call.rate)

    @asynccontextmanager
    async def open_stream(self, output: AudioFormat, language: str | None) -> AsyncIterator[SpeechStream]:
        """A session; `language` changes nothing."""
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
