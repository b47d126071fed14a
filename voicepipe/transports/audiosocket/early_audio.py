"""Keeps what a caller sends before the call has a sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat
    from voicepipe.transports.protocol import CallSink


class EarlyAudio:
    """A `CallSink` that keeps audio and keys in order, for `replay`."""

    def __init__(self) -> None:
        self._items: list[bytes | str] = []

    def format_changed(self, audio: AudioFormat) -> None:
        """Does nothing: the call asks for the format later, when it is known."""

    def audio(self, audio: bytes | memoryview) -> None:
        """Keeps a copy of the audio."""
        self._items.append(bytes(audio))

    def dtmf(self, digit: str) -> None:
        """Keeps the key."""
        self._items.append(digit)

    def heard(self, mark: int) -> None:
        """Does nothing: AudioSocket has no marks."""

    def hung_up(self, reason: str) -> None:
        """Does nothing: the transport's `run` reports the end itself."""

    def replay(self, sink: CallSink) -> None:
        """Delivers everything that was kept to a sink, and forgets it."""
        for item in self._items:
            if isinstance(item, bytes):
                sink.audio(item)
            else:
                sink.dtmf(item)
        self._items.clear()
