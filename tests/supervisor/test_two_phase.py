"""The two phases of a change over simulated workers that end, hang and fail at any moment: all, or none."""

from __future__ import annotations

from collections import deque

import hypothesis.strategies as st
from attrs import define, evolve, field
from hypothesis import given, settings

from reference_engine.link.messages import (
    ChangeBegun,
    ChangeKept,
    ChangePrepared,
    CommitChange,
    FollowingCaughtUp,
    KeepChange,
    LeadChanges,
    PrepareChange,
    ProposeChange,
    WithdrawChange,
)
from reference_engine.supervisor.two_phase import PREPARE_S, TwoPhase

PROBLEM = {"file": "a.yaml", "line": 3, "column": 5, "path": "p.tts", "message": "worker 2: no", "hint": ""}


def proposal(change=1, version=1, digest="one", **other):
    return ProposeChange(change, "reload", "main", "signal", file="a.yaml", digest=digest, version=version, **other)


class Situation:
    """Three workers of which the first leads, and a first version that all serve."""

    def __init__(self, workers=3):
        self.two_phase, self.sent = TwoPhase(), []
        self.take(self.two_phase.joined(1, name="worker 1", rank=1, now=0))
        self.change(proposal(), [1])
        for number in range(2, workers + 1):
            self.take(self.two_phase.joined(number, name=f"worker {number}", rank=number, now=0))
            (told,) = self.messages(number, PrepareChange)
            self.take(self.two_phase.prepared(number, ChangePrepared(told.change, ready=True), now=0))
        self.sent.clear()

    def take(self, sent):
        self.sent += [(each.worker, each.message) for each in sent]

    def messages(self, worker, kind):
        return [message for to, message in self.sent if to == worker and isinstance(message, kind)]

    def change(self, proposed, workers, blob=b"read"):
        self.take(self.two_phase.proposed(1, proposed, blob, now=0))
        for worker in workers:
            self.ready(worker, proposed)
        self.take(self.two_phase.kept(1, proposed.change, now=0))

    def ready(self, worker, proposed, *, ready=True, problems=()):
        id_there = proposed.change if worker == 1 else self.messages(worker, PrepareChange)[-1].change
        self.take(self.two_phase.prepared(worker, ChangePrepared(id_there, ready, problems), now=0))

    @property
    def serving(self):
        return self.two_phase.committed["main"].number


def test_all_commit_after_all_are_ready_and_the_version_is_kept():
    made, new = Situation(), proposal(2, 2, "two")
    made.take(made.two_phase.proposed(1, new, b"read", now=0))
    assert made.messages(1, ChangeBegun) == [ChangeBegun(2)]
    assert [made.messages(worker, PrepareChange)[0].version for worker in (2, 3)] == [2, 2]
    for worker in (3, 1):
        made.ready(worker, new)
        assert not made.messages(1, KeepChange)
    made.ready(2, new)
    assert made.messages(1, KeepChange)
    assert not any(made.messages(worker, CommitChange) for worker in (1, 2, 3))
    made.take(made.two_phase.kept(1, 2, now=0))
    assert all(made.messages(worker, CommitChange) for worker in (1, 2, 3))
    assert made.serving == 2


def test_one_that_is_not_ready_withdraws_it_for_all_with_its_problems():
    made, new = Situation(), proposal(2, 2, "two")
    made.take(made.two_phase.proposed(1, new, b"read", now=0))
    made.ready(1, new)
    made.ready(2, new, ready=False, problems=[PROBLEM])
    assert made.messages(1, WithdrawChange) == [WithdrawChange(2, [PROBLEM])]
    assert made.messages(3, WithdrawChange)
    made.ready(3, new)  # which had not heard of it yet
    assert not made.messages(1, KeepChange)
    assert made.serving == 1
    made.change(proposal(3, 2, "three"), [1, 2, 3])  # nobody served 2
    assert made.serving == 2


def test_one_that_ends_before_it_is_ready_withdraws_it_and_is_named():
    made, new = Situation(), proposal(2, 2, "two")
    made.take(made.two_phase.proposed(1, new, b"read", now=0))
    made.ready(1, new)
    made.take(made.two_phase.gone(3, now=0))
    (withdrawn,) = made.messages(1, WithdrawChange)
    assert withdrawn.problems[0]["message"] == "worker 3 ended while it prepared the change; nothing has changed"
    assert withdrawn.problems[0]["file"] == "a.yaml"
    for trigger, refused in (("watch", True), ("retry", True), ("signal", False)):
        made.sent.clear()
        made.take(made.two_phase.proposed(1, evolve(new, change=9, trigger=trigger), b"read", now=0))
        assert bool(made.messages(1, WithdrawChange)) == refused


def test_one_that_ends_after_it_was_ready_holds_nobody_up():
    made, new = Situation(), proposal(2, 2, "two")
    made.take(made.two_phase.proposed(1, new, b"read", now=0))
    made.ready(3, new)
    made.take(made.two_phase.gone(3, now=0))
    made.ready(1, new)
    made.ready(2, new)
    made.take(made.two_phase.kept(1, 2, now=0))
    assert made.serving == 2
    made.sent.clear()
    made.take(made.two_phase.joined(4, name="worker 3", rank=3, now=0))  # in its place
    (told,) = made.messages(4, PrepareChange)
    assert (told.version, told.committed) == (2, True)


def test_a_leader_that_ends_withdraws_what_it_proposed_and_the_next_one_leads():
    made, new = Situation(), proposal(2, 2, "two")
    made.take(made.two_phase.proposed(1, new, b"read", now=0))
    for worker in (1, 2, 3):
        made.ready(worker, new)
    made.take(made.two_phase.gone(1, now=0))
    assert made.messages(2, WithdrawChange)
    assert made.messages(2, LeadChanges)
    assert made.two_phase.leader == 2
    assert made.two_phase.kept(1, 2, now=0) == []


def test_what_is_not_ready_in_time_is_withdrawn():
    made, new = Situation(), proposal(2, 2, "two")
    made.take(made.two_phase.proposed(1, new, b"read", now=0))
    made.ready(1, new)
    made.ready(2, new)
    assert made.two_phase.deadline == PREPARE_S
    made.take(made.two_phase.tick(PREPARE_S))
    (withdrawn,) = made.messages(1, WithdrawChange)
    assert withdrawn.problems[0]["message"].startswith("worker 3 did not prepare the change within 90 s")
    assert made.two_phase.deadline is None


def test_a_number_that_is_used_is_not_used_for_anything_else():
    made = Situation()
    made.take(made.two_phase.proposed(1, proposal(2, 1, "two"), b"read", now=0))
    assert made.messages(1, WithdrawChange)[0].problems[0]["message"].startswith("version 1 was used already")
    made.change(proposal(3, 1, "one"), [1, 2, 3])  # a rollback that is over, say
    assert not made.messages(1, WithdrawChange)[1:]


def test_one_that_cannot_start_does_not_keep_a_file_from_the_others():
    made = Situation()
    made.take(made.two_phase.joined(4, name="worker 4", rank=4, now=0))
    (told,) = made.messages(4, PrepareChange)
    made.take(made.two_phase.prepared(4, ChangePrepared(told.change, ready=False, problems=[PROBLEM]), now=0))
    assert not made.messages(4, FollowingCaughtUp)
    made.change(proposal(2, 2, "two"), [1, 2, 3])
    assert made.serving == 2
    again = made.messages(4, PrepareChange)[-1] if made.messages(4, PrepareChange)[1:] else None
    assert again is None  # after a pause
    made.take(made.two_phase.tick(made.two_phase.deadline))
    told = made.messages(4, PrepareChange)[-1]
    assert told.version == 2
    made.take(made.two_phase.prepared(4, ChangePrepared(told.change, ready=True), now=9))
    assert made.messages(4, FollowingCaughtUp)


def test_sets_that_come_with_the_engines_file_are_committed_with_it_and_others_go():
    made = Situation()
    opened = {"new": {"version": 4, "digest": "n", "file": "n.yaml", "at": 3, "length": 2}}
    engine = ProposeChange(
        7, "engine", "", "signal", file="engine.yaml", digest="e", sets=["main", "new"], opened=opened
    )
    made.take(made.two_phase.proposed(1, engine, b"abcde", now=0))
    for worker in (1, 2, 3):
        made.ready(worker, engine)
    made.take(made.two_phase.kept(1, 7, now=0))
    assert {name: (each.number, each.blob) for name, each in made.two_phase.committed.items()} == {
        "main": (1, b"read"),
        "new": (4, b"de"),
        "": (1, b"abcde"),
    }
    without = ProposeChange(8, "engine", "", "signal", file="engine.yaml", digest="f", sets=["main"])
    made.take(made.two_phase.proposed(1, without, b"x", now=0))
    for worker in (1, 2, 3):
        made.ready(worker, without)
    made.take(made.two_phase.kept(1, 8, now=0))
    assert made.two_phase.committed.keys() == {"", "main"}


# --- Workers at random -----------------------------------------------------------------------------------------------


@define(eq=False)
class Worker:
    """A worker as its own code behaves, with queues in both directions."""

    key: int
    rank: int
    leads: bool = False
    serves: tuple | None = None
    highest: int = 0
    preparing: dict = field(factory=dict)
    """What it opens or has opened, by the change's number here."""
    proposed: int = 0
    inbox: deque = field(factory=deque)
    outbox: deque = field(factory=deque)


class World:
    """A supervisor and its workers; each step is one thing that happens, in any order."""

    def __init__(self, number):
        self.two_phase, self.now, self.keys = TwoPhase(), 0.0, 0
        self.workers, self.used, self.answers = {}, {}, set()
        self.configurations = self.steps = 0
        for rank in range(1, number + 1):
            self.start(rank)

    def start(self, rank):
        self.keys += 1
        self.workers[self.keys] = Worker(self.keys, rank)
        self.carry(self.two_phase.joined(self.keys, name=f"worker {rank}", rank=rank, now=self.now))

    def carry(self, sent):
        for each in sent:
            if each.worker in self.workers:
                self.workers[each.worker].inbox.append((each.message, each.blob))

    def kill(self, worker):
        del self.workers[worker.key]
        self.carry(self.two_phase.gone(worker.key, self.now))

    def supervisor_reads(self, worker):
        if not worker.outbox:
            return
        message, blob = worker.outbox.popleft()
        self.steps += 1
        match message:
            case ProposeChange():
                self.carry(self.two_phase.proposed(worker.key, message, blob, self.now))
            case ChangePrepared():
                self.carry(self.two_phase.prepared(worker.key, message, self.now))
            case ChangeKept():
                self.carry(self.two_phase.kept(worker.key, message.change, self.now))

    def worker_reads(self, worker):
        if not worker.inbox:
            return
        message, blob = worker.inbox.popleft()
        self.steps += 1
        match message:
            case LeadChanges():
                worker.leads = True
            case PrepareChange():
                worker.preparing[message.change] = (message.version, blob)
            case KeepChange():
                worker.outbox.append((ChangeKept(message.change), b""))
            case CommitChange():
                assert (worker.key, message.change) in self.answers, "a commit without all being ready"
                version, digest = worker.preparing.pop(message.change)
                worker.serves, worker.highest = (version, digest), max(worker.highest, version)
                assert self.used.setdefault(version, digest) == digest, "a number for two configurations"
                assert self.two_phase.committed["main"].number >= version
            case WithdrawChange():
                worker.preparing.pop(message.change, None)

    def propose(self, worker):
        if not worker.leads or worker.preparing:  # a set carries out one change at a time
            return
        self.configurations += 1
        worker.proposed += 1
        digest = f"configuration {self.configurations}"
        worker.preparing[worker.proposed] = (worker.highest + 1, digest.encode())
        worker.outbox.append((proposal(worker.proposed, worker.highest + 1, digest), digest.encode()))

    def answer(self, worker, ready):
        for change in worker.preparing:
            if (worker.key, change) not in self.answers:
                self.answers.add((worker.key, change))
                self.steps += 1
                worker.outbox.append((ChangePrepared(change, ready, () if ready else [PROBLEM]), b""))
                if not ready:
                    del worker.preparing[change]
                return

    def is_ready(self, worker):
        self.answer(worker, ready=True)

    def fails(self, worker):
        self.answer(worker, ready=False)

    def settle(self):
        """Everybody answers, nobody ends any more."""
        for _ in range(2000):
            before = self.steps
            for worker in list(self.workers.values()):
                self.supervisor_reads(worker)
                self.worker_reads(worker)
                self.answer(worker, ready=True)
            if self.steps == before:
                if self.two_phase.deadline is None:
                    return
                self.now = max(self.now, self.two_phase.deadline)
                self.carry(self.two_phase.tick(self.now))
        raise AssertionError("it never comes to rest")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["supervisor_reads"] * 6
            + ["worker_reads"] * 6
            + ["is_ready"] * 4
            + ["propose"] * 2
            + ["fails", "kill", "start", "tick"]
        ),
        st.integers(0, 5),
    ),
    max_size=120,
)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 4), STEPS)
def test_whatever_happens_all_serve_the_same_in_the_end_and_no_number_is_used_twice(number, steps):
    world = World(number)
    for what, which in steps:
        workers = sorted(world.workers.values(), key=lambda worker: worker.key)
        if what == "tick":
            world.now += PREPARE_S / 2
            world.carry(world.two_phase.tick(world.now))
        elif what == "start" or not workers:
            if free := set(range(1, number + 1)) - {worker.rank for worker in workers}:
                world.start(min(free))
        else:
            getattr(world, what)(workers[which % len(workers)])
    world.settle()
    committed = world.two_phase.committed.get("main")
    expected = None if committed is None else (committed.number, committed.proposal.digest.encode())
    assert {worker.serves for worker in world.workers.values()} <= {expected}
    assert not any(worker.preparing for worker in world.workers.values())
    assert sum(worker.leads for worker in world.workers.values()) == bool(world.workers)
