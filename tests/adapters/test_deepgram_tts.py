"""Deepgram's text-to-speech against a server that speaks their API, through their SDK."""

from __future__ import annotations

import pickle
from contextlib import asynccontextmanager
from itertools import groupby

import pytest
import trio
import trio.testing
from attrs import evolve
from vendors.deepgram_speak import DeepgramSpeak
from vendors.serving import Fault, open_memory_network, open_vendor
from vendors.tone import ms_of, speech

from voicepipe.adapters.deepgram.tts import ENCODINGS, RATES, DeepgramTtsOptions, tts
from voicepipe.adapters.deepgram.tts_batches import TextBatches
from voicepipe.adapters.deepgram.tts_rate_limits import MINUTE_S, SpeakRateLimits
from voicepipe.audio import AudioFormat
from voicepipe.components.events import SpeechAudio, Usage
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

MULAW = AudioFormat(8000, "mulaw")
LINEAR = AudioFormat(8000)
OPTIONS = DeepgramTtsOptions(api_key=Secret("test-key", "${DEEPGRAM_API_KEY}"), base_url="http://deepgram.test:80")
FORMATS = [*map(AudioFormat, RATES), *(AudioFormat(rate, of) for of in ("mulaw", "alaw") for rate in RATES[:2])]

both = pytest.mark.parametrize("transport", ["websocket", "rest"])


@pytest.fixture
async def network(monkeypatch):
    async with open_memory_network(monkeypatch) as opened:
        yield opened


@pytest.fixture
async def server(network):
    vendor = DeepgramSpeak()
    network.listen("deepgram.test", vendor)
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


async def speak(component, *texts, output=MULAW) -> list:
    async with component.open_stream(output, None) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            for number, text in enumerate(texts):
                await stream.send(text, number)
            await stream.finish()

        nursery.start_soon(send)
        return await drain(stream)


async def speak_alone(component, *texts) -> None:
    async with component.open_stream(MULAW, None) as stream:
        for number, text in enumerate(texts):
            await stream.send(text, number)
        await stream.finish()
        await drain(stream)


def audio_of(events) -> dict[int, bytes]:
    """By segment; segments never come twice."""
    groups = [(segment, b"".join(event.audio for event in of)) for segment, of in groupby(events, lambda e: e.segment)]
    assert [segment for segment, _ in groups] == sorted({segment for segment, _ in groups})
    return dict(groups)


# --- What is asked for, and what comes of it -------------------------------------------------------------------------


@both
@pytest.mark.parametrize("output", FORMATS, ids=str)
async def test_every_format_is_spoken_in_whole_samples(autojump_clock, server, resources, transport, output):
    async with opened(resources, transport=transport) as component:
        events = await speak(component, "Good morning.", "Bye.", output=output)
    assert audio_of(events) == {0: speech("Good morning.", output), 1: speech("Bye.", output)}
    assert all(len(event.audio) % output.sample_bytes == 0 for event in events)
    asked = dict(server.requests[0].query)
    assert (asked["encoding"], asked["sample_rate"]) == (ENCODINGS[output.encoding], str(output.rate))
    assert asked["model"] == "aura-2-thalia-en"
    assert asked.get("container") == ("none" if transport == "rest" else None)
    assert server.requests[0].headers["authorization"] == "Token test-key"


@pytest.mark.parametrize(
    ("call", "output"),
    [
        (MULAW, MULAW),
        (AudioFormat(16000, "alaw"), AudioFormat(16000, "alaw")),
        (AudioFormat(24000, "mulaw"), AudioFormat(24000)),
        (LINEAR, LINEAR),
        (AudioFormat(11025), AudioFormat(16000)),
        (AudioFormat(44100), AudioFormat(48000)),
        (AudioFormat(96000), AudioFormat(48000)),
    ],
    ids=str,
)
async def test_the_format_nearest_to_the_calls_is_asked_for(resources, call, output):
    async with opened(resources) as component:
        assert component.output_for(call) == output


@both
async def test_options_reach_the_request(autojump_clock, server, resources, transport):
    options = {"transport": transport, "model": "aura-2-celeste-es", "speed": 1.2, "mip_opt_out": True}
    async with opened(resources, **options) as component:
        await speak(component, "Hola.")
    asked = dict(server.requests[0].query)
    assert (asked["model"], asked["speed"], asked["mip_opt_out"]) == ("aura-2-celeste-es", "1.2", "true")


async def test_each_segment_is_flushed(autojump_clock, server, resources):
    async with opened(resources) as component:
        await speak(component, "One.", "Two, three.")
    assert list(server.heard) == [("Speak", "One."), ("Flush", ""), ("Speak", "Two, three."), ("Flush", "")]


async def test_a_request_asks_for_nothing_but_the_text(autojump_clock, server, resources):
    async with opened(resources, transport="rest") as component:
        await speak(component, "One.")
    (request,) = server.requests
    assert (request.method, request.path, request.json) == ("POST", "/v1/speak", {"text": "One."})


@both
async def test_blank_segments_are_not_asked_for(autojump_clock, server, resources, transport):
    async with opened(resources, transport=transport) as component:
        assert await speak(component, "", "  ", "...") == []
        assert not server.heard
        assert set(audio_of(await speak(component, "", "Yes.", " ", "No."))) == {1, 3}


async def test_a_long_segment_is_spoken_in_pieces_within_their_limits(autojump_clock, server, resources):
    text = "This sentence is one of very many, and all of them are spoken. " * 60
    async with opened(resources) as component:
        began = trio.current_time()
        heard = audio_of(await speak(component, text, "The end."))
        took = trio.current_time() - began
    pieces = [text for kind, text in server.heard if kind == "Speak"]
    assert "".join(pieces[:-1]) == text
    assert all(len(piece) <= 2000 for piece in pieces)
    assert heard == {0: b"".join(speech(piece, MULAW) for piece in pieces[:-1]), 1: speech("The end.", MULAW)}
    assert MINUTE_S <= took < 2 * MINUTE_S


async def test_a_server_of_ones_own_may_take_more(autojump_clock, server, resources, monkeypatch):
    monkeypatch.setattr("vendors.deepgram_speak.MOST_CHARS_A_MINUTE", 10_000)
    async with opened(resources, characters_per_minute=10_000) as component:
        began = trio.current_time()
        await speak(component, "Many words, and all of them at once. " * 200)
        assert trio.current_time() - began < 1


async def test_a_long_segment_is_asked_for_in_several_requests(autojump_clock, server, resources):
    text = "This sentence is one of very many, and all of them are spoken. " * 60
    async with opened(resources, transport="rest") as component:
        heard = audio_of(await speak(component, text))
    texts = [request.json["text"] for request in server.requests]
    assert ("".join(texts), len(texts)) == (text, 2)
    assert heard == {0: b"".join(speech(piece, MULAW) for piece in texts)}


async def test_many_short_segments_stay_within_their_limits(autojump_clock, server, resources):
    texts = [f"This is sentence {number}." for number in range(80)]
    async with opened(resources) as component:
        events = await speak(component, *texts)
    audio = audio_of(events)
    assert sum(map(len, audio.values())) == MULAW.bytes_in(sum(map(ms_of, texts)) + 20 * (80 - _flushes(server)))
    assert list(audio) == list(range(80))
    assert _flushes(server) <= 20  # they warn beyond that, and speak nothing
    spoken = "".join(text for kind, text in server.heard if kind == "Speak")
    assert "sentence 30. This is sentence 31." in spoken
    for number in 10, 40, 70:  # of those flushed together, by their length
        assert MULAW.ms_in(len(audio[number])) == pytest.approx(ms_of(texts[number]), abs=100)


async def test_a_long_segment_after_many_short_ones_stays_within_their_limits(autojump_clock, server, resources):
    texts = [*("Yes. " * 12).split(), "word" * 500, "No."]
    async with opened(resources) as component:
        events = await speak(component, *texts)
    assert list(audio_of(events)) == list(range(14))
    assert [len(text) for kind, text in server.heard if kind == "Speak"] == [4] * 10 + [4, 5, 2000, 1, 4]


def _flushes(server) -> int:
    return sum(kind == "Flush" for kind, _ in server.heard)


# --- Time ------------------------------------------------------------------------------------------------------------


@both
async def test_audio_is_handed_on_as_it_comes(autojump_clock, server, resources, transport):
    server.pause_s = 1.0
    async with opened(resources, transport=transport) as component, component.open_stream(MULAW, None) as stream:
        await stream.send("Good morning.", 0)
        began = trio.current_time()
        assert isinstance(await stream.receive(), SpeechAudio)
        assert trio.current_time() - began == pytest.approx(1.0, abs=0.01)


@both
async def test_receiving_is_cancel_safe(autojump_clock, server, resources, transport):
    server.pause_s = 0.03
    async with opened(resources, transport=transport) as component, component.open_stream(MULAW, None) as stream:
        await stream.send("Good morning.", 0)
        await stream.finish()
        heard = b""
        while True:
            with trio.move_on_after(0.011):
                event = await stream.receive()
                if event is None:
                    break
                heard += b"" if isinstance(event, Usage) else event.audio
        assert heard == speech("Good morning.", MULAW)


@both
async def test_who_does_not_receive_makes_them_wait(autojump_clock, server, resources, transport):
    text = "On and on it goes. " * 100  # 300 kB
    server.piece = 4000
    async with opened(resources, transport=transport) as component, component.open_stream(MULAW, None) as stream:
        await stream.send(text, 0)
        await trio.sleep(1)
        began = trio.current_time()
        await trio.sleep(100)  # longer than any deadline: they are not late, we are
        await stream.finish()
        assert server.open == 1
        assert audio_of(await drain(stream)) == {0: speech(text, MULAW)}
        assert trio.current_time() - began < 101


async def test_a_model_that_thinks_is_waited_for(autojump_clock, server, resources):
    async with opened(resources) as component, component.open_stream(MULAW, None) as stream:
        with trio.move_on_after(60):
            await stream.receive()
        await stream.send("Well.", 0)
        heard = (await stream.receive()).audio
        with trio.move_on_after(60):
            while True:
                heard += (await stream.receive()).audio
        assert heard == speech("Well.", MULAW)
        await stream.finish()
        assert await stream.receive() is None


async def test_finishing_wakes_who_receives(autojump_clock, server, resources):
    async with (
        opened(resources) as component,
        component.open_stream(MULAW, None) as stream,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(drain, stream)
        await trio.sleep(1)
        await stream.finish()


async def test_a_stall_is_noticed_by_who_looks_again_and_again(autojump_clock, server, resources):
    server.fault = Fault("stall", after=2)
    async with opened(resources) as component, component.open_stream(MULAW, None) as stream:
        await stream.send("Good morning.", 0)
        await stream.receive()
        began = trio.current_time()
        with pytest.raises(ComponentError, match="nothing came for 10 s"):  # noqa: PT012 - some tries are in vain
            while trio.current_time() < began + 100:
                with trio.move_on_after(3):
                    await stream.receive()
                await trio.sleep(5)  # which is not their fault
        assert 10 + 3 * 5 <= trio.current_time() - began <= 10 + 3 * 5 + 0.1


# --- What they say ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [
        {"type": "Cleared", "sequence_id": 0},
        {"type": "Warning", "code": "SLOW", "description": "Slow down"},
        {"type": "Unheard-of", "x": {}},
        {"type": "Metadata"},
        {"no": "type"},
        [1],
    ],
    ids=str,
)
async def test_messages_that_are_no_answer_are_passed_over(autojump_clock, server, resources, message):
    server.told = {"Speak": message}
    async with opened(resources) as component:
        assert set(audio_of(await speak(component, "One.", "Two."))) == {0, 1}


async def test_a_warning_is_quoted_when_nothing_comes(autojump_clock, server, resources):
    server.told = {"Speak": {"type": "Warning", "code": "EXCESSIVE_FLUSH", "description": "Too often"}}
    server.fault = Fault("stall", after=2)
    async with opened(resources) as component:
        with pytest.raises(ComponentError, match="nothing came") as caught:
            await speak_alone(component, "One.")
    assert caught.value.answered == "EXCESSIVE_FLUSH: Too often"


async def test_an_error_ends_the_reply(autojump_clock, server, resources):
    server.told = {"Speak": {"type": "Error", "code": "NET-0000", "description": "Out of order"}}
    async with opened(resources) as component:
        with pytest.raises(ComponentError, match="reported an error") as caught:
            await speak_alone(component, "One.")
    assert caught.value.answered == "NET-0000: Out of order"
    assert caught.value.retryable


async def test_what_is_not_json_is_quoted(autojump_clock, server, resources):
    server.told = {"Speak": "{rubbish"}
    async with opened(resources) as component:
        with pytest.raises(ComponentError, match="not JSON") as caught:
            await speak_alone(component, "One.")
    assert "{rubbish" in caught.value.answered


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        (1000, "", True),
        (1008, "DATA-0001: Too many characters", False),
        (1009, "BIG-0001: Too long", False),
        (1011, "NET-0000: Internal error", True),
    ],
)
async def test_a_closed_connection_says_why(autojump_clock, server, resources, code, reason, retryable):
    server.closing = code, reason
    async with opened(resources) as component:
        with pytest.raises(ComponentError, match="closed") as caught:
            await speak_alone(component, "One.")
    assert caught.value.retryable is retryable
    assert reason.partition(":")[0] in caught.value.answered


@both
async def test_a_text_without_audio_is_a_failure(autojump_clock, server, resources, transport):
    server.mute = True
    async with opened(resources, transport=transport) as component:
        with pytest.raises(ComponentError, match="without any audio"):
            await speak_alone(component, "One.")


async def test_json_is_no_audio(autojump_clock, server, resources):
    server.fault = Fault("status", status=200, body={"err_msg": "no speech today"})
    async with opened(resources, transport="rest") as component:
        with pytest.raises(ComponentError, match="JSON instead of audio") as caught:
            await speak_alone(component, "Hello.")
    assert "no speech today" in caught.value.answered


# --- What goes wrong -------------------------------------------------------------------------------------------------

AT_ONCE = "something other than a WebSocket|can't be reached|the connection broke"
FAULTS = {
    "refused": (Fault("refuse"), "can't be reached", True),
    "closed before the head": (Fault("close"), AT_ONCE, True),
    "closed in the middle": (Fault("close", after=2), "broke", True),
    "reset before the head": (Fault("reset"), AT_ONCE, True),
    "reset in the middle": (Fault("reset", after=2), "broke", True),
    "half-closed before the head": (Fault("half_close"), AT_ONCE, True),
    "half-closed in the middle": (Fault("half_close", after=2), "broke", True),
    "rubbish before the head": (Fault("rubbish"), AT_ONCE, True),
    "rubbish in the middle": (Fault("rubbish", after=2), "broke", True),
    "stalled before the head": (Fault("stall"), "within 5 s|nothing came for 10 s", True),
    "stalled after the head": (Fault("stall", after=0), "nothing came for 10 s", True),
    "stalled in the middle": (Fault("stall", after=2), "nothing came for 10 s", True),
    "503": (Fault("status", status=503, body="oops"), "HTTP 503", True),
    "403": (Fault("status", status=403, body={"err_msg": "no"}), "HTTP 403", False),
}


@both
@pytest.mark.parametrize(("fault", "said", "retryable"), FAULTS.values(), ids=FAULTS)
async def test_what_goes_wrong_is_one_component_error(
    autojump_clock, server, resources, transport, fault, said, retryable
):
    server.fault = fault
    async with opened(resources, transport=transport) as component:
        with trio.fail_after(11.5), pytest.raises(ComponentError, match=said) as caught:
            await speak_alone(component, "Good morning.")
        assert caught.value.retryable is retryable
        server.fault = None
        assert set(audio_of(await speak(component, "Once more."))) == {0}
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


@both
async def test_a_connection_that_is_not_taken_is_given_up(autojump_clock, network, server, resources, transport):
    network.latency_s = 1000.0
    async with opened(resources, transport=transport) as component:
        with trio.fail_after(6), pytest.raises(ComponentError, match="did not take the connection within 5 s"):
            await speak_alone(component, "Hello.")


@both
async def test_drip_by_drip_is_slow_but_fine(autojump_clock, server, resources, transport):
    server.fault = Fault("drip", pause_s=0.001)
    async with opened(resources, transport=transport) as component:
        assert audio_of(await speak(component, "Hi.", output=LINEAR)) == {0: speech("Hi.", LINEAR)}


@both
async def test_a_wrong_key_is_named_and_not_told(autojump_clock, server, resources, transport):
    key = Secret("dg-wrong", "${DEEPGRAM_API_KEY}")
    async with opened(resources, api_key=key, transport=transport) as component:
        for doing in component.probe, lambda: speak_alone(component, "Hello."):
            with pytest.raises(ComponentError, match="HTTP 401") as caught:
                await doing()
            assert not caught.value.retryable
            assert "Invalid credentials." in caught.value.answered
            assert "${DEEPGRAM_API_KEY}" in caught.value.hint
            assert "dg-wrong" not in repr(caught.value) + str(caught.value)


@both
async def test_a_voice_that_is_not_there_is_not_worth_another_attempt(autojump_clock, server, resources, transport):
    async with opened(resources, model="aura-2-nobody-en", transport=transport) as component:
        with pytest.raises(ComponentError, match="HTTP 400") as caught:
            await speak_alone(component, "Hello.")
    assert not caught.value.retryable
    assert "No such model" in caught.value.answered
    assert caught.value.hint


@both
async def test_they_are_left_alone_for_as_long_as_they_want(autojump_clock, server, resources, transport):
    server.fault = Fault("status", status=429, headers={"retry-after": "7"}, body={"err_msg": "Too many requests"})
    async with opened(resources, transport=transport) as component:
        for doing in component.probe, lambda: speak_alone(component, "Hello."):
            with pytest.raises(ComponentError, match="HTTP 429") as caught:
                await doing()
            assert caught.value.retryable
            assert caught.value.retry_after_s == 7


# --- Leaving ---------------------------------------------------------------------------------------------------------


async def test_a_reply_that_was_heard_out_is_not_cleared(autojump_clock, server, resources):
    async with opened(resources) as component:
        await speak(component, "One.")
    assert ("Clear", "") not in server.heard


@pytest.mark.parametrize("how", ["leaves", "is cancelled", "fails"])
async def test_who_leaves_early_says_so_unless_cancelled(autojump_clock, server, resources, how):
    server.pause_s = 0.5
    async with opened(resources) as component:
        began = trio.current_time()
        try:
            with trio.CancelScope() as scope:
                async with component.open_stream(MULAW, None) as stream:
                    await stream.send("On and on and on and on.", 0)
                    await stream.receive()
                    if how == "is cancelled":
                        scope.cancel()
                        await trio.sleep_forever()
                    if how == "fails":
                        raise KeyError(how)  # noqa: TRY301 - by which it is left
        except KeyError:
            assert how == "fails"
        assert trio.current_time() - began < 0.8
        await trio.sleep(1)
        assert server.heard[-1] == (("Flush", "") if how == "is cancelled" else ("Clear", ""))
        assert server.open == 0


@pytest.mark.parametrize("how", ["leaves", "is cancelled", "fails"])
async def test_a_reply_that_nobody_reads_can_be_left(autojump_clock, server, resources, how):
    async with opened(resources) as component:
        tasks = trio.lowlevel.current_statistics().tasks_living
        began = trio.current_time()
        try:
            with trio.CancelScope() as scope:
                async with component.open_stream(MULAW, None) as stream:
                    await stream.send("On and on it goes. " * 100, 0)
                    await trio.testing.wait_all_tasks_blocked()
                    if how == "is cancelled":
                        scope.cancel()
                        await trio.sleep_forever()
                    if how == "fails":
                        raise KeyError(how)  # noqa: TRY301 - by which it is left
        except KeyError:
            assert how == "fails"
        assert trio.current_time() - began < 3
        await trio.sleep(3)
        assert server.open == 0
        assert trio.lowlevel.current_statistics().tasks_living == tasks


@both
async def test_it_can_be_cancelled_anywhere(autojump_clock, server, resources, transport):
    server.pause_s, server.piece = 0.001, 50
    async with opened(resources, transport=transport) as component:
        tasks = trio.lowlevel.current_statistics().tasks_living
        for tenths in range(1, 400, 7):
            with trio.move_on_after(tenths / 10_000) as scope:
                await speak(component, "One.", "Two.")
        assert not scope.cancelled_caught
        await trio.sleep(1)
        assert trio.lowlevel.current_statistics().tasks_living == tasks + server.open  # of requests, one is kept
        assert set(audio_of(await speak(component, "Still here."))) == {0}
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


# --- Being there -----------------------------------------------------------------------------------------------------


async def test_the_probe_is_a_handshake_without_a_word(autojump_clock, server, resources):
    async with opened(resources) as component:
        await component.probe()
    assert [request.path for request in server.requests] == ["/v1/speak"]
    assert not server.heard


async def test_the_probe_by_rest_lists_models(autojump_clock, server, resources):
    async with opened(resources, transport="rest") as component:
        await component.probe()
        assert [request.path for request in server.requests] == ["/v1/models"]
        await speak(component, "One.")
    assert server.connections == 1  # which it has warmed up


@pytest.mark.parametrize("status", [403, 404])
async def test_who_may_only_speak_passes_the_probe(autojump_clock, server, resources, status):
    server.fault = Fault("status", status=status, body={"err_code": "INSUFFICIENT_PERMISSIONS", "err_msg": "No."})
    async with opened(resources, transport="rest") as component:
        await component.probe()


@both
@pytest.mark.parametrize("fault", [Fault("refuse"), Fault("stall"), Fault("status", status=503), Fault("rubbish")])
async def test_the_probe_finds_out_what_is_wrong(autojump_clock, server, resources, transport, fault):
    server.fault = fault
    async with opened(resources, transport=transport) as component:
        with trio.fail_after(11), pytest.raises(ComponentError) as caught:
            await component.probe()
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("options", "path"),
    [({"model": "flux-haley-en"}, "model"), ({"base_url": "deepgram.test"}, "base_url")],
)
def test_options_that_can_not_work_are_found(options, path):
    (problem,) = tts.check(evolve(OPTIONS, **options))
    assert problem.path == path
    assert problem.hint


def test_options_pickle_and_hide_the_key():
    assert list(tts.check(OPTIONS)) == []
    assert pickle.loads(pickle.dumps(OPTIONS)) == OPTIONS
    assert "test-key" not in repr(OPTIONS)
    assert tts.label(OPTIONS) == "aura-2-thalia-en"


@both
async def test_over_tcp(resources, transport):
    server = DeepgramSpeak()
    async with (
        open_vendor(server) as address,
        opened(resources, base_url=address.http, transport=transport) as component,
    ):
        await component.probe()
        events = await speak(component, "Good morning.", "Good evening.")
        assert audio_of(events) == {0: speech("Good morning.", MULAW), 1: speech("Good evening.", MULAW)}
        server.faults.extend([Fault("half_close", after=2), Fault("reset", after=2), Fault("stall")])
        for _ in range(2):
            with pytest.raises(ComponentError, match="broke"):
                await speak_alone(component, "Hello.")
        with trio.move_on_after(0.1) as scope:
            await speak_alone(component, "Hello.")
        assert scope.cancelled_caught
        assert set(audio_of(await speak(component, "Still here."))) == {0}


# --- Pure parts ------------------------------------------------------------------------------------------------------


def test_a_minutes_characters_are_not_exceeded():
    limits = SpeakRateLimits(2400)
    assert limits.most_chars == 2000
    assert limits.text_wait_s(2000, 0) == 0
    limits.text_sent(2000, 0)
    assert limits.text_wait_s(400, 10) == 0
    limits.text_sent(300, 10)
    assert limits.text_wait_s(101, 11) == MINUTE_S - 11
    assert limits.text_wait_s(2000, MINUTE_S - 1) == 1
    assert limits.text_wait_s(2200, MINUTE_S - 1) == 11
    assert limits.text_wait_s(2101, MINUTE_S) == 10
    assert limits.text_wait_s(2400, MINUTE_S + 10) == 0


@pytest.mark.parametrize("chars", [1, 20, 60, 119, 120, 300])
def test_a_minutes_flushes_are_not_exceeded(chars):
    limits, now, gathered, flushes, finishing = SpeakRateLimits(2400), 0.0, 0, [], False
    for number in range(500):
        finishing = number % 50 == 49
        now += limits.text_wait_s(chars, now)
        limits.text_sent(chars, now)
        gathered += chars
        if limits.is_worth_a_flush(gathered, now) or finishing:
            if not finishing:
                assert limits.flush_wait_s(now) == 0
            now += limits.flush_wait_s(now)
            limits.flushed(now)
            flushes.append(now)
            gathered = 0
        now += 0.1
    assert all(later - earlier >= MINUTE_S for earlier, later in zip(flushes, flushes[20:], strict=False))


def test_audio_is_told_apart_by_flushes_and_by_length():
    batches = TextBatches(bytes_a_ms=8)
    assert batches.audio(100) is None
    assert not batches.due
    batches.text(0, 10)
    assert (batches.gathered, batches.unspoken, batches.due) == (10, True, False)
    assert batches.audio(8000) == 0  # it need not wait for the flush
    batches.flush()
    assert (batches.gathered, batches.due) == (0, True)
    batches.text(1, 10)
    batches.text(2, 20)
    assert batches.gathered == 30
    assert batches.spoken()
    batches.flush()
    # So a character takes 800 bytes.
    assert [batches.audio(2000) for _ in range(13)] == [1] * 4 + [2] * 9
    assert batches.spoken()
    assert not batches.unspoken
    batches.text(3, 1)
    batches.flush()
    assert not batches.spoken()
    assert batches.spoken()  # of what nobody asked for
