"""The installed transports by name.

A transport is found by its entry point in the group `voicepipe.transports`: the name is the one in the YAML, the object
is a `TransportType`. Importing it imports no library that only a listener needs: its `open` does.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import attrs
from attrs import frozen

from voicepipe.transports.listener import TransportType

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from importlib.metadata import EntryPoint

GROUP = "voicepipe.transports"
"""The group of the entry points."""

KEYS = frozenset({"set", "name", "type", "max_connections"})
"""The keys that every listener of an engine's file has beside its options."""


@frozen
class BrokenTransport:
    """An installed transport that can't be used, and the reason."""

    name: str
    """The name in the YAML."""
    reason: str
    """The reason why the import failed."""
    package: str | None = None
    """The distribution that it comes from, with its version; None if it was not installed as one."""

    @property
    def message(self) -> str:
        """The message for a file that names the transport."""
        return f'the transport "{self.name}" is installed, but can\'t be used: {self.reason}'

    @property
    def hint(self) -> str:
        """The hint for a file that names the transport."""
        return f"fix, update or uninstall {f'the package {self.package}' if self.package else 'its package'}"


class TransportRegistry:
    """The transports that listeners may be of."""

    def __init__(self, types: Iterable[TransportType[Any]] = (), broken: Iterable[BrokenTransport] = ()) -> None:
        """Takes the transports; raises `ValueError` if two have one name."""
        self._types: dict[str, TransportType[Any]] = {}
        self.broken: tuple[BrokenTransport, ...] = tuple(broken)
        """The installed transports that can't be used, for the message to a file that names one."""
        for transport in types:
            if self._types.setdefault(transport.name, transport) is not transport:
                raise ValueError(f"two transports are called {transport.name!r}")

    def get(self, name: str) -> TransportType[Any] | None:
        """Returns the transport of a name; None if there is none."""
        return self._types.get(name)

    def names(self) -> tuple[str, ...]:
        """Returns the names of all transports, sorted."""
        return tuple(sorted(self._types))

    def __iter__(self) -> Iterator[TransportType[Any]]:
        return iter(self._types.values())


@cache
def installed_transports() -> TransportRegistry:
    """Returns all transports of the installed packages; they are imported once for each process.

    One that can't be imported, that is no `TransportType` of its name, or whose name two packages claim, is left out
    and among `broken`: the defect of one package does not concern users of the others.
    """
    types: dict[str, TransportType[Any]] = {}
    broken: dict[str, BrokenTransport] = {}
    for entry_point in _entry_points():
        loaded = _loaded(entry_point)
        if isinstance(loaded, TransportType) and types.setdefault(entry_point.name, loaded) is not loaded:
            loaded = _broken(entry_point, "another package has a transport of that name")
        if isinstance(loaded, BrokenTransport):
            broken.setdefault(entry_point.name, loaded)
    return TransportRegistry((types[name] for name in sorted(types) if name not in broken), broken.values())


def _entry_points() -> Iterable[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - 15 ms, for those who open listeners

    return entry_points(group=GROUP)


def _loaded(entry_point: EntryPoint) -> TransportType[Any] | BrokenTransport:
    try:
        loaded = entry_point.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001 - somebody else's module: it may raise anything
        message = " ".join(f"{type(error).__name__}: {error}".split()).removesuffix(":")
        return _broken(entry_point, f"{entry_point.value} can't be imported: {message[:200]}")
    if not isinstance(loaded, TransportType) or loaded.name != entry_point.name:
        return _broken(entry_point, f"{entry_point.value} is not the transport {entry_point.name!r}")
    if not attrs.has(loaded.options):
        return _broken(entry_point, f"{loaded.options!r} is no attrs class")
    if taken := KEYS & set(attrs.fields_dict(loaded.options)):
        return _broken(entry_point, f"it has an option {min(taken)!r}, which is a key of every listener")
    return loaded


def _broken(entry_point: EntryPoint, reason: str) -> BrokenTransport:
    package = f"{entry_point.dist.name} {entry_point.dist.version}" if entry_point.dist else None
    return BrokenTransport(entry_point.name, reason, package)
