"""What a call costs: by the provider's figures or the call's own, and never 0 for want of one."""

from __future__ import annotations

import pytest
from attrs import evolve

from voicepipe import ComponentUsage
from voicepipe.calls.costs import CallCost, cost_of_call, with_cost
from voicepipe.config.price_settings import PriceItem, PricesSettings

LLM = ComponentUsage(role="llm", component="m", adapter="openai", model="gpt-5-mini", requests=2, reported=2)
STT = ComponentUsage(
    role="stt", component="e", adapter="deepgram", model="nova-3", requests=1, reported=0, audio_s=90.0
)
TTS = ComponentUsage(
    role="tts", component="v", adapter="deepgram", model="aura-2", requests=3, reported=0, characters=1500, audio_s=60.0
)
TOKENS = {"per_million_input_tokens": 0.25, "per_million_output_tokens": 2.0}


def priced(usage, **prices):
    return with_cost(usage, PricesSettings("EUR", (PriceItem(usage.adapter, **prices),)))


@pytest.mark.parametrize(
    ("usage", "changes", "prices", "cost", "is_least"),
    [
        (LLM, {"input_tokens": 12_000, "output_tokens": 300}, TOKENS, 0.0036, False),
        (LLM, {"input_tokens": 1, "output_tokens": 0}, TOKENS, 0.00000025, False),
        (LLM, {"input_tokens": 12_000, "output_tokens": 300, "reported": 1}, TOKENS, 0.0036, True),  # one interrupted
        (LLM, {"reported": 0}, TOKENS, None, False),
        (LLM, {"input_tokens": 0, "output_tokens": 0}, TOKENS, 0.0, False),
        (LLM, {"reported": 0}, {"per_request": 0.01}, 0.02, False),
        (LLM, {"reported": 0}, TOKENS | {"per_request": 0.01}, 0.02, True),
        (LLM, {"reported": 0}, {"per_million_input_tokens": 0.0}, 0.0, False),
        (LLM, {"reported": 0}, {"free": True}, 0.0, False),
        (LLM, {}, {"per_minute": 1.0}, None, False),  # a language model has no audio
        (STT, {}, {"per_minute": 0.0077}, 0.01155, False),
        (STT, {}, {"per_hour": 0.462}, 0.01155, False),
        (STT, {"charged_audio_s": 60.0, "reported": 1}, {"per_minute": 0.0077}, 0.0077, False),  # the provider's figure
        (STT, {"charged_audio_s": 60.0, "requests": 2, "reported": 1}, {"per_minute": 0.0077}, 0.01155, False),
        (TTS, {}, {"per_thousand_characters": 0.03}, 0.045, False),
        (TTS, {}, {"per_million_characters": 30.0}, 0.045, False),
        (TTS, {"charged_characters": 2000, "reported": 3}, {"per_thousand_characters": 0.03}, 0.06, False),
        (TTS, {"charged_characters": 1000, "reported": 1}, {"per_thousand_characters": 0.03}, 0.045, False),
        (TTS, {}, {"per_minute": 0.1, "per_request": 0.001}, 0.103, False),
        (TTS, {"characters": 3}, {"per_thousand_characters": 0.1}, 0.0003, False),
    ],
)
def test_a_component_costs_what_its_figures_come_to(usage, changes, prices, cost, is_least):
    result = priced(evolve(usage, **changes), **prices)
    assert (result.cost, result.cost_is_least, result.currency) == (cost, is_least, "EUR")


@pytest.mark.parametrize(
    ("adapter", "model", "expected"),
    [
        ("deepgram", "nova-3", 1.0),
        ("deepgram", "nova-2", 2.0),
        ("deepgram", "aura-2", 3.0),
        ("deepgram", None, 3.0),
        ("deepgram2", "nova-3", None),
        ("Deepgram", "nova-3", None),
        ("espeak", None, 4.0),
    ],
)
def test_the_first_item_that_matches_has_the_price(adapter, model, expected):
    models = (("deepgram", "nova-3"), ("deepgram", "nova-*"), ("deepgram", "*"), ("espeak", "*"))
    items = tuple(PriceItem(of, pattern, per_request=float(n + 1)) for n, (of, pattern) in enumerate(models))
    item = PricesSettings("EUR", items).item_for(adapter, model)
    assert (item and item.per_request) == expected


def test_a_call_costs_the_sum_in_decimal_fractions():
    prices = PricesSettings("EUR", (PriceItem("deepgram", per_request=0.1), PriceItem("openai", per_request=0.1)))
    usages = [with_cost(evolve(usage, requests=1), prices) for usage in (LLM, STT, TTS)]
    assert cost_of_call(usages, prices) == CallCost(0.3, is_least=False, currency="EUR")


def test_a_component_without_a_price_makes_the_sum_the_least():
    prices = PricesSettings("EUR", (PriceItem("deepgram", per_minute=0.6),))
    usages = [with_cost(usage, prices) for usage in (LLM, STT)]
    assert usages[0] == LLM
    assert cost_of_call(usages, prices) == CallCost(0.9, is_least=True, currency="EUR")
    assert cost_of_call(usages[:1], prices) == CallCost(None, is_least=False, currency="EUR")
    assert cost_of_call(usages, None) == CallCost()
    assert with_cost(STT, None) == STT
