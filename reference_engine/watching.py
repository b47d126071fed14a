"""Reloads what was read from files when one of them changes, without being asked."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from threading import Event
from typing import TYPE_CHECKING, Protocol

import trio
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from reference_engine.watchpoints import WatchPoints, watchpoints_of
from voicepipe import PipelineSetClosed, Rejected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from reference_engine.telemetry import Log
    from voicepipe import PipelineSet

QUIET_MS = 300
"""A change is acted on when none has followed for so long: whoever writes several files is given time to finish."""

MOST_MS = 2000
"""How long that may put it off."""

AGAIN_S = 5.0
"""How long to wait after the watch itself failed."""


class Watched(Protocol):
    """What reads files, and is to read them again when they change."""

    @property
    def name(self) -> str:
        """As logs call it."""

    def files(self) -> Iterable[Path]:
        """Absolute paths of what it was read from, those of files that should be there included."""

    async def reload(self, *, trigger: str) -> object:
        """Reads them, and is done when that is."""


def files_of(pipelines: PipelineSet) -> set[Path]:
    """What a pipeline set is to be reloaded for: its files, and those that were named last and refused."""
    last = pipelines.last_attempt  # of those, the one that is missing may appear
    return {*pipelines.current.config.files, *(last.files if isinstance(last, Rejected) else ())}


async def watch_set(served: Watched, log: Log) -> None:
    """Reloads a set whenever one of its files changes, until it is cancelled or the set closes."""
    with suppress(PipelineSetClosed):
        await reload_on_changes(served.files, partial(served.reload, trigger="watch"), log, set=served.name)


async def reload_on_changes(
    files: Callable[[], Iterable[Path]], reload: Callable[[], Awaitable[object]], log: Log, **whose: str
) -> None:
    """Reloads whenever one of some files changes, until it is cancelled or `reload` raises.

    It reloads once when the watch begins, and whenever it begins anew because the files became others: what changed
    before is read, what changes after is seen. Cancelling it takes up to `QUIET_MS`.

    Args:
        files: absolute paths, those of files that should be there included; asked again after each reload.
        reload: reads the files, and is done when that is.
        log: told when watching fails, which is tried again.
        whose: what that record bears, such as `set`.

    """
    while True:
        try:
            await _reload_until_others(files, reload)
        except* (OSError, WatchfilesRustInternalError) as errors:
            # A directory has gone since it was looked at, or the system's limit of watches is reached.
            log.error("watch.failed", **whose, reason=str(errors.exceptions[0]), again_s=AGAIN_S)  # noqa: TRY400
            await trio.sleep(AGAIN_S)


async def _reload_until_others(files: Callable[[], Iterable[Path]], reload: Callable[[], Awaitable[object]]) -> None:
    """Watches what leads to the files, and reloads them until that is something else."""
    points = await trio.to_thread.run_sync(watchpoints_of, files())
    with await trio.to_thread.run_sync(_watch, points) as changes:
        while True:
            await reload()
            if await trio.to_thread.run_sync(watchpoints_of, files()) != points:
                return
            await _changed(changes, points)


def _watch(points: WatchPoints) -> RustNotify:
    # `watchfiles.awatch` is built on this, and doesn't tell when it has begun to watch.
    return RustNotify(
        sorted(points.directories),
        debug=False,
        force_polling=False,
        poll_delay_ms=300,
        recursive=False,
        ignore_permission_denied=False,
    )


async def _changed(changes: RustNotify, points: WatchPoints) -> None:
    """Waits for a change that matters, since the watch began or the last one, and for the quiet after it."""
    own = trio.CapacityLimiter(1)  # many may wait so, and must not use up the threads of everybody else
    stop = Event()  # the thread looks at it now and then; nothing else can interrupt it
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_at_the_end, stop)
        while not stop.is_set():
            found = await trio.to_thread.run_sync(changes.watch, MOST_MS, QUIET_MS, 0, stop, limiter=own)
            if not isinstance(found, str) and any(points.concern(path) for _kind, path in found):
                break
        nursery.cancel_scope.cancel()
    await trio.lowlevel.checkpoint_if_cancelled()


async def _set_at_the_end(stop: Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stop.set()
