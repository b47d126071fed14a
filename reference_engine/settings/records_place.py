"""The place of calls' records: a file of JSON lines, or a database by its URL. Reads texts only, opens nothing.

Two things are taken more kindly than URLs are by their standard. `sqlite:calls.db` is a relative path, as in `file:`
URLs, whose three slashes begin an absolute one. And a password may have any character, because it usually comes from
`${NAME}`: the user and the password end at the last `@`.
"""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from urllib.parse import quote, unquote

from attrs import field, frozen

from voicepipe import absolute_path

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?!\\)(.*)", re.DOTALL)
_DATABASE_SUFFIXES = {".db", ".sqlite", ".sqlite3", ".db3"}
_EXTRA = "pip install 'voicepipe-telephony[{}]'"
_FORMS = (
    "sqlite:///var/lib/voicepipe/calls.db, postgresql://user:${PASSWORD}@host/database, or the path of a .jsonl file"
)


class PlaceError(ValueError):
    """A text names no place that records can go to.

    Args:
        message: what is wrong with it, without its password.
        hint: what to write instead.

    """

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@frozen
class RecordsPlace:
    """The place of calls' records; its text is fit to be shown."""

    kind: Literal["file", "sqlite", "postgresql"]
    """A file of JSON lines, or the kind of database."""
    path: Path | None = None
    """The absolute path of the file, or of SQLite's database; None for PostgreSQL."""
    url: str = field(default="", repr=False)
    """PostgreSQL's URL, with the password; empty for others."""

    where: str = field(default="", eq=False)
    """The `file:line:column` of the setting that names it; empty: it was named on a command line."""

    @property
    def named(self) -> str:
        """The place with the setting that names it, for messages."""
        return f"{self.where}: records: {self}" if self.where else str(self)

    @property
    def is_database(self) -> bool:
        """Whether it is a database."""
        return self.kind != "file"

    def __str__(self) -> str:
        if self.kind == "postgresql":
            return _concealed(self.url)
        return f"sqlite://{self.path}" if self.kind == "sqlite" else str(self.path)


def read_place(text: str, base: Path = Path()) -> RecordsPlace:
    """Returns the place that a text names.

    Args:
        text: the URL or the path.
        base: the directory that relative paths start at: that of the engine's file; by default the working directory.

    Raises:
        PlaceError: it names none, or its driver is not installed.

    """
    text = str.__str__(text)
    scheme = _SCHEME.fullmatch(text)
    if not text.strip() or "\0" in text:
        raise PlaceError("this is no path and no URL", f"write {_FORMS}")
    if scheme is None:
        if Path(text).suffix.lower() in _DATABASE_SUFFIXES:
            raise PlaceError(
                f"{text} looks like a database, but names a file of JSON lines", f"write {_sqlite_url(text)}"
            )
        return RecordsPlace("file", absolute_path(base / text))
    match scheme[1].lower():
        case "sqlite":
            return _sqlite(scheme[2], base)
        case "postgresql" | "postgres":
            return _postgresql(scheme[2])
        case "sqlite+pysqlite" | "postgresql+psycopg" | "postgresql+psycopg2" | "postgresql+asyncpg" as driver:
            plain = driver.partition("+")[0]
            raise PlaceError(f"a driver can't be chosen ({driver}:)", f"begin the URL with {plain}:")
        case "file":
            raise PlaceError(
                "a file of records is named by its path", "leave out `file:`, or write sqlite: for a database"
            )
        case other:
            raise PlaceError(f'records can\'t go to "{other[:40]}:"', f"write {_FORMS}")


def _sqlite(rest: str, base: Path) -> RecordsPlace:
    missing = "alembic" if find_spec("sqlalchemy") else "sqlalchemy"
    if not (find_spec("sqlalchemy") and find_spec("alembic")):
        raise PlaceError(f"a database needs {missing}, which is not installed", _EXTRA.format("engine"))
    named, _, parameters = rest.partition("?")
    if parameters:
        raise PlaceError("an SQLite URL has no parameters", f"leave out ?{parameters[:40]}")
    path = unquote(named)
    if path.startswith("//"):
        path = path[2:]
        path = f"/{path.lstrip('/')}" if path.startswith("/") else path
        if not path.startswith("/"):
            hint = f"write sqlite:///{path} for /{path}, or sqlite:{path} for a relative path"
            raise PlaceError("an SQLite URL has one slash or three, not two", hint)
    if path in {"", "/", ":memory:", "/:memory:"}:
        raise PlaceError("the URL names no file", "write sqlite:///var/lib/voicepipe/calls.db")
    if Path(path).parent == Path("/"):
        hint = f"write sqlite:{path.lstrip('/')} for a relative path"
        raise PlaceError(f"{path} would be in the root directory, since three slashes begin an absolute path", hint)
    return RecordsPlace("sqlite", absolute_path(base / path))


def _postgresql(rest: str) -> RecordsPlace:
    if not find_spec("psycopg"):
        raise PlaceError("PostgreSQL needs psycopg, which is not installed", _EXTRA.format("postgresql"))
    if not (find_spec("sqlalchemy") and find_spec("alembic")):
        raise PlaceError("a database needs sqlalchemy and alembic, which are not installed", _EXTRA.format("engine"))
    if not rest.startswith("//"):
        raise PlaceError("the URL of PostgreSQL begins with postgresql://", "write postgresql://user@host/database")
    who, at, where = rest[2:].rpartition("@")
    user, colon, password = who.partition(":")
    credentials = quote(unquote(user), safe="") + (":" + quote(unquote(password), safe="") if colon else "")
    url = f"postgresql://{credentials}{at}{where}"
    try:
        from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - an extra
        from psycopg.errors import Error  # noqa: PLC0415
    except ImportError as error:
        raise PlaceError(f"psycopg can't be imported: {error}", _EXTRA.format("postgresql")) from None

    try:
        read = conninfo_to_dict(url)
    except Error as error:
        reason = str(error).strip().replace(password, "***") if password else str(error).strip()
        hint = "write postgresql://user:password@host:port/database"
        raise PlaceError(f"this is no URL of PostgreSQL: {reason}", hint) from None
    if not read.get("dbname") and not read.get("service"):
        raise PlaceError(
            "the URL names no database", f"write {_concealed(url).partition('?')[0].rstrip('/')}/voicepipe"
        )
    port = str(read.get("port", ""))
    if any(not (each.isdecimal() and 0 < int(each) < 65536) for each in port.split(",") if each):
        raise PlaceError(f"{port[:20]} is no port", "a port is a number from 1 to 65535")
    return RecordsPlace("postgresql", url=url)


def _concealed(url: str) -> str:
    """Returns PostgreSQL's URL with `***` for its password, also for one among its parameters."""
    url = re.sub(r"(?<=//)([^@/?:]*):[^@]*@", r"\1:***@", url)
    return re.sub(r"(?i)([?&](?:ssl)?password=)[^&]*", r"\1***", url)


def _sqlite_url(path: str) -> str:
    return f"sqlite://{path}" if path.startswith("/") else f"sqlite:{path}"
