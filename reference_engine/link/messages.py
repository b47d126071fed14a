"""The messages between a supervisor and its workers, each a frozen class whose fields are plain data.

Those of a change are the two phases of a reload: one worker leads and proposes it (`ProposeChange`), every worker
prepares and answers `ChangePrepared`, and only if all are ready does the supervisor send `CommitChange`; else it sends
`WithdrawChange`. `supervisor/two_phase.py` has them in order.
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
class LeadChanges:
    """The worker leads changes from now on: it reads and watches files, and proposes what they say to the others."""


@frozen
class FollowingCaughtUp:
    """The worker serves all that is committed, so it may take calls."""


@frozen
class ReloadFiles:
    """The leader reads the engine's file and all sets; it answers `FilesReloaded`."""

    id: int
    """The number of the request."""
    trigger: str
    """The cause, for logs and the history."""


@frozen
class ReopenFiles:
    """Files of records are to be opened again, for log rotation; the leader sends it, and all others get it."""


@frozen
class ChangeBegun:
    """The others have been told what the leader proposes, so it opens it too."""

    change: int
    """The leader's number of the change."""


@frozen
class PrepareChange:
    """The first phase of a change in a follower: it opens what is new beside what serves, and answers `ChangePrepared`.

    What the leader has read comes as a blob, the same for all.
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
    """The number that the version has if it is committed; None: it is the engine's file."""
    force: bool = False
    """Whether components that work may be lost."""
    rolled_back_to: int | None = None
    """The earlier version whose configuration it is; None: it is what the files say."""
    aside: int = 0
    """The length of the last part of the blob, the files that a rollback puts aside; 0: there are none."""
    committed: bool = False
    """Whether others serve it already, so that only this worker has to be ready."""


@frozen
class KeepChange:
    """All workers are ready, so the leader keeps the version beyond the process, and answers `ChangeKept`."""

    change: int
    """The leader's number of the change."""


@frozen
class CommitChange:
    """The second phase: all workers are ready, so what was prepared is put in force."""

    change: int
    """The number of the change; the leader's own to the leader."""


@frozen
class WithdrawChange:
    """The second phase: a worker is not ready, so what was prepared is closed, and nothing changes."""

    change: int
    """The number of the change; the leader's own to the leader."""
    problems: Sequence[Mapping[str, Any]] = ()
    """Why, as data of problems, which name the worker."""


@frozen
class DrainWorker:
    """The worker gets no more connections, lets its calls end, and ends itself."""

    deadline_s: float | None = None
    """The time after which calls get a goodbye, in s; None: never."""


@frozen
class EndWorker:
    """The worker ends at once, as an engine of one process does at a second stop signal."""


@frozen
class OpenOwnListeners:
    """The worker opens those listeners that can't be handed connections: of all workers, only one has them."""


@frozen
class CapacityChanged:
    """Whether `max_calls` calls are up, over all workers: then listeners refuse in their transport's way."""

    full: bool
    """Whether further calls are refused."""
    calls: int
    """The number of calls that are up."""


@frozen
class PauseCalls:
    """Whether the worker refuses new calls, because an operator has paused the engine."""

    paused: bool
    """False: it takes calls again."""


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

    sets: Sequence[Mapping[str, Any]] = ()
    """The sets that it serves, as `engine.ready` has them."""


@frozen
class SettingsInForce:
    """What the supervisor needs of the engine's file, sent before `WorkerReady` and after each change of it."""

    max_calls: int | None
    """The most calls at once over all workers; None: no limit."""
    drain_s: float
    """The time that calls may go on after a stop signal, in s."""
    listeners: Sequence[str]
    """The names of the listeners that the file has; others take no more calls."""


@frozen
class OwnListenersOpen:
    """The worker has opened the listeners of `OpenOwnListeners`."""

    addresses: Mapping[str, Sequence[Any]]
    """The host and port of each, by name."""


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
class LastMetrics:
    """What a worker that ends in order has counted; its metrics in OpenMetrics come as a blob."""


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
class ProposeChange:
    """The leader has found something new, which comes as a blob, and which all are to open; answered by `ChangeBegun`.

    The blob is `ReadConfig.encode()` of what is to be served, followed by that of what a rollback puts aside; of the
    engine's file it is its settings, followed by the sets that are opened with it.
    """

    change: int
    """The leader's number of the change, which it never uses again."""
    kind: Literal["engine", "start", "reload", "rollback"]
    """What changes."""
    set: str
    """The set's name; empty for the engine's file."""
    trigger: str
    """The cause."""
    file: str
    """The path of the file, for problems."""
    digest: str
    """The digest of the configuration."""
    version: int | None = None
    """The number of the version; None: it is the engine's file."""
    force: bool = False
    """Whether components that work may be lost."""
    rolled_back_to: int | None = None
    """The earlier version whose configuration it is; None: it is what the files say."""
    aside: int = 0
    """The length of the last part of the blob; 0: nothing is put aside."""
    sets: Sequence[str] = ()
    """The names of all sets of the engine's file."""
    opened: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    """The sets that are opened with the engine's file, by name: each with its `version`, `digest` and `file`, and where
    it is in the blob (`at`, `length`)."""


@frozen
class ChangePrepared:
    """How the first phase of a change went in this worker."""

    change: int
    """The number of the change; the leader's own from the leader."""
    ready: bool
    """Whether it could commit now; False: nothing is prepared any more."""
    problems: Sequence[Mapping[str, Any]] = ()
    """What it is not ready for, as data of problems, which name the worker."""


@frozen
class ChangeKept:
    """The version is kept beyond the process, so it may serve."""

    change: int
    """The leader's number of the change."""


@frozen
class VersionLost:
    """A follower serves no version of a set any more, by a defect, and needs the committed one again."""

    set: str
    """The set's name."""


@frozen
class FilesReloaded:
    """The answer to `ReloadFiles`: the reload is over."""

    id: int
    """The number of the request."""


Message: TypeAlias = (
    HandedConnection
    | SlotAnswer
    | AskAlive
    | LeadChanges
    | FollowingCaughtUp
    | ReloadFiles
    | ReopenFiles
    | ChangeBegun
    | PrepareChange
    | KeepChange
    | CommitChange
    | WithdrawChange
    | DrainWorker
    | EndWorker
    | OpenOwnListeners
    | CapacityChanged
    | PauseCalls
    | WorkerStarted
    | SettingsInForce
    | WorkerReady
    | OwnListenersOpen
    | WorkerFailed
    | ConnectionClosed
    | LastMetrics
    | AskSlot
    | FreeSlot
    | Alive
    | ProposeChange
    | ChangePrepared
    | ChangeKept
    | VersionLost
    | FilesReloaded
)
"""Any message of the link."""
