"""The callers of `callers.py`, behind a carrier that speaks Twilio's dialect: mu-law in base64 in JSON.

The carrier buffers as Asterisk's `chan_websocket` does. Mu-law does not keep the number of a frame, so frames are
counted: the first one after a pause begins a reply.
"""

from __future__ import annotations

import base64
import json
import warnings
from itertools import count

import callers
from callers import CYCLE, FRAME_S
from chan_websocket_callers import FIN_TEXT, ChanWebSocketCallers, frame, stay_alive, upgraded

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

TOKEN = "the-token-of-the-benchmark"
MULAW_BYTES = 160
SILENCE = b"\xff" * MULAW_BYTES
PAUSE_S = 0.5
_numbers = count(1)
_chunks = count(1)


def framed(message):
    """A message of AudioSocket's callers as one of these; its chunk's number is one of a cycle that begins again."""
    payload = base64.b64encode(audioop.lin2ulaw(message[3:], 2)).decode()
    media = {"track": "inbound", "chunk": str(next(_chunks) % CYCLE + 1), "timestamp": "20", "payload": payload}
    sent = {"event": "media", "sequenceNumber": "3", "media": media, "streamSid": "MZ00000000000000000000000000000001"}
    return frame(FIN_TEXT, json.dumps(sent).encode())


def connected(port):
    """A call that is up, after its start message."""
    connection = upgraded(port, f"/stream/listener/{TOKEN}")
    stay_alive(connection)
    stream = f"MZ{next(_numbers)}"
    start = {"accountSid": "AC1", "streamSid": stream, "callSid": f"CA{stream}", "tracks": ["inbound"]}
    start |= {"mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}, "customParameters": {}}
    begin = {"event": "start", "sequenceNumber": "1", "start": start, "streamSid": stream}
    connection.sendall(frame(FIN_TEXT, json.dumps(begin).encode()))
    return connection


class MediaStreamCallers(ChanWebSocketCallers):
    """The calls, and what comes of them."""

    connected, framed = staticmethod(connected), staticmethod(framed)

    def obey(self, caller, command, now):
        match command["event"]:
            case "media":
                self.play(caller, base64.b64decode(command["media"]["payload"]), now)
            case "clear":
                marks, caller.marks = caller.marks, []
                for _, report in marks:
                    caller.socket.send(report)
                caller.played_at = caller.flushed_at = now
            case "mark":
                report = frame(FIN_TEXT, json.dumps(command).encode())
                caller.marks.append((max(caller.played_at, now), report))

    def play(self, caller, audio, now):
        for at in range(0, len(audio), MULAW_BYTES):
            if audio[at : at + MULAW_BYTES] == SILENCE[: len(audio) - at]:
                continue
            goes_on = caller.arrivals and now < caller.played_at + PAUSE_S
            number = caller.arrivals[-1][0] + 1 if goes_on else 0
            if number == 0 or now > caller.played_at:
                self.underrun(caller, number, now)
            caller.played_at = max(caller.played_at, now) + FRAME_S
            self.hear(caller, number, now)


if __name__ == "__main__":
    callers.main(MediaStreamCallers)
