"""One pipeline set of the engine, from when its file names it until its last call has ended.

A `ServedSet` keeps a `PipelineSet` open, which begins without a version, and hands requests on to it: they are
serialised and shared there. What it adds is what only an engine wants:

- a change can be meant for the version that serves (`if_version`), and is refused if another does by then;
- a set of which nothing opens, for its providers are away, is tried again with backoff;
- a set that fails by a defect is opened anew, and its calls are ended, but no other set notices;
- its files are watched, if files are.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

import trio

from reference_engine.upkeep.tasks import FIRST_S, LONGEST_S, single
from reference_engine.watch.watching import files_of, watch_set
from voicepipe import PipelineSetClosed, Rejected, absolute_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import NoReturn

    from reference_engine.log.log import Log
    from reference_engine.watch.task_switch import Switch
    from voicepipe import PipelineSet, ReloadOutcome

FAILURE = "failure"
"""The trigger of a reload that nobody asked for: the set has failed while it served, and was opened anew."""

RETRY = "retry"
"""The trigger of a reload that nobody asked for: nothing of the set opened, for its providers were away."""

OpenSet: TypeAlias = "Callable[[ServedSet], AbstractAsyncContextManager[PipelineSet]]"
"""Opens the pipeline set of a served set, without a version."""


class VersionChangedError(Exception):
    """Another version serves than the one that a change was meant for.

    Attributes:
        serving: that version's number; None if no version serves.

    """

    def __init__(self, serving: int | None, meant: int) -> None:
        serves = "nothing" if serving is None else f"version {serving}"
        super().__init__(f"{serves} serves, not version {meant}")
        self.serving = serving


class ServedSet:
    """A pipeline set that the engine's file names, or is about to.

    Attributes:
        name: its name in the engine's file.
        path: its own file.
        pipelines: the set; None only until `keep` has opened it, which takes no time.
        dropped: whether it was removed before it had a version: nobody is told of it any more.
        noted: whether its owner has seen that it has a version, since it was opened.

    """

    def __init__(
        self, name: str, path: Path, *, open_set: OpenSet, on_open: Callable[[], None], watches: Switch, log: Log
    ) -> None:
        """Takes how to open it, who is told when that was done, and whether its files are watched."""
        self.name, self.path = name, path
        self.pipelines: PipelineSet | None = None
        self.dropped = self.noted = False
        self._open, self._on_open, self._watches, self._log = open_set, on_open, watches, log
        self._opened, self._admitted, self._removed = trio.Event(), trio.Event(), trio.Event()
        self._until_removed = trio.CancelScope()  # around what ends when it is removed
        self._failed = False  # since the latest opening
        self._changes = 0
        self._settled = trio.Event()

    @property
    def version(self) -> int | None:
        """The version that the next call gets; None: no version serves."""
        return self.pipelines.version if self.pipelines is not None else None

    @property
    def admitted(self) -> bool:
        """Whether the engine's file in force names it, or did; until then it is prepared, and may be discarded."""
        return self._admitted.is_set()

    async def keep(self) -> None:
        """Keeps the set open until it was removed and no call holds it; opens it anew if it fails meanwhile.

        An exception that keeps it from being opened at all is raised.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_and_retry)
            while not self._removed.is_set():
                await self._stay_open()

    def admit(self) -> None:
        """Has its files watched from now on, if files are."""
        self._admitted.set()

    def remove(self) -> None:
        """Takes no more calls; those that are up go on. An opening that is under way is cancelled."""
        self.dropped = self.version is None
        self._removed.set()
        self._until_removed.cancel()
        self._opened.set()

    def move(self, path: Path) -> None:
        """Has another file from the next reload on."""
        self.path = path
        if self.pipelines is not None:
            self.pipelines.path = path

    async def start(self) -> ReloadOutcome:
        """Has a first version served, as `PipelineSet.start`.

        Raises:
            PipelineSetClosed: it was removed, or closes.

        """
        async with self._change(None) as pipelines:
            return await pipelines.start()

    async def reload(self, *, trigger: str, force: bool = False, if_version: int | None = None) -> ReloadOutcome:
        """Reads the set's files, as `PipelineSet.reload`.

        Args:
            trigger: what asked for it.
            force: leave a rollback.
            if_version: the version that must serve for it to be done at all.

        Raises:
            PipelineSetClosed: it was removed, or closes.
            VersionChangedError: another version serves, or will by the time that this could begin.

        """
        async with self._change(if_version) as pipelines:
            return await pipelines.reload(trigger=trigger, force=force)

    async def rollback(self, to: int | None, *, trigger: str, if_version: int | None = None) -> ReloadOutcome:
        """Serves an earlier version again, as `PipelineSet.rollback`.

        Raises:
            UnknownVersion: it is not remembered any more, or never was.
            PipelineSetClosed: it was removed, or closes.
            VersionChangedError: as for `reload`.

        """
        async with self._change(if_version) as pipelines:
            return await pipelines.rollback(to, trigger=trigger)

    def files(self) -> set[Path]:
        """Absolute paths of what it was read from, and of what it could not be read from."""
        return files_of(self.pipelines) if self.pipelines is not None else {absolute_path(self.path)}

    @asynccontextmanager
    async def _change(self, if_version: int | None) -> AsyncIterator[PipelineSet]:
        """One change of the set; one that is meant for a version waits until no other is under way."""
        while if_version is not None and self._changes:
            await self._settled.wait()
        if if_version is not None and if_version != self.version:
            raise VersionChangedError(self.version, if_version)
        self._changes += 1
        try:
            await self._opened.wait()
            self._check_not_removed()
            if self.pipelines is None:
                raise AssertionError("a set that was opened is there")
            yield self.pipelines
            if self.dropped:
                self._check_not_removed()
        finally:
            self._changes -= 1
            if not self._changes:
                self._settle()

    def _check_not_removed(self) -> None:
        if self._removed.is_set():
            raise PipelineSetClosed(f"pipeline set {self.name!r} was removed from the engine's file")

    def _settle(self) -> None:
        settled, self._settled = self._settled, trio.Event()
        settled.set()

    async def _stay_open(self) -> None:
        """Opens the set; returns when it has closed or failed."""
        before = self.pipelines
        try:
            async with self._open(self) as self.pipelines:
                self.noted = False
                self._opened.set()
                self._on_open()
                await self._removed.wait()
        # Whatever is wrong with one set ends neither the engine nor another set.
        except* Exception as errors:
            if self.pipelines is before:
                raise
            error = single(errors)
            reason = f"{type(error).__name__}: {error}"
            self._log.error("upkeep.failed", task="pipeline set", set=self.name, reason=reason, exc_info=error)
            self._failed = True
            if not self._removed.is_set():
                self._opened = trio.Event()  # requests wait until it is open again
            self._settle()

    async def _watch_and_retry(self) -> None:
        with trio.CancelScope() as self._until_removed:
            if not self._removed.is_set():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._retry)

    async def _retry(self) -> NoReturn:
        """Reloads a set that has failed, or of which nothing opened, with backoff."""
        pause = FIRST_S
        while True:
            waited_since = trio.current_time()
            while (trigger := self._reason_to_retry()) is None:
                await self._settled.wait()
            if trio.current_time() - waited_since > LONGEST_S:
                pause = FIRST_S
            await trio.sleep(pause)
            pause = min(pause * 2, LONGEST_S)
            self._failed = False
            if self.version is None:
                with suppress(PipelineSetClosed):  # it has failed again
                    await self.reload(trigger=trigger)

    def _reason_to_retry(self) -> str | None:
        """The trigger of a reload that nobody else would ask for; None: there is no need."""
        if self._failed:
            return FAILURE
        last = self.pipelines.last_attempt if self.pipelines is not None else None
        return RETRY if self.version is None and isinstance(last, Rejected) and last.reason == "open" else None

    async def _watch(self) -> None:
        await self._admitted.wait()
        await self._watches.while_on(self._watch_files)

    async def _watch_files(self) -> None:
        await watch_set(self, self._log)
