"""Checks of what a transport sends: audio, clears and marks, and its own hang-up."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import trio

from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed, Skipped
from voicepipe.testing.transports.bench import ReceivedAudio, frames, settled
from voicepipe.testing.transports.peer import PeerEvent, PeerMark

if TYPE_CHECKING:
    from voicepipe.testing.transports.bench import HandledCall, TransportBench, TransportSubject
    from voicepipe.testing.transports.peer import TransportPeer

COUNT = 20
MOST_WRITTEN = 16 << 20
"""The most bytes that a transport may take for a peer that reads nothing: a socket's buffers hold up to 10 MB."""


async def _write(bench: TransportBench, call: HandledCall, pieces: list[bytes]) -> None:
    for piece in pieces:
        while not call.transport.write(piece):
            await bench.within(call.transport.wait_writable, "`wait_writable` did not return")
        await trio.lowlevel.checkpoint()


async def the_agent_is_heard(subject: TransportSubject) -> None:
    """Audio that was written reaches the peer whole, in order, and in the format of the call."""
    async with subject.opened() as bench, bench.call() as (peer, call):
        written = frames(call.transport.audio, COUNT)
        await _write(bench, call, written)
        _same(b"".join(written), await bench.received(peer, len(b"".join(written))))


def _same(expected: bytes, received: ReceivedAudio) -> None:
    if received.audio != expected:
        raise Failed(f"{len(expected)} bytes were written, and the peer got {len(received.audio)}, which differ")


async def write_never_waits_and_takes_whole_frames(subject: TransportSubject) -> None:
    """`write` returns False when there is no room, and then has taken nothing of the frame; nothing is lost before it.

    `wait_writable` returns when there is room again. A `write` that keeps everything makes a slow peer a leak of
    memory, and what it keeps is heard late; one that takes half a frame makes noise of all that follows.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        transport = call.transport
        kept = frames(transport.audio, 250)
        taken = 0
        while transport.write(kept[taken % 250]):
            taken += 1
            if taken * len(kept[0]) > MOST_WRITTEN:
                raise Failed(f"{MOST_WRITTEN >> 20} MiB were taken for a peer that reads nothing; return False earlier")
        expected = b"".join(kept[number % 250] for number in range(taken))
        async with trio.open_nursery() as nursery:
            waited = trio.Event()

            @nursery.start_soon
            async def wait() -> None:
                while not transport.write(kept[taken % 250]):
                    await transport.wait_writable()
                waited.set()

            received = await bench.received(peer, len(expected) + len(kept[0]))
            await bench.until(waited.is_set, "the peer reads again, but `wait_writable` did not return")
        _same(expected + kept[taken % 250], received)


async def waiting_for_room_ends_with_the_call(subject: TransportSubject) -> None:
    """`wait_writable` returns when the call is over, and `write` then neither raises nor blocks.

    Otherwise the task that plays a reply waits forever for a caller who is gone.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        transport = call.transport
        piece = frames(transport.audio, 1)[0]
        taken = 0
        while transport.write(piece) and taken < MOST_WRITTEN:
            taken += len(piece)
        async with trio.open_nursery() as nursery:
            returned = trio.Event()

            @nursery.start_soon
            async def wait() -> None:
                await transport.wait_writable()
                returned.set()

            await settled()
            await peer.die()
            await bench.until(call.over.is_set, "the connection died, but `run` did not return", subject.death_s)
            await bench.until(returned.is_set, "the call is over, but `wait_writable` did not return")
        transport.write(piece)
        await bench.within(transport.wait_writable, "after the call, `wait_writable` did not return")
        await bench.within(transport.hang_up, "after the call, `hang_up` did not return")


async def hanging_up_lets_all_audio_out_first(subject: TransportSubject) -> None:
    """When this side hangs up, the peer gets all audio that was written, and then learns that the call has ended.

    A goodbye that is cut off, or a caller who stays in the line, sounds like a fault of the telephone system.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        written = frames(call.transport.audio, COUNT)
        await _write(bench, call, written)
        call.released.set()
        received = ReceivedAudio(peer.audio)
        await bench.within(
            lambda: _until(PeerEvent.END, peer, received), "this side hung up, but the peer was not told"
        )
        _same(b"".join(written), received)


async def clear_drops_only_what_came_before(subject: TransportSubject) -> None:
    """`clear` reaches the peer after the audio before it, and the audio after it is played.

    With `clear` in `can` only. A clear that overtakes audio leaves the agent talking; one that drops what comes after
    it makes the next reply silent. The peer returns `PeerEvent.CLEAR` from `receive` for the message that `clear`
    sends.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        if "clear" not in call.transport.can:
            raise Skipped("`clear` is not in `can`")
        before = frames(call.transport.audio, COUNT)
        after = frames(call.transport.audio, COUNT, first=100)
        await _write(bench, call, before)
        call.transport.clear()
        await _write(bench, call, after)
        received = ReceivedAudio(peer.audio)
        await bench.within(
            lambda: _until(PeerEvent.CLEAR, peer, received), "`clear` was called, but the peer was not told"
        )
        if not b"".join(before).startswith(received.audio):
            raise Failed("audio that was written after `clear` reached the peer before it")
        _same(b"".join(after), await bench.received(peer, len(b"".join(after))))


async def _until(event: PeerEvent, peer: TransportPeer, received: ReceivedAudio) -> None:
    while event not in received.events:
        received.add(await peer.receive())


async def marks_are_reported_once_and_in_order(subject: TransportSubject) -> None:
    """`heard` is called once for each mark, in order, and not before the peer has reported it.

    With `mark` in `can` only. What the conversation says that a caller heard depends on it: a mark that comes too early
    makes the model believe that an interrupted caller knows what was not said.
    The peer returns `PeerMark(name)` from `receive` for the message that `mark` sends, and `report(mark)` sends what
    the telephone system says when it has played so far.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        if "mark" not in call.transport.can:
            raise Skipped("`mark` is not in `can`")
        sizes = []
        for number in (1, 2, 3):
            written = frames(call.transport.audio, COUNT, first=COUNT * number)
            await _write(bench, call, written)
            sizes.append(len(b"".join(written)))
            call.transport.mark(number)
        received = ReceivedAudio(peer.audio)
        at: list[int] = []

        async def receive() -> None:
            while len(at) < len(sizes):
                part = await peer.receive()
                received.add(part)
                if isinstance(part, PeerMark):
                    at.append(len(received.audio))

        await bench.within(receive, "marks were set, but the peer did not get them")
        if at != list(accumulate(sizes)):
            raise Failed(
                f"marks were set after {list(accumulate(sizes))} bytes of audio, and reached the peer after {at}"
            )
        marks = [mark for mark in received.events if isinstance(mark, PeerMark)]
        if len({mark.name for mark in marks}) < len(marks):
            raise Failed(f"marks of one name can't be told apart: {', '.join(mark.name for mark in marks)}")
        await settled()
        if call.sink.of("heard"):
            raise Failed("`heard` was called before the peer had reported the mark")
        await _report(bench, peer, call, marks)
        if call.sink.of("heard") != [1, 2, 3]:
            raise Failed(f"marks 1, 2 and 3 were played, and `heard` was called for {call.sink.of('heard')}")


async def _report(bench: TransportBench, peer: TransportPeer, call: HandledCall, marks: list[PeerMark]) -> None:
    """Reports marks one by one, and waits until each was heard."""
    for number, mark in enumerate(marks, 1):
        await bench.subject.needs(lambda mark=mark: peer.report(mark))  # type: ignore[misc]
        await bench.until(lambda: len(call.sink.of("heard")) >= number, f"mark {number} was played, but not heard")  # noqa: B023
    await settled()


async def marks_survive_a_clear(subject: TransportSubject) -> None:
    """After a `clear`, a mark that it dropped is reported at most once and no other is lost.

    With `clear` and `mark` in `can` only. The peer returns `PeerEvent.CLEAR` and `PeerMark(name)` from `receive`.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        if not {"clear", "mark"} <= call.transport.can:
            raise Skipped("`clear` and `mark` are not both in `can`")
        await _write(bench, call, frames(call.transport.audio, COUNT))
        call.transport.mark(1)
        call.transport.clear()
        await _write(bench, call, frames(call.transport.audio, COUNT, first=100))
        call.transport.mark(2)
        marks: list[PeerMark] = []

        async def receive() -> None:
            cleared = False
            while not (cleared and marks):
                part = await peer.receive()
                if part is PeerEvent.CLEAR:
                    cleared = True
                elif cleared and isinstance(part, PeerMark):
                    marks.append(part)

        await bench.within(receive, "a mark was set after a `clear`, but the peer did not get it")
        await subject.needs(lambda: peer.report(marks[-1]))
        await bench.until(lambda: 2 in call.sink.of("heard"), "a mark after a `clear` was played, but not heard")
        await settled()
        heard = call.sink.of("heard")
        if heard not in ([2], [1, 2]):
            raise Failed(f"mark 1 was dropped and mark 2 played, and `heard` was called for {heard}")


SENDING = checks(
    the_agent_is_heard,
    write_never_waits_and_takes_whole_frames,
    waiting_for_room_ends_with_the_call,
    hanging_up_lets_all_audio_out_first,
    clear_drops_only_what_came_before,
    marks_are_reported_once_and_in_order,
    marks_survive_a_clear,
)
