"""Checks of what else a transport can have its telephone system do: transfer the caller, and press keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.errors import TransferFailed
from voicepipe.testing.conformance.kit import checks
from voicepipe.testing.conformance.verdicts import Failed, Skipped
from voicepipe.testing.conformance.waiting import ended_after
from voicepipe.testing.transports.admitting import still_works
from voicepipe.testing.transports.peer import PeerEvent, PeerKeys

if TYPE_CHECKING:
    from voicepipe.testing.transports.bench import TransportSubject
    from voicepipe.testing.transports.peer import TransportPeer

TARGET = "200"
"""The target of the transfer; a peer may take the call or not."""
RING_S = 0.5
"""The time after which a transfer that rings is cancelled, in s."""
KEYS = "0123456789*#ABCD"


async def a_transfer_ends_this_leg_or_says_why(subject: TransportSubject) -> None:
    """`transfer` returns when this leg has ended, or raises `TransferFailed` and the call goes on.

    With `transfer` in `can` only; it has 5 s. With `completes_transfer` it may ring for longer: the kit then cancels
    it, and the call must go on. Any other exception ends the call without a word to the caller. The peer plays what the
    telephone system does: it ends the call where it takes the caller, or reports that nobody did.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        transport = call.transport
        if "transfer" not in transport.can:
            raise Skipped("`transfer` is not in `can`")
        ended = trio.Event()
        outcome = "rang"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_receive_until_the_end, peer, ended)
            with ended_after(RING_S if "completes_transfer" in transport.can else subject.deadline_s):
                try:
                    await transport.transfer(TARGET)
                    outcome = "returned"
                except TransferFailed:
                    outcome = "failed"
                except Exception as error:
                    raise Failed(f"`transfer` raised {error!r}; raise TransferFailed if the caller is back") from error
            if outcome == "returned":
                await bench.until(
                    lambda: ended.is_set() or call.over.is_set(), "`transfer` returned, but this leg did not end"
                )
            nursery.cancel_scope.cancel()
        if outcome == "rang" and "completes_transfer" not in transport.can:
            raise Failed(f"`transfer` neither returned nor raised within {subject.deadline_s:g} s")
        if outcome != "returned":
            await still_works(bench, peer, call)


async def _receive_until_the_end(peer: TransportPeer, ended: trio.Event) -> None:
    while await peer.receive() is not PeerEvent.END:
        pass
    ended.set()


async def keys_of_the_agent_reach_the_peer(subject: TransportSubject) -> None:
    """`send_dtmf` sends each key once and in order, and the call goes on.

    With `send_dtmf` in `can` only. A peer that returns `PeerKeys` from `receive` sets `reports_keys`; without that it
    is only checked that `send_dtmf` returns. A key that is lost or doubled opens the wrong menu.
    """
    async with subject.opened() as bench, bench.call() as (peer, call):
        if "send_dtmf" not in call.transport.can:
            raise Skipped("`send_dtmf` is not in `can`")
        await bench.within(lambda: call.transport.send_dtmf(KEYS), "`send_dtmf` did not return")
        if peer.reports_keys:
            got = ""

            async def receive() -> None:
                nonlocal got
                while len(got) < len(KEYS):
                    part = await peer.receive()
                    if part is PeerEvent.END:
                        raise Failed("`send_dtmf` was called, and the call ended")
                    got += part.keys if isinstance(part, PeerKeys) else ""

            await bench.within(receive, f"the keys {KEYS} were sent, but the peer did not get them all")
            if got != KEYS:
                raise Failed(f"the keys {KEYS} were sent, and the peer got {got}")
        await still_works(bench, peer, call)
        if not peer.reports_keys:
            raise Skipped("`send_dtmf` returned, but what the peer got was not checked: set `reports_keys` in the peer")


TRANSFERRING = checks(
    a_transfer_ends_this_leg_or_says_why,
    keys_of_the_agent_reach_the_peer,
)
