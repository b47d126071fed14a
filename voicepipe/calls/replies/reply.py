"""One reply on its way to the caller: the text that there is of it, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from voicepipe.calls.replies.heard import Segment, heard_text
from voicepipe.components.events import ReplyDone
from voicepipe.components.requests import ReplyRequest, ToolCall
from voicepipe.errors import ComponentError
from voicepipe.pipelines.snapshot import CachedSpeech

if TYPE_CHECKING:
    from voicepipe.text.spoken.wording import Wording  # noqa: TC004 - 20 ms of imports; nobody asks for the field's type


@define(eq=False)
class SpokenReply:
    """A reply on its way to the caller."""

    playout_reply: int
    """Its number in playout."""
    request: ReplyRequest | None
    """What the language model is asked; None: `announcement` is said."""
    announcement: str = ""
    """Text that is said without asking anybody."""
    recorded: CachedSpeech | None = None
    """The announcement as speech, if it was made beforehand."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    """Cancelling it stops everything that this reply does."""
    wording: Wording | None = None
    """Puts its text so that it can be spoken; None: it is spoken as it is written."""
    segments: list[Segment] = field(factory=list)
    """Its text so far, in the pieces in which it is spoken."""
    complete: bool = False
    """Whether that is all of its text."""
    tool_calls: list[ToolCall] = field(factory=list)
    """What the model asked for."""
    done: ReplyDone | None = None
    """The model's own end of the reply; None: not yet, or there is no model."""
    model: str = ""
    """The key of the model that gave the reply: its state is nobody else's."""
    first_token_at: float | None = None
    """When the model's first word or tool call came, on trio's clock."""
    first_audio_at: float | None = None
    """When the first speech came."""
    failure: ComponentError | None = None
    """Why the text breaks off: no model was left to go on."""
    adopted: trio.Event | None = None
    """Of a reply that was begun before it was wanted: set when it is; None: it was wanted from the beginning."""
    written: Callable[[], None] = lambda: None
    """Called when the text is complete."""
    grown: trio.Event = field(factory=trio.Event)
    """Set when there is more text, or no more to come."""
    on_complete: Callable[[], None] | None = None
    """Called then too: by the voice that speaks it, which may not be needed any more."""

    def add(self, texts: list[str]) -> None:
        """More of its text; pieces in which there is nothing to speak, such as code, are left out."""
        for text in texts:
            spoken = text if self.wording is None else self.wording.spoken(text)
            if spoken:
                self.segments.append(Segment(text, spoken=spoken))
                self.grown.set()

    def end(self) -> None:
        """No more text comes."""
        self.complete = True
        self.grown.set()
        self.written()
        if self.on_complete is not None:
            self.on_complete()

    def owes_words(self, first: int) -> bool:
        """Whether there are words to be spoken in the segments from `first` on, as far as it is written."""
        return any(segment.has_words for segment in self.segments[first:])

    async def wait_for_words(self, first: int) -> bool:
        """Waits for such words; False: the text is complete and there are none."""
        while not self.complete and not self.owes_words(first):
            self.grown = trio.Event()
            await self.grown.wait()
        return self.owes_words(first)

    @property
    def text(self) -> str:
        """All its text so far."""
        return " ".join(segment.text for segment in self.segments)

    def heard(self, played_ms: float) -> str:
        """The words that the caller heard, when so much of it was played."""
        return heard_text(self.segments, played_ms)
