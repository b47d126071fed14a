"""What an AudioSocket call's audio is: its rate, and whether it is linear at all. No I/O, no clock but the times given.

The kind of a call's first audio says its rate. Only `KIND_AUDIO` proves nothing: Asterisk puts it on whatever a channel
passes through (mu-law without `c(slin)` in the dialplan), and before 20.17 and 22.7 on linear audio of any rate. Nor do
sizes: phones send packets of 5 to 80 ms, and 160 bytes are 10 ms at 8 kHz as well as 20 ms of mu-law. So two other
things are looked at, until they have shown what the audio is:

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
from voicepipe.transports.audiosocket.wire import KIND_AUDIO, KINDS, RATES

if TYPE_CHECKING:
    from voicepipe.audio import Encoding

Sound: TypeAlias = Literal["linear", "compressed", "doubtful", "unknown"]
"""What bytes that should be 16-bit samples sound like; `unknown`: they don't tell."""

PIECE_BYTES: Final = 480
"""How much is judged at a time: 30 ms at 8 kHz, 60 ms of mu-law."""
COMPRESSED_PIECES: Final = 2
"""So many pieces that sound compressed are not linear audio; so many doubtful ones are not if too little comes."""
LINEAR_PIECES: Final = 8
"""After so many that sound linear, no more are judged."""
LOUD: Final = 6000
"""The level of 32767 below which nothing is doubtful: loud speech stays below it, compressed bytes hardly do."""
NOISE: Final = 12000
"""The level above which white noise is a codec that can't be decoded here."""
SILENT: Final = 200
"""The level below which audio has no course."""

PACE_S: Final = 0.5
"""Over how long it is compared how much audio came."""
PAUSE_S: Final = 0.25
"""How much longer than that means that the caller was muted meanwhile."""
PACES: Final = 3
"""So many comparisons in a row have to agree."""
PACES_TRIED: Final = 40
"""After so many comparisons without a result, no more are made."""
SLOW: Final = 0.56
"""The part of what is expected up to which too little comes: of a codec with 64 kbit/s half of it does."""
_TOLERANCE: Final = 0.06

_TOO_LITTLE: Final = -1
_CODECS: Final[tuple[Encoding, ...]] = ("mulaw", "alaw")


def codec_of(rate: int) -> str:
    """Asterisk's name for linear audio at a rate: `slin` for 8000 Hz, `slin16` for 16000, `slin44` for 44100."""
    return "slin" if rate == RATES[KIND_AUDIO] else f"slin{rate // 1000}"


def sound_of(payload: bytes) -> Sound:
    """What bytes that should be 16-bit samples sound like.

    Args:
        payload: an even number of bytes, `PIECE_BYTES` or so.

    """
    half = half_without_mean(payload)
    loudness, rough = 2 * level(half), roughness(payload)
    if loudness < SILENT:  # mu-law's and A-law's digital silence is all of one byte, and so off the middle
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
    """Finds out from a call's first audio what it is, and refuses what can't be understood.

    Attributes:
        rate: Hz; until audio has come, what was expected.
        kind: the kind of all audio of the call, either way; until some has come, the one for `rate`.
        known: whether audio has come, so that neither changes any more.
        settled: whether all of it has been found out; then further frames of `kind` need not be shown.

    """

    __slots__ = ("_pace", "_piece", "_sounds", "kind", "known", "rate", "settled")

    def __init__(self, rate: int) -> None:
        """Expects `rate` Hz where the kind does not say it; a rate without a kind is a `ValueError`."""
        if rate not in KINDS:
            raise ValueError(f"AudioSocket has no audio at {rate} Hz: one of {', '.join(map(str, KINDS))}")
        self.rate, self.kind = rate, KINDS[rate]
        self.known = self.settled = False
        self._piece = bytearray()
        self._sounds: Counter[Sound] = Counter()  # of pieces
        self._pace: _Pace | None = None

    @property
    def is_suspicious(self) -> bool:
        """Whether what has come sounds compressed, though there is not enough of it to be sure."""
        if self._sounds["compressed"]:
            return True
        return len(self._piece) > 0 and sound_of(bytes(self._piece)) == "compressed"

    def see(self, kind: int, payload: bytes | memoryview, now_s: float) -> None:
        """Takes an audio frame, its kind and when it came; afterwards the attributes are up to date.

        Raises:
            TransportError: this audio can't be understood, or is another than the call began with.

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
                "the caller's audio comes compressed (mu-law, A-law or another codec) instead of as 16-bit samples; in "
                f"the dialplan, add c({codec}): Dial(AudioSocket/host:port/uuid/c({codec}))"
            )


class _Pace:
    """Compares how long audio lasts with how long it takes to come.

    Audio that comes in a burst, as after a stall, is no other rate, and neither is a pause: only comparisons in a row
    that agree are.

    Attributes:
        settled: whether the audio comes as it should, or it is of no use to look any longer.
        is_slow: whether the latest comparisons agree that too little comes.

    """

    __slots__ = ("_agreed", "_bytes", "_found", "_rate", "_since", "_tried", "is_slow", "settled")

    def __init__(self, rate: int, now_s: float) -> None:
        self._rate, self._since = rate, now_s
        self._bytes = self._tried = self._agreed = 0
        self._found = 0  # what the latest comparisons agree on: a rate, `_TOO_LITTLE`, or neither
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
        found = nearest if abs(samples_a_s / nearest - 1) < _TOLERANCE else 0
        if not found and samples_a_s < SLOW * self._rate:
            found = _TOO_LITTLE
        self._agreed = self._agreed + 1 if found == self._found else 1
        self._found = found
        if self._agreed < PACES:
            return
        if found == self._rate:
            self.settled = True
        elif found > 0:
            raise TransportError(
                f"the caller's audio comes as fast as audio at {found} Hz, but {self._rate} Hz is expected of kind "
                f"0x{KIND_AUDIO:02x}; set this listener's rate to {found} Hz, or ask for c({codec_of(self._rate)}) in "
                "the dialplan"
            )
        self.is_slow = found == _TOO_LITTLE
