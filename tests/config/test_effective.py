"""The effective configuration: everything, and nothing secret."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import attrs
import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe import effective_config, load_config
from voicepipe.config.call_settings import TurnsSettings
from voicepipe.config.describe.effective import Shown, comparable, masked

GOOD = Path(__file__).parent / "good"
FILE = """\
components:
  sky:
    {type: cloud, model: "${WORD}", api_key: "${API_KEY}", region: "${REGION}", headers: {Authorization: hunter2, x: y}}
pipelines:
  default:
    stt: {type: ears, model: files/model, rate: "${RATE}"}
    llm: {type: chat, model: m, base_url: "http://me:hunter2@127.0.0.1/v1", api_key: hunter2}
    tts: [sky, voice]
    options:
      stt: {words: true}
    prompt: {file: files/prompt.md}
    greeting: Hello ${WORD}
turns: {end_of_turn_ms: 700}
routes:
  - {when: {called: "+1800*", variables: {word: "${WORD}"}}, pipeline: default}
  - {split: {default: 2}}
"""


@pytest.fixture
def config(config_directory):
    path = config_directory / "set.yaml"
    path.write_text(FILE)
    return load_config(path, registry=REGISTRY, environ=ENVIRON | {"REGION": "us"})


def test_every_setting_has_its_value(config):
    data = effective_config(config)
    pipeline = data["pipelines"]["default"]
    any_time = {"hours": [], "outside_hours": [], "dates": [], "except_dates": [], "timezone": None}
    assert data["active_pipeline"] == "default"
    assert data["routes"] == [
        {
            "when": {"called": "+1800*", "caller": [], "listener": [], "variables": {"word": "${WORD}"}} | any_time,
            "pipeline": "default",
            "split": {},
        },
        {
            "when": {"called": [], "caller": [], "listener": [], "variables": {}} | any_time,
            "pipeline": "",
            "split": {"default": 2.0},
        },
    ]
    assert data["logging"] == {"level": "INFO", "transcripts": "redacted", "dtmf": "masked", "mask": []}
    assert data["streaming"] == {"lead_ms": 40, "ahead_ms": 3000}
    assert data["limits"]["max_call_minutes"] == 60
    assert pipeline["turns"] == json.loads(json.dumps(attrs.asdict(TurnsSettings(end_of_turn_ms=700))))
    assert pipeline["greeting"] == "Hello ${WORD}"
    assert pipeline["prompt"]["file"]["file"] == "files/prompt.md"
    assert len(pipeline["prompt"]["file"]["sha256"]) == 64
    (stt,) = pipeline["stt"]
    assert (stt["name"], stt["adapter"], stt["model"]) == ("ears", "ears", "model")
    assert stt["options"]["model"]["directory"] == "files/model"
    assert (stt["options"]["rate"], stt["options"]["words"]) == ("${RATE}", True)
    assert [one["name"] for one in pipeline["tts"]] == ["sky", "voice"]
    assert pipeline["tts"][1]["options"] == {"voice": "en-us", "words_per_minute": 160}


def test_nothing_secret_is_in_it(config):
    options = {role: effective_config(config)["pipelines"]["default"][role][0] for role in ("llm", "tts")}
    assert options["llm"]["options"]["api_key"] == "***"
    assert options["llm"]["options"]["base_url"] == "http://***@127.0.0.1/v1"
    assert options["tts"]["model"] == options["tts"]["options"]["model"] == "${WORD}"
    assert options["tts"]["options"]["api_key"] == "${API_KEY}"
    assert options["tts"]["options"]["region"] == "${REGION}"
    assert options["tts"]["options"]["headers"] == {"Authorization": "***", "x": "y"}
    for data in (effective_config(config), comparable(config)):
        shown = f"{data} {json.dumps(data)}"
        assert ENVIRON["API_KEY"] not in shown
        assert "hunter2" not in shown


@pytest.mark.parametrize("path", sorted(GOOD.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_is_json_and_the_same_after_a_journey(path):
    config = load_config(path, registry=REGISTRY, environ=ENVIRON)
    data = effective_config(config)
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["pipelines"].keys() == config.pipelines.keys()
    assert effective_config(pickle.loads(pickle.dumps(config))) == data
    assert "Shown" not in {type(one).__name__ for one in leaves(data)}


def leaves(data):
    if isinstance(data, dict | list):
        for one in data.values() if isinstance(data, dict) else data:
            yield from leaves(one)
    else:
        yield data


def test_a_name_can_tell_a_secret():
    assert masked("api_key", "x") == masked("Authorization", "x") == masked("x_TOKEN", "x") == "***"
    assert masked("api_key", "") == ""
    assert masked("keyterms", "x") == "x"


def test_what_is_shown_is_text_and_no_more():
    assert json.dumps(Shown("***", "hunter2")) == '"***"'
    assert repr(Shown("***", "hunter2")) == "'***'"


def test_a_key_is_concealed_wherever_it_is_repeated(config_directory):
    path = config_directory / "set.yaml"
    path.write_text(
        FILE.replace("Hello ${WORD}", "Say hunter2 to {caller}").replace("api_key: hunter2", "api_key: hunter2b77")
        + "limits: {goodbye: 'Bye, hunter2b77, and sk-proj-97531abcdefghijkl'}\n"
    )
    config = load_config(path, registry=REGISTRY, environ=ENVIRON | {"REGION": "us"})
    data = effective_config(config)
    assert data["limits"]["goodbye"] == "Bye, ***, and ***"
    assert "hunter2b77" not in json.dumps(data)
    assert comparable(config)["limits"]["goodbye"].hidden == config.pipelines["default"].limits.goodbye
