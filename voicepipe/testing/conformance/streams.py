"""Checks for streams of every role: stopping, interrupting, sharing."""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING, Any

import attrs
import trio

from voicepipe.components.protocols import Probing
from voicepipe.nurseries import leaves_of, open_hidden_nursery, uncancelled
from voicepipe.testing.conformance.agreement import agreement
from voicepipe.testing.conformance.belongings import belongings, nothing_more_than
from voicepipe.testing.conformance.cancelling import chosen, counting_steps
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.subject import Progress
from voicepipe.testing.conformance.verdicts import Failed, in_words
from voicepipe.testing.conformance.waiting import ended_after

if TYPE_CHECKING:
    from voicepipe.testing.conformance.belongings import Belongings
    from voicepipe.testing.conformance.subject import Bench, Received, Subject

OPENINGS = 60
"""The most checkpoints at which opening a component is cancelled: some take long to open."""

QUIET_S = 0.2
"""The time in which nothing must come, in s."""

SETTLING_S = 0.05
"""The time in which resources settle if no event tells when they have, in s."""

INTERRUPTIONS = 6
"""The number of interruptions of the wait for one event."""


async def the_adapter_is_what_it_says(subject: Subject[Any]) -> None:
    """Options are a frozen attrs class at module level, can be pickled, and are valid; a probe passes.

    A reload reads the configuration in another process and receives the options as a pickle; components with equal
    options are shared. A fault that the adapter's `check` returns is a line in the operator's report.
    """
    adapter = subject.adapter
    if not attrs.has(adapter.options) or getattr(adapter.options, "__setattr__", None) is object.__setattr__:
        raise Failed(f"{adapter.options.__name__} is no frozen attrs class: put @attrs.frozen before it")
    async with subject.served() as options:
        if not isinstance(options, adapter.options):
            raise Failed(
                f"{type(options).__name__} was given for options, the adapter's are {adapter.options.__name__}"
            )
        if pickle.loads(pickle.dumps(options)) != options:  # noqa: S301 - it was made here
            raise Failed(f"{adapter.options.__name__} is not the same after it was pickled")
        if problems := list(adapter.check(options)):
            raise Failed(f"check() finds fault with the options: {in_words(problem.message for problem in problems)}")
        adapter.label(options)
        async with subject.opened(options) as bench:
            if isinstance(bench.raw, Probing):
                with subject.due("probe()"):
                    await bench.raw.probe()


async def none_comes_only_at_the_end(subject: Subject[Any]) -> None:
    """`receive` returns None at the end of the stream and not before.

    A call takes an early None for the end: it fails over, or falls silent. Let `receive` wait, or raise a
    `ComponentError` if the connection is lost. After `finish()`, `receive` returns the remaining events, then None, and
    None again after that. A stream that never returns it keeps the turn open for ever: return it when the service's own
    end marker arrives.
    """
    async with subject.bench() as bench:
        if subject.use.finishes:
            async with bench.stream() as stream:
                event = await bench.begin(stream, means="")
                with ended_after(QUIET_S):
                    while event is not None:
                        event = await stream.receive()
                if event is None:
                    raise Failed("receive() gave None before finish()")
        progress = Progress()
        async with bench.stream() as stream:
            async with open_hidden_nursery() as nursery:
                nursery.start_soon(partial(subject.use.say, bench.component, stream, progress, 0, brief=True))
                await bench.rest(stream)
                nursery.cancel_scope.cancel()
            if (event := await bench.next(stream)) is not None:
                raise Failed(f"{type(event).__name__} came after None")


async def leaving_early_leaves_nothing(subject: Subject[Any]) -> None:
    """A stream that is left after its first event, unfinished, releases all it held at once, and the next one works.

    It is what every barge-in does, several times a call. Leaving the `async with` must end whatever the stream
    started: tasks belong in its nursery, sockets in its `finally` (shielded, without waiting for the other side).
    """
    async with subject.bench() as bench:
        before = await warmed_up(bench)
        for variant in range(3):
            async with bench.stream(variant) as stream:
                await bench.begin(stream, variant)
            await nothing_more_than(before, subject.limits.settle_s, bench.resources)
        await bench.use()


async def closing_leaves_nothing(subject: Subject[Any]) -> None:
    """A component that was used and closed leaves no task, thread, process, socket or generator behind.

    Reloads close components all day long. What `open` starts ends when its `async with` is left.
    """
    async with subject.served() as options:
        before = belongings()
        async with subject.opened(options) as bench:
            await bench.use()
        await nothing_more_than(before, subject.limits.settle_s)


async def opening_can_be_cancelled(subject: Subject[Any]) -> None:
    """A component whose opening is cancelled, at any checkpoint, leaves nothing behind.

    A reload has a deadline, and a rejected reload cancels components that are still opening.
    """
    async with subject.served() as options:
        before = belongings()
        with counting_steps() as whole:
            async with subject.opened(options):
                pass
        await nothing_more_than(before, subject.limits.settle_s)
        for step in chosen(whole.count, min(OPENINGS, subject.limits.cancels)):
            with counting_steps(step):
                async with subject.opened(options):
                    pass
            try:
                await nothing_more_than(before, subject.limits.settle_s)
            except Failed as failed:
                raise Failed(f"cancelled at checkpoint {step} of opening: {failed}") from failed


async def cancelled_anywhere_it_leaves_nothing(subject: Subject[Any]) -> None:
    """A stream that is cancelled, at any checkpoint of its use, leaves nothing behind, and the next stream works.

    A barge-in or a hang-up comes at any moment: while connecting, while sending, between two events, while leaving.
    The report names the checkpoint. Open what must be closed in an `async with`; between getting a resource and
    the `try` that closes it there may be no `await`; let `Cancelled` pass.
    """
    async with subject.bench() as bench:
        before = await warmed_up(bench)
        with counting_steps() as whole:
            await bench.use(brief=True)
        for step in chosen(whole.count, subject.limits.cancels):
            try:
                with counting_steps(step):
                    await bench.use(brief=True)
                await nothing_more_than(before, subject.limits.settle_s, bench.resources)
            except (Exception, BaseExceptionGroup) as error:
                errors = in_words(
                    str(leaf) if isinstance(leaf, Failed) else f"{type(leaf).__name__}: {leaf}"
                    for leaf in leaves_of(error)
                )
                raise Failed(f"cancelled at checkpoint {step} of {whole.count}: {errors}") from error
        await bench.use()


async def cancelled_is_not_swallowed(subject: Subject[Any]) -> None:
    """`trio.Cancelled` propagates unchanged out of every method, and out of the context manager's exit.

    If it is swallowed, a cancelled turn goes on speaking, and a call can't be hung up. Never catch
    `BaseException` or `Cancelled` without raising it again; a context manager's exit must not return True for it.
    """
    async with subject.bench() as bench:
        with trio.CancelScope() as scope:
            async with bench.stream(raw=True) as stream:
                scope.cancel()
                await trio.lowlevel.checkpoint()
            raise Failed("leaving the stream swallowed Cancelled")
        if not scope.cancelled_caught:
            raise Failed("leaving the stream swallowed Cancelled")
        async with bench.stream(raw=True) as stream:
            await _cancelled_receive(stream)
        async with bench.stream(raw=True) as stream:
            with trio.CancelScope() as scope:
                scope.cancel()
                try:
                    await subject.use.begin(bench.component, stream, 0)
                except BaseException as error:
                    if other := uncancelled(error):
                        raise Failed(f"sending made {type(other).__name__} of Cancelled: {other}") from error
                    raise
        async with bench.stream(raw=True) as stream:
            await bench.begin(stream)
            await _cancelled_receive(stream)


async def _cancelled_receive(stream: Any) -> None:
    """Receives in a cancelled scope until `Cancelled` is raised or the stream ends."""
    with trio.CancelScope() as scope:
        scope.cancel()
        try:
            while (event := await stream.receive()) is not None:
                if _is_last(event):
                    return
        except BaseException as error:
            if other := uncancelled(error):
                raise Failed(f"receive() made {type(other).__name__} of Cancelled: {other}") from error
            raise
    if not scope.cancelled_caught:
        raise Failed("a receive() that was cancelled gave None: it swallowed Cancelled")


def _is_last(event: Any) -> bool:
    return hasattr(event, "reason") and hasattr(event, "state")


async def a_cancelled_receive_loses_nothing(subject: Subject[Any]) -> None:
    """A `receive` that is cancelled, even just as an event arrives, loses no event, and the stream goes on.

    Calls wait for events with deadlines. Keep parsed events in a buffer of the stream, take one after the last
    checkpoint, and put no async generator behind `receive`: a cancelled one is finished.
    """
    async with subject.bench() as bench:
        agree = await agreement(bench, [0])
        got = await bench.use(receive=lambda stream: _interrupted(bench, stream))
        agree(0, got)


async def _interrupted(bench: Bench[Any], stream: Any) -> Any:
    """Returns the next event, after several attempts to receive it were cancelled."""
    for attempt in range(INTERRUPTIONS):
        with counting_steps(attempt or None, alone=True) as steps:
            if attempt == 0:
                steps.scope.cancel()
            with bench.subject.due("receive()"):
                return await stream.receive()
    return await bench.next(stream)


async def streams_do_not_mix(subject: Subject[Any]) -> None:
    """Concurrent streams give the events that each gives when it is used alone.

    All calls share a component, and one caller's words must never reach another. Keep all state of a call in its
    stream, and none in the component or in a module.
    """
    variants = [*range(subject.limits.at_once)]
    async with subject.bench() as bench:
        agree = await agreement(bench, variants)
        got: dict[int, list[Received]] = {}

        async def use(variant: int) -> None:
            got[variant] = await bench.use(variant)

        async with trio.open_nursery() as nursery:
            for variant in variants:
                nursery.start_soon(use, variant)
        for variant in variants:
            agree(variant, got[variant])


async def warmed_up(bench: Bench[Any]) -> Belongings:
    """Returns what the process holds after two uses of a stream, when caches and pools are filled."""
    most = belongings(bench.resources)
    for _ in range(2):
        await bench.use(brief=True)
        await trio.sleep(SETTLING_S)
        most = most.or_more(belongings(bench.resources))
    return most


FIRST = checks(the_adapter_is_what_it_says, none_comes_only_at_the_end)
"""The checks on which the others rely."""

STREAMS = checks(
    a_cancelled_receive_loses_nothing,
    cancelled_is_not_swallowed,
    leaving_early_leaves_nothing,
    closing_leaves_nothing,
    opening_can_be_cancelled,
    cancelled_anywhere_it_leaves_nothing,
    streams_do_not_mix,
)
