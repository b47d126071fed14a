"""Text-to-speech with espeak-ng, which speaks in a helper process; nothing but its package is needed.

It sounds like a machine, but speaks more than a hundred languages, a thousand times faster than they are heard.
espeak-ng is under the GPL, version 3: the helper process loads it, this one never does.
"""

from __future__ import annotations

import re
import sys
from collections import deque
from contextlib import asynccontextmanager
from copy import copy
from importlib import import_module
from itertools import count
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio
from attrs import field, frozen
from attrs.validators import ge, le

from voicepipe.adapters.espeak import worker
from voicepipe.adapters.espeak.voices import UnknownVoice, find_voice
from voicepipe.adapters.espeak.worker import AUDIO, DONE, DROP, FAILED, READY, REFUSED, SPEAK, WORD, WORD_AT
from voicepipe.audio import AudioFormat
from voicepipe.components.distribution import install_hint
from voicepipe.components.events import SpeechAudio, SpeechEvent, SpeechMark
from voicepipe.components.registry import Adapter
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.wire.event_queue import EventQueue
from voicepipe.wire.process import open_helper_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from voicepipe.components.protocols import Resources
    from voicepipe.wire.process import HelperProcess

OUTPUT = AudioFormat(22050)
"""What espeak-ng makes, whatever the voice."""

PIECE_CHARS = 200
"""The helper speaks that much text in one go: some 13 s, made in 15 ms, so no stream waits long for another."""

AHEAD_BYTES = OUTPUT.bytes_in(2000)
"""A stream has its next piece spoken when less than this is waiting to be received."""

SEGMENTS_AHEAD = 16
"""How many segments a stream takes before `send` waits for the earlier ones to be spoken."""

CLAUSE_END = re.compile(r"[.!?;:,]\s+|[。！？；：，、]")  # noqa: RUF001 - full-width punctuation is meant
CONTROLS = dict.fromkeys((*range(10), *range(11, 32), 127), " ")  # to espeak-ng, some of them are commands


@frozen
class EspeakOptions:
    """A voice and how it speaks."""

    voice: str = "en-us"
    """Language, and a variant if you like: `en-us`, `en-gb+f3`, `de+m2`."""
    words_per_minute: int = field(default=160, validator=[ge(80), le(450)])
    """How fast it speaks, in words a minute."""
    pitch: int = field(default=50, validator=[ge(0), le(99)])
    """How high it speaks, from 0 to 99; 50 is the voice's own."""


def check_installed() -> Iterator[Problem]:
    """Gives a problem if the package is not installed."""
    try:
        _library()
    except ComponentError as error:
        yield Problem(Location(""), "", error.message, error.hint)


def check_voice(options: EspeakOptions) -> Iterator[Problem]:
    """Gives a problem if the package is not installed or lacks the voice."""
    try:
        _find_voice(options)
    except ComponentError as error:
        # The place is the SDK's to find, from the option's name.
        yield Problem(
            Location(""), "voice" if isinstance(error.__cause__, UnknownVoice) else "", error.message, error.hint
        )


def _find_voice(options: EspeakOptions) -> tuple[str, str, str]:
    """The library, its data, and the voice as the library wants it.

    Raises:
        ComponentError: the package is not installed, or there is no such voice.

    """
    loader = _library()
    data = loader.get_data_path()
    try:
        return loader.get_library_path(), data, find_voice(Path(data), options.voice)
    except UnknownVoice as unknown:
        raise ComponentError(unknown.message, retryable=False, hint=unknown.hint) from unknown


def _library() -> Any:
    """The package, which only knows where things are.

    Raises:
        ComponentError: it is not installed.

    """
    try:
        return import_module("espeakng_loader")
    except ImportError as error:
        raise ComponentError(
            f"the library can't be imported: {error}", retryable=False, hint=install_hint("espeak")
        ) from error


def _command(options: EspeakOptions, component: str) -> list[str]:
    """The command of the helper; `component` is its last argument, for a reader of `ps`."""
    # -I and -S: no environment, no site-packages, and no modules of the script's own directory, such as `openai`.
    python = (sys.executable, "-I", "-S", worker.__file__)
    return [*python, *_find_voice(options), str(options.words_per_minute), str(options.pitch), component]


class _Espeak:
    """The helper process, shared by all calls."""

    def __init__(self) -> None:
        self._ready = trio.Event()
        self._refusal = ""
        self._failure: ComponentError | None = None
        self._streams: set[_EspeakSpeechStream] = set()
        self._speaking: dict[int, _EspeakSpeechStream] = {}
        self._requests = count(1)

    async def start(self, helper: HelperProcess) -> None:
        """Waits until the helper is ready."""
        self._helper = helper
        await self._ready.wait()
        if self._refusal:
            raise ComponentError(self._refusal, retryable=False)

    def output_for(self, call: AudioFormat) -> AudioFormat:  # noqa: ARG002 - the Protocol's
        """22,050 Hz, always."""
        return OUTPUT

    @asynccontextmanager
    async def open_stream(
        self,
        output: AudioFormat,  # noqa: ARG002 - there is only one
        language: str | None,  # noqa: ARG002 - the voice says it
    ) -> AsyncIterator[_EspeakSpeechStream]:
        """A stream that speaks in the voice of the options."""
        if self._failure is not None:
            raise copy(self._failure)
        stream = _EspeakSpeechStream(self)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            stream.close()

    def speak(self, stream: _EspeakSpeechStream, text: str) -> int:
        """Requests the audio of a text for that stream; returns the request's number."""
        request = next(self._requests)
        self._speaking[request] = stream
        self._helper.post(SPEAK, request, text.translate(CONTROLS).encode(errors="replace"))
        return request

    def drop(self, request: int) -> None:
        """Stops a request; nothing of it is delivered any more."""
        if self._speaking.pop(request, None):
            self._helper.post(DROP, request)

    def message(self, kind: int, request: int, payload: bytes) -> None:
        """Takes a message of the helper."""
        if kind == READY:
            self._refusal = "" if request == OUTPUT.rate else f"espeak-ng speaks at {request} Hz, not {OUTPUT.rate}"
            self._ready.set()
        elif kind == REFUSED:
            self._refusal = payload.decode()
            self._ready.set()
        elif stream := self._speaking.get(request):
            if kind in {DONE, FAILED}:
                del self._speaking[request]
            stream.message(kind, payload)

    def ended(self, error: ComponentError) -> None:
        """The helper ended by itself, and with it all streams."""
        self._failure = error
        for stream in self._streams:
            stream.fail(error)


class _EspeakSpeechStream:
    """One reply: its text goes to the helper piece by piece, each when the one before was nearly received."""

    def __init__(self, espeak: _Espeak) -> None:
        self._espeak = espeak
        self._texts_in, self._texts = trio.open_memory_channel[tuple[str, int]](SEGMENTS_AHEAD)
        self._events = EventQueue[SpeechEvent](inf)  # `_speak_on` bounds it
        self._ahead = 0
        self._request: int | None = None
        self._segment = 0
        self._pieces: deque[str] = deque()
        self._piece = ""
        # Of the segment: characters before the piece, samples before the piece and now, characters of the last mark.
        self._chars = self._samples_before = self._samples = self._marked = 0

    async def send(self, text: str, segment: int) -> None:
        """Takes the next segment of text; waits while enough segments are queued. Raises the stream's error."""
        try:
            await self._texts_in.send((text, segment))
        except trio.BrokenResourceError:
            self._events.check()
            raise
        self._speak_on()

    async def finish(self) -> None:
        """Declares the end of the text; `receive` returns None after the last of its audio."""
        self._texts_in.close()
        self._speak_on()
        await trio.lowlevel.checkpoint()

    async def receive(self) -> SpeechEvent | None:
        """The next audio or mark; None after `finish()` and the last one. Cancel-safe; raises the stream's error."""
        event = await self._events.receive()
        if isinstance(event, SpeechAudio):
            self._ahead -= len(event.audio)
            self._speak_on()
        return event

    def message(self, kind: int, payload: bytes) -> None:
        """The helper has something about the piece that it is speaking."""
        if kind == AUDIO:
            self._samples += len(payload) // OUTPUT.sample_bytes
            self._ahead += len(payload)
            self._events.put_nowait(SpeechAudio(payload, self._segment))
        elif kind == WORD:
            char, sample = WORD_AT.unpack(payload)
            if not self._piece[max(char - 1, 0) : char + 1].isdecimal():  # "25" is two words of one number
                self._mark(self._chars + min(char, len(self._piece)), self._samples_before + sample)
        elif kind == DONE:
            self._request = None
            self._chars += len(self._piece)
            self._samples_before = self._samples
            if self._samples:
                self._mark(self._chars, self._samples)
            self._speak_on()
        elif kind == FAILED:
            self._request = None
            self.fail(ComponentError("espeak-ng could not speak a text", fault="request"))

    def fail(self, error: ComponentError) -> None:
        """Ends the stream with an error, which `receive` raises after the audio that waits."""
        self._events.end(error)
        self._texts.close()

    def close(self) -> None:
        """Closes the stream; events that wait are dropped."""
        if self._request is not None:
            self._espeak.drop(self._request)
        self._texts_in.close()
        self._texts.close()
        self._events.close()

    def _speak_on(self) -> None:
        """Requests the next piece, unless one is in progress or enough audio waits to be received."""
        while self._request is None and self._events.failure is None and self._ahead < AHEAD_BYTES:
            if not self._pieces:
                try:
                    text, self._segment = self._texts.receive_nowait()
                except trio.WouldBlock:
                    return
                except trio.EndOfChannel:
                    self._events.end()
                    return
                self._pieces.extend(_pieces(text))
                self._chars = self._samples_before = self._samples = self._marked = 0
            self._piece = self._pieces.popleft()
            self._request = self._espeak.speak(self, self._piece)

    def _mark(self, chars: int, samples: int) -> None:
        # Several words may be spoken for one place, such as a sign.
        if chars > self._marked:
            self._marked = chars
            self._events.put_nowait(SpeechMark(self._segment, chars, samples * 1000 // OUTPUT.rate))


def _pieces(text: str) -> Iterator[str]:
    """The text cut into pieces that the helper may speak in one go, after a clause if it can be, else after a word."""
    while len(text) > PIECE_CHARS:
        clauses = [end.end() for end in CLAUSE_END.finditer(text, 0, PIECE_CHARS)]
        cut = clauses[-1] if clauses else text.rfind(" ", 0, PIECE_CHARS) + 1 or PIECE_CHARS
        yield text[:cut]
        text = text[cut:]
    yield text


@asynccontextmanager
async def open_espeak(options: EspeakOptions, resources: Resources) -> AsyncIterator[_Espeak]:
    """Starts the helper process; if it ends by itself, the context ends with a `ComponentError`."""
    command = await trio.to_thread.run_sync(_command, options, resources.component, limiter=resources.threads)
    espeak = _Espeak()
    async with open_helper_process(command, espeak) as helper:
        await espeak.start(helper)
        yield espeak


tts = Adapter(
    name="espeak",
    role="tts",
    options=EspeakOptions,
    open=open_espeak,
    check=check_voice,
    check_installed=check_installed,
    model=lambda options: options.voice,
)
