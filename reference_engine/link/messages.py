"""The messages between a supervisor and its workers, each a frozen class whose fields are plain data.

Those of a change (`PrepareChange` to `ChangeSettled`) are the two phases of a reload: every worker prepares and answers
`ChangePrepared`, and only if all are ready does the supervisor send `CommitChange`; else it sends `WithdrawChange`. A
change has a number, which the supervisor makes and never uses again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

PROTOCOL: Final = 1
"""The version of these messages. A supervisor outlives upgrades of the software, so a worker of another one is refused
by its `WorkerStarted`."""


# From the supervisor to a worker.


@frozen
class HandedConnection:
    """A connection that the worker is to serve; it comes with its socket."""

    id: int
    """Its number, of `ConnectionClosed`."""
    listener: str
    """The name of the listener that it came to; `control` and `admin` are HTTP for the worker's control."""
    peer: str
    """The `host:port` of the other side; empty for a Unix socket."""


@frozen
class SlotAnswer:
    """The answer to `AskSlot`."""

    id: int
    """The number of the request."""
    granted: bool
    """Whether the call may begin; False: `max_calls` calls are up."""


@frozen
class AskAlive:
    """A question whether the worker's event loop turns; it answers `Alive` at once."""

    id: int
    """Its number."""


@frozen
class PrepareChange:
    """The first phase of a change: the worker opens what is new beside what serves, and answers `ChangePrepared`.

    What was read comes as a blob (pickled by the reading process, the same for all workers).
    """

    change: int
    """The number of the change."""
    kind: Literal["engine", "start", "reload", "rollback"]
    """What changes: the engine's file, or a set that starts, is reloaded or goes back."""
    set: str
    """The set's name; empty for the engine's file."""
    trigger: str
    """The cause, for logs and the history."""
    version: int | None = None
    """The number that the version has if it is committed, and that a rollback goes back to; None: the next."""
    force: bool = False
    """Whether a rollback ends, and components that work may be lost."""


@frozen
class CommitChange:
    """The second phase: all workers are ready, so what was prepared is put in force."""

    change: int
    """The number of the change."""


@frozen
class WithdrawChange:
    """The second phase: a worker is not ready, so what was prepared is closed, and nothing changes."""

    change: int
    """The number of the change."""
    problems: Sequence[Mapping[str, Any]] = ()
    """Why, as data of problems, each with the worker's number."""


@frozen
class DrainWorker:
    """The worker gets no more connections, lets its calls end, and ends itself."""

    deadline_s: float | None = None
    """The time after which calls get a goodbye, in s; None: never."""


# From a worker to the supervisor.


@frozen
class WorkerStarted:
    """The first message: the worker runs and may be told what to serve."""

    protocol: int
    """The `PROTOCOL` of its code."""
    pid: int
    """Its process ID."""
    software: str
    """The version of the software."""
    code: str
    """The fingerprint of its code, by which two generations are told apart."""


@frozen
class WorkerReady:
    """All sets that can be served are, so the worker takes connections."""


@frozen
class WorkerFailed:
    """The worker can't start and ends; what the supervisor says of it."""

    reason: str
    """Why, for the log."""
    problems: Sequence[Mapping[str, Any]] = ()
    """Problems of the files, as data."""
    status: int = 1
    """The exit status that an engine of one process would have."""


@frozen
class ConnectionClosed:
    """A connection that was handed over is closed."""

    id: int
    """Its number."""


@frozen
class AskSlot:
    """A call is about to begin, and needs a slot of `max_calls`; answered by `SlotAnswer`."""

    id: int
    """The number of the request, of this worker."""


@frozen
class FreeSlot:
    """A call that got a slot is over."""

    id: int
    """The number of the request that got it."""


@frozen
class Alive:
    """The answer to `AskAlive`."""

    id: int
    """The ping's number."""


@frozen
class ChangePrepared:
    """How the first phase of a change went in this worker."""

    change: int
    """The number of the change."""
    ready: bool
    """Whether it could commit now; False: nothing is prepared any more."""
    unchanged: bool = False
    """Whether nothing would change, so that there is nothing to commit."""
    version: int | None = None
    """The number that the version would have."""
    digest: str | None = None
    """Its configuration's digest."""
    problems: Sequence[Mapping[str, Any]] = ()
    """What it is not ready for, as data of problems."""


@frozen
class ChangeSettled:
    """A change is over in this worker: committed, withdrawn, or without a change."""

    change: int
    """The number of the change."""
    outcome: Mapping[str, Any] = field(factory=dict)
    """The outcome's JSON body, as the control would answer it."""


@frozen
class WantReload:
    """Somebody asked this worker for a reload, or a file that it watches has changed; the supervisor carries it out."""

    trigger: str
    """The cause."""
    set: str = ""
    """The set's name; empty: the engine's file and all sets."""


Message: TypeAlias = (
    HandedConnection
    | SlotAnswer
    | AskAlive
    | PrepareChange
    | CommitChange
    | WithdrawChange
    | DrainWorker
    | WorkerStarted
    | WorkerReady
    | WorkerFailed
    | ConnectionClosed
    | AskSlot
    | FreeSlot
    | Alive
    | ChangePrepared
    | ChangeSettled
    | WantReload
)
"""Any message of the link."""
