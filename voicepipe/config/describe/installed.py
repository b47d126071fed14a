"""The components that are installed, as data: what their options are, and how each is written in YAML.

All of it is read off the adapters' options classes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import attrs
import yaml
from attrs import frozen

from voicepipe.components.labels import ROLES, Role
from voicepipe.components.registry import installed
from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.describe.fields import UNIONS, Described, DescribedField, as_data, describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.components.registry import Adapter, Registry

_EXAMPLE = re.compile(r"(?:for example|such as) `(?P<value>[^`]+)`")


@frozen
class InstalledComponent:
    """One installed component."""

    role: Role
    """The role that it is for."""
    name: str
    """The name in the YAML."""
    package: str | None
    """The distribution that it comes from; None if it was not installed as one."""
    version: str | None
    """That distribution's version."""
    described: Described
    """The description of its options class."""

    @property
    def example(self) -> str:
        """YAML that uses it, to be put into a pipeline: its type, the options that it must have, at least one."""
        fields = self.described.fields
        shown = [one for one in fields if one.required] or list(fields[:1])
        options = {one.name: example_of(one, self.name) for one in shown}
        written: str = yaml.safe_dump({self.role: {"type": self.name, **options}}, sort_keys=False, allow_unicode=True)
        return written

    def as_data(self) -> dict[str, Any]:
        """All of it for JSON."""
        return {
            "role": self.role,
            "name": self.name,
            "summary": self.described.summary,
            "package": self.package,
            "version": self.version,
            "options": [option_as_data(one) for one in self.described.fields],
            "example": self.example,
        }


def installed_components(registry: Registry | None = None) -> tuple[InstalledComponent, ...]:
    """The components of a registry, or all that are installed, by role and name."""
    packages = dict(_packages())
    adapters = sorted(installed() if registry is None else registry, key=lambda one: (ROLES.index(one.role), one.name))
    return tuple(_entry(one, *packages.get((one.role, one.name), (None, None))) for one in adapters)


def _entry(adapter: Adapter[Any], package: str | None, version: str | None) -> InstalledComponent:
    return InstalledComponent(adapter.role, adapter.name, package, version, describe(adapter.options))


def _packages() -> Iterator[tuple[tuple[Role, str], tuple[str, str]]]:
    for role in ROLES:
        for entry_point in entry_points(group=f"voicepipe.{role}"):
            if entry_point.dist is not None:
                yield (role, entry_point.name), (entry_point.dist.name, entry_point.dist.version)


def option_as_data(one: DescribedField) -> dict[str, Any]:
    """An option for JSON; `options` are the keys below it, if it is a mapping with keys of its own."""
    data = {
        "name": one.name,
        "type": one.kind,
        "required": one.required,
        "default": None if one.required else as_data(one.default),
        "unit": one.unit,
        "bounds": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in attrs.asdict(one.bounds, recurse=False).items()
            if value not in {None, ()}
        },
        "description": one.doc,
    }
    if section := one.section:
        data["options"] = [option_as_data(inner) for inner in section.fields]
    return data


def example_of(one: DescribedField, adapter: str) -> Any:
    """A value that an option may have: its default, what its docstring has for an example, or what fits its type."""
    if not one.required:
        return as_data(one.default)
    if one.type in {str, File, CaFile, Directory} and (said := _EXAMPLE.search(one.doc)):
        return said["value"]
    if one.bounds.choices:
        return one.bounds.choices[0]
    return _fitting(one.type, one, adapter)


def _fitting(kind: Any, one: DescribedField, adapter: str) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    value: Any
    if kind is Secret:
        value = f"${{{re.sub(r'[^A-Z0-9]', '_', f'{adapter}_{one.name}'.upper())}}}"
    elif kind in {File, CaFile, Directory}:
        value = f"path/to/{one.name}"
    elif kind is bool:
        value = True
    elif kind in {int, float}:
        least = one.bounds.minimum
        value = kind(1 if least is None else least)
    elif origin is Literal:
        value = inside[0]
    elif origin in UNIONS:
        value = _fitting(next(part for part in inside if part is not NoneType), one, adapter)
    elif origin is tuple:
        value = [_fitting(inside[0], one, adapter)]
    elif origin in {Mapping, dict}:
        value = {}
    elif attrs.has(kind):
        value = {inner.name: example_of(inner, adapter) for inner in describe(kind).fields if inner.required}
    else:
        value = f"your-{one.name}"
    return value
