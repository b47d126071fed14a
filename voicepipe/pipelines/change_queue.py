"""The queue of a pipeline set: reloads and rollbacks wait here until the set's helper task carries them out."""

from __future__ import annotations

from collections import deque

import trio
from attrs import define, field

from voicepipe.config.settings import SetConfig
from voicepipe.errors import ConfigError
from voicepipe.pipelines.outcome import ReloadOutcome


@define(eq=False)
class ChangeRequest:
    """A start, a reload or a rollback that was asked for."""

    trigger: str
    """What asked for it; of a reload that several share, what asked first."""
    force: bool = False
    """For a reload: whether it ends a rollback, and may lose a component that works."""
    starts: bool = False
    """Whether it is the set's start: a reload of which the observer is not told."""
    to: int | None = None
    """For a rollback: the version to go back to. None: the files are read."""
    config: SetConfig | None = None
    """For a rollback: what that version was built from, for it may be forgotten before its turn comes."""
    done: trio.Event = field(factory=trio.Event)
    """Set when `outcome` is known, or never will be."""
    outcome: ReloadOutcome | None = None
    """What came of it. None when `done` is set: the set closed first."""
    refused: ConfigError | None = None
    """Why it was rejected, as the exception that a start raises."""

    @property
    def is_reload(self) -> bool:
        """Whether it is a reload, which other reloads may share."""
        return self.to is None and not self.starts


class ChangeQueue:
    """Requests in the order in which they came; a reload that has not begun is shared by all who ask meanwhile."""

    def __init__(self) -> None:
        self._waiting: deque[ChangeRequest] = deque()
        self._arrived = trio.Event()

    def add(self, request: ChangeRequest) -> ChangeRequest:
        """Adds a request, and returns the one to wait for.

        A reload is answered by the reload that waits last, if that is the last request: it will read the files
        after this call. A reload from before a rollback doesn't count: what was asked for after the rollback must
        be carried out after it.
        """
        last = self._waiting[-1] if self._waiting else None
        if last is not None and last.is_reload and request.is_reload:
            last.force |= request.force
            return last
        self._waiting.append(request)
        self._arrived.set()
        return request

    async def next(self) -> ChangeRequest:
        """Waits for a request and takes it out of the queue; from then on nobody joins it."""
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._waiting.popleft()

    def abandon(self) -> None:
        """Wakes everyone who waits for a request that has not begun; it gets no outcome."""
        while self._waiting:
            self._waiting.popleft().done.set()
