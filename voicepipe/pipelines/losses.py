"""What a change would take from callers: components that work, and whose successors of the same name do not open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from voicepipe.components.labels import ROLES
from voicepipe.errors import ComponentsUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from voicepipe.config.settings import ComponentSettings, SetConfig
    from voicepipe.errors import Problem
    from voicepipe.pipelines.lease import Lease
    from voicepipe.pipelines.snapshot import OpenedComponent, Snapshot


def check_losses(serving: Snapshot, new: SetConfig, lease: Lease, *, may_lose: bool) -> tuple[Problem, ...]:
    """What the new version will lack; what works now and would be lost comes first, and says so.

    Lost is a component that works, and that the new version has under the same name in the same role of the same
    pipeline, but could not open: a key that was changed while the provider had a hiccup, for instance.

    Args:
        serving: the version that would be replaced.
        new: what is to replace it.
        lease: what was opened for that.
        may_lose: whether somebody has said that it is to be done all the same.

    Raises:
        ComponentsUnavailable: something would be lost.

    """
    lost = losses(serving, new, lease.problems)
    if lost and not may_lose:
        raise ComponentsUnavailable((_as_rejection(problem, serving.version) for problem in lost), new.files)
    others = (problem for problem in lease.degraded if problem not in lost)
    worked = (evolve(problem, message=f"{problem.message}; it worked in version {serving.version}") for problem in lost)
    return (*worked, *others)


def losses(serving: Snapshot, new: SetConfig, problems: Mapping[str, Problem]) -> tuple[Problem, ...]:
    """Why the components could not be opened that would be lost, of all those that could not, by key."""
    if not problems:
        return ()
    keys = dict.fromkeys(
        key
        for name in new.reachable
        if name in serving.pipelines
        for role in ROLES
        for key in _lost(serving.pipelines[name].role(role), new.pipelines[name].role(role), problems)
    )
    return tuple(problems[key] for key in keys)


def _as_rejection(problem: Problem, version: int) -> Problem:
    advice = "reload again when it opens, for nothing does by itself, or with --force to serve without it until it does"
    hint = f"{problem.hint}; or {advice}" if problem.hint else advice
    return evolve(problem, message=f"{problem.message}; it works in version {version}, which serves on", hint=hint)


def _lost(
    old: Iterable[OpenedComponent], new: Iterable[ComponentSettings], problems: Mapping[str, Problem]
) -> Iterator[str]:
    working = {component.settings.name for component in old if component.breaker.state == "closed"}
    opened = {component.name for component in new if component.key not in problems}
    return (component.key for component in new if component.name in working - opened)
