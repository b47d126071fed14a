"""Reading in a helper process, by the adapters that are really installed."""

from __future__ import annotations

import importlib
import json
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from odd_adapters import odd_adapters, odd_pipeline
from patience import until

from voicepipe import Applied, ConfigError, Rejected, Unchanged, installed, load_config, open_pipeline_set
from voicepipe.config import fingerprint, hashes
from voicepipe.pipelines import read_in_helper, reading_template
from voicepipe.pipelines.read_in_helper import load
from voicepipe.pipelines.reading_template import open_reading_template

CANARY = "canary-7f3a91"
ROOT = Path(__file__).parents[2]


@pytest.fixture
def _odd(tmp_path, monkeypatch):
    with odd_adapters(tmp_path / "packages", monkeypatch):
        yield


@pytest.fixture
def path(tmp_path, _odd):
    file = tmp_path / "ai-agent.yaml"
    file.write_text(odd_pipeline())
    return file


@asynccontextmanager
async def serving(path, **settings):
    async with open_pipeline_set(path, environ={"WORD": CANARY}, **settings) as pipelines:
        yield pipelines


def gone(pid):
    """Whether a process has ended; a zombie has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def read(file):
    async with open_reading_template() as one:
        return await load(file, installed(), {}, (), template=one)


async def test_a_helper_reads_what_this_process_would():
    file = ROOT / "config/ai-agent.yaml"
    pytest.importorskip("vosk", reason="the extra `vosk` is not installed")
    found = await read(file)
    expected = load_config(file, environ={}).for_calls
    assert found == expected
    assert list(found.pipelines) == ["default"]
    assert (found.sources, found.files) == (expected.sources, expected.files)
    keys = [
        [
            [one.key for role in ("stt", "llm", "tts") for one in pipeline.role(role)]
            for pipeline in of.pipelines.values()
        ]
        for of in (found, expected)
    ]
    assert keys[0] == keys[1]


async def test_a_helper_answers_with_all_problems_their_places_and_lines(path):
    path.write_text('{"pipelines": {"default": {"stt": "od", "llm": "odd", "tts": "odd"}},\n "typo": 1}')
    with pytest.raises(ConfigError) as expected:
        load_config(path, environ={})
    with pytest.raises(ConfigError) as found:
        await read(path)
    assert found.value.problems == expected.value.problems
    assert [problem.source for problem in found.value.problems] == [one.source for one in expected.value.problems]
    assert found.value.files == expected.value.files
    assert len(found.value.problems) == 2
    assert found.value.problems[1].source == ' "typo": 1}'


async def test_reloads_are_read_by_a_helper_of_low_priority_which_gets_no_secret_but_by_its_pipe(path, tmp_path):
    note = tmp_path / "note.json"
    async with serving(path) as pipelines:
        path.write_text(odd_pipeline(do="note", note=str(note), word="${WORD}"))
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert str(pipelines.current.active.tts[0].settings.options.word) == CANARY
        assert isinstance(await pipelines.reload(), Unchanged)
    seen = json.loads(note.read_text())
    assert seen["pid"] != os.getpid()
    assert seen["nice"] == min(os.nice(0) + 10, 19)
    assert CANARY not in seen["argv"] + seen["environ"]
    assert gone(seen["pid"])


async def test_the_start_is_read_by_this_process(path, tmp_path):
    note = tmp_path / "note.json"
    path.write_text(odd_pipeline(do="note", note=str(note)))
    async with serving(path):
        assert json.loads(note.read_text())["pid"] == os.getpid()


async def test_a_registry_of_ones_own_is_known_to_this_process_only(path, tmp_path):
    note = tmp_path / "note.json"
    async with serving(path, registry=type(installed())(installed())) as pipelines:
        path.write_text(odd_pipeline(do="note", note=str(note)))
        assert isinstance(await pipelines.reload(), Applied)
        assert json.loads(note.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("do", ["shout", "thread"])
async def test_whatever_a_check_prints_or_leaves_behind_is_not_in_the_way(path, do):
    async with serving(path) as pipelines:
        path.write_text(odd_pipeline(do=do))
        assert isinstance(await pipelines.reload(), Applied)


PROGRAM = """
import collections, os, pickle, sys
from voicepipe.components.registry import installed
from voicepipe.config import reading_helper
from voicepipe.config.fingerprint import adapters_on_disk
from voicepipe.pipelines import template_process

class Answer:
    pass

def main(asked, write, code):
    write(f"{code} {code}\\n".encode())
    adapters, answer = adapters_on_disk(installed()), Answer()
    answer.write = write
    %s

reading_helper.main = main
template_process.main()
"""
ANSWERS = {
    "rubbish": "answer.write(b'rubbish')",
    "another class": "pickle.dump((adapters, {}), answer); pickle.dump(collections.Counter, answer)",
    "no class of ours": "pickle.dump((adapters, {}), answer); "
    "answer.write(b'cvoicepipe.config.settings\\nNoSuchClass\\n.')",
    "no module of ours": "pickle.dump((adapters, {}), answer); "
    "answer.write(b'cvoicepipe.no_such_module\\nNoSuchClass\\n.')",
    "half": "pickle.dump((adapters, {}), answer); answer.write(b'\\x80\\x04\\x95\\xff')",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_whatever_a_helper_answers_rejects_the_file_and_ends_nothing(path, monkeypatch, answer):
    async with serving(path) as pipelines:
        with monkeypatch.context() as other:
            other.setattr(reading_template, "TEMPLATE", (sys.executable, "-P", "-c", PROGRAM % answer))
            outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "defect"
        path.write_text(odd_pipeline(word="${WORD}"))
        assert isinstance(await pipelines.reload(), Applied)


async def test_adapters_of_another_package_that_were_upgraded_need_a_restart_too(path, tmp_path):
    async with serving(path) as pipelines:
        with (tmp_path / "packages/odd_adapter.py").open("a") as module:
            module.write("# a new release\n")
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert "a package of adapters was upgraded since the start" in outcome.problems[0].message
        assert pipelines.current.version == 1


LIBRARY_CHANGES = {
    "replaced": lambda file: file.write_text("raise ImportError('half installed')\n"),
    "removed": lambda file: file.unlink(),
    "touched": lambda file: file.chmod(0o600),
}


@pytest.mark.parametrize("change", LIBRARY_CHANGES.values(), ids=LIBRARY_CHANGES)
@pytest.mark.parametrize("program", ["raise SystemExit(1)", PROGRAM % "pass"])
async def test_a_helper_that_breaks_down_over_an_upgraded_library_names_it(
    path, tmp_path, monkeypatch, change, program
):
    """The library is one that this process has loaded; without a change the same break-down is a defect."""
    library = tmp_path / "some_library.py"
    library.write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("some_library")
    known = fingerprint.libraries_of_this_process.__wrapped__()
    monkeypatch.setattr(fingerprint, "libraries_of_this_process", lambda: known)
    async with serving(path) as pipelines:
        monkeypatch.setattr(reading_template, "TEMPLATE", (sys.executable, "-P", "-c", program))
        outcome = await pipelines.reload()
        assert outcome.reason == "defect"
        change(library)
        outcome = await pipelines.reload()
        (problem,) = outcome.problems
        assert problem.message.startswith("some_library was upgraded since the start")
        assert str(problem).partition(": ")[0] == str(problem.where.file), "no line is to blame"
        assert (outcome.reason, pipelines.current.version) == ("config", 1)
    sys.modules.pop("some_library")


async def test_what_a_helper_has_hashed_is_known_from_then_on(monkeypatch):
    """Each reload has a helper of its own; a model of gigabytes is read for the first one only."""
    pytest.importorskip("vosk", reason="the extra `vosk` is not installed")
    monkeypatch.setattr(hashes, "_known", {})
    file, model = ROOT / "config/ai-agent.yaml", ROOT / "config/models/tiny-en"
    first = await read(file)
    known = hashes.known_hashes()
    assert {signature[1] for signature in known} == {at.stat().st_ino for at in model.rglob("*") if at.is_file()}
    monkeypatch.setattr(hashes, "_known", dict.fromkeys(known, "as the request said"))
    second = await read(file)
    (one,), (other,) = (config.pipelines["default"].stt for config in (first, second))
    assert one.options.model.path == other.options.model.path
    assert one.options.model.fingerprint != other.options.model.fingerprint  # it was taken from what was known


DEFECTS = {
    "exit": "reading it failed, because the helper process ended with status 3",
    "kill": "reading it failed, because the helper process ended by signal 9",
    "leave": "reading it failed, because the helper process ended without an answer",
    "abandon": "reading it failed with Abandoned in odd_adapter.py, line 30",
    "unpicklable": "reading it in a helper process failed with TypeError in odd_adapter.py, line 21: "
    "options must be picklable",
}


@pytest.mark.parametrize(("do", "message"), DEFECTS.items())
async def test_a_helper_that_breaks_down_rejects_the_file_and_tells_no_secret(path, do, message):
    async with serving(path) as pipelines:
        path.write_text(odd_pipeline(do=do, word="${WORD}"))
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        (problem,) = outcome.problems
        assert (outcome.reason, problem.message, problem.where.file) == ("defect", message, path)
        assert CANARY not in repr(outcome)
        assert pipelines.current.version == 1
        path.write_text(odd_pipeline(word="${WORD}"))
        assert isinstance(await pipelines.reload(), Applied)


async def test_a_helper_that_can_not_be_started_rejects_the_file(path, monkeypatch):
    async with serving(path) as pipelines:
        monkeypatch.setattr(reading_template, "TEMPLATE", ("no-such-program",))
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "defect"
        assert "can be started" in outcome.problems[0].message


async def test_an_environment_that_can_not_be_told_rejects_the_file(path):
    def environ():
        if told:
            raise LookupError(CANARY)
        told.append(1)
        return {}

    told = []
    async with open_pipeline_set(path, environ=environ) as pipelines:
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "defect"
        assert outcome.problems[0].message.startswith(
            "reading it could not begin, because the environment failed with LookupError in test_read_in_helper.py,"
        )
        assert CANARY not in repr(outcome)


@pytest.mark.parametrize("how", ["cancelled", "closed", "too slow"])
async def test_a_helper_that_is_given_up_leaves_no_process(path, tmp_path, how, monkeypatch):
    note = tmp_path / "note.json"
    with trio.CancelScope() as scope:
        async with serving(path) as pipelines, trio.open_nursery() as nursery:
            path.write_text(odd_pipeline(do="hang", note=str(note)))
            if how == "too slow":
                limit = 1
                while not note.exists():  # a slow machine may have to be given more, or the helper has not begun
                    monkeypatch.setattr(read_in_helper, "READ_S", limit)
                    outcome = await pipelines.reload()
                    assert isinstance(outcome, Rejected)
                    message = f"was not read within {limit} s"
                    assert (outcome.reason, outcome.problems[0].message) == ("config", message)
                    limit *= 2
                assert pipelines.current.version == 1
            else:
                nursery.start_soon(pipelines.reload)
                await until(note.exists)
                nursery.cancel_scope.cancel()
                if how == "cancelled":
                    scope.cancel()
    assert scope.cancelled_caught == (how == "cancelled")
    seen = json.loads(note.read_text())
    await until(lambda: gone(seen["pid"]))
    await until(lambda: gone(seen["child"]))


async def test_a_helper_has_the_modules_that_this_process_has(path, tmp_path, monkeypatch):
    """Whatever the working directory holds, and although `odd` is nowhere but on this process's path."""
    (tmp_path / "here/voicepipe").mkdir(parents=True)
    (tmp_path / "here/voicepipe/__init__.py").write_text("raise SystemExit(99)")
    monkeypatch.chdir(tmp_path / "here")
    assert str(tmp_path / "packages") in sys.path
    async with serving(path) as pipelines:
        assert isinstance(await pipelines.reload(), Unchanged)
