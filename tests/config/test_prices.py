"""`check` warns of prices that no component has, and of components without a price; a file stays valid."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.config_adapters import REGISTRY
from voicepipe.config.load import load_config

PIPELINES = """\
pipelines:
  default:
    stt: {type: ears, model: files/model}
    llm: {type: chat, model: gpt-5-mini}
    tts: {type: cloud, model: aura-2, api_key: test-key}
prices:
  currency: EUR
  items:
"""
ALL = ("{adapter: chat, per_request: 1}", "{adapter: cloud, per_request: 1}", "{adapter: ears, free: true}")


def warnings(*items):
    path = Path(__file__).parent / "good/prices-tested.yaml"
    text = PIPELINES + "".join(f"    - {item}\n" for item in items)
    config = load_config(path, registry=REGISTRY, environ={}, contents={path.absolute(): text.encode()})
    return [str(warning).removeprefix(str(path)) for warning in config.warnings]


@pytest.mark.parametrize(
    ("items", "place", "message"),
    [
        (
            (*ALL, "{adapter: clowd, per_request: 1}"),
            ":12:17: prices.items[3].adapter:",
            (
                "no pipeline has a component of this adapter "
                '(did you mean "cloud"? adapters in this file: chat, cloud, ears)'
            ),
        ),
        (
            (*ALL, "{adapter: chat, model: gpt-5-mimi, per_request: 1}"),
            ":12:30: prices.items[3].model:",
            'no pipeline has a component of this model (did you mean "gpt-5-mini"? models in this file: gpt-5-mini)',
        ),
        (
            (*ALL, '{adapter: chat, model: "gpt*", per_request: 1}'),
            ":12:30: prices.items[3].model:",
            "an earlier item has the price of every component that this one is for (move it up)",
        ),
        (
            ALL[1:],
            ":4:10: pipelines.default.llm:",
            (
                "prices has no item for chat gpt-5-mini: costs are incomplete (add an item with `adapter: chat`; with "
                "`free: true`, if it costs nothing)"
            ),
        ),
    ],
)
def test_what_is_probably_a_mistake_is_warned_of(items, place, message):
    assert warnings(*items) == [f"{place} {message}"]


def test_prices_of_all_components_are_not_warned_of():
    assert warnings(*ALL) == []
