"""Tools that a file declares: what they come to, and what is shown of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe.config.describe.effective import effective
from voicepipe.config.describe.provenance import provenance_of
from voicepipe.config.load import load_config, load_with_places, load_without_secrets
from voicepipe.errors import ConfigError
from voicepipe.pipelines.plan import plan_change
from voicepipe.tools.schemas import plain

GOOD = Path(__file__).parent / "good" / "tools.yaml"
SECRET = ENVIRON["API_KEY"]


def good(**environ):
    return load_config(GOOD, registry=REGISTRY, environ=ENVIRON | environ)


def test_a_pipeline_has_those_that_it_lists():
    pipeline = good().pipelines["default"]
    assert pipeline.tools == ("hang_up", "transfer", "send_dtmf", "hours", "book_table", "bare")
    assert list(pipeline.declared) == ["hours", "book_table", "bare"]


def test_settings_are_as_written():
    hours = good().pipelines["default"].declared["hours"]
    assert (hours.timeout_s, hours.filler, hours.filler_after_ms, hours.cancellable) == (
        4.0,
        "One moment, please.",
        700,
        True,
    )
    assert hours.http.method == "GET"
    assert hours.http.headers["authorization"] == f"Bearer {SECRET}"
    assert plain(hours.parameters) == {
        "type": "object",
        "properties": {
            "day": {"type": "string", "enum": ["monday", "on", "12:30"]},
            "week": {"type": "integer", "minimum": 0, "maximum": 52.0, "default": 12},
        },
        "required": ["day"],
        "additionalProperties": False,
    }


def test_what_is_left_out_has_a_default():
    bare = good().pipelines["default"].declared["bare"]
    assert (bare.timeout_s, bare.filler, bare.filler_after_ms, bare.cancellable) == (10.0, "", 1000, False)
    assert plain(bare.parameters) == {"type": "object", "properties": {}}
    assert bare.http.url == "http://127.0.0.1:8000/bare"


def test_the_effective_configuration_shows_them_without_secrets():
    data = effective(good())
    assert data["tools"]["hours"]["http"] == {
        "url": "https://api.example.com/hours/{day}?lang=en",
        "method": "GET",
        "headers": {"authorization": "***${API_KEY}", "accept": "***"},
        "query": {"version": "1", "who": "${WORD}"},
        "arguments": {},
        "ca_file": None,
        "trace_context": True,
    }
    assert data["tools"]["unused"]["timeout_s"] == 10.0
    assert SECRET not in json.dumps(data)


def test_it_is_known_where_each_setting_comes_from():
    placed = load_with_places(GOOD, registry=REGISTRY, environ=ENVIRON)
    settings = {one.path: one for one in provenance_of(placed, "default").settings}
    filler = settings["tools.hours.filler"]
    assert (filler.value, filler.origin, filler.where.line) == ("One moment, please.", "file", 26)
    assert settings["tools.book_table.filler"].origin == "default"
    assert settings["tools.hours.http.headers.authorization"].value == "Bearer ${API_KEY}"
    assert not [path for path in settings if path.startswith("tools.unused")]
    assert SECRET not in repr(settings)


def test_a_changed_secret_changes_the_pipeline_and_is_named_and_not_in_the_digest():
    before, after = good(), good(API_KEY="sk-another-secret")
    assert before.digest == after.digest
    plan = plan_change(before, after)
    assert plan.changed == ("default",)
    assert plan.secrets_changed == ("tools.hours.http.headers.authorization",)


def test_a_changed_tool_is_a_changed_pipeline_if_that_lists_it(tmp_path):
    def changed(old, new):
        text = GOOD.read_text().replace(old, new)
        for name in ("model", "script.yaml"):
            text = text.replace(f"files/{name}", str(GOOD.parent / "files" / name))
        path = tmp_path / "set.yaml"
        path.write_text(text)
        return load_config(path, registry=REGISTRY, environ=ENVIRON)

    before = changed("", "")
    listed, unlisted = changed("monday, ", "sunday, "), changed("Nobody lists it", "Nobody does")
    assert before.digest != listed.digest != unlisted.digest != before.digest
    assert plan_change(before, listed).changed == ("default",)
    assert plan_change(before, unlisted).changed == ()


def test_a_check_without_secrets_takes_them_as_given():
    text = {name: value for name, value in ENVIRON.items() if name != "API_KEY"}
    presumed = load_without_secrets(GOOD, registry=REGISTRY, environ=text)
    assert presumed.missing == ("${API_KEY}",)
    assert presumed.placed is not None


@pytest.mark.parametrize("tools", [("hours",), ("hours", "x")])
def test_an_integrators_tool_and_a_declared_one_need_two_names(tools):
    with pytest.raises(ConfigError, match='a tool "hours" exists already'):
        load_config(GOOD, registry=REGISTRY, environ=ENVIRON, tools=tools)
