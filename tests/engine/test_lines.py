"""Lines that are written whole or not at all, whatever the disk does, and memory that stays bounded meanwhile."""

from __future__ import annotations

import errno
import os
from threading import Event

import pytest

from reference_engine.log import line_writer as lines
from reference_engine.log.line_writer import MAX_CHARACTERS, LineWriter


class Disk:
    """A disk that is full, or fails, at certain writes; it takes a few bytes of each line before that."""

    def __init__(self, refuses, error=errno.ENOSPC):
        self.refuses, self.error = refuses, error
        self.writes = 0
        self.refused = Event()

    def write(self, descriptor, data):
        self.writes += 1
        if self.refuses(self.writes):
            self.refused.set()
            raise OSError(self.error, os.strerror(self.error))
        return os.write(descriptor, bytes(data)[:7])

    def __getattr__(self, name):
        return getattr(os, name)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lines"


def written(path, monkeypatch, disk, count=5):
    monkeypatch.setattr(lines, "os", disk)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with LineWriter(descriptor) as writer:
        for number in range(count):
            writer.write(f"line {number} with much to say")
    os.close(descriptor)
    return path.read_text().splitlines(), writer


WHOLE = [f"line {number} with much to say" for number in range(5)]


def test_short_writes_are_completed(path, monkeypatch):
    found, writer = written(path, monkeypatch, Disk(lambda _write: False))
    assert (found, writer.lost) == (WHOLE, 0)


@pytest.mark.parametrize("at", range(1, 12))
def test_a_disk_that_is_full_for_a_moment_loses_nothing(path, monkeypatch, at):
    found, writer = written(path, monkeypatch, Disk(lambda write: write in {at, at + 1}))
    assert (found, writer.lost, writer.reason) == (WHOLE, 0, "")


@pytest.mark.parametrize("at", range(1, 12))
@pytest.mark.parametrize("error", [errno.EIO, errno.EFBIG])
def test_a_line_that_can_not_be_written_is_not_there_and_glues_nothing(path, monkeypatch, at, error):
    found, writer = written(path, monkeypatch, Disk(lambda write: write == at, error))
    assert writer.lost == 1
    assert len(found) == 4
    assert set(found) < set(WHOLE)


def test_a_disk_that_stays_full_ends_with_a_whole_line_and_says_why(path, monkeypatch):
    monkeypatch.setattr(lines, "FLUSH_S", lines.RETRY_S)  # no time at all for another try
    disk = Disk(lambda write: write > 7)
    monkeypatch.setattr(lines, "os", disk)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with LineWriter(descriptor) as writer:
        for line in WHOLE:
            writer.write(line)
        assert disk.refused.wait(60)
        assert writer.reason == os.strerror(errno.ENOSPC)
    writer._thread.join(60)
    os.close(descriptor)
    assert path.read_text() == f"{WHOLE[0]}\n"
    assert writer.lost == 4


def test_what_waits_is_bounded_in_memory(path, monkeypatch):
    disk = Disk(lambda _write: True)
    monkeypatch.setattr(lines, "os", disk)
    monkeypatch.setattr(lines, "FLUSH_S", lines.RETRY_S)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with LineWriter(descriptor) as writer:
        for _ in range(40):
            writer.write("x" * (MAX_CHARACTERS // 20))
        assert writer.lost == 20
    writer._thread.join(60)
    os.close(descriptor)


def test_a_torn_line_in_what_can_not_be_cut_stands_alone(monkeypatch):
    reading, writing = os.pipe()
    monkeypatch.setattr(lines, "os", Disk(lambda write: write == 2, errno.EIO))
    with LineWriter(writing) as writer:
        writer.write("a line that is torn")
        writer.write("another")
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        assert file.read() == b"a line \nanother\n"


def test_a_file_that_was_moved_away_is_followed_by_another(path, tmp_path):
    def opened():
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    with LineWriter(opened(), opened) as writer:
        writer.write("before")
        while not (path.exists() and path.read_text()):
            pass
        path.rename(tmp_path / "moved")
        writer.write("on its way")
        writer.reopen()
        writer.write("after")
    os.close(writer.descriptor)
    assert (tmp_path / "moved").read_text() == "before\non its way\n"
    assert path.read_text() == "after\n"
