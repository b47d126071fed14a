"""The process of which readings are forks: what it survives, and when another takes its place."""

from __future__ import annotations

import json
import os
import signal

import pytest
import trio
from odd_adapters import odd_adapters, odd_pipeline
from patience import until

from voicepipe import Applied, ConfigError, Unchanged, installed, open_pipeline_set, open_runtime
from voicepipe.pipelines import reading_template
from voicepipe.pipelines.read_in_helper import load
from voicepipe.pipelines.reading_template import open_reading_template

SETS = 20


@pytest.fixture
def packages(tmp_path, monkeypatch):
    with odd_adapters(tmp_path / "packages", monkeypatch):
        yield tmp_path / "packages"


@pytest.fixture
def path(tmp_path, packages):
    assert packages.is_dir()
    return tmp_path / "ai-agent.yaml"


@pytest.fixture
def note(tmp_path):
    return tmp_path / "note.json"


async def read(one, path, **tts):
    path.write_text(odd_pipeline(**tts))
    return await load(path, installed(), {}, (), template=one)


async def problem_of(one, path, **tts):
    with pytest.raises(ConfigError) as caught:
        await read(one, path, **tts)
    return caught.value.problems[0].message


def ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_readings_are_forks_of_one_process_and_what_breaks_one_costs_no_other(path, note):
    async with open_reading_template() as one:
        assert one.pid is None  # nothing has been read
        await read(one, path, do="note", note=str(note))
        seen, first = json.loads(note.read_text()), one.pid
        assert (seen["parent"], seen["nice"]) == (first, min(os.nice(0) + 10, 19))
        assert ended(seen["pid"])
        assert "status 3" in await problem_of(one, path, do="exit")
        assert "signal 9" in await problem_of(one, path, do="kill")
        assert "Abandoned" in await problem_of(one, path, do="abandon")
        with trio.CancelScope() as scope:
            note.unlink()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: read(one, path, do="hang", note=str(note)))
                await until(note.exists)
                scope.cancel()
        seen = json.loads(note.read_text())
        await until(lambda: ended(seen["pid"]))
        path.write_text(odd_pipeline())
        found = []

        async def read_it():
            found.append(await load(path, installed(), {}, (), template=one))

        async with trio.open_nursery() as nursery:
            for _ in range(SETS):
                nursery.start_soon(read_it)
        assert len(found) == SETS
        assert len({config.digest for config in found}) == 1
        assert one.pid == first
    assert one.pid is None
    assert ended(first)


async def test_a_template_that_was_killed_is_replaced_also_during_a_reading(path, note):
    async with open_reading_template() as one, trio.open_nursery() as nursery:
        await read(one, path)
        first = one.pid
        nursery.start_soon(lambda: read(one, path, do="hang once", note=str(note)))
        await until(note.exists)
        os.kill(first, signal.SIGKILL)
        await until(lambda: one.pid not in {None, first})
        os.killpg(json.loads(note.read_text())["pid"], signal.SIGKILL)  # nobody is left to do it
    assert ended(first)


async def test_it_ends_when_it_is_idle_and_the_next_reading_has_another(path, monkeypatch):
    monkeypatch.setattr(reading_template, "IDLE_S", 0.001)
    async with open_reading_template() as one:
        await read(one, path)
        await until(lambda: one.pid is None)
        await read(one, path)


async def test_another_environment_another_import_path_and_what_is_installed_have_another_template(
    path, note, packages, monkeypatch
):
    async with open_reading_template() as one:
        await read(one, path)
        pids = [one.pid]
        monkeypatch.setenv("ODD", "another value")
        await read(one, path, do="note", note=str(note))
        assert "ODD=another value" in json.loads(note.read_text())["environ"]
        pids.append(one.pid)
        odder = packages / "odder-1.0.dist-info"
        odder.mkdir()
        (odder / "METADATA").write_text("Metadata-Version: 2.1\nName: odder\nVersion: 1.0\n")
        (odder / "entry_points.txt").write_text("[voicepipe.llm]\nodder = odder_adapter:llm\n")
        source = (packages / "odd_adapter.py").read_text()
        (packages / "odder_adapter.py").write_text(source.replace('name="odd"', 'name="odder"'))
        path.write_text(odd_pipeline().replace('"llm": "odd"', '"llm": "odder"'))
        with pytest.raises(ConfigError, match="a package of adapters was upgraded since the start"):
            await load(path, installed(), {}, (), template=one)
        pids.append(one.pid)
        (packages / "unrelated.txt").write_text("no package")
        (packages / "odd_adapter.py").write_text(f"{source}# a new release\n")
        assert "a package of adapters was upgraded since the start" in await problem_of(one, path)
        pids.append(one.pid)
        assert len(set(pids)) == len(pids)


async def test_where_an_import_starts_a_thread_each_reading_imports_anew(path, note, packages):
    with (packages / "odd_adapter.py").open("a") as module:
        module.write("if sys.flags.safe_path: threading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n")
    async with open_reading_template() as one:
        await read(one, path, do="note", note=str(note))
        seen = json.loads(note.read_text())
        assert "read_once" in seen["argv"]
        assert (seen["parent"], seen["nice"]) == (one.pid, min(os.nice(0) + 10, 19))
        assert "status 3" in await problem_of(one, path, do="exit")


async def test_all_sets_of_a_runtime_share_one_which_a_start_does_not_need(path, tmp_path):
    other = tmp_path / "other.yaml"
    for file in (path, other):
        file.write_text(odd_pipeline())
    async with (
        open_runtime() as runtime,
        open_pipeline_set(path, runtime=runtime) as first,
    ):
        assert runtime.reading_template.pid is None
        async with open_pipeline_set(other, runtime=runtime) as second:
            assert isinstance(await first.reload(), Unchanged)
            pid = runtime.reading_template.pid
            other.write_text(odd_pipeline(note="another"))
            assert isinstance(await second.reload(), Applied)
            assert runtime.reading_template.pid == pid
    await until(lambda: ended(pid))
