# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""Tables of the database of records, made from its schema."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, Float, Integer, LargeBinary

from reference_engine.records.tables import UtcTime, metadata

_KINDS: tuple[tuple[type[Any], str], ...] = (
    (UtcTime, "time"),
    (JSON, "JSON"),
    (Boolean, "boolean"),
    (BigInteger, "integer"),
    (Integer, "integer"),
    (Float, "number"),
    (LargeBinary, "bytes"),
)


def database_table(name: str) -> str:
    """A row for each column of a table: its name, type, and meaning."""
    rows = [f"| `{column.name}` | {_kind(column)} | {_meaning(column)} |" for column in metadata.tables[name].columns]
    return "\n".join(["| column | type | meaning |", "| --- | --- | --- |", *rows])


def _kind(column: Column[Any]) -> str:
    kind = next((shown for of, shown in _KINDS if isinstance(column.type, of)), "text")
    return f"{kind} or NULL" if column.nullable else kind


def _meaning(column: Column[Any]) -> str:
    parts = [column.comment.replace("|", "\\|")] if column.comment else []
    if column.primary_key:
        parts.append("*key*")
    parts += [f"→ `{key.column.table.name}.{key.column.name}`" for key in column.foreign_keys]
    return "; ".join(parts)
