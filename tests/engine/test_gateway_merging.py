"""What several workers say of sets, versions, components and changes, in one body; as tables."""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime

import jsonschema
import pytest
from attrs import define

from reference_engine.control.openapi import OPENAPI
from reference_engine.reports.printing import describe_sets
from reference_engine.supervisor.gateway.merging import (
    merge_call,
    merge_calls,
    merge_changes,
    merge_drained,
    merge_paused,
    merge_readiness,
    merge_sets,
    merge_version,
)
from reference_engine.supervisor.gateway.worker_states import worker_bodies

DIGESTS = {1: "1" * 64, 2: "2" * 64, 3: "3" * 64}


def version(number, state="serving", calls=0):
    return {
        "version": number,
        "state": state,
        "calls": calls,
        "digest": DIGESTS[number],
        "active_pipeline": "default",
        "applied_at": "2026-01-01T00:00:00+00:00",
        "trigger": "start",
        "rolled_back_to": None,
        "earlier_run": False,
    }


def component(state="closed", error=None, successes=0, name="ears", *, was_open=True, retry_s=0.0):
    return {
        "role": "stt",
        "name": name,
        "adapter": "vosk",
        "model": None,
        "state": state,
        "was_open": was_open,
        "retry_s": retry_s,
        "error": None if error is None else {"message": error, "answered": "", "hint": ""},
        "successes": successes,
        "failures": 0,
        "excused": 1,
    }


def rejected(at):
    return {
        "set": "main",
        "trigger": "control",
        "at": at,
        "seconds": 0.1,
        "outcome": "rejected",
        "reason": "open",
        "serving_version": 1,
        "digest": None,
        "errors": [],
    }


PROBLEM = {"file": "a.yaml", "line": 1, "column": 1, "path": "", "message": "no model", "hint": ""}


def state_of(versions, components=(), *, name="main", state="serving", degraded=(), last=None, good=False):
    number = max((each["version"] for each in versions if each["state"] == "serving"), default=None)
    return {
        "set": name,
        "state": state,
        "file": f"{name}.yaml",
        "version": number,
        "digest": DIGESTS.get(number),
        "active_pipeline": "default" if number else None,
        "pipelines": ["default"],
        "degraded": list(degraded),
        "components": list(components),
        "versions": list(versions),
        "last_known_good": good,
        "last_attempt": last,
    }


def sets_of(*sets, removed=(), pages=None):
    return {"sets": list(sets), "removed": list(removed), "engine": None, "pages": pages}


def merged(*bodies):
    """Merges the bodies of workers 1, 2, ...; they stay as they are, and the result is as the API describes it."""
    numbered = dict(enumerate(bodies, start=1))
    before = deepcopy(numbered)
    body = merge_sets(numbered, [])
    assert numbered == before
    schema = OPENAPI["components"]["schemas"]["Sets"]
    jsonschema.validate(body, {**schema, "components": OPENAPI["components"]})
    return body


def test_calls_of_a_version_are_those_of_all_workers():
    body = merged(
        sets_of(state_of([version(1, "draining", 2), version(2, "serving", 3)])),
        sets_of(state_of([version(1, "retired"), version(2, "serving", 4)])),
    )
    (main,) = body["sets"]
    assert [(each["version"], each["state"], each["calls"]) for each in main["versions"]] == [
        (1, "draining", 2),
        (2, "serving", 7),
    ]
    assert main["behind"] == []


@pytest.mark.parametrize(
    ("others", "behind"),
    [
        ([version(1)], {"worker": 2, "state": "serving", "version": 1, "digest": DIGESTS[1]}),
        ([], {"worker": 2, "state": "opening", "version": None, "digest": None}),
    ],
)
def test_a_worker_that_is_behind_is_named(others, behind):
    slow = state_of(others, state="serving" if others else "opening")
    (main,) = merged(sets_of(state_of([version(1, "draining"), version(2)])), sets_of(slow))["sets"]
    assert (main["version"], main["digest"], main["behind"]) == (2, DIGESTS[2], [behind])
    (main,) = merged(sets_of(slow), sets_of(state_of([version(2)])))["sets"]
    assert (main["version"], main["behind"]) == (2, [behind | {"worker": 1}])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({}, {}, ("closed", None, True)),
        ({"state": "open", "error": "refused"}, {}, ("open", "refused", True)),
        ({"state": "half_open", "error": "a"}, {"state": "open", "error": "b"}, ("open", "b", True)),
        ({}, {"was_open": False, "error": "no model"}, ("closed", "no model", False)),
    ],
)
def test_a_component_is_as_bad_as_in_the_worst_worker(one, other, expected):
    bodies = [sets_of(state_of([version(1)], [component(**of, successes=2)])) for of in (one, other)]
    (main,) = merged(*bodies)["sets"]
    (found,) = main["components"]
    error = found["error"] and found["error"]["message"]
    assert (found["state"], error, found["was_open"]) == expected
    assert (found["successes"], found["excused"]) == (4, 2)


def test_components_of_one_name_stay_apart():
    body = sets_of(state_of([version(1)], [component(successes=1), component(successes=5)]))
    (main,) = merged(body, body)["sets"]
    assert [each["successes"] for each in main["components"]] == [2, 10]


def test_what_any_worker_says_is_said_once():
    first = state_of([version(1)], degraded=[PROBLEM], last=rejected("2026-01-01T00:00:01+00:00"))
    second = state_of([version(1)], degraded=[PROBLEM], last=rejected("2026-01-01T00:00:02+00:00"), good=True)
    old = state_of([version(1, "draining", 1)], name="old", state="removed")
    body = merged(sets_of(first, pages="http://x/pages/"), sets_of(second, removed=[old]))
    (main,) = body["sets"]
    assert (main["degraded"], main["last_known_good"]) == ([PROBLEM], True)
    assert main["last_attempt"]["at"].endswith(":02+00:00")
    assert [each["set"] for each in body["removed"]] == ["old"]
    assert body["pages"] == "http://x/pages/"


def test_the_engine_s_file_has_its_latest_outcome():
    def body(at):
        attempt = at and {"outcome": "unchanged", "trigger": "signal", "at": at, "seconds": 0.0}
        return sets_of() | {"engine": {"file": "engine.yaml", "last_attempt": attempt}}

    assert merged(body(None), body(None))["engine"]["last_attempt"] is None
    latest = merged(body("2026-01-01T00:00:02+00:00"), body("2026-01-01T00:00:01+00:00"), body(None))
    assert latest["engine"]["last_attempt"]["at"].endswith(":02+00:00")


def test_status_shows_each_worker_and_who_is_behind():
    @define
    class Worker:
        number: int
        state: str
        load: int
        pid: int = 2**22 + 1  # there is no such process
        since: datetime = datetime(2026, 1, 1, tzinfo=UTC)

    workers = worker_bodies([Worker(1, "ready", 3), Worker(2, "draining", 1)])
    assert workers[0]["memory_bytes"] is None
    bodies = {1: sets_of(state_of([version(2)])), 2: sets_of(state_of([version(1)]))}
    text = describe_sets(merge_sets(bodies, [workers[0] | {"memory_bytes": 200 << 20}, workers[1]]))
    assert "main: worker 2 serves version 1" in text
    lines = [line.split() for line in text.splitlines()]
    head = next(line for line in lines if line[:1] == ["WORKER"])
    assert head == ["WORKER", "PROCESS", "STATE", "CALLS", "MEMORY", "SINCE"]
    row = next(line for line in lines if line[:3] == ["1", str(Worker(1, "", 0).pid), "ready"])
    assert row[3:6] == ["3", "200", "MiB"]


def test_a_version_has_the_calls_of_all():
    bodies = {1: version(1, "retired") | {"config": {}}, 3: version(1, "draining", 2) | {"config": {}}}
    assert (merge_version(bodies)["calls"], merge_version(bodies)["state"]) == (2, "draining")
    drained = {1: {"set": "main", "version": 1, "calls": 2}, 2: {"set": "main", "version": 1, "calls": 3}}
    assert merge_drained(drained) == {"set": "main", "version": 1, "calls": 5}


def test_several_workers_are_paused_once_all_are():
    bodies = {1: {"status": "paused", "calls": 2}, 2: {"status": "paused", "calls": 3}}
    assert merge_paused(bodies) == {"status": "paused", "calls": 5}
    bodies[2]["status"] = "ready"
    assert merge_paused(bodies) == {"status": "ready", "calls": 5}


@pytest.mark.parametrize(
    ("states", "status", "expected"),
    [
        ({1: "ready", 2: "starting"}, 200, "ready"),
        ({1: "draining", 2: "ready"}, 200, "ready"),
        ({1: "paused", 2: "draining"}, 503, "paused"),
        ({1: "draining", 2: "starting"}, 503, "starting"),
        ({1: "draining", 2: "draining"}, 503, "draining"),
        ({}, 503, "starting"),
    ],
)
def test_readiness(states, status, expected):
    found, body = merge_readiness(states)
    assert (found, body["status"]) == (status, expected)
    assert [each["worker"] for each in body["workers"]] == list(states)


def test_calls_and_a_call():
    first = {"calls": [{"call_id": "b", "since": "2026-01-01T00:00:01+00:00"}]}
    second = {"calls": [{"call_id": "a", "since": "2026-01-01T00:00:00.5+00:00"}]}
    assert [call["call_id"] for call in merge_calls({1: first, 2: second})["calls"]] == ["a", "b"]
    assert "unanswered" not in merge_calls({1: first})
    up, over = {"state": "hearing", "ended": None}, {"state": "ended", "ended": "2026-01-01T00:00:00+00:00"}
    later = over | {"ended": "2026-01-01T00:00:01+00:00"}
    hanging_up = over | {"ended": None}
    assert merge_call({1: over, 2: up})["worker"] == 2
    assert merge_call({1: over, 2: later})["worker"] == 2
    assert merge_call({1: hanging_up, 2: later})["worker"] == 1, "its line is not closed yet"
    assert merge_call({}) is None


@pytest.mark.parametrize(
    ("answers", "status", "said"),
    [
        ({1: (200, {"outcome": "applied"}), 2: (200, {"outcome": "applied"})}, 200, None),
        ({1: (200, {}), 2: (422, {"errors": [PROBLEM]})}, 422, "worker 2: no model"),
        ({1: (412, {"error": "it is 3"}), 2: (422, {"errors": [PROBLEM]})}, 412, "worker 1: it is 3"),
        ({1: (422, {"errors": [PROBLEM]})}, 422, "no model"),
    ],
)
def test_a_change_that_any_worker_rejects_is_rejected_and_the_problems_name_it(answers, status, said):
    found, body = merge_changes(answers)
    assert found == status
    assert (body.get("error") or next((each["message"] for each in body.get("errors", ())), None)) == said
