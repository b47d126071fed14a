"""The pocketsphinx adapter, with the real library, on telephone speech by espeak-ng."""

from __future__ import annotations

import os
import shutil
import signal
from array import array
from math import sin, tau
from pathlib import Path
from random import Random

import pytest
import trio
from patience import until

from voicepipe.adapters.pocketsphinx import worker as pocketsphinx_worker
from voicepipe.adapters.pocketsphinx.stt import INPUT, PocketsphinxOptions, stt
from voicepipe.audio import AudioFormat, open_converter
from voicepipe.components.requests import Listen
from voicepipe.components.values import File
from voicepipe.errors import ComponentError, Location
from voicepipe.testing.speaker import open_speaker
from voicepipe.wire import process as helper_process

pytest.importorskip("pocketsphinx", reason="the extra `pocketsphinx` is not installed")

YES_NO = ("yes", "no")
DEPARTMENTS = ("sales", "support", "billing", "accounting", "the front desk")
DAYS = """#JSGF V1.0;
grammar days;
public <when> = [on] <day> [at <hour>] | tomorrow [<part>];
<day> = monday | tuesday | wednesday | friday;
<hour> = noon | ten | eleven;
<part> = morning | afternoon;
"""


def file(text: str, name: str = "menu.jsgf") -> File:
    return File(Path("/etc") / name, text.encode(), shown=Path(name))


@pytest.fixture
async def say():
    """A caller's words as they arrive: 16 kHz that came over an 8 kHz line, with silence around."""
    async with open_speaker("en-us", rate=8000) as speaker:

        async def said(text: str) -> bytes:
            audio = bytes(8000) + await speaker.say(text) + bytes(9600)
            converter = open_converter(AudioFormat(8000), INPUT.format, live=True)
            return converter.convert(audio[: len(audio) // 320 * 320])

        yield said


@pytest.fixture
async def pocketsphinx(resources):
    async with stt.open(PocketsphinxOptions(phrases=YES_NO, words=True, workers=1), resources) as component:
        yield component


async def feed(stream, audio: bytes, *, size: int = 3200) -> None:
    for at in range(0, len(audio), size):
        await stream.send(audio[at : at + size])


async def drain(stream) -> list:
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def recognise(component, audio: bytes, listen: Listen | None = None, *, size: int = 3200) -> list:
    async with component.open_stream(INPUT, listen or Listen()) as stream:
        await feed(stream, audio, size=size)
        await stream.finish()
        return await drain(stream)


def finals(events) -> list[str]:
    return [event.text for event in events if event.final]


@pytest.mark.parametrize(
    ("listen", "texts"),
    [
        (Listen(), YES_NO),
        (Listen(phrases=DEPARTMENTS), DEPARTMENTS),
        (Listen(grammar=DAYS), ("monday", "on tuesday at noon", "friday", "tomorrow morning")),
        (
            Listen(phrases=("Cancel my appointment.", "goodbye"), grammar=DAYS),
            ("cancel my appointment", "on monday", "goodbye"),
        ),
    ],
)
async def test_small_grammars_are_heard(pocketsphinx, say, listen, texts):
    for text in texts:
        assert finals(await recognise(pocketsphinx, await say(text), listen)) == [text]


OTHER_SPEECH = (
    "i would like a large pizza with mushrooms",
    "my name is peter",
    "the weather is nice today",
    "i am calling about my invoice",
    "can you hear me",
    "umbrella",
    "it is raining cats and dogs",
    "let me think about it",
)


async def test_other_speech_is_none_of_the_phrases(pocketsphinx, say):
    """All of it was one of them. `make phrase-rates` has the rates; these are heard well below the limit."""
    for text in OTHER_SPEECH:
        assert not any(finals(await recognise(pocketsphinx, await say(text), Listen(phrases=DEPARTMENTS)))), text


async def test_a_steady_noise_is_no_phrase(pocketsphinx):
    hum = array("h", (int(3000 * sin(tau * 440 * n / 16000)) for n in range(48000))).tobytes()
    hiss = Random(0).gauss
    for noise in (hum, array("h", (int(hiss(0, 3000)) for _ in range(48000))).tobytes()):
        for listen in (Listen(), Listen(phrases=DEPARTMENTS), Listen(grammar=DAYS)):
            assert not any(finals(await recognise(pocketsphinx, noise, listen)))


async def test_without_strictness_the_likeliest_phrase_is_heard_in_anything(resources, say):
    options = PocketsphinxOptions(phrases=DEPARTMENTS, words=True, workers=1, strictness=0)
    async with stt.open(options, resources) as component:
        assert (await recognise(component, await say(OTHER_SPEECH[3])))[-1].text


async def test_confidence_tells_how_well_a_phrase_fits(pocketsphinx, say):
    """Not only how much likelier it is than other phrases."""
    final = (await recognise(pocketsphinx, await say("billing"), Listen(phrases=("billing",))))[-1]
    assert final.text == "billing"
    assert 0.3 < final.confidence < 1


async def test_chunks_of_any_size_are_heard_alike(pocketsphinx, say):
    audio = await say("accounting")
    listen = Listen(phrases=DEPARTMENTS)
    for size in (640, 3200, 32000, len(audio) * 2):  # the last is more than a worker gets at a time
        assert finals(await recognise(pocketsphinx, audio, listen, size=size)) == ["accounting"]


async def test_partial_texts_words_and_times(pocketsphinx, say):
    audio = await say("the front desk")
    async with pocketsphinx.open_stream(INPUT, Listen(phrases=DEPARTMENTS)) as stream:
        for _ in range(2):
            await feed(stream, audio)
            await stream.end_utterance()
        await stream.finish()
        events = await drain(stream)
    assert finals(events) == ["the front desk"] * 2
    assert "the front" in [event.text for event in events if not event.final]
    ends = [event.audio_end_ms for event in events]
    assert ends == sorted(ends)
    assert ends[-1] == len(audio) * 2 // 32
    words = [word for event in events if event.final for word in event.words]
    assert [word.text for word in words] == ["the", "front", "desk"] * 2
    starts = [word.start_ms for word in words]
    assert starts == sorted(starts)
    assert starts[0] == pytest.approx(500, abs=200)
    assert all(word.start_ms < word.end_ms and 0 <= word.confidence <= 1 for word in words)


async def test_without_words_there_are_none(resources, say):
    async with stt.open(PocketsphinxOptions(phrases=YES_NO, workers=1), resources) as component:
        [*_partials, final] = await recognise(component, await say("yes"))
    assert (final.text, final.words, final.confidence) == ("yes", (), None)


async def test_another_grammar_in_mid_stream(pocketsphinx, say):
    yes, support, monday = await say("yes"), await say("support"), await say("monday")
    async with pocketsphinx.open_stream(INPUT, Listen()) as stream:
        await feed(stream, yes)
        await stream.listen_for(Listen(phrases=DEPARTMENTS))  # which finalises what is in flight
        await feed(stream, support)
        await stream.end_utterance()
        await stream.listen_for(Listen(grammar=DAYS))
        await feed(stream, monday)
        await stream.end_utterance()
        await stream.listen_for(Listen())
        await feed(stream, yes)
        await stream.finish()
        assert finals(await drain(stream)) == ["yes", "support", "monday", "yes"]


async def test_the_same_grammar_again_cuts_nothing(pocketsphinx, say):
    audio = await say("the front desk")
    listen = Listen(phrases=DEPARTMENTS)
    async with pocketsphinx.open_stream(INPUT, listen) as stream:
        for at in range(0, len(audio), 3200):
            await stream.send(audio[at : at + 3200])
            await stream.listen_for(listen)
        await stream.finish()
        assert finals(await drain(stream)) == ["the front desk"]


async def test_long_silence_and_long_speech(pocketsphinx, say, monkeypatch):
    """The recogniser begins anew by itself: what comes after a minute of silence is heard as well."""
    yes = await say("yes")
    async with pocketsphinx.open_stream(INPUT, Listen()) as stream:
        for _ in range(20):
            await stream.send(bytes(INPUT.format.bytes_in(3000)))
        await feed(stream, yes)
        await stream.end_utterance()
        for _ in range(30):
            await feed(stream, yes, size=32000)
        await stream.finish()
        first, *rest = finals(await drain(stream))
    assert first == "yes"
    assert len(rest) > 1  # it ended utterances of its own accord


async def test_each_end_of_an_utterance_gives_one_final(pocketsphinx, say):
    async with pocketsphinx.open_stream(INPUT, Listen()) as stream:
        for audio in (b"", bytes(3200), await say("yes"), b""):
            if audio:
                await feed(stream, audio)
            await stream.end_utterance()
        await stream.finish()
        assert finals(await drain(stream)) == ["", "", "yes", ""]
        assert await stream.receive() is None


async def test_words_that_the_dictionary_lacks_are_left_out(pocketsphinx, say):
    phrases = ("umbrelaz please", "sales", "quxly")
    assert finals(await recognise(pocketsphinx, await say("sales"), Listen(phrases=phrases))) == ["sales"]
    # Nothing remains: it listens for what the options say.
    assert finals(await recognise(pocketsphinx, await say("no"), Listen(phrases=("quxly", "...")))) == ["no"]


async def test_words_of_ones_own(resources, say):
    options = PocketsphinxOptions(
        grammar=file("#JSGF V1.0; grammar g; public <g> = voicepipe | voicemail;"),
        dictionary=file("voicepipe V OY S P AY P\r\n", "words.dict"),
        workers=1,
    )
    assert not [*stt.check(options)]
    async with stt.open(options, resources) as component:
        assert finals(await recognise(component, await say("voice pipe"))) == ["voicepipe"]


async def test_dictation(resources, say):
    """It needs seconds to begin, and is not good: that it hears something is all there is to ask."""
    async with stt.open(PocketsphinxOptions(workers=1), resources) as component:
        text = " ".join(finals(await recognise(component, await say("i would like to book an appointment"))))
        assert "appointment" in text
        assert finals(await recognise(component, await say("yes"), Listen(phrases=YES_NO))) == ["yes"]


async def test_streams_do_not_mix(resources, say):
    audio = {text: await say(text) for text in DEPARTMENTS}
    heard = {}
    async with stt.open(PocketsphinxOptions(workers=2), resources) as component:

        async def call(number: int, text: str) -> None:
            heard[number, text] = finals(await recognise(component, audio[text], Listen(phrases=DEPARTMENTS)))

        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(call, number, DEPARTMENTS[number % 5])
        assert {len(worker.streams) for worker in component._workers} == {0}
    assert len(heard) == 10
    assert all(texts == [text] for (_, text), texts in heard.items())


async def test_streams_are_spread_over_the_workers(resources):
    async with (
        stt.open(PocketsphinxOptions(phrases=YES_NO, workers=2), resources) as component,
        component.open_stream(INPUT, Listen()),
        component.open_stream(INPUT, Listen()),
    ):
        assert [len(worker.streams) for worker in component._workers] == [1, 1]


async def test_a_timeout_around_receive_loses_nothing(pocketsphinx, say):
    audio = await say("the front desk")
    listen = Listen(phrases=DEPARTMENTS)
    events, timeouts = [], 0
    async with pocketsphinx.open_stream(INPUT, listen) as stream, trio.open_nursery() as nursery:

        async def send() -> None:
            await feed(stream, audio)
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
    assert finals(events) == ["the front desk"]
    ends = [event.audio_end_ms for event in events]
    assert ends == sorted(ends)


async def test_a_worker_that_dies_fails_its_streams_and_is_followed_by_another(resources, say):
    yes = await say("yes")
    async with stt.open(PocketsphinxOptions(phrases=YES_NO, workers=2), resources) as component:
        async with component.open_stream(INPUT, Listen()) as lost, component.open_stream(INPUT, Listen()) as spared:
            killed = lost._worker.pid
            os.kill(killed, signal.SIGKILL)
            with pytest.raises(ComponentError, match="killed by signal 9") as received:
                await lost.receive()
            assert received.value.retryable
            with pytest.raises(ComponentError, match="killed by signal 9"):
                await lost.send(yes)
            await feed(spared, yes)
            await spared.finish()
            assert finals(await drain(spared)) == ["yes"]
        await until(lambda: all(worker._ready.is_set() for worker in component._workers))
        assert lost._worker.pid != killed
        async with component.open_stream(INPUT, Listen()), component.open_stream(INPUT, Listen()) as second:
            await feed(second, yes)
            await second.finish()
            assert finals(await drain(second)) == ["yes"]


async def test_a_stream_that_opens_while_its_worker_starts_waits_for_it(pocketsphinx, say):
    [worker] = pocketsphinx._workers
    os.kill(worker.pid, signal.SIGKILL)
    await until(lambda: not worker._ready.is_set())
    assert finals(await recognise(pocketsphinx, await say("no"))) == ["no"]


async def test_a_worker_that_can_not_be_started_again_ends_the_component(resources, tmp_path, monkeypatch, no_children):
    script = tmp_path / "worker.py"
    shutil.copyfile(pocketsphinx_worker.__file__, script)
    monkeypatch.setattr(pocketsphinx_worker, "__file__", str(script))
    with pytest.raises(ComponentError, match="ended by itself") as raised:  # noqa: PT012 - what runs while it happens
        async with stt.open(PocketsphinxOptions(phrases=YES_NO, workers=1), resources) as component:
            script.write_text("raise SystemExit('the model is gone')")
            os.kill(component._workers[0].pid, signal.SIGKILL)
            await trio.sleep_forever()
    assert raised.value.answered == "the model is gone"
    assert no_children()


async def test_what_the_library_refuses_ends_the_stream(pocketsphinx):
    async with pocketsphinx.open_stream(INPUT, Listen()) as stream:
        with pytest.raises(ComponentError, match="PocketSphinx failed") as raised:
            await stream._ask(pocketsphinx_worker.LISTEN, b'{"grammar": "none", "words": []}')
        assert "ValueError" in raised.value.answered
        with pytest.raises(ComponentError):
            await stream.receive()
    async with pocketsphinx.open_stream(INPUT, Listen()):  # the worker goes on
        pass


async def test_a_grammar_of_the_conversation_that_is_none(pocketsphinx):
    with pytest.raises(ComponentError, match=r"not valid: .*line 1, column 1") as raised:
        async with pocketsphinx.open_stream(INPUT, Listen(grammar="yes | no")):
            pass
    assert not raised.value.retryable


async def test_a_stream_cancelled_anywhere_leaves_nothing(pocketsphinx, say, cancel_at_every_step):
    audio = (await say("yes"))[:38400]

    async def scenario() -> None:
        async with pocketsphinx.open_stream(INPUT, Listen()) as stream:
            await feed(stream, audio, size=12800)
            await stream.listen_for(Listen(phrases=("yes", "maybe")))
            await stream.end_utterance()
            await stream.finish()
            assert "yes" in finals(await drain(stream))

    def afterwards() -> None:
        assert not pocketsphinx._workers[0].streams

    assert await cancel_at_every_step(scenario, afterwards) > 5


async def test_opening_cancelled_anywhere_leaves_nothing(
    resources, cancel_at_every_step, no_children, open_files, monkeypatch
):
    monkeypatch.setattr(helper_process, "LEAVE_S", 60)  # however slow the machine is, none is killed while it starts
    descriptors = open_files()

    async def scenario() -> None:
        async with stt.open(PocketsphinxOptions(phrases=YES_NO, workers=2), resources):
            await trio.lowlevel.checkpoint()

    def afterwards() -> None:
        assert no_children()
        assert open_files() == descriptors

    assert await cancel_at_every_step(scenario, afterwards) > 2


def test_options_are_checked_with_places():
    options = PocketsphinxOptions(phrases=("yes", "umbrela stand"), grammar=file(DAYS.replace("friday", "fryday")))
    phrase, word = stt.check(options)
    assert (phrase.where, phrase.path) == (Location(""), "phrases")
    assert phrase.message == "the dictionary has no word 'umbrela'"
    assert phrase.hint.startswith("did you mean umbrella, ")
    assert (word.where, word.path) == (Location("menu.jsgf", 4, 40), "")
    assert "'fryday'" in word.message
    assert "`dictionary`" in word.hint
    [broken] = stt.check(PocketsphinxOptions(grammar=file(DAYS.replace("[on]", "[on"))))
    assert broken.where == Location("menu.jsgf", 3, 58)
    assert "is not closed" in broken.message
    assert not [*stt.check(PocketsphinxOptions(phrases=("check-in", "O'Brien", "YES!")))]


@pytest.mark.parametrize(
    ("content", "line", "column", "message", "hint"),
    [
        (b"acme AE K M IY\nwidget W IH JH QQ T\n", 2, 16, "there is no phone 'QQ'", "phones are AA, AE, "),
        (b";; ours\n\nacme AE1 K M IY0\n", 3, 6, "there is no phone 'AE1'", "did you mean AE?"),
        (b"acme ae K M IY\n", 1, 6, "there is no phone 'ae'", "did you mean AE?"),
        (b"acme\n", 1, 5, "'acme' has no phones after it", "acme AE K M IY"),
        (b"acme AE K M IY\r\nothers AH DH ER Z\r\ncaf\xe9 K AE F EY\r\n", 3, 4, "this is not UTF-8", "as UTF-8"),
    ],
)
def test_each_line_of_a_dictionary_is_checked(content, line, column, message, hint):
    problem, *_more = stt.check(PocketsphinxOptions(dictionary=File(Path("/etc/our.dict"), content, Path("our.dict"))))
    assert problem.where == Location("our.dict", line, column)
    assert problem.message == message
    assert hint in problem.hint


def test_a_good_dictionary_has_no_problem():
    content = b"## names\nacme AE K M IY\nacme(2) AA K M IY\n\n"
    options = PocketsphinxOptions(phrases=("acme",), dictionary=File(Path("/etc/our.dict"), content))
    assert not [*stt.check(options)]


async def test_what_the_library_does_not_take_of_a_dictionary_is_found_when_it_is_opened(resources, no_children):
    dictionary = File(Path("/etc/our.dict"), b"acme AE K M QQ\n")
    with pytest.raises(ComponentError, match=r"PocketSphinx can't work with .*Failed to add word acme") as raised:
        async with stt.open(PocketsphinxOptions(phrases=("acme",), dictionary=dictionary, workers=2), resources):
            pass
    assert not raised.value.retryable
    assert "`dictionary`" in raised.value.hint
    assert no_children()


async def test_a_stream_hears_what_it_would_hear_in_a_fresh_worker(resources, say):
    """A decoder that another caller has used knows the noise on that caller's line, unless it forgets it."""
    yes, front_desk = await say("yes"), await say("the front desk")
    options = PocketsphinxOptions(phrases=YES_NO, words=True, workers=1)
    async with stt.open(options, resources) as component:
        fresh = await recognise(component, yes)
        await recognise(component, front_desk, Listen(phrases=DEPARTMENTS))
        async with component.open_stream(INPUT, Listen(phrases=DEPARTMENTS)) as stream:
            await feed(stream, front_desk[: len(front_desk) // 3200 * 1600])
        assert await recognise(component, yes) == fresh


async def test_a_grammar_that_is_none_does_not_open(resources):
    with pytest.raises(ComponentError, match=r"menu\.jsgf is no grammar") as raised:
        async with stt.open(PocketsphinxOptions(grammar=file("yes")), resources):
            pass
    assert not raised.value.retryable


def test_the_worker_speaks_the_same_frames():
    assert pocketsphinx_worker.HEADER.format == helper_process.HEADER.format
