"""F06: SIGTERM drains: no new calls, those that are up end or reach the deadline, exit 0; a second ends at once."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys

import pytest
import trio
from engine_process import EngineProcess, open_engine
from patience import LONG_S

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

HOURS = ("--drain-seconds", "9999")
"""So long that whatever ends within a test's time did not wait for it."""


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
async def test_with_no_call_up_it_ends_at_once(home, stop):
    async with open_engine(home, *HOURS) as engine:
        engine.process.send_signal(stop)
        assert await engine.ended() == 0
        await engine.logged("engine.stopped", calls_cut_short=0)
        assert not engine.control.exists()


async def test_a_call_that_is_up_goes_on_and_no_new_one_is_taken(engine):
    async with open_audiosocket_call(port=engine.port) as caller:
        await engine.logged("call.started")
        engine.process.terminate()
        assert (await engine.logged("engine.draining"))["calls"] == 1
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", engine.port)
        assert await caller.agent_spoke(quiet_ms=100)
        assert (await engine.ask("GET", "/healthz")).status_code == 200
        assert not caller.hung_up.is_set()
        await caller.hang_up()
        assert await engine.ended() == 0
    assert (await engine.logged("call.ended"))["outcome"] == "caller_hung_up"
    await engine.logged("engine.stopped")


async def test_before_the_deadline_it_says_goodbye(home):
    async with open_engine(home, "--drain-seconds", "5") as engine, open_audiosocket_call(port=engine.port) as caller:
        await engine.logged("call.turn", said="Hello.")
        engine.process.terminate()
        await caller.hung_up.wait()
        assert await engine.ended() == 0
        assert caller.how == "0x00"
        goodbye = await engine.logged("call.turn", turn=2)
        assert goodbye["said"] == "Bye."
        assert (await engine.logged("call.ended"))["outcome"] == "drained"


async def test_at_the_deadline_calls_are_hung_up(home):
    (home / "ai-agent.yaml").write_text((home / "ai-agent.yaml").read_text().replace("Hello.", "Well, " * 50))
    async with open_engine(home, "--drain-seconds", "0.5") as engine:
        async with open_audiosocket_call(port=engine.port) as caller:
            await engine.logged("call.started")
            began = trio.current_time()
            engine.process.terminate()
            await caller.hung_up.wait()
            assert caller.how == "0x00"
        assert await engine.ended() == 0
        assert trio.current_time() - began > 0.4
        assert (await engine.logged("call.ended"))["outcome"] == "cancelled"


async def test_a_second_signal_ends_at_once(home):
    async with open_engine(home, *HOURS) as engine:
        async with open_audiosocket_call(port=engine.port) as caller:
            await engine.logged("call.started")
            engine.process.terminate()
            await engine.logged("engine.draining")
            engine.process.terminate()
            await caller.hung_up.wait()
            assert await engine.ended() == 1
        assert caller.how == "0x00"
        await engine.logged("engine.stopped", calls_cut_short=1)


async def test_during_the_start_there_is_nothing_to_drain(home):
    async with open_engine(home, ready=False, fresh=True) as engine:
        await engine.logged("engine.starting")
        engine.process.terminate()
        assert await engine.ended() == 0
        await engine.logged("engine.stopped")
        assert not engine.control.exists()


EARLY = """
import builtins, os, signal, sys
from reference_engine.cli import main

def importing(name, *rest, really=builtins.__import__):
    if name == "trio":
        builtins.__import__ = really
        os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    return really(name, *rest)

builtins.__import__ = importing
sys.exit(main(["run", sys.argv[2]]))
"""
"""The engine's command, with a signal that comes while the first heavy library is imported."""
AS_PID_1 = ["unshare", "--fork", "--pid", "--kill-child"]


def can_be_pid_1():
    """Whether this user may make a PID namespace."""
    return bool(shutil.which("unshare")) and subprocess.run([*AS_PID_1, "true"], check=False).returncode == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("within", [[], AS_PID_1], ids=["a process", "PID 1"])
def test_a_stop_while_python_is_still_importing_is_not_lost(home, name, within):
    if within and not can_be_pid_1():
        pytest.skip("this user may not make a PID namespace")
    command = [*within, sys.executable, "-c", EARLY, name, str(home / "ai-agent.yaml")]
    ended = subprocess.run(command, capture_output=True, timeout=LONG_S, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_a_hangup_while_python_is_still_importing_is_not_lethal(home):
    command = [sys.executable, "-c", EARLY, "SIGHUP", str(home / "nowhere.yaml")]
    ended = subprocess.run(command, capture_output=True, timeout=LONG_S, check=False)
    assert ended.returncode == 78


def test_next_to_nothing_is_imported_before_signals_are_taken():
    show = "import sys; before = {*sys.modules}; import reference_engine.cli; print(*({*sys.modules} - before))"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert loaded - sys.stdlib_module_names == {"reference_engine"}
    assert not loaded & {"argparse", "asyncio", "importlib", "http", "json", "logging", "pathlib", "socket", "ssl"}


async def test_a_client_of_the_control_that_does_not_read_holds_nothing_up(engine):
    stuck = await trio.open_unix_socket(str(engine.control))
    with trio.move_on_after(0.3):
        with contextlib.suppress(trio.BrokenResourceError):
            while True:
                await stuck.send_all(b"GET /sets HTTP/1.1\r\nHost: engine\r\n\r\n" * 1000)
    engine.process.terminate()
    assert await engine.ended() == 0
    await stuck.aclose()


async def test_one_over_tcp_with_a_small_window_holds_nothing_up_either(home):
    async with open_engine(home, file="engine.yaml") as engine:
        host, port = engine.admin.removeprefix("http://").split(":")
        with trio.socket.socket() as stuck:
            stuck.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 2048)
            await stuck.connect((host, int(port)))
            for _again in range(50):
                await stuck.send(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert await stuck.recv(1)
            engine.process.terminate()
            assert await engine.ended() == 0
        assert engine.count("engine.stuck") == 0


NO_THREADS = """
import _thread, signal, sys, threading
from reference_engine.cli import main

def refuse(*_args, **_options):
    raise RuntimeError("can't start new thread")

def end_threads(_signal, _frame):
    _thread.start_new_thread = threading._start_new_thread = refuse

signal.signal(signal.SIGUSR1, end_threads)
sys.exit(main(sys.argv[1:]))
"""


async def test_out_of_threads_a_stop_is_clean(home):
    """As at the limit of processes: the thread of last resort is there from the start on."""
    run = ["run", "ai-agent.yaml", "--audiosocket", "127.0.0.1:0", "--control", "c.sock", "--log-format", "json"]
    command = [sys.executable, "-c", NO_THREADS, *run]
    process = await trio.lowlevel.open_process(command, cwd=home, stderr=subprocess.PIPE)
    async with trio.open_nursery() as nursery, process.stderr:
        engine = EngineProcess(process, home)
        nursery.start_soon(engine.read_log)
        await engine.logged("engine.ready")
        process.send_signal(signal.SIGUSR1)
        await engine.comes_true(lambda: asked(engine))
        process.terminate()
        assert await engine.ended() == 0
        await engine.logged("engine.stopped")
        assert {record["level"] for record in engine.calm_records} == {"info"}


async def asked(engine):
    """Whether it has answered, and so acted on the signal before."""
    return (await engine.ask("GET", "/healthz")).status_code == 200


STUCK = """
import sys, trio
from reference_engine.lifecycle import stopping
from reference_engine.log.line_writer import LineWriter
from reference_engine.reports.sessions import SessionStore
from reference_engine.log.log import open_log

async def main(log):
    with trio.CancelScope() as everything:
        nobody = dict(current=None, sessions=SessionStore(), readiness=None, manager=None, log=log)
        stopping.Shutdown(everything, **nobody).end()
        with trio.CancelScope(shield=True):
            await trio.sleep_forever()

stopping.CLOSE_S = 0.2
with LineWriter(sys.stderr.fileno()) as lines:
    trio.run(main, open_log(lines, "json", lambda _set: "INFO"))
"""


async def test_what_can_t_be_cancelled_does_not_keep_the_process():
    with trio.fail_after(LONG_S):
        ended = await trio.run_process([sys.executable, "-c", STUCK], capture_stderr=True, check=False)
    assert ended.returncode == 1
    assert json.loads(ended.stderr)["event"] == "engine.stuck"
