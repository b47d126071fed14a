"""Serves the control application on its Unix socket and, where that is configured, over TCP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from reference_engine.control.access import AccessControl
from reference_engine.control.http import serve_handed_http, serve_http

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from starlette.types import ASGIApp

    from reference_engine.settings.settings import CurrentSettings
    from reference_engine.upkeep.shortage import Shortage
    from voicepipe import ConnectionSource


async def serve_handed_control(app: ASGIApp, source: ConnectionSource) -> None:
    """Answers requests on connections to the Unix socket that a supervisor has handed over, until it is cancelled."""
    await serve_handed_http(app, source, has_clients=False)


async def serve_handed_admin(app: ASGIApp, source: ConnectionSource, current: CurrentSettings) -> None:
    """Answers those requests on handed connections over TCP that `AccessControl` allows, until it is cancelled."""
    await serve_handed_http(AccessControl(app, current), source, has_clients=True)


async def serve_control(app: ASGIApp, listening: socket.socket, shortage: Shortage) -> None:
    """Answers requests on a listening socket until it is cancelled; the socket stays the caller's to close."""
    await serve_http(app, listening, shortage.report)


async def serve_admin(
    app: ASGIApp, listening: Sequence[socket.socket], current: CurrentSettings, shortage: Shortage
) -> None:
    """Answers the requests on TCP sockets that `AccessControl` allows, until it is cancelled."""
    async with trio.open_nursery() as nursery:
        for listener in listening:
            nursery.start_soon(serve_http, AccessControl(app, current), listener, shortage.report)
