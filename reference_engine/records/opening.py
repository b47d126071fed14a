"""Opens what keeps records of calls, as `records` of engine.yaml says: a file, a database, or nothing."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from reference_engine.errors import EngineError
from reference_engine.records.runs import EngineRun
from voicepipe import __version__, absolute_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.log.log import Log
    from reference_engine.records.store import RecordStore
    from reference_engine.settings.records_place import RecordsPlace
    from reference_engine.settings.settings import EngineSettings


@contextmanager
def open_store(settings: EngineSettings, log: Log, *, worker: int | None = None) -> Iterator[RecordStore | None]:
    """Opens the store of records in a database, and closes it on exit; None if `records` names no database.

    Args:
        settings: the engine's.
        log: gets `records.*`.
        worker: the number of this process, from 1, if the engine has several.

    """
    place = settings.records
    if place is None or not place.is_database:
        yield None
        return
    from reference_engine.records.store import RecordStore  # noqa: PLC0415 - only what the engine needs

    types = {listener.name: listener.type for listener in settings.listeners}
    with RecordStore(
        place,
        spool_directory(place, settings.records_spool),
        EngineRun.of_this_process(settings.name, worker),
        log=log,
        software=__version__,
        transport_of=lambda listener: types.get(listener, ""),
        group=settings.records_readable_by == "group",
    ) as store:
        yield store


async def until_ready(store: RecordStore | None) -> None:
    """Waits until a store, if there is one, was opened, or its database is found to be away: then rows wait on disk.

    Raises:
        EngineError: the database's schema is not fit.

    """
    if store is None:
        return
    from reference_engine.records.store import RecordsRefusedError  # noqa: PLC0415 - as above

    try:
        await trio.to_thread.run_sync(store.wait_ready, abandon_on_cancel=True)
    except RecordsRefusedError as error:
        raise EngineError(f"{store.place.named}: {error}") from None


def spool_directory(place: RecordsPlace, configured: Path | None) -> Path:
    """Returns the directory where rows wait while a database is away, which `records_spool` of engine.yaml may name."""
    if configured is not None:
        return configured
    if place.path is not None:
        return place.path.with_name(f"{place.path.name}-spool")
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return absolute_path(Path(state) if state else _user_state() / "voicepipe") / "records-spool"


def _user_state() -> Path:
    given = os.environ.get("XDG_STATE_HOME")
    return Path(given) if given else Path.home() / ".local/state"
