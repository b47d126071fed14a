"""The pages Calls and Figures of an engine without calls, served from a thread: what is shown is in a database."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING

import trio
from sqlalchemy import create_engine

from reference_engine.control.http import serve_http
from reference_engine.pages.calls_page import add_calls
from reference_engine.pages.figures_page import add_figures
from reference_engine.pages.records_of_pages import PageRecords
from reference_engine.pages.shell import Shell
from reference_engine.records import tables
from reference_engine.settings.records_place import read_place

if TYPE_CHECKING:
    from pathlib import Path


def make_database(path: Path):
    """Returns SQLAlchemy's engine of a new database with the tables of records."""
    database = create_engine(f"sqlite:///{path}")
    tables.metadata.create_all(database)
    return database


def shell_of(records: str | None, recordings: str = "", pipelines=("default", "night")) -> Shell:
    """Returns the shell with the pages of an engine that keeps its records there."""
    place = None if records is None else read_place(records)
    settings = SimpleNamespace(admin=None, records=place)
    recording = SimpleNamespace(recording=SimpleNamespace(directory=recordings))
    snapshot = SimpleNamespace(pipelines={name: SimpleNamespace(settings=recording) for name in pipelines})
    sets = SimpleNamespace(serving={"main": SimpleNamespace(current=snapshot)}, leaving=())
    current = SimpleNamespace(settings=settings)
    shell = Shell(current)
    page_records = PageRecords(current)
    add_calls(shell, SimpleNamespace(current=current, sets=sets, conceal=str), page_records)
    add_figures(shell, SimpleNamespace(current=current, sets=sets), page_records)
    return shell


@contextmanager
def served(shell: Shell):
    """Serves pages on loopback from a thread; gives their address."""
    from starlette.applications import Starlette  # noqa: PLC0415 - as its users
    from starlette.routing import Mount  # noqa: PLC0415

    app = Starlette(routes=[Mount("/pages", app=shell.app())])
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        started, stop = threading.Event(), []

        async def serve():
            async with trio.open_nursery() as nursery:
                token = trio.lowlevel.current_trio_token()
                stop.append(lambda: token.run_sync_soon(nursery.cancel_scope.cancel))
                started.set()
                await serve_http(app, listening, lambda *_: None)

        thread = threading.Thread(target=trio.run, args=(serve,))
        thread.start()
        started.wait()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/pages"
        finally:
            stop[0]()
            thread.join(10)
