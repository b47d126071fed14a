"""Voice activity detection: finds the beginnings and ends of the caller's speech. Sans-IO.

WebRTC's detector judges single frames, in 1.5 us each. `VoiceActivity` makes edges of its verdicts: speech began, has
lasted long enough to interrupt, has ended. It corrects the detector in two ways:

- A frame that is much quieter than speech on a telephone line (`MIN_LEVEL`) is silence, whatever the detector says.
- A noise that passes for voice and goes on (a fan, hold music) would make a caller who never stops speaking. Speech has
  a gap at least once in `FLOOR_FRAMES`, so the quietest frame of two such counts is the noise; voice must be
  `ABOVE_FLOOR` times as loud as that, until the noise stops.
"""

from __future__ import annotations

from typing import Literal

from voicepipe.audio import FRAME_MS, AudioFormat, level, open_converter

Edge = Literal["began", "sustained", "ended"]
"""`began`: speech; `sustained`: speech for long enough to interrupt; `ended`: silence for `HANGOVER_FRAMES`."""

ONSET_FRAMES = 3
"""Voiced frames out of the last `WINDOW_FRAMES` that make a beginning: a click is shorter."""

WINDOW_FRAMES = 5
"""The number of latest frames that decide on a beginning."""

HANGOVER_FRAMES = 10
"""Frames without voice, in a row, that make an end: the gap within a word is shorter."""

MIN_LEVEL = 180
"""RMS of 16-bit samples below which a frame is silence: about -45 dBFS, as line noise and faint echo are.

Speech is nominally at -26 dBFS (ITU-T G.191). A voice that is so much quieter is that of another person in the room, or
the agent's own.
"""

FLOOR_FRAMES = 100
"""The number of frames within which speech has a gap; a sound without one is a noise that goes on."""

ABOVE_FLOOR = 1.8
"""The loudness of a voice relative to such a noise, at least: 5 dB."""

LOUDEST = 1 << 15
"""A level above all others."""

AGGRESSIVENESS = 2
"""WebRTC's own setting, 0 to 3: the higher, the more frames are taken for noise."""

NATIVE_RATES = (8000, 16000, 32000, 48000)
"""Rates in Hz that WebRTC's detector takes."""


class VoiceActivity:
    """The edges of speech in a call's audio.

    Args:
        audio: the call's format.
        sustained_ms: the length of speech, from its first voiced frame, that makes it `sustained`.

    """

    def __init__(self, audio: AudioFormat, sustained_ms: int) -> None:
        rate = audio.rate if audio.rate in NATIVE_RATES else 16000
        self._linear = AudioFormat(rate)
        self._converter = open_converter(audio, self._linear, live=True)
        import webrtcvad  # noqa: PLC0415 - 10 ms of imports, for those who hold calls; loaded by then

        self._vad = webrtcvad.Vad(AGGRESSIVENESS)
        self._sustained_frames = max(ONSET_FRAMES + 1, -(-sustained_ms // FRAME_MS))
        self._sustained = False  # this speech, already
        self._recent = 0  # the verdicts on the last frames, a bit each
        self._least = LOUDEST  # of the levels since the last count of `FLOOR_FRAMES` was full
        self._left = FLOOR_FRAMES
        self._floor = LOUDEST  # the least level of the count before
        self._threshold = MIN_LEVEL
        self._frames = 0  # since speech began
        self._silent = 0  # in a row, while speaking
        self.speaking = False
        """True between `began` and `ended`."""
        self.voiced = False
        """True if the latest frame was voice."""

    @property
    def silent_ms(self) -> int:
        """The length of the silence within or at the end of speech, in ms."""
        return self._silent * FRAME_MS

    def process(self, frame: bytes) -> Edge | None:
        """Judges the next frame of 20 ms; returns the edge that it makes, if any."""
        linear = frame if self._converter is None else self._converter.convert(frame)
        loudness = level(linear)
        if loudness < self._least:  # noqa: PLR1730 - a call of `min` takes 60 ns
            self._least = loudness
        self._left -= 1
        if not self._left:
            self._learn_floor()
        self.voiced = voiced = loudness >= self._threshold and self._vad.is_speech(linear, self._linear.rate)
        self._recent = (self._recent << 1 | voiced) & ((1 << WINDOW_FRAMES) - 1)
        if not self.speaking:
            if self._recent.bit_count() < ONSET_FRAMES:
                return None
            self.speaking, self._sustained, self._frames, self._silent = True, False, ONSET_FRAMES, 0
            return "began"
        self._frames += 1
        self._silent = 0 if voiced else self._silent + 1
        if self._silent >= HANGOVER_FRAMES:
            self.speaking, self._recent = False, 0
            return "ended"
        # Only voice sustains: a click and its hangover are not speech.
        if voiced and self._frames >= self._sustained_frames and not self._sustained:
            self._sustained = True
            return "sustained"
        return None

    def end(self) -> Edge:
        """Ends speech that turned out to be none; returns `ended`."""
        self.speaking, self._recent = False, 0
        return "ended"

    def _learn_floor(self) -> None:
        """Sets the threshold by the quietest frame of the last two counts, if that passes for a voice that goes on."""
        if self._threshold > MIN_LEVEL or (self.speaking and self._frames > FLOOR_FRAMES / 2):
            self._threshold = max(MIN_LEVEL, int(ABOVE_FLOOR * min(self._floor, self._least)))
        self._floor, self._least, self._left = self._least, LOUDEST, FLOOR_FRAMES
