"""The vosk adapter, with the real library and the tiny model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import wave
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import pytest
import trio
from patience import LONG_S

from voicepipe.adapters.vosk import worker as vosk_worker
from voicepipe.adapters.vosk.stt import VoskOptions, stt
from voicepipe.audio import AudioFormat
from voicepipe.components.registry import installed
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.components.values import Directory
from voicepipe.errors import ComponentError, Location
from voicepipe.wire import process as helper_process

pytest.importorskip("vosk", reason="the extra `vosk` is not installed")

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "config/models/tiny-en"
SPEECH = ROOT / "tests/data/speech"
EXPECTED = json.loads((SPEECH / "expected.json").read_text())
LINE = StreamInput(AudioFormat(8000))


def directory(path: Path) -> Directory:
    return Directory(path=path, fingerprint="")


def speech(name: str) -> bytes:
    with wave.open(str(SPEECH / f"{name}.wav")) as file:
        return file.readframes(file.getnframes())


@pytest.fixture
async def vosk(resources):
    async with stt.open(VoskOptions(directory(MODEL)), resources) as component:
        yield component


@pytest.fixture
def model(tmp_path):
    return Path(shutil.copytree(MODEL, tmp_path / "model"))


async def feed(stream, audio: bytes, *, size: int = 1600) -> None:
    for at in range(0, len(audio), size):
        await stream.send(audio[at : at + size])


async def drain(stream) -> list:
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def recognise(vosk, audio: bytes, listen: Listen | None = None, stream_input=LINE, *, ms: int = 100) -> list:
    async with vosk.open_stream(stream_input, listen or Listen()) as stream:
        await feed(stream, audio, size=stream_input.format.bytes_in(ms))
        await stream.finish()
        return await drain(stream)


def finals(events) -> list[str]:
    return [event.text for event in events if event.final]


def test_it_is_registered():
    assert installed().get("stt", "vosk") is stt


@pytest.mark.parametrize("ms", [20, 100])
@pytest.mark.parametrize("name", sorted(EXPECTED))
async def test_samples_are_recognised_in_chunks_of_any_size(vosk, name, ms):
    sample = EXPECTED[name]
    spoken = [text for text in sample["results"] if text != "[unk]"]
    stream_input = vosk.input_for(AudioFormat(sample["rate"]))
    assert stream_input == StreamInput(AudioFormat(sample["rate"]), 100)
    events = await recognise(vosk, speech(name.removesuffix(".wav")), stream_input=stream_input, ms=ms)
    assert finals(events) == spoken


async def test_partial_texts_come_first_and_only_when_they_change(vosk):
    audio = speech("two-turns-8k")
    events = await recognise(vosk, audio)
    turns, turn = [], []
    for event in events:
        turn.append(event)
        if event.final:
            turns.append(turn)
            turn = []
    assert [partials[-1].text for partials in turns] == ["hello i need support", "no thank you goodbye"]
    for *partials, _final in turns:
        assert len(partials) >= 3
        assert all(one.text != other.text for one, other in pairwise(partials))
    ends = [event.audio_end_ms for event in events]
    assert ends == sorted(ends)
    assert 0 < ends[0] < 1500
    assert ends[-1] <= len(audio) // 16


async def test_words_have_times_and_confidence(resources):
    async with (
        stt.open(VoskOptions(directory(MODEL), words=True), resources) as vosk,
        vosk.open_stream(LINE, Listen()) as stream,
    ):
        await feed(stream, speech("two-turns-8k"))
        await stream.end_utterance()
        await stream.listen_for(Listen(phrases=("yes", "no")))
        await feed(stream, speech("yes-8k"))
        await stream.finish()
        hello, bye, _empty, yes = [event for event in await drain(stream) if event.final]
    assert [word.text for word in hello.words] == ["hello", "i", "need", "support"]
    words = [*hello.words, *bye.words, *yes.words]
    starts = [word.start_ms for word in words]
    assert starts == sorted(starts)
    assert all(word.start_ms < word.end_ms for word in words)
    assert hello.words[0].start_ms == pytest.approx(240, abs=100)
    assert yes.words[0].start_ms > len(speech("two-turns-8k")) // 16  # times go on over another grammar
    assert hello.confidence == pytest.approx(sum(word.confidence for word in hello.words) / 4)
    assert 0.5 < hello.confidence <= 1


async def test_without_words_there_is_neither(vosk):
    [*_partials, final] = await recognise(vosk, speech("yes-8k"))
    assert final.text == "yes"
    assert final.words == ()
    assert final.confidence is None


async def test_phrases_narrow_what_is_heard(vosk):
    digits = speech("digits-8k")
    assert finals(await recognise(vosk, digits, Listen(phrases=("yes", "no")))) == []
    assert finals(await recognise(vosk, digits, Listen(phrases=("Four, five: nine two!",)))) == ["four five nine two"]


async def test_phrases_with_words_that_the_model_lacks_are_left_out(vosk):
    digits = speech("digits-8k")
    assert finals(await recognise(vosk, digits, Listen(phrases=("umbrella four", "four nine", "five two")))) != []
    assert finals(await recognise(vosk, digits, Listen(phrases=("umbrella", "...")))) == ["four five nine two"]


def test_phrases_are_spelled_as_the_model_spells_them():
    library = vosk_worker.VoskModel(find_spec("vosk").origin, str(MODEL), 8000, words=False)
    assert library.grammar_for(["'Yes, please'", "four umbrella", "-"]) == ("yes please",)
    library.has_fixed_graph = True
    assert library.grammar_for(["yes"]) == ()


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("'Yes, please'", ["yes", "please"]),
        ("uh-huh - don\N{RIGHT SINGLE QUOTATION MARK}t", ["uh-huh", "don't"]),
        ("हाँ, ठीक है", ["हाँ", "ठीक", "है"]),
        ("cafe\N{COMBINING ACUTE ACCENT} noir", ["café", "noir"]),
        ("...", []),
    ],
)
def test_phrases_come_apart_into_words_with_their_marks(phrase, words):
    assert vosk_worker.words_of(phrase) == words


async def test_other_phrases_in_mid_stream(vosk):
    digits = speech("digits-8k")
    async with vosk.open_stream(LINE, Listen()) as stream:
        await feed(stream, digits)
        await stream.listen_for(Listen(phrases=("yes", "no")))
        await feed(stream, digits)
        await stream.end_utterance()
        await stream.listen_for(Listen())
        await feed(stream, digits)
        await stream.finish()
        assert finals(await drain(stream)) == ["four five nine two", "", "four five nine two"]


async def test_other_phrases_finalise_what_is_in_flight(vosk):
    audio = speech("two-turns-8k")[: 16 * 1900]  # the first turn, before the recogniser sees its end
    async with vosk.open_stream(LINE, Listen()) as stream:
        await feed(stream, audio)
        await stream.listen_for(Listen(phrases=("yes", "no")))
        await feed(stream, speech("yes-8k"))
        await stream.finish()
        assert finals(await drain(stream)) == ["hello i need support", "yes"]


async def test_the_same_phrases_again_cut_nothing(vosk):
    audio = speech("two-turns-8k")
    listen = Listen(phrases=("hello i need support", "no thank you goodbye"))
    async with vosk.open_stream(LINE, listen) as stream:
        for at in range(0, len(audio), 1600):
            await stream.send(audio[at : at + 1600])
            await stream.listen_for(listen)
        await stream.finish()
        assert finals(await drain(stream)) == ["hello i need support", "no thank you goodbye"]


async def test_each_end_of_an_utterance_gives_one_final(vosk):
    async with vosk.open_stream(LINE, Listen()) as stream:
        heard = []
        for audio in (b"", bytes(16 * 300), speech("yes-8k")[: 16 * 900], b"", speech("unknown-8k"), bytes(1600)):
            await feed(stream, audio)
            await stream.end_utterance()
            while not (event := await stream.receive()).final:
                pass
            heard.append(event.text)
            with pytest.raises(trio.WouldBlock):
                stream._events._receiver.receive_nowait()
        assert heard == ["", "", "yes", "", "", ""]
        await feed(stream, speech("digits-8k"))
        await stream.finish()
        assert finals(await drain(stream)) == ["four five nine two"]
        assert await stream.receive() is None


async def test_streams_do_not_mix(vosk):
    heard = {}

    async def call(number: int, name: str) -> None:
        heard[number] = finals(await recognise(vosk, speech(name)))

    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(call, number, "digits-8k" if number % 2 else "two-turns-8k")
    for number, texts in heard.items():
        assert texts == (["four five nine two"] if number % 2 else ["hello i need support", "no thank you goodbye"])


async def test_a_timeout_around_receive_loses_nothing(vosk):
    audio = speech("two-turns-8k")
    events, timeouts = [], 0
    async with vosk.open_stream(LINE, Listen()) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            await feed(stream, audio, size=320)
            await stream.finish()

        nursery.start_soon(send)
        while True:
            with trio.move_on_after(0.0005) as scope:
                event = await stream.receive()
                if event is None:
                    break
                events.append(event)
            timeouts += scope.cancelled_caught
    assert timeouts > 0
    assert events == await recognise(vosk, audio, ms=20)


async def test_a_stream_cancelled_anywhere_leaves_nothing(vosk, cancel_at_every_step):
    audio = speech("yes-8k")

    async def scenario() -> None:
        async with vosk.open_stream(LINE, Listen()) as stream:
            await feed(stream, audio, size=len(audio) // 3)
            await stream.listen_for(Listen(phrases=("yes",)))
            await stream.end_utterance()
            await stream.finish()
            assert "yes" in finals(await drain(stream))

    def afterwards() -> None:
        assert not vosk._worker.streams

    assert await cancel_at_every_step(scenario, afterwards) > 5


async def test_opening_cancelled_anywhere_leaves_nothing(
    resources, cancel_at_every_step, no_children, open_files, monkeypatch
):
    monkeypatch.setattr(helper_process, "LEAVE_S", LONG_S)  # however slow the machine is, none is killed as it starts
    descriptors = open_files()

    async def scenario() -> None:
        async with stt.open(VoskOptions(directory(MODEL)), resources):
            await trio.lowlevel.checkpoint()

    def afterwards() -> None:
        assert no_children()
        assert open_files() == descriptors

    assert await cancel_at_every_step(scenario, afterwards) > 2


async def test_what_the_library_refuses_ends_the_stream(vosk):
    async with vosk.open_stream(StreamInput(AudioFormat(4000)), Listen()) as stream:  # below the model's rate
        with pytest.raises(ComponentError, match="Vosk failed") as sent:
            await stream.send(bytes(800))
        with pytest.raises(ComponentError, match="Vosk failed") as received:
            await stream.receive()
        assert received.value is not sent.value
        with pytest.raises(ComponentError):
            await stream.send(bytes(800))


@pytest.mark.parametrize(
    ("rate", "upsamples", "call", "wanted"),
    [
        (8000, False, 8000, 8000),
        (8000, False, 16000, 16000),
        (8000, False, 48000, 8000),
        (16000, False, 8000, 16000),
        (16000, False, 24000, 16000),
        (16000, True, 8000, 8000),
    ],
)
async def test_the_rate_needs_the_least_resampling(model, resources, rate, upsamples, call, wanted):
    conf = (model / "conf/mfcc.conf").read_text().replace("8000", str(rate))
    (model / "conf/mfcc.conf").write_text(conf + "--allow-upsample=true\n" * upsamples)
    async with stt.open(VoskOptions(directory(model)), resources) as vosk:
        stream_input = vosk.input_for(AudioFormat(call, "mulaw"))
        assert stream_input.format == AudioFormat(wanted)
        async with vosk.open_stream(stream_input, Listen()) as stream:  # which the library takes
            await stream.send(bytes(stream_input.format.bytes_in(500)))
            await stream.finish()
            assert await drain(stream) == []


@pytest.mark.parametrize("lost", ["am/final.mdl", "conf/mfcc.conf", "graph/Gr.fst"])
async def test_a_model_that_lacks_a_file_is_a_problem_with_a_place(model, resources, lost):
    (model / lost).unlink()
    options = VoskOptions(Directory(path=model, fingerprint="", shown=Path("models/mine")))
    [problem] = stt.check(options)
    assert problem.where == Location("models/mine")
    assert lost in problem.message
    assert "alphacephei.com/vosk/models" in problem.hint
    with pytest.raises(ComponentError, match="models/mine is not a Vosk model") as raised:
        async with stt.open(options, resources):
            pass
    assert not raised.value.retryable


@pytest.mark.parametrize("rate", ["often", "nan", "1e12", "-16000", "0", "4000"])
async def test_a_model_for_a_rate_that_is_none_does_not_open(model, resources, rate):
    (model / "conf/mfcc.conf").write_bytes(f"--sample-frequency={rate}\n# caf\u00e9\n".encode("latin-1"))
    with pytest.raises(ComponentError, match=f"is for audio at '{rate}' Hz") as raised:
        async with stt.open(VoskOptions(directory(model)), resources):
            pass
    assert "conf/mfcc.conf" in raised.value.hint


def test_a_good_model_has_no_problem(model):
    options = VoskOptions(directory(model))
    assert not [*stt.check(options)]
    (model / "graph/phones/word_boundary.int").unlink()  # not every model has these two
    (model / "graph/words.txt").unlink()
    assert not [*stt.check(options)]
    (model / "graph/Gr.fst").rename(model / "graph/HCLG.fst")
    assert not [*stt.check(options)]


def test_a_model_further_down_is_pointed_at(model):
    [problem] = stt.check(VoskOptions(directory(model.parent)))
    assert str(model) in problem.hint


@pytest.mark.parametrize("damaged", ["am/final.mdl", "graph/Gr.fst"])
async def test_a_damaged_model_does_not_open(model, resources, damaged):
    content = (model / damaged).read_bytes()
    (model / damaged).write_bytes(content[: min(len(content) // 2, 60)])
    with pytest.raises(ComponentError, match="can't be loaded") as raised:
        async with stt.open(VoskOptions(directory(model)), resources):
            pass
    assert not raised.value.retryable


async def test_two_hundred_streams_leave_the_memory_as_it_was(vosk):
    def resident_kb() -> int:
        return int(Path(f"/proc/{vosk._worker.pid}/statm").read_text().split()[1]) * 4

    audio = speech("yes-8k")
    for _ in range(20):
        await recognise(vosk, audio, Listen(phrases=("yes", "no")))
    before = resident_kb()
    for _ in range(200):
        await recognise(vosk, audio, Listen(phrases=("yes", "no")))
    assert resident_kb() - before < 5000  # one of them takes some 500 kB


def test_the_model_is_what_logs_show():
    assert stt.label(VoskOptions(directory(MODEL))) == "tiny-en"


HOMELESS = """
import os, pwd, sys
from pathlib import Path
from voicepipe.adapters.vosk.worker import _imported

def unknown(_uid):
    raise KeyError("getpwuid(): uid not found")

pwd.getpwuid = unknown
del os.environ["HOME"]
try:
    Path.home()
except RuntimeError:
    print(_imported(sys.argv[1]).KaldiRecognizer.__name__)
"""


def test_a_user_without_a_home_can_use_it():
    """As a container may have one, whom its /etc/passwd does not know: the library looks for the home directory."""
    file = find_spec("vosk").origin
    run = subprocess.run([sys.executable, "-c", HOMELESS, file], capture_output=True, text=True, check=True)
    assert run.stdout == "KaldiRecognizer\n"
