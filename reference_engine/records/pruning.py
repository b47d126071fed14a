"""Has a running engine delete what is older than `keep` allows: every hour, in a thread of its own."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from reference_engine.log.log import Log
    from reference_engine.records.retention import PruneResult
    from reference_engine.settings.keep_settings import KeepSettings
    from reference_engine.settings.records_place import RecordsPlace
    from reference_engine.settings.settings import CurrentSettings
    from voicepipe import PipelineSet

EVERY_S = 3600.0
"""The interval of passes, in s."""

FIRST_S = 60.0
"""The time from an engine's start to its first pass, in s."""


class Retention:
    """Deletes what is older than `keep` allows, as long as the engine runs.

    Args:
        current: the settings in force.
        sets: the pipeline sets by name, whose pipelines name the directories of recordings.
        log: gets `retention.*`.

    Attributes:
        deleted: the number of calls whose records, recordings or transcripts were deleted, for metrics.

    """

    def __init__(self, current: CurrentSettings, sets: Mapping[str, PipelineSet], log: Log) -> None:
        self._current, self._sets, self._log = current, sets, log
        self.deleted = dict.fromkeys(("records", "recordings", "transcripts"), 0)

    async def run(self) -> None:
        """Deletes until it is cancelled; a database that is away is tried again after the interval."""
        await trio.sleep(FIRST_S)
        while True:
            settings = self._current.settings
            if settings.keep.ages:
                run = partial(self.prune, settings.records, settings.keep, self._directories())
                await trio.to_thread.run_sync(run, abandon_on_cancel=True)
            await trio.sleep(EVERY_S)

    def prune(self, place: RecordsPlace | None, keep: KeepSettings, directories: Collection[str]) -> None:
        """Does one pass; for another thread than the event loop.

        Args:
            place: the database; None: there is none.
            keep: the times.
            directories: the directories of recordings.

        """
        if place is None or not place.is_database:
            return
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - only what the engine needs

        from reference_engine.records.database import writing_engine  # noqa: PLC0415 - as above
        from reference_engine.records.deleting import RecordingFiles  # noqa: PLC0415 - as above
        from reference_engine.records.remedies import reason_of  # noqa: PLC0415 - as above
        from reference_engine.records.retention import prune  # noqa: PLC0415 - as above

        try:
            result = prune(writing_engine(place), keep, RecordingFiles(directories))
        except (SQLAlchemyError, OSError) as error:
            self._log.warning("retention.failed", database=str(place), reason=reason_of(error))
        else:
            self._report(result)

    def _report(self, result: PruneResult) -> None:
        for what, number in result.deleted.items():
            self.deleted[what] += number
            if number:
                self._log.info("retention.deleted", what=what, calls=number, before=f"{result.before[what]:%FT%TZ}")
        for what, reason in result.refused.items():
            hint = "if it is, say so once: reference-engine records prune FILE --yes"
            self._log.warning("retention.refused", what=what, reason=reason, hint=hint)
        if result.left:
            path, why = next(iter(result.left.items()))
            self._log.warning("retention.files_left", files=len(result.left), first=path, reason=why)

    def _directories(self) -> frozenset[str]:
        configs = [pipelines.current.config for pipelines in self._sets.values() if pipelines.version is not None]
        named = {pipeline.recording.directory for config in configs for pipeline in config.pipelines.values()}
        return frozenset(named - {""})
