"""A worker's part in changes of all workers: it leads them, or it follows.

Theory of operation
===================

`supervisor/two_phase.py` has the order of messages. This is the other end: it is told of messages by `take`, which
never waits, and gives every pipeline set an `AgreedVersions`, in whose `change` and `keep` the set waits for them.

*Numbers of changes.* The leader's own are negative, those of the supervisor positive, so a worker that has followed and
leads now confuses none.

*A withdrawal* cancels what is being opened, wherever it is, and becomes a `ConfigError` with the problems of the worker
that failed. So nobody waits for a component that hangs here when the change is off already.

*Sets that only the new engine's file names* are opened before that file is agreed upon. They serve nobody until then,
so they need no agreement of their own, and are handed over with the file.

*The supervisor's end* withdraws every change: this worker finishes its calls with what serves.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import trio
from attrs import define, evolve, field, frozen

from reference_engine.link.messages import (
    ChangeBegun,
    ChangeKept,
    ChangePrepared,
    CommitChange,
    FollowingCaughtUp,
    KeepChange,
    LeadChanges,
    Message,
    PrepareChange,
    ProposeChange,
    WithdrawChange,
)
from voicepipe import ConfigError, Location, Problem, ReadConfig, problems_as_data

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from voicepipe import KeptVersion, VersionHistory


class NumberedHistory(Protocol):
    """A `VersionHistory` that can be told of versions that another worker keeps."""

    def note(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        """Takes a number for a version that is kept elsewhere."""


@frozen
class OpenedWithFile:
    """A set's first version that was opened for a new engine's file."""

    version: int
    """Its number."""
    read: ReadConfig
    """Its configuration."""


@define(eq=False)
class ChangeHere:
    """One change in this worker."""

    id: int
    """Its number in messages of this worker."""
    withdrawn: WithdrawChange | None = None
    """The withdrawal, once it has come."""
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    """What is opened, cancelled by the withdrawal."""
    _reached: set[type] = field(init=False, factory=set)
    _moved: trio.Event = field(init=False, factory=trio.Event)

    def take(self, message: Message) -> None:
        """Notes a message about the change."""
        if isinstance(message, WithdrawChange):
            self.withdrawn = message
            self.scope.cancel()
        self._reached.add(type(message))
        self._moved.set()
        self._moved = trio.Event()

    async def until(self, kind: type) -> None:
        """Waits for a message of that class; a withdrawal cancels it, by `scope`."""
        while kind not in self._reached:
            await self._moved.wait()

    def rejection(self) -> ConfigError:
        """Returns the error that the withdrawal is for the set."""
        problems = () if self.withdrawn is None else self.withdrawn.problems
        return ConfigError([problem_of_data(problem) for problem in problems])


class WorkerAgreement:
    """What a worker knows of the changes of all workers.

    Args:
        name: what problems call this worker, such as `worker 2`.
        post: sends a message with a blob to the supervisor, and never waits.

    Attributes:
        leads: whether this worker leads changes.
        role_known: set when it is known whether it leads, or what it is to follow.
        caught_up: set when a worker that follows serves all that is committed.
        on_lead: called when it begins to lead.

    """

    def __init__(self, name: str, post: Callable[[Message, bytes], None]) -> None:
        self.name, self._post = name, post
        self.leads = False
        self.role_known, self.caught_up = trio.Event(), trio.Event()
        self.on_lead: Callable[[], None] = lambda: None
        self._changes: dict[int, ChangeHere] = {}
        self._followed: dict[str, ChangeHere] = {}
        self._own = count(-1, -1)
        self._gone = False

    def take(self, message: Message) -> None:
        """Takes a message of the supervisor about changes; it never waits."""
        match message:
            case LeadChanges():
                self.leads = True
                self.role_known.set()
                self.on_lead()
            case FollowingCaughtUp():
                self.caught_up.set()
            case PrepareChange():
                self._changes[message.change] = ChangeHere(message.change)
                self.role_known.set()
            case ChangeBegun() | KeepChange() | CommitChange() | WithdrawChange():
                if (here := self._changes.get(message.change)) is not None:
                    here.take(message)

    def supervisor_gone(self) -> None:
        """Withdraws every change, because the supervisor has ended."""
        self._gone = True
        for here in tuple(self._changes.values()):
            here.take(WithdrawChange(here.id, problems_as_data([self._no_supervisor()])))

    def is_ready(self, here: ChangeHere) -> None:
        """Says that this worker could commit a change."""
        self._post(ChangePrepared(here.id, ready=True), b"")

    def is_not_ready(self, here: ChangeHere, problems: Iterable[Problem]) -> None:
        """Says why this worker can't commit a change, unless it was withdrawn anyway."""
        if here.withdrawn is None:
            data = problems_as_data(self.named(problems))
            self._post(ChangePrepared(here.id, ready=False, problems=data), b"")

    def named(self, problems: Iterable[Problem]) -> list[Problem]:
        """Returns problems that name this worker."""
        prefix = f"{self.name}: "
        return [
            problem if problem.message.startswith("worker ") else evolve(problem, message=prefix + problem.message)
            for problem in problems
        ]

    @contextmanager
    def following(self, message: PrepareChange) -> Iterator[ChangeHere]:
        """Has a set's next change be the one that this worker was told to prepare."""
        here = self._changes[message.change]
        self._followed[message.set] = here
        try:
            yield here
        finally:
            del self._followed[message.set], self._changes[message.change]

    def followed(self, name: str) -> ChangeHere | None:
        """Returns the change of a set that this worker follows; None: it follows none."""
        return self._followed.get(name)

    @asynccontextmanager
    async def leading(self, proposal: ProposeChange, blob: bytes, file: Path) -> AsyncIterator[ChangeHere]:
        """Proposes a change, and gives it once the others are told; all that its block opens is for the change.

        Args:
            proposal: the change; its number is set here.
            blob: what was read.
            file: the file, for problems.

        Raises:
            ConfigError: the change was withdrawn, or the block has raised it; its problems name the worker.

        """
        if self._gone or not self.leads:
            message = "another worker leads changes: reload again"
            raise ConfigError([self._no_supervisor() if self._gone else Problem(Location(file), "", message)])
        here = ChangeHere(next(self._own))
        self._changes[here.id] = here
        try:
            with here.scope:
                self._post(evolve(proposal, change=here.id), blob)
                await here.until(ChangeBegun)
                with self._reporting(here, file):
                    yield here
            if here.scope.cancelled_caught:
                raise here.rejection()
        finally:
            del self._changes[here.id]

    @contextmanager
    def _reporting(self, here: ChangeHere, file: Path) -> Iterator[None]:
        """Says what ends the block to the others, and names this worker in problems."""
        try:
            yield
        except ConfigError as error:
            self.is_not_ready(here, error.problems)
            raise type(error)(self.named(error.problems), error.files) from None
        except BaseException as error:
            what = "it stops" if isinstance(error, trio.Cancelled) else f"it failed with {type(error).__name__}"
            self.is_not_ready(here, [Problem(Location(file), "", what)])
            raise

    async def commit(self, here: ChangeHere, keep: Callable[[], Any] | None = None) -> None:
        """Says that this worker is ready, and returns when all are, and the leader has kept what changes.

        Args:
            here: the change.
            keep: keeps it beyond the process, awaited in the leader; None: this worker follows.

        """
        self.is_ready(here)
        if keep is not None:
            await here.until(KeepChange)
            await keep()
            self._post(ChangeKept(here.id), b"")
        await here.until(CommitChange)

    @staticmethod
    def _no_supervisor() -> Problem:
        return Problem(Location(""), "", "the supervisor of this worker has ended", "restart the engine")


class AgreedVersions:
    """The `VersionAgreement` of one opening of a pipeline set.

    Args:
        agreement: this worker's.
        name: the set's name.
        history: keeps versions beyond the process, and knows which numbers are used.
        admitted: returns whether the engine's file in force names the set.

    Attributes:
        opened: the version that was opened before the set was admitted; None: none was.

    """

    def __init__(
        self, agreement: WorkerAgreement, name: str, history: VersionHistory, admitted: Callable[[], bool]
    ) -> None:
        self._agreement, self._name, self._history, self._admitted = agreement, name, history, admitted
        self._here: ChangeHere | None = None
        self._leads = False
        self.opened: OpenedWithFile | None = None

    @property
    def highest(self) -> int:
        """The highest number that is known to be used."""
        return self._history.highest

    async def load(self) -> Sequence[KeptVersion]:
        """Returns the versions on disk."""
        return await self._history.load()

    async def sources(self, version: int) -> Mapping[Path, bytes]:
        """Returns the files of a version on disk; raises as `VersionHistory.sources` does."""
        return await self._history.sources(version)

    @asynccontextmanager
    async def change(
        self, version: KeptVersion, read: ReadConfig, put_aside: ReadConfig | None, *, may_lose: bool
    ) -> AsyncIterator[None]:
        """Has the others open the version too, or is part of what another worker leads."""
        if not self._admitted():
            yield
            self.opened = OpenedWithFile(version.version, read)
            return
        if (here := self._agreement.followed(self._name)) is not None:
            self._here, self._leads = here, False
            with here.scope:
                yield
            if here.scope.cancelled_caught:
                raise here.rejection()
            return
        blob, aside = read.encode(), b"" if put_aside is None else put_aside.encode()
        back_to = version.rolled_back_to
        proposal = ProposeChange(
            0,
            "reload" if back_to is None else "rollback",
            self._name,
            version.trigger,
            file=str(version.path),
            digest=version.fingerprint.digest,
            version=version.version,
            force=may_lose,
            rolled_back_to=back_to,
            aside=len(aside),
        )
        async with self._agreement.leading(proposal, blob + aside, version.path) as self._here:
            self._leads = True
            yield

    async def keep(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        """Waits until all are ready; the leader keeps the version before it serves anywhere."""
        if not self._admitted():
            await self._note_or_keep(version, sources)
            return
        if self._here is None:
            raise AssertionError("a version is kept within its change")
        if self._leads:
            await self._agreement.commit(self._here, lambda: self._history.keep(version, sources))
        else:
            await self._agreement.commit(self._here)
            self._note(version, sources)

    async def _note_or_keep(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        if self._agreement.leads:
            await self._history.keep(version, sources)
        else:
            self._note(version, sources)

    def _note(self, version: KeptVersion, sources: Mapping[Path, bytes]) -> None:
        numbered: Any = self._history
        numbered.note(version, sources)


def problem_of_data(data: Mapping[str, Any]) -> Problem:
    """Returns the problem that `problems_as_data` made data of."""
    where = Location(data["file"], data["line"], data["column"])
    return Problem(where, data["path"], data["message"], data["hint"])
