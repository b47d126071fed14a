"""W02: a worker that hangs is noticed and replaced; it costs its own calls only."""

from __future__ import annotations

import signal

import trio
from attrs import define, field
from worker_engines import open_workers, restarted, send, worker_of

from reference_engine.link.messages import Alive, AskAlive
from reference_engine.supervisor.backoff import Backoff
from reference_engine.supervisor.liveness import CHECKS, kill_hung_workers
from voicepipe.testing.audiosocket_caller import open_audiosocket_call

ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0}]
hang_s: 4
control: c.sock
"""


async def test_a_worker_that_is_stopped_is_replaced(home):
    (home / "engine.yaml").write_text(ENGINE)
    async with (
        open_workers(home, file="engine.yaml") as engine,
        open_audiosocket_call(port=engine.port) as first,
        open_audiosocket_call(port=engine.port) as second,
    ):
        stopped = await worker_of(engine, first)
        assert await worker_of(engine, second) != stopped
        send(engine, stopped, signal.SIGSTOP)
        hung = await engine.logged("worker.hung")
        assert (hung["worker"], hung["calls"]) == (stopped, 1)
        ended = await restarted(engine, stopped)
        assert ended["reason"] == "it did not answer for 4 s (hang_s)"
        assert ended["calls_lost"] == 1
        await first.hung_up.wait()
        assert not second.hung_up.is_set()
        assert await second.agent_spoke(quiet_ms=100)


@define
class Worker:
    """A worker whose answers a test decides on."""

    number: int = 1
    pid: int = 4711
    started: object = object()
    ready_at: float | None = 0.0
    unanswered: int = 0
    calls: int = 0
    killed_because: str = ""
    answers: bool = True
    asked: list = field(factory=list)

    def post(self, message):
        assert isinstance(message, AskAlive)
        self.asked.append(message.id)
        if self.answers:
            self.unanswered = 0

    def kill(self, because):
        self.killed_because = because


class Supervisor:
    """What `kill_hung_workers` sees of a supervisor."""

    def __init__(self, *workers):
        self.workers, self.log, self.plan = workers, self, self
        self.hang_s, self.logged = 10.0, []

    def error(self, event, **fields):
        self.logged.append((event, fields["worker"]))


async def after(seconds, supervisor):
    with trio.move_on_after(seconds):
        await kill_hung_workers(supervisor)


async def test_only_questions_without_an_answer_count(autojump_clock):
    lively, held, loading, importing = Worker(1), Worker(2, answers=False), Worker(3), Worker(4)
    loading.answers, loading.ready_at = False, None
    importing.answers, importing.started = False, None
    supervisor = Supervisor(lively, held, loading, importing)
    await after(10.0 + 1, supervisor)
    assert supervisor.logged == []  # five questions, and none was overdue by then
    await after(10.0 / CHECKS + 0.1, supervisor)
    assert supervisor.logged == [("worker.hung", 2)]
    assert held.killed_because == "it did not answer for 10 s (hang_s)"
    await after(600, supervisor)
    assert [worker.killed_because != "" for worker in supervisor.workers] == [False, True, True, False]
    assert supervisor.logged == [("worker.hung", 2), ("worker.hung", 3)]  # each once
    assert lively.asked
    assert not importing.asked
    assert Alive(1).id == 1


async def test_a_supervisor_that_was_held_up_blames_nobody(autojump_clock):
    """As after a suspended machine: much time has gone by, and one question was asked."""
    worker = Worker(answers=False)
    supervisor = Supervisor(worker)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(kill_hung_workers, supervisor)
        await trio.sleep(3)
        autojump_clock.jump(3600)
        await trio.sleep(1)
        assert not worker.killed_because
        nursery.cancel_scope.cancel()


def test_the_pauses_of_a_worker_that_keeps_ending():
    backoff = Backoff()
    assert [backoff.pause_after(1.0) for _ in range(9)] == [0, 1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.pause_after(61.0) == 0
    assert backoff.ends == 1
    assert [backoff.pause_after(0.0) for _ in range(2)] == [1, 2]
