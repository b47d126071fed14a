"""What a reload changes, as a value: worked out before anything is opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from voicepipe.errors import Problem
from voicepipe.registry import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.config.settings import ComponentSettings, SetConfig


@frozen
class Plan:
    """The difference between two versions of a pipeline set."""

    opened: tuple[str, ...] = ()
    """Components that the new version opens: `tts espeak`."""
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
    """The pipeline that answered before; empty for the first version."""
    degraded: tuple[Problem, ...] = ()
    """Alternatives in failover lists that could not be opened."""

    def __str__(self) -> str:
        active = f"{self.was_active} -> {self.active}" if self.was_active not in {"", self.active} else self.active
        parts = [f"active pipeline {active}"]
        differences = ("added", "changed", "removed", "opened", "kept", "closed")
        parts.extend(f"{what}: {', '.join(names)}" for what in differences if (names := getattr(self, what)))
        if self.degraded:
            parts.append(f"degraded: {'; '.join(map(str, self.degraded))}")
        return "; ".join(parts)


def reachable_components(config: SetConfig) -> Iterator[ComponentSettings]:
    """The components of all pipelines that calls can get, each key once, in the file's order."""
    seen = set()
    for name in config.reachable:
        for role in ROLES:
            for component in config.pipelines[name].role(role):
                if component.key not in seen:
                    seen.add(component.key)
                    yield component


def plan_change(old: SetConfig | None, new: SetConfig) -> Plan:
    """What replacing one configuration by another changes; `old` is None for the first."""
    before = {component.key: component for component in reachable_components(old)} if old else {}
    after = {component.key: component for component in reachable_components(new)}
    answered = {name: old.pipelines[name] for name in old.reachable} if old else {}
    answering = {name: new.pipelines[name] for name in new.reachable}
    return Plan(
        opened=tuple(_label(component) for key, component in after.items() if key not in before),
        kept=tuple(_label(component) for key, component in after.items() if key in before),
        closed=tuple(_label(component) for key, component in before.items() if key not in after),
        added=tuple(name for name in answering if name not in answered),
        changed=tuple(name for name, pipeline in answering.items() if name in answered and answered[name] != pipeline),
        removed=tuple(name for name in answered if name not in answering),
        active=new.active_pipeline,
        was_active=old.active_pipeline if old else "",
    )


def _label(component: ComponentSettings) -> str:
    return f"{component.role} {component.name}"
