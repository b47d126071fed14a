"""Makes one JSON body of those of several workers. Pure functions; `Bodies` are the workers' answers by their numbers.

A worker's number is in the field `worker` where it helps. What should be the same in all workers, such as the version
that a set serves, is taken from the worker that is furthest ahead; workers that are behind are named beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from itertools import chain
from typing import Any, Final, TypeAlias

Body: TypeAlias = dict[str, Any]
"""A JSON object."""

Bodies: TypeAlias = Mapping[int, Body]
"""The bodies of several workers by their numbers, in their order."""

_VERSION_STATES: Final = ("retired", "draining", "serving")
_BREAKER_STATES: Final = ("closed", "half_open", "open")


def merge_calls(bodies: Bodies, unanswered: Sequence[int] = ()) -> Body:
    """Returns the calls of all workers, the oldest first, each with its worker; workers that did not answer are named.

    Args:
        bodies: of `GET /calls`.
        unanswered: the numbers of the workers that did not answer in time.

    """
    calls = [{**call, "worker": number} for number, body in bodies.items() for call in body["calls"]]
    merged: Body = {"calls": sorted(calls, key=lambda call: str(call["since"]))}
    return merged | {"unanswered": list(unanswered)} if unanswered else merged


def merge_sets(bodies: Bodies, workers: Sequence[Mapping[str, Any]], pages: str | None = None) -> Body:
    """Returns the state of all sets and workers.

    Args:
        bodies: of `GET /sets`.
        workers: what the supervisor knows of its workers.
        pages: the address of the operator's pages; None: as the workers say.

    """
    engines = [body["engine"] for body in bodies.values() if body["engine"] is not None]
    attempt = _latest(each["last_attempt"] for each in engines)
    return {
        "sets": _merge_each(bodies, "sets"),
        "removed": _merge_each(bodies, "removed"),
        "engine": {**engines[0], "last_attempt": attempt} if engines else None,
        "pages": pages or next((body["pages"] for body in bodies.values() if body["pages"]), None),
        "workers": list(workers),
    }


def _merge_each(bodies: Bodies, where: str) -> list[Body]:
    by_name: dict[str, dict[int, Body]] = {}
    for number, body in bodies.items():
        for each in body[where]:
            by_name.setdefault(each["set"], {})[number] = each
    return [_merge_set(of) for of in by_name.values()]


def _merge_set(bodies: Bodies) -> Body:
    lead = max(bodies.values(), key=lambda body: body["version"] or 0)
    serves = ("version", "digest")
    return {
        **lead,
        "degraded": _distinct(chain.from_iterable(body["degraded"] for body in bodies.values())),
        "components": _merge_components([body["components"] for body in bodies.values() if _same(lead, body, serves)]),
        "versions": _merge_versions([body["versions"] for body in bodies.values()]),
        "last_known_good": any(body["last_known_good"] for body in bodies.values()),
        "last_attempt": _latest(body["last_attempt"] for body in bodies.values()),
        "behind": [
            {"worker": number, **{name: body[name] for name in ("state", *serves)}}
            for number, body in bodies.items()
            if not _same(lead, body, serves)
        ],
    }


def _same(body: Body, other: Body, names: Iterable[str]) -> bool:
    return all(body[name] == other[name] for name in names)


def _merge_versions(versions: Iterable[Iterable[Body]]) -> list[Body]:
    merged: dict[int, Body] = {}
    for version in chain.from_iterable(versions):
        have = merged.get(version["version"])
        merged[version["version"]] = dict(version) if have is None else _together(have, version)
    return [merged[number] for number in sorted(merged)]


def _together(version: Body, other: Body) -> Body:
    """Returns a version as two workers have it: with the calls of both, and serving if it serves in one of them."""
    state = max(version["state"], other["state"], key=_VERSION_STATES.index)
    return {**version, "state": state, "calls": version["calls"] + other["calls"]}


def _merge_components(components: Iterable[Iterable[Body]]) -> list[Body]:
    by_key: dict[tuple[str, str, int], Body] = {}
    for of_worker in components:
        seen: dict[tuple[str, str], int] = {}
        for each in of_worker:  # two components of a set may have one name, so they are told apart by their order
            place = each["role"], each["name"]
            seen[place] = seen.get(place, 0) + 1
            key = (*place, seen[place])
            have = by_key.get(key)
            by_key[key] = dict(each) if have is None else _worse(have, each)
    return list(by_key.values())


def _worse(component: Body, other: Body) -> Body:
    """Returns a component as two workers have it: the worse state, with its error, and the attempts of both."""
    worse = max(component, other, key=_badness)
    sums = {name: component[name] + other[name] for name in ("successes", "failures", "excused")}
    return {**worse, "was_open": component["was_open"] and other["was_open"], **sums}


def _badness(component: Body) -> tuple[int, bool]:
    return _BREAKER_STATES.index(component["state"]), component["error"] is not None


def merge_version(bodies: Bodies) -> Body:
    """Returns one version of a set with the calls of all workers; `bodies` are those of the workers that have it."""
    first, *others = bodies.values()
    for other in others:
        first = _together(first, other)
    return first


def merge_drained(bodies: Bodies) -> Body:
    """Returns how many calls of all workers were asked to end."""
    return {**next(iter(bodies.values())), "calls": sum(body["calls"] for body in bodies.values())}


def merge_paused(bodies: Bodies) -> Body:
    """Returns whether new calls are taken, which they are if one worker takes them, and the calls of all workers."""
    paused = all(body["status"] == "paused" for body in bodies.values())
    return {
        "status": "paused" if paused else "ready",
        "calls": sum(body["calls"] for body in bodies.values()),
    }


def merge_call(bodies: Bodies) -> Body | None:
    """Returns a call with its worker: the worker that has it, else the one where it ended last; None: none knows it."""
    known = [{**body, "worker": number} for number, body in bodies.items()]
    up = [body for body in known if body["state"] != "ended"]
    return up[0] if up else max(known, key=lambda body: str(body["ended"] or "9"), default=None)


def merge_changes(answers: Mapping[int, tuple[int, Body]]) -> tuple[int, Body]:
    """Returns the status and the body of a reload or a rollback that each worker has carried out by itself.

    If any worker rejects it, that is the answer, and the problems say in which worker.
    """
    worst = max(answers, key=lambda number: (answers[number][0] != HTTPStatus.OK, -number))
    status, body = answers[worst]
    if status != HTTPStatus.OK and len(answers) > 1:
        if "error" in body:
            return status, {**body, "error": f"worker {worst}: {body['error']}"}
        if "errors" in body:
            return status, {**body, "errors": [_in_worker(worst, problem) for problem in body["errors"]]}
    return status, body


def _in_worker(number: int, problem: Body) -> Body:
    return {**problem, "message": f"worker {number}: {problem['message']}"}


def merge_readiness(states: Mapping[int, str]) -> tuple[int, Body]:
    """Returns the status and the body of `GET /readyz`: the engine is ready if a worker is.

    Args:
        states: each worker's state, `starting` for one that does not answer.

    """
    found = set(states.values())
    state = next((state for state in ("ready", "starting", "paused", "draining") if state in found), "starting")
    status = HTTPStatus.OK if state == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
    return status, {"status": state, "workers": [{"worker": each, "status": of} for each, of in states.items()]}


def _latest(attempts: Iterable[Body | None]) -> Body | None:
    return max(filter(None, attempts), key=lambda attempt: str(attempt["at"]), default=None)


def _distinct(problems: Iterable[Body]) -> list[Body]:
    found: list[Body] = []
    for problem in problems:
        if problem not in found:
            found.append(problem)
    return found
