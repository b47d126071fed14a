"""The JSON Schema, beyond the corpus: one value at a time, adapters of others, and what `check` takes it takes too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree

import pytest
from attrs import field, frozen
from attrs.validators import ge
from config_adapters import ENVIRON, REGISTRY
from hypothesis import given, settings
from json_documents import read_as_editors_do
from jsonschema import Draft202012Validator
from test_mutations import GOOD, mutations

from voicepipe.commands.schema import format_schema
from voicepipe.components.distribution import DISTRIBUTION
from voicepipe.components.registry import Adapter, Registry, installed
from voicepipe.config.describe.installed import installed_components
from voicepipe.config.describe.json_schema import json_schema
from voicepipe.config.load import load_config
from voicepipe.errors import ConfigError

ROOT = Path(__file__).parents[2]
VALIDATOR = Draft202012Validator(json_schema(REGISTRY))
PIPELINE = {
    "stt": {"type": "ears", "model": "files/model"},
    "llm": {"type": "script", "script": "files/script.yaml"},
    "tts": "voice",
}
CLOUD = {"type": "cloud", "model": "a", "api_key": "0123456789"}


def accepts(pipeline=(), **keys):
    """Whether a file is accepted, whose one pipeline is a good one but for the keys given."""
    return VALIDATOR.is_valid({"pipelines": {"default": PIPELINE | dict(pipeline)}} | keys)


@pytest.mark.parametrize("value", [500, "${MS}", "${MS:-500}", "1${ZEROS}", "${file:ms.txt}"])
def test_numbers(value):
    assert accepts(turns={"end_of_turn_ms": value})


@pytest.mark.parametrize("value", [99, 500.5, "500", True, None, "${MS", "$MS", "$${MS}", "${M S}", [500]])
def test_no_numbers(value):
    assert not accepts(turns={"end_of_turn_ms": value})


@pytest.mark.parametrize("value", ["", "on", 4, 1.5, True, "${A}", "a $$ {b} 5$", "$", "${A:-}", "x\n${A}\ny", None])
def test_text(value):
    assert accepts({"greeting": value})


@pytest.mark.parametrize("value", ["${A", "${}", "${A B}", "a ${", [], {}])
def test_no_text(value):
    assert not accepts({"greeting": value})


@pytest.mark.parametrize("value", [True, False, "${FLAG}"])
def test_booleans(value):
    assert accepts({"selectable": value})


@pytest.mark.parametrize("value", ["true", "yes", 1, None])
def test_no_booleans(value):
    assert not accepts({"selectable": value})


def test_text_with_bounds():
    assert accepts({"tts": CLOUD | {"api_key": "${K}"}})
    assert not accepts({"tts": CLOUD | {"api_key": "short"}})
    assert not accepts({"tts": {"type": "voice", "voice": "English"}})
    assert accepts({"tts": {"type": "voice", "voice": "${VOICE}"}})
    assert accepts({"tts": CLOUD | {"region": "${REGION}"}})
    assert not accepts({"tts": CLOUD | {"region": "asia"}})


@pytest.mark.parametrize(
    ("stt", "options", "accepted"),
    [
        ("ears", None, False),
        ("ears", {"model": "m"}, True),
        ("ears", {"words": True}, False),
        ({"type": "ears"}, None, False),
        ({"type": "ears"}, {"model": "m"}, True),
        ({"type": "ears"}, {"words": True}, False),
        ({"type": "ears", "model": "m"}, {"words": True}, True),
        ({"type": "ears", "model": "m"}, {"region": "eu"}, False),
        ({"type": "ears", "model": "m"}, {"type": "ears"}, False),
        ({"type": "${EARS}", "anything": 1}, {"region": "eu"}, True),
        ({"type": "${EARS}"}, {"nothing": 1}, False),
        ("my_ears", {"words": True}, True),
        ("my_ears", {"region": "eu"}, True),
        ("my_ears", {"wrods": True}, False),
        ("${EARS}", {"words": True}, True),
        ("chat", None, False),
        ({"type": "chat", "model": "m"}, None, False),
        (["my_ears", {"type": "ears", "model": "m"}, ["other"]], None, True),
        (["my_ears", {"type": "ears"}], None, False),
        (["ears"], None, False),
        (["my_ears"], {"words": True}, False),
        ([], None, False),
        ([[]], None, False),
        (None, None, False),
        ({"model": "m"}, None, False),
        ({"type": None, "model": "m"}, None, False),
    ],
)
def test_references_and_options_laid_over_them(stt, options, accepted):
    assert accepts({"stt": stt, "options": {"stt": options}}) == accepted


@pytest.mark.parametrize(
    ("component", "accepted"),
    [
        ("ears", True),
        ({"type": "ears"}, True),
        (["ears"], False),
        ([{"type": "ears", "model": "m"}], True),
        (CLOUD, True),
        (CLOUD | {"modle": "b"}, False),
        ("other", True),
        (None, False),
    ],
)
def test_components(component, accepted):
    assert accepts(components={"mine": component}) == accepted
    assert not accepts(components={"voice": component})


def test_an_editor_can_say_why_an_adapter_can_not_stand_alone():
    (error,) = VALIDATOR.iter_errors({"pipelines": {"default": PIPELINE | {"llm": "chat", "stt": "my_ears"}}})
    assert error.schema["errorMessage"] == "chat needs options: {type: chat, model: ...}"


def test_descriptions_and_defaults_come_with_it():
    schema = json_schema()
    turns = schema["properties"]["turns"]
    assert turns["properties"]["end_of_turn_ms"]["default"] == 600
    description = (
        "Silence that ends the caller's turn, in ms, unless `endpointing` has another value for the caller's words."
    )
    assert turns["properties"]["end_of_turn_ms"]["description"] == description
    espeak = schema["$defs"]["tts-espeak"]
    assert espeak["description"] == "A voice, its rate and its pitch."
    assert espeak["properties"]["voice"]["default"] == "en-us"


async def _open(_options, _resources):
    raise NotImplementedError


@frozen
class Odd:
    tries: Mapping[str, tuple[int, ...]] = field(factory=dict)
    port: int = field(default=1, validator=ge(1))


def test_adapters_of_any_name():
    schema = json_schema(Registry([Adapter("acme/ears ~%", "stt", Odd, _open)]))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    pipeline = {"llm": "x", "tts": "y", "stt": {"type": "acme/ears ~%", "tries": {"a": [1, "${N}"]}}}
    assert validator.is_valid({"pipelines": {"default": pipeline}})
    pipeline["stt"]["port"] = 0
    assert not validator.is_valid({"pipelines": {"default": pipeline}})


def test_no_adapters_at_all():
    schema = json_schema(Registry())
    Draft202012Validator.check_schema(schema)
    pipeline = {"stt": "a", "llm": "b", "tts": "c"}
    assert Draft202012Validator(schema).is_valid({"pipelines": {"default": pipeline}})


def test_a_type_that_no_document_can_hold():
    @frozen
    class Wrong:
        numbers: set[int]

    with pytest.raises(TypeError, match="there is no schema for set"):
        json_schema(Registry([Adapter("wrong", "stt", Wrong, _open)]))


def test_the_file_beside_our_configuration_is_up_to_date():
    ours = {(one.role, one.name) for one in installed_components() if one.package == DISTRIBUTION}
    registry = Registry(one for one in installed() if (one.role, one.name) in ours)
    written = json.loads((ROOT / "config/schema.json").read_text(encoding="utf-8"))
    assert written == json_schema(registry), "run: voicepipe schema > config/schema.json"


def test_our_files_name_it():
    files = [ROOT / "config/ai-agent.yaml", *sorted((ROOT / "examples/pipelines").glob("*.yaml"))]
    for file in files:
        header = file.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
        (named,) = [line for line in header if line.startswith("# yaml-language-server: $schema=")]
        assert (file.parent / named.partition("=")[2]).resolve() == ROOT / "config/schema.json"


def test_it_is_printed_as_json():
    assert json.loads(format_schema()) == json_schema()


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("schema")
    copytree(GOOD / "files", path / "files")
    return path


@given(text=mutations())
@settings(max_examples=300)
def test_what_check_takes_the_schema_takes(directory, text):
    path = directory / "set.yaml"
    path.write_bytes(text.encode())
    try:
        load_config(path, registry=REGISTRY, environ=ENVIRON)
    except ConfigError:
        return
    assert [error.message for error in VALIDATOR.iter_errors(read_as_editors_do(path))] == []
