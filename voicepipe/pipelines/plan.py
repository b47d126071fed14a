"""The plan of a reload: the changes, computed before anything is opened."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from voicepipe.components.labels import ROLES
from voicepipe.components.values import Secret
from voicepipe.config.settings import ComponentSettings, PipelineSettings
from voicepipe.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from voicepipe.config.settings import SetConfig


@frozen
class Plan:
    """The difference between two versions of a pipeline set."""

    opened: tuple[str, ...] = ()
    """Components that the new version opens: `tts espeak (en-us)`."""
    kept: tuple[str, ...] = ()
    """Components that both versions share, untouched."""
    closed: tuple[str, ...] = ()
    """Components that close when the last call of the old version ends."""
    added: tuple[str, ...] = ()
    """Names of pipelines that are new, or that calls could not get before."""
    changed: tuple[str, ...] = ()
    """Names of pipelines that are different for the next call."""
    removed: tuple[str, ...] = ()
    """Names of pipelines that no new call gets."""
    active: str = ""
    """The pipeline that answers from now on."""
    was_active: str = ""
    """The pipeline that served_before before; empty for the first version."""
    degraded: tuple[Problem, ...] = ()
    """The problems of components that could not be opened, and are retried, and of apologies that are not recorded.

    Components that worked in the version before come first."""
    secrets_changed: tuple[str, ...] = ()
    """Settings whose text in the file is unchanged, but whose secret has another value: components
    (`tts espeak (en-us)`), and other settings by their path (`pipelines.sales.greeting`)."""
    unserved: tuple[str, ...] = ()
    """Names of pipelines that have changed, and that no call gets."""
    settings: tuple[str, ...] = ()
    """Changed sections of the whole file: `routes`, `redact`, `logging`; `written` if only the digest has changed, by
    how the file is written, or by something that is not used, such as a tool that no pipeline lists."""

    def __str__(self) -> str:
        active = f"{self.was_active} -> {self.active}" if self.was_active not in {"", self.active} else self.active
        parts = [f"active pipeline {active}"]
        differences = ("added", "changed", "removed", "opened", "kept", "closed")
        parts.extend(f"{what}: {', '.join(names)}" for what in differences if (names := getattr(self, what)))
        if self.settings:
            parts.append(f"settings changed: {', '.join(self.settings)}")
        if self.unserved:
            parts.append(f"changed, but no call gets them: {', '.join(self.unserved)}")
        if self.secrets_changed:
            parts.append(f"secrets changed: {', '.join(self.secrets_changed)}")
        if self.degraded:
            parts.append(f"degraded: {'; '.join(map(str, self.degraded))}")
        return "; ".join(parts)


def reachable_components(config: SetConfig) -> Iterator[ComponentSettings]:
    """Yields the components of all reachable pipelines, each key once, in the file's order."""
    seen = set()
    for name in config.reachable:
        for role in ROLES:
            for component in config.pipelines[name].role(role):
                if component.key not in seen:
                    seen.add(component.key)
                    yield component


OWN_FIELDS = tuple(field.name for field in attrs.fields(PipelineSettings) if field.name != "declared")
"""The fields that a pipeline has of its own; `declared` has tools of the whole file."""


def plan_change(old: SetConfig | None, new: SetConfig, *, unopened: Collection[str] = ()) -> Plan:
    """Returns the plan of replacing one configuration by another.

    Args:
        old: the configuration that is served; None for the first version.
        new: the configuration to serve.
        unopened: keys of the old configuration's components that have not been open: they are opened, not kept.

    """
    components = reachable_components(old) if old else ()
    before = {component.key: component for component in components if component.key not in unopened}
    after = {component.key: component for component in reachable_components(new)}
    served_before = {name: old.pipelines[name] for name in old.reachable} if old else {}
    served_after = {name: new.pipelines[name] for name in new.reachable}
    changed = tuple(
        name for name, pipeline in served_after.items() if name in served_before and served_before[name] != pipeline
    )
    plan = Plan(
        opened=tuple(_label(component) for key, component in after.items() if key not in before),
        kept=tuple(_label(component) for key, component in after.items() if key in before),
        closed=tuple(_label(component) for key, component in before.items() if key not in after),
        added=tuple(name for name in served_after if name not in served_before),
        changed=changed,
        removed=tuple(name for name in served_before if name not in served_after),
        active=new.active_pipeline,
        was_active=old.active_pipeline if old else "",
        secrets_changed=tuple(dict.fromkeys(_secrets_changed(old, new, changed))) if old else (),
        unserved=tuple(_unserved(old, new)) if old else (),
        settings=tuple(name for name in ("routes", "redact", "logging") if getattr(old, name) != getattr(new, name))
        if old
        else (),
    )
    if old is None or old.digest == new.digest or _has_a_difference(plan):
        return plan
    return attrs.evolve(plan, settings=("written",))


def _has_a_difference(plan: Plan) -> bool:
    differences = (plan.opened, plan.closed, plan.added, plan.changed, plan.removed, plan.unserved, plan.settings)
    return any(differences) or plan.active != plan.was_active


def _unserved(old: SetConfig, new: SetConfig) -> Iterator[str]:
    """Yields the names of changed, new and removed pipelines that no call gets, before or after."""
    served = {*old.reachable, *new.reachable}
    for name in {**new.pipelines, **old.pipelines}:
        if name not in served and old.pipelines.get(name) != new.pipelines.get(name):
            yield name


def _secrets_changed(old: SetConfig, new: SetConfig, changed: tuple[str, ...]) -> Iterator[str]:
    """Yields the settings of changed pipelines that differ only by the value of a secret."""
    for before, after in ((old.pipelines[name], new.pipelines[name]) for name in changed):
        for role in ROLES:
            for was, now in zip(before.role(role), after.role(role), strict=False):
                if was.key != now.key and any(_revalued("", was.options, now.options)):
                    yield _label(now)
        time.sleep(0)  # this may run in a thread beside calls, which get the interpreter in between
        for name in OWN_FIELDS:
            yield from _revalued(f"pipelines.{after.name}.{name}", getattr(before, name), getattr(after, name))
        yield from _revalued("tools", before.declared, after.declared)


def _revalued(path: str, old: Any, new: Any) -> Iterator[str]:
    """Paths of the secrets that are written as before, and have another value."""
    if old == new:  # as most are: to walk through all settings of 250 pipelines takes 90 ms, and calls are up
        return
    match old, new:
        case Secret(), Secret():
            if old.source == new.source and old != new:
                yield path
        case tuple(), tuple():
            for index, (was, now) in enumerate(zip(old, new, strict=False)):
                yield from _revalued(f"{path}[{index}]", was, now)
        case Mapping(), Mapping():
            for key in filter(old.__contains__, new):
                yield from _revalued(f"{path}.{key}", old[key], new[key])
        case _ if attrs.has(type(new)) and type(new) is type(old) is not ComponentSettings:
            for field in attrs.fields(type(new)):
                yield from _revalued(f"{path}.{field.name}", getattr(old, field.name), getattr(new, field.name))


def _label(component: ComponentSettings) -> str:
    model = f" ({component.model})" if component.model else ""
    return f"{component.role} {component.name}{model}"
