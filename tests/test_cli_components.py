"""`voicepipe components` and `voicepipe schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from config_adapters import REGISTRY
from jsonschema import Draft202012Validator

from voicepipe import cli
from voicepipe.commands import components
from voicepipe.components.registry import BrokenAdapter, Registry, installed
from voicepipe.config.describe.installed import installed_components
from voicepipe.config.describe.json_schema import json_schema
from voicepipe.config.load import load_config
from voicepipe.errors import ConfigError
from voicepipe.roles import ROLES
from voicepipe.transports.registry import installed_transports


@pytest.fixture
def of_the_corpus(monkeypatch):
    monkeypatch.setattr(components, "installed_components", lambda: installed_components(REGISTRY))


def test_the_list(capsys):
    assert cli.main(["components"]) == 0
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line[:1].isalpha()][:3] == [
        "stt: speech-to-text",
        "llm: language model",
        "tts: text-to-speech",
    ]
    for adapter in installed():
        assert f"\n  {adapter.name} " in out
    assert "from voicepipe" in " ".join(out.split())


def test_one(capsys):
    assert cli.main(["components", "espeak"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("espeak: text-to-speech (tts), from voicepipe-telephony ")
    assert "  words_per_minute: whole number (words a minute), 80 to 450; default 160\n" in out
    assert "      The rate of speech, in words a minute.\n" in out
    assert out.endswith("example, in a pipeline:\n  tts:\n    type: espeak\n    voice: en-us\n")
    assert "vosk" not in out


def test_a_vendor_with_two_roles(capsys, of_the_corpus):
    assert cli.main(["components", "cloud"]) == 0
    out = capsys.readouterr().out
    assert "cloud: speech-to-text (stt), from no package" in out
    assert "\n\ncloud: text-to-speech (tts), from no package" in out
    assert "  retry: mapping; defaults as below\n  retry.attempts: whole number, 0 to 9; default 2\n" in out
    assert "  api_key: secret, length at least 8; required\n" in out


def test_what_can_t_be_used_says_what_check_says(capsys, monkeypatch, tmp_path):
    broken = BrokenAdapter(
        "llm", "rusty", "rusty.adapter:llm can't be imported: ModuleNotFoundError: rusty", "rusty-voice 1.2"
    )
    monkeypatch.setattr(components, "installed", lambda: Registry((), (broken,)))
    assert cli.main(["components", "rusty"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    file = tmp_path / "p.yaml"
    file.write_text("pipelines: {default: {stt: vosk, llm: rusty, tts: espeak}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file, registry=Registry((), (broken,)))
    (problem,) = (one for one in caught.value.problems if one.path == "pipelines.default.llm")
    assert err == f"{problem.message}\n  hint: {problem.hint}\n"
    assert cli.main(["components"]) == 0
    assert "can't be used:\n  rusty (llm): rusty.adapter:llm can't be imported" in capsys.readouterr().out


def test_an_unknown_name(capsys):
    assert cli.main(["components", "vsok"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith('no component named "vsok"\n  hint: did you mean "vosk"? installed: ')


def test_json(capsys):
    assert cli.main(["components", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["components"]
    transports = {("transport", name) for name in installed_transports().names()}
    assert {(one["role"], one["name"]) for one in told} == {(one.role, one.name) for one in installed()} | transports
    (espeak,) = [one for one in told if one["name"] == "espeak"]
    assert espeak["package"] == "voicepipe-telephony"
    assert espeak["summary"] == "A voice, its rate and its pitch."
    assert espeak["options"][1] == {
        "name": "words_per_minute",
        "type": "whole number",
        "required": False,
        "default": 160,
        "unit": "words a minute",
        "bounds": {"minimum": 80, "maximum": 450},
        "description": "The rate of speech, in words a minute.",
    }


def test_json_of_one(capsys, of_the_corpus):
    assert cli.main(["components", "cloud", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)["components"]
    assert [(one["role"], one["name"]) for one in told] == [("stt", "cloud"), ("tts", "cloud")]
    options = {one["name"]: one for one in told[0]["options"]}
    assert options["model"]["required"]
    assert options["model"]["default"] is None
    assert options["region"]["type"] == "one of eu, us"
    assert options["retry"]["default"] == {"attempts": 2, "on": ["timeout"]}
    assert [one["name"] for one in options["retry"]["options"]] == ["attempts", "on"]


@pytest.mark.parametrize("registry", [installed(), REGISTRY], ids=["installed", "corpus"])
def test_every_example_fits(registry):
    validator = Draft202012Validator(json_schema(registry))
    for entry in installed_components(registry):
        pipeline = dict.fromkeys(ROLES, "my_own") | yaml.safe_load(entry.example)
        assert list(validator.iter_errors({"pipelines": {"default": pipeline}})) == []


def test_the_page_shows_what_is_printed(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    cli.main(["components", "espeak"])
    page = (Path(__file__).parents[1] / "docs/reference/cli.md").read_text(encoding="utf-8")
    assert f"$ voicepipe components espeak\n{capsys.readouterr().out}```" in page


def test_the_schema(capsys):
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
