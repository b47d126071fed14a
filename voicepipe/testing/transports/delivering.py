"""Checks of what a transport delivers to the call: audio, keys, and one end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed
from voicepipe.testing.transports.bench import NAME, frames, settled

if TYPE_CHECKING:
    from voicepipe.testing.transports.bench import HandledCall, TransportBench, TransportSubject
    from voicepipe.testing.transports.peer import TransportPeer

COUNT = 25
KEYS = "0123456789*#ABCD"


async def the_caller_is_heard(subject: TransportSubject) -> None:
    """The caller's audio reaches the sink whole, in order, and in the format of the call.

    Audio that is lost, doubled or in another format is not understood. If the format is learnt from the first audio,
    call `sink.format_changed` before that audio, and never afterwards.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        await _speak(bench, peer, call)
        if call.transport.audio != peer.audio:
            raise Failed(f"the transport says that the call is {call.transport.audio}, but the peer sends {peer.audio}")
        kinds = [kind for kind, _ in call.sink.items]
        if "format_changed" in kinds[kinds.index("audio") :]:
            raise Failed("the format was changed after audio had been delivered")
        if call.sink.of("hung_up"):
            raise Failed("the end of the call was delivered while the caller was there")


async def _speak(bench: TransportBench, peer: TransportPeer, call: HandledCall, count: int = COUNT) -> None:
    """Speaks as the caller, and waits until the sink has it all."""
    before = len(call.sink.heard_audio(peer.audio))
    said = frames(peer.audio, count)
    for piece in said:
        await peer.send_audio(piece)
    expected = b"".join(said)
    await bench.until(
        lambda: len(call.sink.heard_audio(peer.audio)) - before >= len(expected) or call.over.is_set(),
        f"the caller sent {len(expected)} bytes of audio, but they were not delivered",
    )
    got = call.sink.heard_audio(peer.audio)[before:]
    if got != expected:
        raise Failed(f"the caller sent {len(expected)} bytes of audio, and {_unlike(expected, got)}")


def _unlike(expected: bytes, got: bytes) -> str:
    if sorted(got) == sorted(expected):
        return "they were delivered in another order"
    same = next((at for at, (one, other) in enumerate(zip(expected, got, strict=False)) if one != other), len(got))
    return f"{len(got)} were delivered, which differ from byte {same} on"


async def each_call_has_its_own_audio(subject: TransportSubject) -> None:
    """Two calls at once get each its own caller's audio.

    What is shared between calls, such as a buffer, must be used up before the next `await`.
    """
    async with subject.opened() as bench, bench.call() as (peer, call), bench.call() as (other_peer, other):
        mine, others = frames(peer.audio, COUNT), frames(other_peer.audio, COUNT, first=100)
        for one, another in zip(mine, others, strict=True):
            await peer.send_audio(one)
            await other_peer.send_audio(another)
        for whose, said, heard in (("the first", mine, call), ("the second", others, other)):
            expected = b"".join(said)
            await bench.until(
                lambda heard=heard, expected=expected: (
                    len(heard.sink.heard_audio(heard.transport.audio)) >= len(expected)
                ),  # type: ignore[misc]
                f"the audio of {whose} of two callers was not delivered",
            )
            if heard.sink.heard_audio(heard.transport.audio) != expected:
                raise Failed(f"{whose} of two calls at once got other audio than its caller sent")


async def keys_arrive_once_and_in_order(subject: TransportSubject) -> None:
    """Each key that the caller presses is delivered once, in order, as one of `0123456789*#ABCD`.

    Telephone systems report the begin and the end of a key, or repeat it while it is held: deliver one of them.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        for key in KEYS:
            await subject.needs(lambda key=key: peer.press(key))  # type: ignore[misc]
        await bench.until(lambda: len(call.sink.of("dtmf")) >= len(KEYS), f"the keys {KEYS} were not delivered")
        await _speak(bench, peer, call)  # what comes doubled has come by now
        if (got := "".join(call.sink.of("dtmf"))) != KEYS:
            raise Failed(f"the caller pressed {KEYS}, and {got} was delivered")


async def the_callers_hang_up_is_delivered_once_and_last(subject: TransportSubject) -> None:
    """When the caller hangs up, all that came before is delivered, then `hung_up` once, and nothing after it.

    Then `run` returns. A call that does not learn of its end goes on talking to nobody, and is billed.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        said = frames(peer.audio, COUNT)
        for piece in said:
            await peer.send_audio(piece)
        await peer.hang_up()
        await bench.until(call.over.is_set, "the caller hung up, but `run` did not return")
        await _ended_well(bench, call)
        if call.sink.heard_audio(peer.audio) != b"".join(said):
            got = len(call.sink.heard_audio(peer.audio))
            raise Failed(f"the caller sent {len(b''.join(said))} bytes before hanging up, and {got} were delivered")


async def _ended_well(bench: TransportBench, call: HandledCall) -> None:
    await settled()
    ends = call.sink.of("hung_up")
    if len(ends) != 1:
        raise Failed(f"`hung_up` was delivered {len(ends)} times")
    if call.sink.items[-1][0] != "hung_up":
        raise Failed(f"`{call.sink.items[-1][0]}` was delivered after `hung_up`")
    if not str(ends[0]).strip():
        raise Failed("`hung_up` was delivered without a reason, which logs need")
    if bench.crashed:
        raise Failed(f"the end of the call raised {bench.crashed[0]!r}")


async def a_connection_that_dies_ends_the_call(subject: TransportSubject) -> None:
    """When the connection dies without a word, the call ends as if the caller had hung up, within 2 s.

    Otherwise the agent talks to nobody until its own limits end the call.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        await _speak(bench, peer, call, 5)
        await peer.die()
        await bench.until(call.over.is_set, "the connection died, but `run` did not return", subject.death_s)
        await _ended_well(bench, call)


async def nothing_is_delivered_after_hanging_up(subject: TransportSubject) -> None:
    """After this side has hung up, neither audio nor the end is delivered: the call is over for its sink.

    A call that has ended may have freed what its sink needs.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        await _speak(bench, peer, call, 5)
        before = list(call.sink.items)
        call.released.set()
        await bench.until(call.over.is_set, "the handler was released, but `run` could not be cancelled")
        try:
            for piece in frames(peer.audio, COUNT):
                await peer.send_audio(piece)
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the connection has ended, as it should
        await settled()
        if call.sink.items != before:
            raise Failed(f"`{call.sink.items[-1][0]}` was delivered after this side had hung up")


async def the_call_is_described(subject: TransportSubject) -> None:
    """`info` names the listener and has the transport's own ID, and `pacing` and `can` fit each other.

    Records and logs name a call by these. A transport whose other side buffers audio must be able to drop it, or a
    caller who interrupts the agent hears it out.
    """
    async with subject.opened() as bench, bench.call() as (_peer, call):
        transport = call.transport
        if transport.info.listener != NAME:
            raise Failed(f"`info.listener` is {transport.info.listener!r}; it must be `ListenerContext.name`, {NAME!r}")
        if not transport.info.transport_id:
            raise Failed("`info.transport_id` is empty; give it the call's ID in the protocol, or one made for it")
        if transport.pacing == "theirs" and "clear" not in transport.can:
            raise Failed("`pacing` is `theirs`, but `can` lacks `clear`, by which barge-in drops what is buffered")
        if bench.listener.calls != 1:
            raise Failed(f"one call is up, but `Listener.calls` is {bench.listener.calls}")


DELIVERING = checks(
    the_call_is_described,
    the_caller_is_heard,
    each_call_has_its_own_audio,
    keys_arrive_once_and_in_order,
    the_callers_hang_up_is_delivered_once_and_last,
    a_connection_that_dies_ends_the_call,
    nothing_is_delivered_after_hanging_up,
)
