"""Checks of what calls share: one loop, one component, and connections that other calls have used."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.components.protocols import Probing
from voicepipe.nurseries import leaves_of, open_hidden_nursery, uncancelled
from voicepipe.testing.conformance.agreement import agreement
from voicepipe.testing.conformance.belongings import nothing_more_than
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.loop import longest_step
from voicepipe.testing.conformance.streams import warmed_up
from voicepipe.testing.conformance.verdicts import Failed, in_words
from voicepipe.testing.conformance.waiting import counted_s

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.testing.conformance.belongings import Belongings
    from voicepipe.testing.conformance.subject import Bench, Subject

STEP_S = 0.05
"""The longest step of a task on the loop, in s: a frame lasts 20 ms, and a late one is heard."""

ATTEMPTS = 3
"""The number of measurements, of which the least counts: what is slow only once is the machine's doing."""

UNRECEIVED = 4
"""The most streams that are open while another one is used."""


async def nothing_holds_up_the_loop(subject: Subject[Any]) -> None:
    """The event loop is never blocked for longer than 50 ms, whether the component opens, works, is probed or closes.

    All calls share one loop: while it is blocked, no call hears or speaks. Computation, blocking calls, file access and
    imports of libraries belong in a thread (`trio.to_thread.run_sync` with `limiter=resources.threads`); a library that
    holds the GIL belongs in a process. `time.sleep`, `requests` and `subprocess.run` block the loop, too.
    """
    async with subject.served() as options:
        await _steps_are_short("opening", lambda: _open(subject, options))
        async with subject.opened(options) as bench:
            await bench.use(brief=True)
            await _steps_are_short("a stream", bench.use)
            await _steps_are_short("leaving a stream", lambda: _leave(bench))
            if isinstance(bench.raw, Probing):
                await _steps_are_short("probe()", bench.raw.probe)


async def _open(subject: Subject[Any], options: Any) -> None:
    async with subject.opened(options):
        pass


async def _leave(bench: Bench[Any]) -> None:
    async with bench.stream() as stream:
        await bench.begin(stream)


async def _steps_are_short(what: str, work: Any) -> None:
    slow = []
    for _ in range(ATTEMPTS):
        with longest_step() as step:
            await work()
        if step.seconds < STEP_S:
            return
        slow.append(step)
    least = min(slow, key=lambda step: step.seconds)
    raise Failed(f"{what} held up the loop for {least.seconds * 1000:.0f} ms at a time, in the task {least.task}")


async def leaving_takes_no_time(subject: Subject[Any]) -> None:
    """A stream that is left or cancelled has released its sockets and tasks within half a second.

    At a barge-in the next reply waits until this one has been left. Don't wait for the service's closing handshake:
    close the socket, cancel the nursery, and give a message that must be sent first a short time limit,
    `with trio.move_on_after(0.2, shield=True)`.
    """
    async with subject.bench() as bench:
        before = await warmed_up(bench)
        for how in ("before anything was sent", "after its first event", "when it was cancelled"):
            took_s = [await _leaving_s(bench, before, how)]
            while took_s[-1] > subject.limits.leave_s and len(took_s) < ATTEMPTS:
                took_s.append(await _leaving_s(bench, before, how))
            if min(took_s) > subject.limits.leave_s:
                raise Failed(f"a stream that was left {how} was gone only after {min(took_s):.1f} s")


async def _leaving_s(bench: Bench[Any], before: Belongings, how: str) -> float:
    with trio.CancelScope() as scope:
        async with bench.stream() as stream:
            if how != "before anything was sent":
                await bench.begin(stream)
            began = counted_s()
            if how == "when it was cancelled":
                scope.cancel()
                await trio.lowlevel.checkpoint()
    await nothing_more_than(before, bench.subject.limits.settle_s, bench.resources)
    return counted_s() - began


async def calls_are_served_at_the_same_time(subject: Subject[Any]) -> None:
    """A stream works from its opening to its end while other streams are open from which nothing is received.

    A caller who listens to a long answer must keep no other caller waiting. A lock, a limiter or a pool of one
    connection around a stream's work makes all calls wait for the slowest. Give each stream its own connection or
    session; if one is shared, a single task reads it, and a stream whose buffer is full must not stop that task.
    """
    async with subject.bench() as bench, open_hidden_nursery() as nursery:
        number = 0
        try:
            for number in range(min(UNRECEIVED, subject.limits.at_once)):
                await nursery.start(_kept_open, bench, number)
            number += 1
            await bench.use()
        except Failed as failed:
            raise Failed(f"with {number} other streams open that nobody receives from: {failed}") from failed
        nursery.cancel_scope.cancel()


async def _kept_open(bench: Bench[Any], number: int, *, task_status: trio.TaskStatus[None]) -> None:
    """Keeps a stream open in a task of its own, as a call does: locks belong to tasks."""
    async with _unreceived(bench, number) as stream:
        if number % 2:
            await bench.next(stream)
        task_status.started()
        await trio.sleep_forever()


@asynccontextmanager
async def _unreceived(bench: Bench[Any], variant: int) -> AsyncIterator[Any]:
    """Opens a stream that is sent much and not received; its sender waits for as long as it has to."""
    use = bench.subject.use
    async with bench.stream(variant, much=True) as stream, open_hidden_nursery() as nursery:
        nursery.start_soon(use.say_much, bench.component, stream, variant)
        yield stream
        nursery.cancel_scope.cancel()


async def what_was_left_is_not_heard_again(subject: Subject[Any]) -> None:
    """After a stream was left half-way, the next one gives the events that it gives when it is used alone.

    At a barge-in the rest of a reply is still on its way, and if the connection is reused, the next caller hears it.
    Close the connection, or read the rest before another stream uses it, and match answers by their ids.
    """
    async with subject.bench() as bench:
        agree = await agreement(bench, [1], brief=True)
        for how in ("unreceived", "begun", "cancelled"):
            with trio.CancelScope() as scope:
                async with _unreceived(bench, 2) as stream:
                    if how != "unreceived":
                        await bench.next(stream)
                    if how == "cancelled":
                        scope.cancel()
                        await trio.lowlevel.checkpoint()
            agree(1, await bench.use(1, brief=True))


async def components_do_not_share(subject: Subject[Any]) -> None:
    """Two components of one adapter work at the same time, and closing one does not affect the other.

    A reload opens a second component while calls use the first, and may close either. A client, a process or a model in
    a module's global would be closed for both: keep it in the component that `open` yields.
    """
    async with subject.served() as options, subject.opened(options) as older:
        async with subject.opened(options) as newer:
            await older.use(brief=True)
            await newer.use(brief=True)
        try:
            await older.use(brief=True)
        except (Exception, BaseExceptionGroup) as error:
            if uncancelled(error) is None:
                raise
            errors = in_words(f"{type(leaf).__name__}: {leaf}" for leaf in leaves_of(error))
            raise Failed(f"after another component of the adapter had been closed: {errors}") from error


SHARING = checks(
    nothing_holds_up_the_loop,
    calls_are_served_at_the_same_time,
    leaving_takes_no_time,
    what_was_left_is_not_heard_again,
    components_do_not_share,
)
