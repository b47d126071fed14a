"""`voicepipe check` with its flags: no secrets at hand, tools of one's own, and components that are really opened."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from shutil import copytree

import pytest
import trio
from config_adapters import ENVIRON, REGISTRY
from patience import LONG_S
from recording import RecordingAdapters, pipeline, raising

from voicepipe import cli
from voicepipe.commands import check
from voicepipe.config import load
from voicepipe.errors import ComponentError

CORPUS = Path(__file__).parent / "config"
RUN = [sys.executable, "-c", "import sys; from voicepipe.cli import main; sys.exit(main())"]
ROLES = """\
    stt: {type: ears, model: files/model}
    llm: {type: script, script: files/script.yaml}
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file for the corpus's adapters: `write(text)` the whole, `write(tts=...)` a reference."""
    copytree(CORPUS / "good/files", tmp_path / "files")
    monkeypatch.setattr(load, "installed", lambda: REGISTRY)
    for name in ENVIRON:
        monkeypatch.delenv(name, raising=False)

    def write(text="", *, tts="voice", more=""):
        path = tmp_path / "set.yaml"
        path.write_text(text or f"pipelines:\n  default:\n{ROLES}    tts: {tts}\n{more}")
        return str(path)

    return write


def errors_of(capsys, *arguments, status=78):
    """What a check reports, as `path: message`."""
    assert cli.main(["check", "--format", "json", *arguments]) == status
    report = json.loads(capsys.readouterr().out)
    assert report.keys() == {"ok", "errors"}
    assert report["ok"] == (status == 0)
    for error in report["errors"]:
        assert error.keys() == {"file", "line", "column", "path", "message", "hint"}
    return [f"{error['path']}: {error['message']}" for error in report["errors"]]


# --allow-missing-secrets


GIVEN = {
    "a secret": '{type: cloud, model: aura, api_key: "${API_KEY}"}',
    "a secret in text": '{type: cloud, model: "aura-${WORD}", api_key: "${API_KEY}"}',
    "a secret in a file": '{type: cloud, model: aura, api_key: "${file:/run/secrets/nothing-here}"}',
    "one that a validator would refuse": '{type: voice, voice: "${VOICE}"}',
    "a number": '{type: voice, words_per_minute: "${RATE}"}',
    "a fixed word": '{type: cloud, model: aura, api_key: "${API_KEY}", region: "${WORD}"}',
    "in a section": '{type: cloud, model: aura, api_key: "${API_KEY}", retry: {attempts: "${RATE}"}}',
    "in a list": '{type: cloud, model: aura, api_key: "${API_KEY}", retry: {on: ["${WORD}"]}}',
    "an adapter": '{type: "${WORD}"}',
    "a component": '"${WORD}"',
    "in a failover list": '[voice, {type: cloud, model: aura, api_key: "${API_KEY}"}]',
}


@pytest.mark.parametrize("tts", GIVEN.values(), ids=GIVEN)
def test_what_is_not_set_is_taken_as_given(write, capsys, tts):
    path = write(tts=tts)
    assert errors_of(capsys, path)
    assert errors_of(capsys, "--allow-missing-secrets", path, status=0) == []
    assert cli.main(["check", "--allow-missing-secrets", path]) == 0
    line = capsys.readouterr().out
    assert line.startswith(f"{path}: ok")
    assert "without ${" in line


def test_an_empty_variable_is_no_more_than_one_that_is_not_set(write, capsys, monkeypatch):
    monkeypatch.setenv("API_KEY", "")
    path = write(tts=GIVEN["a secret"])
    assert errors_of(capsys, "--allow-missing-secrets", path, status=0) == []


def test_the_line_says_what_was_missing(write, capsys):
    path = write(tts=GIVEN["a secret in text"])
    assert cli.main(["check", "--allow-missing-secrets", path]) == 0
    assert capsys.readouterr().out == (
        f"{path}: ok: 1 pipeline (default), 3 components, default is active, without ${{WORD}}, ${{API_KEY}}\n"
    )
    path = write(tts=GIVEN["an adapter"])
    assert cli.main(["check", "--allow-missing-secrets", path]) == 0
    assert capsys.readouterr().out == f"{path}: ok, as far as it can be checked, without ${{WORD}}\n"


def test_elsewhere_in_the_file(write, capsys):
    more = """\
    greeting: Hello ${WORD}
    turns: {end_of_turn_ms: "${RATE}"}
    tools: ["${WORD}"]
active_pipeline: ${WORD}
limits: {idle_prompts: "${RATE}", goodbye: "${WORD}"}
routes:
  - when: {called: "${WORD}", variables: {x: "${WORD}"}}
    pipeline: ${WORD}
  - split: {default: "${RATE}"}
"""
    assert errors_of(capsys, "--allow-missing-secrets", write(more=more), status=0) == []


LOOSE = {
    "not closed": ('{type: voice, voice: "${VOICE"}', ["pipelines.default.tts.voice: unclosed ${"]),
    "misspelt": ('{type: voice, voice: "${VO-ICE}"}', ['pipelines.default.tts.voice: invalid reference "${VO-ICE}"']),
    "a directory for a secret": (
        '{type: cloud, model: aura, api_key: "${file:files}"}',
        ['pipelines.default.tts.api_key: the file "files" is a directory, not a file'],
    ),
    "another option": (
        '{type: cloud, model: aura, api_key: "${API_KEY}", speed: 9}',
        ['pipelines.default.tts.speed: must be at most 2, got "9"'],
    ),
    "beside a number": (
        '{type: voice, words_per_minute: "${RATE}", voice: Q}',
        ['pipelines.default.tts.voice: must match [a-z]{2}(-[a-z]+)?, got "Q"'],
    ),
    "one that is missing altogether": (
        '{type: cloud, api_key: "${API_KEY}"}',
        ["pipelines.default.tts.model: is required, but missing"],
    ),
    "one that is set": (
        '{type: voice, words_per_minute: "${SET}"}',
        ['pipelines.default.tts.words_per_minute: expected a whole number, got the value of "${SET}"'],
    ),
}


@pytest.mark.parametrize(("tts", "errors"), LOOSE.values(), ids=LOOSE)
def test_nothing_else_is_loosened(write, capsys, monkeypatch, tts, errors):
    monkeypatch.setenv("SET", "fast")
    assert errors_of(capsys, "--allow-missing-secrets", write(tts=tts)) == errors


def test_adapters_still_check_what_has_its_secret_missing(write, capsys):
    path = write(
        "pipelines:\n  default:\n    stt: {type: ears, model: files, words: '${WORD}'}\n"
        "    llm: {type: chat, model: secret-model, api_key: '${API_KEY}'}\n    tts: voice\n"
    )
    assert errors_of(capsys, "--allow-missing-secrets", path) == [
        "pipelines.default.stt.model: is not a model: it has no model.conf",
        "pipelines.default.llm.model: the key ${API_KEY} may not use this model",
    ]


def test_all_of_the_good_corpus_is_fine_without_its_secrets(capsys, monkeypatch):
    monkeypatch.setattr(load, "installed", lambda: REGISTRY)
    for name in ENVIRON:
        monkeypatch.delenv(name, raising=False)
    good = [str(path) for path in sorted((CORPUS / "good").glob("*.yaml"))]
    assert errors_of(capsys, "--allow-missing-secrets", *good, status=0) == []
    assert errors_of(capsys, *good)


# --tools


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the working directory: `module(name, source)`."""
    monkeypatch.chdir(tmp_path)
    yield lambda name, source: (tmp_path / f"{name}.py").write_text(source)
    for name in ("acme_tools", "acme_more"):
        sys.modules.pop(name, None)


def test_tools_of_ones_own_are_known(write, capsys, module):
    module("acme_tools", "class Book:\n    name = 'book_table'\ntools = [Book(), 'look_up']\n")
    module("acme_more", "tools = (name for name in ['third'])\n")
    path = write(more="    tools: [hang_up, book_table, look_up, third]\n")
    assert len(errors_of(capsys, path)) == 3
    assert errors_of(capsys, "--tools", "acme_tools", path) == ['pipelines.default.tools[3]: there is no tool "third"']
    assert errors_of(capsys, "--tools", "acme_tools", "--tools", "acme_more", path, status=0) == []
    assert str(Path.cwd()) not in sys.path


@pytest.mark.parametrize(
    ("source", "says"),
    [
        (None, "can't import 'acme_tools': ModuleNotFoundError: No module named 'acme_tools'"),
        ("1/0", "can't import 'acme_tools': ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "can't import 'acme_tools': SystemExit: 3"),
        ("", "'acme_tools' has no `tools`: an iterable of names, or of objects with a `name`"),
        ("tools = 'book_table'", "'acme_tools' has no `tools`"),
        ("tools = [42]", "'acme_tools' has no `tools`"),
        ("tools = ['']", "'acme_tools' has no `tools`"),
    ],
)
def test_a_module_that_has_none_is_wrong_usage(write, capsys, module, source, says):
    if source is not None:
        module("acme_tools", source)
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", "--tools", "acme_tools", write()])
    assert ended.value.code == 2
    assert f"argument --tools: {says}" in capsys.readouterr().err


# --probe


@pytest.fixture
def recorded(monkeypatch):
    """Adapters that note what is opened and closed."""
    adapters = RecordingAdapters()
    monkeypatch.setattr(load, "installed", lambda: adapters.registry)
    monkeypatch.setattr(check, "installed", lambda: adapters.registry)
    return adapters


def written(path, **pipelines):
    path.write_text(json.dumps({"pipelines": pipelines}, indent=2))
    return str(path)


def test_components_are_opened_and_closed_again(tmp_path, recorded, capsys):
    never = pipeline(stt="z")
    path = written(tmp_path / "set.yaml", default=pipeline(stt=["a", "b"]), never=never)
    assert cli.main(["check", path]) == 0
    assert recorded.attempts == []
    capsys.readouterr()
    assert cli.main(["check", "--probe", path]) == 0
    assert capsys.readouterr().out.endswith("default is active, all components of reachable pipelines open\n")
    assert sorted(recorded.opened) == sorted(recorded.closed) == ["llm a", "stt a", "stt b", "tts a"]


def test_what_cant_be_opened_is_told_at_its_place(tmp_path, recorded, capsys):
    recorded.opening["stt b"] = raising(ComponentError("refused", answered="401", hint="is the key right?"))
    recorded.opening["tts a"] = raising(SystemExit(3))
    path = written(tmp_path / "set.yaml", default=pipeline(stt=["a", "b"]))
    assert cli.main(["check", "--probe", path]) == 78
    assert capsys.readouterr().out == (
        f"{path}:9:9: pipelines.default.stt[1]: stt recorded can't be opened: refused; answered: 401\n"
        "            {\n            ^\n"
        "  hint: is the key right?\n\n"
        f"{path}:18:14: pipelines.default.tts: tts recorded can't be opened: SystemExit: 3\n"
        '          "tts": {\n                 ^\n\n'
        "2 problems\n"
    )
    assert recorded.open == {}


def test_a_list_that_opens_in_part_is_told_too(tmp_path, recorded, capsys):
    recorded.opening["stt b"] = raising(ComponentError("refused"))
    path = written(tmp_path / "set.yaml", default=pipeline(stt=["a", "b"]))
    assert errors_of(capsys, "--probe", path) == ["pipelines.default.stt[1]: stt recorded can't be opened: refused"]
    assert recorded.open == {}


def test_a_component_that_can_find_out_whether_it_works_does(tmp_path, recorded, capsys):
    class Probed:
        async def probe(self):
            raise ComponentError("the provider says no")

    recorded.make = lambda _role: Probed()
    path = written(tmp_path / "set.yaml", default=pipeline())
    assert len(errors_of(capsys, "--probe", path)) == 3


def test_one_that_hangs_is_given_up(tmp_path, recorded, capsys, monkeypatch):
    monkeypatch.setattr(check, "OPEN_S", 0.1)
    recorded.opening["llm a"] = trio.sleep_forever
    path = written(tmp_path / "set.yaml", default=pipeline())
    assert errors_of(capsys, "--probe", path) == [
        "pipelines.default.llm: llm recorded can't be opened: did not open within 0.1 s"
    ]
    assert recorded.open == {}


def test_nothing_is_opened_of_a_bad_file(tmp_path, recorded, capsys):
    path = written(tmp_path / "set.yaml", default=pipeline(greet="Hello."))
    assert errors_of(capsys, "--probe", path) == ['pipelines.default.greet: unknown key "greet"']
    assert recorded.attempts == []


def test_a_probe_needs_the_secrets(write, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", "--probe", "--allow-missing-secrets", write()])
    assert ended.value.code == 2
    assert "--probe needs all secrets" in capsys.readouterr().err


SLOW = """
import signal
import sys
import trio
from contextlib import asynccontextmanager
sys.path.insert(0, {tests!r})
from recording import RecordingAdapters
from voicepipe import cli
from voicepipe.commands import check
from voicepipe.config import load

adapters = RecordingAdapters()
check.installed = load.installed = lambda: adapters.registry
async def slow():
    await trio.sleep({seconds})
adapters.opening["stt a"] = slow
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background of a shell ignore it
sys.exit(cli.main())
"""


def slow(seconds):
    return [sys.executable, "-c", SLOW.format(tests=str(Path(__file__).parent), seconds=seconds), "check", "--probe"]


def test_progress_is_for_a_terminal(tmp_path):
    path = written(tmp_path / "set.yaml", default=pipeline())
    leader, follower = pty.openpty()
    run = subprocess.run([*slow(0.3), path], stdout=subprocess.PIPE, stderr=follower, check=False, timeout=LONG_S)
    os.close(follower)
    shown = os.read(leader, 65536).decode()
    os.close(leader)
    assert run.returncode == 0
    assert "opened 2 of 3, waiting for stt recorded" in shown
    assert shown.endswith("\r\x1b[K")
    run = subprocess.run([*slow(0), path], capture_output=True, check=False, timeout=LONG_S)
    assert (run.returncode, run.stderr) == (0, b"")


def test_ctrl_c_ends_a_probe_quietly(tmp_path):
    path = written(tmp_path / "set.yaml", default=pipeline())
    leader, follower = pty.openpty()
    process = subprocess.Popen([*slow(600), path], stdout=subprocess.PIPE, stderr=follower)
    os.close(follower)
    shown = b""
    while b"waiting" not in shown:
        shown += os.read(leader, 65536)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=LONG_S)
    os.close(leader)
    assert (process.returncode, out) == (130, b"")


# A third party's adapter that can't be imported


@pytest.fixture
def rusty(tmp_path):
    """The environment of a process where a package is installed whose adapter can't be imported."""
    package = tmp_path / "site"
    metadata = package / "rusty_voice-0.1.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rusty-voice\nVersion: 0.1\n")
    (metadata / "entry_points.txt").write_text("[voicepipe.tts]\nrusty = rusty_voice:tts\n")
    (package / "rusty_voice.py").write_text("import no_such_vendor\n")
    return os.environ | {"PYTHONPATH": str(package)}


def test_a_broken_adapter_is_no_concern_of_those_who_dont_use_it(rusty, tmp_path):
    config = Path(__file__).parents[1] / "config" / "ai-agent.yaml"
    run = subprocess.run([*RUN, "check", config], env=rusty, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    path = tmp_path / "set.yaml"
    path.write_text(config.read_text().replace("type: espeak", "type: rusty", 1))
    run = subprocess.run([*RUN, "check", path], env=rusty, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (78, "")
    assert (
        'tts.type: the tts adapter "rusty" is installed, but can\'t be used: '
        "rusty_voice:tts can't be imported: ModuleNotFoundError: No module named 'no_such_vendor'\n"
    ) in run.stdout
    assert "  hint: fix, update or uninstall the package rusty-voice 0.1\n" in run.stdout
