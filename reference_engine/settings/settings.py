"""The sections and keys of `engine.yaml`.

These classes are its documentation too: each field's name, type, default, limits and docstring.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import Attribute, define, field, frozen
from attrs.validators import ge, gt, le, min_len, optional

from reference_engine.settings.fleet_settings import FleetSettings
from reference_engine.settings.keep_settings import KeepSettings
from reference_engine.settings.notify_settings import NotifyTarget
from reference_engine.settings.otel_settings import OtelSettings
from reference_engine.settings.records_place import RecordsPlace
from voicepipe import AudioSocketSettings, ConfigDocument, Secret, host_field, port_field

Readers: TypeAlias = Literal["owner", "group"]
"""The users who may read the file of records."""

MAIN = "main"
"""The name of the set if the engine is started with a set's own file."""

MOST_WORKERS = 256
"""The most workers of an engine."""

_DAY_S = 24 * 60 * 60


def default_control_path() -> Path:
    """Returns `$XDG_RUNTIME_DIR/voicepipe/control.sock`, or `/tmp/voicepipe-<uid>/control.sock` without it."""
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "voicepipe" / "control.sock"
    return Path(f"/tmp/voicepipe-{os.geteuid()}/control.sock")  # noqa: S108 - made 0700, and its owner is checked


def _is_number_of_workers(_instance: Any, _field: Attribute[Any], workers: int | str) -> None:
    if isinstance(workers, int) and not 1 <= workers <= MOST_WORKERS:
        raise ValueError(f"must be from 1 to {MOST_WORKERS}, or auto")


@frozen
class ListenerKeys:
    """A listener, on which calls arrive; its other keys are the options of its transport."""

    set: str
    """The pipeline set that answers its calls. The only setting of a listener that needs no restart."""
    name: str = ""
    """The listener's name in logs; each has its own. Left out, it is the `type`."""
    type: str = "audiosocket"
    """The transport, which the other keys are options of."""
    max_connections: int = field(default=500, validator=ge(1))
    """The most connections at once; further ones are refused, in the transport's way."""
    require_announced: bool = False
    """Whether only calls are taken that `POST /calls/{call}` announced, by the transport's ID, such as AudioSocket's
    UUID."""


@frozen
class ListenerSettings(ListenerKeys):
    """A listener and the options of its transport."""

    options: Any = None
    """The options, an instance of the transport's class; None: those of `audiosocket` by default."""

    def __attrs_post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.type)
        if self.options is None:
            object.__setattr__(self, "options", AudioSocketSettings())

    @property
    def address(self) -> tuple[str, int] | None:
        """The host and port that it binds to; None if its transport has no such options."""
        host, port = getattr(self.options, "host", None), getattr(self.options, "port", None)
        return (host, port) if isinstance(host, str) and isinstance(port, int) else None


@frozen
class AdminSettings:
    """The control over TCP, besides its Unix socket."""

    host: str = host_field()
    """The address to bind to; an address beyond this machine needs a `token`."""
    port: int = port_field(9093)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""
    token: Secret | None = field(default=None, validator=optional(min_len(16)))
    """The token that requests must have, as `Authorization: Bearer ...`; probes and metrics need none."""


@frozen
class AgentCheckSettings:
    """The port where a load balancer asks how many calls the engine can take: HAProxy's `agent-check`."""

    host: str = host_field()
    """The address to bind to. The answer is the state and the free part of `max_calls`; there is no password."""
    port: int = port_field(9099)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""


@frozen(kw_only=True)
class EngineFile:
    """The engine's file."""

    pipeline_sets: Mapping[str, Path] = field(validator=min_len(1))
    """The pipeline sets by name, each with its YAML file."""
    listeners: tuple[ListenerSettings, ...] = field(validator=min_len(1))
    """The listeners on which calls arrive, each with the set that answers."""
    control: Path | None = None
    """The control's Unix socket; by default `$XDG_RUNTIME_DIR/voicepipe/control.sock`."""
    admin: AdminSettings | None = None
    """The control over TCP; null: only the Unix socket."""
    agent_check: AgentCheckSettings | None = None
    """Answers HAProxy's `agent-check`, over TCP. A change needs a restart. Null: it does not."""
    max_calls: int | None = field(default=None, validator=optional(ge(1)))
    """The most calls at once, over all sets; further ones are refused as `when_full` says. Null: no limit."""
    workers: int | Literal["auto"] = field(default=1, validator=_is_number_of_workers)
    """The number of processes that serve calls, each on a core of its own; `auto`: one for each core that the engine
    may use. 1: a single process does everything. A change needs a restart."""
    hang_s: float = field(default=10.0, validator=[ge(1), le(600)])
    """The time after which a worker that does not answer is killed and started again, in s. A change needs a restart.
    """
    watch: bool = False
    """Reloads when a file changes, without a request."""
    drain_s: float = field(default=20.0, validator=[ge(0), le(_DAY_S)])
    """The time that calls may go on after a stop signal, in s; in the last 5 s the agent says goodbye. Keep it 10 s
    below
    the time after which the supervisor kills the engine (Kubernetes: 30 s), because closing may take those 10 s."""
    drain_deadline_s: float | None = field(default=None, validator=optional([gt(0), le(_DAY_S)]))
    """The time after a reload at which calls on an older version get a goodbye, in s. Null: they may go on."""
    max_live_versions: int = field(default=10, validator=ge(2))
    """The most versions of a set at once, serving or held by calls; at the limit a reload is rejected."""
    records: str | None = None
    """The place of calls' records: `sqlite:///PATH` or `postgresql://...` for a database, or the path of a file, to
    which a JSON line is appended for each call that has ended. A change needs a restart. Null: no records are kept."""
    records_readable_by: Readers = "owner"
    """Who may read that file, or SQLite's, and its directory, if the engine creates them: the user that it runs as, or
    its group too. A change needs a restart."""
    keep: KeepSettings = field(default=KeepSettings())
    """For how long a database keeps calls, their recordings and what was said; older ones are deleted."""
    records_spool: Path | None = None
    """The directory where records wait while the database is away. A change needs a restart. Null: beside SQLite's
    file, or for PostgreSQL `$STATE_DIRECTORY/records-spool`, or without that `~/.local/state/voicepipe/records-spool`.
    """
    name: str = ""
    """The engine's name in records and figures, by which several engines of one database are told apart. A change needs
    a restart. Left out, it is the name of the machine."""
    notify: tuple[NotifyTarget, ...] = ()
    """The addresses that get webhooks, each with the events that it gets."""
    otel: OtelSettings | None = None
    """Traces by OpenTelemetry; null: there are none. A change needs a restart."""
    notify_spool: Path | None = None
    """The file of webhooks that wait to be delivered. A change needs a restart. Null: `$STATE_DIRECTORY/webhooks.db`,
    or without that `~/.local/state/voicepipe/webhooks.db`."""
    fleet: FleetSettings | None = None
    """The fleet that the engine belongs to: all engines of it serve the same versions, which `reference-engine publish`
    has them agree on. A change needs a restart. Null: it belongs to none."""
    last_known_good: Path | None = None
    """The directory for the last versions with copies of their files: a start with invalid files serves these, and a
    rollback may go to versions from before a restart. Null: it fails, and there are none."""


@frozen(kw_only=True)
class EngineSettings(EngineFile):
    """The settings of an engine: those of its file, or default ones that serve a set's own file."""

    path: Path | None = field(default=None, eq=False)
    """The engine's file, as it was given; None: the engine was started with a set's own file."""
    control: Path = field(factory=default_control_path)
    """The control's Unix socket."""
    records: RecordsPlace | None = None  # type: ignore[assignment] # what the text names
    """The place of calls' records; None: no records are kept."""
    files: tuple[Path, ...] = field(default=(), eq=False)
    """The absolute paths of the files that were read, `path` first; the watcher watches them."""
    document: ConfigDocument | None = field(default=None, eq=False, repr=False)
    """The document that was read, for the places of settings."""


def number_of_workers(settings: EngineSettings) -> int:
    """Returns the number of processes that serve calls; `auto` is the number of cores that this process may use."""
    if settings.workers != "auto":
        return settings.workers
    return min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1, MOST_WORKERS)


@define
class CurrentSettings:
    """The settings in force; the engine's parts look them up whenever they need them."""

    settings: EngineSettings
    """The settings; a reload replaces them as a whole."""

    def requires_announcement(self, listener: str) -> bool:
        """Returns True if a listener takes announced calls only."""
        return any(settings.require_announced for settings in self.settings.listeners if settings.name == listener)

    def set_of(self, listener: str) -> str | None:
        """Returns the name of the set that answers a listener's next call; None if the listener was removed."""
        return next((settings.set for settings in self.settings.listeners if settings.name == listener), None)


def settings_for_set_file(path: Path) -> EngineSettings:
    """Returns the settings of an engine that was started with a set's own file: one listener, all else by default."""
    return EngineSettings(pipeline_sets={MAIN: path}, listeners=(ListenerSettings(set=MAIN),))
