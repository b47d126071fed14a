"""Components that go wrong when and how the test says, and speech that can be read back from the caller's audio."""

from __future__ import annotations

from array import array
from collections import deque
from contextlib import asynccontextmanager
from copy import copy
from itertools import pairwise
from math import inf
from typing import Any

import trio
from attrs import define, field, frozen

from voicepipe.audio import AudioFormat, level, to_pcm16
from voicepipe.components.events import ReplyDone, SpeechAudio, SpeechMark, TextDelta, Transcript
from voicepipe.components.requests import StreamInput
from voicepipe.errors import ComponentError
from voicepipe.testing.transport import MemoryTransport

LOUD = 500


@frozen
class Trouble:
    """How a stream goes wrong."""

    how: str
    """`open`, `hang` (while it opens), `fail`, `end` (a half-close), `stall`; of a recogniser also `final` (it fails
    when asked for its last word), `no final`, and `empty` (it hears no words)."""
    after_ms: float = 0
    """How much audio goes well first: of the caller's, or of speech."""
    error: ComponentError = field(factory=lambda: ComponentError("broke"))


class _Events:
    """Events for one receiver; one that is an exception is raised."""

    def __init__(self) -> None:
        self._events: deque[Any] = deque()
        self._arrived = trio.Event()

    def put(self, event: Any) -> None:
        self._events.append(event)
        self._arrived.set()

    async def get(self) -> Any:
        while not self._events:
            self._arrived = trio.Event()
            await self._arrived.wait()
        await trio.lowlevel.checkpoint()
        event = self._events.popleft()
        if isinstance(event, BaseException):
            raise event
        return event


async def open_as(trouble: Trouble | None) -> None:
    if trouble is not None and trouble.how == "open":
        raise copy(trouble.error)
    if trouble is not None and trouble.how == "hang":
        await trio.sleep_forever()


# --- Speech-to-text --------------------------------------------------------------------------------------------------


@define(eq=False)
class FlakyStt:
    """Hears the next of its texts when it is asked for a final and anything loud came since the last one."""

    texts: Any = field(factory=deque, converter=deque)
    troubles: Any = field(factory=deque, converter=deque)
    """For its streams, in order; None: that one goes well."""
    by_itself: Any = field(factory=deque, converter=deque)
    """(when so much audio has come in ms, a final text, up to where it reaches in ms), in order."""
    audio: AudioFormat | None = None
    """What it wants to hear; None: the call's own."""
    chunk_ms: int = 20
    heard: list[bytearray] = field(factory=list)
    """What each stream got."""

    def input_for(self, call: AudioFormat) -> StreamInput:
        return StreamInput(self.audio or call, self.chunk_ms)

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        del listen
        trouble = self.troubles.popleft() if self.troubles else None
        await open_as(trouble)
        self.heard.append(bytearray())
        yield _Transcripts(self, self.heard[-1], stream_input.format, trouble)


class _Transcripts:
    def __init__(self, owner, heard, audio, trouble) -> None:
        self._owner, self._heard, self._audio, self._trouble = owner, heard, audio, trouble
        self._events = _Events()
        self._loud = self._wrong = False
        self.receive = self._events.get

    @property
    def _ms(self) -> float:
        return self._audio.ms_in(len(self._heard))

    def _goes(self, *ways: str) -> bool:
        trouble = self._trouble
        return trouble is not None and trouble.how in ways and self._ms >= trouble.after_ms

    async def send(self, audio: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self._heard += audio
        self._loud = self._loud or level(to_pcm16(audio, self._audio.encoding)) > LOUD
        if self._goes("fail", "end") and not self._wrong:
            self._wrong = True
            self._events.put(copy(self._trouble.error) if self._trouble.how == "fail" else None)
        by_itself = self._owner.by_itself
        if by_itself and self._ms >= by_itself[0][0]:
            _, text, end_ms = by_itself.popleft()
            self._events.put(Transcript(text, final=True, audio_end_ms=end_ms))

    async def end_utterance(self) -> None:
        await trio.lowlevel.checkpoint()
        if self._goes("final"):
            raise copy(self._trouble.error)
        if self._goes("no final", "stall"):
            return
        words = self._loud and self._owner.texts and not self._goes("empty")
        self._loud = False
        text = self._owner.texts.popleft() if words else ""
        self._events.put(Transcript(text, final=True, audio_end_ms=int(self._ms)))

    async def listen_for(self, listen) -> None:
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        await self.end_utterance()
        self._events.put(None)


# --- Language model --------------------------------------------------------------------------------------------------


@define(eq=False)
class FlakyLlm:
    """Gives its answers in turn: text, or a list of events, of pauses in s, and of an exception or None to end with."""

    answers: Any = field(factory=deque, converter=deque)
    """The last one is given again and again."""
    requests: list[Any] = field(factory=list)

    @asynccontextmanager
    async def respond(self, request):
        self.requests.append(request)
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, BaseException):
            raise copy(answer)
        yield _Replies(deque([TextDelta(answer), ReplyDone()] if isinstance(answer, str) else answer))


@define(eq=False)
class _Replies:
    events: deque[Any]

    async def receive(self):
        await trio.lowlevel.checkpoint()
        while self.events:
            event = self.events[0]
            if isinstance(event, float | int):
                await trio.sleep(event)
                self.events.popleft()
                continue
            self.events.popleft()
            if isinstance(event, BaseException):
                raise copy(event)
            return event
        return None


# --- Text-to-speech --------------------------------------------------------------------------------------------------

MS_A_CHAR = 60
LETTERS = " abcdefghijklmnopqrstuvwxyz0123456789.,!?'-:"
LOWEST, STEP = 2000, 300


@define(eq=False)
class FlakyTts:
    """Speaks each character for 60 ms at a level of its own, so that `read_back` can tell what the caller heard."""

    troubles: Any = field(factory=deque, converter=deque)
    """For its streams, in order; None: that one goes well."""
    rate: int | None = None
    """Its own rate in Hz; None: the call's."""
    second: bool = False
    """Whether it is the other voice: `read_back` writes what it says in capitals."""
    marks: bool = False
    """Whether it tells where words end."""
    pace: float = 0.0
    """How long a character takes to be made, in s."""
    texts: list[str] = field(factory=list)
    """What it was asked to speak."""
    streams: int = 0

    def output_for(self, call: AudioFormat) -> AudioFormat:
        return AudioFormat(self.rate or call.rate)

    @asynccontextmanager
    async def open_stream(self, output, language):
        del language
        self.streams += 1
        trouble = self.troubles.popleft() if self.troubles else None
        await open_as(trouble)
        yield _Speech(self, output, trouble)


class _Speech:
    def __init__(self, owner, output, trouble) -> None:
        self._owner, self._output, self._trouble = owner, output, trouble
        self._texts: deque[tuple[str, int]] = deque()
        self._events: deque[Any] = deque()
        self._more = trio.Event()
        self._finished = False
        self._made_ms = 0

    async def send(self, text: str, segment: int) -> None:
        await trio.lowlevel.checkpoint()
        self._owner.texts.append(text)
        self._texts.append((text, segment))
        self._more.set()

    async def finish(self) -> None:
        await trio.lowlevel.checkpoint()
        self._finished = True
        self._more.set()

    async def receive(self):
        await trio.lowlevel.checkpoint()
        while not self._events:
            if self._texts:
                self._speak(*self._texts.popleft())
            elif self._finished:
                return None
            else:
                self._more = trio.Event()
                await self._more.wait()
        trouble, event = self._trouble, self._events[0]
        if trouble is not None and self._made_ms >= trouble.after_ms:
            if trouble.how == "stall":
                await trio.sleep(inf)
            if trouble.how == "fail":
                raise copy(trouble.error)
            return None
        if isinstance(event, SpeechAudio):
            await trio.sleep(self._owner.pace)
            self._made_ms += MS_A_CHAR
        self._events.popleft()
        return event

    def _speak(self, text: str, segment: int) -> None:
        for at, character in enumerate(text):
            height = LOWEST + STEP * LETTERS.index(character.lower())
            sample = (-height if self._owner.second else height).to_bytes(2, "little", signed=True)
            self._events.append(SpeechAudio(sample * (self._output.rate * MS_A_CHAR // 1000), segment))
            if self._owner.marks and text[at + 1 : at + 2] in {" ", ""}:
                self._events.append(SpeechMark(segment, at + 1, (at + 1) * MS_A_CHAR))


def read_back(audio: bytes, rate: int = 8000) -> str:
    """What was said in 16-bit linear audio by `FlakyTts`; a second voice's letters are capitals."""
    samples = array("h", audio)
    block = rate // 200  # 5 ms
    text, run, runs = "", 0, ""
    for start in range(0, len(samples), block):
        piece = samples[start : start + block]
        flat = max(piece) - min(piece) < STEP // 2 and abs(piece[0]) > LOWEST // 2
        letter = LETTERS[min(len(LETTERS) - 1, max(0, round((abs(piece[0]) - LOWEST) / STEP)))] if flat else ""
        letter = letter.upper() if flat and piece[0] < 0 else letter
        if not letter:
            continue  # silence, or the way from one level to the next
        if letter != runs:
            text += runs * round(run * 5 / MS_A_CHAR + 0.2)
            runs, run = letter, 0
        run += 1
    return text + runs * round(run * 5 / MS_A_CHAR + 0.2)


# --- Telephone -------------------------------------------------------------------------------------------------------


class Telephone(MemoryTransport):
    """A caller's telephone that remembers what the caller said, and reads what was heard."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sent = bytearray()
        """Everything that the caller said, silence included."""

    async def send(self, audio: bytes) -> None:
        self.sent += audio
        await super().send(audio)

    @property
    def heard(self) -> str:
        """What the caller heard."""
        return read_back(to_pcm16(self.said, self.audio.encoding), self.audio.rate)

    def heard_from(self, moment: float) -> float:
        """When speech was heard next, on trio's clock; infinite: never again."""
        return min((when for when, frame in self.written if when >= moment and any(frame)), default=inf)

    @property
    def gaps(self) -> list[float]:
        """How long nothing was heard between two frames of speech, in s, where that is more than a frame."""
        times = [when for when, _ in self.written]
        return [b - a for a, b in pairwise(times) if b - a > 0.05]
