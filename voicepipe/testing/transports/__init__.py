"""The conformance kit for transports: tests of one against the rules that calls and the engine rely on.

The author of a transport plays the other side, by a `TransportPeer`; the kit opens the listener and handles the calls.

    from voicepipe.testing import transports

    test_acme = transports.transport(acme, AcmeOptions(port=0), connect=open_acme_peer)

The pytest plugin makes a test of each rule. Without pytest, `await check_transport(acme, AcmeOptions(port=0),
connect=open_acme_peer)` runs all of them, and raises one report of those that failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from voicepipe.testing.conformance.kit import Conformance
from voicepipe.testing.transports.admitting import ADMITTING
from voicepipe.testing.transports.bench import GARBAGE, Connect, TransportSubject
from voicepipe.testing.transports.delivering import DELIVERING
from voicepipe.testing.transports.peer import CallNotTaken, PeerEvent, PeerKeys, PeerMark, PeerReceived, TransportPeer
from voicepipe.testing.transports.sending import SENDING
from voicepipe.testing.transports.transferring import TRANSFERRING
from voicepipe.testing.transports.websocket_peer import WebSocketPeer, open_websocket_peer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from voicepipe.testing.conformance.verdicts import Report
    from voicepipe.transports.listener import TransportType

__all__ = [
    "CallNotTaken",
    "PeerEvent",
    "PeerKeys",
    "PeerMark",
    "PeerReceived",
    "TransportPeer",
    "TransportSubject",
    "WebSocketPeer",
    "check_transport",
    "open_websocket_peer",
    "transport",
]


def transport(
    transport_type: TransportType[Any],
    options: Any,
    *,
    connect: Connect,
    stranger: Connect | None = None,
    garbage: Sequence[bytes] | None = None,
    deadline_s: float = 5.0,
) -> Conformance:
    """Makes the checks of a transport.

    Args:
        transport_type: the transport.
        options: its options, best with `port=0`; or a function that returns an async context manager of them, for a
            server that has to run.
        connect: returns an async context manager of a peer that is connected to a listener and whose call is to be
            taken; it raises `CallNotTaken` or `OSError` if the listener refuses.
        stranger: as `connect`, for a peer that must not get a call; None: the transport lets everybody in.
        garbage: what connections send that are no calls; empty for a transport without a port of its own. None: what
            port scanners, browsers and broken programs send.
        deadline_s: the time in which what must happen has to happen, in s; it counts only while the machine has a
            processor to spare.

    """
    sent = GARBAGE if garbage is None else garbage
    subject = TransportSubject(transport_type, options, connect, stranger, sent, deadline_s)
    return Conformance(subject, (*DELIVERING, *SENDING, *TRANSFERRING, *ADMITTING))


async def check_transport(transport_type: TransportType[Any], options: Any, **settings: Any) -> Report:
    """Runs all checks of a transport; `settings` are those of `transport`.

    Raises:
        ConformanceError: checks failed; the message has each with what happened, its consequence and a remedy.

    """
    return await transport(transport_type, options, **settings).check()
