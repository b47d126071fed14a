"""Cuts a call's audio into utterances, without the silence around and within them. No I/O.

    utterance = UtteranceAudio(AudioFormat(8000), silence_level=120, longest_s=30)
    parts = utterance.add(audio)       # seldom any: each as much as fits into one request
    rest = utterance.cut()             # the caller has finished

A caller is silent for most of a call. What is uploaded begins shortly before a sound and ends shortly after one; where
an utterance ends is for the call to say.
"""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING

from attrs import field, frozen

from voicepipe.audio import FRAME_MS, level

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat

MARGIN_MS = 400
"""How much silence is kept before and after a sound, in ms: a word may begin and end quietly."""

SHORTEST_MS = 100
"""Less is no word, and the API refuses it."""

CUT_WITHIN_MS = 5000
"""An utterance that is too long is cut at the quietest moment of its last so many ms, or of its second half."""

NOISE_FACTOR = 2
"""How much louder than the line's noise a sound is: 6 dB."""

NOISE_GROWTH = 1.5 ** (FRAME_MS / 1000)
"""How fast the noise is taken to rise where it does, a frame: by half in a second. Speech has dips more often."""


def wav(audio: AudioFormat, samples: bytes) -> bytes:
    """16-bit linear audio as a WAV file."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, audio.rate, 0, "NONE", ""))
        writer.writeframes(samples)
    return file.getvalue()


@frozen
class UtterancePart:
    """Audio of an utterance, or of a part of one, to transcribe."""

    audio: bytes = field(repr=False)
    """16-bit linear; empty if there is no sound in it."""
    end_ms: int
    """How far it reaches into all the audio that was added."""
    sound_ms: int = 0
    """How long it is from the first sound to the last."""


class UtteranceAudio:
    """The audio since the last cut, as far as there is sound in it.

    Of a silence that lasts, `MARGIN_MS` are kept after the sound before it and as much before the sound after it.

    Args:
        audio: the stream's format; 16-bit linear.
        silence_level: RMS below which a frame is silence, whatever the noise on the line; 0: everything is sound.
        longest_s: how much audio fits into one request, in s.

    """

    def __init__(self, audio: AudioFormat, silence_level: int, longest_s: float) -> None:
        self._audio = audio
        self._frame_bytes = audio.bytes_in(FRAME_MS)
        self._margin_bytes = MARGIN_MS // FRAME_MS * self._frame_bytes
        self._longest_bytes = audio.bytes_in(longest_s * 1000)
        self._quietest = self._noise = silence_level / NOISE_FACTOR
        self._added = 0  # bytes, ever
        self._sound = bytearray()  # from just before the first sound to the last
        self._whole_from = 0  # nothing is left out of `_sound` after that
        self._silence = bytearray()  # since the last sound
        self._left_out = False  # whether it lacks its middle
        self._lead = 0  # how much of `_sound` comes before the first sound
        self._rest = b""  # of a frame that came in parts

    def add(self, audio: bytes) -> list[UtterancePart]:
        """Takes the next audio; gives the beginnings of an utterance that is too long for one request."""
        data, size = self._rest + audio, self._frame_bytes
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        parts = []
        for start in range(0, whole, size):
            self._add_frame(data[start : start + size])
            if len(self._sound) >= self._longest_bytes:
                parts.append(self._take_part())
        return parts

    def cut(self) -> UtterancePart:
        """Ends the utterance; returns its audio since the last cut."""
        if self._rest:
            self._add_frame(self._rest)
            self._rest = b""
        audio, sound_ms = bytes(self._sound + self._silence[: self._margin_bytes]), self._sound_ms(len(self._sound))
        if self._sound:
            del self._silence[: self._margin_bytes]  # nothing is heard twice
            self._sound.clear()
        else:
            audio = b""
        if len(audio) < self._audio.bytes_in(SHORTEST_MS):
            return UtterancePart(b"", self._ms(self._added))
        return UtterancePart(audio, self._ms(self._added), sound_ms)

    def _add_frame(self, frame: bytes) -> None:
        self._added += len(frame)
        if self._is_sound(frame):
            if self._left_out:
                self._whole_from = len(self._sound) + self._margin_bytes
            elif not self._sound:
                self._whole_from, self._lead = 0, len(self._silence)
            self._sound += self._silence
            self._sound += frame
            self._silence.clear()
            self._left_out = False
            return
        self._silence += frame
        after = self._margin_bytes if self._sound else 0
        if (surplus := len(self._silence) - after - self._margin_bytes) > 0:
            del self._silence[after : after + surplus]
            self._left_out = bool(self._sound)

    def _is_sound(self, frame: bytes) -> bool:
        loud = level(frame)
        self._noise = max(self._quietest, min(loud, self._noise * NOISE_GROWTH))
        return loud >= NOISE_FACTOR * self._noise

    def _take_part(self) -> UtterancePart:
        """The utterance up to a quiet moment near its end."""
        size = self._frame_bytes
        end = len(self._sound)
        first = max(end - self._audio.bytes_in(CUT_WITHIN_MS), end // 2, self._whole_from)
        places = range(first + -first % size, end - size, size) or [end]
        at = min(places, key=lambda place: level(bytes(self._sound[place : place + size])))
        end_ms = self._ms(self._added - (len(self._sound) - at))
        part = UtterancePart(bytes(self._sound[:at]), end_ms, self._sound_ms(at))
        del self._sound[:at]
        self._whole_from = self._lead = 0
        return part

    def _sound_ms(self, size: int) -> int:
        return self._ms(max(0, size - self._lead))

    def _ms(self, size: int) -> int:
        return int(self._audio.ms_in(size))
