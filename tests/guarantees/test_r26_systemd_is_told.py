"""R26: systemd `Type=notify-reload`: READY, RELOADING with MONOTONIC_USEC, STATUS with the outcome."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

import pytest
import trio
from engine_process import open_engine
from patience import LONG_S
from recording import RecordedSet, pipeline, raising

from reference_engine.lifecycle.systemd import ServiceManager
from reference_engine.lifecycle.systemd_notes import MAX_STATUS
from voicepipe import ComponentError


class Systemd:
    """The receiving end, as PID 1 has it."""

    def __init__(self, address):
        self.told_to = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        self._socket.settimeout(LONG_S)

    @property
    def environ(self):
        return {"NOTIFY_SOCKET": self.told_to}

    def note(self):
        """The next note, as a dictionary."""
        return dict(line.split("=", 1) for line in self._socket.recv(65536).decode().splitlines())

    async def notes_until(self, name):
        """The next notes, up to one with that in it."""
        notes = [{}]
        while name not in notes[-1]:
            notes.append(await trio.to_thread.run_sync(self.note))
        return notes[1:]

    def silent(self):
        """Whether there is no note."""
        self._socket.setblocking(False)
        try:
            return not self._socket.recv(65536)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(LONG_S)

    def close(self):
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(request, tmp_path):
    """Either kind of address that systemd hands out."""
    address = str(tmp_path / "notify") if request.param == "path" else f"@voicepipe-test-{os.getpid()}"
    with contextlib.closing(Systemd(address)) as systemd:
        yield systemd


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


async def test_ready_and_stopping(systemd, recorded):
    async with recorded.serve() as pipelines:
        manager = ServiceManager({"main": pipelines}, systemd.environ)
        manager.ready()
        assert systemd.note() == {"READY": "1", "STATUS": "main: version 1 serves (default)"}
        manager.stopping()
        assert systemd.note()["STOPPING"] == "1"


async def test_a_reload_that_is_applied(systemd, recorded):
    async with recorded.serve() as pipelines:
        manager = ServiceManager({"main": pipelines}, systemd.environ)
        asked = time.monotonic_ns() // 1000
        with manager.reloading():
            told = systemd.note()
            assert told["RELOADING"] == "1"
            # systemd takes it for an older reload's if this is before it sent the signal
            assert asked <= int(told["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
            await recorded.rewrite(pipelines, "sales", sales=pipeline())
            assert systemd.silent()
        assert systemd.note() == {"READY": "1", "STATUS": "main: version 2 serves (sales)"}


async def test_a_reload_that_is_rejected_is_done_too(systemd, recorded):
    async with recorded.serve() as pipelines:
        manager = ServiceManager({"main": pipelines}, systemd.environ)
        with manager.reloading():
            recorded.path.write_text("active_pipeline: a\npipelines: {b: {}}\n")
            await pipelines.reload()
        assert "RELOADING" in systemd.note()
        done = systemd.note()
        assert done["READY"] == "1"
        assert done["STATUS"].startswith("main: reload rejected, version 1 serves (default): ")
        assert f"{recorded.path}:1:18: active_pipeline: there is no pipeline" in done["STATUS"]
        assert done["STATUS"].endswith(" more")


async def test_a_reload_that_is_cut_short_is_done_too(systemd, recorded):
    async with recorded.serve() as pipelines:
        manager = ServiceManager({"main": pipelines}, systemd.environ)
        with trio.CancelScope() as scope, manager.reloading():
            scope.cancel()
            await pipelines.reload()
        assert "RELOADING" in systemd.note()
        assert systemd.note()["READY"] == "1"


async def test_whoever_asked_for_a_reload_the_status_says_how_it_went(systemd, recorded):
    sets = {}
    manager = ServiceManager(sets, systemd.environ)
    async with recorded.serve(observer=manager.observe) as sets["main"]:
        recorded.write("sales", sales=pipeline(tts="b"))
        await sets["main"].reload(trigger="control")
        for _ in ("version 1 is gone", "version 2 serves"):
            assert systemd.note() == {"STATUS": "main: version 2 serves (sales)"}
        recorded.opening["tts c"] = raising(ComponentError("no such voice\nREADY=1"))
        recorded.write("sales", sales=pipeline(tts="c"))
        await sets["main"].reload(trigger="watch")
        told = systemd.note()
        assert set(told) == {"STATUS"}
        assert "reload rejected, version 2 serves (sales)" in told["STATUS"]
        assert "no such voice READY=1" in told["STATUS"]  # a line's end would have begun another field


async def test_every_set_has_its_status(systemd, recorded, tmp_path):
    (tmp_path / "acme").mkdir()
    other = RecordedSet(tmp_path / "acme")
    async with recorded.serve() as main, other.serve(name="acme") as acme:
        manager = ServiceManager({"main": main, "acme": acme}, systemd.environ)
        other.path.write_text("\t" * 3 + "x" * 1000)
        await acme.reload()
        manager.ready()
        status = systemd.note()["STATUS"]
        assert status.startswith(
            "main: version 1 serves (default); acme: reload rejected, version 1 serves (default): "
        )
        assert len(status) <= MAX_STATUS


async def test_the_watchdog_is_fed_twice_in_its_time(systemd, nursery):
    environ = {**systemd.environ, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": str(os.getpid())}
    began = time.monotonic()
    nursery.start_soon(ServiceManager({}, environ).feed_watchdog)
    for _ in range(3):
        assert await trio.to_thread.run_sync(systemd.note) == {"WATCHDOG": "1"}
    assert time.monotonic() - began >= 0.09


@pytest.mark.parametrize("environ", [{}, {"WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}])
async def test_without_a_watchdog_there_is_nothing_to_feed(environ):
    with trio.fail_after(LONG_S):
        await ServiceManager({}, environ).feed_watchdog()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "/nowhere/at/all", "@nobody-listens-here"])
async def test_where_nobody_listens_nothing_is_told_and_nothing_fails(recorded, address):
    async with recorded.serve() as pipelines:
        manager = ServiceManager({"main": pipelines}, {"NOTIFY_SOCKET": address} if address else {})
        manager.ready()
        with manager.reloading():
            pass
        manager.stopping()
        assert pipelines.current.version == 1


async def test_a_systemd_that_does_not_read_holds_nothing_up_and_misses_nothing(systemd, nursery):
    """What it does not take is offered again, of what a newer note says anew only the newest; nobody waits for it."""
    manager = ServiceManager({}, systemd.environ)
    notes = 0
    while not manager._notes._waiting:
        notes += 1
        manager.observe(None)
    for _ in range(3):
        manager.observe(None)
        manager.stopping()
    manager.ready()
    nursery.start_soon(manager.deliver)
    taken = [await trio.to_thread.run_sync(systemd.note) for _ in range(notes + 4)]
    assert taken[: notes - 1] == [{"STATUS": ""}] * (notes - 1)
    assert ["READY" in note for note in taken[notes - 1 :]] == [False, False, False, False, True]
    assert sum("STOPPING" in note for note in taken) == 3
    assert systemd.silent()


async def test_a_real_engine_from_start_to_stop(systemd, home, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.told_to)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    async with open_engine(home, fresh=True) as engine:
        assert systemd.note() == {"READY": "1", "STATUS": "main: version 1 serves (default)"}

        engine.edit("active_pipeline: default", "active_pipeline: night")
        engine.process.send_signal(signal.SIGHUP)
        await engine.logged("reload.applied")
        await engine.logged("version.retired")
        *notes, done = await systemd.notes_until("READY")
        assert "MONOTONIC_USEC" in notes[0]
        assert done["STATUS"] == "main: version 2 serves (night)"

        engine.edit("active_pipeline: night", "active_pipeline: nigth")
        engine.process.send_signal(signal.SIGHUP)
        await engine.logged("reload.rejected")
        *notes, done = await systemd.notes_until("READY")
        assert "MONOTONIC_USEC" in notes[0]
        assert done["STATUS"].startswith("main: reload rejected, version 2 serves (night): ai-agent.yaml:1:18: ")

        engine.process.terminate()
        assert await engine.ended() == 0
        *_, last = await systemd.notes_until("STOPPING")
        assert last["STOPPING"] == "1"


async def test_an_engine_s_own_file_and_several_sets(systemd, home, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.told_to)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    serve = "main: version 1 serves (default); acme: version 1 serves (default)"
    async with open_engine(home, file="engine.yaml") as engine:
        assert systemd.note() == {"READY": "1", "STATUS": serve}
        engine.edit("admin: {port: 0}", "admin: {prot: 0}", file="engine.yaml")
        engine.hang_up()
        await engine.logged("engine.reload.rejected")
        *_, done = await systemd.notes_until("READY")
        assert done["STATUS"].startswith("engine's file rejected: engine.yaml:6:9: admin.prot: ")
        assert done["STATUS"].endswith(serve)
