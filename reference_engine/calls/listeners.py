"""Opens the listeners that the engine's file names, on which calls arrive."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from reference_engine.errors import EngineError, hint_for_address
from voicepipe import ListenerContext, installed_transports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Container

    from reference_engine.calls.answering import CallAnswerer
    from reference_engine.settings.settings import EngineSettings, ListenerSettings
    from voicepipe import ConnectionSource, Listener


@asynccontextmanager
async def open_listeners(
    settings: EngineSettings,
    answerer: CallAnswerer,
    listeners: dict[str, Listener],
    *,
    names: Container[str] | None = None,
    connections_of: Callable[[str], ConnectionSource] | None = None,
) -> AsyncIterator[None]:
    """Binds listeners of the settings and enters each in `listeners` by its name; they do not serve yet.

    Args:
        settings: the settings.
        answerer: is told of refused connections and of crashes.
        listeners: gets the listeners.
        names: the names of the listeners to open; None: all.
        connections_of: returns where the connections of a listener come from; None: listeners bind their addresses.

    Raises:
        EngineError: an address is taken, or is not an address of this machine.

    """
    async with AsyncExitStack() as opened:
        for listener in settings.listeners:
            if names is not None and listener.name not in names:
                continue
            transport = installed_transports().get(listener.type)
            if transport is None:
                raise EngineError(f"the transport {listener.type!r} of listener {listener.name!r} is not installed")
            host, port = listener.address or ("", 0)
            context = ListenerContext(
                name=listener.name,
                max_connections=listener.max_connections,
                ipv6_only=":" in host and port in ipv4_ports(settings),
                on_refused=answerer.log_refused_connection,
                on_crash=answerer.log_crash,
                connections=None if connections_of is None else connections_of(listener.name),
            )
            try:
                listeners[listener.name] = await opened.enter_async_context(transport.open(listener.options, context))
            except OSError as error:
                hint = "give another address with --audiosocket"
                if settings.path is not None:
                    hint = f"give listener {listener.name!r} another address in {settings.path}"
                why = hint_for_address(error, port)
                raise EngineError("; ".join(filter(None, (error.strerror or str(error), why, hint)))) from error
        yield


def ipv4_ports(settings: EngineSettings) -> frozenset[int]:
    """Returns the ports that something of the engine's file binds on IPv4; a `::` on one of them must be IPv6 only."""
    bound = [listener.address for listener in settings.listeners if listener.address is not None]
    bound += [(asked.host, asked.port) for asked in (settings.admin, settings.agent_check) if asked is not None]
    return frozenset(port for host, port in bound if ":" not in host)


def listeners_to_hand_to(settings: EngineSettings) -> tuple[ListenerSettings, ...]:
    """Returns the listeners whose connections a supervisor can accept, to hand them to any worker."""
    transports = installed_transports()
    return tuple(
        listener
        for listener in settings.listeners
        if (transport := transports.get(listener.type)) is not None
        and transport.takes_connections
        and listener.address is not None
    )
