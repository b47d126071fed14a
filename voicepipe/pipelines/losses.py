"""Refuses a change that loses a component: it works now, and its successor of the same name does not open."""

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
    """Returns the problems of the new version, those of lost components first.

    A component is lost if it works now, and the new version has one of the same name, in the same role of the same
    pipeline, that could not be opened; for instance, a key was changed during an outage of the provider.

    Args:
        serving: the version that serves.
        new: the configuration of the new version.
        lease: the components of the new version.
        may_lose: whether losses are accepted.

    Raises:
        ComponentsUnavailable: a component would be lost, and that is not accepted.

    """
    lost = losses(serving, new, lease.problems)
    if lost and not may_lose:
        raise ComponentsUnavailable((_as_rejection(problem, serving.version) for problem in lost), new.files)
    others = (problem for problem in lease.degraded if problem not in lost)
    worked = (evolve(problem, message=f"{problem.message}; it worked in version {serving.version}") for problem in lost)
    return (*worked, *others)


def losses(serving: Snapshot, new: SetConfig, problems: Mapping[str, Problem]) -> tuple[Problem, ...]:
    """Returns the problems of lost components, from the problems of all components that could not be opened, by key."""
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
