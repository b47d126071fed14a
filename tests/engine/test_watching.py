"""Reloading when files change, against a set that only counts."""

from __future__ import annotations

import threading

import pytest
import structlog
import trio
from patience import LONG_S, until

from reference_engine import watching
from reference_engine.watching import watch_set
from voicepipe import PipelineSetClosed

QUIET_S = 0.1


class CountingSet:
    """Has one file."""

    name = "main"

    def __init__(self, file):
        self.file = file
        self.reloads = 0
        self.busy = trio.CapacityLimiter(1)
        self.closed = False
        self._more = trio.Event()

    def files(self):
        return [self.file]

    async def reload(self, *, trigger):
        assert trigger == "watch"
        if self.closed:
            raise PipelineSetClosed("closed")
        async with self.busy:
            self.reloads += 1
        self._more.set()
        self._more = trio.Event()

    async def reloaded(self, times):
        with trio.fail_after(LONG_S):
            while self.reloads < times:
                await self._more.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watching, "QUIET_MS", int(QUIET_S * 1000))


@pytest.fixture
def counting(tmp_path):
    (tmp_path / "a.yaml").touch()
    return CountingSet(tmp_path / "a.yaml")


@pytest.fixture
def file(counting):
    return counting.file


@pytest.fixture
async def watch(counting, nursery):
    nursery.start_soon(watch_set, counting, structlog.get_logger())
    await counting.reloaded(1)


async def test_what_changed_before_the_watch_began_is_read(counting, watch):
    await trio.sleep(3 * QUIET_S)
    assert counting.reloads == 1


async def test_a_burst_is_one_change(counting, file, nursery, monkeypatch):
    monkeypatch.setattr(watching, "QUIET_MS", 400)  # which no pause in the burst is, whatever else the machine does
    nursery.start_soon(watch_set, counting, structlog.get_logger())
    await counting.reloaded(1)
    for _ in range(20):
        file.touch()
    await counting.reloaded(2)
    await trio.sleep(0.8)
    assert counting.reloads == 2


async def test_a_change_during_a_reload_leads_to_another(counting, file, watch):
    async with counting.busy:
        file.touch()
        await until(lambda: counting.busy.statistics().tasks_waiting)
        file.touch()
        assert counting.reloads == 1
    await counting.reloaded(3)
    await trio.sleep(3 * QUIET_S)
    assert counting.reloads == 3


async def test_without_quiet_it_does_not_wait_for_ever(counting, file, watch, monkeypatch):
    monkeypatch.setattr(watching, "MOST_MS", 300)
    file.touch()
    await counting.reloaded(2)  # the wait that was on had the old limit
    with trio.fail_after(LONG_S):
        while counting.reloads < 3:
            file.touch()
            await trio.sleep(QUIET_S / 10)


async def test_other_files_from_now_on(counting, file, watch, tmp_path):
    other = tmp_path / "other" / "b.yaml"
    other.parent.mkdir()
    other.touch()
    counting.file = other
    file.touch()
    await counting.reloaded(3)  # one more when the watch has begun anew
    other.touch()
    await counting.reloaded(4)
    file.touch()
    await trio.sleep(3 * QUIET_S)
    assert counting.reloads == 4


async def test_it_can_be_cancelled_and_leaves_no_thread(counting):
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_set, counting, structlog.get_logger())
            await counting.reloaded(1)
            await trio.sleep(2 * QUIET_S)
            scope.cancel()
    assert scope.cancelled_caught
    assert counting.reloads == 1
    assert not [thread for thread in threading.enumerate() if "watch" in thread.name.lower()]


async def test_it_ends_when_the_set_closes(counting, file):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_set, counting, structlog.get_logger())
        await counting.reloaded(1)
        counting.closed = True
        file.touch()
    assert counting.reloads == 1


class FailsOnce:
    """A watch that fails when it is set up, or when it waits, and works from then on."""

    real = watching.RustNotify

    def __init__(self, where):
        self.where = where

    def __call__(self, *args, **kwargs):
        if self.where == "begin":
            self.where = None
            raise OSError("no space left on device")
        self._watch = self.real(*args, **kwargs)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._watch.close()

    def watch(self, *args):
        if self.where == "wait":
            self.where = None
            raise watching.WatchfilesRustInternalError("no space left on device")
        return self._watch.watch(*args)


@pytest.mark.parametrize("where", ["begin", "wait"])
async def test_a_watch_that_fails_says_so_and_is_tried_again(counting, file, monkeypatch, nursery, where):
    monkeypatch.setattr(watching, "AGAIN_S", 0.1)
    monkeypatch.setattr(watching, "RustNotify", FailsOnce(where))
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(watch_set, counting, structlog.get_logger())
        await counting.reloaded(1 if where == "begin" else 2)
        await trio.sleep(3 * QUIET_S)
    (failed,) = logs
    assert (failed["event"], failed["log_level"], failed["set"]) == ("watch.failed", "error", "main")
    assert failed["reason"] == "no space left on device"
    before = counting.reloads
    file.touch()
    await counting.reloaded(before + 1)
