"""The versions of a pipeline set: the serving one, those that calls hold, and the latest ones, for a rollback."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio
from attrs import define

from voicepipe.errors import ConfigError, Location, PipelineSetClosed, Problem, UnknownVersion
from voicepipe.pipelines.lease import Lease
from voicepipe.pipelines.outcome import VersionRecord
from voicepipe.pipelines.plan import Plan
from voicepipe.pipelines.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import NoReturn

    from voicepipe.config.settings import SetConfig

KEPT = 10
"""The number of versions that are remembered, besides those that calls hold."""


@define(eq=False)
class _Version:
    snapshot: Snapshot
    lease: Lease
    applied_at: datetime
    trigger: str
    plan: Plan
    pins: int = 0
    retired: bool = False


class Versions:
    """The versions of one pipeline set: the serving one, those that calls hold, and the latest ones, for a rollback.

    Args:
        name: the name of the pipeline set.
        on_retired: called with the number of each version that retires; must not raise.

    """

    def __init__(self, name: str, on_retired: Callable[[int], None]) -> None:
        self._name, self._on_retired = name, on_retired
        self._serving: _Version | None = None
        self._kept: list[_Version] = []
        self._closing = False
        self._unpinned = trio.Event()
        self._served = trio.Event()

    @property
    def serving(self) -> _Version | None:
        """The version that the next call gets; None: no version serves yet."""
        return self._serving

    @property
    def current(self) -> _Version:
        """The version that the next call gets.

        Raises:
            UnknownVersion: no version serves yet.

        """
        if self._serving is None:
            raise UnknownVersion(f"pipeline set {self._name!r} has no version yet: its file has not been served so far")
        return self._serving

    @property
    def live(self) -> int:
        """The number of versions with open components: the serving one and those that calls hold."""
        return sum(not version.retired for version in self._kept)

    @property
    def closing(self) -> bool:
        """Whether the set refuses new calls."""
        return self._closing

    def check_limit(self, most: int, path: Path) -> None:
        """Checks that one more version may be live.

        Raises:
            ConfigError: there would be more live versions than `most`.

        """
        retires = self._serving is not None and not self._serving.pins
        if self.live + 1 - retires > most:
            message = f"{self.live} versions are open already, as many as there may be: calls hold them"
            hint = "wait for old calls to end, set a drain deadline, or raise max_live_versions"
            raise ConfigError([Problem(Location(path), "", message, hint)])

    def records(self) -> tuple[VersionRecord, ...]:
        """Returns the latest versions and all that calls hold, oldest first."""
        return tuple(
            VersionRecord(
                version=version.snapshot.version,
                digest=version.snapshot.digest,
                active_pipeline=version.snapshot.config.active_pipeline,
                applied_at=version.applied_at,
                trigger=version.trigger,
                plan=version.plan,
                calls=version.pins,
                state="serving" if version is self._serving else "retired" if version.retired else "draining",
            )
            for version in self._kept
        )

    def config_of(self, number: int) -> SetConfig:
        """The configuration that a version was built from.

        Raises:
            UnknownVersion: it is not remembered, or no version serves yet.

        """
        for version in self._kept:
            if version.snapshot.version == number:
                return version.snapshot.config
        kept = ", ".join(str(version.snapshot.version) for version in self._kept)
        forgotten = " any more" if 0 < number < self.current.snapshot.version else ""
        raise UnknownVersion(f"pipeline set {self._name!r} has no version {number}{forgotten}; kept: {kept}")

    @contextmanager
    def pin(self) -> Iterator[Snapshot]:
        """Pins the serving version during the block.

        Raises:
            PipelineSetClosed: the set takes no more calls.
            UnknownVersion: no version serves yet.

        """
        if self._closing:
            raise PipelineSetClosed(f"pipeline set {self._name!r} is closing")
        version = self.current
        version.pins += 1
        try:
            yield version.snapshot
        finally:
            version.pins -= 1
            if version.pins == 0:
                self.retire_unused()
                self._unpinned.set()

    @property
    def next(self) -> int:
        """The number of the next version."""
        return self._serving.snapshot.version + 1 if self._serving else 1

    def serve(self, snapshot: Snapshot, lease: Lease, plan: Plan, trigger: str) -> None:
        """Makes a new version the serving one; the one before is retired by `retire_unused`."""
        lease.persist()
        self._serving = _Version(
            snapshot=snapshot,
            lease=lease,
            applied_at=datetime.now(UTC),
            trigger=trigger,
            plan=plan,
        )
        self._kept.append(self._serving)
        self._served.set()

    def retire_unused(self) -> None:
        """Retires the versions that neither serve nor are pinned: releases their leases and reports them."""
        for version in list(self._kept):
            if version is not self._serving and not version.retired and not version.pins:
                version.retired = True
                version.lease.release()
                self._on_retired(version.snapshot.version)
        latest = self._kept[-KEPT:]
        self._kept = [version for version in self._kept[:-KEPT] if not version.retired] + latest

    async def keep_apologies(self) -> NoReturn:
        """Records missing apologies of each version when voices work again, until it is cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                self._served = trio.Event()
                if self._serving is not None:
                    nursery.start_soon(self._serving.lease.keep_apologies)
                await self._served.wait()

    async def close(self, *, wait: bool) -> None:
        """Refuses new calls, and waits for those that are up if `wait` is true."""
        self._closing = True
        while wait and any(version.pins for version in self._kept):
            self._unpinned = trio.Event()
            await self._unpinned.wait()

    def release_all(self) -> None:
        """Releases the leases of all versions, even of those that calls hold."""
        for version in self._kept:
            if not version.retired:
                version.retired = True
                version.lease.release()
