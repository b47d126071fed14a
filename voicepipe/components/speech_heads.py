"""Checks the first bytes of each segment of speech for encoded audio, before they are played. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.components.encoded_audio import encoding_of
from voicepipe.components.events import SpeechAudio
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat
    from voicepipe.components.events import SpeechEvent

READABLE = {"JSON", "HTML", "XML", "text", "server-sent events"}
"""Formats that are text, which a service sends instead of audio: the error quotes it."""

HINT = (
    "the service does not send the format that it is asked for: check the options that choose service, model and voice "
    "(`base_url`, `address`, `model`, `voice`), or choose another voice"
)


def refuse_encoded(head: bytes, output: AudioFormat, *, ended: bool, declared: str = "", hint: str = HINT) -> bool:
    """Returns True if a stream's first bytes are samples, False if more bytes are needed to decide.

    Args:
        head: the first bytes of the stream.
        output: the format that was asked for.
        ended: whether `head` is the whole stream.
        declared: the media type that the service declared.
        hint: what an operator can change.

    Raises:
        ComponentError: the bytes are encoded audio or text.

    """
    encoding = encoding_of(head, ended=ended, declared=declared)
    if not encoding:
        return encoding is not None
    text = head.decode(errors="replace") if encoding in READABLE else ""
    raise ComponentError(
        f"sent {encoding}, where {output} was asked for",
        retryable=bool(text),  # text reports a condition that may pass; a wrong format stays wrong
        answered=text,
        hint=hint,
    )


class SpeechHeads:
    """Passes a stream's events on, and refuses a segment whose audio begins as an encoded file does.

    Audio is held back only while its first bytes leave the question open: for most segments never, and at most for
    `encoded_audio.MOST_BYTES`.
    """

    def __init__(self, output: AudioFormat) -> None:
        self._output = output
        self._segment: int | None = None
        self._head = bytearray()
        self._held: list[SpeechEvent] = []
        self._holds = False

    def passes(self, event: SpeechEvent | None) -> bool:
        """Returns True if an event can be passed on unchecked, as almost all can."""
        return not self._holds and (not isinstance(event, SpeechAudio) or event.segment == self._segment)

    def take(self, event: SpeechEvent | None) -> list[SpeechEvent | None]:
        """Returns the events that may be passed on, in order; None stands for the stream's end.

        Raises:
            ComponentError: the segment is encoded audio or text.

        """
        ready: list[SpeechEvent | None] = []
        if self._holds and (event is None or (isinstance(event, SpeechAudio) and event.segment != self._segment)):
            refuse_encoded(bytes(self._head), self._output, ended=True)
            ready += self._release()
        if event is None:
            return [*ready, None]
        if not isinstance(event, SpeechAudio):
            (self._held if self._holds else ready).append(event)
            return ready
        if event.segment != self._segment:
            self._segment, self._holds = event.segment, True
        self._held.append(event)
        self._head += event.audio
        if refuse_encoded(bytes(self._head), self._output, ended=False):
            ready += self._release()
        return ready

    def _release(self) -> list[SpeechEvent]:
        held, self._held, self._holds = self._held, [], False
        self._head.clear()
        return held
