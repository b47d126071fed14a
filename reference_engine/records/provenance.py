"""Reads from the database what calls ran on: versions of sets, and configurations by their digests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select

from reference_engine.records.history import StoredConfiguration, StoredVersion
from reference_engine.records.tables import configurations, engine_runs, versions

if TYPE_CHECKING:
    from sqlalchemy import Connection

_SHORTEST = 8
"""The fewest characters of a digest that may stand for it."""


def highest_version(connection: Connection, engine: str, set_name: str) -> int:
    """Returns the highest number of a set of an engine; 0: none is recorded."""
    of_set = (versions.c.engine == engine) & (versions.c.set == set_name)
    return connection.scalar(select(func.max(versions.c.version)).where(of_set)) or 0


def find_configuration(connection: Connection, digest: str) -> StoredConfiguration | None:
    """Returns the configuration with a digest, or with the only digest that begins so; None if it is not kept."""
    exact = connection.execute(select(configurations).where(configurations.c.digest == digest)).mappings().one_or_none()
    if exact is None and len(digest) >= _SHORTEST and digest.isalnum():
        begins = (configurations.c.digest >= digest) & (configurations.c.digest < f"{digest}g")
        found = connection.execute(select(configurations).where(begins).limit(2)).mappings().all()
        exact = found[0] if len(found) == 1 else None
    return None if exact is None else StoredConfiguration(**{str(name): value for name, value in exact.items()})


def find_versions(
    connection: Connection, *, engine: str | None = None, set_name: str | None = None, limit: int = 50
) -> tuple[StoredVersion, ...]:
    """Returns versions that served, the latest first.

    Args:
        connection: to the database.
        engine: the engine's name; None: any.
        set_name: the set's name; None: any.
        limit: the most versions.

    """
    query = select(versions, engine_runs.c.software).join_from(
        versions, engine_runs, versions.c.run == engine_runs.c.run, isouter=True
    )
    if engine is not None:
        query = query.where(versions.c.engine == engine)
    if set_name is not None:
        query = query.where(versions.c.set == set_name)
    latest = query.order_by(versions.c.served.desc(), versions.c.version.desc()).limit(limit)
    rows = connection.execute(latest).mappings()
    return tuple(StoredVersion(**{str(name): value for name, value in row.items()}) for row in rows)
