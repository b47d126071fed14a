"""The history of each pipeline set's versions: their numbers and files, on disk and in the database of records.

*Numbers go on* after the highest one that the directory of `last_known_good` or the database of records knows, or that
this process has used: a set that is opened again, after a defect or because it has another file, goes on as well. What
is kept in the directory is there before a call can have the number; a row of the database follows behind.

*If neither can be read,* because the manifest is damaged or the database is away, it is not known which numbers are
used. Then a set goes on with the number of minutes since 1970, which is higher than any that was counted.

*Two openings of one set* at the same time happen while a new file of the engine is tried that gives the set another
file. They count together, and a number that one of them has taken is refused to the other.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from reference_engine.sets.kept_files import (
    UnusableError,
    VersionsOnDisk,
    keep_version,
    last_sources,
    sources_of,
    stored_versions,
)
from voicepipe import ConfigError, ConfigFingerprint, KeptVersion, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from reference_engine.log.log import Log


REMEMBERED = 100
"""The count of numbers of a set for which it is remembered who took them."""


@define(eq=False)
class _Numbers:
    """What the openings of one set share."""

    highest: int = 0
    """The highest number that is known to be used."""
    taken: dict[int, tuple[SetVersions, ConfigFingerprint]] = field(factory=dict)
    """The latest numbers that this process has used: by which opening, and for what."""
    current: tuple[KeptVersion, Mapping[Path, bytes]] | None = None
    """The version that serves, with its files."""
    lock: trio.Lock = field(factory=trio.Lock)
    """Held while the set's directory is written."""
    reported: set[tuple[Path, str]] = field(factory=set)
    """Why directories can't be used, as far as the log says so already."""

    def report(self, log: Log, name: str, directory: Path, reason: str) -> None:
        """Logs once that a directory can't be used."""
        if (directory, reason) not in self.reported:
            self.reported.add((directory, reason))
            log.warning("last_known_good.unusable", set=name, directory=str(directory), reason=reason)


class VersionKeeping:
    """Keeps the versions of all pipeline sets of an engine.

    Args:
        directory: returns the directory that `last_known_good` names, which a reload may change; None: there is none.
        highest_recorded: returns the highest number of a set in the database of records, or None if it can't be read.
        log: gets `last_known_good.unusable` and `.not_kept`, and `versions.not_known`.

    """

    def __init__(
        self,
        directory: Callable[[], Path | None],
        highest_recorded: Callable[[str], Awaitable[int | None]],
        log: Log,
    ) -> None:
        self._directory, self._highest_recorded, self._log = directory, highest_recorded, log
        self._numbers: dict[str, _Numbers] = {}

    def of(self, name: str) -> SetVersions:
        """Returns the history for one opening of a set."""
        numbers = self._numbers.setdefault(name, _Numbers())
        return SetVersions(name, numbers, self._directory, self._highest_recorded, self._log)

    async def last_sources(self, name: str, path: Path) -> Mapping[Path, bytes] | None:
        """Returns the files to serve if the set's own are invalid; None if there is no copy that can be used."""
        directory = self._directory()
        if directory is None:
            return None
        try:
            return await trio.to_thread.run_sync(last_sources, directory, name, path)
        except UnusableError as error:
            self._numbers.setdefault(name, _Numbers()).report(self._log, name, directory, str(error))
            return None

    async def keep_again(self, name: str) -> None:
        """Keeps the serving version of a set once more, because the directory has changed."""
        numbers = self._numbers.get(name)
        if numbers is not None and numbers.current is not None:
            await self.of(name).write(*numbers.current)


class SetVersions:
    """The `VersionHistory` of one opening of a pipeline set.

    Args:
        name: the pipeline set's name.
        numbers: what all openings of the set share.
        directory: as of `VersionKeeping`.
        highest_recorded: as of `VersionKeeping`.
        log: as of `VersionKeeping`.

    """

    def __init__(
        self,
        name: str,
        numbers: _Numbers,
        directory: Callable[[], Path | None],
        highest_recorded: Callable[[str], Awaitable[int | None]],
        log: Log,
    ) -> None:
        self._name, self._numbers, self._directory = name, numbers, directory
        self._highest_recorded, self._log = highest_recorded, log

    @property
    def highest(self) -> int:
        """The highest number that is known to be used."""
        return self._numbers.highest

    async def load(self) -> Sequence[KeptVersion]:
        """Returns the versions on disk, and learns which numbers are used."""
        stored, damaged = VersionsOnDisk(), ""
        if (directory := self._directory()) is not None:
            try:
                stored = await trio.to_thread.run_sync(stored_versions, directory, self._name)
            except UnusableError as error:
                self._numbers.report(self._log, self._name, directory, str(error))
                damaged = "" if isinstance(error.__cause__, NotADirectoryError) else str(error)
        recorded = await self._highest_recorded(self._name)
        highest = max(self._numbers.highest, stored.highest, recorded or 0)
        if not highest and (recorded is None or damaged):
            highest = int(time.time() // 60)
            reason = damaged or "the database of records can't be read"
            self._log.warning("versions.not_known", set=self._name, version=highest + 1, reason=reason)
        self._numbers.highest = highest
        versions = {one.kept.version: one.kept for one in stored.versions}
        if (current := self._numbers.current) is not None:  # of the opening before, which may not be on disk
            versions[current[0].version] = current[0]
        return [versions[number] for number in sorted(versions)]

    async def keep(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        """Takes a number for a version, and writes its files to the disk; a failure of that is logged.

        Raises:
            ConfigError: another opening of the set has taken the number for another configuration.

        """
        self.note(version, sources)
        await self.write(version, sources)

    def note(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        """Takes a number for a version that is written to the disk elsewhere, if at all; raises as `keep` does."""
        numbers, number = self._numbers, version.version
        by, taken = numbers.taken.get(number, (self, version.fingerprint))
        if by is not self and taken != version.fingerprint:
            message = f"version {number} was given to another configuration meanwhile"
            raise ConfigError([Problem(Location(version.path), "", message, "reload again")])
        numbers.taken[number] = self, version.fingerprint
        if len(numbers.taken) > REMEMBERED:
            del numbers.taken[min(numbers.taken)]
        numbers.highest = max(numbers.highest, number)
        numbers.current = version, sources

    async def write(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        """Writes a version to the disk, if there is a directory for it; a failure is logged."""
        if (directory := self._directory()) is None:
            return
        highest = self._numbers.highest
        async with self._numbers.lock:
            try:
                await trio.to_thread.run_sync(keep_version, directory, self._name, version, sources, highest)
                self._numbers.reported.clear()
            except OSError as error:
                reason = error.strerror or str(error)
                self._log.warning("last_known_good.not_kept", set=self._name, directory=str(directory), reason=reason)

    async def sources(self, version: int) -> Mapping[Path, bytes]:
        """Returns the files of a version on disk.

        Raises:
            LookupError: they are not there, or damaged.

        """
        if (current := self._numbers.current) is not None and current[0].version == version:
            return current[1]
        directory = self._directory()
        if directory is None:
            raise LookupError("`last_known_good` names no directory any more")
        try:
            stored = await trio.to_thread.run_sync(stored_versions, directory, self._name)
            for one in stored.versions:
                if one.kept.version == version:
                    return await trio.to_thread.run_sync(sources_of, directory, self._name, one)
        except UnusableError as error:
            raise LookupError(str(error)) from error
        raise LookupError(f"{directory} has no version {version}")
