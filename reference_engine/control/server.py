"""Serves the control application with hypercorn's trio worker, in the engine's own nursery."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING

from hypercorn.config import Config
from hypercorn.trio import serve

from reference_engine.control.access import Guarded

if TYPE_CHECKING:
    import socket

    from starlette.types import ASGIApp

    from reference_engine.settings import InForce


async def serve_control(app: ASGIApp, listening: socket.socket) -> None:
    """Answers requests on a listening socket until it is cancelled; the socket stays the caller's to close."""
    config = Config()
    config.bind = [f"fd://{os.dup(listening.fileno())}"]  # hypercorn closes what it is given
    config.errorlog = logging.getLogger("hypercorn.error")
    config.loglevel = "WARNING"
    config.include_server_header = False
    # hypercorn shields what it sends from cancellation: a client that does not read could keep the engine from
    # stopping, so none gets more answers than fit into the kernel's buffer
    config.keep_alive_max_requests = 1
    await serve(app, config, mode="asgi")  # type: ignore[arg-type] # its ASGI types and starlette's differ in name


async def serve_admin(app: ASGIApp, listening: socket.socket, in_force: InForce) -> None:
    """The same over TCP, where anybody may knock."""
    await serve_control(Guarded(app, in_force), listening)
