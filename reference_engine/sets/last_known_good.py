"""Gives the last known good files to a start with invalid ones, and says that they serve."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reference_engine.log.log import Log
    from reference_engine.sets.set_versions import VersionKeeping
    from voicepipe import PipelineSet


class LastKnownGood:
    """Gives the copies that versions left to a start.

    Args:
        versions: keeps the versions with their files.
        sets: the pipeline sets by name, with a version or without.
        log: gets `last_known_good.serves`.

    """

    def __init__(self, versions: VersionKeeping, sets: Mapping[str, PipelineSet], log: Log) -> None:
        self._versions, self._sets, self._log = versions, sets, log
        self._waiting: dict[str, None] = {}
        self._requested = trio.Event()

    async def sources(self, name: str, path: Path) -> Mapping[Path, bytes] | None:
        """Returns the files to serve if the set's own are invalid; None if there is no copy that can be used."""
        return await self._versions.last_sources(name, path)

    def started(self, pipelines: PipelineSet) -> None:
        """Logs a warning if the first version of a set is the copy."""
        if pipelines.last_known_good:
            current = pipelines.current
            self._log.warning(
                "last_known_good.serves", set=pipelines.name, version=current.version, digest=current.digest
            )

    def keep_all(self) -> None:
        """Has the versions of all sets copied, because the directory has changed."""
        self._waiting |= dict.fromkeys(self._sets)
        self._requested.set()

    async def keep(self) -> None:
        """Copies the requested versions one after the other, until it is cancelled."""
        while True:
            await self._requested.wait()
            self._requested = trio.Event()
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                await self._versions.keep_again(name)
