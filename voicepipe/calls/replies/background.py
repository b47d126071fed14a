"""A sound beside speech, on its way over one line: hold music, a ringing tone, comfort noise. Sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.audio import FRAME_MS

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat, Sound


class Background:
    """Gives the audio of the present sound, in a loop.

    Args:
        audio: the line's format.
        noise: played whenever nothing else is; None: nothing.

    """

    def __init__(self, audio: AudioFormat, noise: Sound | None) -> None:
        self._audio, self._noise = audio, noise
        self._frame_bytes = audio.bytes_in(FRAME_MS)
        self._samples = b""
        self._offset = 0
        self.sound: Sound | None = None
        """What is to be heard while nobody speaks; None: nothing."""
        self.play(None)

    def play(self, sound: Sound | None) -> None:
        """Changes to another sound, from its beginning; None: to the noise. No-op if it is that sound already."""
        sound = sound or self._noise
        if sound is not self.sound:
            self.sound, self._offset = sound, 0
            self._samples = b"" if sound is None else sound.in_format(self._audio)

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format of the line from now on."""
        self._audio, self._frame_bytes, self._offset = audio, audio.bytes_in(FRAME_MS), 0
        if self.sound is not None:
            self._samples = self.sound.in_format(audio)

    def take(self, frames: int) -> bytes:
        """Returns the next frames of the sound."""
        size, at = frames * self._frame_bytes, self._offset
        audio = self._samples[at : at + size]
        while len(audio) < size:
            audio += self._samples[: size - len(audio)]
        self._offset = (at + size) % len(self._samples)
        return audio
