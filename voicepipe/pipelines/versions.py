"""The versions of a pipeline set: the serving one, those that calls hold, and the latest ones, for a rollback."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio
from attrs import define

from voicepipe.errors import ConfigError, Location, PipelineSetClosed, Problem, UnknownVersion
from voicepipe.pipelines.kept_versions import KeptVersion
from voicepipe.pipelines.lease import Lease
from voicepipe.pipelines.outcome import VersionRecord
from voicepipe.pipelines.plan import Plan
from voicepipe.pipelines.read_config import ReadConfig
from voicepipe.pipelines.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
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
    rolled_back_to: int | None
    kept: KeptVersion | None
    read: ReadConfig | None
    pins: int = 0
    retired: bool = False


class Versions:
    """The versions of one pipeline set: the serving one, those that calls hold, and the latest ones, for a rollback.

    Args:
        name: the name of the pipeline set.
        on_retired: called with the number of each version that retires; must not raise.
        highest: returns the highest number that earlier processes, or others, have used.

    """

    def __init__(self, name: str, on_retired: Callable[[int], None], highest: Callable[[], int] = lambda: 0) -> None:
        self._name, self._on_retired, self._highest = name, on_retired, highest
        self._serving: _Version | None = None
        self._kept: list[_Version] = []
        self._past: tuple[KeptVersion, ...] = ()
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
            raise ConfigError([Problem(Location.of_whole(path), "", message, hint)])

    def go_on(self, past: Iterable[KeptVersion]) -> None:
        """Adds the versions of earlier processes, before the first version of this one."""
        self._past = tuple(past)

    @property
    def last_of_past(self) -> KeptVersion | None:
        """The version that served last before this process, as long as none serves; None if it is not kept."""
        last = self._past[-1] if self._past and self._serving is None else None
        return last if last is not None and last.version >= self._highest() else None

    @property
    def earlier(self) -> tuple[KeptVersion, ...]:
        """The versions of earlier processes that are among the latest ones, oldest first."""
        own = {version.snapshot.version for version in self._kept}
        earlier = tuple(kept for kept in self._past if kept.version not in own)
        return earlier[-most:] if (most := KEPT - len(self._kept)) > 0 else ()

    def records(self) -> tuple[VersionRecord, ...]:
        """Returns the latest versions and all that calls hold, oldest first."""
        earlier = (
            VersionRecord(
                version=kept.version,
                digest=kept.fingerprint.digest,
                active_pipeline=kept.active_pipeline,
                applied_at=kept.applied_at,
                trigger=kept.trigger,
                plan=kept.plan,
                calls=0,
                state="retired",
                rolled_back_to=kept.rolled_back_to,
                earlier_run=True,
            )
            for kept in self.earlier
        )
        own = (
            VersionRecord(
                version=version.snapshot.version,
                digest=version.snapshot.digest,
                active_pipeline=version.snapshot.config.active_pipeline,
                applied_at=version.applied_at,
                trigger=version.trigger,
                plan=version.plan,
                calls=version.pins,
                state="serving" if version is self._serving else "retired" if version.retired else "draining",
                rolled_back_to=version.rolled_back_to,
            )
            for version in self._kept
        )
        return (*earlier, *own)

    def before_serving(self) -> int:
        """Returns the number of the version to which a rollback goes by default: the one before the serving version.

        Of versions of earlier processes, those that have the configuration which serves are skipped.

        Raises:
            UnknownVersion: no version serves yet, and none is kept of an earlier process.

        """
        if self._serving is None and (earlier := self.earlier):
            return earlier[-1].version
        current = self.current.snapshot
        own = (version.snapshot.version for version in self._kept)
        others = (kept.version for kept in self.earlier if kept.fingerprint.digest != current.digest)
        return max((number for number in (*own, *others) if number < current.version), default=current.version - 1)

    def config_of(self, number: int) -> SetConfig:
        """Returns the configuration that a version of this process was built from.

        Raises:
            UnknownVersion: it is not remembered, is of an earlier process, or no version serves yet.

        """
        found = self.find(number)
        if isinstance(found, KeptVersion):
            message = (
                f"version {number} of pipeline set {self._name!r} is of an earlier run: read it by `read_config_of`"
            )
            raise UnknownVersion(message)
        return found

    def find(self, number: int) -> SetConfig | KeptVersion:
        """Returns the configuration of a version, or what is kept of it if it is of an earlier process.

        Raises:
            UnknownVersion: it is not remembered, or no version serves yet.

        """
        for version in self._kept:
            if version.snapshot.version == number:
                return version.snapshot.config
        for kept in self.earlier:
            if kept.version == number:
                return kept
        kept_numbers = ", ".join(str(record.version) for record in self.records())
        forgotten = " any more" if 0 < number < self.current.snapshot.version else ""
        raise UnknownVersion(f"pipeline set {self._name!r} has no version {number}{forgotten}; kept: {kept_numbers}")

    def read_of(self, config: SetConfig) -> ReadConfig:
        """Returns the configuration of a version of this process as it was read."""
        reads = (version.read for version in self._kept if version.snapshot.config is config)
        return next((read for read in reads if read is not None), ReadConfig(config))

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
        return max(self._serving.snapshot.version if self._serving else 0, self._highest()) + 1

    def serve(
        self,
        snapshot: Snapshot,
        lease: Lease,
        plan: Plan,
        trigger: str,
        *,
        rolled_back_to: int | None = None,
        kept: KeptVersion | None = None,
        read: ReadConfig | None = None,
    ) -> None:
        """Makes a new version the serving one; the one before is retired by `retire_unused`."""
        lease.persist()
        self._serving = _Version(
            snapshot=snapshot,
            lease=lease,
            applied_at=datetime.now(UTC) if kept is None else kept.applied_at,
            trigger=trigger,
            plan=plan,
            rolled_back_to=rolled_back_to,
            kept=kept,
            read=read,
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
