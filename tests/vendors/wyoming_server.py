"""A Wyoming server of the tests: describes itself, transcribes and speaks, over any trio stream.

It goes by the protocol's README (github.com/OHF-Voice/wyoming) and by how the servers of its authors behave: after a
transcript the connection is closed, Piper speaks in streams sentence by sentence. What clients send is looked at: what
the protocol does not know, or not there, fails the connection with an `error`.
"""

from __future__ import annotations

import json
import re
from collections import deque
from contextlib import asynccontextmanager

import trio
from attrs import define, frozen
from vendors.serving import _Cut, _reset, _Wire, open_vendor
from vendors.tone import speech

from voicepipe.audio import AudioFormat

BYTES_A_CHUNK = 2048
"""As Piper sends: 1,024 samples."""

FIELDS = {
    "describe": {},
    "select-program": {"name": str},
    "transcribe": {"name": str, "language": str, "context": dict, "transcript_names": list, "transcript_terms": list},
    "audio-start": {"rate": int, "width": int, "channels": int, "timestamp": int},
    "audio-chunk": {"rate": int, "width": int, "channels": int, "timestamp": int},
    "audio-stop": {"timestamp": int},
    "synthesize": {"text": str, "voice": dict, "context": dict},
    "synthesize-start": {"voice": dict, "context": dict},
    "synthesize-chunk": {"text": str},
    "synthesize-stop": {},
}
"""What a client may send to servers of speech, and its fields."""
REQUIRED = {"rate", "width", "channels", "text"}
VOICE = {"name", "language", "speaker"}


@frozen
class Event:
    type: str
    data: dict
    payload: bytes = b""


def artifact(name, **more):
    """What the `info` says of anything."""
    made_by = {"name": "voicepipe's tests", "url": "https://example.org"}
    return {"name": name, "attribution": made_by, "installed": True, "description": None, "version": None, **more}


@define
class Connection:
    """A client's, with its faults."""

    stream: object
    wire: _Wire
    inline: bool
    received: bytearray

    async def send(self, kind, data=None, payload=b""):
        """Sends an event, unless something goes wrong here."""
        if not await self.wire.before_message():
            return
        header = {"type": kind, "version": "1.10.2"}
        block = b""
        if data and self.inline:
            header["data"] = data
        elif data:
            block = json.dumps(data, ensure_ascii=False).encode()
            header["data_length"] = len(block)
        if payload:
            header["payload_length"] = len(payload)
        await self.wire.write(json.dumps(header, ensure_ascii=False).encode() + b"\n" + block + payload)

    async def receive(self):
        """The next event; None when the client has gone."""
        while (end := self.received.find(b"\n")) < 0:
            if not await self._read():
                return None
        header = json.loads(self.received[:end])
        del self.received[: end + 1]
        assert set(header) <= {"type", "version", "data", "data_length", "payload_length"}, header
        data = header.get("data") or {}
        if length := header.get("data_length"):
            data |= json.loads(await self._take(length))
        return Event(header["type"], data, await self._take(header.get("payload_length") or 0))

    async def _take(self, size):
        while len(self.received) < size:
            if not await self._read():
                raise _Cut
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    async def _read(self):
        data = await self.wire.read()
        self.received += data
        return bool(data)


def mistake(event):
    """What is wrong with a client's event."""
    fields = FIELDS.get(event.type)
    if fields is None:
        return f"unknown event: {event.type}"
    for name, value in event.data.items():
        if name not in fields or (value is not None and type(value) is not fields[name]):
            return f"{event.type} with {name}: {value!r}"
    if lacking := [name for name in fields if name in REQUIRED and name not in event.data]:
        return f"{event.type} without {lacking}"
    if unknown := set(event.data.get("voice") or ()) - VOICE:
        return f"a voice with {unknown}"
    return None


class WyomingServer:
    """A server; what it hears and how it speaks are functions that tests may replace."""

    def __init__(self, *, rate=22050, streams=False, closes=True, inline=False):
        self.rate, self.streams, self.closes, self.inline = rate, streams, closes, inline
        self.models = [artifact("base", languages=["en", "de"])]
        self.voices = [artifact("alice", languages=["en_US"]), artifact("bernd", languages=["de_DE"])]
        self.faults = deque()
        """For the next transcriptions and syntheses, one each; None: that one goes well."""
        self.fault = None
        """For all of them when `faults` is empty."""
        self.describe_fault = None
        """For descriptions."""
        self.error = None
        """Sent as an `error` instead of the answer to an utterance or a text: (text, code)."""
        self.asked = deque(maxlen=50)
        """What clients sent, besides audio: the latest events."""
        self.heard = deque(maxlen=50)
        """The latest utterances: (format, bytes of audio)."""
        self.hear = lambda audio, samples: f"{len(samples) * 1000 // (2 * audio.rate)} ms"
        """What is heard in an utterance; may be async."""
        self.speak = speech
        """What a text is spoken as: 16-bit linear audio."""
        self.early_ms = None
        """How much of an utterance is heard before its transcript is given unasked; None: all."""
        self.connections = self.open = 0

    @property
    def info(self):
        asr = artifact("ears", models=self.models, supports_transcript_streaming=self.streams)
        tts = artifact("mouth", voices=self.voices, supports_synthesize_streaming=self.streams)
        return {"asr": [asr], "tts": [tts], "wake": [], "handle": [], "intent": []}

    async def serve(self, stream):
        """Serves one connection until it ends."""
        self.connections += 1
        self.open += 1
        try:
            async with stream:
                if self._refuses():
                    await _reset(stream)
                    return
                connection = Connection(stream, _Wire(stream), self.inline, bytearray())
                while (event := await connection.receive()) is not None:
                    if not await self._answer(connection, event):
                        return
        except (trio.BrokenResourceError, trio.ClosedResourceError, _Cut):
            pass  # the client went away, or the fault had it so
        finally:
            self.open -= 1

    def _refuses(self):
        return self.describe_fault is not None and self.describe_fault.kind == "refuse"

    async def _begin(self, connection):
        """An exchange in which something may go wrong."""
        connection.wire.fault = self.faults.popleft() if self.faults else self.fault
        connection.wire.sent = 0
        await connection.wire.before_head()

    async def _answer(self, connection, event):
        self.asked.append(event)
        if wrong := mistake(event):
            await connection.send("error", {"text": wrong, "code": "bad-request"})
            return False
        if event.type == "describe":
            connection.wire.fault, connection.wire.sent = self.describe_fault, 0
            await connection.wire.before_head()
            await connection.send("info", self.info)
            return True
        if event.type in {"audio-start", "synthesize", "synthesize-start"}:
            await self._begin(connection)
            if self.error is not None:
                text, code = self.error
                await connection.send("error", {"text": text, "code": code})
                return False
        if event.type == "audio-start":
            return await self._transcribe(connection, event)
        if event.type == "synthesize":
            await self._speak(connection, event.data["text"])
        if event.type == "synthesize-start":
            await self._speak_in_stream(connection)
        return True

    async def _transcribe(self, connection, start):
        audio = AudioFormat(start.data["rate"])
        assert (start.data["width"], start.data["channels"]) == (2, 1)
        samples, begun = bytearray(), False
        if self.streams:
            await connection.send("transcript-start", {"language": "en"})
        while (event := await connection.receive()) is not None and event.type == "audio-chunk":
            assert mistake(event) is None
            assert {**event.data, "timestamp": 0} == {**start.data, "timestamp": 0}
            samples += event.payload
            if self.streams and not begun:
                begun = True
                await connection.send("transcript-chunk", {"text": " so far"})
            if self.early_ms is not None and audio.ms_in(len(samples)) >= self.early_ms:
                break
        if event is None:
            return False
        self.heard.append((audio, bytes(samples)))
        text = self.hear(audio, bytes(samples))
        text = text if isinstance(text, str) else await text
        await connection.send("transcript", {"text": text, "language": "en"} if self.streams else {"text": text})
        if self.streams:
            await connection.send("transcript-stop")
        return not self.closes

    async def _speak(self, connection, text):
        audio = AudioFormat(self.rate)
        shape = {"rate": self.rate, "width": 2, "channels": 1, "timestamp": None}
        samples = self.speak(text, audio)
        await connection.send("audio-start", shape)
        for at in range(0, len(samples), BYTES_A_CHUNK):
            await connection.send("audio-chunk", shape, samples[at : at + BYTES_A_CHUNK])
        await connection.send("audio-stop", {"timestamp": None})

    async def _speak_in_stream(self, connection):
        """As Piper does: a sentence when the next one begins, the last one at the end."""
        assert self.streams, "a stream where none was offered"
        text, whole = "", None
        while (event := await connection.receive()) is not None:
            assert mistake(event) is None
            self.asked.append(event)
            if event.type == "synthesize-stop":
                break
            if event.type == "synthesize":  # for whoever knows no streams
                whole = event.data["text"]
                continue
            text += event.data["text"]
        assert text == whole
        for sentence in re.findall(r".*?[.!?]+\s+|.+$", text, re.DOTALL):
            await self._speak(connection, sentence)
        await connection.send("synthesize-stopped")


@asynccontextmanager
async def open_wyoming(server):
    """Serves on a port of loopback; gives its address as options want it."""
    async with open_vendor(server.serve) as address:
        yield f"{address.host}:{address.port}"
