"""Makes the full text of calls in the database: for migrations, and for tests that make the tables at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

# Words are made before they come here (words.py), each of letters and digits: `ascii` splits at the spaces between them
# and takes every other character as it is. Without positions of words the index is half as large.
_SQLITE = (
    """
    CREATE VIRTUAL TABLE IF NOT EXISTS call_words USING fts5(
        words, content = 'call_texts', content_rowid = 'id', tokenize = 'ascii', detail = 'none'
    )
    """,
    "CREATE VIRTUAL TABLE IF NOT EXISTS call_vocabulary USING fts5vocab(call_words, 'row')",
    """
    CREATE TRIGGER IF NOT EXISTS call_words_added AFTER INSERT ON call_texts BEGIN
        INSERT INTO call_words (rowid, words) VALUES (new.id, new.words);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS call_words_deleted AFTER DELETE ON call_texts BEGIN
        INSERT INTO call_words (call_words, rowid, words) VALUES ('delete', old.id, old.words);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS call_words_changed AFTER UPDATE ON call_texts BEGIN
        INSERT INTO call_words (call_words, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO call_words (rowid, words) VALUES (new.id, new.words);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS turns_changed AFTER UPDATE OF heard, said ON turns
    WHEN new.heard IS NOT old.heard OR new.said IS NOT old.said BEGIN
        DELETE FROM call_texts WHERE call_id = new.call_id;
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS turns_deleted AFTER DELETE ON turns BEGIN
        DELETE FROM call_texts WHERE call_id = old.call_id;
    END
    """,
)

_POSTGRESQL = (
    """
    CREATE OR REPLACE FUNCTION delete_call_text() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        DELETE FROM call_texts WHERE call_id = old.call_id;
        RETURN NULL;
    END $$
    """,
    """
    CREATE OR REPLACE TRIGGER turns_changed AFTER UPDATE OF heard, said ON turns FOR EACH ROW
    WHEN (new.heard IS DISTINCT FROM old.heard OR new.said IS DISTINCT FROM old.said)
    EXECUTE FUNCTION delete_call_text()
    """,
    """
    CREATE OR REPLACE TRIGGER turns_deleted AFTER DELETE ON turns FOR EACH ROW EXECUTE FUNCTION delete_call_text()
    """,
)


def make_text_index(connection: Connection) -> None:
    """Makes what the full text needs beside the table `call_texts`; no-op if it is there.

    `metadata.create_all` does so too. SQLAlchemy knows nothing of it: in SQLite that is the table `call_words` with
    FTS5's own tables beside it, in both databases triggers.
    """
    for statement in _POSTGRESQL if connection.dialect.name == "postgresql" else _SQLITE:
        connection.execute(text(statement))
