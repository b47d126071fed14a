"""Watches files and reloads when one of them changes: by events of the kernel, and by polling for what has none.

Theory of operation
===================

*What is watched.* Somebody (a pipeline set, or the engine for its own file) names files and a function that reloads
them. `watchpoints.py` computes the directories to watch for these files, and the paths in them that matter. Both depend
on symlinks and on which directories exist, so they are computed again after each reload.

*One round.* `_FileWatcher.follow` does this:

    compute the watch points -> begin to watch -> stat all files -> reload -> do the watch points still hold?
                                                    ^                              | no: return, and begin again
                                                    |                              v yes
                                                    +------ 300 ms of quiet <- a change

The watch begins before the files are read. A change before the watch began is in what is read then; a change after it
makes an event. So none is missed, at the price of one reload whenever a watch begins. That reload is cheap: if nothing
has changed, its outcome is `unchanged`.

*Quiet.* A change is acted on when no other has followed for `QUIET_MS`, because a program may write several files, or
one in several steps. A file that is written all the time is acted on after `MAX_DELAY_MS` all the same.

*Two ways to see a change.* Events come from `watchfiles` (inotify). Its `watch` blocks a thread, one per watcher, which
is asked to stop by an event that it looks at. There are changes without events: the kernel watches an inode, so a
directory further up may be replaced without one; a file may be a mount of its own; and a network file system has no
events for what another machine writes. So every `POLL_S` all files are compared with what they were when they were read
(`states_of`: device, inode, size, times). Whichever way sees a change first cancels the other (`_wait_for_change`).

*When the watch is stale.* The kernel goes on watching a directory that was removed or renamed. An event that says so
about a watched directory, or watch points that differ after a reload, end the round, and the next one watches anew.

*Failures.* If the system's limit of watches is reached, or a directory disappears at the wrong moment, `watch.failed`
is logged and the files are only polled for `RETRY_S`, then events are tried again; the pause doubles up to
`MAX_RETRY_S`. Changes are seen meanwhile, only later. `PipelineSetClosed` from `reload` ends the watch: there is
nothing left to do.

*Threads.* Every `stat` may hang on a network drive that does not answer. Each watcher has limiters of its own, so that
it occupies at most two threads, and none that another watcher waits for.
"""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from math import inf
from threading import Event
from typing import TYPE_CHECKING, Protocol, TypeVar

import trio
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from reference_engine.upkeep.tasks import single
from reference_engine.watch.watchpoints import State, WatchPoints, states_of, watchpoints_of
from voicepipe import PipelineSetClosed, Rejected, absolute_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from reference_engine.log.log import Log
    from voicepipe import PipelineSet

QUIET_MS = 300
"""A change is acted on when no other has followed for this long, so that all files of one edit are read together."""

MAX_DELAY_MS = 2000
"""The longest that further changes may delay the reload."""

POLL_S = 5.0
"""Interval at which files are compared with their last state, in s: the delay of changes that make no event."""

RETRY_S = 5.0
"""Time of polling only after a watch has failed, in s; it doubles with each further failure."""

MAX_RETRY_S = 80.0
"""The longest such time, in s."""

_MODIFIED = 2  # of watchfiles.Change

Result = TypeVar("Result")


class Reloadable(Protocol):
    """An object that reads files, and can read them again."""

    @property
    def name(self) -> str:
        """The name in log records."""

    def files(self) -> Iterable[Path]:
        """Returns the absolute paths of the files that it reads, including files that are missing."""

    async def reload(self, *, trigger: str) -> object:
        """Reads the files; returns when that is done."""


def files_of(pipelines: PipelineSet) -> set[Path]:
    """Returns the files of a pipeline set: those that serve, and those of the last attempt if it was rejected."""
    last = pipelines.last_attempt  # the change that mends it may be in a file that only the rejected version names
    served = pipelines.current.config.files if pipelines.version is not None else (absolute_path(pipelines.path),)
    return {*served, *(last.files if isinstance(last, Rejected) else ())}


async def watch_set(served: Reloadable, log: Log) -> None:
    """Reloads a set when one of its files changes, until it is cancelled or the set closes."""
    await reload_on_changes(served.files, partial(served.reload, trigger="watch"), log, set=served.name)


async def reload_on_changes(
    files: Callable[[], Iterable[Path]], reload: Callable[[], Awaitable[object]], log: Log, **fields: str
) -> None:
    """Calls `reload` when one of some files changes, until it is cancelled or `reload` raises `PipelineSetClosed`.

    It calls `reload` also when a watch begins. Failures are logged, and the watch is tried again. Cancellation may take
    up to `QUIET_MS`, until the watching thread has looked at its stop event.

    Args:
        files: returns the absolute paths to watch, including those of missing files; called again after each reload.
        reload: reads the files; returns when that is done.
        log: gets `watch.failed`.
        fields: further fields of that record, such as `set`.

    """
    watcher = _FileWatcher(files, reload)
    by_events, again_s, closed = True, RETRY_S, False
    while not closed:
        began, failed = trio.current_time(), False
        try:
            try:
                await watcher.follow(by_events, until=inf if by_events else began + again_s)
            except PipelineSetClosed:
                closed = True
        # A directory disappeared after the watch points were computed, the limit of watches is reached, or a defect.
        except* Exception as errors:  # noqa: BLE001
            failed, error = True, single(errors)
            if trio.current_time() - began > MAX_RETRY_S:
                again_s = RETRY_S
            expected = isinstance(error, OSError | WatchfilesRustInternalError)
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            traceback = {} if expected else {"exc_info": error}
            log.error("watch.failed", **fields, reason=reason, again_s=again_s, **traceback)  # noqa: TRY400
        if failed and not by_events:
            await trio.sleep(again_s)
        if not by_events:
            again_s = min(again_s * 2, MAX_RETRY_S)
        by_events = not (by_events and failed)


class _FileWatcher:
    """Watches the files of one `Reloadable`, and remembers their state when they were last read."""

    def __init__(self, files: Callable[[], Iterable[Path]], reload: Callable[[], Awaitable[object]]) -> None:
        self._files, self._reload = files, reload
        self._read: dict[Path, State] | None = None
        # Limiters of its own: the default limiter's threads may all wait for events or for a drive that hangs.
        self._waiting, self._polling = trio.CapacityLimiter(1), trio.CapacityLimiter(1)

    async def follow(self, by_events: bool, *, until: float) -> None:
        """Reloads the files when they change; returns when the watch points have changed, or at `until`.

        Args:
            by_events: whether to watch by events as well. If not, the files are only polled, and the first reload is
                left out if they have not changed since the last one.
            until: a time on trio's clock.

        Raises:
            PipelineSetClosed: the files are not needed any more.
            OSError: a directory can't be watched.
            WatchfilesRustInternalError: events can't be received.

        """
        points = await self._in_thread(watchpoints_of)
        watch = await trio.to_thread.run_sync(_watch, points) if by_events else None
        with watch or nullcontext():
            while True:
                states = await self._in_thread(states_of)
                if by_events or states != self._read:
                    self._read = states
                    await self._reload()
                if await self._in_thread(watchpoints_of) != points:
                    return
                if not await self._wait_for_change(watch, points, until):
                    return

    async def _in_thread(self, examine: Callable[[Iterable[Path]], Result]) -> Result:
        files = tuple(self._files())
        return await trio.to_thread.run_sync(examine, files, limiter=self._polling, abandon_on_cancel=True)

    async def _wait_for_change(self, watch: RustNotify | None, points: WatchPoints, until: float) -> bool:
        """Waits for a relevant change since the files were read, and for the quiet after it.

        Returns:
            True if the same watch will see the next change too; False if it is stale, or at `until`.

        """
        still_valid = False
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = until

            async def first(see_change: Callable[[], Awaitable[bool]]) -> None:
                nonlocal still_valid
                still_valid = await see_change()
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, self._poll)
            if watch is not None:
                nursery.start_soon(first, partial(self._receive_events, watch, points))
        await trio.lowlevel.checkpoint_if_cancelled()
        return still_valid

    async def _receive_events(self, watch: RustNotify, points: WatchPoints) -> bool:
        stop = Event()  # the thread checks it now and then; nothing else can interrupt it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_set_on_exit, stop)
            while True:
                result = await trio.to_thread.run_sync(
                    watch.watch, MAX_DELAY_MS, QUIET_MS, 0, stop, limiter=self._waiting
                )
                await trio.lowlevel.checkpoint_if_cancelled()
                changes = set() if isinstance(result, str) else result
                if any(points.concern(path) for _kind, path in changes):
                    nursery.cancel_scope.cancel()
                    return not any(kind != _MODIFIED and points.watched(path) for kind, path in changes)

    async def _poll(self) -> bool:
        while True:
            await trio.sleep(POLL_S)
            states = await self._in_thread(states_of)
            if states != self._read:
                with trio.move_on_after(MAX_DELAY_MS / 1000):
                    await self._wait_for_quiet(states)
                return True

    async def _wait_for_quiet(self, states: dict[Path, State]) -> None:
        while True:
            await trio.sleep(QUIET_MS / 1000)
            before, states = states, await self._in_thread(states_of)
            if states == before:
                return


def _watch(points: WatchPoints) -> RustNotify:
    # `watchfiles.awatch` is built on this class, but does not say when it has begun to watch.
    return RustNotify(
        sorted(points.directories),
        debug=False,
        force_polling=False,
        poll_delay_ms=300,
        recursive=False,
        ignore_permission_denied=False,
    )


async def _set_on_exit(stop: Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stop.set()
