"""Reloading when files change, against a set that only counts."""

from __future__ import annotations

import shutil
import threading

import pytest
import structlog
import trio
from patience import LONG_S, until
from watched import Silent

from reference_engine.watch import watching
from reference_engine.watch.watching import watch_set
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

    async def settled(self):
        """Returns once none has followed for several times the quiet."""
        before = None
        while before != self.reloads:
            before = self.reloads
            await trio.sleep(5 * QUIET_S)

    async def reloaded(self, times):
        with trio.fail_after(LONG_S):
            while self.reloads < times:
                await self._more.wait()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(watching, "QUIET_MS", int(QUIET_S * 1000))
    monkeypatch.setattr(watching, "POLL_S", 3600.0)  # so that what is seen is told by events


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
    monkeypatch.setattr(watching, "MAX_DELAY_MS", 300)
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

    def __init__(self, where, error):
        self.where, self.error = where, error

    def __call__(self, *args, **kwargs):
        if self.where == "begin":
            self.where = None
            raise self.error
        self._watch = self.real(*args, **kwargs)
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._watch.close()

    def watch(self, *args):
        if self.where == "wait":
            self.where = None
            raise self.error
        return self._watch.watch(*args)


FAILURES = {
    "no space left on device": OSError("no space left on device"),
    "too many open files": watching.WatchfilesRustInternalError("too many open files"),
    "ValueError: embedded null byte": ValueError("embedded null byte"),
}


@pytest.mark.parametrize("where", ["begin", "wait"])
@pytest.mark.parametrize("reason", FAILURES)
async def test_a_watch_that_fails_says_so_and_is_tried_again(counting, file, monkeypatch, nursery, where, reason):
    monkeypatch.setattr(watching, "RETRY_S", 0.1)
    watch = FailsOnce(where, FAILURES[reason])
    monkeypatch.setattr(watching, "RustNotify", watch)
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(watch_set, counting, structlog.get_logger())
        await counting.reloaded(2)  # by the look in between, or before it failed; and when it has begun anew
        await until(lambda: watch.where is None)
        await trio.sleep(3 * QUIET_S)
    (failed,) = logs
    assert (failed["event"], failed["log_level"], failed["set"]) == ("watch.failed", "error", "main")
    assert failed["reason"] == reason
    assert failed.get("exc_info") is (FAILURES[reason] if "ValueError" in reason else None)
    before = counting.reloads
    file.touch()
    await counting.reloaded(before + 1)


async def test_a_reload_that_raises_is_a_watch_that_failed(counting, file, monkeypatch, nursery):
    monkeypatch.setattr(watching, "RETRY_S", 0.1)
    raises = [KeyError("a defect")]
    real = counting.reload

    async def reload(**what):
        await trio.lowlevel.checkpoint()
        if raises:
            raise raises.pop()
        await real(**what)

    counting.reload = reload
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(watch_set, counting, structlog.get_logger())
        await counting.reloaded(1)
    assert [record["reason"] for record in logs] == ["KeyError: 'a defect'"]
    file.touch()
    await counting.reloaded(2)


async def test_what_there_is_no_event_of_is_seen_by_looking(counting, file, monkeypatch, nursery):
    monkeypatch.setattr(watching, "POLL_S", 0.02)
    monkeypatch.setattr(watching, "RustNotify", Silent)
    nursery.start_soon(watch_set, counting, structlog.get_logger())
    await counting.reloaded(1)
    for number in range(2, 5):
        file.write_text("x" * number)
        await counting.reloaded(number)
    file.unlink()
    await counting.reloaded(5)


async def test_a_look_waits_for_quiet_too(counting, file, monkeypatch, nursery):
    """A writer that never pauses for so long is waited for; the looks see it each time."""
    looks = []
    states = iter([1, 2, 3, 4, 4])  # when the files are read; then each look sees something else, until there is quiet

    def look(paths):
        looks.append(next(states, 4))
        return dict.fromkeys(paths, looks[-1])

    monkeypatch.setattr(watching, "POLL_S", 0.02)
    monkeypatch.setattr(watching, "RustNotify", Silent)
    monkeypatch.setattr(watching, "states_of", look)
    nursery.start_soon(watch_set, counting, structlog.get_logger())
    await counting.reloaded(2)
    assert looks[:5] == [1, 2, 3, 4, 4]
    await until(lambda: len(looks) > 10)
    assert counting.reloads == 2


async def test_while_no_watch_can_be_made_the_files_are_looked_at(counting, file, monkeypatch, nursery):
    def no_watch(*_, **__):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(watching, "POLL_S", 0.02)
    monkeypatch.setattr(watching, "RETRY_S", 0.05)
    monkeypatch.setattr(watching, "RustNotify", no_watch)
    with structlog.testing.capture_logs() as logs:
        nursery.start_soon(watch_set, counting, structlog.get_logger())
        await counting.reloaded(1)
        await until(lambda: len(logs) > 3)
        assert counting.reloads == 1  # what has not changed is not read again for each attempt
        file.write_text("x")
        await counting.reloaded(2)
    assert [record["again_s"] for record in logs[:4]] == [0.05, 0.1, 0.2, 0.4]


async def test_a_directory_that_is_replaced_again_and_again(counting, file, watch, tmp_path):
    """The second time nothing is seen by a watch that is still on the first directory."""
    config = tmp_path / "app/config"
    config.mkdir(parents=True)
    counting.file = config / "a.yaml"
    counting.file.touch()
    file.touch()
    await counting.reloaded(3)
    for number in range(3):
        shutil.copytree(config, tmp_path / "new")
        config.rename(tmp_path / f"old{number}")
        (tmp_path / "new").rename(config)
        before = counting.reloads
        await until(lambda before=before: counting.reloads > before)
        await counting.settled()
        before = counting.reloads
        counting.file.write_text(str(number))
        await until(lambda before=before: counting.reloads > before)
        await counting.settled()


async def test_a_directory_further_up_that_is_replaced(counting, file, nursery, tmp_path, monkeypatch):
    watches, real = [], watching._watch
    monkeypatch.setattr(watching, "POLL_S", 0.05)
    monkeypatch.setattr(watching, "_watch", lambda points: watches.append(points) or real(points))
    (tmp_path / "app/config").mkdir(parents=True)
    counting.file = tmp_path / "app/config/a.yaml"
    counting.file.touch()
    nursery.start_soon(watch_set, counting, structlog.get_logger())
    await counting.reloaded(1)
    shutil.copytree(tmp_path / "app", tmp_path / "new")
    (tmp_path / "app").rename(tmp_path / "old")
    (tmp_path / "new").rename(tmp_path / "app")
    await counting.reloaded(2)
    status = (tmp_path / "app/config").stat()
    there = (status.st_dev, status.st_ino)
    await until(
        lambda: watches[-1].directories[str(tmp_path / "app/config")] == there
    )  # events tell of it from here on
