"""Whoever follows the guide "Write an adapter" has an adapter that passes the kit, with nothing left to fill in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib

import pytest
from doc_pages import ROOT, block_titled, blocks_in
from following import GUIDE, follow
from installing import metadata_of
from patience import LONG_S
from type_checking import mypy_options

from voicepipe import cli

PLUGIN = ("-p", "voicepipe.testing.plugin", "-p", "no:cacheprovider")
MAIN = "import sys; from voicepipe.cli import main; sys.exit(main())"


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    pytest.importorskip("httpx", reason="its client: make setup")
    package = follow(tmp_path_factory.mktemp("guide"))
    metadata_of((package / "pyproject.toml").read_text(encoding="utf-8"), package.parent / "site")
    return package


def run(package, *command, **environ):
    path = os.pathsep.join([str(package / "src"), str(package.parent / "site")])
    return subprocess.run(
        [sys.executable, *command],
        cwd=package,
        env=os.environ | {"PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        timeout=10 * LONG_S,  # a run of the whole kit, beside other tests
        check=False,
    )


def test_it_passes_the_kit_and_nothing_is_left(package):
    ran = run(package, "-m", "pytest", "-v", *PLUGIN)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "test_nothing_is_left_to_fill_in PASSED" in ran.stdout
    assert "throttling_is_told PASSED" in ran.stdout
    assert "SKIPPED" not in ran.stdout


def test_the_house_s_tools_have_nothing_to_say(package, tmp_path):
    pytest.importorskip("mypy", reason="make setup")
    config = ROOT / "pyproject.toml"
    for command in (["check"], ["format", "--check"]):
        ran = run(package, "-m", "ruff", *command, "--no-cache", "--config", config, ".")
        assert ran.returncode == 0, ran.stdout + ran.stderr
    own = "src/voicepipe_ollama"
    ran = run(package, "-m", "mypy", *mypy_options(tmp_path), own, MYPYPATH=f"{ROOT}{os.pathsep}src")
    assert ran.returncode == 0, ran.stdout


def test_it_writes_down_a_whole_conversation(package):
    told = """
import json, voicepipe as v
from voicepipe_ollama.wire import ReplyReader, body_for
call = v.ToolCall("1", "hours", {"day": "Monday"})
messages = (v.Message("caller", "when"), v.Message("agent", "", tool_calls=(call,)), v.Message("tool", "nine"))
tool = v.Tool("hours", "When it is open.", {"type": "object"})
asked = v.ReplyRequest(v.ToolResults({"1": "nine"}), messages, "Be brief.", (tool,), said="We op")
print(json.dumps(body_for("llama3.2", asked)))
reader = ReplyReader()
line = {"message": {"content": "", "tool_calls": [{"function": {"name": "hours", "arguments": {"day": "Monday"}}}]}}
events = [*reader.feed(json.dumps(line).encode() + b"\\n")]
assert events[0].name == "hours" and events[0].arguments == {"day": "Monday"}
assert [*reader.feed(b'{"done": true, "done_reason": "stop"}\\n')][-1] == v.ReplyDone("complete")
reader = ReplyReader()
events = [*reader.feed(b'{"message": {"content": "Hi"}}\\n{"done": true, "done_reason": "length"}\\n')]
assert events[-1].reason == "truncated"
"""
    ran = run(package, "-c", told)
    assert ran.returncode == 0, ran.stderr
    assert '{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "hours", ' in ran.stdout
    assert '{"role": "tool", "content": "nine"}, {"role": "assistant", "content": "We op"}]' in ran.stdout


def test_a_pipeline_can_use_it(package, tmp_path):
    file = package / "used.yaml"
    pipeline = (
        "pipelines:\n  default:\n    stt: {type: wyoming, address: 'a:1'}\n    tts: {type: wyoming, address: 'a:1'}\n"
    )
    file.write_text(f"{pipeline}    llm: {{type: ollama, model: llama3.2}}\n", encoding="utf-8")
    assert run(package, "-c", MAIN, "check", "used.yaml").stdout.startswith("used.yaml: ok: 1 pipeline")
    file.write_text(f"{pipeline}    llm: {{type: ollama, modle: llama3.2}}\n", encoding="utf-8")
    ran = run(package, "-c", MAIN, "check", "used.yaml")
    assert 'used.yaml:5:25: pipelines.default.llm.modle: unknown key "modle"' in ran.stdout
    assert ran.returncode == 78


def test_its_entry_point_is_the_one_that_the_guide_shows(package):
    (shown,) = (block.text for block in blocks_in(ROOT / GUIDE) if block.language == "toml")
    assert shown in (package / "pyproject.toml").read_text(encoding="utf-8")


def test_the_files_that_the_guide_names_are_those_of_the_package(package):
    named = re.findall(r"`((?:src|tests)/[\w/]+\.py)`", (ROOT / GUIDE).read_text(encoding="utf-8"))
    assert len(named) >= 7
    assert [file for file in named if not (package / file).exists()] == []


def test_two_roles_are_put_into_one_package(tmp_path, monkeypatch):
    """The commands of the page, but for pip; then a check of each role's, of its stand-in as well."""
    pytest.importorskip("websockets", reason="make setup")
    (text,) = (block.text for block in blocks_in(ROOT / GUIDE) if "--into second" in block.text)
    monkeypatch.chdir(tmp_path)
    for line in text.splitlines():
        command = line.removeprefix("$ ")
        if command.startswith("voicepipe "):
            assert cli.main(command.split()[1:]) == 0
        elif command.startswith("cd "):
            package = tmp_path / command.removeprefix("cd ")
            monkeypatch.chdir(package)
        elif command.startswith("pip "):
            assert command.endswith("&& pytest tests && pytest voice_tests")
        else:
            subprocess.run(["/bin/bash", "-ec", command], check=True)
    project = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {one.partition(">")[0] for one in project["dependencies"]} == {"voicepipe-telephony", "websockets", "httpx"}
    assert project["entry-points"] == {
        "voicepipe.stt": {"acme": "voicepipe_acme.adapter:stt"},
        "voicepipe.tts": {"acme": "voicepipe_acme.voice_adapter:tts"},
    }
    for tests in ("tests", "voice_tests"):
        ran = run(package, "-m", "pytest", "-q", *PLUGIN, tests, "-k", "broken or unauthorised or wrong_key")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "2 passed" in ran.stdout


def test_the_kit_s_page(tmp_path):
    pytest.importorskip("espeakng_loader", reason="make setup")
    page = "docs/how-to/test-with-the-kit.md"
    (tmp_path / "config").symlink_to(ROOT / "config")
    for title in ("test_espeak.py", "test_call.py", "checking.py", "test_vosk.py"):
        (tmp_path / title).write_text(block_titled(page, title), encoding="utf-8")
    config = ("-c", ROOT / "pyproject.toml", "--rootdir", tmp_path)
    tests = ("test_call.py", "test_espeak.py", "test_vosk.py", "-k", "question or broken or the_words_are_heard")
    ran = run(tmp_path, "-m", "pytest", "-q", *PLUGIN, *config, *tests)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "3 passed" in ran.stdout
    (text,) = (block.text for block in blocks_in(ROOT / page) if block.language == "text")
    from voicepipe.testing.conformance import speech  # noqa: PLC0415

    means = speech.segments_come_in_order.__doc__
    assert [line.strip() for line in text.splitlines()[1:]] == [line.strip() for line in means.rstrip().splitlines()]
