"""The openai speech-to-text adapter against a server that speaks OpenAI's transcription API, and what resembles it."""

from __future__ import annotations

import gc
import json
import pickle
from contextlib import asynccontextmanager
from functools import cache
from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import trio
import trio.testing
from attrs import evolve
from vendors.openai_audio import KEY, AudioServer, segment
from vendors.serving import BEFORE_HEAD, Fault, open_memory_network, open_vendor

from voicepipe.adapters.openai.stt import OpenAITranscriptionOptions, stt
from voicepipe.audio import AudioFormat
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.events import Transcript, Usage
from voicepipe.components.guards import GuardedSpeechToText
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError
from voicepipe.testing.speaker import open_speaker

MODEL = Path(__file__).parents[2] / "config/models/tiny-en"
LINE = AudioFormat(8000)
OPTIONS = OpenAITranscriptionOptions(api_key=Secret(KEY, "${OPENAI_API_KEY}"), base_url="http://openai.test:80/v1")


@pytest.fixture
async def server(monkeypatch):
    """A server in memory."""
    async with open_memory_network(monkeypatch) as network:
        vendor = AudioServer()
        network.listen("openai.test", vendor)
        yield vendor


@asynccontextmanager
async def opened(resources, **options):
    """The component as calls have it: probed, and behind its edge."""
    async with stt.open(evolve(OPTIONS, **options), resources) as component:
        await component.probe()
        edge = GuardedSpeechToText(ComponentRef("stt", "ears"))
        edge.up(component)
        yield edge


@asynccontextmanager
async def opened_stream(resources, listen=None, **options):
    async with (
        opened(resources, **options) as component,
        component.open_stream(component.input_for(LINE), listen or Listen()) as stream,
    ):
        yield stream


@cache
def voice(ms: int, audio: AudioFormat = LINE) -> bytes:
    """A tone in syllables of 150 ms."""
    seconds = np.arange(audio.rate * ms // 1000) / audio.rate
    loudness = 1000 + 5000 * np.sin(np.pi * seconds / 0.15) ** 2
    return (loudness * np.sin(2 * np.pi * 300 * seconds)).astype("<i2").tobytes()


def silence(ms: int) -> bytes:
    return bytes(LINE.bytes_in(ms))


async def feed(stream, audio: bytes, *, ms: int = 100) -> None:
    size = LINE.bytes_in(ms)
    for at in range(0, len(audio), size):
        await stream.send(audio[at : at + size])


async def drain(stream) -> list:
    events = []
    while (event := await stream.receive()) is not None:
        if not isinstance(event, Usage):  # tests/calls/test_usage.py has those
            events.append(event)
    return events


async def until_final(stream) -> list:
    events = []
    while not events or not events[-1].final:
        if not isinstance(event := await stream.receive(), Usage):
            events.append(event)
    return events


async def hear(resources, audio: bytes | None = None, **options) -> list:
    """What becomes of one utterance."""
    async with opened_stream(resources, **options) as stream:
        await feed(stream, voice(500) if audio is None else audio)
        await stream.end_utterance()
        await stream.finish()
        return await drain(stream)


async def test_an_utterance_is_uploaded_when_it_is_over(autojump_clock, server, resources):
    async with opened_stream(resources) as stream:
        await feed(stream, voice(600) + silence(600))
        assert server.uploads == []
        await stream.end_utterance()
        *partials, final = await until_final(stream)
        await stream.finish()
        assert await drain(stream) == []
    assert [partial.text for partial in partials] == ["hello", "hello world"]
    assert all(partial == Transcript(partial.text, final=False, audio_end_ms=1200) for partial in partials)
    assert final == Transcript("hello world", final=True, language="en", audio_end_ms=1200)
    [upload] = server.uploads
    assert upload.rate == 8000
    assert upload.samples.startswith(voice(600))
    assert upload.filename.endswith(".wav")
    assert upload.form == {"model": ["gpt-transcribe"], "response_format": ["json"], "stream": ["true"]}


async def test_every_utterance_gets_one_final_in_order(autojump_clock, server, resources):
    server.texts.extend(["one", "two two", "three"])
    async with opened_stream(resources) as stream:
        for ms in 300, 500, 700:
            await feed(stream, voice(ms) + silence(200))
            await stream.end_utterance()
        await stream.end_utterance()  # nothing was said since
        await stream.finish()
        finals = [event for event in await drain(stream) if event.final]
        assert await stream.receive() is None
    assert [(final.text, final.audio_end_ms) for final in finals] == [
        ("one", 500),
        ("two two", 1200),
        ("three", 2100),
        ("", 2100),
    ]
    assert [upload.samples[: LINE.bytes_in(300)] for upload in server.uploads] == [voice(300)] * 3


async def test_the_next_utterance_is_taken_while_the_server_is_at_work(autojump_clock, server, resources):
    server.texts.extend(["one", "two"])
    server.at_work, go_on = trio.Event(), trio.Event()

    async def transcribe(upload):
        server.at_work.set()
        await go_on.wait()
        return server.texts.popleft()

    server.transcribe = transcribe
    async with opened_stream(resources) as stream:
        await feed(stream, voice(300))
        await stream.end_utterance()
        await server.at_work.wait()
        await feed(stream, voice(500))
        await stream.end_utterance()
        go_on.set()
        await stream.finish()
        assert [event.text for event in await drain(stream) if event.final] == ["one", "two"]
    assert [len(upload.samples) for upload in server.uploads] == [len(voice(300)), len(voice(500))]


async def test_a_server_that_is_far_behind_makes_the_sender_wait(autojump_clock, server, resources):
    async with opened_stream(resources, timeout_s=600.0) as stream:
        server.fault = Fault("stall")
        with trio.move_on_after(300) as waited:
            for _ in range(100):
                await feed(stream, voice(200))
                await stream.end_utterance()
        assert waited.cancelled_caught
    assert len(server.requests) == 2  # the probe's is the other


async def test_silence_is_not_uploaded(autojump_clock, server, resources):
    assert await hear(resources, silence(5000)) == [Transcript("", final=True, audio_end_ms=5000)]
    assert await hear(resources, b"") == [Transcript("", final=True, audio_end_ms=0)]
    assert server.uploads == []


async def test_an_utterance_without_words_has_an_empty_final(autojump_clock, server, resources):
    server.text = ""
    assert await hear(resources) == [Transcript("", final=True, audio_end_ms=500)]
    assert await hear(resources, model="whisper-1") == [
        Transcript("", final=True, language="en", audio_end_ms=500),
    ]


async def test_what_was_said_is_transcribed_when_no_more_comes(autojump_clock, server, resources):
    async with opened_stream(resources) as stream:
        await feed(stream, voice(500))
        await stream.finish()
        assert [event.text for event in await drain(stream) if event.final] == ["hello world"]


async def test_speech_without_a_pause_is_transcribed_in_parts(autojump_clock, server, resources):
    server.texts.extend(["one", "two", "three", "four", "five"])
    said = voice(5000)
    async with opened_stream(resources, max_utterance_s=2.0) as stream:
        await feed(stream, said)
        await stream.end_utterance()
        await stream.finish()
        finals = [event for event in await drain(stream) if event.final]
    parts = [upload.samples for upload in server.uploads]
    assert 3 <= len(parts) <= 5
    assert [final.text for final in finals] == ["one", "two", "three", "four", "five"][: len(parts)]
    assert b"".join(parts) == said
    ends = [int(LINE.ms_in(end)) for end in accumulate(map(len, parts))]
    assert [final.audio_end_ms for final in finals] == ends


# --- What the model gives back --


@pytest.mark.parametrize(
    ("options", "listen", "answer", "text"),
    [
        ({"prompt": "Calls to a dental surgery in Leeds."}, (), "Calls to a dental surgery in Leeds.", ""),
        ({"prompt": "Calls to a dental surgery in Leeds."}, (), "to a dental surgery in Leeds", ""),  # in half a second
        ({"prompt": "Calls to a dental surgery in Leeds."}, (), "A dental surgery?", "A dental surgery?"),
        ({"keywords": ("yes", "no", "operator")}, (), "Yes, no, operator.", ""),
        ({"keywords": ("yes",)}, ("no", "operator"), "yes no operator", ""),
        ({"keywords": ("yes", "no", "operator")}, (), "Operator.", "Operator."),
    ],
)
@pytest.mark.parametrize("model", ["whisper-1", "gpt-transcribe"])
async def test_its_prompt_is_no_transcript(autojump_clock, server, resources, model, options, listen, answer, text):
    server.texts.append(answer)
    async with opened_stream(resources, Listen(phrases=listen), model=model, **options) as stream:
        await feed(stream, silence(1000) + voice(500) + silence(600))
        await stream.end_utterance()
        *partials, final = await until_final(stream)
    assert final == Transcript(text, final=True, language="en", confidence=final.confidence, audio_end_ms=2100)
    assert [partial.text for partial in partials if not text] == []


# --- What the model is told ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"language": "de-AT", "prompt": "A call to a doctor.", "keywords": ("Grippe", "<b>")},
            {
                "languages[]": ["de"],
                "prompt": ["A call to a doctor."],
                "keywords[]": ["Grippe", "b", "yes please", "no"],
                "response_format": ["json"],
                "stream": ["true"],
            },
        ),
        (
            {"model": "gpt-4o-mini-transcribe", "language": "en", "temperature": 0.0},
            {
                "include[]": ["logprobs"],
                "language": ["en"],
                "prompt": ["yes please, no"],
                "response_format": ["json"],
                "stream": ["true"],
                "temperature": ["0.0"],
            },
        ),
        (
            {"model": "whisper-1", "keywords": ("Voicepipe",)},
            {"prompt": ["Voicepipe, yes please, no"], "response_format": ["verbose_json"]},
        ),
        (
            {"model": "whisper-1", "prompt": "Yes, please.", "response_format": "json"},
            {"prompt": ["Yes, please."], "response_format": ["json"]},
        ),
        (
            {"model": "gpt-transcribe", "stream": False},
            {"keywords[]": ["yes please", "no"], "response_format": ["json"]},
        ),
    ],
)
async def test_the_model_is_told_what_it_can_use(autojump_clock, server, resources, options, expected):
    async with opened_stream(resources, Listen(phrases=("yes\nplease", "no", "")), **options) as stream:
        await feed(stream, voice(300))
        await stream.end_utterance()
        assert (await until_final(stream))[-1].text == "hello world"
    [upload] = server.uploads
    assert upload.form == {"model": [options.get("model", "gpt-transcribe")], **expected}


async def test_other_phrases_count_from_the_next_utterance_on(autojump_clock, server, resources):
    async with opened_stream(resources, Listen(phrases=("yes",), language="fr-CA"), language="en") as stream:
        for listen in Listen(phrases=("monday",)), Listen():
            await feed(stream, voice(300))
            await stream.end_utterance()
            await stream.listen_for(listen)
        await feed(stream, voice(300))
        await stream.finish()
        await drain(stream)
    assert [upload.form.get("keywords[]") for upload in server.uploads] == [["yes"], ["monday"], None]
    assert [upload.form["languages[]"] for upload in server.uploads] == [["fr"], ["en"], ["en"]]


# --- What it answers -----------------------------------------------------------------------------------------------


async def test_tokens_tell_how_sure_it_is(autojump_clock, server, resources):
    [*_, final] = await hear(resources, model="gpt-4o-transcribe")
    assert final.confidence == pytest.approx(0.905, abs=0.001)  # e to the -0.1


async def test_whispers_segments_tell_language_and_confidence(autojump_clock, server, resources):
    [final] = await hear(resources, model="whisper-1")
    assert final == Transcript("hello world", True, "en", final.confidence, audio_end_ms=500)
    assert final.confidence == pytest.approx(0.779, abs=0.001)  # e to the -0.25


async def test_what_whisper_heard_in_silence_is_left_out(autojump_clock, server, resources):
    server.segments = [segment("I see.", no_speech_prob=0.3), segment("Thank you.", no_speech_prob=0.95)]
    assert [final.text for final in await hear(resources, model="whisper-1")] == ["I see."]
    assert [final.text for final in await hear(resources, model="whisper-1", no_speech_threshold=0.2)] == [""]
    server.text = "I see. Thank you."
    assert [final.text for final in await hear(resources, model="whisper-1", no_speech_threshold=1.0)] == [server.text]


async def test_a_server_that_does_not_stream_after_all(autojump_clock, server, resources):
    [final] = await hear(resources, model="whisper-1", stream=True, response_format="json")
    assert final.text == "hello world"


class Compatible(AudioServer):
    """A server of somebody else's, which answers what it is given."""

    def __init__(self, kind, *pieces):
        super().__init__()
        self.kind, self.pieces = kind, pieces

    async def _transcriptions(self, request, response):
        await response.start(200, {"content-type": self.kind})
        for piece in self.pieces:
            await response.send(piece)


def event(**fields) -> str:
    return f"data: {json.dumps(fields)}\n\n"


@pytest.fixture
async def network(monkeypatch):
    async with open_memory_network(monkeypatch) as network:
        yield network


@pytest.mark.parametrize(
    ("kind", "pieces", "expected"),
    [
        ("application/json", ['{"text": " Hello. "}'], ["Hello."]),
        ("application/json", ['{"text": "Hello.", "language": "en", "segments": [{}], "words": null}'], ["Hello."]),
        ("text/plain; charset=utf-8", ["Hello.\n"], ["Hello."]),
        ("text/html", ['{"text": "Hello."}'], ["Hello."]),
        # A `Transcription` for each segment, as faster-whisper-server streamed them.
        ("text/event-stream", [event(text=" Hello."), event(text=" Bye.")], ["Hello.", "Hello. Bye.", "Hello. Bye."]),
        (
            "text/event-stream",
            [
                ": a comment\n\n",
                event(type="transcript.text.delta", delta=" "),
                event(type="transcript.started", text="no"),
                event(type="transcript.text.delta", delta=" Hello."),
                'event: whatever\r\ndata: {"took": 2}\r\n\r\n',
                event(type="transcript.text.done", text="Hello."),
                "data: [DONE]\n\n",
            ],
            ["Hello.", "Hello."],
        ),
    ],
)
async def test_what_resembles_the_api_will_do(autojump_clock, network, resources, kind, pieces, expected):
    network.listen("openai.test", Compatible(kind, *pieces))
    events = await hear(resources)
    assert [event.text for event in events] == expected
    assert [event.final for event in events] == [False] * (len(expected) - 1) + [True]


@pytest.mark.parametrize(
    ("kind", "pieces", "message"),
    [
        ("application/json", [], "answered with nothing"),
        ("application/json", ["Traceback (most recent call last)"], "Traceback"),
        ("application/json", ['{"detail": "no"}'], "no transcript.*no"),
        ("application/json", ["[]"], "no JSON object"),
        ("text/plain", ["\n"], "answered with nothing"),
        ("application/json", ['{"text": null}'], "no transcript"),
        ("text/event-stream", [], "before it was done"),
        ("text/event-stream", [event(type="transcript.text.delta", delta="Hello")], "before it was done.*Hello"),
        ("text/event-stream", [event(type="transcript.text.delta")], "no transcript"),
        ("text/event-stream", [event(type="transcript.text.done")], "no transcript"),
        ("text/event-stream", ["data: Hello\n\n"], "no JSON object.*Hello"),
        ("text/event-stream", ["Hello\n"], "before it was done.*Hello"),
        ("text/event-stream", [event(error={"message": "out of memory", "type": "server_error"})], "out of memory"),
    ],
)
async def test_what_is_no_transcript_is_told(autojump_clock, network, resources, kind, pieces, message):
    network.listen("openai.test", Compatible(kind, *pieces))
    with pytest.raises(ComponentError, match=message):
        await hear(resources)
    gc.collect()


async def test_an_answer_that_goes_on_after_its_end_is_not_waited_for(autojump_clock, network, resources):
    class GoesOn(Compatible):
        async def _transcriptions(self, request, response):
            await super()._transcriptions(request, response)
            await trio.sleep(30)

    done = event(type="transcript.text.done", text="Hello.")
    vendor = GoesOn("text/event-stream", done)
    network.listen("openai.test", vendor)
    began = trio.current_time()
    assert [event.text for event in await hear(resources)] == ["Hello."]
    assert trio.current_time() - began < 1
    vendor.faults.extend([None, Fault("reset", after=1)])
    assert [event.text for event in await hear(resources)] == ["Hello."]


# --- What goes wrong -----------------------------------------------------------------------------------------------

FAULTS = [
    (Fault("status", status=401, body={"error": {"message": "Incorrect API key provided: sk-no."}}), False, "sk-no"),
    (Fault("status", status=404, body={"error": {"message": "The model `x` does not exist"}}), False, "does not exist"),
    (Fault("status", status=429, headers={"retry-after": "7"}), True, "429"),
    (Fault("status", status=500, body="oops"), True, "500"),
    (Fault("stall"), True, ""),
    (Fault("stall", after=0), True, ""),
    (Fault("stall", after=1), True, ""),
    (Fault("close"), True, ""),
    (Fault("close", after=1), True, ""),
    (Fault("half_close", after=1), True, ""),
    (Fault("reset", after=1), True, ""),
    (Fault("rubbish"), True, ""),
    (Fault("rubbish", after=1), True, ""),
    (Fault("empty"), True, "before it was done"),
    (Fault("empty", after=1), True, "before it was done"),
]


@pytest.mark.parametrize(("fault", "retryable", "said"), FAULTS, ids=str)
async def test_what_goes_wrong_ends_the_stream_in_time(autojump_clock, server, resources, fault, retryable, said):
    async with opened_stream(resources) as stream:
        server.fault = fault
        await feed(stream, voice(500))
        began = trio.current_time()
        await stream.end_utterance()
        with pytest.raises(ComponentError) as raised:
            await drain(stream)
        assert trio.current_time() - began <= OPTIONS.timeout_s + 0.1
        error = raised.value
        assert error.retryable is retryable
        assert said in str(error)
        assert error.retry_after_s == (7 if fault.status == 429 else None)
        assert KEY not in str(error)
        for use in stream.receive, stream.end_utterance, stream.finish:
            with pytest.raises(ComponentError) as again:
                await use()
            assert again.value is not error
        with pytest.raises(ComponentError):
            await stream.send(voice(100))


async def test_a_fault_comes_after_what_was_heard_before_it(autojump_clock, server, resources):
    server.faults.extend([None, None, Fault("close", after=1)])
    async with opened_stream(resources) as stream:
        for _ in range(2):
            await feed(stream, voice(300))
            await stream.end_utterance()
        events = [await stream.receive() for _ in range(5)]
        assert events[2].final
        assert isinstance(events[3], Usage)
        with pytest.raises(ComponentError):
            await stream.receive()


async def test_an_answer_that_comes_byte_by_byte(autojump_clock, server, resources):
    server.fault = Fault("drip")
    assert [event.text for event in await hear(resources)] == ["hello", "hello world", "hello world"]


@pytest.mark.parametrize(
    ("options", "status"),
    [({"model": "whisper-7"}, 404), ({"api_key": Secret("sk-wrong", "${OPENAI_API_KEY}")}, 401)],
)
async def test_what_the_server_refuses_is_told(autojump_clock, server, resources, options, status):
    with pytest.raises(ComponentError, match=str(status)) as raised:
        await hear(resources, **options)
    assert not raised.value.retryable
    assert raised.value.hint


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"temperature": 0.2}, "temperature"),
        ({"model": "gpt-4o-transcribe", "response_format": "verbose_json"}, "response_format"),
    ],
)
def test_options_that_do_not_go_together(options, path):
    [problem] = stt.check(evolve(OPTIONS, **options))
    assert problem.path == path
    assert problem.hint


@pytest.mark.parametrize(
    "options",
    [{}, {"model": "whisper-1", "temperature": 0.2}, {"model": "Systran/faster-whisper-small", "api_key": None}],
)
def test_options_that_do(options):
    assert [*stt.check(evolve(OPTIONS, **options))] == []
    assert pickle.loads(pickle.dumps(evolve(OPTIONS, **options))) == evolve(OPTIONS, **options)


@pytest.mark.parametrize("options", [{"language": "English!"}, {"silence_level": -1}, {"timeout_s": 0}])
def test_values_that_do_not_fit(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        evolve(OPTIONS, **options)


def test_logs_show_the_model():
    assert stt.label(OPTIONS) == "gpt-transcribe"


# --- Streams -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("call", "rate"), [(8000, 8000), (16000, 16000), (48000, 16000)])
async def test_the_audio_keeps_the_calls_rate(autojump_clock, server, resources, call, rate):
    async with opened(resources) as component:
        wanted = component.input_for(AudioFormat(call, "mulaw"))
        assert wanted == StreamInput(AudioFormat(rate), 100)
        async with component.open_stream(wanted, Listen()) as stream:
            await stream.send(voice(300, wanted.format))
            await stream.end_utterance()
            await until_final(stream)
    assert server.uploads[0].rate == rate
    assert server.uploads[0].seconds == pytest.approx(0.3)


async def test_one_connection_serves_all_utterances(autojump_clock, server, resources):
    async with opened(resources) as component:
        for _ in range(2):
            async with component.open_stream(component.input_for(LINE), Listen()) as stream:
                for _ in range(3):
                    await feed(stream, voice(300))
                    await stream.end_utterance()
                    await until_final(stream)
        assert server.connections == 1
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


async def test_streams_do_not_mix(autojump_clock, server, resources):
    async def transcribe(upload):
        return f"{len(upload.samples)} bytes"

    server.transcribe = transcribe
    heard = {}
    async with opened(resources) as component, trio.open_nursery() as nursery:

        async def call(ms: int) -> None:
            async with component.open_stream(component.input_for(LINE), Listen()) as stream:
                await feed(stream, voice(ms))
                await stream.end_utterance()
                heard[ms] = (await until_final(stream))[-1].text

        for ms in range(200, 1000, 100):
            nursery.start_soon(call, ms)
    assert heard == {ms: f"{16 * ms} bytes" for ms in range(200, 1000, 100)}


async def test_a_timeout_around_receive_loses_nothing(autojump_clock, server, resources):
    server.pause_s = 0.1
    events, timeouts = [], 0
    async with opened_stream(resources) as stream:
        await feed(stream, voice(500))
        await stream.end_utterance()
        await stream.finish()
        while True:
            with trio.move_on_after(0.03) as scope:
                event = await stream.receive()
                if event is None:
                    break
                if not isinstance(event, Usage):
                    events.append(event.text)
            timeouts += scope.cancelled_caught
    assert timeouts > 6
    assert events == ["hello", "hello world", "hello world"]


async def test_a_stream_can_be_cancelled_anywhere(autojump_clock, server, resources):
    server.pause_s = 0.1
    async with opened(resources) as component:

        async def use() -> str:
            async with component.open_stream(component.input_for(LINE), Listen()) as stream:
                await feed(stream, voice(200))
                await stream.end_utterance()
                await stream.finish()
                return (await drain(stream))[-1].text

        for hundredths in range(60):
            with trio.move_on_after(hundredths / 100) as scope:
                assert await use() == "hello world"
        assert not scope.cancelled_caught
        await trio.sleep(1)
        assert server.open == 1
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


@pytest.mark.parametrize("after", [BEFORE_HEAD, 0, 1])
async def test_leaving_in_the_midst_drops_the_connection(autojump_clock, server, resources, after):
    async with opened(resources) as component:
        async with component.open_stream(component.input_for(LINE), Listen()) as stream:
            server.fault = Fault("stall", after=after)
            await feed(stream, voice(200))
            await stream.end_utterance()
            await trio.testing.wait_all_tasks_blocked()
            assert server.open == 1
        await trio.testing.wait_all_tasks_blocked()
        assert server.open == 0


async def test_over_tcp(resources, open_files):
    vendor = AudioServer()
    async with open_vendor(vendor) as address:
        files = open_files()
        assert [event.text for event in await hear(resources, base_url=f"{address.http}/v1")][-1] == "hello world"
        assert open_files() <= files + 1
    with pytest.raises(ComponentError) as raised:
        await hear(resources, base_url=f"{address.http}/v1")
    assert raised.value.retryable


class VoskServer(AudioServer):
    """A server that has ears: Vosk's."""

    async def transcribe(self, upload) -> str:
        return await trio.to_thread.run_sync(self._recognise, upload)

    def _recognise(self, upload) -> str:
        vosk = pytest.importorskip("vosk", reason="the extra `vosk` is not installed")
        vosk.SetLogLevel(-1)
        recogniser = vosk.KaldiRecognizer(vosk.Model(str(MODEL)), upload.rate)
        recogniser.AcceptWaveform(upload.samples)
        return json.loads(recogniser.FinalResult())["text"]


@pytest.mark.parametrize("call", [AudioFormat(8000), AudioFormat(16000)])
async def test_real_speech_is_understood(resources, call):
    pytest.importorskip("vosk", reason="the extra `vosk` is not installed")
    pytest.importorskip("espeakng_loader", reason="the extra `espeak` is not installed")
    sentences = ["four five nine two", "no thank you goodbye"]
    vendor = VoskServer()
    async with (
        open_vendor(vendor) as address,
        open_speaker("en-us", rate=call.rate) as speaker,
        opened(resources, base_url=f"{address.http}/v1") as component,
        component.open_stream(component.input_for(call), Listen()) as stream,
    ):
        for sentence in sentences:
            audio = bytes(call.bytes_in(3000)) + await speaker.say(sentence) + bytes(call.bytes_in(600))
            for at in range(0, len(audio), call.bytes_in(100)):
                await stream.send(audio[at : at + call.bytes_in(100)])
            await stream.end_utterance()
        await stream.finish()
        assert [event.text for event in await drain(stream) if event.final] == sentences
    assert all(upload.rate == call.rate and upload.seconds < 4 for upload in vendor.uploads)
