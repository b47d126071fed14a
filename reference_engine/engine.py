"""The whole engine on one screen: the runtime, its pipeline sets, the listener and the control, in one nursery."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from reference_engine.answering import Answering
from reference_engine.control.app import control_app
from reference_engine.control.server import serve_control
from reference_engine.control.socket import claimed_socket
from reference_engine.errors import EngineError
from reference_engine.reloading import reload_log, reload_on_signals
from reference_engine.sessions import SessionStore
from reference_engine.stopping import Stopping
from voicepipe import open_audiosocket_listener, open_pipeline_set, open_runtime

if TYPE_CHECKING:
    from reference_engine.telemetry import Log
    from voicepipe import AudioSocketListener, PipelineSet

MAIN = "main"
"""The name of the set that a set's own file makes."""


@frozen
class EngineSettings:
    """What `reference-engine run` was told."""

    file: Path
    """The pipeline set's YAML file."""
    audiosocket: tuple[str, int]
    """Host and port where Asterisk connects; port 0: any that is free."""
    control: Path
    """Where the control's Unix socket is made."""
    drain_s: float
    """How long calls that are up may go on after a stop was asked for, in seconds."""


async def run_engine(settings: EngineSettings, sets: dict[str, PipelineSet], log: Log) -> int:
    """Serves calls until SIGTERM or SIGINT, then lets the calls that are up end.

    Args:
        settings: what to serve, and where.
        sets: where the pipeline sets are entered by name as they open; the log asks them for their levels.
        log: for everything that happens.

    Returns:
        How many calls were cut short because a second signal came.

    Raises:
        ConfigError: the file can't be served; in an exception group.
        EngineError: an address is taken, or not fit; perhaps in an exception group.

    """
    sessions = SessionStore()
    with (
        # A SIGHUP that comes while the set is opened waits here until it is.
        trio.open_signal_receiver(signal.SIGHUP) as hangups,
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as stops,
        claimed_socket(settings.control) as control,
        trio.CancelScope() as everything,
    ):
        stopping = Stopping(everything, sessions, log, settings.drain_s)
        log.info("engine.starting", file=str(settings.file), pid=os.getpid())
        async with trio.open_nursery() as watching:
            watching.start_soon(stopping.watch, stops)
            async with AsyncExitStack() as opened:
                runtime = await opened.enter_async_context(open_runtime())
                main = sets[MAIN] = await opened.enter_async_context(
                    open_pipeline_set(settings.file, name=MAIN, runtime=runtime, observer=reload_log(log))
                )
                answering = Answering(main, sessions, log)
                listener = await _open_listener(opened, settings.audiosocket, answering)
                serving = await opened.enter_async_context(trio.open_nursery())
                serving.start_soon(reload_on_signals, hangups, sets)
                serving.start_soon(serve_control, control_app(sets, sessions, default_set=MAIN), control)
                _log_ready(log, main, listener, settings.control)
                with trio.CancelScope() as calls:
                    serving.start_soon(stopping.drain, listener, answering, calls)
                    await listener.serve(answering.answer)
                stopping.end()
    stopping.ended()
    log.info("engine.stopped", calls_cut_short=stopping.cut_short)
    return stopping.cut_short


async def _open_listener(
    opened: AsyncExitStack, audiosocket: tuple[str, int], answering: Answering
) -> AudioSocketListener:
    host, port = audiosocket
    try:
        return await opened.enter_async_context(
            open_audiosocket_listener(host, port, on_refused=answering.refused, on_crash=answering.crashed)
        )
    except OSError as error:
        raise EngineError(f"{error.strerror or error}; give another address with --audiosocket") from error


def _log_ready(log: Log, main: PipelineSet, listener: AudioSocketListener, control: Path) -> None:
    host, port = listener.address
    snapshot = main.current
    log.info(
        "engine.ready",
        listeners=[{"transport": "audiosocket", "host": host, "port": port, "set": main.name}],
        control=str(control),
        set=main.name,
        version=snapshot.version,
        active_pipeline=snapshot.config.active_pipeline,
        pipelines=list(snapshot.pipelines),
        pid=os.getpid(),
    )
