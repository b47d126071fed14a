"""Finds the rate of an AudioSocket call's audio, and refuses audio that is not linear. No I/O, no clock of its own.

The kind of a call's first audio says its rate. Only `KIND_AUDIO` proves nothing: Asterisk puts it on whatever a channel
passes through (mu-law without `c(slin)` in the dialplan), and before 20.17 and 22.7 on linear audio of any rate. Nor do
sizes: phones send packets of 5 to 80 ms, and 160 bytes are 10 ms at 8 kHz as well as 20 ms of mu-law. So two other
properties are measured until they have settled the question:

- *How it sounds.* Compressed bytes read as 16-bit samples are noise near full scale, however quiet the caller is,
  because every other byte of a codec becomes the high byte of a sample. If a codec makes silence of the noise, that is
  proof: of mu-law and A-law line noise and quiet voices are recognised at once. If it makes something smooth of it, or
  the noise is white (G.722), that is a reason to doubt, which counts if too little comes as well.
- *How fast it comes.* Over half a second, audio lasts as long as it takes to arrive. What lasts twice as long as that,
  again and again, has twice the rate; what lasts half as long is compressed, or has half the rate.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from voicepipe.audio import half_without_mean, level, likeness, roughness, to_pcm16
from voicepipe.errors import TransportError
from voicepipe.transports.audiosocket.wire_format import KIND_AUDIO, KINDS, RATES

if TYPE_CHECKING:
    from voicepipe.audio import Encoding

Sound: TypeAlias = Literal["linear", "compressed", "doubtful", "unknown"]
"""The verdict on bytes that should be 16-bit samples; `unknown`: the piece allows none."""

PIECE_BYTES: Final = 480
"""The size of a piece that is judged, in bytes: 30 ms at 8 kHz, 60 ms of mu-law."""
COMPRESSED_PIECES: Final = 2
"""The number of compressed pieces that refuses the audio; doubtful ones count too if it arrives too slowly."""
LINEAR_PIECES: Final = 8
"""The number of linear pieces after which no more are judged."""
LOUD: Final = 6000
"""The level of 32767 below which nothing is doubtful: loud speech stays below it, compressed bytes hardly do."""
NOISE: Final = 12000
"""The level above which white noise is taken for a codec that can't be decoded here."""
SILENT: Final = 200
"""The level below which audio is silence, and its shape tells nothing."""

PACE_S: Final = 0.5
"""The interval of a comparison of the audio's duration with the time it took to arrive, in s."""
PAUSE_S: Final = 0.25
"""The delay beyond that interval which means that the caller was muted, in s."""
PACES: Final = 3
"""The number of comparisons in a row that have to agree."""
PACES_TRIED: Final = 40
"""The number of comparisons without a result after which no more are made."""
SLOW: Final = 0.56
"""The fraction of the expected audio up to which too little arrives: of a codec with 64 kbit/s half does."""
_TOLERANCE: Final = 0.06

_TOO_LITTLE: Final = -1
_CODECS: Final[tuple[Encoding, ...]] = ("mulaw", "alaw")


def codec_of(rate: int) -> str:
    """Asterisk's name for linear audio at a rate: `slin` for 8000 Hz, `slin16` for 16000, `slin44` for 44100."""
    return "slin" if rate == RATES[KIND_AUDIO] else f"slin{rate // 1000}"


def sound_of(payload: bytes) -> Sound:
    """Judges whether bytes are 16-bit samples or a codec's.

    Args:
        payload: an even number of bytes, about `PIECE_BYTES`.

    """
    half = half_without_mean(payload)
    loudness, rough = 2 * level(half), roughness(payload)
    if loudness < SILENT:  # digital silence of mu-law and A-law repeats one byte: a DC offset as samples
        return "unknown" if level(payload) > 1.2 * loudness else "linear"
    smoothest = 9.0
    for codec in _CODECS:
        decoded = to_pcm16(payload, codec)
        if level(decoded) < loudness / 16:
            return "compressed"
        smoothest = min(smoothest, roughness(decoded))
    if loudness < LOUD:
        return "linear"
    is_white = loudness > NOISE and max(abs(likeness(half, lag)) for lag in (1, 2, 3)) < 0.3
    if is_white or (rough < 1.6 and smoothest < min(1.0, 0.65 * rough)):
        return "doubtful"
    return "unknown" if rough > 0.8 else "linear"  # high tones are as rough as a codec


class AudioCheck:
    """Determines the rate of a call from its first audio, and refuses audio that can't be decoded.

    Attributes:
        rate: the rate in Hz; before the first audio, the expected one.
        kind: the kind of audio frames in both directions; before the first audio, the one for `rate`.
        known: whether audio has arrived, so that `rate` and `kind` no longer change.
        settled: whether the checks are complete; then frames of `kind` need not be passed to `see`.

    """

    __slots__ = ("_pace", "_piece", "_sounds", "kind", "known", "rate", "settled")

    def __init__(self, rate: int) -> None:
        """Expects `rate` Hz where the kind does not tell.

        Raises:
            ValueError: AudioSocket has no kind for that rate.

        """
        if rate not in KINDS:
            raise ValueError(f"AudioSocket has no audio at {rate} Hz; set rate to one of {', '.join(map(str, KINDS))}")
        self.rate, self.kind = rate, KINDS[rate]
        self.known = self.settled = False
        self._piece = bytearray()
        self._sounds: Counter[Sound] = Counter()  # of pieces
        self._pace: _Pace | None = None

    @property
    def is_suspicious(self) -> bool:
        """Whether the audio sounds compressed so far, but is too short for a verdict."""
        if self._sounds["compressed"]:
            return True
        return len(self._piece) > 0 and sound_of(bytes(self._piece)) == "compressed"

    def see(self, kind: int, payload: bytes | memoryview, now_s: float) -> None:
        """Takes the kind, the payload and the arrival time of an audio frame, and updates the attributes.

        Raises:
            TransportError: the audio can't be decoded, or its format changed in mid-call.

        """
        if not self.known:
            self.known, self.kind = True, kind
            if kind != KIND_AUDIO:
                self.rate, self.settled = RATES[kind], True
        elif kind != self.kind:
            raise TransportError(
                f"the audio changed from {self.rate} Hz (kind 0x{self.kind:02x}) to {RATES[kind]} Hz "
                f"(kind 0x{kind:02x}) in mid-call; have the dialplan keep to one codec: "
                f"Dial(AudioSocket/host:port/uuid/c({codec_of(self.rate)})), or c({codec_of(RATES[kind])})"
            )
        if not self.settled:
            if self._pace is None:
                self._pace = _Pace(self.rate, now_s)
            else:
                self._pace.add(len(payload), now_s)
            self._listen(payload, self._pace)
            self.settled = self._pace.settled

    def _listen(self, payload: bytes | memoryview, pace: _Pace) -> None:
        if self._sounds["linear"] >= LINEAR_PIECES:
            return
        self._piece += payload
        if len(self._piece) < PIECE_BYTES:
            return
        self._sounds[sound_of(bytes(self._piece))] += 1
        self._piece.clear()
        against = self._sounds["compressed"] + (self._sounds["doubtful"] if pace.is_slow else 0)
        if against >= COMPRESSED_PIECES:
            codec = codec_of(self.rate)
            raise TransportError(
                "the caller's audio arrives compressed (mu-law, A-law or another codec) instead of as 16-bit samples; "
                f"in the dialplan, add c({codec}): Dial(AudioSocket/host:port/uuid/c({codec}))"
            )


class _Pace:
    """Compares the duration of audio with the time that it takes to arrive.

    A burst, as after a stall, or a pause distorts one comparison; only several in a row that agree show a rate.

    Attributes:
        settled: whether the audio arrives at the expected rate, or too many comparisons had no result.
        is_slow: whether the latest comparisons agree that too little arrives.

    """

    __slots__ = ("_agreed", "_bytes", "_rate", "_result", "_since", "_tried", "is_slow", "settled")

    def __init__(self, rate: int, now_s: float) -> None:
        self._rate, self._since = rate, now_s
        self._bytes = self._tried = self._agreed = 0
        self._result = 0  # of the latest comparison: a rate, `_TOO_LITTLE`, or 0 for neither
        self.settled = self.is_slow = False

    def add(self, size: int, now_s: float) -> None:
        """Takes the size of the next payload in bytes.

        Raises:
            TransportError: the audio has another rate than was expected.

        """
        self._bytes += size
        took_s = now_s - self._since
        if took_s < PACE_S:
            return
        samples_a_s, self._bytes, self._since = self._bytes / 2 / took_s, 0, now_s
        self._tried += 1
        if took_s < PACE_S + PAUSE_S:
            self._compare(samples_a_s)
        self.settled = self.settled or self._tried >= PACES_TRIED

    def _compare(self, samples_a_s: float) -> None:
        nearest = min(KINDS, key=lambda rate: abs(samples_a_s / rate - 1))
        result = nearest if abs(samples_a_s / nearest - 1) < _TOLERANCE else 0
        if not result and samples_a_s < SLOW * self._rate:
            result = _TOO_LITTLE
        self._agreed = self._agreed + 1 if result == self._result else 1
        self._result = result
        if self._agreed < PACES:
            return
        if result == self._rate:
            self.settled = True
        elif result > 0:
            raise TransportError(
                f"the caller's audio arrives as fast as audio at {result} Hz, but {self._rate} Hz is expected of kind "
                f"0x{KIND_AUDIO:02x}; set this listener's rate to {result} Hz, or ask for c({codec_of(self._rate)}) in "
                "the dialplan"
            )
        self.is_slow = result == _TOO_LITTLE
