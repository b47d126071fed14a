"""The two phases of a change over all workers, as a state machine without I/O.

Theory of operation
===================

*The leader.* One worker leads: it reads files, watches them, decides what is a change and which number it has, and
keeps versions on the disk, all as an engine of one process does. The others follow. So there is one reader and one
writer, and nothing of what a change can be (shared, forced, rolled back, unchanged) is decided twice.

*A change* goes through these steps. `L` is the leader, `F` each follower that serves what is committed:

    L ─ ProposeChange ──> │ ── PrepareChange ──> F        what was read goes along, as bytes
    L <─ ChangeBegun ──── │                               all open what is new, beside their calls
    L ─ ChangePrepared ─> │ <── ChangePrepared ─ F        the first phase is over when all are ready
    L <─ KeepChange ───── │                               the version is written to the disk
    L ─ ChangeKept ─────> │
    L <─ CommitChange ─── │ ── CommitChange ───> F        the second phase

A worker that is not ready, or ends before it was, or is not ready at the deadline, withdraws the change for all:
`WithdrawChange` has the problems, each of which names the worker. What a worker ended over is not tried again unless
somebody asks for it (`_deadly`): the watch of each new leader would otherwise end one worker after the other.

*After readiness* the end of a follower changes nothing: it opened what is new, so that did not end it, and the worker
in its place starts with what is committed. If the leader ends before the commit, the change is withdrawn: nobody knows
whether the version is on the disk, and no call had its number.

*Catching up.* A worker that was just started, or whose set was lost by a defect, is told all that is committed, and
commits each part as soon as it is ready. It is no part of changes until it has caught up, so that a worker that can't
start does not keep a file from being served by the others. What it can't serve it is told again, after a pause.

*The next leader* is the worker with the lowest number that has caught up. What it followed gave it all numbers.

*Numbers.* A number is used when it is committed. A proposal with a number that is used is refused, unless it is the
same configuration under its own number, which only repeats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from reference_engine.link.messages import (
    ChangeBegun,
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

PREPARE_S: Final = 90.0
"""The time in which all workers must be ready, in s. It is longer than the time that opening a component may take."""

FIRST_PAUSE_S: Final = 1.0
"""The pause before a worker is told again what it could not serve, in s; it doubles each time."""

MOST_PAUSE_S: Final = 60.0
"""The longest such pause, in s."""

BY_ITSELF: Final = frozenset({"watch", "retry", "failure"})
"""The triggers of changes that nobody asked for."""

ENGINE: Final = ""
"""What the engine's file is called among the sets."""

Problems: TypeAlias = Sequence[Mapping[str, Any]]


@frozen
class ToWorker:
    """A message that is to be sent."""

    worker: int
    """The worker, by the number that it joined with."""
    message: Message
    """The message."""
    blob: bytes = field(default=b"", repr=False)
    """What goes along."""


@frozen
class Committed:
    """What all workers serve of a set, or of the engine's file."""

    proposal: ProposeChange
    """The proposal that was committed."""
    blob: bytes = field(repr=False)
    """What was read."""
    number: int
    """The version's number; of the engine's file, the count of its changes."""


@define(eq=False)
class _SharedChange:
    id: int
    leader: int
    proposal: ProposeChange
    blob: bytes
    members: dict[int, bool]
    """The workers that take part, each with whether it is ready."""
    deadline: float
    keeping: bool = False
    """Whether all are ready, and the leader writes to the disk."""


@define(eq=False)
class _JoinedWorker:
    name: str
    """The worker as problems call it."""
    rank: int
    """The lowest one leads."""
    serves: dict[str, int] = field(factory=dict)
    """The numbers of what it has committed, by set."""
    told: dict[str, tuple[int, int]] = field(factory=dict)
    """What it is catching up with, by set: the ID of the change and its number."""
    again_at: dict[str, float] = field(factory=dict)
    """When it is told again what it could not serve."""
    pauses: dict[str, float] = field(factory=dict)
    caught_up: bool = False
    """Whether it serves all that is committed."""


class TwoPhase:
    """The changes of all workers. Each method returns the messages that it causes, in order.

    Attributes:
        leader: the worker that leads, by the number that it joined with; None: none can yet.
        committed: what is committed, by set; `ENGINE` is the engine's file.

    """

    def __init__(self) -> None:
        self.leader: int | None = None
        self.committed: dict[str, Committed] = {}
        self._members: dict[int, _JoinedWorker] = {}
        self._changes: dict[int, _SharedChange] = {}
        self._ids = count(1)
        self._deadly: dict[str, tuple[str, str]] = {}  # by set: a digest, and the worker that ended over it
        self._engine_changes = 0

    # --- Workers ----------------------------------------------------------------------------------------------------

    def joined(self, worker: int, *, name: str, rank: int, now: float) -> list[ToWorker]:
        """Takes in a worker that has started.

        Args:
            worker: a number that no other worker ever has.
            name: what problems call it, such as `worker 2`.
            rank: its number among those that run; the lowest leads.
            now: the time.

        """
        self._members[worker] = _JoinedWorker(name, rank)
        return self._catch_up(worker, now) + self._elect()

    def gone(self, worker: int, now: float) -> list[ToWorker]:
        """Takes out a worker that has ended."""
        sent: list[ToWorker] = []
        member = self._members.pop(worker, None)
        if member is None:
            return sent
        if self.leader == worker:
            self.leader = None
        for change in [change for change in self._changes.values() if worker in change.members]:
            ready = change.members.pop(worker)
            if ready and worker != change.leader:
                continue
            if not ready and not change.keeping:
                self._deadly[change.proposal.set] = change.proposal.digest, member.name
            problem = self._problem(change.proposal, f"{member.name} ended while it prepared the change")
            sent += self._withdraw(change, [problem], now)
        return sent + self._elect()

    def lost(self, worker: int, set_name: str, now: float) -> list[ToWorker]:
        """Notes that a follower serves no version of a set any more, by a defect: it is told it again."""
        member = self._members.get(worker)
        if member is None or worker == self.leader:
            return []
        member.serves.pop(set_name, None)
        member.told.pop(set_name, None)
        return self._catch_up(worker, now)

    # --- Changes ----------------------------------------------------------------------------------------------------

    def proposed(self, worker: int, proposal: ProposeChange, blob: bytes, now: float) -> list[ToWorker]:
        """Begins a change that the leader proposes."""
        if (refusal := self._refusal(worker, proposal)) is not None:
            return [ToWorker(worker, WithdrawChange(proposal.change, [refusal]))]
        followers = [other for other, member in self._members.items() if other != worker and member.caught_up]
        members = dict.fromkeys([worker, *followers], False)
        change = _SharedChange(next(self._ids), worker, proposal, blob, members, now + PREPARE_S)
        self._changes[change.id] = change
        prepare = _prepare(change.id, proposal, self._number_of(proposal))
        return [
            *(ToWorker(follower, prepare, blob) for follower in followers),
            ToWorker(worker, ChangeBegun(proposal.change)),
        ]

    def prepared(self, worker: int, answer: ChangePrepared, now: float) -> list[ToWorker]:
        """Takes the end of a worker's first phase."""
        if (caught_up := self._caught_up_with(worker, answer, now)) is not None:
            return caught_up
        change = self._change_of(worker, answer.change)
        if change is None:  # it was withdrawn meanwhile
            return []
        if not answer.ready:
            change.members.pop(worker)
            return self._withdraw(change, answer.problems, now)
        change.members[worker] = True
        return self._keep_if_all_ready(change)

    def kept(self, leader: int, change_of_leader: int, now: float) -> list[ToWorker]:
        """Commits a change that the leader has written to the disk."""
        change = self._change_of(leader, change_of_leader)
        if change is None or not change.keeping:
            return []
        del self._changes[change.id]
        proposal = change.proposal
        number = self._number_of(proposal)
        if proposal.kind == "engine":
            self._engine_changes += 1
            self._drop_sets(proposal)
        self.committed[proposal.set] = Committed(proposal, change.blob, number)
        for name, opened in proposal.opened.items():
            self._commit_with_engine(name, opened, change)
        self._deadly.pop(proposal.set, None)
        versions = {name: int(opened["version"]) for name, opened in proposal.opened.items()}
        sent = []
        for worker in change.members:
            self._members[worker].serves |= {proposal.set: number} | versions
            id_there = proposal.change if worker == leader else change.id
            sent.append(ToWorker(worker, CommitChange(id_there)))
        for worker in tuple(self._members):
            sent += self._catch_up(worker, now)
        return sent

    # --- The clock --------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> float | None:
        """The time at which `tick` has something to do; None: there is nothing to wait for."""
        changes = (change.deadline for change in self._changes.values() if not change.keeping)
        again = (at for member in self._members.values() for at in member.again_at.values())
        return min((*changes, *again), default=None)

    def tick(self, now: float) -> list[ToWorker]:
        """Withdraws changes for which not all are ready in time, and tells again what could not be served."""
        sent: list[ToWorker] = []
        for change in [change for change in self._changes.values() if not change.keeping and change.deadline <= now]:
            late = [worker for worker, ready in change.members.items() if not ready]
            names = ", ".join(self._members[worker].name for worker in late)
            problem = self._problem(change.proposal, f"{names} did not prepare the change within {PREPARE_S:g} s")
            sent += self._withdraw(change, [problem], now)
        for worker in tuple(self._members):
            sent += self._catch_up(worker, now)
        return sent

    # --- Helpers of changes -----------------------------------------------------------------------------------------

    def _refusal(self, worker: int, proposal: ProposeChange) -> Mapping[str, Any] | None:
        if worker != self.leader:
            return self._problem(proposal, "another worker leads changes: reload again")
        digest, name = self._deadly.get(proposal.set, ("", ""))
        if digest and digest == proposal.digest and proposal.trigger in BY_ITSELF:
            hint = "change the file, or reload to try it again all the same"
            return self._problem(proposal, f"{name} ended while it prepared this configuration", hint)
        committed = self.committed.get(proposal.set)
        if proposal.version is None or committed is None or proposal.version > committed.number:
            return None
        if proposal.version == committed.number and proposal.digest == committed.proposal.digest:
            return None
        return self._problem(proposal, f"version {proposal.version} was used already", "reload again")

    def _number_of(self, proposal: ProposeChange) -> int:
        return self._engine_changes + 1 if proposal.version is None else proposal.version

    def _change_of(self, worker: int, change: int) -> _SharedChange | None:
        """Returns the change that a worker calls by a number: the leader by its own, followers by that of ours."""
        for mine in self._changes.values():
            its = mine.proposal.change if worker == mine.leader else mine.id
            if worker in mine.members and its == change:
                return mine
        return None

    def _keep_if_all_ready(self, change: _SharedChange) -> list[ToWorker]:
        if change.keeping or not all(change.members.values()):
            return []
        change.keeping = True
        return [ToWorker(change.leader, KeepChange(change.proposal.change))]

    def _withdraw(self, change: _SharedChange, problems: Problems, now: float) -> list[ToWorker]:
        """Withdraws a change in all workers that take part."""
        del self._changes[change.id]
        sent = []
        for worker in change.members:
            id_there = change.proposal.change if worker == change.leader else change.id
            sent.append(ToWorker(worker, WithdrawChange(id_there, problems)))
        for worker in tuple(self._members):
            sent += self._catch_up(worker, now)
        return sent

    def _commit_with_engine(self, name: str, opened: Mapping[str, Any], change: _SharedChange) -> None:
        """Notes a set's version that was committed with the engine's file; its own part of the blob is kept."""
        version, at = int(opened["version"]), opened["at"]
        own = ProposeChange(
            0, "start", name, change.proposal.trigger, file=opened["file"], digest=opened["digest"], version=version
        )
        self.committed[name] = Committed(own, change.blob[at : at + opened["length"]], version)

    def _drop_sets(self, engine: ProposeChange) -> None:
        for name in set(self.committed) - {ENGINE, *engine.sets}:
            del self.committed[name]
            for member in self._members.values():
                member.serves.pop(name, None)
                member.told.pop(name, None)

    @staticmethod
    def _problem(proposal: ProposeChange, message: str, hint: str = "") -> Mapping[str, Any]:
        return {
            "file": proposal.file,
            "line": 1,
            "column": 1,
            "path": "",
            "message": f"{message}; nothing has changed",
            "hint": hint,
        }

    # --- Catching up and leading ------------------------------------------------------------------------------------

    def _catch_up(self, worker: int, now: float) -> list[ToWorker]:
        """Tells a worker what it does not serve yet of what is committed, unless it is opening it."""
        member, sent = self._members[worker], []
        if worker == self.leader or (self.leader is None and not self.committed):
            return []
        part_of = {change.proposal.set for change in self._changes.values() if worker in change.members}
        for name, committed in sorted(self.committed.items()):  # the engine's file first
            if member.serves.get(name) == committed.number or name in part_of:
                continue
            if name in member.told or member.again_at.get(name, now) > now:
                continue
            member.again_at.pop(name, None)
            member.told[name] = next(self._ids), committed.number
            prepare = _prepare(member.told[name][0], committed.proposal, committed.number, committed=True)
            sent.append(ToWorker(worker, prepare, committed.blob))
        if not member.caught_up and self.committed and self._serves_all(member):
            member.caught_up = True
            sent += [ToWorker(worker, FollowingCaughtUp()), *self._elect()]
        return sent

    def _caught_up_with(self, worker: int, answer: ChangePrepared, now: float) -> list[ToWorker] | None:
        """Takes the answer of a worker that catches up; None: the answer is about a change."""
        member = self._members.get(worker)
        if member is None:
            return []
        name = next((name for name, (change, _number) in member.told.items() if change == answer.change), None)
        if name is None or worker == self.leader:
            return None
        _change, number = member.told.pop(name)
        if answer.ready:
            member.serves[name] = number
            member.pauses.pop(name, None)
            return [ToWorker(worker, CommitChange(answer.change)), *self._catch_up(worker, now)]
        pause = member.pauses[name] = min(member.pauses.get(name, FIRST_PAUSE_S / 2) * 2, MOST_PAUSE_S)
        member.again_at[name] = now + pause
        return self._catch_up(worker, now)

    def _serves_all(self, member: _JoinedWorker) -> bool:
        return all(member.serves.get(name) == committed.number for name, committed in self.committed.items())

    def _elect(self) -> list[ToWorker]:
        """Makes the first worker that serves all that is committed the leader, if there is none."""
        if self.leader is not None:
            return []
        able = [(member.rank, worker) for worker, member in self._members.items() if self._serves_all(member)]
        if not able:
            return []
        _rank, self.leader = min(able)
        member = self._members[self.leader]
        member.caught_up = True
        member.told.clear()
        return [ToWorker(self.leader, LeadChanges())]


def _prepare(change: int, proposal: ProposeChange, number: int, *, committed: bool = False) -> PrepareChange:
    return PrepareChange(
        change,
        proposal.kind,
        proposal.set,
        proposal.trigger,
        version=None if proposal.kind == "engine" else number,
        force=proposal.force,
        rolled_back_to=proposal.rolled_back_to,
        aside=proposal.aside,
        committed=committed,
    )
