"""The messages of each carrier's media stream, as its documentation describes them: what the carriers of tests send."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import trio
from websockets.exceptions import ConnectionClosed

MULAW_FRAME = bytes(range(160))
LINEAR_FRAME = bytes(640)


def encoded(audio: bytes) -> str:
    return base64.b64encode(audio).decode()


class TwilioStream:
    """Twilio: every value is text."""

    name = "twilio"
    call_id, stream_id = "CA00000000000000000000000000000001", "MZ00000000000000000000000000000002"

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.sequence = self.chunk = 0

    def numbered(self, **fields: Any) -> dict[str, Any]:
        self.sequence += 1
        return {**fields, "sequenceNumber": str(self.sequence), "streamSid": self.stream_id}

    def opening(self) -> list[Any]:
        start = {
            "accountSid": "AC3",
            "streamSid": self.stream_id,
            "callSid": self.call_id,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": self.parameters,
        }
        return [
            {"event": "connected", "protocol": "Call", "version": "1.0.0"},
            self.numbered(event="start", start=start),
        ]

    def media(self, audio: bytes = MULAW_FRAME, track: str = "inbound") -> Any:
        self.chunk += 1
        stamp = str(20 * self.chunk)
        media = {"track": track, "chunk": str(self.chunk), "timestamp": stamp, "payload": encoded(audio)}
        return self.numbered(event="media", media=media)

    def key(self, digit: str) -> Any:
        return self.numbered(event="dtmf", dtmf={"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> Any:
        return self.numbered(event="mark", mark={"name": name})

    def stop(self) -> Any:
        return self.numbered(event="stop", stop={"accountSid": "AC3", "callSid": self.call_id})

    # What this carrier understands.

    def heard(self, message: str | bytes) -> tuple[str, Any]:
        """Returns what a message to the carrier means: ("audio", bytes), ("mark", name), ("clear", None)."""
        fields = json.loads(message)
        assert fields["streamSid"] == self.stream_id
        match fields["event"]:
            case "media":
                return "audio", base64.b64decode(fields["media"]["payload"], validate=True)
            case "mark":
                return "mark", fields["mark"]["name"]
            case "clear":
                return "clear", None
        raise AssertionError(message)


class SignalWireStream(TwilioStream):
    """SignalWire, in the wrapped form that its documentation shows."""

    name = "signalwire"

    def numbered(self, **fields: Any) -> dict[str, Any]:
        raw = super().numbered(**fields)
        stamp = "2026-09-26T16:25:04.792Z"
        return {"timestamp": stamp, "direction": "inbound", "eventType": raw["event"], "rawEvent": raw}


class PlainSignalWireStream(TwilioStream):
    """SignalWire, as Twilio."""

    name = "signalwire"


class TelnyxStream(TwilioStream):
    """Telnyx."""

    name = "telnyx"
    call_id, stream_id = "v3:call", "32de0dea-53cb-4b21-89a4-9e1819c043bc"
    encoding, rate = "PCMU", 8000

    def numbered(self, **fields: Any) -> dict[str, Any]:
        self.sequence += 1
        return {**fields, "sequence_number": str(self.sequence), "stream_id": self.stream_id}

    def opening(self) -> list[Any]:
        start = {
            "user_id": "AC3",
            "call_control_id": self.call_id,
            "call_session_id": "session",
            "from": "+13122010094",
            "to": "+13122123456",
            "tags": ["TAG1", "TAG2"],
            "client_state": encoded(b"have a nice day"),
            "custom_parameters": self.parameters,
            "media_format": {"encoding": self.encoding, "sample_rate": self.rate, "channels": 1},
        }
        return [{"event": "connected", "version": "1.0.0"}, self.numbered(event="start", start=start)]

    def heard(self, message: str | bytes) -> tuple[str, Any]:
        fields = json.loads(message)
        return super().heard(json.dumps({**fields, "streamSid": self.stream_id}))


class PlivoStream(TwilioStream):
    """Plivo: numbers are numbers, parameters are text."""

    name = "plivo"
    call_id, stream_id = "12345678-1234-1234-1234-123456789abc", "87654321-4321-4321-4321-cba987654321"
    encoding, rate = "audio/x-mulaw", 8000

    def numbered(self, **fields: Any) -> dict[str, Any]:
        self.sequence += 1
        extra = ";".join(f"{name}={value}" for name, value in self.parameters.items())
        return {**fields, "sequenceNumber": self.sequence, "streamId": self.stream_id, "extra_headers": extra}

    def opening(self) -> list[Any]:
        start = {
            "callId": self.call_id,
            "streamId": self.stream_id,
            "accountId": "AC3",
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": self.encoding, "sampleRate": self.rate},
        }
        return [self.numbered(event="start", start=start)]

    def media(self, audio: bytes = MULAW_FRAME, track: str = "inbound") -> Any:
        self.chunk += 1
        stamp = str(1705312200000 + 20 * self.chunk)
        media = {"track": track, "chunk": self.chunk, "timestamp": stamp, "payload": encoded(audio)}
        return self.numbered(event="media", media=media)

    def mark(self, name: str) -> Any:
        return {"event": "playedStream", "streamId": self.stream_id, "name": name}

    def heard(self, message: str | bytes) -> tuple[str, Any]:
        fields = json.loads(message)
        assert fields["event"] == "sendDTMF" or fields["streamId"] == self.stream_id
        match fields["event"]:
            case "playAudio":
                media = fields["media"]
                assert (media["contentType"], media["sampleRate"]) == (self.encoding, self.rate)
                return "audio", base64.b64decode(media["payload"], validate=True)
            case "checkpoint":
                return "mark", fields["name"]
            case "clearAudio":
                return "clear", None
            case "sendDTMF":
                return "keys", fields["dtmf"]
        raise AssertionError(message)


class VonageStream(TwilioStream):
    """Vonage: audio is binary; the end is the end of the connection."""

    name = "vonage"
    call_id = stream_id = ""
    rate = 16000

    def opening(self) -> list[Any]:
        stated = {"event": "websocket:connected", "content-type": f"audio/l16;rate={self.rate}"}
        return [{**stated, **self.parameters}]

    def media(self, audio: bytes = LINEAR_FRAME, track: str = "inbound") -> Any:
        return audio

    def key(self, digit: str) -> Any:
        return {"event": "websocket:dtmf", "digit": digit, "duration": 260}

    def mark(self, name: str) -> Any:
        return {"event": "websocket:notify", "payload": {"mark": name}}

    def stop(self) -> Any:
        return None

    def heard(self, message: str | bytes) -> tuple[str, Any]:
        if isinstance(message, bytes):
            assert len(message) == self.rate // 50 * 2
            return "audio", message
        match json.loads(message):
            case {"action": "notify", "payload": {"mark": name}}:
                return "mark", name
            case {"action": "clear"}:
                return "clear", None
        raise AssertionError(message)


CARRIERS = (TwilioStream, TelnyxStream, PlivoStream, VonageStream, SignalWireStream, PlainSignalWireStream)


def wire(message: Any) -> bytes | str:
    """Returns a message as it is sent."""
    return message if isinstance(message, bytes) else json.dumps(message)


class PlayingCarrier:
    """A carrier that plays what it gets in real time, reports marks when they are due, and drops all at a clear."""

    def __init__(self, stream: Any, connection: Any, rate: int, sample_bytes: int) -> None:
        self._stream, self._connection, self._bytes_s = stream, connection, rate * sample_bytes
        self.audio = b""
        """All audio that it was sent."""
        self.marks: list[str] = []
        """The marks that it has reported."""
        self.clears = 0
        """The clears that it was sent."""
        self._plays_until = 0.0
        self._playing: list[trio.CancelScope] = []

    async def run(self) -> None:
        """Serves the stream until it ends."""
        async with trio.open_nursery() as nursery:
            with suppress(ConnectionClosed):
                while True:
                    kind, content = self._stream.heard(await self._connection.recv())
                    if kind == "audio":
                        self.audio += content
                        now = trio.current_time()
                        self._plays_until = max(now, self._plays_until) + len(content) / self._bytes_s
                    elif kind == "mark":
                        nursery.start_soon(self._report, content, self._plays_until)
                    elif kind == "clear":
                        self.clears += 1
                        self._plays_until = 0.0
                        for scope in self._playing:
                            scope.cancel()
            nursery.cancel_scope.cancel()

    async def _report(self, name: str, at: float) -> None:
        """Reports a mark when the audio before it was played, or at once when that is dropped."""
        with trio.CancelScope() as scope:
            self._playing.append(scope)
            await trio.sleep_until(at)
        self._playing.remove(scope)
        self.marks.append(name)
        with suppress(ConnectionClosed):
            await self._connection.send(wire(self._stream.mark(name)))

    async def say(self, audio: bytes, frame: int) -> None:
        """Sends the caller's audio in real time."""
        for at in range(0, len(audio), frame):
            await self._connection.send(wire(self._stream.media(audio[at : at + frame].ljust(frame, audio[-1:]))))
            await trio.sleep(0.02)
