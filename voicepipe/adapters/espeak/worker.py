"""The process in which espeak-ng speaks: a script, run with nothing but the standard library.

    python -I -S worker.py LIBRARY DATA VOICE WORDS_PER_MINUTE PITCH

espeak-ng keeps its state in globals and is under the GPL, so it stays out of the process that answers calls. Standard
input and output carry the messages of `voicepipe.wire.process`, in the kinds and payloads below. Texts are spoken one
at a time, in order. The process leaves when its standard input ends.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
from array import array
from struct import Struct
from typing import IO, Any

HEADER = Struct("!BII")
"""The header of a message, as in `voicepipe.wire.process`; importing that would load all of voicepipe."""

SPEAK = 1
"""To the helper: a request, with its text in UTF-8."""
DROP = 2
"""To the helper: cancels a request."""

READY = 1
"""From the helper: it takes requests; the field of the request's number holds the sample rate in Hz."""
REFUSED = 2
"""From the helper, instead of READY: the reason, in UTF-8. The helper leaves."""
AUDIO = 3
"""From the helper: audio in 16-bit mono samples."""
WORD = 4
"""From the helper: a word begins at a position in the text, in characters, and in the audio, in samples."""
DONE = 5
"""From the helper: the request's text was spoken to its end."""
FAILED = 6
"""From the helper: the request's text could not be spoken."""

WORD_AT = Struct("!II")
"""The payload of WORD: the position in the text and that in the audio."""

BUFFER_MS = 100
"""The audio of a call of the library's callback, in ms; making it takes 0.1 ms."""

SAMPLE_BYTES = 2
RISE_SAMPLES = 22
"""The samples over which each text rises from zero, 1 ms: a text that begins with a vowel begins in mid-wave."""
FADE_SAMPLES = 110
"""The samples over which each text fades to zero, 5 ms: the library cuts an echo off where the text ends."""

# espeak-ng/speak_lib.h
SYNCHRONOUS, DONT_EXIT = 2, 0x8000
UTF8 = 1
RATE, PITCH = 1, 3
EVENT_END_OF_LIST, EVENT_WORD, EVENT_END = 0, 1, 5


class EspeakEvent(ctypes.Structure):
    """The structure `espeak_EVENT` of the library."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(EspeakEvent))


class EspeakEngine:
    """The library, with one voice.

    A voice with an echo keeps the end of a text and begins the next text with it, which may be another caller's. To
    choose the voice again clears it; that takes 0.3 ms, so it is done after each text, when no audio is due.
    """

    def __init__(self, library: str, data: str, out: IO[bytes]) -> None:
        self._out = out
        self._espeak = ctypes.CDLL(library)
        self.rate = self._espeak.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, data.encode(), DONT_EXIT)
        self._callback = CALLBACK(self._on_audio)  # the library holds no reference to it
        self._espeak.espeak_SetSynthCallback(self._callback)
        self._request = 0
        self._silent = True
        self._end = b""  # the latest samples, held back because the last ones must fade
        self.wanted: dict[int, str] = {}
        """The texts of the requests that are neither done nor cancelled, by number."""

    def set_up(self, voice: str, words_per_minute: int, pitch: int) -> bool:
        """Chooses the voice; False if the library refuses it."""
        self._voice, self._words_per_minute, self._pitch = voice.encode(), words_per_minute, pitch
        return self.rate > 0 and self._choose()

    def _choose(self) -> bool:
        return bool(
            self._espeak.espeak_SetVoiceByName(self._voice) == 0
            and self._espeak.espeak_SetParameter(RATE, self._words_per_minute, 0) == 0
            and self._espeak.espeak_SetParameter(PITCH, self._pitch, 0) == 0
        )

    def speak(self, request: int) -> None:
        """Speaks the text of a request, unless it was cancelled: its audio rises from zero and fades to zero."""
        text = self.wanted.get(request)
        if text is None:
            return
        self._request, self._silent, self._end = request, True, b""
        encoded = text.encode()
        failed = self._espeak.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, UTF8, None, None)
        if self.wanted.pop(request, None) is not None and self._end:
            self.say(AUDIO, request, fade(self._end))
        self.say(FAILED if failed else DONE, request)
        self._choose()

    def say(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        """Writes a message to standard output; ends the process if the pipe is closed."""
        try:
            self._out.write(HEADER.pack(kind, request, len(payload)) + payload)
            self._out.flush()
        except OSError:
            os._exit(0)

    def _on_audio(self, samples: int | None, count: int, events: Any) -> int:
        """Takes audio and events, as the callback of the library; returning 1 stops the synthesis."""
        if self._request not in self.wanted:
            return 1
        kinds = set()
        for event in events:
            if event.type == EVENT_END_OF_LIST:
                break
            kinds.add(event.type)
            if event.type == EVENT_WORD:
                self.say(WORD, self._request, WORD_AT.pack(max(event.text_position - 1, 0), max(event.sample, 0)))
        # A text without any words, such as "...", makes 8 ms of silence, which is dropped.
        is_wordless = self._silent and EVENT_END in kinds and EVENT_WORD not in kinds
        if samples and count and not is_wordless:
            audio = ctypes.string_at(samples, count * SAMPLE_BYTES)
            audio = rise(audio) if self._silent else self._end + audio
            self._silent = False
            end_at = max(len(audio) - FADE_SAMPLES * SAMPLE_BYTES, 0)
            self._end = audio[end_at:]
            if end_at:
                self.say(AUDIO, self._request, audio[:end_at])
        return 0


def rise(audio: bytes) -> bytes:
    """Makes the first of 16-bit samples rise from zero, in even steps."""
    samples = array("h", audio)
    length = min(len(samples), RISE_SAMPLES)
    for at in range(length):
        samples[at] = samples[at] * at // length
    return samples.tobytes()


def fade(audio: bytes) -> bytes:
    """Makes the last of 16-bit samples fade to zero, in even steps."""
    samples = array("h", audio)
    length = min(len(samples), FADE_SAMPLES)
    for left in range(length):
        samples[-1 - left] = samples[-1 - left] * left // length
    return samples.tobytes()


def take_requests(speaker: EspeakEngine, requests: queue.SimpleQueue[int]) -> None:
    """Reads requests until standard input ends, then ends the process, even in mid-text."""
    source = sys.stdin.buffer
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, request, size = HEADER.unpack(header)
        payload = source.read(size)
        if kind == SPEAK:
            speaker.wanted[request] = payload.decode()
            requests.put(request)
        elif kind == DROP:
            speaker.wanted.pop(request, None)
    os._exit(0)


def main() -> None:
    """Speaks until standard input ends."""
    # A service manager that stops the engine signals every process of the service, while calls are still draining.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that the library prints must not get among the messages
    library, data, voice, words_per_minute, pitch = sys.argv[1:6]
    speaker = EspeakEngine(library, data, out)
    if not speaker.set_up(voice, int(words_per_minute), int(pitch)):
        speaker.say(REFUSED, payload=f"espeak-ng does not take the voice {voice}".encode())
        return
    speaker.say(READY, speaker.rate)
    requests: queue.SimpleQueue[int] = queue.SimpleQueue()
    threading.Thread(target=take_requests, args=(speaker, requests), daemon=True).start()
    while True:
        speaker.speak(requests.get())


if __name__ == "__main__":
    main()
