"""Where relative paths start, and which text is no path."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from voicepipe import absolute_path, load_config
from voicepipe.config.paths import why_no_path, working_directory
from voicepipe.errors import ConfigError

SET = "pipelines: {default: {stt: {type: vosk, model: m}, llm: {type: scripted, script: s}, tts: {type: espeak}}}\n"


@pytest.fixture
def release(tmp_path, monkeypatch):
    """A directory `current`, a symlink to `1`, as a shell enters it."""
    (tmp_path / "1").mkdir()
    (tmp_path / "current").symlink_to("1")
    monkeypatch.chdir(tmp_path / "current")
    monkeypatch.setenv("PWD", str(tmp_path / "current"))
    return tmp_path / "current"


def test_it_is_called_as_the_shell_calls_it(release):
    assert working_directory() == release
    assert absolute_path("a/../b.yaml") == release / "b.yaml"
    assert absolute_path("/x/../b.yaml") == Path("/b.yaml")


@pytest.mark.parametrize("pwd", ["", "/", "relative", "/does/not/exist", "/nul\n"])
def test_a_name_that_leads_elsewhere_does_not_count(release, monkeypatch, pwd):
    monkeypatch.setenv("PWD", pwd)
    assert working_directory() == release.resolve()


def test_a_release_that_is_switched_is_seen(release, tmp_path):
    (release / "a.yaml").write_text("old")
    before = absolute_path("a.yaml")
    (tmp_path / "2").mkdir()
    (tmp_path / "2/a.yaml").write_text("new")
    (tmp_path / "next").symlink_to("2")
    (tmp_path / "next").rename(release)
    shutil.rmtree(tmp_path / "1")
    assert absolute_path("a.yaml") == before
    assert before.read_text() == "new"


def test_one_that_is_gone_keeps_its_name(release, tmp_path):
    assert working_directory() == release
    shutil.rmtree(tmp_path / "1")
    assert working_directory() == release
    with pytest.raises(ConfigError) as caught:
        load_config(Path("a.yaml"))
    (problem,) = caught.value.problems
    assert (str(problem.where), problem.message) == ("a.yaml:1:1", "the file does not exist")
    assert problem.hint == f"{tmp_path} has no directory 'current'"
    assert caught.value.files == ()


def test_one_that_was_gone_before_is_a_located_problem(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ConfigError) as caught:
        load_config(Path("a.yaml"))
    (problem,) = caught.value.problems
    assert problem.message == "the file can't be found: the working directory does not exist"
    assert "absolute path" in problem.hint


def test_another_one_is_another_one(release, tmp_path, monkeypatch):
    assert working_directory() == release
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert working_directory() == (tmp_path / "other").resolve()


NO_PATHS = {
    "a\0b": "contains a NUL character",
    "\0": "contains a NUL character",
    "a\ud800b": "contains half of a surrogate pair, which file names can't contain",
    "m" * 256: "is too long: a path has at most 4,095 bytes, and each name in it 255",
    "ü" * 128: "is too long: a path has at most 4,095 bytes, and each name in it 255",
    "m/" * 2048: "is too long: a path has at most 4,095 bytes, and each name in it 255",
}


@pytest.mark.parametrize(("text", "why"), NO_PATHS.items(), ids=map(str, range(len(NO_PATHS))))
def test_what_is_no_path(text, why):
    assert why_no_path(text) == why


@pytest.mark.parametrize("text", ["", ".", "a b", "m" * 255, "ü" * 127, "a\nb", os.fsdecode(b"\xff")])
def test_what_may_be_one(text):
    assert why_no_path(text) == ""


PLACES = {
    "pipelines.default.llm.script": "llm: {type: scripted, script: %s}",
    "pipelines.default.stt.model": "stt: {type: vosk, model: %s}",
    "pipelines.default.prompt.file": "prompt: {file: %s}",
    "recording.directory": "recording: {directory: %s}",
    "pipelines.default.greeting": 'greeting: "${file:%s}"',
}


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("text", ["a\0b", "m" * 300, "${file:site}/x", "${LONG}"])
def test_it_is_a_located_problem_wherever_it_stands(tmp_path, path, text):
    if path.endswith("greeting") and "$" in text:
        pytest.skip("there is no ${} in a ${}")
    (tmp_path / "site").write_bytes(bytes(10))
    written = text if path.endswith("greeting") else f'"{text}"'
    line = PLACES[path] % written.replace("\0", r"\0")
    lines = {"stt": "stt: {type: vosk, model: m}", "llm": "llm: {type: scripted, script: s}", "tts": "tts: espeak"}
    if path.startswith("pipelines"):
        lines[line.partition(":")[0]] = line
    file = tmp_path / "ai-agent.yaml"
    file.write_text(
        "\n".join(["pipelines:", "  default:", *(f"    {line}" for line in lines.values())])
        + ("\n" if path.startswith("pipelines") else f"\n{line}\n")
    )
    with pytest.raises(ConfigError) as caught:
        load_config(file, environ={"LONG": "x" * 5000})
    (problem,) = [problem for problem in caught.value.problems if problem.path == path]
    assert problem.where.line == len(lines) + 3 if path == "recording.directory" else problem.where.line > 2
    assert "contains a NUL character" in problem.message or "is too long" in problem.message
    assert problem.hint
    assert not any("\0" in str(file) for file in caught.value.files)


def test_symlinks_that_lead_nowhere_are_a_located_problem(tmp_path):
    (tmp_path / "s").symlink_to("t")
    (tmp_path / "t").symlink_to("s")
    (tmp_path / "ai-agent.yaml").write_text(SET)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "ai-agent.yaml")
    (problem,) = [problem for problem in caught.value.problems if problem.path.endswith("script")]
    assert "symbolic links" in problem.message
