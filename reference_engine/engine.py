"""The whole engine on one screen: runtime, pipeline sets, listeners, reloads and control, in one nursery."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from reference_engine.calls.answering import Answering
from reference_engine.calls.draining import drain_superseded
from reference_engine.calls.listeners import ipv4_ports, open_listeners
from reference_engine.calls.record_file import open_record_file
from reference_engine.control.app import Control
from reference_engine.control.server import serve_admin, serve_control
from reference_engine.control.sockets import address_of, claimed_port, claimed_socket
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.lifecycle.signals import reload_on_signals
from reference_engine.lifecycle.stopping import Stopping
from reference_engine.lifecycle.systemd import ServiceManager
from reference_engine.reloads.reloading import Reloading
from reference_engine.reports.component_log import component_log
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.reload_log import engine_reload_log, reload_log
from reference_engine.reports.sessions import SessionStore
from reference_engine.sets.sets import Sets, conceal_all
from reference_engine.settings.settings import CurrentSettings
from reference_engine.upkeep.shortage import Shortage
from reference_engine.upkeep.tasks import keep_up
from reference_engine.watch.task_switch import Switch
from voicepipe import AudioSocketListener, Collector, open_runtime, read_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
    from socket import socket

    from reference_engine.log.log import Log, LogSettings
    from reference_engine.settings.run_options import RunOptions
    from reference_engine.settings.settings import EngineSettings
    from voicepipe import PipelineSet


async def run_engine(options: RunOptions, logged: LogSettings, log: Log) -> int:
    """Serves calls until SIGTERM or SIGINT, then lets the calls that are up end.

    Args:
        options: what the command line said.
        logged: where the logging settings of each pipeline set are entered by its name, for the log to look up.
        log: for everything that happens.

    Returns:
        How many calls were cut short because a second signal came.

    Raises:
        ConfigError: the files can't be served; perhaps in an exception group.
        EngineError: an address can't be listened on; perhaps in an exception group.

    """
    stopping: Stopping | None = None
    with (
        # A SIGHUP that comes while the sets are opened waits here until they are.
        trio.open_signal_receiver(signal.SIGHUP) as hangups,
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as stops,
        ExitStack() as claimed,
        trio.CancelScope() as everything,
    ):
        settings, environ = await _load(options, stops, everything)
        current, readiness, sessions = CurrentSettings(settings), Readiness(), SessionStore()
        control = claimed.enter_context(claimed_socket(settings.control))
        admin = (
            claimed.enter_context(claimed_port(settings.admin, ipv6_only=settings.admin.port in ipv4_ports(settings)))
            if settings.admin
            else None
        )
        records = claimed.enter_context(open_record_file(settings.records, settings.records_readable_by))
        claimed.callback(records.report, log)
        log.info("engine.starting", file=str(options.file), pid=os.getpid())
        async with open_runtime(component_log(log)) as runtime, trio.open_nursery() as upkeep:
            watches, listeners = Switch(settings.watch), dict[str, AudioSocketListener]()
            sets = Sets(
                current,
                env_file=options.env_file,
                runtime=runtime,
                nursery=upkeep,
                watches=watches,
                logging=logged.of_set,
                log=log,
            )
            metrics = Metrics(sets.by_name, lambda: runtime.attempts, records_lost=lambda: records.lost)
            manager = ServiceManager(sets.by_name)
            collector = Collector()
            shortage = Shortage(log)
            logged.conceal = partial(conceal_all, sets.by_name, current, runtime)
            sets.tell(reload_log(log), manager.observe, metrics.observe_set, collector.observe_set)
            ended = EndedCalls()
            answering = Answering(
                current,
                sets.by_name,
                sessions,
                metrics,
                log,
                keep=records.keep,
                shortage=shortage,
                listeners=listeners,
                ended=ended,
            )
            stopping = Stopping(
                everything, current=current, sessions=sessions, readiness=readiness, manager=manager, log=log
            )
            reloading = Reloading(
                options,
                environ,
                current,
                sets=sets,
                listeners=listeners,
                watches=watches,
                observers=[
                    engine_reload_log(log),
                    manager.observe_engine,
                    metrics.observe_engine,
                    lambda _outcome: answering.update_room(),
                ],
                reopen=records.reopen,
                log=log,
            )
            app = Control(current, sets, reloading, sessions, metrics, readiness, answering, ended).app()

            def tend(task: str, run: Callable[..., Awaitable[object]], *args: object) -> None:
                upkeep.start_soon(keep_up, task, partial(run, *args), log)

            tend("stop signals", stopping.watch, stops)
            tend("systemd's watchdog", manager.keep_watchdog_quiet)
            tend("notes to systemd", manager.deliver)
            tend("control", serve_control, app, control, shortage)
            if admin is not None:
                tend("admin", serve_admin, app, admin, current, shortage)
            await sets.start()
            tend("garbage collector", collector.run)  # its first look, which is a long one, comes before any call
            async with open_listeners(settings, answering, listeners), trio.open_nursery() as calls:
                tend("drain", stopping.drain, listeners.values(), answering, calls.cancel_scope)
                for listener in listeners.values():
                    calls.start_soon(listener.serve, answering.answer)
                _log_ready(log, sets.serving, settings, listeners, admin)
                readiness.ready()
                manager.ready()
                tend("records", records.report_losses, log)
                tend("reloads", reloading.serve)
                tend("reload signals", reload_on_signals, hangups, reloading, manager)
                tend("old versions' deadline", drain_superseded, answering, sets.by_name, current)
            stopping.end()
    cut_short = 0 if stopping is None else stopping.ended()
    log.info("engine.stopped", calls_cut_short=cut_short)
    return cut_short


async def _load(
    options: RunOptions, stops: AsyncIterator[int], everything: trio.CancelScope
) -> tuple[EngineSettings, Mapping[str, str]]:
    """Reads the files for the first time; a stop need not wait for a drive that doesn't answer."""

    async def end_at_stop() -> None:
        async for _signal in stops:
            everything.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_at_stop)
        loaded = await read_in_thread(options.file, options.load)
        nursery.cancel_scope.cancel()
    return loaded


def _log_ready(
    log: Log,
    sets: Mapping[str, PipelineSet],
    settings: EngineSettings,
    listeners: Mapping[str, AudioSocketListener],
    admin: Sequence[socket] | None,
) -> None:
    def bound(name: str) -> dict[str, Any]:
        host, port = listeners[name].address
        return {"host": host, "port": port}

    log.info(
        "engine.ready",
        listeners=[
            {"name": listener.name, "transport": listener.type, **bound(listener.name), "set": listener.set}
            for listener in settings.listeners
        ],
        control=str(settings.control),
        admin=address_of(admin[0]) if admin is not None else None,
        sets=[
            {
                "set": name,
                "version": pipelines.current.version,
                "active_pipeline": pipelines.current.config.active_pipeline,
                "pipelines": list(pipelines.current.pipelines),
            }
            for name, pipelines in sets.items()
        ],
        pid=os.getpid(),
    )
