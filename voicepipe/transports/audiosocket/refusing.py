"""Refusing AudioSocket calls: the ways to do it, and those of them that a transport is not needed for."""

from __future__ import annotations

import socket
from contextlib import suppress
from struct import Struct
from typing import Literal, TypeAlias

from voicepipe.transports.audiosocket.wire_format import HANGUP

WhenFull: TypeAlias = Literal["close_listener", "error", "reset", "hang_up"]
"""The way in which calls are refused at capacity.

`close_listener`: the listening socket is closed until there is room, so the kernel refuses connections; a call that had
connected already gets an `error`. `error` and `reset`: after its UUID, an AudioSocket error frame, or a TCP reset.
`hang_up`: a hang-up frame, which a dialplan can't tell from the end of a conversation.
"""


def cut_off(connection: socket.socket, when_full: WhenFull) -> None:
    """Refuses a connection at once, without waiting for its UUID as `AudioSocketTransport.refuse` does."""
    with suppress(OSError), connection:
        if when_full == "hang_up":
            connection.send(HANGUP)
        else:
            reset_when_closed(connection)


def reset_when_closed(connection: socket.socket) -> None:
    """Makes `close` reset the connection (socket(7), SO_LINGER with a time of 0)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, Struct("ii").pack(1, 0))
