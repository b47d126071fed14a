"""The installed components as data: their options, and an example of each in YAML; made from the options classes."""

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

    role: Role | Literal["transport"]
    """The role of the component, or that it is a transport."""
    name: str
    """The name in the YAML."""
    package: str | None
    """The distribution that it comes from; None if it belongs to none."""
    version: str | None
    """The version of that distribution."""
    described: Described
    """The description of its options class."""

    @property
    def example(self) -> str:
        """An example in YAML, for a pipeline: the type and all required options, or else the first option.

        For a transport it is one for the `listeners` of an engine's file.
        """
        fields = self.described.fields
        shown = [option for option in fields if option.required] or list(fields[:1])
        options = {option.name: example_of(option, self.name) for option in shown}
        shape: Any = {self.role: {"type": self.name, **options}}
        if self.role == "transport":
            shape = {"listeners": [{"set": "main", "type": self.name, **options}]}
        written: str = yaml.safe_dump(shape, sort_keys=False, allow_unicode=True)
        return written

    def as_data(self) -> dict[str, Any]:
        """Returns all fields as data for JSON."""
        return {
            "role": self.role,
            "name": self.name,
            "summary": self.described.summary,
            "package": self.package,
            "version": self.version,
            "options": [option_as_data(option) for option in self.described.fields],
            "example": self.example,
        }


def installed_components(registry: Registry | None = None) -> tuple[InstalledComponent, ...]:
    """Returns the components of a registry, or all that are installed, sorted by role and name."""
    packages = dict(_packages())
    known = installed() if registry is None else registry
    adapters = sorted(known, key=lambda adapter: (ROLES.index(adapter.role), adapter.name))
    return tuple(_entry(adapter, *packages.get((adapter.role, adapter.name), (None, None))) for adapter in adapters)


def _entry(adapter: Adapter[Any], package: str | None, version: str | None) -> InstalledComponent:
    return InstalledComponent(adapter.role, adapter.name, package, version, describe(adapter.options))


def _packages() -> Iterator[tuple[tuple[Role, str], tuple[str, str]]]:
    for role in ROLES:
        for entry_point in entry_points(group=f"voicepipe.{role}"):
            if entry_point.dist is not None:
                yield (role, entry_point.name), (entry_point.dist.name, entry_point.dist.version)


def option_as_data(option: DescribedField) -> dict[str, Any]:
    """Returns an option as data for JSON; `options` are the keys below it, if it is a section."""
    data = {
        "name": option.name,
        "type": option.kind,
        "required": option.required,
        "default": None if option.required else as_data(option.default),
        "unit": option.unit,
        "bounds": {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in attrs.asdict(option.bounds, recurse=False).items()
            if value not in {None, ()}
        },
        "description": option.doc,
    }
    if section := option.section:
        data["options"] = [option_as_data(inner) for inner in section.fields]
    return data


def example_of(option: DescribedField, adapter: str) -> Any:
    """Returns a valid value of an option: its default, the example in its docstring, or one that fits its type."""
    if not option.required:
        return as_data(option.default)
    if option.type in {str, File, CaFile, Directory} and (example := _EXAMPLE.search(option.doc)):
        return example["value"]
    if option.bounds.choices:
        return option.bounds.choices[0]
    return _fitting(option.type, option, adapter)


def _fitting(kind: Any, option: DescribedField, adapter: str) -> Any:
    origin, inside = get_origin(kind), get_args(kind)
    value: Any
    if kind is Secret:
        value = f"${{{re.sub(r'[^A-Z0-9]', '_', f'{adapter}_{option.name}'.upper())}}}"
    elif kind in {File, CaFile, Directory}:
        value = f"path/to/{option.name}"
    elif kind is bool:
        value = True
    elif kind in {int, float}:
        least = option.bounds.minimum
        value = kind(1 if least is None else least)
    elif origin is Literal:
        value = inside[0]
    elif origin in UNIONS:
        value = _fitting(next(part for part in inside if part is not NoneType), option, adapter)
    elif origin is tuple:
        value = [_fitting(inside[0], option, adapter)]
    elif origin in {Mapping, dict}:
        value = {}
    elif attrs.has(kind):
        value = {inner.name: example_of(inner, adapter) for inner in describe(kind).fields if inner.required}
    else:
        value = f"your-{option.name}"
    return value
