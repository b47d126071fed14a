"""What reads files beside calls does so in threads of its own, with a deadline."""

from __future__ import annotations

import os
import threading

import pytest
import trio
from patience import LONG_S, until

from voicepipe import ConfigError, installed, read_env_file, read_in_thread
from voicepipe.pipelines import read_in_helper
from voicepipe.pipelines.reading_template import ReadingTemplate


@pytest.fixture
def drive(monkeypatch):
    """A drive that does not answer before the test ends: its `read` hangs."""
    answers = threading.Event()
    monkeypatch.setattr(read_in_helper, "READ_S", 0.01)
    yield answers
    answers.set()


def message_of(caught):
    (problem,) = caught.value.problems
    return problem.message


async def test_it_is_not_read_on_the_event_loop(tmp_path):
    where = []
    path = tmp_path / "ai-agent.yaml"
    path.write_text("pipelines: {}\n")

    def environ():
        where.append(threading.get_ident())
        return {}

    with pytest.raises(ConfigError):
        await read_in_helper.load(path, installed(), environ, (), template=None)
    assert len(where) == 1
    assert threading.get_ident() not in where


async def test_a_drive_that_does_not_answer_delays_that_reading_only(tmp_path, drive):
    for _again in range(read_in_helper.READERS + 2):  # the last ones don't even get a thread
        with pytest.raises(ConfigError) as caught:
            await read_in_thread(tmp_path / "env", drive.wait)
        assert message_of(caught) == "was not read within 0.01 s"
    limiter = trio.to_thread.current_default_thread_limiter()
    assert limiter.borrowed_tokens == 0
    drive.set()
    read_in_helper.READ_S = LONG_S
    assert await read_in_thread(tmp_path / "env", lambda: 1) == 1


async def test_an_environment_that_does_not_answer_is_a_problem_of_that_file(tmp_path, drive, nursery):
    with pytest.raises(ConfigError) as caught:
        await read_in_helper.load(
            tmp_path / "ai-agent.yaml", installed(), drive.wait, (), template=ReadingTemplate(nursery)
        )
    assert message_of(caught) == "was not read within 0.01 s"
    assert caught.value.problems[0].where.file == tmp_path / "ai-agent.yaml"


async def test_a_fifo_in_the_place_of_a_file_of_variables_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "env")
    with pytest.raises(ConfigError) as caught:
        await read_in_thread(tmp_path / "env", lambda: read_env_file(tmp_path / "env"))
    assert message_of(caught) == "the file is not a regular file"


async def test_what_it_raises_is_raised_here(tmp_path):
    def read():
        raise RuntimeError("its own")

    with pytest.raises(RuntimeError, match="its own"):
        await read_in_thread(tmp_path, read)


async def test_without_a_thread_to_be_had_it_is_a_problem(tmp_path, monkeypatch):
    async def refused(*_args, **_options):
        await trio.lowlevel.checkpoint()
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(trio.to_thread, "run_sync", refused)
    with pytest.raises(ConfigError) as caught:
        await read_in_thread(tmp_path, lambda: 1)
    assert message_of(caught) == "was not read: the system grants no more threads"
    assert "TasksMax=" in caught.value.problems[0].hint


async def test_it_is_abandoned_when_it_is_cancelled(tmp_path, drive, nursery):
    read_in_helper.READ_S = LONG_S
    begun = threading.Event()

    def read():
        begun.set()
        drive.wait()

    nursery.start_soon(read_in_thread, tmp_path, read)
    await until(begun.is_set)
    nursery.cancel_scope.cancel()
