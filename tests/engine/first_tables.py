"""Writes the first version of the database's schema from `tables.py`, for as long as none was released.

After a change of `tables.py`: `REGENERATE=1 .venv/bin/pytest tests/engine/test_records_command.py -k versions`. Once
there is a release, a change of tables needs a further version instead, and this file goes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from reference_engine.records import migrations
from reference_engine.records.tables import metadata

FILE = Path(migrations.__path__[0]) / "versions/v0001_first_tables.py"
HEAD = '''\
"""The first tables, and what the full text needs beside them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from reference_engine.records.text_index import make_text_index

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Makes all tables."""
'''
_COMMENT = re.compile(r""", comment=(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_ONLY_POSTGRESQL = re.compile(r"^    (op\.create_index\('call_texts_words'.*\))$", re.MULTILINE)


def write_first_version() -> None:
    """Writes the version."""
    with create_engine("sqlite://").connect() as connection:
        made = produce_migrations(MigrationContext.configure(connection), metadata)
    code = "\n".join(line for line in render_python_code(made.upgrade_ops).splitlines() if "# ###" not in line)
    code = code.replace("reference_engine.records.tables.UtcTime(timezone=True)", "sa.DateTime(timezone=True)")
    code = _ONLY_POSTGRESQL.sub(
        "    if op.get_bind().dialect.name == 'postgresql':\n        \\1", _COMMENT.sub("", code)
    )
    FILE.write_text(f"{HEAD}{code}\n    make_text_index(op.get_bind())\n", encoding="utf-8")
    for command in (["check", "--fix", "--quiet", "--exit-zero"], ["format", "--quiet"]):
        subprocess.run([sys.executable, "-m", "ruff", *command, FILE], check=True)
