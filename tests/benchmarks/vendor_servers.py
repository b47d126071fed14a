"""Deepgram's speech-to-text and text-to-speech and OpenAI's chat completions, as cheap as a server in Python can be.

`python vendor_servers.py [--tls CA_FILE] [--piece-ms 200] [--live]` prints its port, serves until its input ends, and
prints as JSON how much of its core it took, and how often it was asked for what. All three are at one address, plain
or TLS: `/v1/listen` and `/v1/speak` are WebSockets, `/v1/chat/completions` answers in server-sent events. No key is
checked and no parameter refused: the servers of tests/vendors do that.

Whatever the caller says is a text that tells when it was final, as in `bench_components`. The model answers always with
`REPLY`, in 40 tokens. Spoken, it lasts 8 s, each 20 ms of which tell which they are; any other text lasts 0.2 s. Audio
and tokens come at once, unless `--live`; nothing is waited for that takes real vendors their time.

Sources: developers.deepgram.com/reference/speech-to-text/listen-streaming, .../text-to-speech/speak-streaming,
/docs/interim-results, /docs/endpointing, /docs/finalize, /docs/audio-keep-alive; "Chat streaming" in
platform.openai.com/docs/api-reference; RFC 6455.
"""

from __future__ import annotations

import asyncio
import gc
import json
import mmap
import signal
import ssl
import sys
import time
import warnings
from argparse import ArgumentParser
from base64 import b64encode
from collections import Counter
from functools import cache
from hashlib import sha1
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

from bench_components import FINAL, GREETING_FRAMES, LOUD, PRECISELY, REPLY_S
from mulaw_calls import numbered

REPLY = (
    "You have three options for that order. You can change the date of delivery, collect it from the shop in Mill "
    "Road, or have it sent to a neighbour. Tell me which one you would prefer, and it is done."
)
"""40 words, each a token."""
FRAME_MS = 20
FRAMES_A_S = 1000 // FRAME_MS
INTERIM_MS = 1000
"""How much audio there is between two interim results."""
SEGMENT_MS = 5000
"""After so much audio without a pause, what was heard is final."""
QUIET_MS = 100
"""Silence after which speech begins anew for `SpeechStarted`."""
PATIENCE_S = 10.0
"""How long Deepgram waits for audio or a KeepAlive."""
TOKEN_S = 0.02
"""Of a live model."""
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
clock = time.perf_counter


# --- WebSocket and HTTP, as far as three vendors' clients use them ---------------------------------------------------


def frame(opcode: int, payload: bytes) -> bytes:
    """A WebSocket frame of a server."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 0x10000:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big") + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big") + payload


def said(**message) -> bytes:
    """A message of JSON, framed."""
    return frame(TEXT, json.dumps(message).encode())


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """The payload of a client's frame."""
    size = len(payload)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")


def extent(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of a client's frame begins and ends, of which 6 bytes have come at least."""
    length = data[at + 1] & 127
    if length < 126:
        return at + 6, at + 6 + length
    begins = at + (8 if length == 126 else 14)
    return begins, begins + int.from_bytes(data[at + 2 : begins - 4], "big")


class Connection(asyncio.Protocol):
    """A client's connection: requests one after the other, or a handshake and then a WebSocket."""

    def __init__(self, servers):
        self._servers = servers
        self._data = b""
        self._message = b""  # of a message in several frames, what has come
        self._kind = 0
        self._socket = None  # what a WebSocket is for
        self.answering = None  # a live answer that is under way
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self._servers.counts["connections"] += 1

    def connection_lost(self, _error):
        for timer in (self.answering, self._socket and self._socket.end()):
            if timer is not None:
                timer.cancel()

    def data_received(self, data):
        if self._data:
            data = self._data + data
        at = self._requests(data) if self._socket is None else 0
        if self._socket is not None:
            at = self._frames(data, at)
        self._data = data[at:]

    def _requests(self, data):
        """Answers whole requests; how far they went."""
        at = 0
        while self._socket is None and (end := data.find(b"\r\n\r\n", at)) >= 0:
            request, *lines = data[at:end].decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body_end = end + 4 + int(headers.get("content-length", 0))
            if len(data) < body_end:
                break
            method, target, _ = request.split(" ")
            self._answer(method, urlsplit(target), headers)
            at = body_end
        return at

    def _answer(self, method, target, headers):
        servers = self._servers
        if "sec-websocket-key" in headers and target.path in servers.sockets:
            accept = b64encode(sha1(headers["sec-websocket-key"].encode() + GUID).digest()).decode()
            self.transport.write(
                f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Accept: {accept}\r\ndg-request-id: {servers.next_id()}\r\n\r\n".encode()
            )
            servers.count_socket(target.path)
            self._socket = servers.sockets[target.path](servers, self, dict(parse_qsl(target.query)))
        elif method == "POST" and target.path == "/v1/chat/completions":
            servers.counts[target.path] += 1
            servers.complete(self)
        elif method == "GET" and target.path.startswith("/v1/models"):
            self._json("200 OK", {"object": "list", "id": "gpt-4.1-mini", "data": [], "stt": [], "tts": []})
        else:
            servers.counts["unknown requests"] += 1
            self._json("404 Not Found", {"error": {"message": f"no {method} {target.path}"}})

    def _json(self, status, content):
        body = json.dumps(content).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        self.transport.write(head.encode() + body)

    def _frames(self, data, at):
        """Takes whole frames; how far they went."""
        size = len(data)
        while size - at >= 6:
            first = data[at]
            begins, ends = extent(data, at)
            if size < ends:
                break
            payload = unmasked(data[begins:ends], data[begins - 4 : begins])
            at = ends
            opcode = first & 15
            if opcode < CLOSE:
                self._kind = opcode or self._kind
                if first & 0x80 and not self._message:
                    self._take(self._kind, payload)
                else:
                    self._message += payload
                    if first & 0x80:
                        payload, self._message = self._message, b""
                        self._take(self._kind, payload)
            elif opcode == PING:
                self.transport.write(frame(PONG, payload))
            elif opcode == CLOSE:
                self.transport.write(frame(CLOSE, payload[:2]))
                self.transport.close()
                return size
        return at

    def _take(self, kind, payload):
        if kind == BINARY:
            self._socket.hear(payload)
        else:
            self._socket.take(json.loads(payload))


# --- Deepgram --------------------------------------------------------------------------------------------------------


class Listen:
    """Listen v1 on a connection: words where it is loud. Times are in ms of audio."""

    def __init__(self, servers, connection, query):
        self._servers, self._write = servers, connection.transport.write
        self._connection = connection
        self._mulaw = query.get("encoding") == "mulaw"
        rate = int(query.get("sample_rate", 8000))
        self._frame_bytes = 2 * rate * FRAME_MS // 1000
        self._bytes_a_ms = 2 * rate / 1000
        self._interim = query.get("interim_results") == "true"
        endpointing = query.get("endpointing", "10")
        self._endpointing = float("inf") if endpointing == "false" else int(endpointing)
        self._utterance_end = int(query.get("utterance_end_ms", 0))
        self._vad_events = query.get("vad_events") == "true"
        self._id = servers.next_id()
        self._at = 0.0
        self._segment = self._interim_at = 0.0
        self._loud_from = None  # of the words that are not final
        self._loud_until = float("-inf")
        self._speaking = False
        self._utterance_over = True
        self.heard_at = clock()
        servers.listening.add(self)

    def end(self):
        self._servers.listening.discard(self)

    def hear(self, audio):
        """Audio came."""
        self.heard_at = clock()
        if self._mulaw:
            audio = audioop.ulaw2lin(audio, 2)
        began, size = self._at, self._frame_bytes
        self._at += len(audio) / self._bytes_a_ms
        if audioop.max(audio, 2) >= LOUD:
            for at in range(0, len(audio), size):
                if audioop.rms(audio[at : at + size], 2) >= LOUD:
                    self._loud_until = min(self._at, began + (at + size) / self._bytes_a_ms)
                    if self._loud_from is None:
                        self._loud_from = began + at / self._bytes_a_ms
        self._look()

    def _look(self):
        """Says what is due."""
        at, quiet = self._at, self._at - self._loud_until
        if quiet == 0 and not self._speaking:
            self._speaking = True
            if self._vad_events:
                self._write(said(type="SpeechStarted", channel=[0, 1], timestamp=self._loud_from / 1000))
        elif quiet >= QUIET_MS:
            self._speaking = False
        fresh = self._loud_from is not None
        if fresh:
            self._utterance_over = False
        if fresh and quiet >= self._endpointing:
            self._results(final=True, speech_final=True)
        elif at - self._segment >= SEGMENT_MS:
            self._results(final=True)
        elif self._interim and at - self._interim_at >= INTERIM_MS:
            self._results(final=False)
        if self._utterance_end and not self._utterance_over and quiet >= self._utterance_end:
            self._utterance_over = True
            self._write(said(type="UtteranceEnd", channel=[0, 1], last_word_end=self._loud_until / 1000))

    def _results(self, *, final, speech_final=False, from_finalize=False):
        text, words = "", []
        if self._loud_from is not None:
            text = f"{FINAL}{clock()}{PRECISELY}" if final else "something"
            listed = text.split()
            each = (self._loud_until - self._loud_from) / 1000 / len(listed)
            words = [
                {
                    "word": word.strip("."),
                    "start": self._loud_from / 1000 + number * each,
                    "end": self._loud_from / 1000 + (number + 1) * each,
                    "confidence": 0.98,
                    "punctuated_word": word,
                }
                for number, word in enumerate(listed)
            ]
        self._write(
            said(
                type="Results",
                channel_index=[0, 1],
                duration=(self._at - self._segment) / 1000,
                start=self._segment / 1000,
                is_final=final,
                speech_final=speech_final,
                channel={
                    "alternatives": [{"transcript": text, "confidence": 0.98 if text else 0.0, "words": words}],
                },
                metadata={
                    "request_id": self._id,
                    "model_info": {"name": "general-nova-3", "version": "2024-12-20.0", "arch": "nova-3"},
                    "model_uuid": "40bd3654-e622-47c4-a111-63a61b23bfe8",
                },
                from_finalize=from_finalize,
            )
        )
        self._interim_at = self._at
        if final:
            self._segment, self._loud_from = self._at, None
            self._servers.counts["final results with words" if text else "final results without"] += 1

    def take(self, message):
        """A message came."""
        self.heard_at = clock()
        match message["type"]:
            case "KeepAlive":
                self._servers.counts["KeepAlive"] += 1
            case "Finalize":
                self._servers.counts["Finalize"] += 1
                if self._at > self._segment:
                    self._results(final=True, from_finalize=True)
            case "Configure":
                changed = {name: value for name, value in message.items() if name != "type"}
                self._write(said(type="ConfigureSuccess", request_id=self._id, **changed))
            case "CloseStream":
                if self._loud_from is not None:
                    self._results(final=True)
                self._write(
                    said(
                        type="Metadata",
                        transaction_key="deprecated",
                        request_id=self._id,
                        sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                        created="2026-11-23T10:00:00.000Z",
                        duration=self._at / 1000,
                        channels=1,
                    )
                    + frame(CLOSE, (1000).to_bytes(2, "big"))
                )

    def lose_patience(self):
        """Closes, since neither audio nor a message came."""
        reason = b"Deepgram did not receive audio data or a text message within the timeout window. (NET-0001)"
        self._servers.counts["closed for silence"] += 1
        self._write(frame(CLOSE, (1011).to_bytes(2, "big") + reason))
        self._connection.transport.close()


def letters(text: str) -> str:
    """A text without what a client may change in it."""
    return "".join(filter(str.isalnum, text)).lower()


LETTERS = letters(REPLY)
REPLY_FRAMES = REPLY_S * FRAMES_A_S


@cache
def spoken(began: int, ended: int, rate: int, encoding: str, piece_ms: int) -> tuple[bytes, ...]:
    """The messages with that part of the reply, in frames of 20 ms."""
    if encoding == "mulaw":
        audio, size = b"".join(map(numbered, range(began, ended))), 8 * piece_ms
    else:
        audio = b"".join((1000 + at).to_bytes(2, "little") * (rate // FRAMES_A_S) for at in range(began, ended))
        size = 2 * rate * piece_ms // 1000
    return tuple(frame(BINARY, audio[at : at + size]) for at in range(0, len(audio), size))


class Speak:
    """Speak v1 on a connection: texts are gathered until a Flush, and spoken one after the other."""

    def __init__(self, servers, connection, query):
        self._servers, self._connection, self._write = servers, connection, connection.transport.write
        self._rate, self._encoding = int(query.get("sample_rate", 24000)), query.get("encoding", "linear16")
        self._text, self._at = "", 0
        self._sequence = 0
        self._due = []  # messages of a live voice, last first
        self._timer = None
        model = query.get("model", "aura-asteria-en")
        self._write(
            said(
                type="Metadata",
                request_id=servers.next_id(),
                model_name=model,
                model_version="2025-04-07.0",
                model_uuid="7b5a4c7e-0000-4000-8000-000000000002",
            )
        )

    def end(self):
        return self._timer

    def take(self, message):
        """A message came."""
        match message["type"]:
            case "Speak":
                self._text += message["text"]
            case "Flush":
                self._flush(letters(self._text))
                self._text = ""
            case "Clear":
                self._servers.counts["Clear"] += 1
                self._text, self._at = "", 0
                self._due.clear()
                self._write(self._numbered("Cleared"))
            case "Close":
                self._write(frame(CLOSE, (1000).to_bytes(2, "big")))

    def _numbered(self, kind):
        self._sequence += 1
        return said(type=kind, sequence_id=self._sequence - 1)

    def _flush(self, text):
        self._servers.counts["Flush"] += 1
        if not LETTERS.startswith(text, self._at):
            self._at = 0
        began, ended = 0, 0
        if not text:
            pass
        elif LETTERS.startswith(text, self._at):
            began, ended = (REPLY_FRAMES * at // len(LETTERS) for at in (self._at, self._at + len(text)))
            self._at = (self._at + len(text)) % len(LETTERS)
        else:
            began, ended = 0, GREETING_FRAMES
        messages = *spoken(began, ended, self._rate, self._encoding, self._servers.piece_ms), self._numbered("Flushed")
        if not self._servers.live:
            for message in messages:
                self._write(message)
            return
        self._due[:0] = reversed(messages)
        if self._timer is None:
            self._speak()

    def _speak(self):
        """Says the next piece at the pace of speech."""
        self._timer = None
        if self._due:
            self._write(self._due.pop())
            loop = self._servers.loop
            self._timer = loop.call_later(self._servers.piece_ms / 1000, self._speak)


# --- OpenAI ----------------------------------------------------------------------------------------------------------


def chunk(delta, finish=None, **more):
    """A chunk of a reply, in HTTP's own chunk."""
    choices = [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
    event = {
        "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
        "object": "chat.completion.chunk",
        "created": 1_794_000_000,
        "model": "gpt-4.1-mini-2025-04-14",
        "service_tier": "default",
        "system_fingerprint": "fp_0123456789",
        "choices": [] if delta is None else choices,
        "usage": None,
        **more,
    }
    return http_chunk(f"data: {json.dumps(event, separators=(',', ':'))}\n\n".encode())


def http_chunk(data):
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


TOKENS = [word if at == 0 else f" {word}" for at, word in enumerate(REPLY.split())]
COMPLETION = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
    b"x-request-id: req_0123456789abcdef\r\nopenai-processing-ms: 180\r\nopenai-version: 2020-10-01\r\n\r\n"
    + chunk({"role": "assistant", "content": "", "refusal": None}),
    *(chunk({"content": token}) for token in TOKENS),
    chunk({}, "stop"),
    chunk(None, usage={"prompt_tokens": 100, "completion_tokens": len(TOKENS), "total_tokens": 100 + len(TOKENS)})
    + http_chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n",
)
"""What is written for each request."""


# --- The process -----------------------------------------------------------------------------------------------------


class Servers:
    """All three, with what is counted."""

    sockets = {"/v1/listen": Listen, "/v1/speak": Speak}  # noqa: RUF012 - nobody changes it

    def __init__(self, loop=None, piece_ms=200, *, live=False, listening=None):
        self.loop, self.piece_ms, self.live = loop, piece_ms, live
        self._listening = bytearray(8) if listening is None else mapped(listening)
        self.counts = Counter()
        self.listening = set()
        self._ids = 0

    def next_id(self):
        self._ids += 1
        return f"00000000-0000-4000-8000-{self._ids:012d}"

    def count_socket(self, path):
        """Counts a WebSocket; those that listen also for another process."""
        self.counts[path] += 1
        self._listening[:8] = self.counts["/v1/listen"].to_bytes(8, "little")

    def complete(self, connection):
        """Answers a request for a reply."""
        write = connection.transport.write
        if not self.live:
            for data in COMPLETION:
                write(data)
            return
        due = list(reversed(COMPLETION))

        def more():
            write(due.pop())
            connection.answering = self.loop.call_later(TOKEN_S, more) if due else None

        more()

    def close_silent(self):
        """Closes listening connections on which nothing has come for long."""
        late = clock() - PATIENCE_S
        for talk in [talk for talk in self.listening if talk.heard_at < late]:
            talk.lose_patience()

    async def be_impatient(self):
        """Looks each second for connections on which nothing comes."""
        while True:
            await asyncio.sleep(1)
            self.close_silent()


def mapped(file: Path) -> mmap.mmap:
    """8 bytes of a new file, which other processes see change."""
    file.write_bytes(bytes(8))
    with file.open("r+b") as opened:
        return mmap.mmap(opened.fileno(), 8)


def tls_context(ca_file: Path) -> ssl.SSLContext:
    """A server's context whose certificate comes from a new CA, which is written to a file."""
    import trustme  # noqa: PLC0415 - only for TLS

    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(ca_file))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


async def main(arguments):
    """Serves until the input ends."""
    loop = asyncio.get_running_loop()
    servers = Servers(loop, arguments.piece_ms, live=arguments.live, listening=arguments.listening)
    listener = await loop.create_server(
        lambda: Connection(servers),
        "127.0.0.1",
        0,
        ssl=None if arguments.tls is None else tls_context(arguments.tls),
        backlog=1024,
    )
    gc.collect()
    gc.freeze()
    print(listener.sockets[0].getsockname()[1], flush=True)
    began, used = clock(), time.process_time()
    impatience = asyncio.create_task(servers.be_impatient())
    await asyncio.to_thread(sys.stdin.read)
    impatience.cancel()
    load = (time.process_time() - used) / (clock() - began)
    print(json.dumps({"load": round(load, 4), "asked": servers.counts}), flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--tls", type=Path, metavar="CA_FILE", help="TLS; the CA to trust is written to this file")
    parser.add_argument("--listening", type=Path, help="a file that is to count the connections of recognisers")
    parser.add_argument("--piece-ms", type=int, default=200, help="of speech in a message (default: 200)")
    parser.add_argument("--live", action="store_true", help="speech and tokens at the pace of real vendors")
    asyncio.run(main(parser.parse_args()))
