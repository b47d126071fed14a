"""A library that is missing is told with whatever else is wrong: nobody mends a secret to learn of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from attrs import evolve

from voicepipe.components.registry import Registry, installed
from voicepipe.config.load import load_config, load_without_secrets
from voicepipe.errors import ConfigError, Location, Problem

ROOT = Path(__file__).parents[2]
VOSK = f"{{type: vosk, model: {ROOT}/config/models/tiny-en}}"
TALK = f"{{type: scripted, script: {ROOT}/config/scripts/reception.yaml}}"
FILE = "pipelines:\n  default:\n    stt: {stt}\n    llm: {llm}\n    tts: {tts}\n"
USUAL = {"stt": VOSK, "llm": TALK, "tts": "espeak"}

LACKING = {
    "openai llm": ("httpx", "llm", "{type: openai, model: m, api_key: '${MISSING_KEY}'}", "the library httpx"),
    "openai stt": ("openai", "stt", "{type: openai, api_key: '${MISSING_KEY}'}", "the library openai"),
    "openai tts": ("openai", "tts", "{type: openai, api_key: '${MISSING_KEY}'}", "the library openai"),
    "deepgram stt": ("deepgram", "stt", "{type: deepgram, api_key: '${MISSING_KEY}'}", "the library deepgram-sdk"),
    "deepgram tts": ("websockets", "tts", "{type: deepgram, api_key: '${MISSING_KEY}'}", "the library websockets"),
    "elevenlabs": ("httpx", "tts", "{type: elevenlabs, api_key: '${MISSING_KEY}'}", "the library httpx"),
    "a misspelt option": ("httpx", "llm", "{type: openai, modle: m}", "the library httpx"),
    "vosk": ("vosk", "stt", "{type: vosk, model: no/such}", "the library vosk"),
    "pocketsphinx": ("pocketsphinx", "stt", "{type: pocketsphinx, workers: 0}", "the library pocketsphinx"),
    "espeak": ("espeakng_loader", "tts", "{type: espeak, pitch: 300}", "the library can't be imported"),
}


def problems_of(tmp_path, load=load_config, **roles):
    path = tmp_path / "set.yaml"
    path.write_text(FILE.format(**(USUAL | roles)))
    with pytest.raises(ConfigError) as caught:
        load(path, environ={})
    return caught.value.problems


@pytest.mark.parametrize(("module", "role", "reference", "said"), LACKING.values(), ids=LACKING)
def test_both_are_told(tmp_path, monkeypatch, module, role, reference, said):
    monkeypatch.setitem(sys.modules, module, None)
    problems = problems_of(tmp_path, **{role: reference})
    library = [problem for problem in problems if said in problem.message]
    assert [problem.path for problem in library] == [f"pipelines.default.{role}"]
    assert "pip install" in library[0].hint
    others = [problem for problem in problems if problem not in library]
    assert others
    assert all(problem.path.startswith(f"pipelines.default.{role}.") for problem in others)


@pytest.mark.parametrize(("module", "role", "reference", "said"), LACKING.values(), ids=LACKING)
def test_nothing_else_is_told_where_it_is_there(tmp_path, module, role, reference, said):
    pytest.importorskip(module)
    assert not [problem for problem in problems_of(tmp_path, **{role: reference}) if said in problem.message]


def test_a_check_without_secrets_tells_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    reference = "{type: openai, api_key: '${MISSING_KEY}'}"
    (problem,) = problems_of(tmp_path, load=load_without_secrets, tts=reference)
    assert problem.message == "the library openai is not installed"


def test_every_adapter_with_a_library_of_its_own_tells_so():
    named = {reference.partition("type: ")[2].partition(",")[0] for _, _, reference, _ in LACKING.values()}
    assert named | {"scripted", "wyoming"} == set(installed().names())


def test_an_adapter_of_somebody_else_may_do_the_same(tmp_path):
    def lacks():
        yield Problem(Location(""), "", "the library acme is not installed", "pip install acme")

    def breaks():
        raise RuntimeError("oops")

    elevenlabs = installed().get("tts", "elevenlabs")
    others = [adapter for adapter in installed() if adapter is not elevenlabs]
    for check, said in ((lacks, "the library acme is not installed"), (breaks, "failed: RuntimeError")):
        registry = Registry([*others, evolve(elevenlabs, check_installed=check)])

        def load(path, environ, registry=registry):
            return load_config(path, environ=environ, registry=registry)

        problems = problems_of(tmp_path, load=load, tts="{type: elevenlabs, api_key: '${MISSING_KEY}'}")
        assert [problem.path for problem in problems] == ["pipelines.default.tts", "pipelines.default.tts.api_key"]
        assert said in problems[0].message
