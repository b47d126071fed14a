"""Deepgram's text-to-speech as its reference has it: speak v1, over WebSocket and REST.

Sources: developers.deepgram.com/reference/text-to-speech/speak-streaming and .../speak-request,
/docs/streaming-text-to-speech (limits), /docs/tts-ws-flush, /docs/tts-ws-clear, /docs/tts-ws-close,
/docs/tts-media-output-settings, /docs/tts-troubleshooting-websocket-net-and-data-errors, /docs/errors.
"""

from __future__ import annotations

import io
import json
import wave
from collections import deque
from itertools import count

import trio
from vendors.serving import VendorServer
from vendors.tone import speech
from websockets.exceptions import InvalidState

from voicepipe.audio import AudioFormat
from voicepipe.nurseries import leaves_of, uncancelled

ENCODINGS = {"linear16": "pcm16", "mulaw": "mulaw", "alaw": "alaw"}
RATES = {
    "linear16": {"8000", "16000", "24000", "32000", "48000"},
    "mulaw": {"8000", "16000"},
    "alaw": {"8000", "16000"},
}
SOCKET_QUERY = {"model", "encoding", "sample_rate", "speed", "mip_opt_out"}
REQUEST_QUERY = SOCKET_QUERY | {"container", "bit_rate", "callback", "callback_method", "tag"}
TRUTH = {"true", "false"}
NO_MODEL = "Bad Request: No such model/language/tier combination found."
MOST_CHARS, MOST_CHARS_A_MINUTE, MOST_FLUSHES_A_MINUTE = 2000, 2400, 20


class DeepgramSpeak(VendorServer):
    """An account with one key."""

    def __init__(self, api_key="test-key", models=("aura-2-thalia-en", "aura-2-celeste-es"), piece=333):
        super().__init__()
        self.api_key, self.models, self.piece = api_key, models, piece
        self.heard = deque(maxlen=1000)
        """The messages that came over WebSockets: `("Speak", text)`, `("Flush", "")`, ..."""
        self.pause_s = 0.0
        """Before a piece of audio."""
        self.mute = False
        """Whether texts are flushed without any audio."""
        self.told = {}
        """Messages to send first, by what they answer: `{"Flush": {"type": "Error", ...}}`."""
        self.closing = None
        """How to end the conversation at the next Flush: a code and a reason."""
        self._ids = count(1)

    def _refusal(self, request, names):
        """Why a request is not taken: status and `err_code`, `err_msg`; None if it is."""
        query = dict(request.query)
        encoding = query.get("encoding", "linear16")
        if request.headers.get("authorization") != f"Token {self.api_key}":
            return 401, "INVALID_AUTH", "Invalid credentials."
        if unknown := [name for name in query if name not in names]:
            return 400, "Bad Request", f"Bad Request: unknown query parameter {unknown[0]}"
        if encoding not in ENCODINGS or query.get("sample_rate", "24000") not in RATES[encoding]:
            return 400, "UNSUPPORTED_AUDIO_FORMAT", f"Unsupported audio format: {encoding}, {query.get('sample_rate')}"
        if query.get("model", "aura-asteria-en") not in self.models:
            return 400, "Bad Request", NO_MODEL
        if not 0.7 <= float(query.get("speed", "1")) <= 1.5 or query.get("mip_opt_out", "true") not in {
            "true",
            "false",
        }:
            return 400, "Bad Request", "Bad Request: Invalid query parameter."
        return None

    # --- WebSocket

    async def greet(self, request):
        refusal = (404, "Not Found", "No such path") if request.path != "/v1/speak" else None
        refusal = refusal or self._refusal(request, SOCKET_QUERY)
        request_id = f"request-{next(self._ids)}"
        if refusal is None:
            return {"dg-request-id": request_id}
        status, code, said = refusal
        body = json.dumps({"err_code": code, "err_msg": said, "request_id": request_id}).encode()
        return status, {"content-type": "application/json", "dg-error": said, "dg-request-id": request_id}, body

    async def converse(self, request, socket):
        conversation = _Conversation(self, request, socket)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(conversation.speak)
                await conversation.listen()
                nursery.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            error = next(leaves_of(uncancelled(group) or group))  # the fault, or the client that went
            if not isinstance(error, InvalidState):  # it has said goodbye
                raise error from None

    # --- REST

    async def answer(self, request, response):
        if request.path == "/v1/models" and request.method == "GET":
            refusal = self._refusal(request, set()) if request.headers.get("authorization") else None
            if refusal is None or refusal[0] != 401:
                await response.json({"stt": [], "tts": [{"name": "thalia", "canonical_name": self.models[0]}]})
                return
        elif request.path == "/v1/speak" and request.method == "POST":
            refusal = self._refusal(request, REQUEST_QUERY) or _body_refusal(request)
        else:
            refusal = 404, "Not Found", "No such path"
        if refusal is not None:
            status, code, said = refusal
            await response.json({"err_code": code, "err_msg": said, "request_id": f"request-{next(self._ids)}"}, status)
            return
        query, text = dict(request.query), request.json["text"]
        audio = _format(query)
        said = speech(text, audio)
        if query.get("container", "wav") == "wav":
            said = _wav_header(audio, len(said)) + said
        headers = {"content-type": "audio/l16" if audio.encoding == "pcm16" else "audio/basic"}
        headers |= {"dg-request-id": f"request-{next(self._ids)}", "dg-char-count": str(len(text))}
        await response.start(200, headers)
        for at in range(0, 0 if self.mute else len(said), self.piece):
            await trio.sleep(self.pause_s)
            await response.send(said[at : at + self.piece])


class _Conversation:
    """One WebSocket: text is gathered until it is flushed, and spoken while more text comes."""

    def __init__(self, server, request, socket):
        self._server, self._socket = server, socket
        query = dict(request.query)
        self._audio = _format(query)
        self._model = query["model"]
        self._text = ""
        self._flushed_in, self._flushed = trio.open_memory_channel(1000)
        self._speaking = trio.CancelScope()
        self._texts, self._flushes = deque(), deque()
        self._sequence = count()

    async def listen(self):
        await self._socket.send(
            {
                "type": "Metadata",
                "request_id": "7b5a4c7e-0000-4000-8000-000000000001",
                "model_name": self._model,
                "model_version": "2025-04-07.0",
                "model_uuid": "7b5a4c7e-0000-4000-8000-000000000002",
            }
        )
        while (message := await self._socket.receive()) is not None:
            try:
                kind = json.loads(message)["type"]
            except (ValueError, KeyError, TypeError):
                await self._socket.close(1008, "DATA-0000: The text message could not be parsed")
                return
            self._server.heard.append((kind, json.loads(message).get("text", "")))
            if told := self._server.told.get(kind):
                await self._socket.send(told)
            match kind:
                case "Speak":
                    if closing := self._take(json.loads(message)["text"]):
                        await self._socket.close(*closing)
                        return
                case "Flush":
                    if self._server.closing:
                        await self._socket.close(*self._server.closing)
                        return
                    await self._flush()
                case "Clear":
                    self._speaking.cancel()
                    self._text = ""
                    await self._socket.send({"type": "Cleared", "sequence_id": next(self._sequence)})
                case "Close":
                    return
                case _:
                    said = {"code": "UNKNOWN_MESSAGE", "description": f"Unknown message type {kind}"}
                    await self._socket.send({"type": "Warning", **said})

    def _take(self, text):
        """Why it is too much."""
        now = trio.current_time()
        self._texts.append((now, len(text)))
        while self._texts[0][0] <= now - 60:
            self._texts.popleft()
        if len(text) > MOST_CHARS:
            return 1009, "BIG-0001: Input text exceeds maximum character limit"
        if sum(chars for _, chars in self._texts) > MOST_CHARS_A_MINUTE:
            return 1008, "DATA-0001: Too many characters in a minute"
        self._text += text
        return None

    async def _flush(self):
        now = trio.current_time()
        while self._flushes and self._flushes[0] <= now - 60:
            self._flushes.popleft()
        if len(self._flushes) >= MOST_FLUSHES_A_MINUTE:
            said = {"code": "EXCESSIVE_FLUSH", "description": "Flush can be sent 20 times every 60 seconds."}
            await self._socket.send({"type": "Warning", **said})
            return
        self._flushes.append(now)
        await self._flushed_in.send(self._text)
        self._text = ""

    async def speak(self):
        async for text in self._flushed:
            said = b"" if self._server.mute else speech(text, self._audio)
            with trio.CancelScope() as self._speaking:
                for at in range(0, len(said), self._server.piece):
                    await trio.sleep(self._server.pause_s)
                    await self._socket.send(said[at : at + self._server.piece])
                await self._socket.send({"type": "Flushed", "sequence_id": next(self._sequence)})


def _format(query):
    return AudioFormat(int(query.get("sample_rate", 24000)), ENCODINGS[query.get("encoding", "linear16")])


def _body_refusal(request):
    try:
        text = request.json["text"]
    except (ValueError, KeyError, TypeError):
        return 400, "Bad Request", "Bad Request: failed to parse the request body."
    if not text.strip():
        return 400, "Bad Request", "Bad Request: input text is empty."
    if len(text) > MOST_CHARS:
        return 413, "Payload Too Large", "Input text exceeds maximum character limit of 2000."
    return None


def _wav_header(audio, size):
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(audio.sample_bytes)
        writer.setframerate(audio.rate)
        writer.writeframes(bytes(size))
    return file.getvalue()[:44]
