"""The queue of a pipeline set: starts, reloads and rollbacks wait here until the set's worker carries them out."""

from __future__ import annotations

from collections import deque

import trio
from attrs import define, field, frozen

from voicepipe.config.settings import SetConfig
from voicepipe.errors import ConfigError
from voicepipe.pipelines.kept_versions import KeptVersion
from voicepipe.pipelines.outcome import ReloadOutcome
from voicepipe.pipelines.read_config import ReadConfig


@frozen
class DecidedVersion:
    """A version that another process, or another machine, has read and decided upon."""

    number: int
    """Its number."""
    read: ReadConfig
    """Its configuration."""
    put_aside: ReadConfig | None = None
    """The files that a rollback puts aside with it; None: it is no rollback, or the files were invalid."""


@define(eq=False)
class ChangeRequest:
    """A request for a start, a reload or a rollback."""

    trigger: str
    """The name of what asked for it, for logs; of a shared reload, the first one."""
    force: bool = False
    """Whether a reload ends a rollback, and may lose a component that works."""
    starts: bool = False
    """Whether it is the start of the set, which is reported only if its files are rejected."""
    to: int | None = None
    """The version that a rollback goes back to; None: the files are read."""
    config: SetConfig | None = None
    """The configuration of that version, which may be forgotten before the request's turn; None: the files are read."""
    kept: KeptVersion | None = None
    """What is kept of that version, if it is of an earlier process, whose files are to be read again."""
    decided: DecidedVersion | None = None
    """The version to serve, if it was read and decided elsewhere; None: this set reads and decides."""
    done: trio.Event = field(factory=trio.Event)
    """Set when `outcome` is known, or the set has closed."""
    outcome: ReloadOutcome | None = None
    """The outcome; None if the set closed first."""
    refused: ConfigError | None = None
    """The error that rejected it, which a start raises; None if it was not rejected."""

    @property
    def is_reload(self) -> bool:
        """Whether it is a reload, which other reloads may share."""
        return self.to is None and not self.starts and self.decided is None


class ChangeQueue:
    """The waiting requests, in order; a reload that has not begun is shared by all who ask meanwhile."""

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
        """Waits for a request, and returns it; it is not shared from then on."""
        while not self._waiting:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._waiting.popleft()

    def abandon(self) -> None:
        """Wakes all who wait for a request that has not begun, without an outcome."""
        while self._waiting:
            self._waiting.popleft().done.set()
