"""Adapters by role and name.

An adapter is found by its entry point: the group is the role (`voicepipe.stt`, `voicepipe.llm`, `voicepipe.tts`), the
name is the one in the YAML, the object is an `Adapter`. Validation, logs, documentation and the JSON Schema are all
made from that object. Importing it imports no vendor's library: its `open` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from attrs import field, frozen

from voicepipe.components.protocols import Component, Resources
from voicepipe.components.values import Secret
from voicepipe.errors import Problem
from voicepipe.roles import ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint


Options = TypeVar("Options")


@frozen
class Adapter(Generic[Options]):
    """An adapter: makes components of a name and options in the YAML."""

    name: str
    """The name in the YAML: `vosk`."""
    role: Role
    """The role of its components; a vendor with two roles registers two adapters of one name."""
    options: type[Options]
    """A frozen attrs class: each field's type, default, validator and docstring are the documentation."""
    open: Callable[[Options, Resources], AbstractAsyncContextManager[Component]]
    """Opens a component: once for all calls that use these options, not once a call."""
    check: Callable[[Options], Iterable[Problem]] = field(default=lambda _options: ())
    """Yields the problems of the options and of the files they name, without opening anything; quick, may read files.

    A problem with an option as such has `Location("")` and the option's name for a path: the SDK knows its place."""
    check_installed: Callable[[], Iterable[Problem]] = field(default=lambda: ())
    """Yields what this machine lacks for the adapter, usually its library, for any options. It is reported beside
    mistakes in the options, which keep `check` from being asked; `check` need not repeat it."""
    model: Callable[[Options], object] = field(default=lambda options: getattr(options, "model", None))
    """The model or voice that logs and records show; None: there is none."""

    def label(self, options: Options) -> str | None:
        """Returns the model or voice as logs may show it: a value from `${...}` is shown as that."""
        model = self.model(options)
        return model.source if isinstance(model, Secret) else None if model is None else str(model)


@frozen
class BrokenAdapter:
    """An installed adapter that can't be used, and the reason."""

    role: Role
    """The role of its components."""
    name: str
    """The name in the YAML."""
    reason: str
    """The reason why the import failed."""
    package: str | None = None
    """The distribution that it comes from, with its version; None if it was not installed as one."""

    @property
    def message(self) -> str:
        """The message for a file that names the adapter."""
        return f'the {self.role} adapter "{self.name}" is installed, but can\'t be used: {self.reason}'

    @property
    def hint(self) -> str:
        """The hint for a file that names the adapter."""
        return f"fix, update or uninstall {f'the package {self.package}' if self.package else 'its package'}"


class Registry:
    """The adapters that configurations may name."""

    def __init__(self, adapters: Iterable[Adapter[Any]] = (), broken: Iterable[BrokenAdapter] = ()) -> None:
        self._adapters: dict[tuple[Role, str], Adapter[Any]] = {}
        self.broken: tuple[BrokenAdapter, ...] = tuple(broken)
        """The installed adapters that can't be used, for the message to a file that names one."""
        for adapter in adapters:
            self.add(adapter)

    def add(self, adapter: Adapter[Any]) -> None:
        """Adds an adapter; raises `ValueError` if the role has one of that name."""
        key = adapter.role, adapter.name
        if self._adapters.setdefault(key, adapter) is not adapter:
            raise ValueError(f"two {adapter.role} adapters are called {adapter.name!r}")

    def get(self, role: Role, name: str) -> Adapter[Any] | None:
        """Returns the adapter of a role and name; None if there is none."""
        return self._adapters.get((role, name))

    def names(self, role: Role | None = None) -> tuple[str, ...]:
        """Returns the names of adapters for a role, or for all roles; sorted, without duplicates."""
        return tuple(sorted({name for adapter_role, name in self._adapters if role in {None, adapter_role}}))

    def __iter__(self) -> Iterator[Adapter[Any]]:
        return iter(self._adapters.values())


@cache
def installed() -> Registry:
    """Returns all adapters of the installed packages; they are imported once for each process.

    One that can't be imported, that is no `Adapter` of its role and name, or whose name two packages claim, is
    left out and among `broken`: the defect of one package does not concern users of the others.
    """
    adapters: dict[tuple[Role, str], Adapter[Any]] = {}
    broken: dict[tuple[Role, str], BrokenAdapter] = {}
    for role in ROLES:
        for entry_point in _entry_points(role):
            key = role, entry_point.name
            adapter = _loaded(entry_point, role)
            if isinstance(adapter, Adapter) and adapters.setdefault(key, adapter) is not adapter:
                adapter = _broken(entry_point, role, "another package has an adapter of that name")
            if isinstance(adapter, BrokenAdapter):
                broken.setdefault(key, adapter)
    return Registry((adapter for key, adapter in adapters.items() if key not in broken), broken.values())


def _entry_points(role: Role) -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - 15 ms, for those who open pipelines

    return entry_points(group=f"voicepipe.{role}")


def _loaded(entry_point: EntryPoint, role: Role) -> Adapter[Any] | BrokenAdapter:
    try:
        adapter = entry_point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's module: it may raise anything
        message = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        return _broken(entry_point, role, f"{entry_point.value} can't be imported: {message[:200]}")
    if not isinstance(adapter, Adapter) or (adapter.role, adapter.name) != (role, entry_point.name):
        return _broken(entry_point, role, f"{entry_point.value} is not the {role} adapter {entry_point.name!r}")
    return adapter


def _broken(entry_point: EntryPoint, role: Role, reason: str) -> BrokenAdapter:
    package = f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else None
    return BrokenAdapter(role, entry_point.name, reason, package)
