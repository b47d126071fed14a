"""The marks in the speech that goes to a far end that buffers: where they are due, and what became of the last one."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final

from voicepipe.audio import FRAME_MS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.calls.replies.far_end import FarEnd
    from voicepipe.calls.replies.heard import SpokenSegment
    from voicepipe.transports.protocol import Transport

MARK_MS: Final = 500
"""The most audio from one mark to the next, in ms."""

FIRST_MARKS_MS: Final = (FRAME_MS, 40, 60, 80)
"""The audio before each of the first marks of a stretch, in ms: the delay of the line is soon known well."""


class SpeechMarks:
    """Requests the marks of one call; their numbers rise. Without the transport's `mark`, there are none.

    Args:
        transport: passes them on.
        far_end: the clock that learns from their reports.

    """

    def __init__(self, transport: Transport, far_end: FarEnd) -> None:
        self._transport, self._far_end = transport, far_end
        self.are_possible = "mark" in transport.can
        """Whether the transport has marks."""
        self.last: int | None = None
        """The mark at the end of the last reply, until it is reported or nothing of it matters any more."""
        self._number = 0  # of the latest
        self._at_ms = 0.0  # where it is
        self._in_stretch = 0

    def begin_stretch(self, now: float) -> None:
        """Takes notice that the next audio begins a stretch: the far end has nothing to play."""
        self._at_ms, self._in_stretch = self._far_end.written_ms, 0
        self.probe(now)

    def probe(self, now: float) -> None:
        """Requests a mark that shows how long a report takes, since the far end has nothing to play."""
        if self.are_possible:
            self._number += 1
            self._far_end.probing(self._number, now)
            self._transport.mark(self._number)

    def due_ms(self, segments: Iterable[SpokenSegment], begins_ms: float) -> float:
        """Returns where the next mark is due, at the latest at the end of a segment; it may be past.

        Args:
            segments: those of the reply.
            begins_ms: where the reply's audio begins.

        """
        number = self._in_stretch
        due_ms = self._at_ms + (FIRST_MARKS_MS[number] if number < len(FIRST_MARKS_MS) else MARK_MS)
        for segment in segments:
            if segment.complete:
                end_ms = begins_ms + ceil(segment.end_ms / FRAME_MS) * FRAME_MS
                if self._at_ms < end_ms < due_ms:
                    due_ms = end_ms
        return due_ms

    def request(self, now: float, *, first: bool = False) -> None:
        """Requests a mark after all that was written, unless there is one; `first`: after a stretch's first frame."""
        far_end = self._far_end
        if self._at_ms != far_end.written_ms:
            self._number, self._at_ms = self._number + 1, far_end.written_ms
            self._in_stretch += 1
            far_end.requested(self._number, now, first=first)
            self._transport.mark(self._number)

    def request_last(self, now: float) -> None:
        """Requests the mark at the end of a reply, unless there is one."""
        if self.are_possible:
            self.request(now)
            self.last = self._number if self._far_end.awaits(self._number) else None

    def recall(self, to_ms: float) -> None:
        """Takes notice that the far end has dropped all audio from a position on."""
        self._at_ms, self.last = min(self._at_ms, to_ms), None
