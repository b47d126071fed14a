"""One pipeline set of an engine, from the time that its file names it until its last call has ended.

Theory of operation
===================

A `ServedSet` keeps a `PipelineSet` of the library open and passes requests on to it; the library serialises and shares
them (`voicepipe/pipelines/pipeline_set.py`). A pipeline set begins without a version here (`start=False`), so that a
set with an invalid file is open like any other and can be reloaded, watched and shown. This class adds what only an
engine needs: conditional changes, retries, recovery from defects, watching, and a life that is longer than its place in
the engine's file.

*Life.* A set is

    prepared ──admit──> admitted ──remove──> removed ──last call ends──> closed
       └───────────discard (remove)─────────────^

`keep` runs for all of that, in a task of its own (`_stay_open`). A prepared set is opened beside the others while a new
engine's file is tried; its files are not watched and nobody is told of it. `remove` sets `_removed`, which leaves the
`async with` around the pipeline set; leaving waits until no call holds a version. Requests that wait for the set to
open raise `PipelineSetClosed` then.

*Recovery.* If the pipeline set raises, a defect, its calls are lost. `_stay_open` logs that, `keep` opens the set
again, and `_retry` requests a reload with the trigger `failure`. While it is being opened again `_opened` is not set,
and requests wait for it. Other sets don't notice. If the set can't even be opened, the exception is raised, and the
task is restarted by its supervisor, with backoff.

*Retries.* If all files are valid but no component opens, because a provider is down, the start or reload is rejected
with the reason `open`. As long as no version serves, `_retry` requests a reload with the trigger `retry`, with backoff,
since nobody else would. Once a version serves, the library retries what is missing from it.

*Conditional changes.* A change with `if_version` (HTTP's `If-Match`) is carried out only if that version serves when it
begins. So it waits until no other change is under way: `_changes` counts them, and `_settled` is set, and replaced by a
new event, whenever that count falls to 0. It is set as well after a failure, for `_retry` waits for it.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeAlias

import trio

from reference_engine.upkeep.tasks import FIRST_PAUSE_S, MAX_PAUSE_S, single
from reference_engine.watch.watching import files_of, watch_set
from voicepipe import PipelineSetClosed, Rejected, absolute_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path
    from typing import NoReturn

    from reference_engine.log.log import Log
    from reference_engine.watch.task_switch import TaskSwitch
    from voicepipe import PipelineSet, ReadConfig, ReloadOutcome

FAILURE = "failure"
"""The trigger of the reload after a defect has ended the set and it was opened again."""

RETRY = "retry"
"""The trigger of a reload after none of the set's components opened, because its providers were unavailable."""

OpenSet: TypeAlias = "Callable[[ServedSet], AbstractAsyncContextManager[PipelineSet]]"
"""Opens the pipeline set of a `ServedSet`, without a version."""


class VersionChangedError(Exception):
    """The version that a change was meant for does not serve.

    Attributes:
        serving: the version that serves; None if none does.

    """

    def __init__(self, serving: int | None, meant: int) -> None:
        serves = "nothing" if serving is None else f"version {serving}"
        super().__init__(f"{serves} serves, not version {meant}")
        self.serving = serving


class ServedSet:
    """A pipeline set that the engine's file names, or that is prepared to be.

    Args:
        name: the name in the engine's file.
        path: the set's own YAML file.
        open_set: opens the pipeline set.
        on_open: called whenever that was done.
        watches: the switch for watching files.
        log: gets `upkeep.failed` and `watch.failed`.
        lost: called with its name when a defect has ended it; returns whether somebody else gives it a version again.

    Attributes:
        name: the name in the engine's file.
        path: the set's own YAML file.
        pipelines: the open pipeline set; None only before `keep` has opened it for the first time.
        dropped: whether it was removed before it had a version, so that no observer is told of it any more.
        noted: whether its owner has entered its first version since it was opened.

    """

    def __init__(
        self,
        name: str,
        path: Path,
        *,
        open_set: OpenSet,
        on_open: Callable[[], None],
        watches: TaskSwitch,
        log: Log,
        lost: Callable[[str], bool] = lambda _name: False,
    ) -> None:
        self.name, self.path = name, path
        self.pipelines: PipelineSet | None = None
        self.dropped = self.noted = False
        self._open, self._on_open, self._watches, self._log = open_set, on_open, watches, log
        self._lost = lost
        self._opened, self._admitted, self._removed = trio.Event(), trio.Event(), trio.Event()
        self._until_removed = trio.CancelScope()  # around watching and retrying
        self._failed = False  # since the latest opening
        self._changes = 0
        self._settled = trio.Event()

    @property
    def version(self) -> int | None:
        """The version that the next call gets; None: no version serves."""
        return self.pipelines.version if self.pipelines is not None else None

    @property
    def admitted(self) -> bool:
        """True once the engine's file in force names the set; before that it is prepared, and may be discarded."""
        return self._admitted.is_set()

    async def keep(self) -> None:
        """Keeps the set open until it was removed and no call holds it; opens it again after a defect.

        Raises:
            Exception: the set can't be opened at all, by a defect.

        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_and_retry)
            while not self._removed.is_set():
                await self._stay_open()

    def admit(self) -> None:
        """Starts to watch its files, while `watch` is on."""
        self._admitted.set()

    def remove(self) -> None:
        """Takes no more calls; calls that are up go on. An opening that is under way is cancelled."""
        self.dropped = self.version is None
        self._removed.set()
        self._until_removed.cancel()
        self._opened.set()

    def move(self, path: Path) -> None:
        """Sets another YAML file, for the next reload."""
        self.path = path
        if self.pipelines is not None:
            self.pipelines.path = path

    async def start(self) -> ReloadOutcome:
        """Serves a first version: `PipelineSet.start`.

        Raises:
            PipelineSetClosed: it was removed, or closes.

        """
        async with self._change(None) as pipelines:
            return await pipelines.start()

    async def reload(self, *, trigger: str, force: bool = False, if_version: int | None = None) -> ReloadOutcome:
        """Reloads the set: `PipelineSet.reload`.

        Args:
            trigger: the cause, for logs and the history.
            force: ends a rollback, and accepts the loss of components that work now.
            if_version: the version that must serve when the reload begins; None: any.

        Raises:
            PipelineSetClosed: it was removed, or closes.
            VersionChangedError: another version serves then.

        """
        async with self._change(if_version) as pipelines:
            return await pipelines.reload(trigger=trigger, force=force)

    async def serve(
        self,
        read: ReadConfig,
        *,
        version: int,
        trigger: str,
        force: bool = False,
        rolled_back_to: int | None = None,
        put_aside: ReadConfig | None = None,
    ) -> ReloadOutcome:
        """Serves a configuration that was read and numbered elsewhere: `PipelineSet.serve`.

        Raises:
            PipelineSetClosed: it was removed, or closes.

        """
        async with self._change(None) as pipelines:
            return await pipelines.serve(
                read,
                version=version,
                trigger=trigger,
                force=force,
                rolled_back_to=rolled_back_to,
                put_aside=put_aside,
            )

    async def rollback(self, to: int | None, *, trigger: str, if_version: int | None = None) -> ReloadOutcome:
        """Serves an earlier version again: `PipelineSet.rollback`.

        Raises:
            UnknownVersion: the set keeps no such version.
            PipelineSetClosed: it was removed, or closes.
            VersionChangedError: as for `reload`.

        """
        async with self._change(if_version) as pipelines:
            return await pipelines.rollback(to, trigger=trigger)

    def files(self) -> set[Path]:
        """Returns the absolute paths of its files, including those of a rejected version."""
        return files_of(self.pipelines) if self.pipelines is not None else {absolute_path(self.path)}

    @asynccontextmanager
    async def _change(self, if_version: int | None) -> AsyncIterator[PipelineSet]:
        """Gives the open set for one change; with `if_version`, after all changes that are under way."""
        while if_version is not None and self._changes:
            await self._settled.wait()
        if if_version is not None and if_version != self.version:
            raise VersionChangedError(self.version, if_version)
        self._changes += 1
        try:
            await self._opened.wait()
            self._check_not_removed()
            if self.pipelines is None:
                raise AssertionError("`_opened` is set only when there is a pipeline set")
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
        """Opens the set; returns when it has closed, or after a defect has ended it."""
        before = self.pipelines
        try:
            async with self._open(self) as self.pipelines:
                self.noted = False
                self._opened.set()
                self._on_open()
                await self._removed.wait()
        # The boundary of a set: a defect of one ends neither the engine nor another set.
        except* Exception as errors:
            if self.pipelines is before:
                raise
            error = single(errors)
            reason = f"{type(error).__name__}: {error}"
            self._log.error("upkeep.failed", task="pipeline set", set=self.name, reason=reason, exc_info=error)
            self._failed = True
            if not self._removed.is_set():
                self._opened = trio.Event()  # requests wait from now on until it is open again
            self._settle()

    async def _watch_and_retry(self) -> None:
        with trio.CancelScope() as self._until_removed:
            if not self._removed.is_set():
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch)
                    nursery.start_soon(self._retry)

    async def _retry(self) -> NoReturn:
        """Reloads the set with backoff, after a defect or while none of its components opens."""
        pause = FIRST_PAUSE_S
        while True:
            waited_since = trio.current_time()
            while (trigger := self._reason_to_retry()) is None:
                await self._settled.wait()
            if trio.current_time() - waited_since > MAX_PAUSE_S:
                pause = FIRST_PAUSE_S
            await trio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)
            self._failed = False
            if self.version is None and not self._lost(self.name):
                with suppress(PipelineSetClosed):  # another defect has ended it: the loop goes on
                    await self.reload(trigger=trigger)

    def _reason_to_retry(self) -> str | None:
        """Returns the trigger of a reload that nobody else would request; None if none is needed."""
        if self._failed:
            return FAILURE
        last = self.pipelines.last_attempt if self.pipelines is not None else None
        return RETRY if self.version is None and isinstance(last, Rejected) and last.reason == "open" else None

    async def _watch(self) -> None:
        await self._admitted.wait()
        await self._watches.while_on(self._watch_files)

    async def _watch_files(self) -> None:
        await watch_set(self, self._log)
