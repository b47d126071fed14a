"""Parses ElevenLabs' speech with timestamps: sans-IO.

Each line of a response is a JSON object with `audio_base64`, and `alignment` with `characters`,
`character_start_times_seconds` and `character_end_times_seconds`. Times count from the beginning of the response
(elevenlabs.io/docs/api-reference/text-to-speech/stream-with-timestamps).
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from voicepipe.components.events import SpeechMark
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator


class TimedSpeech:
    """Parses one response into audio, and a mark at the end of each word."""

    def __init__(self, text: str) -> None:
        self._text_chars = len(text)
        self._line = bytearray()
        self._chars = self._end_ms = 0
        self._in_word = False

    def feed(self, data: bytes) -> Iterator[bytes | SpeechMark]:
        """Yields the audio and marks that the next bytes of the response complete.

        Raises:
            ComponentError: a line is not speech with timestamps.

        """
        self._line += data
        *lines, rest = self._line.split(b"\n")
        self._line = rest
        for line in lines:
            yield from self._parse(line)

    def finish(self) -> Iterator[bytes | SpeechMark]:
        """Yields the audio and marks of the last line, at the end of the response."""
        yield from self._parse(self._line)
        yield from self._word_end()

    def _parse(self, line: bytearray) -> Iterator[bytes | SpeechMark]:
        if not line.strip():
            return
        try:
            message = json.loads(line)
            audio = b64decode(message.get("audio_base64") or "", validate=True)
            timed = list(_timed(message.get("alignment") or {}))
        except (ValueError, TypeError, AttributeError) as error:
            answered = line.decode(errors="replace")
            raise ComponentError("sent what is not speech with timestamps", answered=answered) from error
        if audio:
            yield audio
        for character, end_ms in timed:
            if character.isspace():
                yield from self._word_end()
            else:
                self._in_word, self._end_ms = True, end_ms
            self._chars = min(self._chars + len(character), self._text_chars)

    def _word_end(self) -> Iterator[SpeechMark]:
        if self._in_word:
            self._in_word = False
            yield SpeechMark(0, self._chars, self._end_ms)


def _timed(alignment: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yields each character with the time at which it ends, in ms."""
    ends = alignment.get("character_end_times_seconds") or ()
    for character, end in zip(alignment.get("characters") or (), ends, strict=True):
        yield str(character), round(float(end) * 1000)
