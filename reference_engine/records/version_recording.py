"""Records what calls run on: each version of a set that serves, and each configuration by its digest, once.

The digest determines what is kept: it is made of every setting with its default, of the hashes of all files, and of
secrets as they are written. It leaves out, and so a configuration does not show:

- the values of `${...}`: two versions may have one digest and, say, another model in the environment;
- the software: a version's run has its number (`engine_runs`);
- functions of a program that are offered as tools, and what a vendor has behind the name of a model.

A file's SHA-256 is left out if its content is a secret (`${file:...}`), since a short secret could be guessed by it.

A version's row is written at once, before a call has it, so that no number that a record names is used again.
A configuration follows from a thread, because a large one takes 0.1 s to be made plain.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, Self

import trio

from voicepipe import SetConfig, VersionRecord, effective_config

if TYPE_CHECKING:
    from datetime import datetime
    from typing import NoReturn

    from reference_engine.records.runs import EngineRun
    from reference_engine.records.store import RecordStore
    from voicepipe import PipelineSet


def version_row(run: EngineRun, set_name: str, record: VersionRecord) -> dict[str, Any]:
    """Returns the row of `versions` for a version that serves."""
    return {
        "engine": run.name,
        "set": set_name,
        "version": record.version,
        "digest": record.digest,
        "run": run.run,
        "served": record.applied_at,
        "trigger": record.trigger,
        "rolled_back_to": record.rolled_back_to,
        "plan": str(record.plan),
    }


def configuration_row(set_name: str, config: SetConfig, first_served: datetime) -> dict[str, Any]:
    """Returns the row of `configurations`, without secrets."""
    hashes: dict[str, str | None] = {str(path): None for path in config.files}
    hashes |= {str(path): sha256(content).hexdigest() for path, content in config.sources.items()}
    return {
        "digest": config.digest,
        "set": set_name,
        "first_served": first_served,
        "config": effective_config(config, texts=True),
        "files": hashes,
    }


WAIT_S = 5.0
"""The time that the start of a set waits for the numbers in the database, in s."""

_POLL_S = 0.05


class VersionRecorder:
    """Gives the versions that serve to the store, and tells which numbers it has; a context manager, for its end.

    Args:
        store: the store; None: nothing is recorded.

    """

    def __init__(self, store: RecordStore | None) -> None:
        self._store = store
        self._given: set[str] = set()
        self._waiting: list[tuple[str, SetConfig, datetime]] = []
        self._arrived = trio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.flush()

    async def highest(self, set_name: str) -> int | None:
        """Returns the highest number of a set of this engine, 0 if there is none; None if it can't be read.

        Rows of an earlier run may wait in the spool; they are stored first, for which a start waits `WAIT_S` at most.
        """
        store = self._store
        if store is None:
            return 0
        with trio.move_on_after(WAIT_S):
            while store.spooled:
                if store.is_away:
                    return None
                await trio.sleep(_POLL_S)
            from reference_engine.records.provenance import highest_version  # noqa: PLC0415 - loads SQLAlchemy
            from reference_engine.records.reading import Reader  # noqa: PLC0415

            reader = Reader(store.place, deadline_s=WAIT_S)
            try:
                found = await reader.run(lambda connection: highest_version(connection, store.run.name, set_name))
            finally:
                reader.close()
            return found if isinstance(found, int) else None
        return None

    def observe(self, pipelines: PipelineSet, record: VersionRecord) -> None:
        """Records a version that serves; never waits."""
        if self._store is None:
            return
        self._store.add_once("versions", version_row(self._store.run, pipelines.name, record))
        if record.digest not in self._given:
            self._given.add(record.digest)
            self._waiting.append((pipelines.name, pipelines.config_of(record.version), record.applied_at))
            self._arrived.set()

    async def run(self) -> NoReturn:
        """Records configurations, until it is cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived = trio.Event()
            await trio.to_thread.run_sync(self.flush)

    def flush(self) -> None:
        """Records the configurations that wait; it blocks."""
        while self._waiting and self._store is not None:
            set_name, config, served = self._waiting.pop(0)
            try:
                self._store.add_once("configurations", configuration_row(set_name, config, served))
            except Exception:
                self._given.discard(config.digest)  # another version with it tries again
                raise
