"""The keys of a fleet in `engine.yaml`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, matches_re, min_len

from voicepipe import CaFile, Secret

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
"""Names of fleets and engines, which stand in etcd's keys."""


def _are_servers(_instance: Any, _attribute: Any, servers: tuple[str, ...]) -> None:
    for server in servers:
        try:
            parts = urlsplit(server)
            valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
            valid = valid and parts.path in {"", "/"} and not parts.query and not parts.username
        except ValueError:
            valid = False
        if not valid or not server.isascii() or not server.isprintable() or " " in server:
            raise ValueError(f"{server!r} is no address of a server, such as http://127.0.0.1:2379")


@frozen(kw_only=True)
class EtcdSettings:
    """Etcd's servers, and how to log in there."""

    etcd: tuple[str, ...] = field(validator=and_(min_len(1), _are_servers))
    """The addresses of etcd's servers, `http://` or `https://`, one or several of one cluster: if one does not answer,
    the next is asked."""
    user: str | None = None
    """The user of etcd; null: etcd knows no users."""
    password: Secret | None = None
    """The user's password."""
    ca_file: CaFile | None = None
    """A PEM file of the CA certificates to trust; null: those that this machine trusts."""
    cert_file: Path | None = None
    """A PEM file with a certificate by which etcd knows this client, with `key_file`."""
    key_file: Path | None = None
    """The certificate's key; null: it is in the `cert_file`."""
    timeout_s: float = field(default=3.0, validator=and_(gt(0), le(60)))
    """The longest wait for an answer of one server, in s."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The addresses."""
        return self.etcd


@frozen(kw_only=True)
class FleetSettings(EtcdSettings):
    """The fleet that an engine belongs to. A change of any key needs a restart."""

    name: str = field(validator=matches_re(NAME))
    """The fleet's name, under which its keys stand in etcd."""
    sets: tuple[str, ...] = ()
    """The pipeline sets that the fleet decides on; empty: all. Others are served from this engine's own files."""
    ttl_s: int = field(default=10, validator=and_(ge(3), le(300)))
    """The time after which an engine that is not heard of any more is no longer waited for, in s."""
    directory: Path | None = None
    """The directory that keeps what the fleet has decided on last, for a start without etcd. Null:
    `$STATE_DIRECTORY/fleet`, or without that `~/.local/state/voicepipe/fleet`."""
