"""R14: a version's components close when its last call ends, and not before; everything goes back to where it was."""

from __future__ import annotations

import gc
import socket
import threading
import weakref
from contextlib import asynccontextmanager
from pathlib import Path

import trio
import trio.testing
from garbage import left_to_the_collector, ours
from recording import RecordedSet, make_component, pipeline

from voicepipe import Adapter, Registry, Rejected, Retired
from voicepipe.pipelines.versions import KEPT


async def test_not_before_and_then_at_once(tmp_path):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        with pipelines.pin():
            with pipelines.pin():
                await recorded.rewrite(pipelines, default=pipeline(stt="b", llm="b"))
                await recorded.rewrite(pipelines, default=pipeline(stt="c", llm="b"))
                assert recorded.closed == ["stt b"]
            await trio.testing.wait_all_tasks_blocked()
            assert recorded.closed == ["stt b"]
        await trio.testing.wait_all_tasks_blocked()
        assert recorded.closed[0] == "stt b"
        assert sorted(recorded.closed[1:]) == ["llm a", "stt a"]
        assert [event.version for event in recorded.events if isinstance(event, Retired)] == [2, 1]


async def test_a_component_of_which_a_later_version_has_need_again_is_kept(tmp_path):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        with pipelines.pin():
            await recorded.rewrite(pipelines, default=pipeline(stt="b"))
            await recorded.rewrite(pipelines, default=pipeline(stt="a"))
        await trio.testing.wait_all_tasks_blocked()
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
        assert recorded.opened.count("stt a") == 1


def held():
    """Descriptors and threads; of these not trio's idle ones, which come and go by themselves."""
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread")]
    return len(list(Path("/proc/self/fd").iterdir())), len(threads)


async def test_files_sockets_threads_and_memory_go_back_to_where_they_were(tmp_path):
    recorded = RecordedSet(tmp_path)
    made = weakref.WeakSet()

    @asynccontextmanager
    async def open_heavy(options, resources):
        ours, theirs = socket.socketpair()
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait, name=resources.component)
        thread.start()
        component = make_component("tts")
        made.add(component)
        try:
            with ours, theirs, (tmp_path / "model").open("wb"):
                yield component
        finally:
            stop.set()
            thread.join()

    heavy = recorded.adapter("tts")
    heavy = Adapter(name="recorded", role="tts", options=heavy.options, open=open_heavy)
    registry = Registry([recorded.adapter("stt"), recorded.adapter("llm"), heavy])
    async with recorded.serve(registry=registry) as pipelines:
        await pipelines.reload()
        gc.collect()
        before = held()
        with pipelines.pin():
            for number in range(10):
                await recorded.rewrite(pipelines, default=pipeline(tts=str(number)))
            gc.collect()
            assert len(made) == 2
            assert held() == (before[0] + 3, before[1] + 1)
        await trio.testing.wait_all_tasks_blocked()
        gc.collect()
        assert len(made) == 1
        assert held() == before
    gc.collect()
    assert len(made) == 0
    assert held() == (before[0] - 3, before[1] - 1)


async def test_what_retires_is_freed_without_the_garbage_collector(tmp_path):
    """Else it would have to look at everything, calls or no calls: versions go by their last reference."""
    recorded = RecordedSet(tmp_path)
    retired = weakref.WeakSet()
    async with recorded.serve() as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="of old"))
        with left_to_the_collector() as left:
            for number in range(2 * KEPT):
                retired.add(pipelines._versions.serving)
                with pipelines.pin():
                    await recorded.rewrite(pipelines, default=pipeline(stt=str(number), llm=str(number)))
                recorded.path.write_text("pipelines: [")
                assert isinstance(await pipelines.reload(), Rejected)
            await trio.testing.wait_all_tasks_blocked()
            assert len(retired) == KEPT - 1
        assert ours(left) == []
