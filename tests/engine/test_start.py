"""What a start tells, and what keeps an engine from starting."""

from __future__ import annotations

import json
import socket
import stat

from engine_process import QUICK, open_engine, open_process, run_command


async def test_it_says_where_it_listens_and_what_it_serves(engine):
    ready = await engine.logged("engine.ready")
    where = {"host": "127.0.0.1", "port": engine.port}
    assert ready["listeners"] == [{"name": "audiosocket", "transport": "audiosocket", **where, "set": "main"}]
    assert ready["control"] == str(engine.control)
    assert ready["pid"] == engine.process.pid
    assert ready["sets"] == [{"set": "main", "version": 1, "active_pipeline": "default", "pipelines": ["default"]}]
    assert ready["admin"] is None
    assert list(ready)[:3] == ["timestamp", "level", "event"]
    assert ready["timestamp"].endswith("Z")
    assert engine.records[0]["event"] == "engine.starting"
    assert stat.S_IMODE(engine.control.stat().st_mode) == 0o600
    with socket.create_connection(("127.0.0.1", engine.port)):
        pass


async def test_a_bad_file_ends_it_with_78_and_every_problem_at_its_place(home):
    (home / "ai-agent.yaml").write_text(
        QUICK.replace("voice: en-us", "voise: en-us").replace("type: vosk", "type: vsok", 1)
    )
    ended = await run_command("run", "ai-agent.yaml", "--control", "c.sock", home=home, fresh=True)
    assert ended.returncode == 78
    first, second = [line for line in ended.stdout.decode().splitlines() if line.startswith("ai-agent.yaml:")]
    assert first.startswith("ai-agent.yaml:5:")
    assert "vsok" in first
    assert second.startswith("ai-agent.yaml:7:")
    assert "voise" in second
    *_, failed = map(json.loads, ended.stderr.splitlines())
    assert (failed["event"], len(failed["problems"])) == ("engine.failed", 2)
    assert {"file", "line", "column", "path", "message", "hint"} == set(failed["problems"][0])
    assert not (home / "c.sock").exists()


async def test_a_missing_file_is_a_bad_file(home):
    ended = await run_command("run", "nowhere.yaml", "--control", "c.sock", home=home)
    assert ended.returncode == 78
    assert ended.stdout.startswith(b"nowhere.yaml:1:1")


async def test_a_port_that_is_taken(home):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        where = ["--audiosocket", f"127.0.0.1:{port}", "--control", "c.sock"]
        ended = await run_command("run", "ai-agent.yaml", *where, home=home, fresh=True)
    assert ended.returncode == 1
    *_, failed = map(json.loads, ended.stderr.splitlines())
    assert failed["event"] == "engine.failed"
    assert f"127.0.0.1:{port}" in failed["reason"]
    assert "--audiosocket" in failed["reason"]
    assert "exception" not in failed


async def test_another_engine_on_the_same_control_socket(engine):
    ended = await run_command("run", "ai-agent.yaml", "--control", str(engine.control), home=engine.home)
    assert ended.returncode == 1
    (failed,) = map(json.loads, ended.stderr.splitlines())
    assert failed["reason"].startswith(
        f"another engine is answering at {engine.control} (process {engine.process.pid}); stop it or give"
    )
    assert (await engine.ask("GET", "/healthz")).json() == {"status": "ok"}


async def test_the_socket_of_an_engine_that_was_killed_is_replaced(home):
    async with open_engine(home, fresh=True) as killed:
        killed.process.kill()
        await killed.process.wait()
        assert killed.control.is_socket()
    async with open_engine(home) as engine:
        assert (await engine.ask("GET", "/healthz")).status_code == 200
        engine.process.terminate()
        assert await engine.ended() == 0
    assert not engine.control.exists()


async def test_a_log_for_people(home):
    where = ["--audiosocket", "127.0.0.1:0", "--control", "c.sock"]
    run = ["run", "ai-agent.yaml", *where, "--log-format", "console"]
    async with open_process(*run, home=home, fresh=True) as process:
        said = await process.stderr.receive_some()
    first = said.decode().splitlines()[0]
    assert "engine.starting" in first
    assert "file=ai-agent.yaml" in first
    assert "\x1b" not in first


async def test_a_listener_and_a_time_must_be_ones(home):
    for wrong, said in (
        (["--audiosocket", "9092"], b"is not HOST:PORT"),
        (["--audiosocket", "localhost:99999"], b"is not HOST:PORT"),
        (["--drain-seconds", "soon"], b"is not a number of seconds"),
        (["--drain-seconds", "nan"], b"is not a number of seconds"),
    ):
        ended = await run_command("run", *wrong, home=home)
        assert ended.returncode == 2
        assert said in ended.stderr


async def test_help_teaches(home):
    for command in ("run", "check", "reload", "rollback", "drain", "status", "steer", "notify", "schema"):
        told = await run_command(command, "--help", home=home)
        assert told.returncode == 0
        assert f"reference-engine {command}".encode() in told.stdout.split(b"examples:")[1]
