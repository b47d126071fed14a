"""What is different between two effective configurations, wherever each of them comes from."""

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
    """A component as a configuration has it."""

    role: str
    """What it is used as."""
    name: str
    """As the operator knows it."""
    adapter: str
    """Its adapter's name."""
    model: str | None
    """The model or voice, if it has one."""
    pipelines: tuple[str, ...] = field(eq=False)
    """Names of the pipelines that use it, of those that calls can get."""

    def __str__(self) -> str:
        return f"{self.role} {self.name}" + (f" ({self.model})" if self.model else "")


@frozen
class Change:
    """A setting that has another value; None stands for one that isn't there as well."""

    path: str
    """Which, from where its section begins: `turns.end_of_turn_ms`, `tts.voice`, or `tts[1].voice` among several."""
    old: Any
    """Plain data, secrets hidden."""
    new: Any
    """Plain data, secrets hidden: equal to `old` where only a secret's value is different."""


@frozen
class Difference:
    """What replacing one configuration by another changes; as a `Plan`, but told in settings."""

    opens: tuple[Component, ...]
    """Components that the new one has and the old one has not."""
    keeps: tuple[Component, ...]
    """Components that both have."""
    closes: tuple[Component, ...]
    """Components that the new one has no more; they close with the last call that uses them."""
    added: tuple[str, ...]
    """Names of pipelines that calls can get now, and could not before."""
    changed: Mapping[str, tuple[Change, ...]]
    """Pipelines that are different for the next call, and in what."""
    removed: tuple[str, ...]
    """Names of pipelines that no new call gets."""
    unused: tuple[str, ...]
    """Names of pipelines that are different, but that no call gets, before or after."""
    settings: tuple[Change, ...]
    """Settings of the whole file: the active pipeline, routes, streaming, limits and logging."""
    hidden: bool = False
    """Whether the digests say that there is more, in what is not shown."""

    def __bool__(self) -> bool:
        parts = (self.opens, self.closes, self.added, self.changed, self.removed, self.unused, self.settings)
        return self.hidden or any(parts)

    def as_data(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {"equal": not self, **asdict(self)}


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> Difference:
    """What is different between two effective configurations; secrets count if both come from this process."""
    before, after = _components(old), _components(new)
    answered, answering = _reachable(old), _reachable(new)
    was, now = old["pipelines"], new["pipelines"]
    changes = {name: tuple(_pipeline_changes(was[name], now[name])) for name in now if name in was}
    others = [name for name in {**now, **was} if name not in {*answered, *answering}]
    return Difference(
        opens=tuple(one for key, one in after.items() if key not in before),
        keeps=tuple(one for key, one in after.items() if key in before),
        closes=tuple(one for key, one in before.items() if key not in after),
        added=tuple(name for name in answering if name not in answered),
        changed={name: found for name in answering if name in answered and (found := changes[name])},
        removed=tuple(name for name in answered if name not in answering),
        unused=tuple(name for name in others if name not in changes or changes[name]),
        settings=tuple(_changes("", _settings(old), _settings(new))),
    )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "pipelines"}


def _reachable(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the pipelines that calls can get, in the file's order."""
    led_to = {config["active_pipeline"]}
    for route in config["routes"]:
        led_to |= {route["pipeline"], *route["split"]}
    return tuple(name for name, one in config["pipelines"].items() if name in led_to or one["selectable"])


def _components(config: Mapping[str, Any]) -> dict[str, Component]:
    """What is open for the pipelines that calls can get, by identity."""
    found: dict[str, Component] = {}
    users: dict[str, dict[str, None]] = {}
    for pipeline in _reachable(config):
        for role in ROLES:
            for one in config["pipelines"][pipeline][role]:
                key = _identity(role, one)
                users.setdefault(key, {})[pipeline] = None
                found[key] = Component(role, one["name"], one["adapter"], one["model"], tuple(users[key]))
    return found


def _identity(role: str, component: Mapping[str, Any]) -> str:
    return sha256_of([role, component["adapter"], _revealed(component["options"])])


def _revealed(value: Any) -> Any:
    """With what is hidden, where that is at hand."""
    if isinstance(value, Mapping):
        return {key: _revealed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_revealed(one) for one in value]
    return [str(value), value.hidden] if isinstance(value, Shown) else value


def _pipeline_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    for role in ROLES:
        yield from _role_changes(role, old[role], new[role])
    own = [{key: value for key, value in one.items() if key not in ROLES} for one in (old, new)]
    yield from _changes("", *own)


def _role_changes(role: str, old: list[Any], new: list[Any]) -> Iterator[Change]:
    several = len(old) > 1 or len(new) > 1
    for index in range(max(len(old), len(new))):
        path = f"{role}[{index}]" if several else role
        was, now = (one[index] if index < len(one) else None for one in (old, new))
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
    """The settings at and below a path that differ."""
    if _is_section(old) and _is_section(new):
        for key in {**old, **new}:
            step = path_of((key,))
            yield from _changes(f"{path}.{step}" if path else step, old.get(key), new.get(key))
    elif isinstance(old, list) and isinstance(new, list) and any(map(_is_section, (*old, *new))):
        for index in range(max(len(old), len(new))):
            was, now = (one[index] if index < len(one) else None for one in (old, new))
            yield from _changes(f"{path}[{index}]", was, now)
    elif _revealed(old) != _revealed(new):
        yield Change(path, old, new)


def _is_section(value: Any) -> bool:
    """Whether it is a mapping of settings: a file or a directory is one value."""
    return isinstance(value, Mapping) and value.keys() not in ({"file", "sha256"}, {"directory", "fingerprint"})
