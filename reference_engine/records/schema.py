"""Brings the schema of a database of records to the version of this software, by Alembic.

Alembic is imported only if there is something to upgrade. An upgrade runs in one transaction under a lock, so that of
several engines that start together one upgrades, and a failed upgrade leaves the earlier schema.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError

if TYPE_CHECKING:
    from sqlalchemy import Connection

VERSIONS = ("0001",)
"""The versions of the schema, the oldest first; the last is that of this software."""

LOCK = 4_772_311_908
"""The number of PostgreSQL's advisory lock for upgrades."""


class SchemaError(Exception):
    """The schema is of later software, or can't be upgraded; the message says what to do."""


def schema_version(connection: Connection) -> str | None:
    """Returns the version of the database's schema; None: it has no tables yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def upgrade(connection: Connection) -> str | None:
    """Upgrades the schema, within the connection's transaction.

    Returns:
        The version that it had; None: there were no tables.

    Raises:
        SchemaError: the schema is of later software, or this user may not change it.

    """
    found = schema_version(connection)
    if found == VERSIONS[-1]:
        return found
    _check(found)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        found = schema_version(connection)  # another engine may have upgraded it meanwhile
        if found == VERSIONS[-1]:
            return found
        _check(found)
    from alembic import command  # noqa: PLC0415 - see the module
    from alembic.config import Config  # noqa: PLC0415

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == "42501":  # insufficient privilege
            reason = f"the database's user may not {'change' if found else 'create'} the tables of records"
            hint = "run `reference-engine records upgrade` with the URL of a user who may"
            raise SchemaError(f"{reason}: {hint}") from error
        raise
    return found


def require_this_version(connection: Connection) -> None:
    """Returns if the tables are those that this software reads.

    Raises:
        SchemaError: they are not.

    """
    found = schema_version(connection)
    _check(found)
    if found != VERSIONS[-1]:
        there = "has no tables of records" if found is None else f"has tables of version {found}"
        raise SchemaError(f"the database {there}: run `reference-engine records upgrade`, or start the engine")


def _check(found: str | None) -> None:
    if found is not None and found not in VERSIONS:
        raise SchemaError(
            f"its tables are of version {found}, and this software knows up to {VERSIONS[-1]}: "
            "a later version of voicepipe has upgraded them, so use that version here too"
        )
