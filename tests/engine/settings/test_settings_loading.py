"""What an engine's file comes to, and which of the two files a file is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args, get_type_hints

import attrs
import pytest

from reference_engine.settings.keep_settings import KeepSettings
from reference_engine.settings.loading import load_engine_settings, load_settings
from reference_engine.settings.records_place import RecordsPlace
from reference_engine.settings.settings import (
    AdminSettings,
    EngineFile,
    EngineSettings,
    ListenerKeys,
    ListenerSettings,
    default_control_path,
    settings_for_set_file,
)
from voicepipe import AudioSocketSettings, ConfigError, Secret, is_loopback
from voicepipe.transports.audiosocket.listener import AudioSocketListener
from voicepipe.transports.audiosocket.wire_format import KINDS

ROOT = Path(__file__).parents[3]
GOOD = Path(__file__).parent / "good"
SHOWN = ROOT / "config" / "engine.yaml"


def test_everything():
    settings = load_engine_settings(GOOD / "everything.yaml", environ={"TOKEN": "0123456789abcdef"})
    assert settings == EngineSettings(
        pipeline_sets={"main": GOOD / "main.yaml", "acme": GOOD / "tenants/acme.yaml"},
        listeners=(
            ListenerSettings(
                set="main",
                name="inside",
                max_connections=1,
                options=AudioSocketSettings(host="::1", port=0, rate=16000),
            ),
            ListenerSettings(set="acme", name="outside", options=AudioSocketSettings(host="0.0.0.0", port=9092)),
        ),
        control=GOOD / "run/control.sock",
        admin=AdminSettings(host="0.0.0.0", port=9094, token=Secret("0123456789abcdef")),
        max_calls=200,
        watch=True,
        drain_s=0,
        drain_deadline_s=3600,
        max_live_versions=2,
        records=RecordsPlace("sqlite", GOOD / "calls.db"),
        keep=KeepSettings(records="90d", recordings="30d", transcripts="2w"),
        last_known_good=GOOD / "state",
    )
    assert settings.path == GOOD / "everything.yaml"
    assert "0123456789abcdef" not in repr(settings)


def test_nulls_are_as_left_out():
    assert load_engine_settings(GOOD / "nulls.yaml") == load_engine_settings(GOOD / "smallest.yaml")


def test_paths_are_named_from_where_the_user_named_the_file(monkeypatch):
    monkeypatch.chdir(GOOD.parent)
    settings = load_engine_settings(Path("good/smallest.yaml"))
    assert settings.pipeline_sets == {"main": Path("good/main.yaml")}
    assert settings.files == (GOOD / "smallest.yaml",)


def test_a_token_from_a_file_is_watched_like_the_file_itself(tmp_path):
    (tmp_path / "token").write_text("0123456789abcdef\n")
    path = tmp_path / "engine.yaml"
    path.write_text((GOOD / "smallest.yaml").read_text() + 'admin: {token: "${file:token}"}\n')
    settings = load_engine_settings(path)
    assert settings.admin.token == "0123456789abcdef"
    assert settings.files == (path, tmp_path / "token")


def test_what_was_read_for_a_bad_file_is_known_too(tmp_path):
    path = tmp_path / "engine.yaml"
    path.write_text((GOOD / "smallest.yaml").read_text() + 'admin: {token: "${file:token}"}\n')
    with pytest.raises(ConfigError) as caught:
        load_engine_settings(path)
    assert caught.value.files == (path, tmp_path / "token")


def test_the_file_that_we_show_says_what_is_so_anyway():
    settings = load_settings(SHOWN, environ={})
    assert settings == settings_for_set_file(ROOT / "config/ai-agent.yaml")


def test_the_file_that_we_show_has_every_setting(tmp_path):
    path = tmp_path / "engine.yaml"
    path.write_text(re.sub(r"^( *)#(?! )", r"\1", SHOWN.read_text(), flags=re.MULTILINE).replace("\n  - {", "\n  - {"))
    secrets = {"VOICEPIPE_ADMIN_TOKEN": "0123456789abcdef", "ASTERISK_PASSWORD": "0123456789abcdef"}
    secrets["NOTIFY_SECRET"] = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    settings = load_engine_settings(path, environ=secrets)
    written = set(settings.document.keys_at())
    assert written == {field.name for field in attrs.fields(EngineFile)}
    listener = {*attrs.fields_dict(ListenerKeys), *attrs.fields_dict(AudioSocketSettings)}
    assert set(settings.document.keys_at("listeners", 0)) == listener
    assert set(settings.document.keys_at("admin")) == {field.name for field in attrs.fields(AdminSettings)}


def test_a_sets_own_file_is_a_set_on_one_listener():
    settings = load_settings(ROOT / "config/ai-agent.yaml")
    assert settings.pipeline_sets == {"main": ROOT / "config/ai-agent.yaml"}
    assert settings.listeners == (ListenerSettings(set="main"),)
    assert (settings.path, settings.files, settings.admin) == (None, (), None)
    assert settings.control == default_control_path()


def test_a_bad_set_file_is_for_its_set_to_report(tmp_path):
    path = tmp_path / "set.yaml"
    path.write_text("pipelnes: {}\nactive_pipeline: x\n")
    assert load_settings(path) == settings_for_set_file(path)


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff", b"[" * 20_000, b"- a\n", b"a: 1\n"])
def test_what_is_no_configuration_at_all(tmp_path, content):
    path = tmp_path / "engine.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_settings(path)
    (problem,) = caught.value.problems
    assert problem.where.file == path
    assert problem.hint


def test_a_file_that_is_not_there_has_its_neighbours_in_the_hint():
    with pytest.raises(ConfigError) as caught:
        load_settings(GOOD / "smalest.yaml")
    assert 'did you mean "smallest.yaml"?' in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("host", "only_here"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
        ("", False),
        ("127.1", False),
    ],
)
def test_loopback(host, only_here):
    assert is_loopback(host) is only_here


def test_listeners_say_what_audiosocket_takes():
    assert set(get_args(get_type_hints(AudioSocketSettings)["rate"])) == set(KINDS)
    ours, theirs = attrs.fields_dict(AudioSocketSettings), attrs.fields_dict(AudioSocketListener)
    assert attrs.fields_dict(ListenerKeys)["max_connections"].default == theirs["max_connections"].default
    assert ours["rate"].default == theirs["rate"].default
    assert ours["when_full"].default == theirs["when_full"].default
    assert ListenerSettings(set="main").name == theirs["listener"].default
