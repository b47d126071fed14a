"""Deletes what is older than `keep` of engine.yaml allows, in a thread of its own, every hour.

A clock that jumps
==================

A wall clock that jumps forward by years makes everything old at once, and nobody must lose all records to a battery.
So what is due is deleted without a question only if that is what a working clock would bring about:

- The last deletion by `keep` reached within `USUAL_STEP` of the present one: time has gone on as it does. For that
  a pass with nothing to delete is noted once a day, in the table `deletions`.
- Or else (the first time, after a long pause, after `keep` was shortened) at most half of the calls are due, and the
  newest call is not among them.

Otherwise nothing is deleted, and `retention.refused` says so, every hour; `reference-engine records prune --yes` is an
operator's word that the clock is right, and after that the engine goes on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import field, frozen
from sqlalchemy import func, select

from reference_engine.records.deleting import (
    RecordingFiles,
    count_calls,
    delete_recordings,
    delete_records,
    delete_transcripts,
    having,
    note_deletion,
    over_before,
    scrub,
)
from reference_engine.records.tables import calls, deletions

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from reference_engine.settings.keep_settings import KeepSettings

PAUSE_S = 0.05
"""The pause between two transactions, in which others write, in s."""

USUAL_STEP = timedelta(days=3)
"""The most by which two passes of a running engine lie apart, with a weekend of it being off."""

NOTED_EVERY = timedelta(days=1)
"""How often a pass with nothing to delete is noted."""


@frozen(kw_only=True)
class PruneResult:
    """What a pass did, or would do."""

    deleted: Mapping[str, int] = field(factory=dict)
    """The number of calls whose records, recordings or transcripts were deleted, or are due in a dry run."""
    refused: Mapping[str, str] = field(factory=dict)
    """Why something was not deleted, by `records`, `recordings` and `transcripts`."""
    left: Mapping[str, str] = field(factory=dict)
    """Recordings that had to stay, by path, with the reason."""
    before: Mapping[str, datetime] = field(factory=dict)
    """The time before which calls are due, by the same names."""


def prune(
    engine: Engine,
    keep: KeepSettings,
    files: RecordingFiles,
    *,
    now: datetime | None = None,
    confirmed: bool = False,
    dry_run: bool = False,
    pause: Callable[[], object] = lambda: time.sleep(PAUSE_S),
) -> PruneResult:
    """Deletes what is older than `keep` allows.

    Args:
        engine: a database of records, for writing.
        keep: the times.
        files: deletes recordings.
        now: the time; None: that of the clock.
        confirmed: whether somebody has said that the clock is right.
        dry_run: only counts.
        pause: called between two transactions.

    """
    now = datetime.now(UTC) if now is None else now
    deleted: dict[str, int] = {}
    refused: dict[str, str] = {}
    before = {what: now - age for what, age in keep.ages.items()}
    for what, limit in before.items():
        if not confirmed and (reason := _objection(engine, what, limit)):
            refused[what] = reason
        elif dry_run:
            deleted[what] = count_calls(engine, over_before(limit) & having(what))
        else:
            deleted[what] = _delete(engine, what, limit, files, str(getattr(keep, what)), pause)
            _note(engine, now, what, limit, deleted[what])
    if not dry_run and (deleted.get("records") or deleted.get("transcripts")):
        scrub(engine, pause)
    return PruneResult(deleted=deleted, refused=refused, left=dict(files.left), before=before)


def _delete(  # noqa: PLR0917 - all that a deletion needs
    engine: Engine, what: str, limit: datetime, files: RecordingFiles, age: str, pause: Callable[[], object]
) -> int:
    due = over_before(limit)
    match what:
        case "records":
            return len(delete_records(engine, due, files.delete, pause))
        case "recordings":
            return delete_recordings(engine, due, files.delete, f"deleted after {age}", pause)
        case _:
            return delete_transcripts(engine, due, pause)


def _objection(engine: Engine, what: str, limit: datetime) -> str:
    """Returns why a clock that has jumped might be the reason that so much is due; empty: it is not."""
    with engine.connect() as connection:
        by_keep = select(func.max(deletions.c.before)).where(deletions.c.what == what, deletions.c.reason == "keep")
        last = connection.execute(by_keep).scalar_one()
        newest = connection.execute(select(func.max(calls.c.began))).scalar_one()
    if newest is None or (last is not None and abs(limit - last) <= USUAL_STEP):
        return ""
    due = count_calls(engine, over_before(limit) & having(what))
    if not due:
        return ""
    total = count_calls(engine, having(what))
    if newest < limit:
        return f"all {total} would go, and no call has come since {newest:%Y-%m-%d}: is the clock right?"
    if due * 2 > total:
        return f"{due} of {total} would go at once: is the clock right?"
    return ""


def _note(engine: Engine, now: datetime, what: str, limit: datetime, number: int) -> None:
    with engine.begin() as connection:
        same = (deletions.c.what == what) & (deletions.c.reason == "keep")
        last = connection.execute(select(func.max(deletions.c.before)).where(same)).scalar_one()
        if number or last is None or limit - last >= NOTED_EVERY:
            note_deletion(connection, now, what, "keep", limit, number)
