"""`voicepipe explain`: the route, the reason, and where each setting comes from."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path
from shutil import copytree

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe import cli
from voicepipe.config import load
from voicepipe.config.describe.provenance import provenance_of
from voicepipe.config.load import load_with_places
from voicepipe.documents.scalars import core_schema_value

ROOT = Path(__file__).parents[1]
CORPUS = ROOT / "tests/config"
TEXT = """\
components:
  sky: {type: cloud, model: nova, api_key: "${API_KEY}", speed: 1.5, retry: {attempts: 3}}
  mouth: [sky, {type: voice, voice: "${TONGUE:-fr}"}]
pipelines:
  default: &any
    stt: {type: ears, model: files/model}
    llm: {type: script, script: files/script.yaml}
    tts: voice
  sales:
    stt: sky
    llm: {type: chat, model: m, api_key: hunter2}
    tts: {type: cloud, model: nova, api_key: "${API_KEY}", headers: {Authorization: hunter2, x: y}}
    options:
      stt: {speed: 2, spare_keys: [hunter2, "${API_KEY}"], extra: {token: hunter2, list: [{password: hunter2}, 1]}}
    prompt: {file: files/prompt.md}
    greeting: Hello ${API_KEY}
    turns: {barge_in: {min_words: 2}}
  night:
    stt: {type: ears, model: files/model}
    llm: {type: script, script: files/script.yaml}
    tts: mouth
turns: {end_of_turn_ms: 500, barge_in: {min_words: 1, min_speech_ms: 100}}
routes:
  - {when: {called: "+1900*"}, pipeline: default}
  - when: {called: "+1800*", variables: {vip: "?*", word: "${WORD}"}}
    pipeline: sales
  - {when: {caller: ["+44*", "+49*"]}, split: {default: 1, night: 3}}
"""


@pytest.fixture(autouse=True)
def _a_wide_terminal(monkeypatch):
    """These tests are about what rows say; test_columns.py is about how they are wrapped."""
    monkeypatch.setenv("COLUMNS", "1000")


@pytest.fixture(autouse=True)
def _adapters(monkeypatch):
    monkeypatch.setattr(load, "installed", lambda: REGISTRY)
    for name, value in ENVIRON.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def file(tmp_path):
    copytree(CORPUS / "good/files", tmp_path / "files")
    path = tmp_path / "set.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def explained(file, capsys):
    def explained(*arguments):
        assert cli.main(["explain", str(file), *arguments]) == 0
        return capsys.readouterr().out.replace(f"{file}:", "set.yaml:")

    return explained


@pytest.fixture
def data(file, capsys):
    def data(*arguments):
        assert cli.main(["explain", str(file), "--format", "json", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    return data


SALES = ("--called", "+1-800-5550100", "--caller", "+15550123", "--var", "vip=1", "--var", "word=fast")


def test_the_route_and_the_reason(explained):
    said = explained(*SALES).split("\n\n")
    why = 'called "+1-800-5550100" matches "+1800*"; variable vip "1" matches "?*"; '
    why += 'variable word "fast" matches "${WORD}"'
    assert said[0] == f"pipeline sales (set.yaml:9:3), by routes[1]: {why}"
    assert said[1].splitlines() == [
        "routes, in order:",
        '  routes[0]  set.yaml:24:5  no: called "+1-800-5550100" does not match "+1900*"',
        f"  routes[1]  set.yaml:25:5  yes: {why}",
    ]


def test_no_route(explained):
    said = explained("--called", "+18005550100", "--listener", "trunk")
    assert said.startswith("pipeline default (set.yaml:5:3), by active_pipeline: no route matches\n")
    assert (
        '  routes[1]  set.yaml:25:5  no: variable vip, which is not known, does not match "?*"; variable word' in said
    )
    assert '  routes[2]  set.yaml:27:5  no: caller, which is not known, matches none of "+44*", "+49*"\n' in said


def test_every_setting_and_its_place(explained):
    said = explained(*SALES)
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in said.splitlines() if line.startswith("  ")}
    for name, row in {
        "speed": "1 default",  # of the tts, the last
        "prompt.file": '"files/prompt.md" set.yaml:15:20 pipelines.sales.prompt.file',
        "selectable": "false default",
        "turns.end_of_turn_ms": "500 set.yaml:22:25 turns.end_of_turn_ms",
        "budgets.stt.first_transcript_ms": "1500 default",
        "turns.barge_in.min_words": "2 set.yaml:17:35 pipelines.sales.turns.barge_in.min_words",
        "turns.barge_in.min_speech_ms": "100 set.yaml:22:70 turns.barge_in.min_speech_ms",
        "limits.max_call_minutes": "60 default",
        "logging.level": '"INFO" default',
    }.items():
        assert rows.get(name) == row
    assert "\nstt sky, adapter cloud (set.yaml:2:8)\n" in said
    assert "\nllm chat (set.yaml:11:10)\n" in said


def test_where_options_come_from(data):
    stt, llm, _ = data(*SALES)["components"]
    options = {one.pop("path"): one for one in stt["options"]}
    file = stt["file"]
    assert (stt["role"], stt["name"], stt["adapter"], stt["path"], stt["line"]) == (
        "stt", "sky", "cloud", "components.sky", 2,
    )  # fmt: skip
    assert options["model"] == {
        "value": "nova", "origin": "component", "source": "components.sky.model", "file": file, "line": 2, "column": 29,
    }  # fmt: skip
    assert options["speed"] == {
        "value": 2.0, "origin": "options", "source": "pipelines.sales.options.stt.speed", "file": file,
        "line": 14, "column": 20,
    }  # fmt: skip
    assert options["retry.attempts"]["origin"] == "component"
    assert options["retry.on"] == {"value": ["timeout"], "origin": "default"}
    assert [(one["path"], one["origin"]) for one in llm["options"]] == [
        ("model", "reference"), ("base_url", "default"), ("timeout_s", "default"), ("api_key", "reference"),
    ]  # fmt: skip


def test_where_settings_come_from(data):
    settings = {one["path"]: one for one in data(*SALES)["settings"]}
    assert settings["prompt.file"]["origin"] == "pipeline"
    assert settings["turns.barge_in.min_words"]["origin"] == "pipeline"
    assert settings["turns.barge_in.min_speech_ms"]["origin"] == "file"
    assert settings["turns.barge_in.enabled"] == {
        "path": "turns.barge_in.enabled", "value": True, "origin": "default",
    }  # fmt: skip


def test_secrets_are_shown_as_they_are_written(data, explained):
    for said in (explained(*SALES), json.dumps(data(*SALES))):
        assert ENVIRON["API_KEY"] not in said
        assert "hunter2" not in said
    stt, llm, tts = data(*SALES)["components"]
    values = {
        role: {one["path"]: one["value"] for one in of["options"]}
        for role, of in zip("slt", (stt, llm, tts), strict=True)
    }
    assert values["s"]["api_key"] == "${API_KEY}"
    assert values["s"]["spare_keys"] == ["***", "${API_KEY}"]
    assert values["s"]["extra.token"] == "***"
    assert values["s"]["extra.list"] == [{"password": "***"}, 1]
    assert values["l"]["api_key"] == "***"
    assert (values["t"]["headers.Authorization"], values["t"]["headers.x"]) == ("***", "y")
    greeting = next(one for one in data(*SALES)["settings"] if one["path"] == "greeting")
    assert greeting["value"] == "Hello ${API_KEY}"


def test_json_tells_the_routes_that_were_tried(data):
    found = data("--caller", "+491")
    assert (found["pipeline"], found["route"]) in {("default", 2), ("night", 2)}
    assert "has it for this caller" in found["reason"]
    assert [(one["path"], one["matches"], one["line"]) for one in found["routes"]] == [
        ("routes[0]", False, 24), ("routes[1]", False, 25), ("routes[2]", True, 27),
    ]  # fmt: skip
    assert datetime.fromisoformat(found["call"].pop("at")).tzinfo is not None
    assert found["call"] == {"called": "", "caller": "+491", "listener": "", "variables": {}}
    assert data()["route"] is None


@pytest.fixture
def by_time(file):
    file.write_text(
        TEXT.partition("routes:")[0]
        + "timezone: Europe/Berlin\nroutes:\n"
        + "  - {when: {dates: 12-24..12-26}, pipeline: night}\n"
        + "  - {when: {hours: mon-fri 09:00-17:00, except_dates: 2026-12-31}, pipeline: sales}\n",
        encoding="utf-8",
    )


@pytest.mark.usefixtures("by_time")
@pytest.mark.parametrize(
    ("at", "pipeline", "moment"),
    [
        ("2026-12-24T18:00", "night", "at Thu 2026-12-24 18:00 in Europe/Berlin (2026-12-24T18:00+01:00)"),
        ("2026-12-24", "night", "at Thu 2026-12-24 00:00 in Europe/Berlin (2026-12-24T00:00+01:00)"),
        ("2026-12-23T23:30Z", "night", "at Thu 2026-12-24 00:30 in Europe/Berlin (2026-12-24T00:30+01:00)"),
        ("2026-12-30T16:59", "sales", "at Wed 2026-12-30 16:59 in Europe/Berlin (2026-12-30T16:59+01:00)"),
        ("2026-12-30T17:00", "default", "at Wed 2026-12-30 17:00 in Europe/Berlin (2026-12-30T17:00+01:00)"),
        ("2026-12-31T12:00", "default", "at Thu 2026-12-31 12:00 in Europe/Berlin (2026-12-31T12:00+01:00)"),
        ("2026-07-06T09:00+02:00", "sales", "at Mon 2026-07-06 09:00 in Europe/Berlin (2026-07-06T09:00+02:00)"),
        ("2026-10-25T02:30", "default", "at Sun 2026-10-25 02:30 in Europe/Berlin (2026-10-25T02:30+02:00)"),
        ("2026-10-25T02:30+01:00", "default", "at Sun 2026-10-25 02:30 in Europe/Berlin (2026-10-25T02:30+01:00)"),
        ("2026-03-29T02:30", "default", "at Sun 2026-03-29 03:30 in Europe/Berlin (2026-03-29T03:30+02:00)"),
    ],
)
def test_another_moment(explained, data, at, pipeline, moment):
    first, second, *_ = explained("--at", at).splitlines()
    assert (first.split()[1], second) == (pipeline, moment)
    assert data("--at", at)["pipeline"] == pipeline


@pytest.mark.usefixtures("by_time")
def test_the_reasons_have_the_time(explained):
    said = explained("--at", "2026-12-31T12:00")
    assert 'no: Thu 2026-12-31 12:00 in Europe/Berlin is in except_dates "2026-12-31"' in said
    assert "at Thu" not in explained("--at", "2026-11-30T12:00").split("routes, in order:")[1]


def test_a_moment_that_is_none(file, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(["explain", str(file), "--at", "tomorrow"])
    assert "expected a time such as 2026-12-24T18:00, got 'tomorrow'" in capsys.readouterr().err


def test_failover_lists_are_in_order(data):
    callers = (f"+44{n}" for n in range(100))
    night = next(found for caller in callers if (found := data("--caller", caller))["pipeline"] == "night")
    first, second = (one for one in night["components"] if one["role"] == "tts")
    assert (first["name"], second["name"], second["path"]) == ("sky", "voice", "components.mouth[1]")
    assert second["options"][0]["value"] == "${TONGUE:-fr}"


@pytest.mark.parametrize("path", sorted(CORPUS.glob("good/*.yaml")), ids=lambda path: path.stem)
def test_every_pipeline_of_the_corpus(path):
    """Whatever has a place in the file is what stands there, or resolved from it."""
    placed = load_with_places(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    for name in placed.config.pipelines:
        found = provenance_of(placed, name)
        components = [one for role in ("stt", "llm", "tts") for one in placed.config.pipelines[name].role(role)]
        assert [one.settings for one in found.components] == components
        for setting in (*found.settings, *(option for one in found.components for option in one.options)):
            if setting.where and isinstance(setting.value, bool | int):
                written = re.match(r"[^\s,}]+", lines[setting.where.line - 1][setting.where.column - 1 :])
                assert core_schema_value(written[0]) == setting.value
            assert ENVIRON["API_KEY"] not in str(setting.value)
            assert (setting.origin == "default") == (setting.where is None) == (setting.source == "")


def test_a_bad_file_is_reported_as_check_does(file, capsys):
    file.write_text(TEXT.replace("pipeline: sales", "pipeline: slaes"), encoding="utf-8")
    assert cli.main(["explain", str(file)]) == 78
    assert 'routes[1].pipeline: there is no pipeline "slaes"' in capsys.readouterr().out
    assert cli.main(["explain", str(file), "--format", "json"]) == 78
    assert [error["path"] for error in json.loads(capsys.readouterr().out)["errors"]] == ["routes[1].pipeline"]


@pytest.mark.parametrize("arguments", [["--var", "vip"], ["--var", "=1"], ["--format", "yaml"]])
def test_wrong_usage(file, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", str(file), *arguments])
    assert ended.value.code == 2
    assert "usage: voicepipe explain" in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        cli.main(["explain", "--help"])
    out = capsys.readouterr().out
    assert "voicepipe explain config/ai-agent.yaml --called" in out


@pytest.mark.parametrize("page", ["routing", "cli"])
def test_the_pages_show_what_it_prints(page, capsys, monkeypatch):
    """A line of `...` stands for any lines."""
    monkeypatch.undo()
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "120")
    text = (ROOT / f"docs/reference/{page}.md").read_text(encoding="utf-8")
    command, block = re.search(r"```console\n\$ voicepipe (explain [^\n]+)\n(.*?)```", text, re.DOTALL).groups()
    assert cli.main(command.split()) == 0
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    parts = [[" ".join(line.split()) for line in part.splitlines()] for part in block.split("...\n")]
    for part in parts:
        at = said.index(part[0]) if part else 0
        assert said[at : at + len(part)] == part
        said = said[at + len(part) :]
