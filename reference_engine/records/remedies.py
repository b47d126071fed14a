"""Explains why a database of records can't be used: the reason on one line, and what to do about it.

A server's own errors have an SQLSTATE, which says the same in every language. An error while connecting has none: libpq
passes on a text, which is known by its words; one in another language gets the general advice.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

from reference_engine.errors import hint_for_path

if TYPE_CHECKING:
    from reference_engine.settings.records_place import RecordsPlace

_BY_SQLSTATE = {
    "42501": "grant the database's user the rights to the tables of records: it has to read and write all of them",
    "25006": "write to the primary server: a standby, and a session with default_transaction_read_only, takes no rows",
    "53100": "free some space on the server's disk",
    "53300": "raise the server's max_connections, or end programs that hold connections",
    "57014": "the server is too slow, or another program holds a lock: look at pg_stat_activity",
    "55P03": "another program holds a lock on a table of records: look at pg_locks",
}
_AUTHORITY = "name the file of the authority that signed the server's certificate, sslrootcert=PATH, in {setting}"
_BY_TEXT = (
    ("password authentication failed", "correct the user and the password in {setting}"),
    ("no password supplied", "set PGPASSWORD, or put the password into {setting}"),
    ("Peer authentication failed", "name the role of the system's user {user} in {setting}"),
    ("Ident authentication failed", "name the role of the system's user {user} in {setting}"),
    ("no encryption", "the server wants TLS: add sslmode=require to {setting}"),
    ("no pg_hba.conf entry", "add a line for this user, database and address to pg_hba.conf of the server"),
    ("pg_hba.conf rejects", "change the line for this user, database and address in pg_hba.conf of the server"),
    ("server does not support SSL", "turn on `ssl` of the server, or take sslmode out of {setting}"),
    ("certificate verify failed", _AUTHORITY),
    ("root certificate file", _AUTHORITY),
    ("does not match host name", "name the server as its certificate does in {setting}"),
    ("starting up", "nothing has to be done: it is tried again until the server has started"),
    ("shutting down", "start the server again"),
    ("not accepting connections", "the server is a standby, or recovers: name the primary one in {setting}"),
    ("is not permitted to log in", "permit it: ALTER ROLE NAME LOGIN"),
    ("CONNECT privilege", "grant it: GRANT CONNECT ON DATABASE NAME TO ROLE"),
    ("too many connections", "raise max_connections, or the limit of the role or the database"),
    ("too many clients", "raise max_connections of the server"),
    ("remaining connection slots", "raise max_connections of the server"),
    ("Connection refused", "start the server, or name its host and port in {setting}"),
    ("No such file or directory", "start the server, or name its host in {setting}"),
    ("failed to resolve host", "no name server knows this host: correct it in {setting}"),
    ("timeout expired", "look for a firewall between here and the server, or name another host in {setting}"),
    ("timed out", "look for a firewall between here and the server, or name another host in {setting}"),
)
_MISSING = (
    ("role ", "create the user (createuser --pwprompt NAME), or name another one in {setting}"),
    ("database ", "create the database (createdb NAME), or name another one in {setting}"),
)
_OF_SQLITE = (
    ("database is locked", "another program has begun a transaction in it: end that program"),
    ("readonly database", "let the engine's user write the file and its directory"),
    ("unable to open database file", "let the engine's user write the file and its directory"),
    ("disk is full", "free some space"),
    ("No space left", "free some space"),
    ("not a database", "name another file in {setting}, or move that one away"),
    ("malformed", "the file is damaged: restore it from a backup, or move it away"),
)


def reason_of(error: BaseException) -> str:
    """Returns why a database could not be used, on one line, without statements and their values."""
    original = getattr(error, "orig", None) or error
    if isinstance(original, OSError) and not isinstance(original, sqlite3.Error):
        what = original.strerror or str(original)
        return f"{what}: {original.filename}" if original.filename else what
    lines = [line.strip() for line in str(original).splitlines() if line.strip()]
    return "; ".join(lines)[:500] or type(original).__name__


def hint_of(error: BaseException, place: RecordsPlace) -> str:
    """Returns the remedy for a database that can't be used, naming the setting or URL to change."""
    original = getattr(error, "orig", None) or error
    setting = "`records`" if place.where else "the URL"
    if isinstance(original, OSError) and not isinstance(original, sqlite3.Error):
        return hint_for_path(original, setting)
    if (known := _BY_SQLSTATE.get(str(getattr(original, "sqlstate", None)))) is not None:
        return known
    text = str(original)
    table: tuple[tuple[str, str], ...] = _OF_SQLITE
    if place.kind == "postgresql":
        table = _MISSING if "does not exist" in text else _BY_TEXT
        text = text.replace("no encryption", "") if "[local]" in text else text
    hint = next((hint for part, hint in table if part in text), "")
    if not hint:
        return f"look at {setting}, and at the log of the server" if place.kind == "postgresql" else ""
    restart = ", and restart the engine" if place.where and "{setting}" in hint else ""
    return hint.format(setting=setting, user=os.geteuid()) + restart
