"""What `engine.yaml` may say.

These classes are its documentation: a field's name, type, default, bounds and docstring.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import Attribute, define, field, frozen
from attrs.validators import ge, gt, le, min_len, optional

from voicepipe import ConfigDocument, Secret

Readers: TypeAlias = Literal["owner", "group"]
"""Who may read what is kept of calls."""

MAIN = "main"
"""The name of the set that a set's own file makes."""

_DAY_S = 24 * 60 * 60
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9.-]{1,253}")


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address; a name other than `localhost` may lead anywhere."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_host(_instance: Any, _field: Attribute[str], host: str) -> None:
    try:
        ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise ValueError("must be an IP address or a host name, without a port") from None


def _is_port(default: int) -> Any:
    return field(default=default, validator=[ge(0), le(65_535)])


def default_control_path() -> Path:
    """`$XDG_RUNTIME_DIR/voicepipe/control.sock`, or `/tmp/voicepipe-<uid>/control.sock` where that is not set."""
    if runtime := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(runtime) / "voicepipe" / "control.sock"
    return Path(f"/tmp/voicepipe-{os.geteuid()}/control.sock")  # noqa: S108 - made 0700, and its owner is checked


@frozen
class ListenerSettings:
    """Where calls come in."""

    set: str
    """The pipeline set that answers them. The one setting of a listener that needs no restart."""
    name: str = "audiosocket"
    """What logs call it; each listener has its own."""
    type: Literal["audiosocket"] = "audiosocket"
    """How they come: Asterisk's AudioSocket, over TCP."""
    host: str = field(default="127.0.0.1", validator=_is_host)
    """Address to bind to. AudioSocket knows no password: beyond this machine, let a firewall admit only Asterisk."""
    port: int = _is_port(9092)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""
    rate: Literal[8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000] = 8000
    """Hz of audio of kind 0x10, and of calls until their first audio, which then says it."""
    max_connections: int = field(default=500, validator=ge(1))
    """Connections at once; further ones are refused, as `when_full` says."""
    when_full: Literal["close_listener", "error", "reset", "hang_up"] = "close_listener"
    """How Asterisk is told that a call is not taken, at `max_connections` or `max_calls`. `close_listener`: nobody
    listens until there is room, so `TryExec` says FAILED and `Dial` CHANUNAVAIL, as without an engine; a call that has
    connected already gets an `error`. `error`, `reset`: the connection breaks, so `TryExec` says FAILED. `hang_up`: the
    dialplan goes on as after a conversation, which is all that a bare `AudioSocket()` survives."""


@frozen
class AdminSettings:
    """The control's HTTP over TCP, besides its Unix socket."""

    host: str = field(default="127.0.0.1", validator=_is_host)
    """Address to bind to; beyond this machine, `token` is required."""
    port: int = _is_port(9093)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""
    token: Secret | None = field(default=None, validator=optional(min_len(16)))
    """What requests that change something must bear, as `Authorization: Bearer ...`."""


@frozen(kw_only=True)
class EngineFile:
    """The engine's file."""

    pipeline_sets: Mapping[str, Path] = field(validator=min_len(1))
    """Pipeline sets by name, each with its YAML file."""
    listeners: tuple[ListenerSettings, ...] = field(validator=min_len(1))
    """Where calls come in, and which set answers them."""
    control: Path | None = None
    """The control's Unix socket; left out, it is `$XDG_RUNTIME_DIR/voicepipe/control.sock`."""
    admin: AdminSettings | None = None
    """The control over TCP; left out, there is only the Unix socket."""
    max_calls: int | None = field(default=None, validator=optional(ge(1)))
    """Calls at once, over all sets; further ones are refused, as each listener's `when_full` says. Null: no limit."""
    watch: bool = False
    """Whether files are reloaded when they change, without anybody asking."""
    drain_s: float = field(default=20.0, validator=[ge(0), le(_DAY_S)])
    """How long calls that are up may go on when the engine is stopped, in s; for the last 5 they are told goodbye. Keep
    it 10 s below what whoever stops it grants (Kubernetes: 30 s), which closing may take."""
    drain_deadline_s: float | None = field(default=None, validator=optional([gt(0), le(_DAY_S)]))
    """How long after a reload calls that hold an older version are told goodbye, in s. Null: they stay as they like."""
    max_live_versions: int = field(default=10, validator=ge(2))
    """Versions of a set at once, the serving one and those that calls hold; at the limit a reload is rejected."""
    records: Path | None = None
    """A file that gets a JSON line for each call that has ended: all that was said, what it took, what failed. Needs a
    restart. Null: no records are kept."""
    records_readable_by: Readers = "owner"
    """Who may read that file, and its directory, if they are made: the account that the engine runs as, or its group as
    well. Needs a restart."""
    last_known_good: Path | None = None
    """A directory where the files that serve are kept; a start with bad files serves them. Null: it fails instead."""


@frozen(kw_only=True)
class EngineSettings(EngineFile):
    """What an engine runs with: its file, or what a set's own file stands for."""

    path: Path | None = field(default=None, eq=False)
    """The engine's file, as the user named it; None: there is only a set's own file."""
    control: Path = field(factory=default_control_path)
    """The control's Unix socket."""
    files: tuple[Path, ...] = field(default=(), eq=False)
    """Absolute paths of what was read for it, `path` first: what a watcher watches."""
    document: ConfigDocument | None = field(default=None, eq=False, repr=False)
    """The file as it was read, for saying where a setting stands."""


@define
class CurrentSettings:
    """Holds the settings that the engine runs with now; its parts look them up when they need them."""

    settings: EngineSettings
    """A reload replaces them as a whole."""

    def set_of(self, listener: str) -> str | None:
        """The name of the set that answers a listener's next call; None if the listener is no longer there."""
        return next((settings.set for settings in self.settings.listeners if settings.name == listener), None)


def settings_for_set_file(path: Path) -> EngineSettings:
    """What an engine runs with that was given a set's own file: one listener for it, everything else as by default."""
    return EngineSettings(pipeline_sets={MAIN: path}, listeners=(ListenerSettings(set=MAIN),))
