"""The espeak adapter, with the real library in its helper process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
import trio
from patience import LONG_S

from voicepipe.adapters.espeak import tts as module
from voicepipe.adapters.espeak import worker
from voicepipe.adapters.espeak.tts import AHEAD_BYTES, PIECE_CHARS, EspeakOptions, tts
from voicepipe.adapters.vosk.stt import VoskOptions, stt
from voicepipe.audio import AudioFormat
from voicepipe.components.events import SpeechAudio, SpeechMark
from voicepipe.components.registry import installed
from voicepipe.components.requests import Listen
from voicepipe.components.values import Directory
from voicepipe.errors import ComponentError
from voicepipe.wire import process as helper_process

espeakng_loader = pytest.importorskip("espeakng_loader", reason="the extra `espeak` is not installed")

CALL = AudioFormat(8000)
OUTPUT = AudioFormat(22050)
SENTENCE = "Good morning, what can I do for you today?"
LONG = "This sentence is one of very many, and all of them are spoken. " * 30


@pytest.fixture
async def espeak(resources):
    async with tts.open(EspeakOptions(), resources) as component:
        yield component
        assert not component._streams
        assert not component._requests


async def drain(stream) -> list:
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def speak(component, *segments: str) -> list:
    output = component.output_for(CALL)
    async with component.open_stream(output, None) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            for number, text in enumerate(segments):
                await stream.send(text, number)
            await stream.finish()

        nursery.start_soon(send)
        return await drain(stream)


def audio_of(events, segment: int | None = None) -> bytes:
    return b"".join(
        event.audio for event in events if isinstance(event, SpeechAudio) and segment in {None, event.segment}
    )


def marks_of(events, segment: int = 0) -> list:
    return [event for event in events if isinstance(event, SpeechMark) and event.segment == segment]


def samples_of(events) -> np.ndarray:
    return np.frombuffer(audio_of(events), np.int16).astype(float)


def pitch_of(events) -> float:
    """The median fundamental of the loud parts, in Hz, by autocorrelation."""
    samples, found = samples_of(events), []
    for at in range(0, len(samples) - 2048, 1024):
        part = samples[at : at + 2048] - samples[at : at + 2048].mean()
        if np.sqrt((part**2).mean()) > 1500:
            like = np.correlate(part, part, "full")[2047:]
            lags = slice(22050 // 400, 22050 // 60)
            if like[lags].max() > 0.5 * like[0]:
                found.append(22050 / (lags.start + like[lags].argmax()))
    return float(np.median(found))


def test_it_is_registered_and_named_by_its_voice():
    assert installed().get("tts", "espeak") is tts
    assert tts.model(EspeakOptions("de+f2")) == "de+f2"


async def test_a_sentence_is_spoken_at_the_promised_rate(espeak):
    assert espeak.output_for(CALL) == OUTPUT
    events = await speak(espeak, SENTENCE)
    audio = audio_of(events)
    assert len(audio) % 2 == 0
    assert 2000 < OUTPUT.ms_in(len(audio)) < 4000  # nine words at 160 a minute, and the pauses
    assert np.sqrt((samples_of(events) ** 2).mean()) > 500
    sizes = [len(event.audio) for event in events if isinstance(event, SpeechAudio)]
    assert max(sizes) <= OUTPUT.bytes_in(200)


async def test_marks_say_where_the_text_is_heard(espeak):
    events = await speak(espeak, SENTENCE, "Grüße, 你好: and 1250 more.")
    for segment, text in enumerate((SENTENCE, "Grüße, 你好: and 1250 more.")):
        marks = marks_of(events, segment)
        assert all(one.chars < other.chars for one, other in pairwise(marks))
        assert all(one.at_ms <= other.at_ms for one, other in pairwise(marks))
        length = len(audio_of(events, segment))
        assert marks[-1] == SpeechMark(segment, len(text), int(OUTPUT.ms_in(length)))
        assert {text[mark.chars - 1] for mark in marks[:-1]} <= {" ", "你"}  # each where a word begins
    assert [SENTENCE[: mark.chars] for mark in marks_of(events)][:2] == ["Good ", "Good morning, "]


async def test_a_long_text_is_spoken_whole(espeak):
    assert len(LONG) > 5 * PIECE_CHARS
    events = await speak(espeak, LONG)
    one = len(audio_of(await speak(espeak, LONG[: len(LONG) // 30])))
    assert len(audio_of(events)) == pytest.approx(30 * one, rel=0.1)
    marks = marks_of(events)
    assert all(one.chars < other.chars and one.at_ms <= other.at_ms for one, other in pairwise(marks))
    assert marks[-1] == SpeechMark(0, len(LONG), int(OUTPUT.ms_in(len(audio_of(events)))))
    assert len(marks) > 30 * 12


@pytest.mark.parametrize(
    "text", ["word " * 500, "x" * 1000, "a, " * 300, "汉字。" * 200, "", "short", "y" * PIECE_CHARS + ". tail"]
)
def test_pieces_make_up_the_text(text):
    pieces = list(module._pieces(text))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= PIECE_CHARS for piece in pieces) or text == ""
    assert not any(piece.endswith(("wor", "wo", "w")) for piece in pieces)


async def test_segments_come_in_order_and_silent_ones_give_nothing(espeak):
    events = await speak(espeak, "one", "...", "", " \n", "?!", "two")
    assert {event.segment for event in events} == {0, 5}
    segments = [event.segment for event in events]
    assert segments == sorted(segments)


@pytest.mark.parametrize("text", ["a\0b", "\x01200S fast", "\ud800 broken", "😀", "[[x]] <b>&amp;</b>", "\x7f\x1b[0m"])
async def test_odd_characters_do_no_harm(espeak, text):
    events = await speak(espeak, text, "yes")
    assert len(audio_of(events, 1)) == pytest.approx(len(audio_of(await speak(espeak, "yes"))), rel=0.1)
    assert all(mark.chars <= len(text) for mark in marks_of(events))


async def test_voices_speeds_and_pitches_differ(resources):
    async def said(**options) -> list:
        async with tts.open(EspeakOptions(**options), resources) as component:
            return await speak(component, SENTENCE)

    usual = await said()
    assert pitch_of(await said(voice="en-gb+f3")) > 1.3 * pitch_of(usual)
    assert pitch_of(await said(pitch=90)) > 1.2 * pitch_of(await said(pitch=10))
    assert len(audio_of(await said(words_per_minute=320))) < 0.65 * len(audio_of(usual))
    german = await said(voice="de")
    assert abs(len(audio_of(german)) - len(audio_of(usual))) > 2000


async def test_the_first_audio_comes_before_the_rest_is_made(espeak):
    async with espeak.open_stream(OUTPUT, None) as stream:
        await stream.send(LONG, 0)
        while not isinstance(await stream.receive(), SpeechAudio):
            pass
        assert len(stream._pieces) > 5  # of which the helper has heard nothing yet


async def test_speech_that_nobody_takes_is_not_made(espeak):
    async with espeak.open_stream(OUTPUT, None) as slow:
        with trio.move_on_after(0.3) as blocked:
            for segment in range(100):
                await slow.send(LONG, segment)
        assert blocked.cancelled_caught
        with trio.fail_after(LONG_S):
            while slow._request is not None:
                await trio.lowlevel.checkpoint()
        assert AHEAD_BYTES <= slow._ahead_bytes < AHEAD_BYTES + OUTPUT.bytes_in(20_000)
        with trio.fail_after(LONG_S):
            assert audio_of(await speak(espeak, SENTENCE))  # and others don't wait for it
        before = slow._ahead_bytes
        received = 0
        while received < 3 * before:  # it goes on when somebody does
            event = await slow.receive()
            if isinstance(event, SpeechAudio):
                received += len(event.audio)


async def test_streams_do_not_mix(espeak):
    texts = ["yes", SENTENCE, "one two three four", LONG[:400]]
    alone = [len(audio_of(await speak(espeak, text))) for text in texts]
    together = [0] * 12

    async def call(number: int) -> None:
        events = await speak(espeak, texts[number % 4])
        together[number] = len(audio_of(events))
        assert marks_of(events)[-1].chars == len(texts[number % 4])

    async with trio.open_nursery() as nursery:
        for number in range(12):
            nursery.start_soon(call, number)
    assert together == pytest.approx(alone * 3, rel=0.05)


async def test_a_timeout_around_receive_loses_nothing(espeak):
    events, timeouts = [], 0
    async with espeak.open_stream(OUTPUT, None) as stream:
        await stream.send(LONG, 0)
        await stream.finish()
        while True:
            with trio.move_on_after(0.0001) as scope:
                event = await stream.receive()
                if event is None:
                    break
                events.append(event)
            timeouts += scope.cancelled_caught
        assert await stream.receive() is None
    assert timeouts > 0
    assert marks_of(events)[-1] == SpeechMark(0, len(LONG), int(OUTPUT.ms_in(len(audio_of(events)))))


async def test_leaving_while_it_speaks_leaves_nothing_to_others(espeak):
    for _ in range(20):
        async with espeak.open_stream(OUTPUT, None) as stream:
            await stream.send(LONG, 0)
            await stream.receive()
        assert not espeak._requests
        events = await speak(espeak, "yes")
        assert marks_of(events)[-1].chars == 3
        assert OUTPUT.ms_in(len(audio_of(events))) < 1500


async def test_fifty_streams_leave_descriptors_and_tasks_as_they_were(espeak, open_files):
    descriptors = open_files()
    tasks = trio.lowlevel.current_statistics().tasks_living
    for _ in range(50):
        assert audio_of(await speak(espeak, "yes"))
    assert open_files() == descriptors
    assert trio.lowlevel.current_statistics().tasks_living == tasks


async def test_a_stream_cancelled_anywhere_leaves_nothing(espeak, cancel_at_every_step):
    async def scenario() -> None:
        async with espeak.open_stream(OUTPUT, None) as stream:
            await stream.send("One two.", 0)
            await stream.send("Three.", 1)
            await stream.finish()
            await drain(stream)

    def afterwards() -> None:
        assert not espeak._streams
        assert not espeak._requests

    assert await cancel_at_every_step(scenario, afterwards) > 10
    assert OUTPUT.ms_in(len(audio_of(await speak(espeak, "yes")))) < 1500


async def test_opening_cancelled_anywhere_leaves_no_process(resources, cancel_at_every_step, open_files, no_children):
    descriptors = open_files()

    async def scenario() -> None:
        async with tts.open(EspeakOptions(), resources) as component:
            assert audio_of(await speak(component, "yes"))

    def afterwards() -> None:
        assert no_children()
        assert open_files() == descriptors
        assert resources.threads.borrowed_tokens == 0

    assert await cancel_at_every_step(scenario, afterwards) > 5


async def test_a_helper_that_is_killed_ends_its_streams_and_the_component(resources, no_children, monkeypatch):
    monkeypatch.setattr(helper_process, "LEAVE_S", LONG_S)  # to learn how it ended
    errors = []

    async def call(component, *, receives: bool) -> None:
        async with component.open_stream(OUTPUT, None) as stream:
            for segment in range(1000):
                await stream.send(LONG, segment)
                while receives:
                    assert await stream.receive() is not None

    async def failing_call(component, *, receives: bool) -> None:
        with pytest.raises(ComponentError) as raised:
            await call(component, receives=receives)
        errors.append(raised.value)

    async def serve() -> None:
        async with tts.open(EspeakOptions(), resources) as component:
            with trio.CancelScope(shield=True), trio.fail_after(LONG_S):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(lambda: failing_call(component, receives=True))
                    nursery.start_soon(lambda: failing_call(component, receives=False))
                    await trio.sleep(0.05)
                    os.kill(component._helper.pid, signal.SIGKILL)
                await failing_call(component, receives=True)  # a new stream
            await trio.sleep_forever()

    with pytest.raises(ComponentError, match="killed by signal 9") as raised:
        await serve()
    assert raised.value.retryable
    assert [error.message for error in errors] == [raised.value.message] * 3
    assert all(error.retryable and error is not raised.value for error in errors)
    assert no_children()


async def test_a_helper_that_hangs_is_killed_on_leaving(resources, no_children):
    async with tts.open(EspeakOptions(), resources) as component:
        os.kill(component._helper.pid, signal.SIGSTOP)
    assert no_children()


async def test_the_signals_that_stop_a_service_do_not_stop_the_helper(espeak):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(espeak._helper.pid, number)
    assert audio_of(await speak(espeak, SENTENCE))
    assert os.getsid(espeak._helper.pid) == espeak._helper.pid


def test_the_helper_does_not_outlive_a_process_that_is_killed():
    script = (
        "import trio\n"
        "from voicepipe.adapters.espeak.tts import EspeakOptions, tts\n"
        "from voicepipe.components.protocols import Resources\n"
        "async def main():\n"
        "    async with tts.open(EspeakOptions(), Resources('test', trio.CapacityLimiter(1))) as component:\n"
        "        print(component._helper.pid, flush=True)\n"
        "        await trio.sleep_forever()\n"
        "trio.run(main)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        try:
            helper = int(process.stdout.readline())
            assert b"espeak/worker.py" in Path(f"/proc/{helper}/cmdline").read_bytes()
        finally:
            process.kill()
    deadline = time.monotonic() + LONG_S
    while (stat := Path(f"/proc/{helper}/stat")).exists() and stat.read_text().split()[2] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("voice", "file"),
    [
        ("en-us", "gmw/en-US"),
        ("EN-US", "gmw/en-US"),
        ("en-gb", "gmw/en"),
        ("en", "gmw/en"),
        ("gmw/en-GB-scotland", "gmw/en-GB-scotland"),
        ("English (America)", "gmw/en-US"),
        ("en-gb+f3", "gmw/en+f3"),
        ("de+Mr Serious", "gmw/de+Mr serious"),
    ],
)
def test_voices_are_found_by_any_of_their_names(voice, file):
    assert module.find_voice(Path(espeakng_loader.get_data_path()), voice) == file
    assert not [*tts.check(EspeakOptions(voice))]


@pytest.mark.parametrize(
    ("voice", "said", "hint"),
    [
        ("en-su", "no voice 'en-su'", "en-us"),
        ("en-us+ff3", "no variant 'ff3'", "f3"),
        ("", "no voice ''", "en-gb"),
        ("../../passwd", "no voice", "en-us"),
        ("en-us+", "no variant ''", "m1"),
    ],
)
async def test_an_unknown_voice_is_refused_with_what_is_like_it(resources, voice, said, hint):
    [problem] = tts.check(EspeakOptions(voice))
    assert problem.path == "voice"
    assert said in problem.message
    assert hint in problem.hint
    with pytest.raises(ComponentError, match=said) as raised:
        async with tts.open(EspeakOptions(voice), resources):
            pass
    assert not raised.value.retryable
    assert hint in raised.value.hint


async def test_a_voice_that_the_library_refuses_is_refused(resources, monkeypatch, no_children):
    monkeypatch.setattr(module, "find_voice", lambda _data, _voice: "nobody")
    with pytest.raises(ComponentError, match="does not take the voice nobody") as raised:
        async with tts.open(EspeakOptions(), resources):
            pass
    assert not raised.value.retryable
    assert no_children()


async def test_a_library_that_does_not_load_is_an_error_with_its_reason(resources, monkeypatch, tmp_path):
    monkeypatch.setattr(espeakng_loader, "get_library_path", lambda: str(tmp_path / "missing.so"))
    with pytest.raises(ComponentError, match="ended by itself") as raised:
        async with tts.open(EspeakOptions(), resources):
            pass
    assert "missing.so" in raised.value.answered


@pytest.mark.parametrize("field", [{"words_per_minute": 79}, {"words_per_minute": 451}, {"pitch": -1}, {"pitch": 100}])
def test_options_have_limits(field):
    with pytest.raises(ValueError, match=next(iter(field))):
        EspeakOptions(**field)


@pytest.mark.parametrize("voice", ["en-us", "en-gb"])
async def test_what_espeak_says_vosk_hears(espeak, resources, voice):
    pytest.importorskip("vosk", reason="the extra `vosk` is not installed")
    model = Directory(path=Path(__file__).parents[2] / "config/models/tiny-en", fingerprint="")
    texts = ["I want an appointment on Monday", "yes please"]
    async with (
        tts.open(EspeakOptions(voice), resources) as mouth,
        stt.open(VoskOptions(model), resources) as ears,
        ears.open_stream(ears.input_for(CALL), Listen()) as stream,
    ):
        for text in texts:
            samples = np.frombuffer(audio_of(await speak(mouth, text)), np.int16)
            spoken = soxr.resample(samples, 22050, 8000).tobytes()
            for at in range(0, len(spoken), 1600):
                await stream.send(spoken[at : at + 1600])
            await stream.end_utterance()
        await stream.finish()
        heard = [event.text async for event in _until_none(stream) if event.final]
    assert [text for text in heard if text] == [text.lower() for text in texts]


async def _until_none(stream):
    while (event := await stream.receive()) is not None:
        yield event


def voices_of_all_variants() -> list[str]:
    variants = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    return ["en-gb", *sorted(f"en-gb+{file.name}" for file in variants.iterdir())]


async def cut_short(component) -> None:
    async with component.open_stream(OUTPUT, None) as stream:
        await stream.send(LONG, 0)
        await stream.receive()


async def test_each_text_begins_from_silence_and_ends_at_a_zero_in_all_voices(resources):
    """Voices with an echo would begin with the end of another caller's text, and end in the middle of a wave."""
    wrong: dict[str, list[str]] = {}
    room = trio.CapacityLimiter(4)

    async def try_out(voice: str) -> None:
        async with room, tts.open(EspeakOptions(voice), resources) as component:
            spoken = [await speak(component, "Oh, hello there, oh!")]
            spoken += [await speak(component, "This is the text.", "Oh!", "This is " + LONG[:300])]
            await cut_short(component)
            spoken += [await speak(component, "This is the text.")]
        for events in spoken:
            for segment in {event.segment for event in events}:
                samples = np.frombuffer(audio_of(events, segment), np.int16)
                assert np.abs(samples).max() > 500
                if samples[0] or samples[-1]:
                    wrong.setdefault(voice, []).append(f"from {samples[0]} to {samples[-1]}")
        for events, segment in ((spoken[1], 0), (spoken[1], 2), (spoken[2], 0)):
            # The library begins such a text with 13 ms of nothing; what is in there would be of the text before.
            if np.frombuffer(audio_of(events, segment), np.int16)[:220].any():
                wrong.setdefault(voice, []).append("begins with something else")

    async with trio.open_nursery() as nursery:
        for voice in voices_of_all_variants():
            nursery.start_soon(try_out, voice)
    assert not wrong


async def test_a_text_sounds_the_same_whatever_was_spoken_before(resources):
    async with tts.open(EspeakOptions("en-gb+edward2"), resources) as component:  # which has nothing random in it
        alone = audio_of(await speak(component, SENTENCE))
        await speak(component, "Oh!")
        await cut_short(component)
        assert audio_of(await speak(component, SENTENCE)) == alone
    async with tts.open(EspeakOptions("en-gb+edward2"), resources) as component:
        await speak(component, LONG)
        assert audio_of(await speak(component, SENTENCE)) == alone


def test_ends_fade_and_nothing_else_changes():
    samples = np.full(1000, -1000, np.int16)
    faded = np.frombuffer(worker.fade(samples.tobytes()), np.int16)
    kept = 1000 - worker.FADE_SAMPLES
    assert (faded[:kept] == -1000).all()
    assert (np.diff(faded[kept - 1 :]) >= 0).all()
    assert np.diff(faded).max() <= 12, "no step that is heard as a click"
    assert faded[-1] == 0
    assert worker.fade(b"") == worker.rise(b"") == b""
    risen = np.frombuffer(worker.rise(samples.tobytes()), np.int16)
    assert risen[0] == 0
    assert (np.diff(risen) <= 0).all()
    assert (risen[worker.RISE_SAMPLES :] == -1000).all()
