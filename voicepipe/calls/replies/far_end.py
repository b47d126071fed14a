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

Reports are late rather than early, so the lowest of the latest samples is the best; the second lowest as soon as there
are four, so that one that was early by some ms does not decide. A sample that is late by more than `LATE_MS` is put
aside: this process may have been held up. Only three in a row that agree show that the far end really is behind.

The beginning of a call is the hard part: the delay is not known, and a mark every 500 ms would show it too late. So a
mark follows the first frame of each stretch, and until it is reported (`FIRST_S` at most) no more than that frame
counts as heard. Later stretches expect the delay that the earlier ones had, and wait for the report only `AGAIN_S`
longer. A far end whose marks get lost is not waited for until it reports one.

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

_AGREEING: Final = 3  # samples in a row


class FarEnd:
    """The audio of one call at its far end: written, and heard."""

    def __init__(self) -> None:
        self.written_ms = 0.0
        """The audio that was written and not recalled, in ms."""
        self.delay_ms = 0.0
        """The time from the writing of a stretch's first audio to its sound, in ms, as far as it is known."""
        self._stretch_ms = 0.0  # the position at which the present stretch begins
        self._begun_ms = 0.0  # when its first audio was written, less that position
        self._certain_ms = 0.0  # this much has been heard, whatever else is found
        self._samples: deque[float] = deque(maxlen=8)
        self._late: deque[float] = deque(maxlen=_AGREEING)
        self._marks: dict[int, tuple[float, float]] = {}  # not reported yet: the position, and `_begun_ms` then
        self._first: int | None = None  # the mark of the stretch's first frame, while it is waited for
        self._first_until = 0.0
        self._reports: bool | None = None  # whether the latest mark that was waited for came; None: none was yet

    @property
    def awaits_first(self) -> bool:
        """Whether the report of a stretch's first mark is waited for."""
        return self._first is not None

    def heard_ms(self, now: float) -> float:
        """The audio that has sounded, in ms."""
        heard_ms = now * 1000 - self._begun_ms - self.delay_ms
        if self._awaits_first(now):
            heard_ms = min(now * 1000 - self._begun_ms, self._stretch_ms + FRAME_MS)
        return max(self._certain_ms, min(heard_ms, self.written_ms))

    def left_ms(self, now: float) -> float:
        """The audio that was written and has not sounded yet, in ms."""
        return self.written_ms - (self._certain_ms if self._awaits_first(now) else self.heard_ms(now))

    @property
    def ends_at(self) -> float:
        """The time at which all that was written will have sounded, or had, in s."""
        ends_at = (self._begun_ms + self.delay_ms + self.written_ms) / 1000
        return ends_at if self._first is None else max(ends_at, self._first_until)

    def wrote(self, ms: float, now: float) -> None:
        """Takes notice that the next `ms` of audio were written."""
        left_ms = self.left_ms(now)
        if left_ms <= 0:
            self._certain_ms = self._stretch_ms = self.written_ms
            self._begun_ms = now * 1000 - self.written_ms
        if left_ms < THIN_MS:
            self._samples.clear()
            self._late.clear()
        self.written_ms += ms

    def requested(self, mark: int, now: float, *, first: bool = False) -> None:
        """Takes notice that a mark follows what was written; `first`: that is the first frame of a stretch.

        It is to be called before the mark is passed on, since it may be reported at once.
        """
        self._marks[mark] = self.written_ms, self._begun_ms
        if first and self._reports is not False:
            self._first = mark
            self._first_until = now + (FIRST_S if self._reports is None else self.delay_ms / 1000 + AGAIN_S)

    def reported(self, mark: int, now: float) -> bool:
        """Takes the report of a mark; False if it was not expected, or not any more."""
        if mark not in self._marks:
            return False
        position, begun_ms = self._marks.pop(mark)
        self._reports = True
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
        self._first = None

    def _awaits_first(self, now: float) -> bool:
        if self._first is not None and now >= self._first_until:
            self._first, self._reports = None, False
        return self._first is not None

    def _sample(self, delay_ms: float) -> None:
        if self._samples and delay_ms > self.delay_ms + LATE_MS:
            self._late.append(delay_ms)
            if len(self._late) < _AGREEING or max(self._late) - min(self._late) > LATE_MS:
                return
            self._samples.clear()
            self._samples.extend(self._late)
        else:
            self._samples.append(delay_ms)
        self._late.clear()
        self.delay_ms = sorted(self._samples)[len(self._samples) > _AGREEING]
