"""Sockets that listen on all addresses of a host."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

    Found: TypeAlias = tuple[int, int, int, str, tuple[int | str | bytes, ...]]
    """What `getaddrinfo` says of an address."""

ATTEMPTS = 20
"""How often a port is chosen that is to be free on all addresses."""

_NO_SUCH_FAMILY = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})
"""Errors of an address whose protocol this machine has switched off, as containers often have IPv6."""


def listen_on(found: Iterable[Found], *, backlog: int, ipv6_only: bool = False) -> list[socket.socket]:
    """Sockets that listen on these addresses, all on one port; for the caller to close.

    `localhost` is 127.0.0.1 and ::1, and clients try either; an address whose protocol the machine does not have is
    left out if there is another.

    Args:
        found: what `getaddrinfo` says of a host and a port; port 0 takes one that is free on all addresses.
        backlog: connections that may wait to be accepted.
        ipv6_only: whether `::` is to leave IPv4 to others. It takes both by itself, as is usual on Linux.

    Raises:
        OSError: it can't listen there.

    """
    addresses = list({(family, where): (family, kind, where) for family, kind, _, _, where in found}.values())
    apart = ipv6_only or len(addresses) > 1
    for attempt in range(ATTEMPTS):
        try:
            return _listen(addresses, backlog, apart)
        except OSError as error:
            chosen = any(where[1] for _, _, where in addresses)
            if chosen or error.errno != errno.EADDRINUSE or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt raises")


def _listen(
    addresses: list[tuple[int, int, tuple[int | str | bytes, ...]]], backlog: int, apart: bool
) -> list[socket.socket]:
    port: int | str | bytes = 0
    missing: OSError | None = None
    with ExitStack() as opened:
        listening: list[socket.socket] = []
        for family, kind, (host, wanted, *scope) in addresses:
            try:
                one = _bound(family, kind, (host, wanted or port, *scope), apart)
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                missing = error
                continue
            listening.append(opened.enter_context(one))
            one.listen(backlog)
            port = one.getsockname()[1]
        if not listening and missing is not None:
            raise missing
        opened.pop_all()
    return listening


def _bound(family: int, kind: int, where: tuple[int | str | bytes, ...], apart: bool) -> socket.socket:
    one = socket.socket(family, kind)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, apart)
        one.bind(where)
        if where[1]:
            return one
        # A port that bind() chose is lost when a socket stops listening for a while; one that it was asked for is not.
        with one:
            return _bound(family, kind, (where[0], one.getsockname()[1], *where[2:]), apart)
    except OSError:
        one.close()
        raise
