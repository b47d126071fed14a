"""Starts everything that an engine consists of, in the order of dependencies, and ends it in reverse.

`run_engine` is the map of the engine: which parts there are, what each is given, and which tasks run.

- Addresses, sockets and files are claimed first, so that a second engine on the same ones fails before it opens models.
- The control is served before the pipeline sets are opened: `status` and `/readyz` answer during the start. Requests
  for reloads wait for `Readiness.started`.
- Tasks besides calls are *upkeep*. They run in one nursery, each restarted when it fails (`upkeep/tasks.py`), so that
  a defect in the watcher, say, ends no call.
- Calls run in a nursery of their own inside it, whose scope gets the deadline of the drain. When that block is left,
  `Shutdown.end` cancels the rest.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from reference_engine.calls.announcements import Announcements
from reference_engine.calls.answering import CallAnswerer
from reference_engine.calls.drain_deadline import end_superseded_calls
from reference_engine.calls.listeners import ipv4_ports, listeners_to_hand_to, open_listeners
from reference_engine.calls.own_listeners import OwnListeners
from reference_engine.control.agent_check import agent_answer, serve_agent_check
from reference_engine.control.app import Control
from reference_engine.control.call_requests import CallRequests
from reference_engine.control.server import serve_admin, serve_control, serve_handed_admin, serve_handed_control
from reference_engine.control.sockets import address_of, claimed_port, claimed_socket
from reference_engine.fleet.engine_fleet import EngineFleet
from reference_engine.fleet.fleet_metrics import FleetCollector
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.lifecycle.signals import reload_on_signals
from reference_engine.lifecycle.stopping import Shutdown
from reference_engine.lifecycle.systemd import ServiceManager
from reference_engine.link.messages import (
    CapacityChanged,
    DrainWorker,
    EndWorker,
    LastMetrics,
    OpenOwnListeners,
    OwnListenersOpen,
    PauseCalls,
    SettingsInForce,
    WorkerReady,
)
from reference_engine.pages.operator_pages import OperatorPages, url_of
from reference_engine.pages.parts import PageParts
from reference_engine.pages.whole_engine import WholeEngine
from reference_engine.records.opening import open_store, until_ready
from reference_engine.records.pruning import Retention
from reference_engine.records.record_file import open_record_file
from reference_engine.records.version_recording import VersionRecorder
from reference_engine.reloads.reloading import Reloader
from reference_engine.reloads.worker_reloads import WorkerReloads, settings_of_bytes
from reference_engine.reports.component_log import component_log
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.latencies import Latencies
from reference_engine.reports.loop_watch import LoopWatch, watch_loop
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.reload_history import ReloadHistory
from reference_engine.reports.reload_log import engine_reload_log, reload_log
from reference_engine.reports.sessions import SessionStore
from reference_engine.sets.sets import Sets, conceal_all
from reference_engine.settings.environment import read_environ
from reference_engine.settings.settings import CurrentSettings, number_of_workers
from reference_engine.telemetry.opening import all_of, open_telemetry
from reference_engine.telemetry.telemetry_metrics import TelemetryCollector
from reference_engine.upkeep.shortage import Shortage
from reference_engine.upkeep.tasks import restart_on_failure
from reference_engine.watch.task_switch import TaskSwitch
from reference_engine.worker.worker_link import ADMIN, CONTROL
from voicepipe import Collector, Listener, __version__, open_runtime, read_in_thread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from socket import socket

    from reference_engine.lifecycle.stopping import Closable
    from reference_engine.log.log import Log, LogSettings
    from reference_engine.settings.run_options import RunOptions
    from reference_engine.settings.settings import EngineSettings
    from reference_engine.worker.worker_link import WorkerLink
    from voicepipe import PipelineSet


class WorkersWantedError(Exception):
    """The engine is to have several workers, so this process is to become their supervisor; nothing is claimed yet."""

    def __init__(self, settings: EngineSettings) -> None:
        super().__init__(f"{number_of_workers(settings)} workers")
        self.settings = settings


async def run_engine(  # noqa: C901, PLR0912, PLR0915 - the map of the engine
    options: RunOptions, logged: LogSettings, log: Log, worker: WorkerLink | None = None
) -> int:
    """Serves calls until SIGTERM or SIGINT, then lets the calls that are up end.

    Args:
        options: the command line.
        logged: gets the logging settings of each pipeline set, which the log looks up there.
        log: gets all records.
        worker: the link to the supervisor, if this is one worker of several; None: this process is the whole engine.

    Returns:
        The number of calls that were cut short by a second signal.

    Raises:
        ConfigError: the files can't be served; it may be in an exception group.
        EngineError: an address or a path can't be used; it may be in an exception group.
        WorkersWantedError: the engine is to have several workers.

    """
    shutdown: Shutdown | None = None
    with (
        # A SIGHUP during the start is kept here until `reload_on_signals` reads it.
        trio.open_signal_receiver(signal.SIGHUP) as hangups,
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as stops,
        ExitStack() as claimed,
        trio.CancelScope() as everything,
    ):
        settings, environ = await _load(options, stops, everything, worker)
        if worker is None and number_of_workers(settings) > 1:
            raise WorkersWantedError(settings)
        number = None if worker is None else worker.start.number
        current, readiness, sessions = CurrentSettings(settings), Readiness(), SessionStore()
        control = claimed.enter_context(claimed_socket(settings.control)) if worker is None else None
        admin = (
            claimed.enter_context(claimed_port(settings.admin, ipv6_only=settings.admin.port in ipv4_ports(settings)))
            if settings.admin and worker is None
            else None
        )
        agents = (
            claimed.enter_context(claimed_port(settings.agent_check, key="agent_check"))
            if settings.agent_check and worker is None
            else None
        )
        records = claimed.enter_context(
            open_record_file(settings.records, settings.records_readable_by, shared=worker is not None)
        )
        claimed.callback(records.report, log)
        if worker is None:
            log.info("engine.starting", file=str(options.file), pid=os.getpid())
        await until_ready(store := claimed.enter_context(open_store(settings, log, worker=number)))
        telemetry = claimed.enter_context(open_telemetry(current, log, store, worker=number))
        observe_component = all_of(component_log(log), telemetry.events.observe_component)
        async with open_runtime(observe_component) as runtime, trio.open_nursery() as upkeep:
            watches, listeners = TaskSwitch(settings.watch and worker is None), dict[str, Listener]()
            together = None if worker is None else WorkerReloads(worker, current=current, watches=watches, log=log)
            fleet = EngineFleet(settings, log)
            sets = Sets(
                current,
                env_file=options.env_file,
                runtime=runtime,
                nursery=upkeep,
                watches=watches,
                logging=logged.of_set,
                log=log,
                recorder=claimed.enter_context(VersionRecorder(store)),
                workers=together,
                source=fleet.local,
            )
            loop = LoopWatch(log)
            metrics = Metrics(
                sets.by_name,
                lambda: runtime.attempts,
                records_lost=lambda: records.lost + (store.lost if store is not None else 0),
                records_waiting=lambda: store.by_place if store is not None else {},
                records_deleted=lambda: retention.deleted,
                max_calls=lambda: current.settings.max_calls,
                turns=loop.turns,
                others=[TelemetryCollector(telemetry), FleetCollector(fleet)],
            )
            manager = ServiceManager(sets.by_name, os.environ if worker is None else {})  # its supervisor tells systemd
            collector, shortage = Collector(), Shortage(log)
            logged.conceal = partial(conceal_all, sets.by_name, current, runtime)
            reloads, latencies, retention = (
                ReloadHistory(logged.conceal),
                Latencies(),
                Retention(current, sets.by_name, log),
            )
            observers = (reload_log(log), manager.observe, metrics.observe_set, telemetry.observe_set)
            sets.add_observers(*observers, collector.observe_set, reloads.observe)
            ended, announced = EndedCalls(), Announcements()
            answerer = CallAnswerer(
                current,
                sets.by_name,
                sessions,
                metrics,
                log,
                keep=records.keep,
                store=store,
                telemetry=telemetry,
                shortage=shortage,
                listeners=listeners,
                ended=ended,
                announced=announced,
                logging_of=logged.of_set.get,
                latencies=latencies,
                slots=None if worker is None else worker.slots,
            )
            shutdown = Shutdown(
                everything,
                current=current,
                sessions=sessions,
                readiness=readiness,
                manager=manager,
                log=log,
                process="engine" if worker is None else "worker",
            )
            reloader = Reloader(
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
                    reloads.observe_engine,
                    lambda _outcome: answerer.capacity.update(),
                    telemetry.observe_engine,
                    *([] if worker is None else [lambda _outcome: worker.post(settings_in_force(current.settings))]),
                ],
                reopen=records.reopen if together is None else together.reopen_all,
                log=log,
            )
            requests = CallRequests(answerer, ended, readiness, listeners)
            pages = OperatorPages(
                PageParts(
                    current,
                    sets,
                    reloader,
                    sessions,
                    readiness,
                    answerer,
                    reloads,
                    latencies,
                    logged.conceal,
                    None if worker is None else WholeEngine(settings.control),
                ),
                _url_of_pages(admin, worker),
            )
            app = Control(
                current, sets, reloader, sessions, metrics, readiness, answerer, ended, announced, requests, pages
            ).app()

            def start_upkeep(task: str, run: Callable[..., Awaitable[object]], *args: object) -> None:
                upkeep.start_soon(restart_on_failure, task, partial(run, *args), log)

            start_upkeep("stop signals", shutdown.watch, stops)
            start_upkeep("systemd's watchdog", manager.feed_watchdog)
            start_upkeep("notes to systemd", manager.deliver)
            if control is not None:
                start_upkeep("control", serve_control, app, control, shortage)
            if admin is not None:
                start_upkeep("admin", serve_admin, app, admin, current, shortage)
            if agents is not None:
                start_upkeep(
                    "agent check",
                    serve_agent_check,
                    agents,
                    lambda: agent_answer(readiness.state, len(sessions), current.settings.max_calls),
                    shortage.report,
                )
            if worker is not None and together is not None:
                worker.on(DrainWorker, lambda asked, _blob: shutdown.request_drain(asked.deadline_s))
                worker.on(EndWorker, lambda _asked, _blob: shutdown.end_at_once())
                worker.on(PauseCalls, lambda told, _blob: _pause(readiness, answerer, told.paused))
                worker.on(CapacityChanged, lambda _told, _blob: answerer.capacity.update())
                worker.on_supervisor_gone = partial(_finish_calls, shutdown, together, readiness)
                start_upkeep("changes of all workers", together.run)
                start_upkeep("control", serve_handed_control, app, worker.connections_of(CONTROL))
                start_upkeep("admin", serve_handed_admin, app, worker.connections_of(ADMIN), current)
                upkeep.start_soon(worker.run, __version__)
            start_upkeep("fleet", fleet.run, sets, lambda: answerer.capacity.calls, lambda: readiness.state)
            await fleet.before_sets()
            await (sets.start() if together is None else together.start(sets, reloader, records.reopen))
            await fleet.after_sets()
            start_upkeep("garbage collector", collector.run)  # the first collection, which is long, before any call
            claimed.enter_context(watch_loop(loop))  # from the first call on: what holds the start up holds up nobody
            async with _opened_listeners(settings, answerer, listeners, worker), trio.open_nursery() as calls:
                closing: list[Closable] = [_AllOf(listeners)]
                if worker is not None:
                    own = OwnListeners(
                        settings, answerer, listeners, lambda opened: worker.post(OwnListenersOpen(opened))
                    )
                    closing.append(own)
                    calls.start_soon(restart_on_failure, "listeners of one worker", own.serve, log)
                    worker.on(OpenOwnListeners, lambda _asked, _blob: own.open())
                start_upkeep("drain", shutdown.drain, closing, answerer, calls.cancel_scope)
                for listener in tuple(listeners.values()):
                    calls.start_soon(listener.serve, answerer.answer)
                if worker is None:
                    _log_ready(log, sets.serving, settings, listeners, admin, agents=agents)
                else:
                    worker.post(settings_in_force(current.settings))
                    worker.post(WorkerReady(_sets_as_data(sets.serving)))
                readiness.ready()
                manager.ready()
                start_upkeep("records", records.report_losses, log)
                start_upkeep("retention", retention.run)
                start_upkeep("reloads", reloader.serve)
                start_upkeep("reload signals", reload_on_signals, hangups, reloader, manager)
                start_upkeep("drain deadline of old versions", end_superseded_calls, answerer, sets.by_name, current)
            if worker is not None:
                await worker.say_last(LastMetrics(), metrics.exposition("application/openmetrics-text")[0])
            shutdown.end()
    cut_short = 0 if shutdown is None else shutdown.confirm_closed()
    if worker is None:
        log.info("engine.stopped", calls_cut_short=cut_short)
    else:
        log.info("worker.stopped", calls_cut_short=cut_short)
    return cut_short


async def _load(
    options: RunOptions, stops: AsyncIterator[int], everything: trio.CancelScope, worker: WorkerLink | None
) -> tuple[EngineSettings, Mapping[str, str]]:
    """Reads the files for the first time; a stop signal cancels it, in case a network drive does not answer.

    A worker that takes the place of another gets the settings in force, whatever the file says meanwhile.
    """

    async def end_at_stop() -> None:
        async for _signal in stops:
            everything.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end_at_stop)
        handed = None if worker is None else worker.start.settings
        load = options.load if handed is None else partial(_load_handed, options, handed)
        loaded = await read_in_thread(options.file, load)
        nursery.cancel_scope.cancel()
    return loaded


def _load_handed(options: RunOptions, descriptor: int) -> tuple[EngineSettings, Mapping[str, str]]:
    with open(descriptor, "rb") as file:
        settings, _opened = settings_of_bytes(file.read())
    return settings, read_environ(options.env_file)


def _finish_calls(shutdown: Shutdown, together: WorkerReloads, readiness: Readiness) -> None:
    """Ends a worker whose supervisor has ended, after its calls; one that still starts has none, and ends at once."""
    together.supervisor_gone()
    shutdown.request_drain(None)
    if readiness.state == "starting":
        shutdown.end()


def settings_in_force(settings: EngineSettings) -> SettingsInForce:
    """Returns what a supervisor needs of the settings."""
    return SettingsInForce(settings.max_calls, settings.drain_s, [listener.name for listener in settings.listeners])


def _opened_listeners(
    settings: EngineSettings, answerer: CallAnswerer, listeners: dict[str, Listener], worker: WorkerLink | None
) -> AbstractAsyncContextManager[None]:
    """Opens all listeners; in a worker those that the supervisor hands connections of."""
    if worker is None:
        return open_listeners(settings, answerer, listeners)
    names = {listener.name for listener in listeners_to_hand_to(settings)}
    return open_listeners(settings, answerer, listeners, names=names, connections_of=worker.connections_of)


@frozen
class _AllOf:
    """Closes the listeners that there are by then."""

    listeners: Mapping[str, Listener]

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.close()


def _url_of_pages(admin: Sequence[socket] | None, worker: WorkerLink | None) -> str | None:
    if admin is not None:
        return url_of(address_of(admin[0]))
    if worker is not None and (address := worker.start.addresses.get(ADMIN)):
        return url_of({"host": address[0], "port": address[1]})
    return None


def _sets_as_data(sets: Mapping[str, PipelineSet]) -> list[dict[str, Any]]:
    return [
        {
            "set": name,
            "version": pipelines.current.version,
            "active_pipeline": pipelines.current.config.active_pipeline,
            "pipelines": list(pipelines.current.pipelines),
        }
        for name, pipelines in sets.items()
    ]


def _pause(readiness: Readiness, answerer: CallAnswerer, paused: bool) -> None:
    if readiness.pause() if paused else readiness.resume():
        answerer.capacity.pause(paused)


def _log_ready(
    log: Log,
    sets: Mapping[str, PipelineSet],
    settings: EngineSettings,
    listeners: Mapping[str, Listener],
    admin: Sequence[socket] | None,
    *,
    agents: Sequence[socket] | None,
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
        **({} if agents is None else {"agent_check": address_of(agents[0])}),
        pages=url_of(address_of(admin[0])) if admin is not None else None,
        sets=_sets_as_data(sets),
        pid=os.getpid(),
    )
