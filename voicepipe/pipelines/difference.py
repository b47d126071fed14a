"""Compares two effective configurations, from files or from a running engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, frozen

from voicepipe.components.labels import ROLES
from voicepipe.config.describe.effective import Shown
from voicepipe.config.identity import sha256_of
from voicepipe.documents import path_of

if TYPE_CHECKING:
    from collections.abc import Iterator


@frozen
class Component:
    """A component of a configuration."""

    role: str
    """Its role."""
    name: str
    """The name under `components:`, or else the adapter's."""
    adapter: str
    """The name of its adapter."""
    model: str | None
    """The model or voice, if it has one."""
    pipelines: tuple[str, ...] = field(eq=False)
    """The names of the reachable pipelines that use it."""

    def __str__(self) -> str:
        return f"{self.role} {self.name}" + (f" ({self.model})" if self.model else "")


@frozen
class Change:
    """A setting with another value; None stands for a missing one."""

    path: str
    """The path of the setting in its pipeline: `turns.end_of_turn_ms`, `tts.voice`, or `tts[1].voice` in a list."""
    old: Any
    """Plain data, secrets hidden."""
    new: Any
    """Plain data, secrets hidden: equal to `old` where only a secret's value is different."""


@frozen
class Difference:
    """The difference between two configurations, down to single settings."""

    opens: tuple[Component, ...]
    """Components of the new configuration only."""
    keeps: tuple[Component, ...]
    """Components of both configurations."""
    closes: tuple[Component, ...]
    """Components of the old configuration only, which close after the last call that uses them."""
    added: tuple[str, ...]
    """The names of pipelines that only the new configuration serves."""
    changed: Mapping[str, tuple[Change, ...]]
    """The changed settings of pipelines that both serve."""
    removed: tuple[str, ...]
    """The names of pipelines that only the old configuration serves."""
    unused: tuple[str, ...]
    """The names of changed pipelines that neither serves."""
    settings: tuple[Change, ...]
    """The changed settings of the whole file: the active pipeline, routes, streaming, limits and logging."""
    hidden: bool = False
    """Whether the digests differ although nothing that is shown does."""

    def __bool__(self) -> bool:
        parts = (self.opens, self.closes, self.added, self.changed, self.removed, self.unused, self.settings)
        return self.hidden or any(parts)

    def as_data(self) -> dict[str, Any]:
        """Returns all fields as data for JSON."""
        return {"equal": not self, **asdict(self)}


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """Compares two effective configurations; secrets are compared if both come from this process."""
    before, after = _components(old), _components(new)
    served_before, served_after = _reachable(old), _reachable(new)
    was, now = old["pipelines"], new["pipelines"]
    changes = {name: tuple(_pipeline_changes(was[name], now[name])) for name in now if name in was}
    others = [name for name in {**now, **was} if name not in {*served_before, *served_after}]
    return Difference(
        opens=tuple(component for key, component in after.items() if key not in before),
        keeps=tuple(component for key, component in after.items() if key in before),
        closes=tuple(component for key, component in before.items() if key not in after),
        added=tuple(name for name in served_after if name not in served_before),
        changed={name: changes[name] for name in served_after if name in served_before and changes[name]},
        removed=tuple(name for name in served_before if name not in served_after),
        unused=tuple(name for name in others if name not in changes or changes[name]),
        settings=tuple(_changes("", _settings(old), _settings(new))),
    )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "pipelines"}


def _reachable(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the names of the pipelines that calls can get, in the file's order."""
    targets = {config["active_pipeline"]}
    for route in config["routes"]:
        targets |= {route["pipeline"], *route["split"]}
    pipelines = config["pipelines"].items()
    return tuple(name for name, pipeline in pipelines if name in targets or pipeline["selectable"])


def _components(config: Mapping[str, Any]) -> dict[str, Component]:
    """Returns the components of reachable pipelines, by identity."""
    components: dict[str, Component] = {}
    users: dict[str, dict[str, None]] = {}
    for pipeline in _reachable(config):
        for role in ROLES:
            for component in config["pipelines"][pipeline][role]:
                key = _identity(role, component)
                users.setdefault(key, {})[pipeline] = None
                name, adapter, model = component["name"], component["adapter"], component["model"]
                components[key] = Component(role, name, adapter, model, tuple(users[key]))
    return components


def _identity(role: str, component: Mapping[str, Any]) -> str:
    return sha256_of([role, component["adapter"], _revealed(component["options"])])


def _revealed(value: Any) -> Any:
    """Returns a value with its secrets, if this process has them."""
    if isinstance(value, Mapping):
        return {key: _revealed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revealed(item) for item in value]
    return [str(value), value.hidden] if isinstance(value, Shown) else value


def _pipeline_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for role in ROLES:
        yield from _role_changes(role, old[role], new[role])
    own = [{key: value for key, value in pipeline.items() if key not in ROLES} for pipeline in (old, new)]
    yield from _changes("", *own)


def _role_changes(role: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    several = len(old) > 1 or len(new) > 1
    for index in range(max(len(old), len(new))):
        path = f"{role}[{index}]" if several else role
        was, now = (items[index] if index < len(items) else None for items in (old, new))
        if was is None or now is None or was["adapter"] != now["adapter"]:
            yield Change(path, _called(was), _called(now))
            continue
        if was["name"] != now["name"]:
            yield Change(path, _called(was), _called(now))
        yield from _changes(path, was["options"], now["options"])


def _called(component: Mapping[str, Any] | None) -> str | None:
    if component is None:
        return None
    adapter = f", adapter {component['adapter']}" if component["name"] != component["adapter"] else ""
    return f"{component['name']}{adapter}"


def _changes(path: str, old: Any, new: Any) -> Iterator[Change]:
    """Yields the settings at and below a path that differ."""
    if _is_section(old) and _is_section(new):
        for key in {**old, **new}:
            step = path_of((key,))
            yield from _changes(f"{path}.{step}" if path else step, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and any(map(_is_section, (*old, *new))):
        for index in range(max(len(old), len(new))):
            was, now = (items[index] if index < len(items) else None for items in (old, new))
            yield from _changes(f"{path}[{index}]", was, now)
    elif _revealed(old) != _revealed(new):
        yield Change(path, old, new)


def _is_section(value: Any) -> bool:
    """Whether a value is a mapping of settings; a file or a directory is a single value."""
    return isinstance(value, Mapping) and value.keys() not in ({"file", "sha256"}, {"directory", "fingerprint"})
