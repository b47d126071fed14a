"""Digests and keys: what counts as a change, and what doesn't."""

from __future__ import annotations

import os
import shutil
from hashlib import file_digest

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe.config import hashes
from voicepipe.config.load import load_config
from voicepipe.pipelines.sounds import open_sounds

TEXT = """\
components:
  sky: {type: cloud, model: nova, api_key: "${API_KEY}"}
pipelines:
  default:
    stt: {type: ears, model: files/model, rate: 16000}
    llm: {type: script, script: files/script.yaml}
    tts: sky
    greeting: Hello
    prompt: {file: files/prompt.md}
  other:
    stt: {type: ears, model: files/model, rate: 16000}
    llm: {type: chat, model: m}
    tts: {type: voice, voice: de}
turns: {end_of_turn_ms: 500}
"""


@pytest.fixture
def load(config_directory):
    def load(text=TEXT, environ=ENVIRON):
        path = config_directory / "set.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, registry=REGISTRY, environ=environ)

    return load


def keys(config):
    return [
        one.key
        for pipeline in config.pipelines.values()
        for role in ("stt", "llm", "tts")
        for one in pipeline.role(role)
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  default:", "  # a comment\n  default:"),
        ("greeting: Hello", "greeting: 'Hello'"),
        ("greeting: Hello", "greeting: Hello\n    selectable: false\n    tools: [hang_up]\n    on_failure: {}"),
        ("turns:", "logging: {level: INFO}\nlimits: {max_call_minutes: 60}\nactive_pipeline: default\nturns:"),
        ("turns: {", "turns: {barge_in: {}, "),
        ("voice: de}", "words_per_minute: 160, voice: de}"),
        ("{type: chat, model: m}", "{model: m, type: chat, timeout_s: 10}"),
        ("{type: chat, model: m}", "\n      model: m\n      type: chat"),
        ('"${API_KEY}"', "'${API_KEY}'"),
        ("tts: sky\n", "tts: sky\n    turns: {}\n"),
    ],
)
def test_what_does_not_count(load, old, new):
    before, after = load(), load(TEXT.replace(old, new))
    assert TEXT.replace(old, new) != TEXT
    assert before.digest == after.digest
    assert keys(before) == keys(after)


def test_the_order_of_keys_does_not_count(load):
    head, turns = TEXT.split("turns:")
    assert load("turns:" + turns + head).digest == load().digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("greeting: Hello", "greeting: hello"),
        ("end_of_turn_ms: 500", "end_of_turn_ms: 501"),
        ("voice: de", "voice: fr"),
        ("sky", "heaven"),
        ("${API_KEY}", "${VOICE}-and-more"),
        ("pipelines:", "active_pipeline: other\npipelines:"),
        ("rate: 16000", 'rate: "${RATE}"'),
        ("tts: {type: voice, voice: de}", "tts: [{type: voice, voice: de}, voice]"),
    ],
)
def test_what_counts(load, old, new):
    assert load().digest != load(TEXT.replace(old, new)).digest


def test_a_changed_secret_changes_the_key_and_not_the_digest(load):
    before, after = load(), load(environ=ENVIRON | {"API_KEY": "another-key"})
    assert before.digest == after.digest
    changed = [old != new for old, new in zip(keys(before), keys(after), strict=True)]
    assert changed == [False, False, True, False, False, False]


def test_a_changed_number_from_the_environment_too(load):
    text = TEXT.replace("rate: 16000", 'rate: "${RATE}"')
    before, after = load(text), load(text, environ=ENVIRON | {"RATE": "8000"})
    assert before.digest == after.digest
    assert keys(before)[0] != keys(after)[0]


def test_a_changed_literal_secret_changes_only_the_key(load):
    before, after = (load(TEXT.replace('"${API_KEY}"', key)) for key in ("literal-one", "literal-two"))
    assert before.digest == after.digest
    assert keys(before)[2] != keys(after)[2]


@pytest.mark.parametrize("name", ["script.yaml", "prompt.md"])
def test_a_changed_file_counts(load, config_directory, name):
    before = load()
    path = config_directory / "files" / name
    path.write_bytes(path.read_bytes() + b"# more\n")
    after = load()
    assert before.digest != after.digest
    assert (keys(before)[1] != keys(after)[1]) == (name == "script.yaml")


def test_a_touched_file_does_not_count(load, config_directory):
    before = load()
    os.utime(config_directory / "files/script.yaml", (1, 1))
    after = load()
    assert (before.digest, keys(before)) == (after.digest, keys(after))


def test_a_changed_directory_counts(load, config_directory):
    before = load()
    (config_directory / "files/model/words.txt").write_text("yes\n")
    after = load()
    assert before.digest != after.digest
    assert [old != new for old, new in zip(keys(before), keys(after), strict=True)] == [True, False, False] * 2


def test_a_copied_directory_does_not_count(load, config_directory):
    """`cp -r`, a deployment, a container's image: other inodes, other times, the same contents."""
    before = load()
    model = config_directory / "files/model"
    for name in model.iterdir():
        os.utime(name, (1, 1))
    assert (load().digest, keys(load())) == (before.digest, keys(before))
    shutil.copytree(model, config_directory / "copy")
    shutil.rmtree(model)
    (config_directory / "copy").rename(model)
    after = load()
    assert (before.digest, keys(before)) == (after.digest, keys(after))


@pytest.mark.parametrize("settled_ns", [-(10**18), hashes.SETTLED_NS], ids=["known hashes", "a file that is new"])
@pytest.mark.parametrize("replaced", [False, True])
def test_another_content_of_the_same_size_and_time_counts(load, config_directory, monkeypatch, settled_ns, replaced):
    monkeypatch.setattr(hashes, "SETTLED_NS", settled_ns)
    file = config_directory / "files/model/words.txt"
    file.write_text("yes")
    os.utime(file, ns=(10**18, 10**18))
    before = load()
    other = file.with_name("other")
    other.write_text("nay")
    os.utime(other, ns=(10**18, 10**18))
    if replaced:
        other.rename(file)
    else:
        shutil.copyfile(other, file)
        other.unlink()
        os.utime(file, ns=(10**18, 10**18))
    after = load()
    assert before.digest != after.digest
    assert keys(before)[0] != keys(after)[0]


def test_what_has_not_changed_is_read_once(load, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED_NS", -(10**18))
    monkeypatch.setattr(hashes, "_known", {})
    read = []
    monkeypatch.setattr(hashes, "file_digest", lambda *args: read.append(args) or file_digest(*args))
    load()
    times = len(read)
    assert times
    assert load().digest
    assert len(read) == times


def test_a_pipe_in_a_model_s_directory_holds_nobody_up(load, config_directory):
    os.mkfifo(config_directory / "files/model/pipe")
    assert load().digest == load().digest


def test_equal_components_share_a_key(load):
    config = load()
    assert config.pipelines["default"].stt[0].key == config.pipelines["other"].stt[0].key
    assert config.pipelines["default"].stt[0] == config.pipelines["other"].stt[0]


def test_keys_are_never_shown(load):
    config = load()
    assert not any(key in repr(config) for key in keys(config))
    assert ENVIRON["API_KEY"] not in repr(config)


def test_a_sound_is_part_of_its_version_and_is_watched(load, config_directory):
    """The same file with other audio is another version; equal audio is one sound for all versions."""
    text, music = TEXT.replace("greeting: Hello", "hold: {file: files/music.wav}"), config_directory / "files/music.wav"
    first = load(text)
    assert music in first.files
    content = bytearray(music.read_bytes())
    content[-1] ^= 1
    music.write_bytes(content)
    second = load(text)
    assert second.digest != first.digest
    old, new = (open_sounds(config.pipelines["default"]).hold for config in (first, second))
    assert old.audio != new.audio
    assert open_sounds(load(text).pipelines["default"]).hold is new
