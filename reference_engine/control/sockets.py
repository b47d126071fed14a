"""Opens the sockets of the control: a Unix socket for this user only, and a TCP port if one is configured."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from reference_engine.control.unix_socket import claimed_unix_socket
from reference_engine.errors import EngineError, hint_for_address
from reference_engine.settings.settings import default_control_path
from voicepipe import listen_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from reference_engine.settings.settings import AdminSettings, AgentCheckSettings

BACKLOG = 128
"""The most connections that wait to be accepted."""


def claimed_socket(path: Path) -> AbstractContextManager[socket.socket]:
    """Opens a Unix socket that listens at `path` and that only this user can connect to; removes its file on exit.

    Raises:
        EngineError: another engine listens there, or no socket can be created there.

    """
    return claimed_unix_socket(path, is_default=path == default_control_path())


@contextmanager
def claimed_port(
    settings: AdminSettings | AgentCheckSettings, *, key: str = "admin", ipv6_only: bool = False
) -> Iterator[Sequence[socket.socket]]:
    """Opens TCP sockets, one for each address of the host, and closes them on exit; `key` of the file asks for them.

    Raises:
        EngineError: it can't listen there.

    """
    sockets = bind_port(settings, key=key, ipv6_only=ipv6_only)
    with ExitStack() as opened:
        for listening in sockets:
            opened.enter_context(listening)
        yield sockets


def bind_port(
    settings: AdminSettings | AgentCheckSettings, *, key: str = "admin", ipv6_only: bool = False
) -> list[socket.socket]:
    """Opens TCP sockets as `claimed_port` does, which are the caller's to close.

    Raises:
        EngineError: it can't listen there.

    """
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        return listen_on(addresses, backlog=BACKLOG, ipv6_only=ipv6_only)
    except OSError as error:
        raise _cannot_listen(settings, key, error) from error


def address_of(listening: socket.socket) -> dict[str, str | int]:
    """Returns the address that a TCP socket is bound to."""
    host, port, *_ = listening.getsockname()
    return {"host": host, "port": port}


def _cannot_listen(settings: AdminSettings | AgentCheckSettings, key: str, error: OSError) -> EngineError:
    why = "; ".join(filter(None, (error.strerror or str(error), hint_for_address(error, settings.port))))
    what = "control" if key == "admin" else key
    return EngineError(
        f"can't listen for {what} at {settings.host} port {settings.port}: {why}; give another in `{key}`"
    )
