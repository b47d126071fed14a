"""References lead to adapters: by name, through components, lists and a pipeline's own options."""

from __future__ import annotations

import pytest
from config_adapters import ENVIRON, REGISTRY, Voice

from voicepipe.config.load import load_config
from voicepipe.errors import ConfigError

HEAD = """\
pipelines:
  default:
    stt: {type: ears, model: files/model}
    llm: {type: script, script: files/script.yaml}
"""


@pytest.fixture
def load(config_directory):
    def load(text, **kwargs):
        path = config_directory / "set.yaml"
        path.write_text(text, encoding="utf-8")
        return load_config(path, registry=REGISTRY, environ=ENVIRON, **kwargs)

    return load


def voices(config, pipeline="default"):
    return [one.options for one in config.pipelines[pipeline].tts]


def test_an_adapter_by_name(load):
    assert voices(load(HEAD + "    tts: voice\n")) == [Voice()]


def test_a_component_by_name_is_named_so(load):
    config = load("components: {speaker: {type: voice, voice: de}}\n" + HEAD + "    tts: speaker\n")
    (component,) = config.pipelines["default"].tts
    assert component.options == Voice("de")
    assert (component.name, component.adapter, component.role) == ("speaker", "voice", "tts")
    assert (component.where.line, component.where.column, component.path) == (1, 23, "components.speaker")


def test_a_component_that_is_only_a_name(load):
    (component,) = load("components: {speaker: voice}\n" + HEAD + "    tts: speaker\n").pipelines["default"].tts
    assert (component.name, component.adapter) == ("speaker", "voice")


def test_lists_flatten_in_order(load):
    components = "components: {both: [{type: voice, voice: de}, last], last: [{type: voice, voice: fr}]}\n"
    config = load(components + HEAD + "    tts: [voice, both, [{type: voice, voice: it}]]\n")
    assert [one.voice for one in voices(config)] == ["en-us", "de", "fr", "it"]


def test_options_replace_top_level_keys_of_a_reference(load):
    components = "components: {speaker: {type: voice, voice: de, words_per_minute: 100}}\n"
    config = load(components + HEAD + "    tts: speaker\n    options: {tts: {voice: fr}}\n")
    assert voices(config) == [Voice("fr", 100)]


def test_options_can_give_what_the_reference_lacks(load):
    text = HEAD.replace("{type: script, script: files/script.yaml}", "script")
    config = load(text + "    tts: voice\n    options: {llm: {script: files/script.yaml}}\n")
    assert config.pipelines["default"].llm[0].options.script.content.startswith(b"start:")


def test_one_component_with_and_without_options_is_two(load):
    text = "components: {speaker: {type: voice, voice: de}}\n" + HEAD + "    tts: speaker\n"
    other = HEAD.removeprefix("pipelines:\n").replace("default", "other")
    config = load(text + other + "    tts: speaker\n    options: {tts: {voice: fr}}\n")
    assert [one.voice for name in config.pipelines for one in voices(config, name)] == ["de", "fr"]


def test_a_component_can_have_two_roles(load):
    cloud = 'components: {sky: {type: cloud, model: a, api_key: "${API_KEY}"}}\n'
    config = load(cloud + HEAD.replace("{type: ears, model: files/model}", "sky") + "    tts: sky\n")
    pipeline = config.pipelines["default"]
    assert (pipeline.stt[0].role, pipeline.tts[0].role) == ("stt", "tts")
    assert pipeline.stt[0].key != pipeline.tts[0].key


@pytest.mark.parametrize(
    "unused", ["{type: voice}", "voice", "{type: ears, model: files/model}", "[voice, {type: voice, voice: de}]"]
)
def test_an_unused_component_needs_to_fit_one_role(load, unused):
    config = load(f"components: {{spare: {unused}}}\n" + HEAD + "    tts: voice\n")
    assert len(config.pipelines["default"].tts) == 1


@pytest.mark.parametrize(
    "unused", ["{type: voice, voice: X}", "nobody", "[voice, {type: ears, model: files/model}]", "~"]
)
def test_an_unused_component_that_fits_none_is_refused(load, unused):
    with pytest.raises(ConfigError) as caught:
        load(f"components: {{spare: {unused}}}\n" + HEAD + "    tts: voice\n")
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].path.startswith("components.spare")


def test_a_mistake_in_a_shared_component_is_one_problem(load):
    pipelines = "".join(
        HEAD.removeprefix("pipelines:\n").replace("default", name) + "    tts: speaker\n" for name in ("a", "b", "c")
    )
    with pytest.raises(ConfigError) as caught:
        load("active_pipeline: a\ncomponents: {speaker: {type: voice, voice: X}}\npipelines:\n" + pipelines)
    assert len(caught.value.problems) == 1


def test_lists_of_lists_do_not_explode(load):
    chain = "".join(f"  c{n}: [c{n + 1}, c{n + 1}]\n" for n in range(25))
    with pytest.raises(ConfigError, match="more than 100 alternatives"):
        load(f"components:\n{chain}  c25: [voice]\n" + HEAD + "    tts: c0\n")


def test_long_chains_of_names_do_not_overflow(load):
    chain = "".join(f"  c{n}: c{n + 1}\n" for n in range(2000))
    with pytest.raises(ConfigError, match="more than 30 components"):
        load(f"components:\n{chain}  c2000: voice\n" + HEAD + "    tts: c0\n")


def test_a_pipelines_turns_and_budgets_are_laid_over_the_files(load):
    turns = "turns: {end_of_turn_ms: 700, barge_in: {min_speech_ms: 200, min_words: 2}}\n"
    turns += "budgets: {stt: {connect_ms: 500, first_transcript_ms: 1000}}\n"
    text = turns + HEAD + "    tts: voice\n    turns: {end_of_turn_ms: 900, barge_in: {min_words: 1}}\n"
    text += "    budgets: {stt: {first_transcript_ms: 2000}}\n"
    text += HEAD.removeprefix("pipelines:\n").replace("default", "other") + "    tts: voice\n"
    config = load(text)
    own, other = config.pipelines["default"].turns, config.pipelines["other"].turns
    assert (own.end_of_turn_ms, other.end_of_turn_ms) == (900, 700)
    assert (own.barge_in.min_speech_ms, own.barge_in.min_words) == (200, 1)
    assert (other.barge_in.min_speech_ms, other.barge_in.min_words) == (200, 2)
    budgets = [config.pipelines[name].budgets.stt for name in ("default", "other")]
    assert [(stt.connect_ms, stt.first_transcript_ms) for stt in budgets] == [(500, 2000), (500, 1000)]


def test_an_integrators_own_tools(load):
    text = HEAD + "    tts: voice\n    tools: [hang_up, book]\n"
    with pytest.raises(ConfigError, match='there is no tool "book"'):
        load(text)
    assert load(text, tools=["book"]).pipelines["default"].tools == ("hang_up", "book")


def test_reachable_pipelines(load):
    def pipeline(name, more=""):
        return HEAD.removeprefix("pipelines:\n").replace("default", name) + f"    tts: voice\n{more}"

    text = "active_pipeline: b\npipelines:\n" + pipeline("a", "    selectable: true\n") + pipeline("b") + pipeline("c")
    assert load(text).reachable == ("a", "b")
