"""Which pipeline a call gets: the first route that matches, and splits that stick to the caller."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from attrs import evolve
from hypothesis import assume, given
from hypothesis import strategies as st
from recording import RecordedSet, pipeline

from voicepipe.components.requests import CallInfo
from voicepipe.components.values import Secret
from voicepipe.config.settings import LoggingSettings, PipelineSettings, Route, SetConfig, When
from voicepipe.errors import Location
from voicepipe.pipelines import routing
from voicepipe.pipelines.routing import WITHHELD, Choice
from voicepipe.pipelines.snapshot import Snapshot

EVERYONE = When()
choose = partial(routing.choose, at=datetime(2026, 11, 30, 12, tzinfo=UTC))
compare = partial(routing.compare, at=datetime(2026, 11, 30, 12, tzinfo=UTC))


def config(*routes, active="default"):
    return SetConfig(
        path=Path("test.yaml"),
        digest="",
        active_pipeline=active,
        pipelines={},
        logging=LoggingSettings(),
        files=(),
        routes=tuple(Route(when, weights, Location("test.yaml")) for when, weights in routes),
    )


def chosen(configuration, **info):
    return choose(configuration, CallInfo(**info)).pipeline


def test_without_routes_the_active_pipeline_answers():
    assert choose(config(active="day"), CallInfo(called="1")) == Choice("day", None, "there are no routes")


def test_none_matches():
    routes = config((When(called=("2",)), {"sales": 1}))
    assert choose(routes, CallInfo(called="1")) == Choice("default", None, "no route matches")


def test_the_first_that_matches():
    routes = config(
        (When(called=("+1900*",)), {"a": 1}), (When(called=("+1800*",)), {"b": 1}), (When(called=("+1*",)), {"c": 1})
    )
    assert choose(routes, CallInfo(called="+18005550100")) == Choice("b", 1, 'called "+18005550100" matches "+1800*"')
    assert chosen(routes, called="+1700") == "c"


def test_a_route_without_when_takes_the_rest():
    routes = config((When(called=("1",)), {"a": 1}), (EVERYONE, {"b": 1}))
    assert choose(routes, CallInfo(called="2")) == Choice("b", 1, "takes every call")


ALL_KEYS = When(called=("1*", "2"), caller=("3",), listener=("main",), variables={"vip": ("?*",), "lang": ("de", "fr")})
FITS = CallInfo(called="12", caller="3", listener="main", variables={"vip": "1", "lang": "fr", "other": "x"})


def test_every_key_must_match():
    routes = config((ALL_KEYS, {"a": 1}))
    assert choose(routes, FITS).pipeline == "a"
    for other in (
        evolve(FITS, called="3"),
        evolve(FITS, caller=""),
        evolve(FITS, listener="Main"),
        evolve(FITS, variables={"vip": "1", "lang": "it"}),
        evolve(FITS, variables={"lang": "de"}),
        evolve(FITS, variables={"vip": "", "lang": "de"}),
    ):
        assert choose(routes, other).pipeline == "default"


def test_separators_count_in_names_and_not_in_numbers():
    routes = config((When(called=("+1 (800) 555-01*",)), {"a": 1}), (When(listener=("a-b",)), {"b": 1}))
    assert chosen(routes, called="+1.800.555.0199") == "a"
    assert chosen(routes, listener="a-b") == "b"
    assert chosen(routes, listener="ab") == "default"


def test_what_is_not_known_is_empty():
    assert chosen(config((When(caller=("",)), {"a": 1})), caller="") == "a"
    assert chosen(config((When(caller=("",)), {"a": 1})), caller="1") == "default"
    assert chosen(config((When(variables={"x": ("*",)}), {"a": 1}))) == "a"


def test_comparisons_say_what_they_saw():
    secret = Secret("+1555", "${OURS}")
    when = When(called=("1", "2"), caller=(secret,), listener=("main",), variables={"vip": ("?*",)})
    said = [str(one) for one in compare(when, CallInfo(called="3", caller="+1555", listener="other\n"))]
    assert said == [
        'called "3" matches none of "1", "2"',
        'caller "+1555" matches "${OURS}"',
        'listener "other " does not match "main"',  # a value of a call is one line
        'variable vip, which is not known, does not match "?*"',
    ]


SPLIT = {"default": 95, "sales": 5}


def test_splits_are_for_ever():
    """These callers got these pipelines at first; a change of the hash would move them."""
    routes = config((When(called=("+1900*",)), {"a": 50, "b": 30, "c": 20}))
    callers = [f"+1555010{n}" for n in range(12)]
    assert "".join(chosen(routes, called="+1900", caller=caller) for caller in callers) == "bcbbbabaabaa"


def test_a_split_is_the_same_in_every_process():
    program = (
        "from test_routing import *\n"
        "print(''.join(chosen(config((EVERYONE, {'a': 1, 'b': 1})), caller=str(n)) for n in range(100)))"
    )
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    runs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(runs) == 1
    assert set(runs.pop().strip()) == {"a", "b"}


def test_a_split_says_why():
    routes = config((EVERYONE, SPLIT))
    known, unknown = choose(routes, CallInfo(caller="+15550123")), choose(routes, CallInfo(call_id="4"))
    assert known.reason == "takes every call; the split (95 of 100) has it for this caller"
    assert unknown.reason == "takes every call; the split (95 of 100) has it for this call, whose caller is not known"


@pytest.mark.parametrize("weights", [SPLIT, {"a": 1, "b": 1, "c": 2}, {"a": 0.001, "b": 0.003}])
def test_shares_are_as_the_weights_say(weights):
    routes = config((When(called=("1",)), weights))
    counts = Counter(chosen(routes, called="1", caller=f"+1555{n:07}") for n in range(10_000))
    for name, weight in weights.items():
        expected = weight / sum(weights.values())
        assert counts[name] / 10_000 == pytest.approx(expected, abs=4 * (expected * (1 - expected) / 10_000) ** 0.5)


def test_splits_are_independent():
    one, other = (config((When(called=(number,)), {"a": 1, "b": 1})) for number in ("1", "2"))
    same = sum(chosen(one, called="1", caller=str(n)) == chosen(other, called="2", caller=str(n)) for n in range(4000))
    assert same / 4000 == pytest.approx(0.5, abs=0.04)


def test_a_route_may_move_and_be_written_otherwise():
    before = config((When(called=("+1 800", "2"), variables={}), SPLIT | {"night": 50}))
    after = config((When(listener=("x",)), {"y": 1}), (When(called=("2", "+1800")), {"night": 50} | SPLIT))
    for n in range(200):
        assert chosen(before, called="2", caller=str(n)) == chosen(after, called="2", caller=str(n))


def test_callers_who_are_not_known_are_spread():
    routes = config((EVERYONE, {"a": 1, "b": 1}))
    for caller in ("", " ", *WITHHELD, "Anonymous"):
        counts = Counter(chosen(routes, caller=caller, call_id=str(n)) for n in range(400))
        assert 140 < counts["a"] < 260
    assert len({chosen(routes, caller="Anna", call_id=str(n)) for n in range(100)}) == 1


def test_the_same_number_in_another_notation_is_the_same_caller():
    routes = config((EVERYONE, {"a": 1, "b": 1}))
    for n in range(100):
        assert chosen(routes, caller=f"+1 555-{n:04}") == chosen(routes, caller=f"+1555{n:04}")


NAMES = st.text("abcdef", min_size=1, max_size=3)
WEIGHTS = st.dictionaries(NAMES, st.floats(0.01, 1000), min_size=1, max_size=6)
CALLERS = st.lists(st.text(max_size=12), min_size=1, max_size=20, unique=True)


@given(weights=WEIGHTS, callers=CALLERS, more=st.floats(1, 1000), data=st.data())
def test_a_weight_that_grows_moves_callers_only_to_its_pipeline(weights, callers, more, data):
    grown = data.draw(st.sampled_from(sorted(weights)))
    before = config((EVERYONE, weights))
    after = config((EVERYONE, weights | {grown: weights[grown] * more}))
    for caller in callers:
        was, now = (chosen(one, caller=caller, call_id="1") for one in (before, after))
        assert now in {was, grown}


@given(weights=WEIGHTS, callers=CALLERS, name=NAMES, weight=st.floats(0.01, 1000))
def test_a_pipeline_that_comes_takes_callers_and_gives_them_back(weights, callers, name, weight):
    assume(name not in weights)
    before, after = config((EVERYONE, weights)), config((EVERYONE, weights | {name: weight}))
    for caller in callers:
        was, now = (chosen(one, caller=caller, call_id="1") for one in (before, after))
        assert now in {was, name}


@given(weights=WEIGHTS, callers=CALLERS, factor=st.sampled_from([0.25, 2, 64]))
def test_only_the_ratio_of_weights_counts(weights, callers, factor):
    one, other = config((EVERYONE, weights)), config((EVERYONE, {name: w * factor for name, w in weights.items()}))
    for caller in callers:
        assert chosen(one, caller=caller, call_id="1") == chosen(other, caller=caller, call_id="1")


def test_a_weight_that_grows_moves_no_more_than_it_must():
    """From 5 to 10 of 100: 5 callers of 100, within four standard deviations."""
    before, after = config((EVERYONE, {"a": 95, "b": 5})), config((EVERYONE, {"a": 90, "b": 10}))
    moved = Counter((chosen(before, caller=str(n)), chosen(after, caller=str(n))) for n in range(10_000))
    assert moved["b", "a"] == 0
    assert moved["a", "b"] / 10_000 == pytest.approx(0.05, abs=0.009)


@given(
    called=st.text(max_size=20),
    caller=st.text(max_size=20),
    variables=st.dictionaries(st.text(), st.text(), max_size=2),
)
def test_whatever_a_caller_sends_is_answered(called, caller, variables):
    routes = config((ALL_KEYS, {"a": 1}), (When(called=("*1*2*",)), SPLIT), (EVERYONE, {"x": 1, "y": 1}))
    choice = choose(routes, CallInfo(call_id="1", called=called, caller=caller, variables=variables))
    assert choice.pipeline in {"a", *SPLIT, "x", "y"}
    assert choice.reason.isprintable()


def snapshot_of(configuration):
    return Snapshot(
        set="main",
        version=1,
        digest="",
        config=configuration,
        pipelines={name: name for name in ("default", "a", "b", "night")},
    )


def test_a_snapshot_chooses_among_its_pipelines():
    snapshot = snapshot_of(config((When(called=("1",)), {"a": 1})))
    assert snapshot.choose(CallInfo(called="1")) == "a"
    assert snapshot.choose(CallInfo(called="2")) == snapshot.active == "default"


def test_a_snapshot_spreads_calls_of_which_nothing_is_known():
    snapshot = snapshot_of(config((EVERYONE, {"a": 1, "b": 1})))
    assert {snapshot.choose(CallInfo()) for _ in range(100)} == {"a", "b"}
    assert {snapshot.choose(CallInfo(call_id="1", transport_id="1")) for _ in range(100)} == {"a", "b"}
    assert len({snapshot.choose(CallInfo(caller="1")) for _ in range(100)}) == 1


def test_routes_and_splits_decide_what_is_reachable():
    component = {"stt": (), "llm": (), "tts": ()}
    pipelines = {
        name: PipelineSettings(name=name, selectable=name == "chosen", **component)
        for name in ("never", "default", "a", "b", "c", "chosen")
    }
    routes = config((When(called=("1",)), {"c": 1}), (EVERYONE, {"b": 1, "a": 1}))
    assert evolve(routes, pipelines=pipelines).reachable == ("default", "a", "b", "c", "chosen")


async def test_a_reload_routes_the_next_call_and_not_the_one_that_is_up(tmp_path):
    recorded = RecordedSet(tmp_path)
    both = {"default": pipeline(), "night": pipeline(tts="b")}
    call = CallInfo(called="+1800")
    recorded.write(**both)
    async with recorded.serve() as pipelines:
        with pipelines.pin() as before:
            assert before.choose(call).name == "default"
            assert recorded.open["tts b"] == 0
            routes = [{"when": {"called": "+1800"}, "split": {"night": 1}}]
            applied = await recorded.rewrite(pipelines, sections={"routes": routes}, **both)
            assert (applied.version, applied.plan.opened, applied.plan.added) == (2, ("tts recorded (b)",), ("night",))
            assert before.choose(call).name == "default"
            assert pipelines.current.choose(call).name == "night"
            assert pipelines.current.choose(CallInfo(called="+1900")).name == "default"
