"""Checks of whom a listener lets in, and of what one call may do to the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.errors import CallRefused
from voicepipe.testing.conformance.belongings import belongings, nothing_more_than
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed, Skipped
from voicepipe.testing.transports.bench import frames

if TYPE_CHECKING:
    from voicepipe.testing.transports.bench import HandledCall, TransportBench, TransportSubject
    from voicepipe.testing.transports.peer import TransportPeer


async def still_works(bench: TransportBench, peer: TransportPeer, call: HandledCall) -> None:
    """Raises `Failed` unless a call goes on."""
    before = len(call.sink.heard_audio(peer.audio))
    for piece in frames(peer.audio, 5):
        await peer.send_audio(piece)
    size = 5 * len(frames(peer.audio, 1)[0])
    await bench.until(
        lambda: len(call.sink.heard_audio(peer.audio)) - before >= size, "a call that should go on does not"
    )
    if call.over.is_set():
        raise Failed("a call that should go on has ended")


async def a_handler_may_refuse_a_call(subject: TransportSubject) -> None:
    """A handler that raises `CallRefused` ends its connection in the way of the protocol, and no other."""
    async with subject.opened() as bench, bench.call() as (peer, call):
        bench.refusing = CallRefused("closed today")
        if not await bench.is_refused():
            raise Failed("the handler refused a call, but its connection did not end")
        if bench.crashed:
            raise Failed(f"a refusal was reported as a crash: {bench.crashed[0]!r}")
        await still_works(bench, peer, call)


async def a_paused_listener_takes_no_calls(subject: TransportSubject) -> None:
    """`pause` refuses new calls until `resume`; calls that are up go on. A full engine pauses its listeners."""
    async with subject.opened() as bench, bench.call() as (peer, call):
        bench.listener.pause()
        if bench.listener.is_listening:
            raise Failed("the listener is paused, but `is_listening` is True")
        if not await bench.is_refused():
            raise Failed("a call was taken while the listener was paused")
        await still_works(bench, peer, call)
        bench.listener.resume()
        async with bench.call() as (other_peer, other):
            await still_works(bench, other_peer, other)


async def max_connections_holds(subject: TransportSubject) -> None:
    """With `max_connections` calls up, a further one is refused; when one has ended, the next is taken."""
    async with subject.opened(max_connections=2) as bench, bench.call() as (peer, call):
        async with bench.call() as (_, second):
            if not await bench.is_refused():
                raise Failed("three calls were taken with `max_connections` of 2")
            second.released.set()
            await bench.until(lambda: bench.listener.calls == 1, "a call ended, but still counts")
        await bench.until(lambda: bench.listener.is_listening, "a call ended, but there is no room for the next")
        async with bench.call() as (third_peer, third):
            await still_works(bench, third_peer, third)
        await still_works(bench, peer, call)


async def strangers_get_no_call(subject: TransportSubject) -> None:
    """Who is not authenticated is refused before a call begins, and `on_refused` learns of it.

    Each call costs money, and whoever reaches the port could make one.
    """
    if subject.stranger is None:
        raise Skipped("give `stranger`, which connects without the right to, or the transport lets everybody in")
    async with subject.opened() as bench, bench.call() as (peer, call):
        before = len(bench.refused)
        if not await bench.is_refused(subject.stranger):
            raise Failed("somebody without the right to call got a call")
        await bench.until(lambda: len(bench.refused) > before, "a stranger was refused, but nobody was told")
        await still_works(bench, peer, call)


async def garbage_costs_its_connection_only(subject: TransportSubject) -> None:
    """What port scanners and broken programs send makes no call, ends no call, and does not crash the listener."""
    if not subject.garbage:
        raise Skipped("it has no port of its own")
    async with subject.opened() as bench, bench.call() as (peer, call):
        for garbage in subject.garbage:
            try:
                stream = await trio.open_tcp_stream(*bench.listener.address)
                async with stream:
                    await stream.send_all(garbage)
                    await stream.send_eof()
                    with trio.move_on_after(0.05):
                        while await stream.receive_some():
                            pass
            except (trio.BrokenResourceError, OSError):
                continue  # it was refused
        if len(bench.calls) > 1:
            raise Failed("garbage was taken for a call")
        if bench.crashed:
            raise Failed(f"garbage raised {bench.crashed[0]!r}")
        await still_works(bench, peer, call)


async def a_breach_of_the_protocol_ends_its_call_only(subject: TransportSubject) -> None:
    """A peer that breaks its protocol costs its own call only, which ends by a `TransportError`.

    What a parser raises, such as `JSONDecodeError`, is a crash: raise `TransportError` from it in `take_message`.
    """
    async with subject.opened() as bench, bench.call() as (peer, call), bench.call() as (other_peer, other):
        await subject.needs(peer.disturb)
        await bench.until(call.over.is_set, "the peer broke its protocol, but its call went on")
        if bench.crashed:
            raise Failed(f"a breach of the protocol was reported as a crash: {bench.crashed[0]!r}")
        await still_works(bench, other_peer, other)


async def a_defect_ends_its_call_only(subject: TransportSubject) -> None:
    """What a sink or a handler raises ends its call, goes to `on_crash`, and reaches no other call.

    `run` raises what the sink raised. Even `SystemExit` must not end the process.
    """
    async with subject.opened() as bench, bench.call() as (other_peer, other):
        async with bench.call() as (peer, call):
            call.sink.crash_on_audio = ValueError("a defect of the sink")
            await peer.send_audio(frames(peer.audio, 1)[0])
            await bench.until(call.over.is_set, "the sink raised, but its call went on")
        await bench.until(lambda: len(bench.crashed) == 1, "the sink raised, but `on_crash` was not called")
        await still_works(bench, other_peer, other)
        for error in (RuntimeError("a defect of the handler"), SystemExit(3)):
            before = len(bench.crashed)
            async with bench.call() as (_, crashing):
                crashing.raises = error
                crashing.released.set()
                await bench.until(lambda: len(bench.crashed) > before, "a handler raised, but nobody was told")  # noqa: B023
        await still_works(bench, other_peer, other)


async def closing_lets_calls_go_on(subject: TransportSubject) -> None:
    """After `close` no call is taken, and those that are up go on; when the last has ended, `serve` returns."""
    async with subject.opened() as bench, bench.call() as (peer, call):
        bench.listener.close()
        if bench.listener.is_listening:
            raise Failed("the listener is closed, but `is_listening` is True")
        if not await bench.is_refused():
            raise Failed("a call was taken after `close`")
        await still_works(bench, peer, call)
        if bench.served.is_set():
            raise Failed("`serve` returned while a call was up")
        await peer.die()
        await bench.until(bench.served.is_set, "the last call has ended, but `serve` did not return")


async def nothing_is_left_of_a_call(subject: TransportSubject) -> None:
    """A call leaves no task and no socket, however it ends; nor does a listener that is cancelled with calls up."""
    async with subject.opened() as bench:
        await _each_end(bench)
        before = belongings()
        for _ in range(3):
            await _each_end(bench)
        await nothing_more_than(before, subject.deadline_s)
    before = belongings()
    async with subject.opened() as bench, bench.call(), bench.call():
        pass
    await nothing_more_than(before, subject.deadline_s)


async def _each_end(bench: TransportBench) -> None:
    async with bench.call() as (peer, call):
        await peer.hang_up()
        await bench.until(call.over.is_set, "the caller hung up, but `run` did not return")
    async with bench.call() as (peer, call):
        await peer.die()
        await bench.until(call.over.is_set, "the connection died, but `run` did not return")
    async with bench.call() as (_, call):
        call.released.set()
        await bench.until(lambda: bench.listener.calls == 0, "this side hung up, but the call still counts")


ADMITTING = checks(
    a_handler_may_refuse_a_call,
    a_paused_listener_takes_no_calls,
    max_connections_holds,
    strangers_get_no_call,
    garbage_costs_its_connection_only,
    a_breach_of_the_protocol_ends_its_call_only,
    a_defect_ends_its_call_only,
    closing_lets_calls_go_on,
    nothing_is_left_of_a_call,
)
