"""Routes as they are read: what they come to, what counts as a change, and how long many of them take."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from config_adapters import ENVIRON, REGISTRY
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.config.load import load_config
from voicepipe.config.patterns import matches, plain_number, takes_all
from voicepipe.config.settings import Route, When
from voicepipe.errors import ConfigError, Location

PIPELINES = """\
pipelines:
  default: &any
    stt: {type: ears, model: files/model}
    llm: {type: script, script: files/script.yaml}
    tts: voice
  sales: *any
  night: *any
  never: *any
"""


@pytest.fixture
def load(config_directory):
    def load(routes, environ=ENVIRON):
        path = config_directory / "set.yaml"
        path.write_text(PIPELINES + "routes:\n" + routes, encoding="utf-8")
        return load_config(path, registry=REGISTRY, environ=environ)

    return load


def test_every_way_to_write_one():
    path = Path(__file__).parent / "good/routes.yaml"
    config = load_config(path, registry=REGISTRY, environ=ENVIRON)
    assert config.routes == (
        Route(When(called=("+1800*",)), {"sales": 1}, Location(path)),
        Route(
            When(
                called=("+1 (900) 555-????", "100", ""),
                caller=("+44*",),
                listener=("trunk-?",),
                variables={"vip": ("?*",), "lang": ("de", "de-*"), "odd: name": ("*",)},
            ),
            {"default": 95, "sales": 4.5, "9 to 5": 0.5},
            Location(path),
        ),
        Route(When(caller=("+1555*",)), {"night": 1}, Location(path)),
        Route(When(caller=("**1",)), {"night": 3}, Location(path)),
        Route(When(), {"default": 1}, Location(path)),
    )
    assert [(route.where.line, route.where.column) for route in config.routes] == [
        (12, 5), (14, 5), (20, 5), (21, 5), (22, 5),
    ]  # fmt: skip
    assert config.reachable == ("default", "sales", "night", "9 to 5")


def test_pipelines_that_no_route_leads_to_are_not_reachable(load):
    assert load("  - {when: {called: 1}, split: {night: 1, sales: 1}}\n").reachable == ("default", "sales", "night")
    assert load("  []\n").reachable == ("default",)


def test_no_pattern_of_the_environment_is_shown(load):
    config = load("  - {when: {caller: '${API_KEY}', variables: {key: ['${API_KEY}']}}, pipeline: sales}\n")
    assert config.routes[0].when.caller == (ENVIRON["API_KEY"],)
    assert ENVIRON["API_KEY"] not in repr(config)


ROUTE = "  - {when: {called: '+1 800'}, split: {sales: 1, night: 2}}\n"


@pytest.mark.parametrize(
    "same",
    [
        "  - when: {called: '+1 800'}\n    split: {night: 2.0, sales: 1}\n",
        "  # a comment\n  - split: {sales: 1, night: 2}\n    when: {variables: {}, called: '+1 800'}\n",
    ],
)
def test_what_does_not_count_as_a_change(load, same):
    assert load(ROUTE).digest == load(same).digest


@pytest.mark.parametrize(
    "other",
    [
        "  []\n",
        "  - {when: {called: '+1801'}, split: {sales: 1, night: 2}}\n",
        "  - {when: {caller: '+1 800'}, split: {sales: 1, night: 2}}\n",
        "  - {when: {called: '+1 800'}, split: {sales: 1, night: 3}}\n",
        "  - {when: {called: '+1 800'}, split: {sales: 1, default: 2}}\n",
        "  - {when: {called: '+1 800'}, pipeline: sales}\n",
        "  - {when: {called: '${NUMBER:-+1 800}'}, split: {sales: 1, night: 2}}\n",
        "  - {when: {caller: 1}, pipeline: sales}\n" + ROUTE,
    ],
)
def test_what_counts_as_a_change(load, other):
    assert load(ROUTE).digest != load(other).digest


def test_their_order_counts(load):
    other = "  - {when: {caller: 1}, pipeline: sales}\n"
    assert load(ROUTE + other).digest != load(other + ROUTE).digest


def test_the_same_twice_is_found_however_it_is_written(load):
    with pytest.raises(ConfigError, match=r"routes\[1\]: unreachable: routes\[0\] on line 10"):
        load("  - {when: {called: [2, 1], variables: {a: x}}, pipeline: sales}\n"
             "  - {when: {variables: {a: [x, x]}, called: ['1', '(2)']}, pipeline: night}\n")  # fmt: skip


def test_a_listener_is_no_number(load):
    """So that its dashes count."""
    routes = "  - {when: {listener: a-b}, pipeline: sales}\n  - {when: {listener: ab}, pipeline: night}\n"
    assert len(load(routes).routes) == 2


def test_a_mistake_in_a_when_is_no_reason_to_doubt_the_routes_behind_it(load):
    with pytest.raises(ConfigError) as caught:
        load("  - {when: {caled: 1}, pipeline: sales}\n  - {when: {called: 1}, pipeline: night}\n")
    assert [problem.path for problem in caught.value.problems] == ["routes[0].when.caled"]


def test_a_thousand_routes_are_no_burden(load):
    lines = [
        f"  - {{when: {{called: '+1800555{n:04}', caller: [1*, 2*]}}, split: {{sales: 1, night: 2}}}}\n"
        for n in range(1000)
    ]
    load("  []\n")
    began = time.thread_time()
    assert len(load("".join(lines)).routes) == 1000
    assert time.thread_time() - began < 20  # of its own time


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("+1800*", "+18005550100", True),
        ("+1800*", "+1800", True),
        ("+1800*", "18005550100", False),
        ("1800", "18005", False),
        ("*100", "4100", True),
        ("*100", "4101", False),
        ("1??", "123", True),
        ("1??", "12", False),
        ("?*", "", False),
        ("*", "", True),
        ("", "", True),
        ("", "1", False),
        ("*a*b*", "xxaxxbxx", True),
        ("*a*b*", "xxbxxaxx", False),
        ("a**b", "ab", True),
        ("?43", "*43", True),
        ("[12]", "1", False),
        ("a.c", "abc", False),
        ("*\n*", "a\nb", True),
    ],
)
def test_patterns(pattern, text, fits):
    assert matches(pattern, text) is fits


def said_simply(pattern: str, text: str) -> bool:
    """What the two signs mean, without a thought of time."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return said_simply(pattern[1:], text) or (text != "" and said_simply(pattern, text[1:]))
    return text != "" and pattern[0] in {"?", text[0]} and said_simply(pattern[1:], text[1:])


@given(pattern=st.text("ab*?", max_size=8), text=st.text("ab*?", max_size=8))
def test_patterns_mean_what_they_say(pattern, text):
    assert matches(pattern, text) is said_simply(pattern, text)


@given(pattern=st.text("a*?", max_size=5), text=st.text("ab", max_size=5))
def test_what_takes_all_takes_all(pattern, text):
    if takes_all(pattern):
        assert matches(pattern, text)


def test_a_pattern_made_to_explode_does_not():
    began = time.thread_time()
    assert not matches("*a" * 50 + "b", "a" * 5000)
    assert time.thread_time() - began < 20  # of its own time


def test_what_people_put_between_digits():
    assert plain_number("+1 (800) 555-01.00") == "+18005550100"
