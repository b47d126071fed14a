"""One pipeline set of the engine, for as long as the engine's file names it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import define, field

from reference_engine.upkeep.tasks import FIRST_S, LONGEST_S, single
from reference_engine.watch.watching import files_of, watch_set
from voicepipe import (
    Applied,
    ComponentsUnavailable,
    ConfigError,
    Location,
    PipelineSetClosed,
    Problem,
    Rejected,
    ReloadOutcome,
    UnknownVersion,
    absolute_path,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import NoReturn

    from reference_engine.log.log import Log
    from reference_engine.watch.task_switch import Switch
    from voicepipe import PipelineSet

START = "start"
"""The trigger of the first opening, at the engine's start."""

FAILURE = "failure"
"""The trigger of an opening that nobody asked for: the set has failed while it served."""

RETRY = "retry"
"""The trigger of an opening that nobody asked for: nothing of the set opened, for its providers were away."""

NO_VERSION = 0
"""What `Rejected.version` is when no version has ever served."""

Open: TypeAlias = "Callable[[str, Path], AbstractAsyncContextManager[PipelineSet]]"
"""Opens the set of a name from a file."""


class VersionChangedError(Exception):
    """Another version serves than the one that a change was meant for.

    Attributes:
        serving: that version's number; None if nothing serves.

    """

    def __init__(self, serving: int | None, meant: int) -> None:
        serves = "nothing" if serving is None else f"version {serving}"
        super().__init__(f"{serves} serves, not version {meant}")
        self.serving = serving


@define(eq=False)
class _Attempt:
    """An opening that was asked for."""

    trigger: str
    done: trio.Event = field(factory=trio.Event)
    outcome: ReloadOutcome | None = None


class ServedSet:
    """A pipeline set that serves, or whose file was not fit when it was first read, which a reload tries again.

    Attributes:
        name: as the engine's file has it.
        path: the set's own file.
        pipelines: the set; None until its file is fit.
        rejected: why it does not serve; None if it does.

    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        open_set: Open,
        tell: Callable[[ServedSet, ReloadOutcome | None], None],
        watches: Switch,
        log: Log,
    ) -> None:
        """Takes how to open it, who is told when that has come to something, and whether its files are watched."""
        self.name, self.path = name, path
        self.pipelines: PipelineSet | None = None
        self.rejected: Rejected | None = None
        self._open, self._tell, self._watches, self._log = open_set, tell, watches, log
        self._attempt: _Attempt | None = None
        self._asked = trio.Event()
        self._admitted = trio.Event()
        self._failed, self._again = trio.Event(), FAILURE
        self._removed = trio.Event()
        self._until_removed = trio.CancelScope()  # around what ends at once
        self._opening = trio.CancelScope()
        self._changes = 0
        self._settled = trio.Event()

    @property
    def serving(self) -> bool:
        """Whether it takes calls."""
        return self.pipelines is not None and not self._removed.is_set()

    async def keep(self) -> None:
        """Opens the set when that is asked for and has it serve; returns when it was removed and no call holds it.

        A set that fails while it serves takes no more calls until it was opened anew, which is asked for at once.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beside)
            while not self._removed.is_set():
                await self._asked.wait()
                self._asked = trio.Event()
                attempt, self._attempt = self._attempt, None
                if attempt is not None:
                    await self._serve(attempt)

    def admit(self) -> None:
        """Has its files watched from now on, if files are; until then it may yet be discarded."""
        self._admitted.set()

    def remove(self) -> None:
        """Takes no more calls; those that are up go on."""
        self._removed.set()
        self._until_removed.cancel()
        if self.pipelines is None:
            self._opening.cancel()
        self._asked.set()
        if self._attempt is not None:
            self._attempt.done.set()

    def move(self, path: Path) -> None:
        """Has another file from the next reload on."""
        self.path = path
        if self.pipelines is not None:
            self.pipelines.path = path

    async def reload(self, *, trigger: str, force: bool = False, if_version: int | None = None) -> ReloadOutcome:
        """Reads the set's files; as `PipelineSet.reload`, also while it has never been fit.

        Args:
            trigger: what asked for it.
            force: leave a rollback.
            if_version: the version that must serve for it to be done at all.

        Raises:
            PipelineSetClosed: it was removed, or closes.
            VersionChangedError: another version serves, or will by the time that this could begin.

        """
        async with self._change(if_version):
            while self.pipelines is None:
                attempt = self.ask(trigger)
                await attempt.done.wait()
                if attempt.outcome is not None:
                    return attempt.outcome
            return await self.pipelines.reload(trigger=trigger, force=force)

    async def rollback(self, to: int | None, *, trigger: str, if_version: int | None = None) -> ReloadOutcome:
        """As `PipelineSet.rollback`.

        Raises:
            UnknownVersion: it is not remembered any more, or never was.
            PipelineSetClosed: it was removed, or closes.
            VersionChangedError: as for `reload`.

        """
        async with self._change(if_version):
            if self.pipelines is None:
                raise UnknownVersion(f"pipeline set {self.name!r} has no version to go back to: it never served")
            return await self.pipelines.rollback(to, trigger=trigger)

    def ask(self, trigger: str) -> _Attempt:
        """Asks for the set to be opened; an attempt that has not begun is shared.

        Raises:
            PipelineSetClosed: it was removed.

        """
        if self._removed.is_set():
            raise PipelineSetClosed(f"pipeline set {self.name!r} was removed from the engine's file")
        if self._attempt is None:
            self._attempt = _Attempt(trigger)
            self._asked.set()
        return self._attempt

    def files(self) -> set[Path]:
        """Absolute paths of what it was read from, and of what it could not be read from."""
        if self.pipelines is not None:
            return files_of(self.pipelines)
        return {absolute_path(self.path), *(self.rejected.files if self.rejected else ())}

    @asynccontextmanager
    async def _change(self, if_version: int | None) -> AsyncIterator[None]:
        """One change of the set; one that is meant for a version waits until no other is under way."""
        while if_version is not None and self._changes:
            await self._settled.wait()
        version = self.pipelines.current.version if self.pipelines else None
        if if_version is not None and if_version != version:
            raise VersionChangedError(version, if_version)
        self._changes += 1
        try:
            yield
        finally:
            self._changes -= 1
            if not self._changes:
                self._settled.set()
                self._settled = trio.Event()

    async def _beside(self) -> None:
        """What goes on until the set was removed, whether calls still hold it or not."""
        with trio.CancelScope() as self._until_removed:
            if not self._removed.is_set():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._open_again)

    async def _open_again(self) -> NoReturn:
        """Asks for a set to be opened that has failed while it served, or of which nothing opened; with backoff."""
        pause = FIRST_S
        while True:
            waited_since = trio.current_time()
            await self._failed.wait()
            self._failed = trio.Event()
            if trio.current_time() - waited_since > LONGEST_S:
                pause = FIRST_S
            await trio.sleep(pause)
            pause = min(pause * 2, LONGEST_S)
            if self.pipelines is None:
                self.ask(self._again)

    async def _watch(self) -> None:
        await self._admitted.wait()
        await self._watches.while_on(self._watch_files)

    async def _watch_files(self) -> None:
        await watch_set(self, self._log)

    async def _serve(self, attempt: _Attempt) -> None:
        """Opens the set and, if it is fit, has it serve until it was removed and its last call has ended."""
        began = trio.current_time()
        try:
            with trio.CancelScope() as self._opening:
                async with self._open(self.name, self.path) as pipelines:
                    # It may have been removed since its last component opened; then nobody is told of it.
                    if not self._removed.is_set():
                        self._begin(pipelines, attempt, trio.current_time() - began)
                        await self._removed.wait()
        # Whatever is wrong with one set, a defect included, ends neither the engine nor another set.
        except* Exception as errors:  # noqa: BLE001
            self._refuse(attempt, single(errors), trio.current_time() - began)
        finally:
            attempt.done.set()

    def _begin(self, pipelines: PipelineSet, attempt: _Attempt, seconds: float) -> None:
        self.pipelines, self.rejected = pipelines, None
        # If it serves what was kept of another day, it has told itself why.
        told = pipelines.last_attempt
        self._finish(attempt, told or _first_of(pipelines, attempt.trigger, seconds), tell=told is None)

    def _refuse(self, attempt: _Attempt, error: Exception, seconds: float) -> None:
        """Takes note of why it does not serve; a set that served until now is opened anew after a pause."""
        served, unfit = self.pipelines is not None, isinstance(error, ConfigError)
        if not unfit or served:
            reason = f"{type(error).__name__}: {error}"
            self._log.error("upkeep.failed", task="pipeline set", set=self.name, reason=reason, exc_info=error)
        if self._removed.is_set():
            return
        self.pipelines = None
        before, self.rejected = self.rejected, _rejected(self, attempt.trigger, seconds, error)
        # That it was tried again in vain is not worth another record.
        same = attempt.trigger == RETRY and before is not None and before.reason == self.rejected.reason
        self._finish(attempt, self.rejected, tell=not same)
        if served or self.rejected.reason == "open":
            self._again = FAILURE if served else RETRY
            self._failed.set()

    def _finish(self, attempt: _Attempt, outcome: ReloadOutcome, *, tell: bool = True) -> None:
        attempt.outcome = outcome
        self._tell(self, outcome if tell and attempt.trigger != START else None)
        attempt.done.set()
        if self.pipelines is not None and self._attempt is not None:
            self._attempt.done.set()  # who waits for it will have the set reloaded


def _first_of(pipelines: PipelineSet, trigger: str, seconds: float) -> Applied:
    (first,) = pipelines.history
    return Applied(
        set=pipelines.name,
        version=first.version,
        trigger=trigger,
        at=first.applied_at,
        seconds=seconds,
        digest=first.digest,
        plan=first.plan,
        logging=pipelines.current.config.logging,
    )


def _rejected(served: ServedSet, trigger: str, seconds: float, error: Exception) -> Rejected:
    config = error if isinstance(error, ConfigError) else None
    return Rejected(
        set=served.name,
        version=NO_VERSION,
        trigger=trigger,
        at=datetime.now(UTC),
        seconds=seconds,
        digest=None,
        problems=config.problems if config else (_defect(served.path, error),),
        reason="open" if isinstance(error, ComponentsUnavailable) else "config" if config else "defect",
        files=config.files if config else (),
    )


def _defect(path: Path, error: Exception) -> Problem:
    message = f"serving it failed with {type(error).__name__}: {error}"
    return Problem(Location(path), "", message, "a defect in the engine: please report it, with the log's traceback")
