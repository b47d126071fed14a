"""The ElevenLabs adapter against a server that speaks their API."""

from __future__ import annotations

import json
import pickle
from contextlib import asynccontextmanager
from itertools import groupby

import pytest
import trio
from attrs import evolve
from vendors.elevenlabs import ElevenLabs
from vendors.serving import BEFORE_HEAD, Fault, open_memory_network, open_vendor
from vendors.tone import ms_of, speech

from voicepipe.adapters.elevenlabs.errors import refused
from voicepipe.adapters.elevenlabs.timestamps import TimedSpeech
from voicepipe.adapters.elevenlabs.tts import FORMATS, MOST_CHARS, ElevenLabsOptions, tts
from voicepipe.audio import AudioFormat
from voicepipe.components.events import SpeechAudio, SpeechMark, Usage
from voicepipe.components.quoting import quoted
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

MULAW = AudioFormat(8000, "mulaw")
LINEAR = AudioFormat(8000)
OPTIONS = ElevenLabsOptions(api_key=Secret("test-key", "${ELEVENLABS_API_KEY}"), base_url="http://eleven.test:80")


@pytest.fixture
async def network(monkeypatch):
    async with open_memory_network(monkeypatch) as opened:
        yield opened


@pytest.fixture
async def server(network):
    vendor = ElevenLabs()
    network.listen("eleven.test", vendor)
    return vendor


@asynccontextmanager
async def opened(resources, **options):
    async with tts.open(evolve(OPTIONS, **options), resources) as component:
        yield component


async def drain(stream) -> list:
    events = []
    while (event := await stream.receive()) is not None:
        if not isinstance(event, Usage):  # tests/calls/test_usage.py has those
            events.append(event)
    return events


async def speak(component, *texts, output=MULAW, language=None) -> list:
    async with component.open_stream(output, language) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            for number, text in enumerate(texts):
                await stream.send(text, number)
            await stream.finish()

        nursery.start_soon(send)
        return await drain(stream)


def audio_of(events) -> dict[int, bytes]:
    """By segment; segments never come twice."""
    spoken = [event for event in events if isinstance(event, SpeechAudio)]
    groups = [(segment, b"".join(event.audio for event in of)) for segment, of in groupby(spoken, lambda e: e.segment)]
    assert [segment for segment, _ in groups] == sorted({segment for segment, _ in groups})
    return dict(groups)


@pytest.mark.parametrize("output", FORMATS, ids=str)
async def test_every_format_is_spoken_in_whole_samples(autojump_clock, server, resources, output):
    async with opened(resources) as component:
        events = await speak(component, "Good morning.", output=output)
    assert audio_of(events) == {0: speech("Good morning.", output)}
    assert all(len(event.audio) % output.sample_bytes == 0 for event in events)
    (request,) = server.requests
    assert request.path == "/v1/text-to-speech/JBFqnCBsd6RMkjVDRZzb/stream"
    assert request.query == (("output_format", FORMATS[output]),)
    assert request.json == {"text": "Good morning.", "model_id": "eleven_flash_v2_5"}


@pytest.mark.parametrize(
    ("call", "output"),
    [
        (MULAW, MULAW),
        (AudioFormat(8000, "alaw"), AudioFormat(8000, "alaw")),
        (LINEAR, LINEAR),
        (AudioFormat(11025), AudioFormat(16000)),
        (AudioFormat(16000, "mulaw"), AudioFormat(16000)),
        (AudioFormat(24000), AudioFormat(24000)),
        (AudioFormat(48000), AudioFormat(24000)),
    ],
    ids=str,
)
async def test_the_format_nearest_to_the_calls_is_asked_for(resources, call, output):
    async with opened(resources) as component:
        assert component.output_for(call) == output


async def test_options_reach_the_request(autojump_clock, server, resources):
    options = {
        "model": "eleven_multilingual_v2",
        "stability": 0.4,
        "similarity": 0.8,
        "style": 0.1,
        "speaker_boost": True,
        "speed": 1.1,
        "text_normalization": "on",
        "optimize_streaming_latency": 2,
    }
    async with opened(resources, **options) as component:
        await speak(component, "One.", language="de-CH")
    (body,) = server.spoken
    assert body == {
        "text": "One.",
        "model_id": "eleven_multilingual_v2",  # which refuses requests that tell the language
        "apply_text_normalization": "on",
        "voice_settings": {
            "stability": 0.4,
            "similarity_boost": 0.8,
            "style": 0.1,
            "use_speaker_boost": True,
            "speed": 1.1,
        },
    }
    assert ("optimize_streaming_latency", "2") in server.requests[0].query


async def test_the_language_is_told_as_they_name_it(autojump_clock, server, resources):
    async with opened(resources) as component:
        await speak(component, "Grüezi.", language="de-CH")
    assert server.spoken[0]["language_code"] == "de"


async def test_each_segment_is_told_what_was_said_before(autojump_clock, server, resources):
    async with opened(resources) as component:
        events = await speak(component, "One.", "Two, three.", "Four.")
    assert audio_of(events) == {n: speech(t, MULAW) for n, t in enumerate(("One.", "Two, three.", "Four."))}
    assert [body.get("previous_text") for body in server.spoken] == [None, "One. ", "One. Two, three. "]


async def test_a_model_that_refuses_what_was_before_is_not_told(autojump_clock, server, resources):
    async with opened(resources, model="eleven_v3", tell_before=False) as component:
        assert set(audio_of(await speak(component, "One.", "Two."))) == {0, 1}


async def test_blank_segments_are_not_asked_for(autojump_clock, server, resources):
    async with opened(resources) as component:
        assert await speak(component, "", "  ", "...") == []
        assert server.requests == []
        assert set(audio_of(await speak(component, "", "Yes.", " ", "No."))) == {1, 3}
    assert len(server.requests) == 2


async def test_a_reply_without_text_ends(autojump_clock, server, resources):
    async with opened(resources) as component:
        assert await speak(component) == []


async def test_a_long_segment_is_spoken_in_pieces(autojump_clock, server, resources):
    text = "This sentence is one of very many, and all of them are spoken. " * 60
    async with opened(resources) as component:
        heard = audio_of(await speak(component, text, "The end."))
    texts = [body["text"] for body in server.spoken]
    assert "".join(texts[:-1]) == text
    assert len(texts) == 3
    assert all(len(piece) <= MOST_CHARS and piece.endswith(". ") for piece in texts[:-1])
    assert heard[0] == b"".join(speech(piece, MULAW) for piece in texts[:-1])
    assert heard[1] == speech("The end.", MULAW)


async def test_the_next_request_begins_while_the_audio_before_it_comes(autojump_clock, server, resources):
    server.pause_s = 0.05
    async with opened(resources) as component:
        events = await speak(component, "One, two, three.", "Four, five, six.", "Seven, eight, nine.")
    assert server.most_speaking == 2
    assert set(audio_of(events)) == {0, 1, 2}


async def test_audio_is_handed_on_as_it_comes(autojump_clock, server, resources):
    server.pause_s = 1.0
    async with opened(resources) as component, component.open_stream(MULAW, None) as stream:
        await stream.send("Good morning.", 0)
        began = trio.current_time()
        assert isinstance(await stream.receive(), SpeechAudio)
        assert trio.current_time() - began == pytest.approx(1.0, abs=0.01)


async def test_receiving_is_cancel_safe(autojump_clock, server, resources):
    server.pause_s = 0.03
    async with opened(resources) as component, component.open_stream(MULAW, None) as stream:
        await stream.send("Good morning.", 0)
        await stream.finish()
        heard = b""
        while True:
            with trio.move_on_after(0.011) as scope:
                event = await stream.receive()
                if event is None:
                    break
                heard += b"" if isinstance(event, Usage) else event.audio
        assert not scope.cancelled_caught
        assert heard == speech("Good morning.", MULAW)


async def test_who_does_not_receive_makes_them_wait(autojump_clock, server, resources):
    text = "On and on it goes. " * 100  # 300 kB
    server.piece = 4000
    async with opened(resources) as component, component.open_stream(MULAW, None) as stream:
        await stream.send(text, 0)
        await trio.testing.wait_all_tasks_blocked()
        assert server.speaking == 1
        await trio.sleep(100)  # longer than any deadline: they are not late, we are
        await stream.finish()
        assert audio_of(await drain(stream)) == {0: speech(text, MULAW)}


async def test_timestamps_become_marks_at_the_ends_of_words(autojump_clock, server, resources):
    async with opened(resources, timestamps=True) as component:
        events = await speak(component, "Good morning, you.", "Bye.", output=LINEAR)
    assert audio_of(events) == {0: speech("Good morning, you.", LINEAR), 1: speech("Bye.", LINEAR)}
    assert [event for event in events if isinstance(event, SpeechMark)] == [
        SpeechMark(0, 4, 80),
        SpeechMark(0, 13, 260),
        SpeechMark(0, 18, 360),
        SpeechMark(1, 4, 80),
    ]
    assert server.requests[0].path.endswith("/stream/with-timestamps")


async def test_marks_count_from_the_beginning_of_a_segment_of_several_pieces(autojump_clock, server, resources):
    text = "Word. " * 500
    async with opened(resources, timestamps=True) as component:
        marks = [event for event in await speak(component, text) if isinstance(event, SpeechMark)]
    assert len(server.spoken) == 2
    assert [mark.chars for mark in marks] == [6 * n + 5 for n in range(500)]
    assert [mark.at_ms for mark in marks] == [ms_of("x" * mark.chars) for mark in marks]


FAULTS = {
    "refused": (Fault("refuse"), "can't be reached", True),
    "closed before the head": (Fault("close"), "broke", True),
    "closed in the middle": (Fault("close", after=1), "broke", True),
    "reset before the head": (Fault("reset"), "broke", True),
    "reset in the middle": (Fault("reset", after=1), "broke", True),
    "half-closed": (Fault("half_close", after=2), "broke", True),
    "rubbish before the head": (Fault("rubbish"), "broke", True),
    "rubbish in the middle": (Fault("rubbish", after=1), "broke", True),
    "stalled before the head": (Fault("stall"), "nothing came for 10 s", True),
    "stalled after the head": (Fault("stall", after=0), "nothing came for 10 s", True),
    "stalled in the middle": (Fault("stall", after=2), "nothing came for 10 s", True),
    "empty": (Fault("empty"), "without any audio", True),
    "500": (Fault("status", status=500, body="oops"), "HTTP 500", True),
    "404": (Fault("status", status=404), "HTTP 404", False),
}


@pytest.mark.parametrize(("fault", "said", "retryable"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("timestamps", [False, True], ids=["plain", "timed"])
async def test_what_goes_wrong_is_one_component_error(
    autojump_clock, server, resources, fault, said, retryable, timestamps
):
    server.fault = fault
    async with opened(resources, timestamps=timestamps) as component:
        with trio.fail_after(11), pytest.raises(ComponentError, match=said) as caught:
            await speak_alone(component, "Good morning.")
        assert caught.value.retryable is retryable
        server.fault = None
        assert set(audio_of(await speak(component, "Once more."))) == {0}
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


async def speak_alone(component, *texts) -> None:
    async with component.open_stream(MULAW, None) as stream:
        for number, text in enumerate(texts):
            await stream.send(text, number)
        await stream.finish()
        await drain(stream)


async def test_a_failure_comes_after_the_audio_before_it_and_stays(autojump_clock, server, resources):
    server.faults.extend([None, Fault("close")])
    async with opened(resources) as component, component.open_stream(MULAW, None) as stream:
        await stream.send("One.", 0)
        await stream.send("Two.", 1)
        heard = b""
        with pytest.raises(ComponentError, match="broke"):  # noqa: PT012 - the audio before it too
            while True:
                event = await stream.receive()
                heard += b"" if isinstance(event, Usage) else event.audio
        assert heard == speech("One.", MULAW)
        with pytest.raises(ComponentError, match="broke"):
            await stream.receive()
        with pytest.raises(ComponentError, match="broke"):
            await stream.send("Three.", 2)
        await stream.finish()


async def test_a_connection_that_is_not_taken_is_given_up(autojump_clock, network, server, resources):
    network.latency_s = 1000.0
    async with opened(resources) as component:
        with trio.fail_after(6), pytest.raises(ComponentError, match="did not take the connection within 5 s"):
            await speak_alone(component, "Hello.")


async def test_drip_by_drip_is_slow_but_fine(autojump_clock, server, resources):
    server.fault = Fault("drip", pause_s=0.001)
    for timestamps in False, True:
        async with opened(resources, timestamps=timestamps) as component:
            assert audio_of(await speak(component, "Hi.", output=LINEAR)) == {0: speech("Hi.", LINEAR)}


async def test_leaving_early_leaves_nothing(autojump_clock, server, resources):
    server.pause_s = 0.05
    async with opened(resources) as component:
        tasks = trio.lowlevel.current_statistics().tasks_living
        for _ in range(20):
            with trio.move_on_after(0.2):
                async with component.open_stream(MULAW, None) as stream:
                    for number in range(100):
                        await stream.send("On and on and on.", number)
            await trio.sleep(1)
            assert server.open == server.speaking == 0
        assert trio.lowlevel.current_statistics().tasks_living == tasks


@pytest.mark.parametrize("timestamps", [False, True], ids=["plain", "timed"])
async def test_it_can_be_cancelled_anywhere(autojump_clock, server, resources, timestamps):
    server.pause_s, server.piece = 0.001, 50
    async with opened(resources, timestamps=timestamps) as component:
        for tenths in range(1, 400, 7):
            with trio.move_on_after(tenths / 10_000) as scope:
                await speak(component, "One.", "Two.")
        assert not scope.cancelled_caught
        await trio.sleep(1)
        assert server.speaking == 0
        assert set(audio_of(await speak(component, "Still here."))) == {0}
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


async def test_the_probe_asks_for_nothing_of_anybodys(autojump_clock, server, resources):
    async with opened(resources) as component:
        await component.probe()
        assert [request.path for request in server.requests] == ["/v1/models"]
        await speak(component, "One.")
    assert server.connections == 1  # which it has warmed up


async def test_a_key_that_may_only_speak_passes_the_probe(autojump_clock, server, resources):
    server.may_list_models = False
    async with opened(resources) as component:
        await component.probe()


async def test_a_server_without_a_list_of_models_passes_the_probe(autojump_clock, server, resources):
    server.fault = Fault("status", status=404, body={"detail": "Not Found"})
    async with opened(resources) as component:
        await component.probe()


@pytest.mark.parametrize("fault", [Fault("refuse"), Fault("stall"), Fault("status", status=503), Fault("rubbish")])
async def test_the_probe_finds_out_what_is_wrong(autojump_clock, server, resources, fault):
    server.fault = fault
    async with opened(resources) as component:
        with trio.fail_after(11), pytest.raises(ComponentError) as caught:
            await component.probe()
    assert caught.value.retryable


async def test_a_wrong_key_is_named_and_not_told(autojump_clock, server, resources):
    key = Secret("sk_wrong", "${ELEVENLABS_API_KEY}")
    async with opened(resources, api_key=key) as component:
        for doing in component.probe, lambda: speak_alone(component, "Hello."):
            with pytest.raises(ComponentError, match="HTTP 401") as caught:
                await doing()
            assert not caught.value.retryable
            assert caught.value.answered == "invalid_api_key: Invalid API key"
            assert caught.value.hint == "is ${ELEVENLABS_API_KEY} set for this account?"
            assert "sk_wrong" not in repr(caught.value) + str(caught.value)


async def test_what_the_plan_does_not_allow_is_said(autojump_clock, server, resources):
    server.concurrent = 0
    async with opened(resources) as component:
        with pytest.raises(ComponentError, match="HTTP 429") as caught:
            await speak_alone(component, "Hello.")
    assert caught.value.retryable
    assert "allows fewer requests at a time" in caught.value.hint
    assert "limited to 0" in caught.value.answered


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"voice": "nobody/../x"}, "is voice the ID"),
        ({"model": "eleven_nine"}, "/v1/models"),
        ({"model": "eleven_v3"}, "an option beside them"),
    ],
)
async def test_what_they_do_not_take_is_not_worth_another_attempt(autojump_clock, server, resources, options, hint):
    async with opened(resources, **options) as component:
        with pytest.raises(ComponentError) as caught:
            await speak_alone(component, "One.", "Two.")
    assert not caught.value.retryable
    assert hint in caught.value.hint


async def test_json_is_no_audio(autojump_clock, server, resources):
    body = {"detail": {"status": "oops", "message": "no speech today"}}
    server.fault = Fault("status", status=200, body=body)
    async with opened(resources) as component:
        with pytest.raises(ComponentError, match="JSON instead of audio") as caught:
            await speak_alone(component, "Hello.")
    assert "no speech today" in caught.value.answered


def detail(**fields) -> bytes:
    return json.dumps({"detail": fields}).encode()


@pytest.mark.parametrize(
    ("status", "body", "answered", "hint"),
    [
        (401, detail(status="quota_exceeded", message="0 left"), "quota_exceeded: 0 left", "no characters left"),
        (429, detail(status="system_busy", message="Busy"), "system_busy: Busy", "too much to do"),
        (429, detail(type="rate_limit_error", code="rate_limit_exceeded"), "rate_limit_exceeded", "asks too often"),
        (429, b"", "", "asks too often"),
        (422, b'{"detail": [{"loc": ["body", "text"], "msg": "required"}, 1]}', "body.text: required; 1", "not take"),
        (404, b'{"detail": "Not Found"}', "Not Found", "base_url"),
        (400, detail(x=1), "{'x': 1}", "does not take"),
        (502, b"<html>Bad\n gateway</html>", "<html>Bad gateway</html>", ""),
        (500, b"[1]", "1", ""),
        (500, b"x" * 500, "x" * 199 + "…", ""),
    ],
)
def test_refusals_are_read(status, body, answered, hint):
    error = refused(status, {}, body, "${KEY}")
    assert (error.message, quoted(error.answered)) == (f"HTTP {status}", answered)
    assert error.retryable is (status == 429 or status >= 500)
    assert hint in error.hint


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("soon", None), ("inf", None), ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0)],
)
def test_how_long_to_leave_them_alone_is_read(value, seconds):
    assert refused(429, {"retry-after": value}, b"", "${KEY}").retry_after_s == seconds


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b"[]",
        b'{"audio_base64": "?"}',
        b'{"audio_base64": 5}',
        b'{"alignment": []}\n{"alignment": "x"}',
        b'{"alignment": {"characters": ["a"], "character_end_times_seconds": []}}',
        b'{"alignment": {"characters": ["a"], "character_end_times_seconds": ["b"]}}',
    ],
)
def test_rubbish_among_timestamps_is_quoted(line):
    speech = TimedSpeech("a")
    with pytest.raises(ComponentError, match="not speech with timestamps") as caught:
        list(speech.feed(line + b"\n"))
    assert caught.value.answered in line.decode()


def test_timestamps_without_alignment_are_just_audio():
    speech = TimedSpeech("a")
    assert list(speech.feed(b'\r\n{"audio_base64": "AAAA", "alignment": null, "new": 1}\n')) == [bytes(3)]
    assert list(speech.feed(b'{"audio_base64": "AAAA"}')) == []
    assert list(speech.finish()) == [bytes(3)]


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"base_url": "eleven.test"}, "base_url"),
        ({"base_url": "http://[::1"}, "base_url"),
        ({"base_url": "https://eleven.test/v1/"}, "base_url"),
        ({"api_key": Secret("")}, "api_key"),
        ({"api_key": Secret("key\n")}, "api_key"),
    ],
)
def test_options_that_can_not_work_are_found(options, path):
    (problem,) = tts.check(evolve(OPTIONS, **options))
    assert problem.path == path


def test_a_library_that_is_not_installed_is_found(monkeypatch):
    monkeypatch.setattr("voicepipe.adapters.elevenlabs.tts.find_spec", lambda _name: None)
    (problem,) = tts.check(OPTIONS)
    assert problem.hint == "pip install 'voicepipe-telephony[elevenlabs]'"


def test_options_pickle_and_hide_the_key():
    assert list(tts.check(OPTIONS)) == []
    assert pickle.loads(pickle.dumps(OPTIONS)) == OPTIONS
    assert "test-key" not in repr(OPTIONS)
    assert tts.label(OPTIONS) == "eleven_flash_v2_5"


async def test_over_tcp(resources):
    server = ElevenLabs()
    async with open_vendor(server) as address, opened(resources, base_url=address.http) as component:
        await component.probe()
        events = await speak(component, "Good morning.", "Good evening.")
        assert audio_of(events) == {0: speech("Good morning.", MULAW), 1: speech("Good evening.", MULAW)}
        server.faults.extend([Fault("half_close", after=1), Fault("reset", after=1), Fault("stall", after=BEFORE_HEAD)])
        for _ in range(2):
            with pytest.raises(ComponentError, match="broke"):
                await speak_alone(component, "Hello.")
        with trio.move_on_after(0.1) as scope:
            await speak_alone(component, "Hello.")
        assert scope.cancelled_caught
        assert set(audio_of(await speak(component, "Still here."))) == {0}
