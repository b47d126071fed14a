"""What keeps a database from being used is said with the setting, its line and a remedy; the engine starts."""

from __future__ import annotations

import socket
import threading

import pytest
from patience import LONG_S
from recorded_events import Log, began, record_store, whole_call

from reference_engine.cli import main
from reference_engine.records import store as store_module
from reference_engine.settings.loading import load_settings

ROLES = """
CREATE ROLE with_password LOGIN PASSWORD 'right';
CREATE ROLE somebody_else LOGIN;
CREATE ROLE rejected LOGIN;
CREATE ROLE without_rights LOGIN;
CREATE ROLE without_login;
"""


@pytest.fixture(scope="module")
def server(postgresql):
    """The server, with roles that may not do everything, and a database that takes nobody."""
    postgresql.execute(ROLES)
    postgresql.execute("CREATE DATABASE taken CONNECTION LIMIT 0")
    return postgresql


def engine_file(directory, url):
    path = directory / "engine.yaml"
    path.write_text(f"pipeline_sets: {{main: a.yaml}}\nlisteners: [{{set: main}}]\n\nrecords: {url}\n")
    return path


@pytest.mark.parametrize(
    ("user", "database", "reason", "hint"),
    [
        ("with_password:wrong", "calls", "password authentication failed", "correct the user and the password in"),
        ("with_password", "calls", "no password supplied", "set PGPASSWORD, or put the password into `records`"),
        ("somebody_else", "calls", "Peer authentication failed", "name the role of the system's user"),
        ("rejected", "calls", "pg_hba.conf rejects connection", "change the line for this user"),
        ("without_login", "calls", "is not permitted to log in", "permit it: ALTER ROLE NAME LOGIN"),
        ("nobody", "calls", 'role "nobody" does not exist', "create the user (createuser --pwprompt NAME)"),
        ("voicepipe", "nowhere", 'database "nowhere" does not exist', "create the database (createdb NAME)"),
        ("without_rights", "taken", "too many connections", "raise max_connections, or the limit of the role"),
        ("without_rights", "calls", "may not create the tables", "run `reference-engine records upgrade` with the URL"),
    ],
)
def test_what_keeps_a_database_from_being_used_is_said_with_its_remedy(
    server, tmp_path, capsys, user, database, reason, hint
):
    name = server.new_database() if database == "calls" else database
    path = engine_file(tmp_path, f"postgresql://{user}@/{name}?host={server.directory}")
    assert main(["records", "upgrade", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"reference-engine: {path}:4:10: records: postgresql://{user.partition(':')[0]}")
    assert reason in said
    assert hint in said
    assert "wrong" not in said


def test_tables_that_a_user_may_not_read_are_told_from_no_tables(server, capsys):
    name = server.new_database()
    assert main(["records", "upgrade", server.url(name)]) == 0
    assert main(["records", "export", server.url(name, user="without_rights")]) == 1
    assert "grant the database's user the rights to the tables of records" in capsys.readouterr().err


def error(code, message):
    """PostgreSQL's message of an error, as a server sends it to somebody who connects."""
    fields = b"".join(f"{kind}{text}\0".encode() for kind, text in (("S", "FATAL"), ("C", code), ("M", message)))
    return b"E" + (len(fields) + 5).to_bytes(4, "big") + fields + b"\0"


@pytest.mark.parametrize(
    ("answer", "mode", "reason", "hint"),
    [
        (error("57P03", "the database system is starting up"), "disable", "starting up", "nothing has to be done"),
        (
            error("28000", 'no pg_hba.conf entry for host "127.0.0.1", user "x", database "calls", no encryption'),
            "disable",
            "no pg_hba.conf entry",
            "the server wants TLS: add sslmode=require to `records`, and restart the engine",
        ),
        (b"N", "require", "server does not support SSL", "turn on `ssl` of the server, or take sslmode out of"),
        (
            error("XX000", "etwas anderes"),
            "disable",
            "etwas anderes",
            "look at `records`, and at the log of the server",
        ),
    ],
)
def test_what_a_server_answers_to_who_connects_is_said_with_its_remedy(tmp_path, capsys, answer, mode, reason, hint):
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_once():
            peer, _ = listener.accept()
            with peer:
                peer.recv(1000)
                peer.sendall(answer)

        thread = threading.Thread(target=answer_once)
        thread.start()
        port = listener.getsockname()[1]
        path = engine_file(tmp_path, f"postgresql://x@127.0.0.1:{port}/calls?sslmode={mode}")
        assert main(["records", "upgrade", str(path)]) == 1
        thread.join()
    said = capsys.readouterr().err
    assert said.startswith(f"reference-engine: {path}:4:10: records: ")
    assert reason in said
    assert hint in said


def test_a_wrong_password_lets_the_engine_start_and_costs_no_record(server, tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "RETRY_S", 0.02)
    name = server.new_database()
    server.execute(f"ALTER DATABASE {name} OWNER TO with_password")
    url = f"postgresql://with_password:later@/{name}?host={server.directory}"
    place = load_settings(engine_file(tmp_path, url)).records
    log = Log()
    with record_store(place, tmp_path / "spool", log=log) as store:
        store.wait_ready()
        (away,) = log.named("records.database_away")
        assert away["setting"] == f"{tmp_path}/engine.yaml:4:10: records"
        assert away["hint"] == "correct the user and the password in `records`, and restart the engine"
        assert "later" not in str(away)
        for event in whole_call("a", 1):
            store.observe(event)
        store.observe(began("b"))
        server.execute("ALTER ROLE with_password PASSWORD 'later'")
        assert store.wait_stored(LONG_S)
    server.execute("ALTER ROLE with_password PASSWORD 'right'")
    assert server.execute("SELECT call_id, state FROM calls ORDER BY 1", name) == [("a", "ended"), ("b", "lost")]
