"""The supervisor: which workers there are, what they are told and asked, and who gets the next connection.

Theory of operation
===================

*Workers* are processes that run an engine each. `keep_worker` (`keeping.py`) starts each of them, and starts another in
its place when it ends. The first is started alone: files that can't be served are reported once, and end the engine.
The others follow when it serves.

*Connections* are accepted here (`accepting.py`) and handed to the worker with the fewest, by `hand`. A worker that has
not answered the last question whether it is alive comes after all others. What a worker that ends has not been sent yet
goes to another one; what it was sent is lost with it, as its calls are.

*Listening.* The kernel refuses connections while no worker is ready, and those of AudioSocket's listeners with
`close_listener` while all places for calls or connections are taken, or the engine is paused (`_switch_listeners`).
Dialplans go on then.

*Places for calls* (`slots.py`) are counted here and nowhere else, so `max_calls` is exact: a worker asks before each
call, and has them back when it ends, however it ends.

*Messages* are read by a task for each worker, which never waits: what it does not know itself goes to the functions
that were registered for the class of the message (`on_message`), in the order in which the worker sent them. `ask`
returns the answer of one worker, `ask_all` those of all.

*Listeners of one worker* connect or bind by themselves (ARI). The ready worker with the lowest number is told to open
them; if it ends, the next one is.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import trio

from reference_engine.link.link import LinkClosedError, ReceivedMessage
from reference_engine.link.messages import (
    PROTOCOL,
    Alive,
    AskSlot,
    CapacityChanged,
    ConnectionClosed,
    DrainWorker,
    EndWorker,
    FreeSlot,
    Message,
    OpenOwnListeners,
    OwnListenersOpen,
    PauseCalls,
    SettingsInForce,
    SlotAnswer,
    WorkerReady,
    WorkerStarted,
)
from reference_engine.supervisor.accepting import AcceptingSocket
from reference_engine.supervisor.slots import SlotCount
from reference_engine.upkeep.shortage import Shortage

if TYPE_CHECKING:
    from reference_engine.log.rendering import Log
    from reference_engine.supervisor.plan import PlannedListener, SupervisorPlan
    from reference_engine.supervisor.worker_process import WorkerProcess

CONTROL = "control"
"""What connections to the control's Unix socket are handed over as."""
ADMIN = "admin"
"""What connections to the control over TCP are handed over as."""

AnyMessage = TypeVar("AnyMessage", bound=Message)
OnConnection: TypeAlias = Callable[[socket.socket, str, str], None]
"""Takes a connection to the control: its socket, `control` or `admin`, and its peer's `host:port`."""


class WorkerEndedError(Exception):
    """The worker has ended, or ends, so there is no answer of it."""


class Supervisor:
    """The workers of an engine, and what connects them.

    Args:
        plan: what was read of the engine's file.
        log: gets `engine.full`, `engine.has_room`, `engine.draining` and the like.

    Attributes:
        plan: the same.
        log: the same.
        workers: the workers that have not ended, those of earlier generations too, the oldest first.
        generation: the number of the generation that takes connections.
        slots: the places for calls.
        drain_s: the time that calls may go on after a stop signal, in s.
        serving: set when a worker has become ready for the first time.
        stopping: set by the first stop signal.
        paused: whether an operator wants no new calls.
        begun: set when either of them is.
        calls_cut_short: the number of calls that a second stop signal ended.
        on_control: takes each connection to the control; by default the ready worker with the lowest number gets it.
        on_reload: awaited at each SIGHUP; by default each worker reloads by itself.
        leader: returns the worker that carries out reloads and rollbacks for all; None: there is none at the moment.
        settings_for_worker: returns the descriptor of a file with the settings in force, for a worker that is about to
            start, which is to be closed after that; None: it reads the engine's file.
        on_worker_ready: called with each worker that has become ready.
        on_worker_ended: called with each worker that has ended, after its places were freed.
        shortage: reports that connections can't be accepted for lack of a resource.
        own_addresses: the host and port of each listener that runs in one worker, by name.
        own_addresses_changed: set, and replaced, whenever they change.

    """

    def __init__(self, plan: SupervisorPlan, log: Log) -> None:
        self.plan, self.log = plan, log
        self.workers: list[WorkerProcess] = []
        self.generation = 1
        self.slots, self.drain_s = SlotCount(plan.max_calls), plan.drain_s
        self.serving, self.stopping = trio.Event(), trio.Event()
        self.begun, self.own_addresses_changed = trio.Event(), trio.Event()
        self.calls_cut_short = 0
        self.paused = False
        self.on_control: OnConnection = self._hand_to_first
        self.on_reload: Callable[[], Awaitable[None]] = self._reload_each
        self.leader: Callable[[], WorkerProcess | None] = lambda: None
        self.settings_for_worker: Callable[[], int | None] = lambda: None
        self.on_worker_ready: list[Callable[[WorkerProcess], None]] = []
        self.on_worker_ended: list[Callable[[WorkerProcess], None]] = []
        self.own_addresses: dict[str, Sequence[Any]] = {}
        self._handlers: dict[type, list[Callable[[WorkerProcess, Any, bytes], None]]] = {}
        self._asked: dict[tuple[int, type, int], list[tuple[trio.Event, list[ReceivedMessage]]]] = {}
        self._numbers = count(1)
        self._was_full = False
        self._removed: set[str] = set()
        self.shortage = Shortage(log)
        self._sockets: list[tuple[PlannedListener, AcceptingSocket]] = [
            (listener, self._accepting(listener, descriptor))
            for listener in plan.listeners
            for descriptor in listener.descriptors
        ]

    # --- Workers ----------------------------------------------------------------------------------------------------

    @property
    def ready_workers(self) -> list[WorkerProcess]:
        """The workers that take connections, by their numbers."""
        ready = (worker for worker in self.workers if worker.state == "ready")
        return sorted(ready, key=lambda worker: worker.number)

    def add(self, worker: WorkerProcess) -> None:
        """Takes in a worker whose process was started."""
        self.workers.append(worker)
        if self.stopping.is_set():
            worker.post(EndWorker())

    def remove(self, worker: WorkerProcess) -> None:
        """Takes a worker out that has ended: its places are free, and connections that it did not get go to others."""
        self.workers.remove(worker)
        worker.state = "ended"
        worker.calls, freed = 0, self.slots.free_all_of(worker.pid)
        for message, connection in worker.take_back():
            if message.listener in {CONTROL, ADMIN}:
                connection.close()  # the supervisor's own request to that worker, which is not for another one
            else:
                self.hand(connection, message.listener, message.peer)
        worker.gone.set()
        for waiting in [key for key in self._asked if key[0] == worker.pid]:
            for event, _answers in self._asked.pop(waiting):
                event.set()
        self._assign_own_listeners()
        if freed:
            self._count_changed()
        else:
            self._switch_listeners()
        for observe in self.on_worker_ended:
            observe(worker)

    def take(self, worker: WorkerProcess, received: ReceivedMessage) -> None:  # noqa: C901 - a table of messages
        """Takes a message of a worker; it never waits."""
        message: Any = received.message
        match message:
            case Alive():
                worker.unanswered = 0
            case WorkerStarted():
                worker.started = message
                if message.protocol != PROTOCOL:
                    worker.kill(f"it speaks version {message.protocol} of the link, and this supervisor {PROTOCOL}")
            case AskSlot():
                granted = self.slots.take((worker.pid, message.id))
                worker.calls += granted
                worker.post(SlotAnswer(message.id, granted))
                self._count_changed()
            case FreeSlot():
                self.slots.free((worker.pid, message.id))
                worker.calls = self.slots.taken_by(worker.pid)
                self._count_changed()
            case ConnectionClosed():
                listener = worker.connections.get(message.id)
                worker.closed(message.id, is_control=listener in {CONTROL, ADMIN})
                self._switch_listeners()
            case SettingsInForce():
                self._adopt(message)
            case OwnListenersOpen():
                self.own_addresses.update(message.addresses)
                self.own_addresses_changed.set()
                self.own_addresses_changed = trio.Event()
            case WorkerReady():
                self._is_ready(worker, message)
        for event, answers in self._asked.pop((worker.pid, type(message), _number_of(message)), ()):
            answers.append(received)
            event.set()
        for handle in self._handlers.get(type(message), ()):
            handle(worker, message, received.blob)

    def _is_ready(self, worker: WorkerProcess, message: WorkerReady) -> None:
        worker.sets, worker.ready_at = message.sets, trio.current_time()
        if worker.state == "starting" and not self.stopping.is_set():
            worker.state = "ready"
            self.log.info("worker.ready", worker=worker.number, pid=worker.pid, sets=message.sets)
        if self.paused:
            worker.post(PauseCalls(paused=True))
        worker.post(CapacityChanged(self.slots.is_full, self.slots.taken))
        self._assign_own_listeners()
        self._switch_listeners()
        for observe in self.on_worker_ready:
            observe(worker)
        self.serving.set()
        self.begun.set()

    def _assign_own_listeners(self) -> None:
        if all(listener.is_handed for listener in self.plan.listeners) or self.stopping.is_set():
            return
        ready = self.ready_workers
        if ready and not any(worker.has_own_listeners for worker in ready):
            ready[0].has_own_listeners = True
            ready[0].post(OpenOwnListeners())

    # --- Messages ---------------------------------------------------------------------------------------------------

    def on_message(self, kind: type[AnyMessage], handle: Callable[[WorkerProcess, AnyMessage, bytes], None]) -> None:
        """Has a function called with each message of a class and its blob, from any worker; it must not wait."""
        self._handlers.setdefault(kind, []).append(handle)

    def broadcast(self, message: Message, blob: bytes = b"", *, to: Iterable[WorkerProcess] | None = None) -> None:
        """Sends a message to workers, by default to all that have started; never waits."""
        for worker in tuple(self._running() if to is None else to):
            worker.post(message, blob)

    async def ask(self, worker: WorkerProcess, message: Message, answer: type, blob: bytes = b"") -> ReceivedMessage:
        """Sends a message, and returns the worker's next message of the class `answer` with the same number.

        The number is that of the field `change`, or `id`. There is no deadline; cancel it to have one.

        Raises:
            WorkerEndedError: the worker ends without an answer.

        """
        if worker.gone.is_set():
            raise WorkerEndedError(f"worker {worker.number} has ended")
        event, answers = trio.Event(), list[ReceivedMessage]()
        key, entry = (worker.pid, answer, _number_of(message)), (event, answers)
        self._asked.setdefault(key, []).append(entry)
        try:
            worker.post(message, blob)
            await event.wait()
        finally:
            with suppress(KeyError, ValueError):
                self._asked[key].remove(entry)
                if not self._asked[key]:
                    del self._asked[key]
        if not answers:
            raise WorkerEndedError(f"worker {worker.number} has ended")
        return answers[0]

    async def ask_all(
        self, message: Message, answer: type, blob: bytes = b"", *, to: Iterable[WorkerProcess] | None = None
    ) -> Mapping[WorkerProcess, ReceivedMessage | None]:
        """Sends a message to workers, and returns the answer of each; None: it has ended without one."""
        asked = tuple(self._running() if to is None else to)
        answers: dict[WorkerProcess, ReceivedMessage | None] = dict.fromkeys(asked)

        async def ask(worker: WorkerProcess) -> None:
            with suppress(WorkerEndedError):
                answers[worker] = await self.ask(worker, message, answer, blob)

        async with trio.open_nursery() as nursery:
            for worker in asked:
                nursery.start_soon(ask, worker)
        return answers

    def _running(self) -> list[WorkerProcess]:
        return [worker for worker in self.workers if worker.started is not None]

    # --- Connections ------------------------------------------------------------------------------------------------

    def hand(
        self, connection: socket.socket, listener: str, peer: str = "", worker: WorkerProcess | None = None
    ) -> WorkerProcess | None:
        """Hands a connection over, whose socket it closes; returns the worker that gets it.

        Args:
            connection: a stream socket, such as one end of a socket pair.
            listener: the name of the listener that it came to; `control` and `admin` are HTTP for the control.
            peer: the other side's `host:port`; empty for a Unix socket.
            worker: the worker; None: the one with the fewest. Without any that is ready, the connection is closed.

        """
        if worker is None:
            ready = [candidate for candidate in self.workers if candidate.state == "ready"]
            if not ready:
                connection.close()
                return None
            worker = min(ready, key=lambda ready: (ready.unanswered > 1, ready.load, ready.number))
        worker.hand(next(self._numbers), listener, peer, connection, is_control=listener in {CONTROL, ADMIN})
        self._switch_listeners()
        return worker

    def _accepting(self, listener: PlannedListener, descriptor: int) -> AcceptingSocket:
        bound = socket.socket(fileno=descriptor)
        os.set_inheritable(descriptor, False)

        def take(connection: socket.socket, peer: str) -> None:
            self.hand(connection, listener.name, peer)

        return AcceptingSocket(bound, take, self.shortage.report, on=False)

    def accepting_control(self, bound: socket.socket, kind: str) -> AcceptingSocket:
        """Returns what accepts connections to the control on a listening socket, for as long as `serve` of it runs."""

        def take(connection: socket.socket, peer: str) -> None:
            self.on_control(connection, kind, peer)

        return AcceptingSocket(bound, take, self.shortage.report, on=True)

    @property
    def accepting(self) -> list[AcceptingSocket]:
        """What accepts the connections of all listeners."""
        return [accepting for _listener, accepting in self._sockets]

    def _hand_to_first(self, connection: socket.socket, kind: str, peer: str) -> None:
        leader = self.leader()
        running = sorted(
            self._running(), key=lambda worker: (worker is not leader, worker.state != "ready", worker.number)
        )
        if running:
            self.hand(connection, kind, peer, running[0])
        else:
            connection.close()

    def _switch_listeners(self) -> None:
        """Has the kernel refuse connections that no worker could take, or for which there is no room."""
        served = any(worker.state == "ready" for worker in self.workers) and not self.stopping.is_set()
        for listener, accepting in self._sockets:
            if listener.name in self._removed:
                accepting.close()
                continue
            refuses = self.paused or self.slots.is_full or self._all_connected(listener)
            accepting.switch(on=served and not (refuses and listener.closes_when_full))

    def _all_connected(self, listener: PlannedListener) -> bool:
        connected = sum(name == listener.name for worker in self.workers for name in worker.connections.values())
        return connected >= listener.max_connections

    # --- Calls ------------------------------------------------------------------------------------------------------

    def set_max_calls(self, limit: int | None) -> None:
        """Changes the most calls at once; a lower limit ends no call."""
        self.slots.limit = limit
        self._count_changed()

    def _count_changed(self) -> None:
        full = self.slots.is_full
        if full != self._was_full:
            self._was_full = full
            self.broadcast(CapacityChanged(full, self.slots.taken))
            write, event = (self.log.warning, "engine.full") if full else (self.log.info, "engine.has_room")
            write(event, calls=self.slots.taken, max_calls=self.slots.limit)
        self._switch_listeners()

    def pause(self, paused: bool) -> None:
        """Takes no new calls, or takes them again; workers that run were told, and those that start will be."""
        self.paused = paused
        self._switch_listeners()

    def _adopt(self, settings: SettingsInForce) -> None:
        self.drain_s = settings.drain_s
        self._removed |= {listener.name for listener in self.plan.listeners} - set(settings.listeners)
        if settings.max_calls != self.slots.limit:
            self.set_max_calls(settings.max_calls)
        self._switch_listeners()

    # --- Signals ----------------------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Takes no more calls and has the workers end within `drain_s`; at a second call, at once."""
        if self.stopping.is_set():
            self.calls_cut_short = self.slots.taken
            self.broadcast(EndWorker(), to=self.workers)
            return
        self.stopping.set()
        self.begun.set()
        for accepting in self.accepting:
            accepting.close()
        self.log.info("engine.draining", calls=self.slots.taken, drain_s=self.drain_s)
        for worker in self.workers:
            if worker.state == "starting":
                worker.post(EndWorker())
            else:
                worker.state = "draining"
                worker.post(DrainWorker(self.drain_s))

    async def _reload_each(self) -> None:
        for worker in self._running():
            with suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGHUP)


def _number_of(message: Any) -> int:
    number = getattr(message, "change", None)
    return int(getattr(message, "id", 0) if number is None else number)


async def read_messages(supervisor: Supervisor, worker: WorkerProcess) -> None:
    """Reads what a worker sends, until it ends."""
    with suppress(LinkClosedError):
        while True:
            supervisor.take(worker, await worker.receive())
