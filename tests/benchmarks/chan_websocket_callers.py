"""The callers of `callers.py`, behind Asterisks that connect by chan_websocket.

Asterisk buffers, so an agent's frame is late only if it comes after its time to be played, and a reply ends when
FLUSH_MEDIA comes. Marks are answered when their audio has been played.
"""

from __future__ import annotations

import base64
import json
import os
import socket
from contextlib import suppress
from itertools import count

import callers
from callers import FRAME_S, Callers, clock

AUDIO_BYTES = 320
MASK = bytes.fromhex("a55a3cc3")
FIN_TEXT, FIN_BINARY, CLOSE, PING, PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
LONG = 126
_numbers = count(1)
_open, _shown_at = [], [0.0]


def frame(kind, payload):
    """A client's frame, masked as Asterisk's are."""
    size = len(payload)
    head = bytes((kind, 0x80 | size)) if size < LONG else bytes((kind, 0x80 | LONG, size >> 8, size & 0xFF))
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def framed(message):
    """A message of AudioSocket's callers as one of these."""
    return frame(FIN_BINARY, message[3:])


def upgraded(port, path, headers=""):
    """A WebSocket to the server, after its handshake."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    key = base64.b64encode(os.urandom(16)).decode()
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Host: 127.0.0.1:{port}\r\n{headers}Sec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1)
    if not answer.startswith(b"HTTP/1.1 101"):
        raise SystemExit(answer.decode())
    return connection


def connected(port):
    """A call that is up, after its MEDIA_START."""
    connection = upgraded(port, "/media", "Sec-WebSocket-Protocol: media\r\n")
    channel = f"bench-{next(_numbers)}"
    stay_alive(connection)
    start = {"event": "MEDIA_START", "connection_id": "engine", "channel": "WebSocket/engine", "channel_id": channel}
    start |= {"format": "slin", "optimal_frame_size": AUDIO_BYTES, "ptime": 20, "channel_variables": {}}
    connection.sendall(frame(FIN_TEXT, json.dumps(start).encode()))
    return connection


def stay_alive(connection):
    """Shows twice a second that those are there who wait until all are connected; Asterisk would answer pings."""
    _open.append(connection)
    if clock() - _shown_at[0] > 0.5:
        _shown_at[0] = clock()
        for other in _open:
            with suppress(OSError):
                other.send(frame(PONG, b""))


class Caller(callers.Caller):
    __slots__ = ("flushed_at", "marks", "played_at")

    def __init__(self, connection, number, calls):
        super().__init__(connection, number, calls)
        self.marks = []  # (when it has been played, the message that says so)
        self.played_at = 0.0  # when all that came has been played
        self.flushed_at = 0.0


class ChanWebSocketCallers(Callers):
    """The calls, and what comes of them."""

    caller, connected, framed = Caller, staticmethod(connected), staticmethod(framed)

    def send(self, caller, due, now):
        while caller.marks and caller.marks[0][0] <= now:
            caller.socket.send(caller.marks.pop(0)[1])
        super().send(caller, due, now)

    def take(self, caller, data, now):
        at, size = 0, len(data)
        while size - at >= 4:
            kind, length, begin = data[at], data[at + 1], at + 2
            if length == LONG:
                length, begin = data[at + 2] << 8 | data[at + 3], at + 4
            if size - begin < length:
                break
            at = begin + length
            if kind == FIN_BINARY:
                self.play(caller, data[begin:at], now)
            elif kind == FIN_TEXT:
                self.obey(caller, json.loads(data[begin:at]), now)
            elif kind == PING:
                caller.socket.send(frame(PONG, b""))
            elif kind == CLOSE:
                self.faults.append(f"call {caller.number} was closed")
            else:
                self.faults.append(f"call {caller.number} got a frame of kind {kind}")
        caller.rest = data[at:]

    def play(self, caller, audio, now):
        for at in range(0, len(audio), AUDIO_BYTES):
            if sample := audio[at] | audio[at + 1] << 8:
                number = sample - 1000
                if number == 0 or now > caller.played_at:
                    self.underrun(caller, number, now)
                caller.played_at = max(caller.played_at, now) + FRAME_S
                self.hear(caller, number, now)

    def underrun(self, caller, number, now):
        """Notes how late a frame is that came when all before it had been played; the first of a reply is none."""
        if number and self.measuring and caller.arrivals:
            self.late_ms.append((now - caller.played_at) * 1000)

    def obey(self, caller, command, now):
        name, mark = command["command"], command.get("correlation_id", "")
        if name == "FLUSH_MEDIA":
            caller.marks.clear()
            unheard = int((caller.played_at - now) / FRAME_S)  # a reply that goes on sends them again
            del caller.arrivals[max(0, len(caller.arrivals) - max(0, unheard)) :]
            caller.played_at = caller.flushed_at = now
        elif name == "MARK_MEDIA":
            event = {"event": "MEDIA_MARK_PROCESSED", "channel_id": "bench", "correlation_id": mark}
            caller.marks.append((max(caller.played_at, now), frame(FIN_TEXT, json.dumps(event).encode())))
        elif name == "HANGUP":
            self.faults.append(f"call {caller.number} was hung up")

    def reply_over(self, caller):
        """Frames that came in time are not late at all; those that did not are noted already."""
        if self.measuring:
            self.late_ms += [0.0] * len(caller.arrivals)
        caller.arrivals = []

    def heard_frame(self, caller):
        """Which frame of a reply a caller hears now; 0 if none."""
        if not caller.arrivals:
            return 0
        return max(0, caller.arrivals[-1][0] - int((caller.played_at - clock()) / FRAME_S))

    def fell_silent_at(self, caller):
        """When playing stopped: the queue was flushed, or played."""
        return caller.flushed_at if caller.flushed_at > caller.barged_at else caller.played_at


if __name__ == "__main__":
    callers.main(ChanWebSocketCallers)
