"""The first bytes of each segment of speech are looked at before anybody hears them: sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.components.encoded_audio import encoding_of
from voicepipe.components.events import SpeechAudio
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat
    from voicepipe.components.events import SpeechEvent

READABLE = {"JSON", "HTML", "XML", "text", "server-sent events"}
"""What a service says for want of audio; it is quoted."""

HINT = (
    "the service does not give the format that it is asked for: look at the options that say which service, model and "
    "voice it is (`base_url`, `address`, `model`, `voice`), or take another voice"
)


def refuse_encoded(head: bytes, output: AudioFormat, *, ended: bool, declared: str = "", hint: str = HINT) -> bool:
    """Whether a stream that begins so is samples; False: more of it is needed to tell.

    Args:
        head: its first bytes.
        output: the format that was asked for.
        ended: whether that is all of it.
        declared: the media type that came with it.
        hint: what an operator can do about it.

    Raises:
        ComponentError: it is something else.

    """
    found = encoding_of(head, ended=ended, declared=declared)
    if not found:
        return found is not None
    said = head.decode(errors="replace") if found in READABLE else ""
    raise ComponentError(
        f"sent {found}, where {output} was asked for",
        retryable=bool(said),  # an error's text comes while there is the error, a wrong format each time
        answered=said,
        hint=hint,
    )


class SpeechHeads:
    """Passes on what a stream gives, and refuses a segment whose audio begins like something encoded.

    Audio is held back only while it may be something encoded: for most segments not at all, and never beyond
    `encoded_audio.MOST_BYTES`.
    """

    def __init__(self, output: AudioFormat) -> None:
        self._output = output
        self._segment: int | None = None
        self._head = bytearray()
        self._held: list[SpeechEvent] = []
        self._holds = False

    def passes(self, event: SpeechEvent | None) -> bool:
        """Whether an event needs no looking at, as almost all do."""
        return not self._holds and (not isinstance(event, SpeechAudio) or event.segment == self._segment)

    def take(self, event: SpeechEvent | None) -> list[SpeechEvent | None]:
        """What may be passed on, in the order in which it came; None is the stream's end.

        Raises:
            ComponentError: what was held is no audio.

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
