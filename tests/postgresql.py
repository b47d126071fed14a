"""A PostgreSQL server of the tests' own, on a Unix socket only; one for all tests of a process."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

_NUMBERS = count(1)
_FASTER = "-c fsync=off -c full_page_writes=off -c shared_buffers=8MB -c max_connections=40 -c listen_addresses="

_RULES = """\
local all with_password scram-sha-256
local all somebody_else peer
local all rejected reject
"""
"""Roles that may not log in without more; tests make them."""


def programs() -> Path | None:
    """The directory of PostgreSQL's programs, the latest version; None if it is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).parent if there else None


class PostgresqlServer:
    """A server in a directory; it can be stopped and started again.

    Args:
        directory: an empty one, with a short path.
        bin: where its programs are.

    """

    def __init__(self, directory: Path, bin: Path) -> None:  # noqa: A002
        self.directory, self._bin = directory, bin
        self._data = directory / "data"
        self._as_other: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            self._as_other = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
            shutil.chown(directory, "postgres", "postgres")
        self._run(
            "initdb", "--auth=trust", "--no-sync", "--username=voicepipe", "--encoding=UTF8", "--locale=C", self._data
        )
        rules = self._data / "pg_hba.conf"
        rules.write_text(f"{_RULES}{rules.read_text()}")

    def _run(self, program: str, *arguments: object) -> None:
        command = [*self._as_other, self._bin / program, *map(str, arguments)]
        environ = {"PATH": os.environ["PATH"], "LC_ALL": "C"}
        # To a file: a server that pg_ctl leaves behind would hold a pipe open.
        with (self.directory / "output").open("ab") as output:
            done = subprocess.run(
                command, cwd="/", env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False
            )
        assert done.returncode == 0, (self.directory / "output").read_text()

    def start(self) -> None:
        """Starts it, and waits until it takes connections."""
        options = f"{_FASTER} -c unix_socket_directories={self.directory}"
        self._run("pg_ctl", "start", "-w", "-s", "-D", self._data, "-o", options, "-l", self._data / "server.log")

    def stop(self) -> None:
        """Stops it at once, as a crash would: nobody is told."""
        self._run("pg_ctl", "stop", "-w", "-s", "-m", "immediate", "-D", self._data)

    def url(self, database: str, *, user: str = "voicepipe") -> str:
        """The URL of one of its databases."""
        return f"postgresql://{user}@/{database}?host={self.directory}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple]:
        """Executes a statement, and returns its rows."""
        import psycopg  # noqa: PLC0415 - an extra

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def new_database(self) -> str:
        """Makes an empty database, and returns its name."""
        name = f"calls_{os.getpid()}_{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name}")
        return name


@contextmanager
def open_server():
    """A server of its own, for a test that stops it; skips the test if PostgreSQL is not installed."""
    bin_directory = programs()
    if bin_directory is None:
        pytest.skip("PostgreSQL is not installed: apt install postgresql")
    pytest.importorskip("psycopg")
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as directory:
        server = PostgresqlServer(Path(directory), bin_directory)
        server.start()
        try:
            yield server
        finally:
            if (Path(directory) / "data/postmaster.pid").exists():
                server.stop()
