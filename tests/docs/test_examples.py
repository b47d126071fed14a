"""The pipelines in `examples/pipelines`: what each file says of itself is so, and a typo in any is found."""

from __future__ import annotations

import re

import attrs
import pytest
import yaml
from doc_pages import ROOT

from voicepipe import ConfigError, installed, load_config
from voicepipe.config import call_settings, sections, settings
from voicepipe.config.history_settings import HistorySettings
from voicepipe.config.sound_settings import HoldSettings, RingbackSettings
from voicepipe.text.spoken.settings import SpeechSettings

EXAMPLES = sorted((ROOT / "examples/pipelines").glob("*.yaml"))
by_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)


@by_example
def test_it_says_for_whom_it_is(example):
    assert re.match(r"# For \w.*\n", example.read_text(encoding="utf-8"))


NAMED = {"pipelines", "components", "variables", "split", "keys"}
"""Keys below which the author chooses the names."""


def keys_of(node, names_below=False):
    """The key nodes of a document that are the format's own."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from keys_of(item)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not names_below:
                yield key
            yield from keys_of(value, not names_below and key.value in NAMED)


def typos():
    for example in EXAMPLES:
        text = example.read_text(encoding="utf-8")
        for key in keys_of(yaml.compose(text)):
            mark = key.start_mark
            yield pytest.param(example, mark, id=f"{example.stem}:{mark.line + 1}:{mark.column + 1}:{key.value}")


@pytest.mark.parametrize(("example", "mark"), [*typos()])
def test_a_misspelt_key_is_reported_at_its_place(example, mark, tmp_path):
    text = example.read_text(encoding="utf-8")
    changed = text[: mark.index] + "x" + text[mark.index :]
    file = tmp_path / example.name
    above = {"../../config": str(ROOT / "config"), "../scripts": str(ROOT / "examples/scripts")}
    for relative, absolute in above.items():
        changed = changed.replace(relative, absolute)
    file.write_text(changed, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    places = {(problem.where.line, problem.where.column) for problem in caught.value.problems}
    assert (mark.line + 1, mark.column + 1) in places


def test_the_annotated_one_has_every_key():
    keys = {key.value for key in keys_of(yaml.compose((ROOT / "examples/pipelines/all-local.yaml").read_text("utf-8")))}
    known = {
        field.name
        for cls in (
            sections.SetFile,
            sections.PipelineSection,
            sections.RoleOptions,
            sections.RouteSection,
            sections.WhenSection,
            call_settings.TurnsSettings,
            call_settings.BargeInSettings,
            call_settings.EndpointingSettings,
            call_settings.DtmfSettings,
            call_settings.KeyAction,
            HoldSettings,
            RingbackSettings,
            settings.RecordingSettings,
            SpeechSettings,
            HistorySettings,
            call_settings.BudgetsSettings,
            call_settings.SpeechToTextBudgets,
            call_settings.LanguageModelBudgets,
            call_settings.TextToSpeechBudgets,
            call_settings.StreamingSettings,
            call_settings.LimitsSettings,
            settings.RedactSettings,
            settings.LoggingSettings,
            call_settings.OnFailure,
            *(adapter.options for adapter in installed() if adapter.name in {"vosk", "scripted", "espeak"}),
        )
        for field in attrs.fields(cls)
    }
    assert keys == known | {"type"}


def test_its_sections_hold_the_defaults():
    config = load_config(ROOT / "examples/pipelines/all-local.yaml")
    desk = config.pipelines["front_desk"]
    backchannels = attrs.evolve(call_settings.BargeInSettings(), backchannels=desk.turns.barge_in.backchannels)
    assert desk.turns == call_settings.TurnsSettings(end_of_turn_ms=700, barge_in=backchannels)
    assert set(desk.turns.barge_in.backchannels) <= {*call_settings.BACKCHANNELS, "I see"}
    assert desk.streaming == call_settings.StreamingSettings()
    assert desk.limits == call_settings.LimitsSettings()
    assert desk.on_failure == call_settings.OnFailure()
    assert config.logging == settings.LoggingSettings()


def test_two_voices_share_their_recogniser():
    config = load_config(ROOT / "examples/pipelines/two-voices.yaml")
    day, evening = config.pipelines["day"], config.pipelines["evening"]
    assert day.stt[0].key == evening.stt[0].key
    assert day.tts[0].options.voice == "en-us"
    assert evening.tts[0].options.voice == "en-gb+f3"
    assert config.reachable == ("day", "evening")


def test_the_environment_decides_and_has_defaults():
    example = ROOT / "examples/pipelines/environment.yaml"
    assert load_config(example, environ={}).pipelines["default"].tts[0].options.voice == "en-us"
    config = load_config(example, environ={"VOICE": "en-gb+f3", "END_OF_TURN_MS": "500"})
    assert config.pipelines["default"].tts[0].options.voice == "en-gb+f3"
    assert config.pipelines["default"].turns.end_of_turn_ms == 500


def test_quiet_and_noisy_differ_where_they_say():
    pipelines = load_config(ROOT / "examples/pipelines/quiet-office.yaml").pipelines
    assert pipelines["quiet_office"].turns.end_of_turn_ms < 600 < pipelines["noisy_hall"].turns.end_of_turn_ms
    assert pipelines["noisy_hall"].turns.barge_in.min_words == 2
    assert {pipeline.budgets.stt.first_transcript_ms for pipeline in pipelines.values()} == {1000}


def test_the_trial_shares_the_calls_out():
    config = load_config(ROOT / "examples/pipelines/trial.yaml")
    assert [dict(route.weights) for route in config.routes] == [{"proven": 95, "tried": 5}]
    assert config.reachable == ("proven", "tried")
