"""What the store of records tells the log: each failure once, losses once a minute."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from reference_engine.log.log import Log
    from reference_engine.records.lost_calls import LostCall
    from reference_engine.records.row_changes import RowChange
    from reference_engine.settings.records_place import RecordsPlace

REPORT_EVERY_S = 60.0
"""The least time between two reports of rows that are lost, in s."""

_MOST_IDS = 20


class StoreReports:
    """Logs `records.*` for a store; used by its thread.

    Args:
        log: the log.
        place: the database.
        spool: the directory of rows that wait.

    """

    def __init__(self, log: Log, place: RecordsPlace, spool: Path) -> None:
        self._log, self._place, self._spool = log, place, spool
        self._said: set[str] = set()
        self._lost, self._next_at = 0, 0.0

    def failed(self, error: Exception) -> None:
        """Reports an error that should not be, with its traceback, unless the same one was."""
        what = f"{type(error).__name__}: {error}"
        if what not in self._said:
            self._said.add(what)
            self._log.error("records.failed", path=str(self._place), reason=what, exc_info=error)

    def spool_failed(self, path: Path, reason: str) -> None:
        """Reports a file or directory of the spool that can't be used."""
        self._log.error("records.spool_failed", path=str(path), reason=reason)

    def rows_refused(self, refused: Iterable[tuple[RowChange, str]]) -> None:
        """Reports rows that the database refuses, the first of each table."""
        for change, reason in refused:
            if change.table not in self._said:
                self._said.add(change.table)
                named = {"table": change.table, "call_id": change.row.get("call_id")}
                self._log.error("records.refused", **named, reason=reason)

    def calls_lost(self, lost: Sequence[LostCall]) -> None:
        """Reports calls whose engine is gone."""
        ids = [call.call_id for call in lost[:_MOST_IDS]]
        self._log.warning("records.calls_lost", calls=len(lost), call_ids=ids, reason="their engine is gone")

    def database_refused(self, error: Exception) -> None:
        """Reports that nothing can be stored until somebody changes the database."""
        self._log.error("records.database_refused", **self._named(), reason=str(error))

    def database_away(self, reason: str, hint: str, waiting: int) -> None:
        """Reports that rows wait from now on."""
        more = {"hint": hint} if hint else {}
        self._log.error(
            "records.database_away", **self._named(), reason=reason, waiting=waiting, spool=str(self._spool), **more
        )

    def database_back(self, away_s: float) -> None:
        """Reports that all that had waited is stored."""
        self._log.info("records.database_back", database=str(self._place), away_s=round(away_s, 1))

    def losses(self, lost: int, waiting: int, spool_reason: str, *, is_last: bool = False) -> None:
        """Reports rows that were lost since the last report, or that wait for the disk.

        Args:
            lost: the number of rows that were lost so far.
            waiting: the number of rows in memory.
            spool_reason: why the spool can't be written; empty: it can.
            is_last: whether there is no later report, so that this one does not wait for its time.

        """
        now = monotonic()
        is_early = now < self._next_at and not is_last
        if is_early or (lost == self._lost and not spool_reason):
            return
        self._next_at = now + REPORT_EVERY_S
        reason = spool_reason or "see the records before"
        self._log.error("records.failed", path=str(self._spool), lost=lost - self._lost, waiting=waiting, reason=reason)
        self._lost = lost

    def _named(self) -> dict[str, str]:
        setting = {"setting": f"{self._place.where}: records"} if self._place.where else {}
        return {"database": str(self._place), **setting}
