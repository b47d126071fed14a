"""The process in which espeak-ng speaks: a script of its own, run with nothing but the standard library.

espeak-ng keeps its state in globals and is under the GPL, so it stays out of the process that answers calls.

    python -I -S espeak_helper.py LIBRARY DATA VOICE WORDS_PER_MINUTE PITCH

Standard input and output carry the messages of `helper_process`, in the kinds and payloads below. Texts are spoken
one at a time in the order of their coming. The process leaves when its standard input ends.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import sys
import threading
from struct import Struct
from typing import IO, Any

HEADER = Struct("!BII")
"""As in `helper_process`, which this process doesn't import: it would bring all of voicepipe with it."""

SPEAK = 1
"""To the helper: the text, UTF-8."""
DROP = 2
"""To the helper: the rest of that request is not wanted."""

READY = 1
"""From the helper: the request is the sample rate in Hz."""
REFUSED = 2
"""From the helper, instead of READY: why, in UTF-8. It leaves."""
AUDIO = 3
"""From the helper: 16-bit mono samples."""
WORD = 4
"""From the helper: a word begins; its place in the text in characters, and in the audio in samples (both u32)."""
DONE = 5
"""From the helper: all of that text was spoken."""
FAILED = 6
"""From the helper: that text could not be spoken."""

WORD_AT = Struct("!II")
"""The payload of WORD."""

BUFFER_MS = 100
"""How much audio the library gives at a time; making it takes 0.1 ms."""

# espeak-ng/speak_lib.h
SYNCHRONOUS, DONT_EXIT = 2, 0x8000
UTF8 = 1
RATE, PITCH = 1, 3
EVENT_END_OF_LIST, EVENT_WORD, EVENT_END = 0, 1, 5


class Event(ctypes.Structure):
    """`espeak_EVENT`."""

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


CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))


class Speaker:
    """The library, with one voice."""

    def __init__(self, library: str, data: str, out: IO[bytes]) -> None:
        self._out = out
        self._espeak = ctypes.CDLL(library)
        self.rate = self._espeak.espeak_Initialize(SYNCHRONOUS, BUFFER_MS, data.encode(), DONT_EXIT)
        self._callback = CALLBACK(self._made)  # held here: the library doesn't
        self._espeak.espeak_SetSynthCallback(self._callback)
        self._request = 0
        self._silent = True
        self.wanted: dict[int, str] = {}

    def set_up(self, voice: str, words_per_minute: int, pitch: int) -> bool:
        """Chooses the voice; False if the library won't."""
        return bool(
            self.rate > 0
            and self._espeak.espeak_SetVoiceByName(voice.encode()) == 0
            and self._espeak.espeak_SetParameter(RATE, words_per_minute, 0) == 0
            and self._espeak.espeak_SetParameter(PITCH, pitch, 0) == 0
        )

    def speak(self, request: int) -> None:
        """Speaks one text, if it is still wanted."""
        text = self.wanted.get(request)
        if text is None:
            return
        self._request, self._silent = request, True
        encoded = text.encode()
        failed = self._espeak.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, UTF8, None, None)
        self.wanted.pop(request, None)
        self.say(FAILED if failed else DONE, request)

    def say(self, kind: int, request: int = 0, payload: bytes = b"") -> None:
        """Sends a message; leaves if nobody is there to read it."""
        try:
            self._out.write(HEADER.pack(kind, request, len(payload)) + payload)
            self._out.flush()
        except OSError:
            os._exit(0)

    def _made(self, samples: int | None, count: int, events: Any) -> int:
        """Takes what the library made; 1 has it stop."""
        if self._request not in self.wanted:
            return 1
        kinds = set()
        for event in events:
            if event.type == EVENT_END_OF_LIST:
                break
            kinds.add(event.type)
            if event.type == EVENT_WORD:
                self.say(WORD, self._request, WORD_AT.pack(max(event.text_position - 1, 0), max(event.sample, 0)))
        # A text with nothing to speak in it, such as "...", still makes 8 ms of silence.
        nothing = self._silent and EVENT_END in kinds and EVENT_WORD not in kinds
        if samples and count and not nothing:
            self._silent = False
            self.say(AUDIO, self._request, ctypes.string_at(samples, count * 2))
        return 0


def take_requests(speaker: Speaker, requests: queue.SimpleQueue[int]) -> None:
    """Takes requests until standard input ends, then ends the process, whatever it is doing."""
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
    # A service manager that stops us sends SIGTERM to every process of the service, but calls are still draining.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # should the library print something, it must not get among the messages
    library, data, voice, words_per_minute, pitch = sys.argv[1:6]
    speaker = Speaker(library, data, out)
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
