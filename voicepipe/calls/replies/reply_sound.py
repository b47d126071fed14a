"""The sound of one reply: the places of its text in its audio. Sans-IO; written by speaking alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from voicepipe.calls.replies.heard import SpokenSegment, heard_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voicepipe.calls.replies.reply_text import Segment


@define(eq=False)
class ReplySound:
    """The audio of one reply, as far as it has come, and the account of which text is spoken where in it.

    `Playout.begin` makes it. It is also the reply's pass to playout: audio that is added for any other sound than the
    current one is dropped.
    """

    segments: list[SpokenSegment] = field(factory=list)
    """The segments for voices, sent or not, in order. They begin as the text's segments; one in which a voice broke off
    is split, so that the next voice speaks only the rest."""
    first_audio_at: float | None = None
    """The time at which the first speech came from a voice, on trio's clock."""
    on_segment: Callable[[ReplySound], None] | None = None
    """Called when the first speech of a segment has come; None: nobody is told."""
    is_given_up: bool = False
    """Whether the line took nothing any more, so that nobody heard the rest."""
    on_given_up: Callable[[], None] | None = None
    """Called when it is given up; None: nobody speaks it at present."""
    _taken: int = 0  # of the text's segments

    def follow(self, written: Sequence[Segment]) -> None:
        """Adds the new segments of a text."""
        if len(written) > self._taken:
            self.segments += [SpokenSegment(segment.text, spoken=segment.spoken) for segment in written[self._taken :]]
            self._taken = len(written)

    def give_up(self) -> None:
        """Takes notice that nobody will hear the rest, so that nobody needs to speak it."""
        self.is_given_up = True
        if self.on_given_up is not None:
            self.on_given_up()

    def owes_words(self, first: int) -> bool:
        """Returns True if any of the segments from `first` on holds words, for which a voice owes audio."""
        return any(segment.has_words for segment in self.segments[first:])

    def heard(self, played_ms: float) -> str:
        """Returns the words that the caller has heard when `played_ms` of the audio have been played."""
        return heard_text(self.segments, played_ms)

    @property
    def begun_text(self) -> str:
        """The text of the segments of which speech has come."""
        return " ".join(segment.text.strip() for segment in self.segments if segment.start_ms is not None)

    def begin_segment(self, segment: SpokenSegment, start_ms: float) -> None:
        """Notes where a segment's audio begins, in ms of the reply's audio."""
        segment.start_ms = start_ms
        if self.on_segment is not None:
            self.on_segment(self)
