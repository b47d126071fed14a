"""`${...}`, secrets, files and directories."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe.components.values import Secret
from voicepipe.config.load import load_config
from voicepipe.errors import ConfigError

TEXT = """\
pipelines:
  default:
    stt: {type: ears, model: files/model}
    llm: {type: script, script: files/script.yaml}
    tts: {type: cloud, model: nova, api_key: "${API_KEY}"}
"""


@pytest.fixture
def load(config_directory):
    def load(text, environ=ENVIRON):
        path = config_directory / "set.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, registry=REGISTRY, environ=environ)

    return load


def greeting(load, text, **kwargs):
    return load(f"{TEXT}    greeting: {text}\n", **kwargs).pipelines["default"].greeting


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("Hello from ${CITY}.", "Hello from Bonn."),
        ("${CITY}${CITY}", "BonnBonn"),
        ("${LAND:-Germany}", "Germany"),
        ("${EMPTY:-full}", "full"),
        ("${LAND:-}", ""),
        ("${LAND:-a:-b}", "a:-b"),
        ("it costs $$5 in ${CITY}", "it costs $5 in Bonn"),
        ("${file:files/key.txt}!", "a-key-in-a-file!"),
    ],
)
def test_what_is_resolved_is_a_secret_that_shows_as_written(load, written, value):
    found = greeting(load, f'"{written}"', environ={"API_KEY": "0123456789", "CITY": "Bonn", "EMPTY": ""})
    assert found == value
    assert isinstance(found, Secret)
    assert found.source == written
    assert repr(found) == repr(written)


@pytest.mark.parametrize(
    ("written", "value"), [("5$", "5$"), ("$5", "$5"), ("$$", "$"), ("$${CITY}", "${CITY}"), ("$CITY", "$CITY")]
)
def test_other_dollars_are_text(load, written, value):
    found = greeting(load, f'"{written}"')
    assert found == value
    assert not isinstance(found, Secret)


def test_resolved_text_is_typed_by_its_field(load):
    text = TEXT.replace("files/model}", 'files/model, rate: "${RATE}", words: "${WORDS:-true}"}')
    options = load(text).pipelines["default"].stt[0].options
    assert (options.rate, options.words) == (16000, True)


def test_free_form_values_that_are_resolved_stay_secret_text(load):
    text = TEXT.replace('"${API_KEY}"', '"${API_KEY}", extra: {port: "${RATE}", on: [x, "${RATE}"]}')
    extra = load(text).pipelines["default"].tts[0].options.extra
    assert extra == {"port": "16000", "on": ("x", "16000")}
    assert "16000" not in repr(extra)


def test_literals_in_secret_fields_are_secrets_too(load):
    options = load(TEXT.replace('"${API_KEY}"', "literal-key")).pipelines["default"].tts[0].options
    assert options.api_key == "literal-key"
    assert options.api_key.source == "***"
    assert "literal-key" not in repr(options)


def test_names_may_come_from_the_environment(load):
    text = TEXT.replace("{type: cloud,", '{type: "${VOICE}",')
    config = load("active_pipeline: ${NAME:-default}\n" + text)
    assert type(config.active_pipeline) is str
    assert type(config.pipelines["default"].tts[0].adapter) is str


def test_the_processes_own_environment_is_the_default(config_directory, monkeypatch):
    monkeypatch.setenv("API_KEY", "from-the-process")
    (config_directory / "set.yaml").write_text(TEXT)
    config = load_config(config_directory / "set.yaml", registry=REGISTRY)
    assert config.pipelines["default"].tts[0].options.api_key == "from-the-process"


def test_files_are_read_once_and_watched(load, config_directory):
    text = TEXT.replace("${API_KEY}", "${file:files/key.txt}") + "    prompt: {file: files/prompt.md}\n"
    config = load(text)
    assert config.pipelines["default"].prompt == "You are brief."
    script = config.pipelines["default"].llm[0].options.script
    assert script.content == (config_directory / "files/script.yaml").read_bytes()
    assert script.path == config_directory / "files/script.yaml"
    assert config.files[0] == config_directory / "set.yaml"
    names = ("key.txt", "prompt.md", "script.yaml", "model")
    assert set(config.files[1:]) == {config_directory / "files" / name for name in names}


def test_messages_name_files_as_the_user_would(config_directory, monkeypatch):
    monkeypatch.chdir(config_directory.parent)
    path = Path(config_directory.name, "set.yaml")
    path.write_text(TEXT)
    config = load_config(path, registry=REGISTRY, environ=ENVIRON)
    assert config.pipelines["default"].llm[0].options.script.name == Path(config_directory.name, "files/script.yaml")


def test_a_symlink_in_the_way_is_not_resolved(config_directory):
    data = config_directory / "data"
    data.mkdir()
    (config_directory / "files").rename(data / "files")
    (data / "set.yaml").write_text(TEXT)
    (config_directory / "set.yaml").symlink_to("data/set.yaml")
    (config_directory / "files").symlink_to("data/files")
    config = load_config(config_directory / "set.yaml", registry=REGISTRY, environ=ENVIRON)
    assert config.files[0] == config_directory / "set.yaml"
    assert config.pipelines["default"].llm[0].options.script.path == config_directory / "files/script.yaml"


@pytest.mark.parametrize("kind", ["fifo", "device", "nul", "long"])
def test_what_is_no_regular_file_does_not_hang_or_crash(load, config_directory, kind):
    os.mkfifo(config_directory / "fifo")
    path = {"fifo": "fifo", "device": "/dev/zero", "nul": '"a\\0b"', "long": "x" * 5000}[kind]
    with pytest.raises(ConfigError) as caught:
        load(TEXT.replace("files/script.yaml", path))
    assert [problem.path for problem in caught.value.problems] == ["pipelines.default.llm.script"]


def test_a_fifo_is_no_configuration(tmp_path):
    os.mkfifo(tmp_path / "fifo.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_config(tmp_path / "fifo.yaml", registry=REGISTRY)


def test_a_directory_with_far_too_many_files(load, config_directory, monkeypatch):
    monkeypatch.setattr("voicepipe.config.files.MAX_ENTRIES", 2)
    for n in range(3):
        (config_directory / "files/model" / str(n)).touch()
    with pytest.raises(ConfigError, match="contains more than 2 files"):
        load(TEXT)


def test_an_empty_directory(load, config_directory):
    (config_directory / "none").mkdir()
    with pytest.raises(ConfigError, match="contains no files"):
        load(TEXT.replace("files/model", "none"))


def test_a_configuration_survives_pickling(load):
    config = load(TEXT + '    greeting: "${API_KEY}"\n')
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert again.pipelines["default"].greeting.source == "${API_KEY}"
    assert again.pipelines["default"].tts[0].options.api_key.source == "${API_KEY}"
    assert again.pipelines["default"].llm[0].options.script.digest


def test_an_error_survives_pickling(load):
    with pytest.raises(ConfigError) as caught:
        load(TEXT + "    greting: x\n")
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.problems == caught.value.problems
    assert again.problems[0].source == "    greting: x"
