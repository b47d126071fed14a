"""The first tables, and what the full text needs beside them."""

from __future__ import annotations

from alembic import op

from reference_engine.records.tables import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes all tables."""
    metadata.create_all(op.get_bind())
