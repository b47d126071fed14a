"""R22: bytes are read once; an editor's rename and a ConfigMap's swap are seen, a half-written file is never served."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
import trio
from patience import LONG_S
from recording import pipeline
from watched import WatchedSet

from voicepipe import Applied, Rejected


@pytest.fixture
def watched(tmp_path):
    return WatchedSet(tmp_path)


def save_as_an_editor_does(path, content):
    """Writes a new file and puts it in the old one's place."""
    new = path.with_name(f".{path.name}.tmp")
    new.write_text(content)
    new.replace(path)


class ConfigMap:
    """A directory as the kubelet makes and updates it."""

    def __init__(self, directory, **files):
        self.directory = directory
        self._number = 0
        self.swap(**files)
        for name in files:
            (directory / name).symlink_to(f"..data/{name}")

    def swap(self, **files):
        """Writes all files into a new directory, makes `..data` lead to it, and removes the old one."""
        old, self._number = self._data(), self._number + 1
        self._data().mkdir()
        for name, content in files.items():
            (self._data() / name).write_text(content)
        link = self.directory / "..data_tmp"
        link.symlink_to(self._data().name)
        link.rename(self.directory / "..data")
        if old.exists():
            shutil.rmtree(old)

    def _data(self):
        return self.directory / f"..2026_{self._number:02}"


async def test_an_editor_s_rename(watched):
    text = watched.path.read_text()
    async with watched.watch() as pipelines:
        for voice in ("b", "c"):  # the second time the file is another inode than the one that was there first
            save_as_an_editor_does(watched.path, text.replace('"id": "a"', f'"id": "{voice}"'))
            await watched.outcome_that_is(Applied)
            assert pipelines.current.active.tts[0].settings.options.id == voice
        saved = watched.path.with_suffix(".yaml~")
        watched.path.rename(saved)  # as vi does with `backupcopy=no`
        await trio.sleep(0.05)
        watched.path.write_text(text)
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.tts[0].settings.options.id == "a"


async def test_writing_in_place(watched):
    async with watched.watch() as pipelines:
        watched.write(default=pipeline(tts="b"))
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.tts[0].settings.options.id == "b"


async def test_a_config_map_s_swap(watched, tmp_path):
    texts = []
    for voice, prompt in (("a", "Be kind."), ("b", "Be brief."), ("c", "Be gone.")):
        watched.write(default=pipeline(tts=voice, prompt={"file": "prompt.md"}))
        texts.append({"ai-agent.yaml": watched.path.read_text(), "prompt.md": prompt})
    directory = tmp_path / "etc"
    directory.mkdir()
    mounted = ConfigMap(directory, **texts[0])
    watched.path = directory / "ai-agent.yaml"
    assert watched.path.readlink() == Path("..data/ai-agent.yaml")
    async with watched.watch() as pipelines:
        for number, voice in ((1, "b"), (2, "c")):
            mounted.swap(**texts[number])
            await watched.outcome_that_is(Applied)
            active = pipelines.current.active
            assert (active.tts[0].settings.options.id, active.settings.prompt) == (voice, texts[number]["prompt.md"])
            assert pipelines.current.version == number + 1  # both files at once


async def test_a_directory_that_is_put_in_the_place_of_another(tmp_path):
    (tmp_path / "now" / "prompts").mkdir(parents=True)
    watched = WatchedSet(tmp_path / "now")
    (tmp_path / "now/prompts/a.md").write_text("old")
    watched.write(default=pipeline(prompt={"file": "prompts/a.md"}))
    async with watched.watch() as pipelines:
        new = shutil.copytree(tmp_path / "now/prompts", tmp_path / "new")
        (new / "a.md").write_text("new")
        (tmp_path / "now/prompts").rename(tmp_path / "before")
        new.rename(tmp_path / "now/prompts")
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.settings.prompt == "new"


@pytest.mark.parametrize("up", [0, 1, 2])
async def test_directories_that_are_replaced_one_after_the_other(tmp_path, up):
    """Also those further up, of which no event tells; and an edit after that is an event again."""
    directory = tmp_path / "one/two/config"
    directory.mkdir(parents=True)
    watched = WatchedSet(directory)
    replaced = watched.path.parents[up]
    watched.poll_s = 0.05
    async with watched.watch() as pipelines:
        for number in range(2):
            new = Path(shutil.copytree(replaced, tmp_path / "new"))
            file = new / watched.path.relative_to(replaced)
            file.write_text(file.read_text().replace('"id": "a"', f'"id": "{number}"', 1))
            replaced.rename(tmp_path / f"old{number}")
            shutil.move(new, replaced)
            await watched.outcome_that_is(Applied)
            assert pipelines.current.active.stt[0].settings.options.id == str(number)
            watched.write(default=pipeline(stt="a", tts=f"edited{number}"))
            await watched.outcome_that_is(Applied)
            assert pipelines.current.active.tts[0].settings.options.id == f"edited{number}"
            await watched.settled()


async def test_what_there_is_no_event_of_is_seen_all_the_same(watched):
    """A file that is mounted by itself, or a file system without events; whole, and each time."""
    watched.without_events()
    text = watched.path.read_text()
    async with watched.watch() as pipelines:
        for save in (save_as_an_editor_does, Path.write_text, save_as_an_editor_does):
            for voice in ("b", "a"):
                save(watched.path, text.replace('"id": "a"', f'"id": "{voice}"'))
                await watched.outcome_that_is(Applied)
                assert pipelines.current.active.tts[0].settings.options.id == voice


async def test_a_half_written_file_is_never_served(watched):
    watched.write(default=pipeline(tts="b"))
    whole = watched.path.read_bytes()
    half = len(whole) // 2
    watched.write(default=pipeline())
    async with watched.watch() as pipelines:
        serving = pipelines.current
        with watched.path.open("wb", buffering=0) as file:
            file.write(whole[:half])
            rejected = await watched.outcome_that_is(Rejected)  # its writer took a nap
            assert rejected.version == serving.version
            assert pipelines.current is serving
            file.write(whole[half:])
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.tts[0].settings.options.id == "b"


async def test_a_writer_that_does_not_pause_is_waited_for(watched):
    watched.write(default=pipeline(tts="b"))
    whole = watched.path.read_bytes()
    watched.write(default=pipeline())
    async with watched.watch(quiet_ms=750):  # which none of the pauses is, whatever else the machine does
        with watched.path.open("wb", buffering=0) as file:
            for start in range(0, len(whole), 100):
                file.write(whole[start : start + 100])
                await trio.sleep(0.02)
        assert isinstance(await watched.outcome(), Applied)
        assert sum(hasattr(event, "trigger") for event in watched.events) == 2


async def test_bytes_are_read_once(watched):
    """What is checked is what is served, although the file has changed by the time that it is checked."""
    (watched.path.parent / "script.txt").write_text("one")
    checking, go_on = threading.Event(), threading.Event()

    def check(options):
        if options.file:
            checking.set()
            assert go_on.wait(LONG_S)
        return ()

    async with watched.watch() as pipelines:
        watched.check = check
        watched.write(default=pipeline(llm={"id": "a", "file": "script.txt"}))
        assert await trio.to_thread.run_sync(checking.wait, LONG_S)
        (watched.path.parent / "script.txt").write_text("two")
        go_on.set()
        await watched.outcome_that_is(Applied)
        assert pipelines.current.active.llm[0].settings.options.file.content == b"one"
        await watched.outcome_that_is(Applied)  # the change during the reload led to another
        assert pipelines.current.active.llm[0].settings.options.file.content == b"two"
