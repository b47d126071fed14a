"""Reloads what was read from files when one of them changes, without being asked."""

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
"""A change is acted on when none has followed for so long: whoever writes several files is given time to finish."""

MOST_MS = 2000
"""How long that may put it off."""

LOOK_S = 5.0
"""How often files are looked at besides, in s: how late a change may be seen of which there is no event."""

AGAIN_S = 5.0
"""How long to wait after the watch itself failed, in s; until then the files are looked at. It doubles each time."""

MOST_AGAIN_S = 80.0
"""The longest such wait, in s."""

_MODIFIED = 2  # of watchfiles.Change

Seen = TypeVar("Seen")


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
    served = pipelines.current.config.files if pipelines.version is not None else (absolute_path(pipelines.path),)
    return {*served, *(last.files if isinstance(last, Rejected) else ())}


async def watch_set(served: Watched, log: Log) -> None:
    """Reloads a set whenever one of its files changes, until it is cancelled or the set closes."""
    await reload_on_changes(served.files, partial(served.reload, trigger="watch"), log, set=served.name)


async def reload_on_changes(
    files: Callable[[], Iterable[Path]], reload: Callable[[], Awaitable[object]], log: Log, **fields: str
) -> None:
    """Reloads whenever one of some files changes, until it is cancelled or `reload` raises `PipelineSetClosed`.

    It reloads once when the watch begins, and whenever it begins anew because the files became others: what changed
    before is read, what changes after is seen. The system tells of changes by events; besides, the files are looked at
    every `LOOK_S`, for there are changes without any. Whatever fails is logged as `watch.failed`; the files are then
    looked at, and the watch is tried again. Cancelling it takes up to `QUIET_MS`.

    Args:
        files: absolute paths, those of files that should be there included; asked again after each reload.
        reload: reads the files, and is done when that is.
        log: told when watching fails, which is tried again.
        fields: further fields of that record, such as `set`.

    """
    following = _Following(files, reload)
    by_events, again_s, closed = True, AGAIN_S, False
    while not closed:
        began, failed = trio.current_time(), False
        try:
            try:
                await following.follow(by_events, until=inf if by_events else began + again_s)
            except PipelineSetClosed:
                closed = True
        # A directory has gone since it was looked at, the system's limit of watches is reached, or a defect.
        except* Exception as errors:  # noqa: BLE001
            failed, error = True, single(errors)
            if trio.current_time() - began > MOST_AGAIN_S:
                again_s = AGAIN_S
            expected = isinstance(error, OSError | WatchfilesRustInternalError)
            reason = str(error) if expected else f"{type(error).__name__}: {error}"
            traceback = {} if expected else {"exc_info": error}
            log.error("watch.failed", **fields, reason=reason, again_s=again_s, **traceback)  # noqa: TRY400
        if failed and not by_events:
            await trio.sleep(again_s)
        if not by_events:
            again_s = min(again_s * 2, MOST_AGAIN_S)
        by_events = not (by_events and failed)


class _Following:
    """The files of one who has them watched, and what they were when they were read last."""

    def __init__(self, files: Callable[[], Iterable[Path]], reload: Callable[[], Awaitable[object]]) -> None:
        self._files, self._reload = files, reload
        self._read: dict[Path, State] | None = None
        # Threads of its own, for many may wait so: for events, and for a drive that does not answer.
        self._waiting, self._looking = trio.CapacityLimiter(1), trio.CapacityLimiter(1)

    async def follow(self, by_events: bool, *, until: float) -> None:
        """Reloads the files when they change, until something else has to be watched for them, or it is that late.

        Without events they are only looked at, and not read at first if they are what they were.
        """
        points = await self._look(watchpoints_of)
        watch = await trio.to_thread.run_sync(_watch, points) if by_events else None
        with watch or nullcontext():
            while True:
                states = await self._look(states_of)
                if by_events or states != self._read:
                    self._read = states
                    await self._reload()
                if await self._look(watchpoints_of) != points:
                    return
                if not await self._changed(watch, points, until):
                    return

    async def _look(self, what: Callable[[Iterable[Path]], Seen]) -> Seen:
        files = tuple(self._files())
        return await trio.to_thread.run_sync(what, files, limiter=self._looking, abandon_on_cancel=True)

    async def _changed(self, watch: RustNotify | None, points: WatchPoints, until: float) -> bool:
        """Waits for a change that matters since the files were read, and for the quiet after it.

        Returns:
            Whether the same watch tells of the next one too; False also if it became that late.

        """
        go_on = False
        async with trio.open_nursery() as nursery:
            nursery.cancel_scope.deadline = until

            async def first(seen: Callable[[], Awaitable[bool]]) -> None:
                nonlocal go_on
                go_on = await seen()
                nursery.cancel_scope.cancel()

            nursery.start_soon(first, self._seen_by_looking)
            if watch is not None:
                nursery.start_soon(first, partial(self._seen_by_events, watch, points))
        await trio.lowlevel.checkpoint_if_cancelled()
        return go_on

    async def _seen_by_events(self, watch: RustNotify, points: WatchPoints) -> bool:
        stop = Event()  # the thread looks at it now and then; nothing else can interrupt it
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_set_at_the_end, stop)
            while True:
                result = await trio.to_thread.run_sync(watch.watch, MOST_MS, QUIET_MS, 0, stop, limiter=self._waiting)
                await trio.lowlevel.checkpoint_if_cancelled()
                changes = set() if isinstance(result, str) else result
                if any(points.concern(path) for _kind, path in changes):
                    nursery.cancel_scope.cancel()
                    return not any(kind != _MODIFIED and points.watched(path) for kind, path in changes)

    async def _seen_by_looking(self) -> bool:
        while True:
            await trio.sleep(LOOK_S)
            states = await self._look(states_of)
            if states != self._read:
                with trio.move_on_after(MOST_MS / 1000):
                    await self._quiet(states)
                return True

    async def _quiet(self, states: dict[Path, State]) -> None:
        while True:
            await trio.sleep(QUIET_MS / 1000)
            before, states = states, await self._look(states_of)
            if states == before:
                return


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


async def _set_at_the_end(stop: Event) -> None:
    try:
        await trio.sleep_forever()
    finally:
        stop.set()
