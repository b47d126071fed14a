"""Deepgram's speech-to-text as its reference has it: listen v1 (Nova) and v2 (Flux), over WebSocket.

What it hears are the words of `speech`: each is a buzz of its own loudness, so that the text depends on the audio
that came and on nothing else. Sources: developers.deepgram.com/reference/speech-to-text/listen-streaming and
.../listen-flux, /docs/errors, /docs/finalize, /docs/close-stream, /docs/configure, /docs/flux/state,
/docs/flux/force-end-turn, /docs/flux/close-stream, /docs/stt-troubleshooting-websocket-data-and-net-errors.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import deque
from functools import cache
from itertools import count

import trio
from attrs import define, field
from vendors.serving import VendorServer

from voicepipe.audio import AudioFormat, from_pcm16, level, to_pcm16

LINE = AudioFormat(8000)
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "yes", "no")
WORD_MS, GAP_MS, FRAME_MS = 160, 40, 10
QUIETEST, STEP = 1000, 1.25

ENCODINGS = {"linear16": "pcm16", "mulaw": "mulaw", "alaw": "alaw"}
TRUTH = {"true", "false"}
NOVA = {
    "model": None,
    "encoding": set(ENCODINGS),
    "sample_rate": int,
    "channels": {"1"},
    "language": None,
    "interim_results": TRUTH,
    "endpointing": None,
    "utterance_end_ms": int,
    "vad_events": TRUTH,
    "punctuate": TRUTH,
    "smart_format": TRUTH,
    "numerals": TRUTH,
    "mip_opt_out": TRUTH,
    "keyterm": None,
    "keywords": None,
}
FLUX = {
    "model": None,
    "encoding": set(ENCODINGS),
    "sample_rate": {"8000", "16000", "24000", "44100", "48000"},
    "eot_threshold": float,
    "eager_eot_threshold": float,
    "eot_timeout_ms": int,
    "numerals": TRUTH,
    "mip_opt_out": TRUTH,
    "keyterm": None,
    "language_hint": None,
}
UNAUTHORISED = (401, "INVALID_AUTH", "Invalid credentials.")
FORBIDDEN = (403, "INSUFFICIENT_PERMISSIONS", "Project does not have access to the requested model.")
NO_MODEL = (400, "Bad Request", "Bad Request: No such model/version combination found.")
NO_INTERIM_RESULTS = (400, "Bad Request", "Bad Request: utterance_end_ms requires interim_results=true.")
MODELS = {"/v1/listen": ("nova-3", "nova-2-phonecall"), "/v2/listen": ("flux-general-en", "flux-general-multi")}


@cache
def speech(text: str, audio: AudioFormat = LINE) -> bytes:
    """The text as this server hears it: 200 ms a word, of which 40 ms are silence."""
    samples = array("h")
    for word in text.split():
        loudness = round(QUIETEST * STEP ** WORDS.index(word))
        for at in range(audio.rate * WORD_MS // 1000):
            samples.append(loudness if at * 500 // audio.rate % 2 else -loudness)
        samples.extend([0] * (audio.rate * GAP_MS // 1000))
    return from_pcm16(samples.tobytes(), audio.encoding)


def silence(ms: int, audio: AudioFormat = LINE) -> bytes:
    """Nothing, for a while."""
    return audio.silence * (audio.rate * ms // 1000)


@define
class Ear:
    """Hears words, 10 ms at a time; times are in ms of what it has heard."""

    audio: AudioFormat
    at: int = 0
    words: list = field(factory=list)
    """(text, start, end)"""
    quiet_since: int = 0
    loud: bool = False
    _rest: bytes = b""
    _run: tuple = (None, 0)

    def frames(self, data: bytes):
        """Hears audio, and stops after each 10 ms for somebody to look."""
        data, size = self._rest + data, self.audio.bytes_in(FRAME_MS)
        whole = len(data) - len(data) % size
        self._rest = data[whole:]
        for start in range(0, whole, size):
            self._hear(to_pcm16(data[start : start + size], self.audio.encoding))
            yield

    def _hear(self, linear: bytes) -> None:
        loudness = level(linear)
        self.loud = loudness > QUIETEST / 2
        word = WORDS[min(len(WORDS) - 1, max(0, round(math.log(loudness / QUIETEST, STEP))))] if self.loud else None
        before, began = self._run
        if word != before:
            before, began = self._run = word, self.at
        self.at += FRAME_MS
        if self.loud:
            self.quiet_since = self.at
        if word is not None and self.at - began == WORD_MS // 2:
            self.words.append([word, began, self.at])
        elif word is not None and self.at - began > WORD_MS // 2:
            self.words[-1][2] = self.at

    @property
    def quiet_ms(self) -> int:
        return self.at - self.quiet_since


@define
class Session:
    """One connection, as it is remembered."""

    query: tuple
    audio: bytearray = field(factory=bytearray, repr=False)
    said: list = field(factory=list)
    """Text messages, by type."""
    messages: list = field(factory=list)
    """Text messages."""
    closed: str = ""
    """How it ended, where the server ended it."""

    @property
    def asked(self) -> dict:
        return dict(self.query)


class DeepgramListen(VendorServer):
    """An account with one key."""

    def __init__(self, api_key="test-key", *, remembers=1000):
        super().__init__()
        self.api_key = api_key
        self.requests = deque(maxlen=remembers)
        self.sessions = deque(maxlen=remembers)
        self.remembers_audio = remembers > 10
        self.forbidden_models = set()
        self.patience_s = 10.0
        """How long neither audio nor a message may come."""
        self.finalises = "buffered"
        """Whether `Finalize` is answered: `always`, if anything is `buffered`, or `never`."""
        self.forces = True
        """Whether v2 knows ForceEndTurn; False: as older servers, it reports an error."""
        self.configures = True
        """Whether Configure is known."""
        self._ids = count(1)

    async def greet(self, request):
        request_id = f"00000000-0000-4000-8000-{next(self._ids):012d}"
        refusal = self._refusal(request)
        if refusal is None:
            return {"dg-request-id": request_id}
        status, code, message = refusal
        body = {"err_code": code, "err_msg": message, "request_id": request_id}
        return status, {"dg-request-id": request_id, "dg-error": message}, json.dumps(body).encode()

    def _refusal(self, request):
        """The first thing that is wrong with a handshake: status, code and message; None: nothing."""
        query = dict(request.query)
        known = NOVA if request.path == "/v1/listen" else FLUX
        faults = [fault for name, value in request.query if (fault := _fault(known, name, value))]
        model = query.get("model")
        checks = (
            (request.headers.get("authorization") != f"Token {self.api_key}", UNAUTHORISED),
            (request.path not in MODELS, (404, "NOT_FOUND", "Not found.")),
            (faults, (400, "INVALID_QUERY_PARAMETER", f"Failed to deserialize query parameters: {faults}")),
            (model in self.forbidden_models, FORBIDDEN),
            (model not in MODELS.get(request.path, ()), NO_MODEL),
            ("utterance_end_ms" in query and query.get("interim_results") != "true", NO_INTERIM_RESULTS),
        )
        return next((refusal for wrong, refusal in checks if wrong), None)

    async def converse(self, request, socket):
        session = Session(request.query)
        self.sessions.append(session)
        kind = _Nova if request.path == "/v1/listen" else _Flux
        talk = kind(self, session, socket, f"00000000-0000-4000-8000-{len(self.requests):012d}")
        await talk.begin()
        while True:
            message = None
            with trio.move_on_after(self.patience_s) as patience:
                message = await socket.receive()
            if patience.cancelled_caught:
                session.closed = "NET-0001"
                said = "Deepgram did not receive audio data or a text message within the timeout window."
                await socket.close(1011, f"{said} See https://dpgr.am/net0001")
                return
            if message is None:
                return
            if isinstance(message, bytes):
                if not message:
                    session.closed = "empty audio"
                    await socket.close(1011, "NET-0000")
                    return
                if self.remembers_audio:
                    session.audio += message
                await talk.hear(message)
                continue
            said = json.loads(message)
            if self.remembers_audio:
                session.said.append(said["type"])
                session.messages.append(said)
            if await talk.take(said, message):
                return


def _fault(known, name, value):
    if name not in known:
        return f"unknown field `{name}`"
    allowed = known[name]
    if isinstance(allowed, set):
        return None if value in allowed else f"invalid value `{value}` for `{name}`"
    if allowed is not None:
        try:
            allowed(value)
        except ValueError:
            return f"invalid value `{value}` for `{name}`"
    return None


class _Talk:
    """One connection's conversation."""

    def __init__(self, server, session, socket, request_id):
        self.server, self.session, self.socket, self.request_id = server, session, socket, request_id
        query = session.asked
        self.query = query
        self.ear = Ear(AudioFormat(int(query["sample_rate"]), ENCODINGS[query["encoding"]]))
        self.sequence = count()
        self.begun = 0  # how many words were in earlier segments or turns

    async def begin(self):
        pass

    async def hear(self, audio):
        for _ in self.ear.frames(audio):
            await self.look()

    async def look(self):
        raise NotImplementedError

    @property
    def fresh(self):
        return self.ear.words[self.begun :]


class _Nova(_Talk):
    """Listen v1."""

    segment = 0
    last_interim = 0
    speaking = False
    utterance_over = True

    async def look(self):
        ear, query = self.ear, self.query
        if ear.loud and not self.speaking:
            self.speaking = True
            if query.get("vad_events") == "true":
                at = (ear.at - FRAME_MS) / 1000
                await self.socket.send({"type": "SpeechStarted", "channel": [0, 1], "timestamp": at})
        elif ear.quiet_ms >= 100:
            self.speaking = False
        endpointing = query.get("endpointing", "10")
        if self.fresh:
            self.utterance_over = False
        if self.fresh and endpointing != "false" and ear.quiet_ms >= int(endpointing):
            await self.results(final=True, speech_final=True)
        elif ear.at - self.segment >= 5000:
            await self.results(final=True)
        elif query.get("interim_results") == "true" and ear.at - self.last_interim >= 250:
            await self.results(final=False)
        gap = int(query.get("utterance_end_ms", 0))
        if gap and not self.utterance_over and ear.at - ear.words[-1][2] >= gap:
            self.utterance_over = True
            last = ear.words[-1][2] / 1000
            await self.socket.send({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": last})

    async def take(self, said, text):
        match said:
            case {"type": "KeepAlive"}:
                pass
            case {"type": "Finalize"}:
                finalises = self.server.finalises
                if finalises == "always" or (finalises == "buffered" and self.ear.at > self.segment):
                    await self.results(final=True, from_finalize=True)
            case {"type": "CloseStream"}:
                if self.fresh:
                    await self.results(final=True)
                await self.socket.send(
                    {
                        "type": "Metadata",
                        "transaction_key": "deprecated",
                        "request_id": self.request_id,
                        "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                        "created": "2026-11-23T10:00:00.000Z",
                        "duration": self.ear.at / 1000,
                        "channels": 1,
                    }
                )
                return True
            case {"type": "Configure", **changes} if self.server.configures:
                await self.configure(changes)
            case _:
                description = "Could not deserialize last text message: expected a control message"
                await self.socket.send(
                    {"type": "Error", "variant": "SchemaError", "description": description, "message": text}
                )
        return False

    async def configure(self, changes):
        answer = {"type": "ConfigureSuccess", "request_id": self.request_id}
        if "keyterms" in changes and not self.query["model"].startswith("nova-3"):
            answer |= {"type": "ConfigureFailure", "code": "CONFIGURE_KEYTERMS_NOT_SUPPORTED", "description": "no"}
        elif "keyterms" in changes:
            answer["keyterms"] = changes["keyterms"]
        await self.socket.send(answer)

    async def results(self, *, final, speech_final=False, from_finalize=False):
        words = [
            {
                "word": text,
                "start": start / 1000,
                "end": end / 1000,
                "confidence": 0.98,
                "punctuated_word": text.capitalize() if number == 0 else text,
            }
            for number, (text, start, end) in enumerate(self.fresh)
        ]
        found = {
            "transcript": " ".join(word["punctuated_word"] for word in words),
            "confidence": 0.98 if words else 0.0,
            "words": words,
        }
        if self.query.get("language") == "multi" and words:
            found["languages"] = ["en"]
        await self.socket.send(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "duration": (self.ear.at - self.segment) / 1000,
                "start": self.segment / 1000,
                "is_final": final,
                "speech_final": speech_final,
                "channel": {"alternatives": [found]},
                "metadata": {
                    "request_id": self.request_id,
                    "model_info": {"name": "general-nova-3", "version": "2024-12-20.0", "arch": "nova-3"},
                    "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8",
                },
                "from_finalize": from_finalize,
            }
        )
        self.last_interim = self.ear.at
        if final:
            self.segment, self.begun = self.ear.at, len(self.ear.words)


class _Flux(_Talk):
    """Listen v2."""

    turn = 0
    turn_began = 0
    last_update = 0
    open = False
    eager = False
    known = 0

    async def begin(self):
        await self.say({"type": "Connected"})

    async def say(self, message):
        await self.socket.send({"request_id": self.request_id, "sequence_id": next(self.sequence), **message})

    async def look(self):
        ear = self.ear
        eager = self.query.get("eager_eot_threshold") is not None
        timeout = int(self.query.get("eot_timeout_ms", 5000))
        sure = float(self.query.get("eot_threshold", 0.7)) < 1
        if self.fresh and not self.open:
            self.open, self.known = True, len(self.fresh)
            await self.info("StartOfTurn")
        elif self.eager and len(self.fresh) > self.known:
            self.eager, self.known = False, len(self.fresh)
            await self.info("TurnResumed")
        elif self.open and eager and not self.eager and ear.quiet_ms >= 200:
            self.eager, self.known = True, len(self.fresh)
            await self.info("EagerEndOfTurn")
        elif self.open and ((sure and ear.quiet_ms >= 400) or ear.quiet_ms >= timeout):
            await self.end("timeout" if ear.quiet_ms >= timeout else "model")
        elif ear.at - self.last_update >= 250:
            await self.info("Update")

    async def end(self, trigger):
        await self.info("EndOfTurn", trigger=trigger)
        self.turn += 1
        self.turn_began, self.begun = self.ear.at, len(self.ear.words)
        self.open = self.eager = False

    async def info(self, event, **more):
        words = [
            {"word": text, "confidence": 0.97, "start": start / 1000, "end": end / 1000}
            for text, start, end in self.fresh
        ]
        if words:
            words[0]["word"] = words[0]["word"].capitalize()
        if words and self.query["model"].endswith("-multi"):
            more["languages"] = [self.query.get("language_hint", "en")]
        self.last_update = self.ear.at
        await self.say(
            {
                "type": "TurnInfo",
                "event": event,
                "turn_index": self.turn,
                "audio_window_start": self.turn_began / 1000,
                "audio_window_end": self.ear.at / 1000,
                "transcript": " ".join(word["word"] for word in words),
                "words": words,
                "end_of_turn_confidence": 0.9 if event == "EndOfTurn" else 0.1,
                **more,
            }
        )

    async def take(self, said, _text):
        match said:
            case {"type": "ForceEndTurn"} if self.server.forces:
                if self.open:
                    await self.end("manual")
            case {"type": "Configure", **changes} if self.server.configures:
                thresholds = {"eot_threshold": 0.7, "eager_eot_threshold": None, "eot_timeout_ms": 5000}
                await self.say({"type": "ConfigureSuccess", "thresholds": thresholds, "keyterms": [], **changes})
            case {"type": "CloseStream"}:
                if self.fresh:
                    await self.info("Update")
                await self.socket.close(None)
                return True
            case _:
                described = "Failed to parse client message."
                await self.say({"type": "Error", "code": "UNPARSABLE_CLIENT_MESSAGE", "description": described})
        return False
