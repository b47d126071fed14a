"""What a fleet keeps in etcd, as JSON objects. Pure.

Keys that a document has besides are passed over, so that engines of several versions understand one another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from attrs import asdict, field, frozen
from cattrs import Converter

T = TypeVar("T")

_converter = Converter()


@frozen(kw_only=True)
class FleetVersion:
    """A version of a set, for the whole fleet."""

    version: int
    """Its number, which no other version of the set has."""
    id: str
    """The proposal that it comes from."""
    bundle: str
    """The SHA-256 of its files."""
    digest: str = ""
    """The digest of its configuration, as whoever published it has computed it."""
    at: str = ""
    """The time of the proposal, in UTC (ISO 8601)."""
    by: str = ""
    """Who has proposed it: a user and a machine."""
    rolled_back_to: int | None = None
    """The earlier version whose files it has; None: they were published anew."""
    at_least: int = 100
    """The share of engines that had to be ready, in percent."""
    without: tuple[str, ...] = ()
    """The engines that were not ready when it was committed."""


@frozen(kw_only=True)
class CanaryVersion:
    """A version that some engines serve first."""

    version: FleetVersion
    """The version."""
    engines: tuple[str, ...]
    """The names of these engines."""


@frozen(kw_only=True)
class SetHead:
    """What is decided for a set."""

    version: FleetVersion | None = None
    """The version that engines serve; None: only a canary has been published so far."""
    canary: CanaryVersion | None = None
    """The version that some of them serve instead."""

    def version_of(self, engine: str) -> FleetVersion | None:
        """Returns the version that an engine is to serve; None if none is decided for it."""
        if self.canary is not None and engine in self.canary.engines:
            return self.canary.version
        return self.version


@frozen(kw_only=True)
class Proposal:
    """A version that engines are to prepare."""

    version: FleetVersion
    """The version; its number and its proposal's ID are those that it will have."""
    engines: tuple[str, ...] | None = None
    """The engines of a canary; None: all."""

    def is_for(self, engine: str) -> bool:
        """Returns True if an engine is to prepare it."""
        return self.engines is None or engine in self.engines


@frozen(kw_only=True)
class Withdrawal:
    """A proposal that was withdrawn."""

    version: FleetVersion
    """What was proposed."""
    reasons: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """Why, by the name of the engine; the empty name is for no engine's."""


@frozen(kw_only=True)
class EngineReport:
    """What an engine says of a proposal."""

    id: str
    """The proposal."""
    state: Literal["preparing", "ready", "cannot"]
    """`ready`: everything that is new is open, and it waits for the decision; `cannot`: it can't serve it."""
    problems: tuple[str, ...] = ()
    """Why it can't."""
    digest: str = ""
    """The digest that it has computed."""


@frozen(kw_only=True)
class EngineMember:
    """An engine that is up."""

    engine: str
    """Its name."""
    instance: str
    """Another one for each process."""
    software: str = ""
    """The version of voicepipe that it runs."""
    since: str = ""
    """The time since when, in UTC (ISO 8601)."""
    sets: tuple[str, ...] = ()
    """The pipeline sets that the fleet decides on there."""
    highest: Mapping[str, int] = field(factory=dict)
    """The highest number that it has used for each set before it joined."""


@frozen(kw_only=True)
class SetStatus:
    """What an engine serves of a set."""

    version: int | None = None
    """The number of the fleet's version; None: none of the fleet's."""
    id: str = ""
    """The proposal that the version comes from."""
    digest: str = ""
    """The digest of the configuration."""
    behind: str = ""
    """Why it does not serve what is decided; empty if it does."""
    highest: int = 0
    """The number under which the engine itself serves it."""


@frozen(kw_only=True)
class EngineStatus:
    """What an engine serves."""

    engine: str
    """Its name."""
    calls: int = 0
    """The calls that are up."""
    state: str = "ready"
    """`starting`, `ready` or `draining`."""
    sets: Mapping[str, SetStatus] = field(factory=dict)
    """Its pipeline sets, by name."""


def encoded(document: Any) -> bytes:
    """Returns a document as it is kept."""
    return json.dumps(asdict(document), separators=(",", ":"), ensure_ascii=False).encode()


def decoded(content: bytes, kind: type[T]) -> T | None:
    """Returns a document; None if the content is none of that kind, as when somebody else has written it."""
    try:
        data = json.loads(content)
        return _converter.structure(data, kind) if isinstance(data, dict) else None
    except Exception:  # noqa: BLE001 - whatever cattrs raises for what does not fit
        return None
