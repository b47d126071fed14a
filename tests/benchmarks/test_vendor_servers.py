"""The vendors of the benchmark speak as the real ones do, as far as the benchmark hears them."""

from __future__ import annotations

import json
from itertools import chain

import h11
import pytest
from bench_components import FINAL, FRAME_BYTES, FRAMES, GREETING_FRAMES
from deepgram.listen.v1.types import ListenV1Metadata, ListenV1Results, ListenV1SpeechStarted
from deepgram.speak.v1.types import SpeakV1Cleared, SpeakV1Flushed, SpeakV1Metadata
from mulaw_calls import LINEAR
from openai.types.chat import ChatCompletionChunk
from vendor_servers import PATIENCE_S, REPLY, TOKENS, Connection, Servers
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from voicepipe.audio import from_pcm16

LOUD, QUIET = b"\0\x10\0\xf0" * 80, bytes(320)
LISTEN = "/v1/listen?model=nova-3&sample_rate=8000&vad_events=true"
MESSAGES = {"Results": ListenV1Results, "SpeechStarted": ListenV1SpeechStarted, "Metadata": ListenV1Metadata}
SPOKEN = {"Metadata": SpeakV1Metadata, "Flushed": SpeakV1Flushed, "Cleared": SpeakV1Cleared}


class Wire:
    """A client's end of a connection in memory."""

    def __init__(self, servers=None):
        self.servers = servers or Servers()
        self.connection = Connection(self.servers)
        self.connection.connection_made(self)
        self.written, self.closed = b"", False

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def send(self, data, piece=0):
        for at in range(0, len(data), piece or len(data) or 1):
            self.connection.data_received(data[at : at + (piece or len(data))])

    def take(self):
        data, self.written = self.written, b""
        return data


class Client:
    """A WebSocket client, by the book."""

    def __init__(self, path, piece=0):
        self.wire, self.piece = Wire(), piece
        self.protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1{path}"))
        self.protocol.send_request(self.protocol.connect())
        self.pump()
        response, *frames = self.protocol.events_received()
        self.greeting = [json.loads(frame.data) for frame in frames]
        assert isinstance(response, Response)
        assert response.headers["dg-request-id"]

    def pump(self):
        self.wire.send(b"".join(self.protocol.data_to_send()), self.piece)
        self.protocol.receive_data(self.wire.take())

    def exchange(self, *messages):
        """Sends messages; what comes, JSON as it is and audio as bytes."""
        for message in messages:
            if isinstance(message, bytes):
                self.protocol.send_binary(message)
            else:
                self.protocol.send_text(json.dumps(message).encode())
        self.pump()
        frames = [frame for frame in self.protocol.events_received() if frame.opcode in {Opcode.TEXT, Opcode.BINARY}]
        return [json.loads(frame.data) if frame.opcode is Opcode.TEXT else bytes(frame.data) for frame in frames]


def checked(messages, models):
    for message in messages:
        models[message["type"]].model_validate(message)
    return messages


def said(message):
    return message["channel"]["alternatives"][0]["transcript"]


@pytest.mark.parametrize("piece", [0, 1, 7])
@pytest.mark.parametrize(("encoding", "name"), [("pcm16", "linear16"), ("mulaw", "mulaw")])
def test_words_are_final_after_a_pause(encoding, name, piece):
    client = Client(f"{LISTEN}&encoding={name}&interim_results=true&endpointing=300", piece)
    loud, quiet = from_pcm16(LOUD, encoding), from_pcm16(QUIET, encoding)
    assert client.exchange(*[quiet * 4] * 5) == []
    began, interim = checked(client.exchange(*[loud * 4] * 12), MESSAGES)
    assert (began["type"], began["timestamp"]) == ("SpeechStarted", 0.4)
    assert (said(interim), interim["is_final"]) == ("something", False)
    assert checked(client.exchange(*[quiet * 2] * 7), MESSAGES) == []
    (final,) = checked(client.exchange(quiet), MESSAGES)
    assert said(final).startswith(FINAL)
    assert (final["is_final"], final["speech_final"], final["from_finalize"]) == (True, True, False)
    words = final["channel"]["alternatives"][0]["words"]
    assert (words[0]["start"], round(words[-1]["end"], 3)) == (0.4, 1.36)
    assert " ".join(word["punctuated_word"] for word in words) == said(final)
    assert (final["start"], final["duration"]) == (0, 1.66)
    assert client.exchange({"type": "KeepAlive"}) == []


def test_finalize_and_close_are_answered():
    client = Client(f"{LISTEN}&encoding=linear16&endpointing=false")
    client.exchange(LOUD * 10, QUIET * 100)
    (final,) = checked(client.exchange({"type": "Finalize"}), MESSAGES)
    assert (said(final)[: len(FINAL)], final["speech_final"], final["from_finalize"]) == (FINAL, False, True)
    assert client.exchange({"type": "Finalize"}) == []  # nothing came since
    (empty,) = checked(client.exchange(QUIET, {"type": "Finalize"}), MESSAGES)
    assert (said(empty), empty["from_finalize"]) == ("", True)
    *_, last, metadata = checked(client.exchange(LOUD * 10, {"type": "CloseStream"}), MESSAGES)
    assert said(last).startswith(FINAL)
    assert metadata["duration"] == 2.42
    assert client.protocol.close_rcvd.code == 1000


def test_five_seconds_without_a_pause_are_final():
    client = Client(f"{LISTEN}&encoding=linear16")
    messages = checked(client.exchange(*[LOUD * 5] * 50), MESSAGES)
    assert [message["type"] for message in messages] == ["SpeechStarted", "Results"]
    assert (messages[1]["is_final"], messages[1]["speech_final"]) == (True, False)


def test_silence_on_the_connection_ends_it():
    client = Client(f"{LISTEN}&encoding=linear16")
    (talk,) = client.wire.servers.listening
    talk.heard_at -= PATIENCE_S + 1
    client.wire.servers.close_silent()
    client.pump()
    assert client.protocol.close_rcvd.code == 1011
    assert client.wire.closed
    client.wire.connection.connection_lost(None)
    assert not client.wire.servers.listening


def frames_of(messages):
    audio = b"".join(message for message in messages if isinstance(message, bytes))
    return [audio[at : at + FRAME_BYTES] for at in range(0, len(audio), FRAME_BYTES)]


def test_a_reply_is_spoken_frame_by_frame_however_it_is_cut():
    client = Client("/v1/speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=8000")
    assert [message["type"] for message in checked(client.greeting, SPOKEN)] == ["Metadata"]
    greeting = client.exchange({"type": "Speak", "text": "Hello."}, {"type": "Flush"})
    assert frames_of(greeting) == FRAMES[:GREETING_FRAMES]
    checked(greeting[-1:], SPOKEN)
    for _ in range(2):  # the reply to the next turn comes over the same connection
        texts = REPLY.split(". ")
        messages = [client.exchange({"type": "Speak", "text": text}, {"type": "Flush"}) for text in texts]
        assert [part[-1]["type"] for part in messages] == ["Flushed"] * 3
        assert frames_of(chain.from_iterable(messages)) == FRAMES
    words = [{"type": "Speak", "text": f"{word} "} for word in REPLY.split()]
    *audio, flushed = client.exchange(*words, {"type": "Flush"})
    assert frames_of(audio) == FRAMES
    assert {len(message) for message in audio} == {3200}
    assert flushed["sequence_id"] == 7
    client.exchange(*words[:10], {"type": "Flush"})
    (cleared,) = checked(client.exchange(words[10], {"type": "Clear"}), SPOKEN)
    assert cleared["type"] == "Cleared"
    assert frames_of(client.exchange(*words, {"type": "Flush"})) == FRAMES


def test_a_reply_in_mulaw_tells_its_frames_too():
    client = Client("/v1/speak?model=aura-2-thalia-en&encoding=mulaw&sample_rate=8000")
    audio = client.exchange({"type": "Speak", "text": REPLY}, {"type": "Flush"})
    spoken = b"".join(message for message in audio if isinstance(message, bytes))
    assert [LINEAR[spoken[at : at + 160]] for at in range(0, len(spoken), 160)] == FRAMES


@pytest.mark.parametrize("piece", [0, 1, 40])
def test_the_model_answers_in_chunks_and_keeps_its_connection(piece):
    wire, http = Wire(), h11.Connection(h11.CLIENT)
    body = json.dumps({"model": "gpt-4.1-mini", "messages": [], "stream": True}).encode()
    for _ in range(2):
        headers = [("host", "127.0.0.1"), ("content-length", str(len(body)))]
        request = h11.Request(method="POST", target="/v1/chat/completions", headers=headers)
        data = [http.send(event) for event in (request, h11.Data(data=body), h11.EndOfMessage())]
        wire.send(b"".join(data), piece)
        http.receive_data(wire.take())
        text = b""
        while not isinstance(event := http.next_event(), h11.EndOfMessage):
            text += bytes(event.data) if isinstance(event, h11.Data) else b""
        *events, done, rest = text.decode().split("\n\n")
        assert (done, rest) == ("data: [DONE]", "")
        chunks = [ChatCompletionChunk.model_validate_json(event.removeprefix("data: ")) for event in events]
        assert len(chunks) == len(TOKENS) + 3
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == REPLY
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].usage.completion_tokens == len(TOKENS) == 40
        http.start_next_cycle()
