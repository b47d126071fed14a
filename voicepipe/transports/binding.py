"""Sockets that listen on all addresses of a host."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    AddressInfo: TypeAlias = tuple[int, int, int, str, tuple[int | str | bytes, ...]]
    """One result of `getaddrinfo`."""

ATTEMPTS = 20
"""The most attempts to choose a port that is free on all addresses."""

_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""Errors of an address whose protocol is disabled on this machine, as IPv6 often is in containers."""


def listen_on(infos: Iterable[AddressInfo], *, backlog: int, ipv6_only: bool = False) -> list[socket.socket]:
    """Opens sockets that listen on all of a host's addresses with one port; the caller closes them.

    `localhost` is 127.0.0.1 and ::1, and clients try either. An address whose protocol is disabled is skipped if there
    is another.

    Args:
        infos: the results of `getaddrinfo` for a host and a port; port 0 chooses a port that is free on all addresses.
        backlog: the most connections that wait to be accepted.
        ipv6_only: whether `::` leaves IPv4 to other sockets; by default it accepts both, as is usual on Linux.

    Raises:
        OSError: an address can't be bound or listened on.

    """
    addresses = list({(family, address): (family, kind, address) for family, kind, _, _, address in infos}.values())
    v6_only = ipv6_only or len(addresses) > 1
    for attempt in range(ATTEMPTS):
        try:
            return _listen(addresses, backlog, v6_only)
        except OSError as error:
            has_port = any(address[1] for _, _, address in addresses)
            if has_port or error.errno != errno.EADDRINUSE or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt raises")


def _listen(
    addresses: list[tuple[int, int, tuple[int | str | bytes, ...]]], backlog: int, v6_only: bool
) -> list[socket.socket]:
    port: int | str | bytes = 0
    missing: OSError | None = None
    with ExitStack() as opened:
        listening: list[socket.socket] = []
        for family, kind, (host, given_port, *scope) in addresses:
            try:
                bound = _bind(family, kind, (host, given_port or port, *scope), v6_only)
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                missing = error
                continue
            listening.append(opened.enter_context(bound))
            bound.listen(backlog)
            port = bound.getsockname()[1]
        if not listening and missing is not None:
            raise missing
        opened.pop_all()
    return listening


def _bind(family: int, kind: int, address: tuple[int | str | bytes, ...], v6_only: bool) -> socket.socket:
    bound = socket.socket(family, kind)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6_only)
        bound.bind(address)
        if address[1]:
            return bound
        # A socket that stops listening (shutdown(2)) loses a port that bind() chose, but keeps one given by number.
        with bound:
            return _bind(family, kind, (address[0], bound.getsockname()[1], *address[2:]), v6_only)
    except OSError:
        bound.close()
        raise
