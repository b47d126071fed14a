"""CFG3: the field's type decides what a scalar is."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
from attrs import frozen

from voicepipe.components.registry import Adapter, Registry
from voicepipe.config.load import load_config
from voicepipe.errors import ConfigError


@frozen
class Options:
    model: str = ""
    voices: tuple[str, ...] = ()
    count: int = 0
    rate: float = 0.0
    fast: bool = False


@asynccontextmanager
async def open_nothing(_options, _resources):
    yield


REGISTRY = Registry(Adapter("any", role, Options, open_nothing) for role in ("stt", "llm", "tts"))


@pytest.fixture
def options(tmp_path):
    def options(text):
        path = tmp_path / "set.yaml"
        path.write_text(f"pipelines: {{default: {{stt: any, llm: any, tts: {{type: any, {text}}}}}}}\n")
        return load_config(path, registry=REGISTRY, environ={}).pipelines["default"].tts[0].options

    return options


@pytest.mark.parametrize("text", ["+15551234", "12:30", "on", "012", "1_000", "4", "true", "no", "1e3", "0x1f", "3.10"])
def test_text_stays_as_typed(options, text):
    assert options(f"model: {text}").model == text
    assert options(f'model: "{text}"').model == text
    assert options(f"voices: [{text}, '{text}']").voices == (text, text)


def test_numbers_are_numbers(options):
    assert options("count: 12").count == 12
    assert type(options("rate: 3").rate) is float


@pytest.mark.parametrize("text", ["012", "1_000", "0x1f", "1e3", "1.5", "on", "12:30", '"4"', "~"])
def test_only_plain_decimal_numbers_are_whole_numbers(options, text):
    with pytest.raises(ConfigError, match=r"pipelines\.default\.tts\.count: expected a whole number"):
        options(f"count: {text}")


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False)])
def test_only_true_and_false_are_booleans(options, text, value):
    assert options(f"fast: {text}").fast is value


@pytest.mark.parametrize("text", ["yes", "no", "on", "off", "y", "True", "FALSE", "1", "0", '"true"', "~"])
def test_nothing_else_is_a_boolean(options, text):
    with pytest.raises(ConfigError, match=r"pipelines\.default\.tts\.fast: expected true or false"):
        options(f"fast: {text}")
