"""Text-to-speech with espeak-ng in a helper process; it needs no library but the package that contains espeak-ng.

It sounds like a machine, but speaks more than a hundred languages, a thousand times faster than they are heard.
espeak-ng is under the GPL, version 3: only the helper process loads it.

Theory of operation
===================

One helper speaks for all calls, one text at a time. Speech is made so much faster than it is received that a stream
only has to be kept from making too much of it: its audio would take memory, and other streams would wait.

- `_Espeak` is the helper's sink. It numbers requests, and delivers what comes of a request to its stream.
- `_EspeakSpeechStream` is one reply. `send` queues up to `SEGMENTS_AHEAD` segments. A segment is cut into pieces of up
  to `PIECE_CHARS` (`_pieces`), and each piece is a request.

A stream has at most one request. `_request_next` makes the next one when there is none and less than `AHEAD_BYTES` of
audio waits to be received. It is called wherever that may have become true: by `send` and `finish` (there is more
text, or no more), by DONE (the request has ended), and by `receive` (audio has left the queue). So there are no tasks
and no timers, and a caller who interrupts costs the helper at most one piece, which DROP cuts short.

Marks. WORD gives the positions of a word in its piece; the marks of the stream count from the beginning of the segment,
in characters (`_chars_before`) and samples (`_samples_before`). DONE adds a mark at the end of the piece. A position is
marked once, since espeak-ng speaks several words for a sign or a number.

Failure. FAILED ends its stream. If the process ends by itself, all streams fail, and then the component's context.
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
"""The format of espeak-ng's audio, whatever the voice."""

PIECE_CHARS = 200
"""The most text of a request, in characters: 13 s of speech, made in 15 ms, so no stream waits long for another."""

AHEAD_BYTES = OUTPUT.bytes_in(2000)
"""The audio that may wait to be received, in bytes; with less, a stream requests its next piece."""

SEGMENTS_AHEAD = 16
"""The most segments that wait to be spoken; `send` waits for room."""

CLAUSE_END = re.compile(r"[.!?;:,]\s+|[。！？；：，、]")  # noqa: RUF001 - full-width punctuation is meant
CONTROLS = dict.fromkeys((*range(10), *range(11, 32), 127), " ")  # espeak-ng takes some of them for commands


@frozen
class EspeakOptions:
    """A voice, its rate and its pitch."""

    voice: str = "en-us"
    """The voice: a language, and optionally a variant: `en-us`, `en-gb+f3`, `de+m2`."""
    words_per_minute: int = field(default=160, validator=[ge(80), le(450)])
    """The rate of speech, in words a minute."""
    pitch: int = field(default=50, validator=[ge(0), le(99)])
    """The pitch, from 0 to 99; 50 is the voice's own."""


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
        key = "voice" if isinstance(error.__cause__, UnknownVoice) else ""
        yield Problem(Location(""), key, error.message, error.hint)


def _find_voice(options: EspeakOptions) -> tuple[str, str, str]:
    """Returns the paths of the library and its data, and the library's name of the voice.

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
    """Imports the package that contains the library; it does not load the library itself.

    Raises:
        ComponentError: the package is not installed.

    """
    try:
        return import_module("espeakng_loader")
    except ImportError as error:
        raise ComponentError(
            f"the library can't be imported: {error}", retryable=False, hint=install_hint("espeak")
        ) from error


def _command(options: EspeakOptions, component: str) -> list[str]:
    """Returns the command of the helper; `component` is its last argument, for a reader of `ps`."""
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
        self._requests: dict[int, _EspeakSpeechStream] = {}  # the streams of open requests, by the request's number
        self._numbers = count(1)

    async def start(self, helper: HelperProcess) -> None:
        """Returns when the helper is ready; raises `ComponentError` if it refused the voice."""
        self._helper = helper
        await self._ready.wait()
        if self._refusal:
            raise ComponentError(self._refusal, retryable=False)

    def output_for(self, call: AudioFormat) -> AudioFormat:  # noqa: ARG002 - the Protocol's
        """Returns 22,050 Hz, whatever the call's format."""
        return OUTPUT

    @asynccontextmanager
    async def open_stream(
        self,
        output: AudioFormat,  # noqa: ARG002 - there is only one
        language: str | None,  # noqa: ARG002 - the voice has one
    ) -> AsyncIterator[_EspeakSpeechStream]:
        """Opens a stream that speaks in the voice of the options."""
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
        """Requests the audio of a text for a stream; returns the request's number."""
        request = next(self._numbers)
        self._requests[request] = stream
        self._helper.post(SPEAK, request, text.translate(CONTROLS).encode(errors="replace"))
        return request

    def drop(self, request: int) -> None:
        """Cancels a request; nothing of it is delivered any more."""
        if self._requests.pop(request, None):
            self._helper.post(DROP, request)

    def message(self, kind: int, request: int, payload: bytes) -> None:
        """Takes a message of the helper."""
        if kind == READY:
            self._refusal = "" if request == OUTPUT.rate else f"espeak-ng speaks at {request} Hz, not {OUTPUT.rate}"
            self._ready.set()
        elif kind == REFUSED:
            self._refusal = payload.decode()
            self._ready.set()
        elif stream := self._requests.get(request):
            if kind in {DONE, FAILED}:
                del self._requests[request]
            stream.message(kind, payload)

    def ended(self, error: ComponentError) -> None:
        """Takes the end of the helper, and fails all streams."""
        self._failure = error
        for stream in self._streams:
            stream.fail(error)


class _EspeakSpeechStream:
    """One reply, whose text goes to the helper piece by piece."""

    def __init__(self, espeak: _Espeak) -> None:
        self._espeak = espeak
        self._texts_in, self._texts = trio.open_memory_channel[tuple[str, int]](SEGMENTS_AHEAD)
        self._events = EventQueue[SpeechEvent](inf)  # `_request_next` bounds it
        self._ahead_bytes = 0  # audio that waits to be received
        self._request: int | None = None
        self._segment = 0
        self._pieces: deque[str] = deque()  # the rest of the segment
        self._piece = ""  # the text of the request
        # Of the segment: characters and samples before the piece, samples so far, characters up to the last mark.
        self._chars_before = self._samples_before = self._samples = self._marked_chars = 0

    async def send(self, text: str, segment: int) -> None:
        """Takes the next segment of text; waits while enough segments are queued. Raises the stream's error."""
        try:
            await self._texts_in.send((text, segment))
        except trio.BrokenResourceError:
            self._events.check()
            raise
        self._request_next()

    async def finish(self) -> None:
        """Declares the end of the text; `receive` returns None after the last of its audio."""
        self._texts_in.close()
        self._request_next()
        await trio.lowlevel.checkpoint()

    async def receive(self) -> SpeechEvent | None:
        """The next audio or mark; None after `finish()` and the last one. Cancel-safe; raises the stream's error."""
        event = await self._events.receive()
        if isinstance(event, SpeechAudio):
            self._ahead_bytes -= len(event.audio)
            self._request_next()
        return event

    def message(self, kind: int, payload: bytes) -> None:
        """Takes a message of the helper about this stream's request."""
        if kind == AUDIO:
            self._samples += len(payload) // OUTPUT.sample_bytes
            self._ahead_bytes += len(payload)
            self._events.put_nowait(SpeechAudio(payload, self._segment))
        elif kind == WORD:
            char, sample = WORD_AT.unpack(payload)
            if not self._piece[max(char - 1, 0) : char + 1].isdecimal():  # "25" is spoken in two words
                self._mark(self._chars_before + min(char, len(self._piece)), self._samples_before + sample)
        elif kind == DONE:
            self._request = None
            self._chars_before += len(self._piece)
            self._samples_before = self._samples
            if self._samples:
                self._mark(self._chars_before, self._samples)
            self._request_next()
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

    def _request_next(self) -> None:
        """Requests the next piece, unless one is in progress or enough audio waits to be received."""
        while self._request is None and self._events.failure is None and self._ahead_bytes < AHEAD_BYTES:
            if not self._pieces:
                try:
                    text, self._segment = self._texts.receive_nowait()
                except trio.WouldBlock:
                    return
                except trio.EndOfChannel:
                    self._events.end()
                    return
                self._pieces.extend(_pieces(text))
                self._chars_before = self._samples_before = self._samples = self._marked_chars = 0
            self._piece = self._pieces.popleft()
            self._request = self._espeak.speak(self, self._piece)

    def _mark(self, chars: int, samples: int) -> None:
        # Several words may be spoken for one position, such as a sign's.
        if chars > self._marked_chars:
            self._marked_chars = chars
            self._events.put_nowait(SpeechMark(self._segment, chars, samples * 1000 // OUTPUT.rate))


def _pieces(text: str) -> Iterator[str]:
    """Yields the text in pieces of at most `PIECE_CHARS`, cut after a clause if possible, else after a word."""
    while len(text) > PIECE_CHARS:
        clauses = [end.end() for end in CLAUSE_END.finditer(text, 0, PIECE_CHARS)]
        cut = clauses[-1] if clauses else text.rfind(" ", 0, PIECE_CHARS) + 1 or PIECE_CHARS
        yield text[:cut]
        text = text[cut:]
    yield text


@asynccontextmanager
async def open_espeak(options: EspeakOptions, resources: Resources) -> AsyncIterator[_Espeak]:
    """Starts the helper process; if it ends by itself, the context raises a `ComponentError`."""
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
