"""R23: `check`, start and reload run the same code.

All three are given the same files, by the adapters that are installed, and say the same, word for word.
"""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from config_adapters import ENVIRON

from voicepipe import Applied, ConfigError, Rejected, open_pipeline_set, problems_as_data
from voicepipe.cli import main
from voicepipe.config import reading_helper

pytest.importorskip("vosk", reason="the extra `vosk` is not installed")

ROOT = Path(__file__).parents[2]
BAD = ROOT / "tests/config/bad"
CASES = sorted(path.name for path in BAD.glob("*.yaml"))
GOOD = """\
pipelines:
  default:
    stt: {type: vosk, model: models/tiny-en}
    llm: {type: scripted, script: scripts/reception.yaml}
    tts: {type: espeak, voice: en-us}
"""
OF_INSTALLED_ADAPTERS = {
    "no such model": GOOD.replace("tiny-en", "tiny-fr"),
    "no model": GOOD.replace("models/tiny-en", "scripts"),
    "no such voice": GOOD.replace("en-us", "nobodys"),
    "no such script": GOOD.replace("reception", "receptoin"),
    "no script": GOOD.replace("scripts/reception.yaml", "broken.yaml"),
    "a secret that is not set": GOOD.replace("en-us", "${NOBODY_SETS_THIS}"),
    "an unknown option": GOOD.replace("voice:", "vocie:"),
    "all at once": GOOD.replace("tiny-en", "tiny-fr").replace("en-us", "nobodys").replace("type: scripted", "type: x"),
    "not YAML": GOOD + "  [",
    "empty": "",
}
STRUCTURAL = ("alias-bomb", "duplicate-keys", "many-at-once", "not-utf-8", "route-not-reached", "unknown-key")


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def directory(tmp_path, monkeypatch):
    for name in ("models", "scripts"):
        shutil.copytree(ROOT / "config" / name, tmp_path / name)
    shutil.copytree(BAD / "files", tmp_path / "files")
    (tmp_path / "broken.yaml").write_text("start: nowhere\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def path(directory):
    return Path("ai-agent.yaml")


def checked(capsys, *paths):
    """What `voicepipe check` says, and its exit status."""
    status = main(["check", "--format", "json", *map(str, paths)])
    return json.loads(capsys.readouterr().out)["errors"], status


async def started(path):
    """What keeps a set from starting."""
    try:
        async with open_pipeline_set(path):
            return []
    except ConfigError as error:
        return [*error.problems]


async def reloaded(path, content):
    """What is said about a file while another one serves."""
    path.write_text(GOOD)
    async with open_pipeline_set(path) as pipelines:
        path.write_bytes(content)
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert outcome.reason == "config"
        assert pipelines.current.version == 1
        return [*outcome.problems]


def sources(problems):
    return [problem.source for problem in problems]


@pytest.mark.parametrize("name", [*OF_INSTALLED_ADAPTERS, *STRUCTURAL])
async def test_a_bad_file_is_the_same_to_all(path, capsys, name):
    content = (
        OF_INSTALLED_ADAPTERS[name].encode() if name in OF_INSTALLED_ADAPTERS else (BAD / f"{name}.yaml").read_bytes()
    )
    by_reload = await reloaded(path, content)
    by_start = await started(path)
    by_check, status = checked(capsys, path)
    assert by_start
    assert by_reload == by_start
    assert sources(by_reload) == sources(by_start)
    assert by_check == problems_as_data(by_start)
    assert status == 78
    assert all(str(problem.where.file).partition("/")[0] in {"ai-agent.yaml", "broken.yaml"} for problem in by_start)


async def test_the_whole_corpus_is_the_same_to_all(capsys, monkeypatch):
    """A reload's helper is played by this process, or it would take minutes: its request and answer are pickled."""
    monkeypatch.chdir(BAD)
    by_start = [problem for name in CASES for problem in await started(Path(name))]
    by_reload = []
    for name in CASES:
        request = pickle.loads(pickle.dumps(reading_helper.ReadRequest(Path(name), ENVIRON)))
        answer = pickle.loads(reading_helper.answer(request))
        assert isinstance(answer, ConfigError)
        by_reload += answer.problems
    by_check, status = checked(capsys, *CASES)
    assert len(by_start) > len(CASES) > 100
    assert by_reload == by_start
    assert sources(by_reload) == sources(by_start)
    assert by_check == problems_as_data(by_start)
    assert status == 78


async def test_a_good_file_is_good_to_all(path, capsys):
    path.write_text(GOOD)
    assert checked(capsys, path) == ([], 0)
    async with open_pipeline_set(path) as pipelines:
        digest = pipelines.current.digest
        path.write_text(GOOD.replace("en-us", "en-gb"))
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.plan.opened) == (2, ("tts espeak (en-gb)",))
        path.write_text(GOOD)
        assert (await pipelines.reload()).digest == digest


@pytest.mark.parametrize("name", ["no script", "unknown-key"])
async def test_what_was_read_is_watched_after_all(path, name):
    """A rejected file says which others it named, whoever read it, or mending one of those would not be seen."""
    content = OF_INSTALLED_ADAPTERS.get(name) or (BAD / f"{name}.yaml").read_text()
    path.write_text(GOOD)
    async with open_pipeline_set(path) as pipelines:
        path.write_text(content)
        outcome = await pipelines.reload()
    with pytest.raises(ConfigError) as caught:
        async with open_pipeline_set(path):
            pytest.fail("it serves")
    assert outcome.files == caught.value.files
    assert outcome.files[0] == path.absolute()
