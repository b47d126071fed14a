"""What the kit makes of time that passes: in steps that hold up the loop, and in which nothing happens at all."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time

import parrot
import pytest
import trio

from voicepipe.errors import ComponentError
from voicepipe.testing import conformance
from voicepipe.testing.conformance.loop import longest_step


def hold_up(seconds):
    """As a library does that knows of no loop."""
    time.sleep(seconds)


async def measured(work):
    """The task whose step took 30 ms: what the machine takes of it besides is counted out, at times too much."""
    for _ in range(20):
        with longest_step() as step:
            await work()
        if step.seconds >= 0.03:
            return step.task
    raise AssertionError(f"it took {step.seconds} s")


async def test_the_longest_step_of_a_task_and_of_those_that_it_starts_is_found():
    async def slow():
        await trio.lowlevel.checkpoint()
        hold_up(0.03)

    async def work():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(slow)

    assert (await measured(work)).endswith("slow")


def compute(seconds):
    """With the interpreter's lock, as pure Python does."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def sleep_with_the_lock(seconds):
    """As an extension in C does that waits and lets no other thread run."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


@pytest.mark.parametrize("work", [compute, sleep_with_the_lock])
async def test_whatever_holds_up_the_loop_was_no_stop_of_the_process(work):
    async def holds_up():
        work(0.04)

    assert await measured(holds_up)


STEP = """
import sys, time
import trio
from voicepipe.testing.conformance.loop import longest_step

async def main():
    with longest_step() as step:
        began = time.perf_counter()
        print("now", flush=True)
        sys.stdin.readline()
        await trio.lowlevel.checkpoint()
        took = time.perf_counter() - began
    print(took, step.seconds)

trio.run(main)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere time is just time")
def test_a_stop_of_the_process_is_no_part_of_a_step():
    with subprocess.Popen([sys.executable, "-c", STEP], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"now\n"
        os.kill(process.pid, signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        time.sleep(0.3)
        os.kill(process.pid, signal.SIGCONT)
        took, counted = map(float, process.communicate(b"go on\n", timeout=300)[0].split())
    assert took >= 0.3
    assert counted <= took - 0.2


async def test_so_is_one_that_is_under_way_when_it_begins_and_ends():
    async def work():
        hold_up(0.03)

    assert await measured(work)


async def test_tasks_that_ran_before_do_not_count():
    async def server(conversations):
        async for _ in conversations:
            hold_up(0.03)

    said, conversations = trio.open_memory_channel(0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server, conversations)
        await trio.testing.wait_all_tasks_blocked()
        with longest_step() as step:
            await said.send("hello")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(server, conversations)
        nursery.cancel_scope.cancel()
    assert "server" not in step.task


class Waits(parrot.Parrot):
    """A service that has failed, which is told after a while."""

    async def _told(self):
        await trio.sleep(2)
        raise ComponentError("nothing came for 2 s", retryable=True, retry_after_s=2.0)

    def respond(self, request):
        return self._waiting(request) if self.fault else super().respond(request)

    def _waiting(self, request):
        del request
        return _Failing(self._told)


class _Failing:
    def __init__(self, told):
        self.told = told

    async def __aenter__(self):
        await self.told()

    async def __aexit__(self, *raised):
        return None


class Loads(Waits):
    """A service that takes long whatever is asked."""

    def respond(self, request):
        return _Loading(self, request)


class _Loading:
    def __init__(self, parrot, request):
        self.parrot, self.request = parrot, request

    async def __aenter__(self):
        if self.parrot.fault:
            await self.parrot._told()
        await trio.sleep(2)
        self.inner = parrot.Parrot.respond(self.parrot, self.request)
        return await self.inner.__aenter__()

    async def __aexit__(self, *raised):
        return await self.inner.__aexit__(*raised)


def kit(component, fault):
    return conformance.language_model(
        parrot.adapter(component), parrot.ParrotOptions(), faults={fault: parrot.ParrotOptions(fault)}
    )


@pytest.mark.parametrize("fault", ["empty", "throttled", "server_error", "rubbish", "refuse", "half_close"])
async def test_what_the_service_tells_is_not_left_to_a_deadline_or_a_retry(autojump_clock, fault):
    check = conformance.FAULTS[fault].check
    with pytest.raises(conformance.ConformanceError, match=r"it was told after [12]\.\d s in which nothing happened"):
        await kit(Waits, fault).check([check])


async def test_what_nothing_tells_of_is(autojump_clock):
    assert (await kit(Waits, "stall").check(["a_stall_is_noticed"])).passed == ("a_stall_is_noticed",)


async def test_what_takes_as_long_otherwise_is_no_deadline(autojump_clock):
    check = "an_empty_success_is_noticed"
    assert (await kit(Loads, "empty").check([check])).passed == (check,)
