"""Turns the process of `reference-engine run` into the supervisor of several workers.

This process has read the engine's file, with all the libraries that this takes. It binds the ports, so that an address
that can't be used is reported as in an engine of one process, and then executes the supervisor's program: the process
keeps its ID, as systemd and containers want it, and loses the libraries.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import TYPE_CHECKING

from attrs import define, field

from reference_engine.calls.listeners import ipv4_ports, listeners_to_hand_to
from reference_engine.control.sockets import bind_port
from reference_engine.errors import EngineError, hint_for_address
from reference_engine.lifecycle.early_signals import STOPS
from reference_engine.pages.operator_pages import url_of
from reference_engine.settings.settings import default_control_path, number_of_workers
from reference_engine.supervisor.plan import PlannedListener, PlannedPort, SupervisorPlan
from voicepipe import AudioSocketSettings, listen_on

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_engine.log.log import LogFormat
    from reference_engine.settings.run_options import RunOptions
    from reference_engine.settings.settings import EngineSettings, ListenerSettings

BACKLOG = 1024
"""The most connections of a listener that wait to be accepted; Asterisk gives up after 2 s."""


@define
class PreparedSupervisor:
    """A supervisor whose ports are bound."""

    plan: SupervisorPlan
    """All that it has to know."""
    _sockets: list[socket.socket] = field(repr=False)

    def become(self) -> None:
        """Executes the supervisor in this process, which does not return.

        Stop signals and SIGHUP wait until the supervisor takes them.
        """
        signal.pthread_sigmask(signal.SIG_BLOCK, {*STOPS, signal.SIGHUP})
        for bound in self._sockets:
            bound.set_inheritable(True)
        arguments = [*self.plan.python, "-m", "reference_engine.supervisor", str(self.plan.write()), self.plan.file]
        os.execv(arguments[0], arguments)  # noqa: S606 - no shell is wanted


def prepare_supervisor(
    options: RunOptions, settings: EngineSettings, log_format: LogFormat, *, colours: bool
) -> PreparedSupervisor:
    """Binds the listeners and the control's port, and returns the supervisor that is to accept on them.

    Raises:
        EngineError: an address can't be used, or this system can't hand connections to other processes.

    """
    if sys.platform != "linux":
        reason = "several workers need Linux, whose processes can hand sockets over and lock each other out"
        raise EngineError(f"{reason}; set `workers: 1`, or leave out --workers")
    sockets: list[socket.socket] = []
    handed = {listener.name for listener in listeners_to_hand_to(settings)}
    listeners = tuple(
        _bind_listener(listener, settings, sockets) if listener.name in handed else _unbound(listener)
        for listener in settings.listeners
    )
    admin = agent_check = None
    if settings.admin is not None:
        bound = bind_port(settings.admin, ipv6_only=settings.admin.port in ipv4_ports(settings))
        admin = _planned_port(bound, sockets)
    if settings.agent_check is not None:
        agent_check = _planned_port(bind_port(settings.agent_check, key="agent_check"), sockets)
    plan = SupervisorPlan(
        file=str(options.file),
        workers=number_of_workers(settings),
        hang_s=settings.hang_s,
        drain_s=settings.drain_s,
        max_calls=settings.max_calls,
        listeners=listeners,
        control=str(settings.control),
        is_default_control=settings.control == default_control_path(),
        admin=admin,
        agent_check=agent_check,
        pages=None if admin is None else url_of({"host": admin.host, "port": admin.port}),
        run=options.as_data(),
        log_format=log_format,
        colours=colours,
        python=_python(),
    )
    return PreparedSupervisor(plan, sockets)


def _bind_listener(
    listener: ListenerSettings, settings: EngineSettings, sockets: list[socket.socket]
) -> PlannedListener:
    host, port = listener.address or ("", 0)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        bound = listen_on(found, backlog=BACKLOG, ipv6_only=":" in host and port in ipv4_ports(settings))
    except OSError as error:
        hint = "give another address with --audiosocket"
        if settings.path is not None:
            hint = f"give listener {listener.name!r} another address in {settings.path}"
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        what = f"can't listen on {where}: {error.strerror or error}"
        raise EngineError("; ".join(filter(None, (what, hint_for_address(error, port), hint)))) from error
    for each in bound:  # accepted connections inherit the option
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sockets += bound
    bound_host, bound_port, *_ = bound[0].getsockname()
    options = listener.options
    return PlannedListener(
        name=listener.name,
        type=listener.type,
        set=listener.set,
        host=bound_host,
        port=bound_port,
        descriptors=[each.fileno() for each in bound],
        max_connections=listener.max_connections,
        closes_when_full=isinstance(options, AudioSocketSettings) and options.when_full == "close_listener",
    )


def _planned_port(bound: list[socket.socket], sockets: list[socket.socket]) -> PlannedPort:
    sockets += bound
    host, port, *_ = bound[0].getsockname()
    return PlannedPort(host=host, port=port, descriptors=[each.fileno() for each in bound])


def _unbound(listener: ListenerSettings) -> PlannedListener:
    host, port = listener.address or ("", 0)
    return PlannedListener(name=listener.name, type=listener.type, set=listener.set, host=host, port=port)


def _python() -> Sequence[str]:
    """Returns the interpreter for the supervisor and its workers, which import what this process has imported.

    `-P` keeps the working directory out of the path, unless this process was started with it there.
    """
    cwd = os.getcwd()  # noqa: PTH109 - as Python writes it in sys.path
    return [sys.executable] if sys.path[:1] in ([""], [cwd]) else [sys.executable, "-P"]
