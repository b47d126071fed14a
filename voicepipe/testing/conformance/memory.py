"""Checks of memory: many streams release everything, and buffers are bounded."""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref
from collections import Counter
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.components.events import TextDelta
from voicepipe.components.requests import ReplyRequest
from voicepipe.errors import ComponentError
from voicepipe.nurseries import leaves_of
from voicepipe.testing.conformance.belongings import LOOK_S, nothing_more_than
from voicepipe.testing.conformance.hearing import spoken
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.streams import warmed_up
from voicepipe.testing.conformance.verdicts import Failed
from voicepipe.testing.conformance.waiting import counted_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from voicepipe.components.registry import Adapter
    from voicepipe.testing.conformance.hearing import Hearing
    from voicepipe.testing.conformance.speaking import Speaking
    from voicepipe.testing.conformance.subject import Bench, Subject

WARM_UP = 20
"""The number of streams that are opened before memory is counted, to fill caches and pools."""

OWN_BYTES_A_STREAM = 128
"""The most memory of a stream, allocated by the adapter's own lines, that may be held after it was left, in bytes."""

SLACK_BYTES = 16 << 10
"""The memory that all streams together may leave besides, in bytes, for caches."""

FLOOD_S = 0.5
"""The time for which a stream is sent data without being received, in s; it begins anew whenever the buffer grows."""

GROWS_BYTES = 64 << 10
"""The growth of the buffer for that, in bytes."""

FLOOD = 4
"""The factor by which more is sent than may be held."""

LONG_TEXT = "She sells sea shells by the sea shore, and the shells that she sells are sea shells for sure. "
"""A segment that makes some six seconds of audio."""


async def many_streams_give_everything_back(subject: Subject[Any]) -> None:
    """Hundreds of streams, opened, used a little and left, return their memory, descriptors, tasks and threads.

    A server runs for months, and a leak of a kilobyte per call ends it. The report names the lines that allocated the
    leaked memory. Usual causes: a list or a dictionary of streams in the component from which they are not removed, a
    callback, a cache without a limit.
    """
    async with subject.bench() as bench:
        before = await warmed_up(bench)
        with _tracing():
            for number in range(WARM_UP):
                await _pass(bench, number)
            held, values = _held(), _values(subject.adapter)
            resident = [_resident()]
            left: list[weakref.ref[Any]] = []
            for half in range(2):
                for number in range(half * subject.limits.streams // 2, (half + 1) * subject.limits.streams // 2):
                    left += await _pass(bench, number)
                resident.append(_resident())
            await nothing_more_than(before, subject.limits.settle_s, bench.resources)
            # What streams have left to timers and to the other side is gone in a moment, and on a busy machine later.
            end = counted_s() + subject.limits.settle_s
            while True:
                kept = _kept(subject, left, held, values)
                if kept is None or counted_s() > end:
                    break
                await trio.sleep(LOOK_S)
        if kept is not None:
            raise Failed(kept)
        # An allocator grows once and then has room; what is lost grows all the time.
        steady = 2 * min(later - earlier for earlier, later in pairwise(resident))
        if steady > subject.limits.resident_bytes:
            raise Failed(f"the process has grown by {steady >> 20} MiB in {subject.limits.streams} streams")


def _kept(
    subject: Subject[Any], left: list[weakref.ref[Any]], held: tracemalloc.Snapshot, values: Counter[str]
) -> str | None:
    """Returns, in words, what is still held of streams that were left; None if it is within limits."""
    grown = _held().compare_to(held, "lineno")
    alive = sum(stream() is not None for stream in left)
    if alive > WARM_UP:
        return f"{alive} of {len(left)} streams that were left are still held"
    for name, count in (_values(subject.adapter) - values).items():
        if count > subject.limits.streams / 2:
            return f"{count} {name} are still held after {subject.limits.streams} streams"
    ours = _files_of(subject.adapter)
    by_adapter = [line for line in grown if ours(line.traceback[0].filename)]
    of_its_own = _too_much(by_adapter, OWN_BYTES_A_STREAM, subject)
    return of_its_own or _too_much(grown, subject.limits.bytes_a_stream, subject)


def _held() -> tracemalloc.Snapshot:
    """Returns a snapshot of Python's memory, by the lines that allocated it."""
    for _ in range(1100):  # trio forgets deadlines by the thousand, and with them what they belonged to
        with trio.move_on_after(1):  # noqa: ASYNC100 - nothing is to be waited for
            pass
    gc.collect()
    return tracemalloc.take_snapshot()


def _values(adapter: Adapter[Any]) -> Counter[str]:
    """Returns the numbers of instances of each class of the adapter's module, and of requests and events."""
    modules = {adapter.options.__module__, ReplyRequest.__module__, TextDelta.__module__}
    return Counter(type(value).__qualname__ for value in gc.get_objects() if type(value).__module__ in modules)


def _too_much(grown: list[tracemalloc.StatisticDiff], most: int, subject: Subject[Any]) -> str | None:
    total = sum(line.size_diff for line in grown)
    if total <= most * subject.limits.streams + SLACK_BYTES:
        return None
    largest = sorted(grown, key=lambda line: line.size_diff, reverse=True)[:3]
    where = "; ".join(f"{line.size_diff} bytes at {line.traceback}" for line in largest)
    return f"{total // subject.limits.streams} bytes a stream are still held: {where}"


def _files_of(adapter: Adapter[Any]) -> Callable[[str], bool]:
    """Returns a function that tells whether a file belongs to the adapter: to its package, or its only module."""
    module = sys.modules[adapter.options.__module__]
    file = getattr(module, "__file__", None) or ""
    if module.__package__:
        return lambda name: Path(file).parent in Path(name).parents
    return lambda name: name == file


async def _pass(bench: Bench[Any], number: int) -> list[weakref.ref[Any]]:
    """Opens a stream, uses it until its first event, and leaves it."""
    async with bench.stream(number % bench.subject.limits.at_once, raw=True) as stream:
        await bench.begin(stream, number % bench.subject.limits.at_once)
        try:
            return [weakref.ref(stream)]
        except TypeError:  # it has __slots__, and none for that
            return []


async def what_nobody_receives_is_bounded(subject: Subject[Speaking]) -> None:
    """Speech is not buffered without limit while nothing is received: the stream pauses, or `send` blocks.

    A model writes a page in a second, which takes minutes to play. On a hundred lines the speech made ahead would fill
    the memory, and it is paid for even if a barge-in discards it. Limit the stream's buffer.
    """
    use = subject.use
    async with subject.bench() as bench:
        output = bench.component.output_for(use.call)
        segments = FLOOD * subject.limits.buffered_bytes // output.bytes_in(60 * len(LONG_TEXT))
        with _tracing():
            async with bench.stream() as stream:
                await bench.begin(stream)
                held = tracemalloc.get_traced_memory()[0]

                async def flood() -> None:
                    for segment in range(1, segments):
                        await stream.send(LONG_TEXT, segment)

                await _flooded(flood, lambda: tracemalloc.get_traced_memory()[0] - held, subject)


async def audio_that_is_not_taken_is_bounded(subject: Subject[Hearing]) -> None:
    """`send` blocks while the service accepts no audio: the stream does not buffer it.

    A call keeps one second of audio and drops older audio; an adapter's own buffer would be recognised minutes late.
    Write to the service from `send` itself.
    """
    fault = "deaf" if "deaf" in subject.faults else None
    async with subject.served(fault) as options:
        try:
            await _hoards_nothing(subject, options, deaf=fault is not None)
        except (ComponentError, BaseExceptionGroup) as error:
            # If it noticed, in whichever of its tasks, that will do as well.
            if not fault or not all(isinstance(leaf, ComponentError) for leaf in leaves_of(error)):
                raise


async def _hoards_nothing(subject: Subject[Hearing], options: Any, *, deaf: bool) -> None:
    async with subject.opened(options) as bench:
        wanted = bench.component.input_for(subject.use.call)
        speech = spoken(wanted.format, wanted.chunk_ms)
        # Each chunk is an object of its own: as long as somebody else holds it, its reference count tells.
        chunks = [bytes(bytearray(speech)) for _ in range(FLOOD * subject.limits.buffered_bytes // len(speech))]
        unheld = sys.getrefcount(chunks[0])
        with _tracing():
            async with bench.stream() as stream:
                started = tracemalloc.get_traced_memory()[0]

                async def flood() -> None:
                    for chunk in chunks:
                        await stream.send(chunk)

                def held() -> int:
                    as_it_came = sum(sys.getrefcount(chunks[at]) > unheld for at in range(len(chunks))) * len(speech)
                    # A local server that takes audio may well keep it; one that takes none can't.
                    in_other_form = tracemalloc.get_traced_memory()[0] - started if deaf else 0
                    return as_it_came + in_other_form

                await _flooded(flood, held, subject)


async def _flooded(flood: Callable[[], Any], held: Callable[[], int], subject: Subject[Any]) -> None:
    """Sends for a while without receiving, and fails the check if the stream holds too much.

    A slow machine fills a buffer slowly, so this goes on for as long as the buffer grows.
    """
    most = subject.limits.buffered_bytes
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood)
        seen, end = 0, counted_s() + FLOOD_S
        while counted_s() < end:
            await trio.sleep(FLOOD_S / 20)
            if (now := held()) > most:
                gc.collect()  # what only a cycle holds is not held
                if (now := held()) > most:
                    raise Failed(f"the stream holds {now >> 10} KiB that nobody has taken")
            if now > seen + GROWS_BYTES:
                seen, end = now, counted_s() + FLOOD_S
            if not nursery.child_tasks:  # it took everything, and has let go of most of it
                end = min(end, counted_s() + FLOOD_S / 4)
        nursery.cancel_scope.cancel()


@contextmanager
def _tracing() -> Iterator[None]:
    """Traces Python's allocations during the block."""
    traced = tracemalloc.is_tracing()
    if not traced:
        tracemalloc.start()
    try:
        yield
    finally:
        if not traced:
            tracemalloc.stop()


def _resident() -> int:
    """Returns the resident memory of the process, in bytes; 0 on systems without /proc."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except FileNotFoundError:
        return 0


STREAMS = checks(many_streams_give_everything_back)
SPEECH_TO_TEXT = checks(audio_that_is_not_taken_is_bounded)
TEXT_TO_SPEECH = checks(what_nobody_receives_is_bounded)
