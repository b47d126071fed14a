"""The clock of a far end that buffers: how much of the audio that was written has sounded there. Sans-IO.

Theory of operation
-------------------

A transport with `pacing` of `theirs` takes audio faster than it sounds. It plays it in real time, and stands still when
it has nothing left. So between two gaps, in one *stretch*, a position in the audio sounds at a fixed distance from its
beginning, and one number is the whole clock: the delay of the stretch's beginning.

    written   |----------- a stretch -----------|              |------ the next ------
    sounds    <-delay->|----------- a stretch -----------|     <-delay->|------ the next ------

- *Time alone*: audio sounds at once if the far end has nothing else to play, so the delay is 0. No estimate is less,
  since audio does not sound before it was written, whatever a report says.
- *Marks*: the report of a mark is a sample of the delay. The delay of the line is in it.
- *Probes*: a mark in front of a stretch, when the far end has nothing to play, is reported at once. The time that takes
  is the network's, there and back. It is taken off the delay, so that what counts as heard at a moment is what will
  have sounded when a `clear` of that moment arrives: the caller hears that much.

Reports are late rather than early, so the lowest of the latest samples is the best; the second lowest as soon as there
are four, so that one that was early by some ms does not decide. A sample that is late by more than `LATE_MS` is put
aside: this process may have been held up. Only three in a row that agree show that the far end really is behind, or
one if there was so little left to play that it may have run dry without our knowing (`THIN_MS`).

The beginning of a call is the hard part: the delay is not known, and a mark every 500 ms would show it too late. So a
mark follows the first frame of each stretch, and until it is reported (`FIRST_S` at most) no more than that frame
counts as heard. A later stretch has the delay of the one before for its first sample, and waits for the report only
`AGAIN_S` longer than that. A far end whose marks get lost is not waited for until it reports one.

Marks may be lost, late, early, out of order, and reported twice: each is a sample or nothing, and time goes on between.

All positions are ms of the audio of the call, from its beginning. The caller of these methods gives the time, in s.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from voicepipe.audio import FRAME_MS

LATE_MS: Final = 60.0
"""The most by which a report may be later than expected, in ms, to be a sample by itself."""

THIN_MS: Final = 100.0
"""With less than this left to play, in ms, the far end may have run dry without our knowing."""

FIRST_S: Final = 0.5
"""The longest wait for the first report of a call, in s, during which one frame counts as heard."""

AGAIN_S: Final = 0.2
"""The longest wait for a stretch's first report, in s, beyond the delay that earlier ones had."""

NEGLIGIBLE_MS: Final = 20.0
"""A network that takes less, in ms, is taken for none: a far end looks at its marks every 20 ms."""

_AGREEING: Final = 3  # samples in a row


class FarEnd:
    """The audio of one call at its far end: written, and heard."""

    def __init__(self) -> None:
        self.written_ms = 0.0
        """The audio that was written and not recalled, in ms."""
        self.delay_ms = 0.0
        """The time from the writing of a stretch's first audio to the report of its sound, in ms, as far as known."""
        self._network_ms = 0.0  # of that, what the network takes
        self._probes: dict[int, float] = {}  # not reported yet: when each was requested
        self._probed: deque[float] = deque(maxlen=8)
        self._stretch_ms = 0.0  # the position at which the present stretch begins
        self._begun_ms = 0.0  # when its first audio was written, less that position
        self._certain_ms = 0.0  # this much has been heard, whatever else is found
        self._was_thin = False  # since the last sample there was little left, so that the far end may have run dry
        self._samples: deque[float] = deque(maxlen=8)
        self._late: deque[float] = deque(maxlen=_AGREEING)
        self._marks: dict[int, tuple[float, float]] = {}  # not reported yet: the position, and `_begun_ms` then
        self._first: int | None = None  # the mark of the stretch's first frame, while it is waited for
        self._first_until = 0.0
        self._is_measured = False  # a mark was reported, so the delay is known
        self._is_reliable = True  # the latest mark that was waited for came

    @property
    def awaits_first(self) -> bool:
        """Whether the report of a stretch's first mark is waited for."""
        return self._first is not None

    def heard_ms(self, now: float) -> float:
        """The audio that has sounded, in ms."""
        heard_ms = now * 1000 - self._begun_ms - max(0.0, self.delay_ms - self._network_ms)
        if self._awaits_first(now):
            most_ms = self._stretch_ms + FRAME_MS + self._network_ms
            heard_ms = min(now * 1000 - self._begun_ms, most_ms)
        return max(self._certain_ms, min(heard_ms, self.written_ms))

    def left_ms(self, now: float) -> float:
        """The audio that was written and has not sounded yet, in ms."""
        return self.written_ms - (self._certain_ms if self._awaits_first(now) else self.heard_ms(now))

    def least_left_ms(self, now: float) -> float:
        """The least that may not have sounded yet, in ms: while the delay is waited for, it may be none."""
        return max(0.0, min(self.left_ms(now), self.written_ms - now * 1000 + self._begun_ms))

    @property
    def sounds_until(self) -> float:
        """The time at which all that was written will have sounded, or had, in s."""
        return (self._begun_ms + max(0.0, self.delay_ms - self._network_ms) + self.written_ms) / 1000

    @property
    def ends_at(self) -> float:
        """The time at which all that was written will be reported to have sounded, or was, in s."""
        ends_at = (self._begun_ms + self.delay_ms + self.written_ms) / 1000
        return ends_at if self._first is None else max(ends_at, self._first_until)

    def wrote(self, ms: float, now: float) -> None:
        """Takes notice that the next `ms` of audio were written."""
        left_ms = self.left_ms(now)
        if left_ms <= 0:
            self._certain_ms = self._stretch_ms = self.written_ms
            self._begun_ms = now * 1000 - self.written_ms
            self._samples.clear()
            self._late.clear()
            if self._is_measured:
                self._samples.append(self.delay_ms)
        self._was_thin = self._was_thin or left_ms < THIN_MS
        self.written_ms += ms

    def requested(self, mark: int, now: float, *, first: bool = False) -> None:
        """Takes notice that a mark follows what was written; `first`: that is the first frame of a stretch.

        It is to be called before the mark is passed on, since it may be reported at once.
        """
        self._marks[mark] = self.written_ms, self._begun_ms
        if first and self._is_reliable:
            self._first = mark
            self._first_until = now + (self.delay_ms / 1000 + AGAIN_S if self._is_measured else FIRST_S)

    @property
    def is_probed(self) -> bool:
        """Whether the network's time is known, or soon will be."""
        return bool(self._probed or self._probes)

    def probing(self, mark: int, now: float) -> None:
        """Takes notice that a mark is requested while the far end has nothing to play."""
        self._probes[mark] = now

    def reported(self, mark: int, now: float) -> bool:
        """Takes the report of a mark; False if it was not expected, or not any more."""
        if mark in self._probes:
            self._probed.append((now - self._probes.pop(mark)) * 1000)
            network_ms = min(self._probed)
            self._network_ms = network_ms if network_ms > NEGLIGIBLE_MS else 0.0
            return True
        if mark not in self._marks:
            return False
        position, begun_ms = self._marks.pop(mark)
        self._is_measured = self._is_reliable = True
        if position > self._stretch_ms:
            self._first = None
        delay_ms = now * 1000 - begun_ms - position
        self._sample(max(delay_ms, 0.0))
        if delay_ms >= 0:
            self._certain_ms = max(self._certain_ms, position)
        return True

    def awaits(self, mark: int) -> bool:
        """Whether the report of a mark is still to come."""
        return mark in self._marks

    def recall(self, to_ms: float) -> None:
        """Takes notice that the far end has dropped all audio from a position on; its marks mean nothing any more."""
        self.written_ms = self._certain_ms = to_ms
        self._marks.clear()
        self._probes.clear()
        self._first = None

    def _awaits_first(self, now: float) -> bool:
        if self._first is not None and now >= self._first_until:
            self._first, self._is_reliable = None, False
        return self._first is not None

    def _sample(self, delay_ms: float) -> None:
        was_thin, self._was_thin = self._was_thin, False
        if self._samples and delay_ms > self.delay_ms + LATE_MS:
            self._late.append(delay_ms)
            agree = len(self._late) == _AGREEING and max(self._late) - min(self._late) <= LATE_MS
            if not agree and not was_thin:
                return
            self._samples.clear()
            self._samples.extend(self._late)
        else:
            self._samples.append(delay_ms)
        self._late.clear()
        self.delay_ms = sorted(self._samples)[len(self._samples) > _AGREEING]
