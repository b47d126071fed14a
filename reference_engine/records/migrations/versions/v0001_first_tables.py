"""The first tables, and the full text of turns."""

from __future__ import annotations

from alembic import op

from reference_engine.records.tables import TEXT_VECTOR, metadata

revision = "0001"
down_revision = None

_FULL_TEXT = (
    """
    CREATE VIRTUAL TABLE turns_text USING fts5(
        heard, said, content = 'turns', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER turns_text_of_new AFTER INSERT ON turns BEGIN
        INSERT INTO turns_text (rowid, heard, said) VALUES (new.id, new.heard, new.said);
    END
    """,
    """
    CREATE TRIGGER turns_text_of_deleted AFTER DELETE ON turns BEGIN
        INSERT INTO turns_text (turns_text, rowid, heard, said) VALUES ('delete', old.id, old.heard, old.said);
    END
    """,
    """
    CREATE TRIGGER turns_text_of_changed AFTER UPDATE OF id, heard, said ON turns BEGIN
        INSERT INTO turns_text (turns_text, rowid, heard, said) VALUES ('delete', old.id, old.heard, old.said);
        INSERT INTO turns_text (rowid, heard, said) VALUES (new.id, new.heard, new.said);
    END
    """,
)


def upgrade() -> None:
    """Makes all tables."""
    metadata.create_all(op.get_bind())
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"CREATE INDEX turns_text ON turns USING gin ({TEXT_VECTOR})")
    else:
        for statement in _FULL_TEXT:
            op.execute(statement)
