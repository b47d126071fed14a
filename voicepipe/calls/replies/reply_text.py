"""The text of one reply: composing writes it as the model gives it, and speaking reads it as it grows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

from voicepipe.components.events import ReplyDone
from voicepipe.components.requests import ReplyRequest, ToolCall
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen
class Segment:
    """A piece of a reply's text that the synthesiser gets at once: a sentence, or a clause of one."""

    text: str
    """The piece in the model's own words."""
    spoken: str
    """The piece as the synthesiser gets it, with figures and signs put into words."""


@define(eq=False)
class ReplyText:
    """The text of one reply, written by `Composer` alone, and read by others."""

    request: ReplyRequest | None = None
    """The request to the language model; None: `announcement` is said, and no model is asked."""
    announcement: str = ""
    """The text that is said without a request to a model."""
    segments: list[Segment] = field(factory=list)
    """The text so far. Segments are only ever appended."""
    complete: bool = False
    """True if that is all of the text."""
    tool_calls: list[ToolCall] = field(factory=list)
    """The tools that the model calls; set together with `done`."""
    done: ReplyDone | None = None
    """The event with which the model ended its reply; None: it has not, or no model was asked."""
    model: str = ""
    """The key of the model that gave the reply, whose `ReplyDone.state` belongs to no other model."""
    first_token_at: float | None = None
    """The time of the model's first word or tool call, on trio's clock."""
    failure: ComponentError | None = None
    """The error of the last model, if the text breaks off; None: it does not."""
    on_complete: list[Callable[[], None]] = field(factory=list)
    """Functions that are called, in order, when the text is complete."""
    _grown: trio.lowlevel.ParkingLot = field(factory=trio.lowlevel.ParkingLot)

    @property
    def text(self) -> str:
        """All of the text so far, in the model's own words."""
        return " ".join(segment.text for segment in self.segments)

    def add(self, segments: Iterable[Segment]) -> None:
        """Appends segments, and wakes the task in `wait_growth`."""
        before = len(self.segments)
        self.segments += segments
        if len(self.segments) > before:
            self._grown.unpark_all()

    def end(self, failure: ComponentError | None = None) -> None:
        """Marks the text as complete.

        Args:
            failure: the error at which it breaks off; None: it is whole.

        """
        self.failure, self.complete = failure, True
        self._grown.unpark_all()
        for function in self.on_complete:
            function()

    async def wait_growth(self) -> None:
        """Waits for the next segment, or for the end of the text."""
        await self._grown.park()

    def raise_failure(self) -> None:
        """Raises `failure`, if there is one, and forgets it: the error's traceback would keep the call alive.

        Raises:
            ComponentError: no model was left that could go on.

        """
        failure, self.failure = self.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure
