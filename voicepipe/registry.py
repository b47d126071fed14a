"""Adapters by role and name.

An adapter is found by its entry point: the group is the role (`voicepipe.stt`, `voicepipe.llm`,
`voicepipe.tts`), the name is what the YAML says, the object is an `Adapter`. That object says all there is to
say; validation, logs, documentation and the JSON Schema are made from it. Importing it imports no vendor's
library: its `open` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_args

from attrs import field, frozen

from voicepipe.components import Component, Resources, Role
from voicepipe.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator


ROLES: tuple[Role, ...] = get_args(Role)
"""In the order in which a caller's words pass them."""

Options = TypeVar("Options")


@frozen
class Adapter(Generic[Options]):
    """What makes a component of a name in the YAML."""

    name: str
    """What stands in the YAML: `vosk`."""
    role: Role
    """What it does; a vendor with two roles registers two adapters of one name."""
    options: type[Options]
    """A frozen attrs class: each field's type, default, validator and docstring are the documentation."""
    open: Callable[[Options, Resources], AbstractAsyncContextManager[Component]]
    """Opens a component: once for all calls that use these options, not once a call."""
    check: Callable[[Options], Iterable[Problem]] = field(default=lambda _options: ())
    """Finds what is wrong with the options and the files they name, without opening anything; quick, may read files."""
    model: Callable[[Options], str | None] = field(
        default=lambda options: None if (model := getattr(options, "model", None)) is None else str(model)
    )
    """The model or voice that logs and records show."""


class Registry:
    """The adapters that configurations may name."""

    def __init__(self, adapters: Iterable[Adapter[Any]] = ()) -> None:
        self._adapters: dict[tuple[Role, str], Adapter[Any]] = {}
        for adapter in adapters:
            self.add(adapter)

    def add(self, adapter: Adapter[Any]) -> None:
        """Makes an adapter known; a second one of the same role and name is a `ValueError`."""
        key = adapter.role, adapter.name
        if self._adapters.setdefault(key, adapter) is not adapter:
            raise ValueError(f"two {adapter.role} adapters are called {adapter.name!r}")

    def get(self, role: Role, name: str) -> Adapter[Any] | None:
        """The adapter of that role and name, or None."""
        return self._adapters.get((role, name))

    def names(self, role: Role | None = None) -> tuple[str, ...]:
        """The names known for a role, or for any; sorted, each once."""
        return tuple(sorted({name for of, name in self._adapters if role in {None, of}}))

    def __iter__(self) -> Iterator[Adapter[Any]]:
        return iter(self._adapters.values())


@cache
def installed() -> Registry:
    """All adapters of the installed packages, read once a process.

    Raises:
        TypeError: an entry point leads to something that is not an `Adapter` of its role.

    """
    registry = Registry()
    for role in ROLES:
        for entry_point in entry_points(group=f"voicepipe.{role}"):
            adapter = entry_point.load()
            if not isinstance(adapter, Adapter) or (adapter.role, adapter.name) != (role, entry_point.name):
                raise TypeError(f"entry point {entry_point.value} is not the {role} adapter {entry_point.name!r}")
            registry.add(adapter)
    return registry
