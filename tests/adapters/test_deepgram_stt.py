"""Deepgram's speech-to-text on a server in memory: what is asked for, what is heard, and when it is final."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import trio
import trio.testing
from attrs import evolve
from deepgram_streams import FLUX, KEY, OPTIONS, arrived, final, finals, open_line, rest, say
from vendors.deepgram_listen import silence, speech

from voicepipe.adapters.deepgram.stt import stt
from voicepipe.adapters.deepgram.stt_options import DeepgramSttOptions
from voicepipe.audio import AudioFormat
from voicepipe.components.events import EndOfTurn, Transcript, TurnResumed, Word
from voicepipe.components.requests import Listen
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError, Location

MULAW = AudioFormat(8000, "mulaw")
NO_GUESS = {"mip_opt_out": None, "numerals": None}


@pytest.fixture
async def line(monkeypatch, resources):
    async with open_line(monkeypatch, resources) as line:
        yield line


def test_importing_it_imports_no_vendor():
    show = "import voicepipe.adapters.deepgram.stt, sys; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True).stdout.split()
    assert {"deepgram", "websockets", "httpx", "pydantic"}.isdisjoint(loaded)


def test_the_adapter():
    assert (stt.name, stt.role, stt.label(OPTIONS)) == ("deepgram", "stt", "nova-3")
    assert pickle.loads(pickle.dumps(OPTIONS)) == OPTIONS
    assert "test-key" not in repr(OPTIONS)


# --- What is asked for -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "call", "wanted"),
    [
        ("nova-3", AudioFormat(8000), AudioFormat(8000)),
        ("nova-3", AudioFormat(8000, "mulaw"), AudioFormat(8000, "mulaw")),
        ("nova-3", AudioFormat(8000, "alaw"), AudioFormat(8000, "alaw")),
        ("nova-3", AudioFormat(16000, "mulaw"), AudioFormat(16000)),
        ("nova-3", AudioFormat(32000), AudioFormat(32000)),
        ("flux-general-en", AudioFormat(8000, "mulaw"), AudioFormat(8000, "mulaw")),
        ("flux-general-en", AudioFormat(48000), AudioFormat(48000)),
        ("flux-general-en", AudioFormat(32000), AudioFormat(16000)),
    ],
)
async def test_the_format_is_the_calls_where_deepgram_takes_it(resources, model, call, wanted):
    async with stt.open(evolve(OPTIONS, model=model), resources) as component:
        assert component.input_for(call).format == wanted
        assert 60 <= component.input_for(call).chunk_ms <= 100


NOVA_DEFAULTS = {
    "model": "nova-3",
    "encoding": "linear16",
    "sample_rate": "8000",
    "channels": "1",
    "interim_results": "true",
    "endpointing": "300",
    "vad_events": "true",
    "punctuate": "true",
}
FLUX_DEFAULTS = {"model": "flux-general-en", "encoding": "linear16", "sample_rate": "8000"}


@pytest.mark.parametrize(
    ("options", "path", "query"),
    [
        ({}, "/v1/listen", {}),
        (
            {
                "language": "de",
                "endpointing_ms": 0,
                "utterance_end_ms": 1200,
                "punctuate": False,
                "smart_format": True,
                "numerals": True,
                "mip_opt_out": True,
            },
            "/v1/listen",
            {
                "language": "de",
                "endpointing": "false",
                "utterance_end_ms": "1200",
                "punctuate": "false",
                "smart_format": "true",
                "numerals": "true",
                "mip_opt_out": "true",
            },
        ),
        ({"model": "flux-general-en"}, "/v2/listen", {}),
        (
            {
                "model": "flux-general-multi",
                "language": "es",
                "eot_threshold": 0.8,
                "eager_eot_threshold": 0.4,
                "eot_timeout_ms": 3000,
            },
            "/v2/listen",
            {
                "model": "flux-general-multi",
                "language_hint": "es",
                "eot_threshold": "0.8",
                "eager_eot_threshold": "0.4",
                "eot_timeout_ms": "3000",
            },
        ),
    ],
)
async def test_options_become_parameters(autojump_clock, line, options, path, query):
    async with line.open(evolve(OPTIONS, **options)):
        pass
    (request,) = line.server.requests
    assert request.path == path
    assert dict(request.query) == (NOVA_DEFAULTS if path == "/v1/listen" else FLUX_DEFAULTS) | query
    assert request.headers["authorization"] == "Token test-key"


async def test_the_environment_is_not_looked_into(autojump_clock, line, monkeypatch):
    monkeypatch.setenv("DEEPGRAM_API_KEY", "another")
    monkeypatch.setenv("HTTP_PROXY", "http://elsewhere.test:1")
    async with line.open():
        pass
    assert line.server.requests[0].headers["authorization"] == "Token test-key"


@pytest.mark.parametrize("audio", [AudioFormat(8000), MULAW, AudioFormat(8000, "alaw"), AudioFormat(16000)], ids=str)
async def test_audio_arrives_as_it_was_sent(autojump_clock, line, audio):
    said = speech("four two", audio) + silence(500, audio)
    async with line.open(audio=audio) as stream:
        await say(stream, said, audio)
        await stream.finish()
        assert finals(await rest(stream)) == ["Four two"]
    (session,) = line.server.sessions
    assert bytes(session.audio) == said


# --- What is heard ---------------------------------------------------------------------------------------------------


async def test_words_come_as_they_are_said_and_then_for_good(autojump_clock, line):
    async with line.open() as stream:
        await say(stream, silence(200) + speech("four two") + silence(500))
        events = await arrived(stream)
    assert events == [
        Transcript(
            "Four two",
            final=False,
            confidence=0.98,
            words=(Word("Four", 200, 360, 0.98), Word("two", 400, 500, 0.98)),
            audio_end_ms=500,
        ),
        Transcript(
            "Four two",
            final=True,
            confidence=0.98,
            words=(Word("Four", 200, 360, 0.98), Word("two", 400, 560, 0.98)),
            audio_end_ms=860,
        ),
    ]


async def test_partial_text_can_be_left_out(autojump_clock, line):
    async with line.open(evolve(OPTIONS, interim_results=False)) as stream:
        await say(stream, speech("one two three four five") + silence(500))
        await stream.finish()
        transcripts = [event for event in await rest(stream) if isinstance(event, Transcript)]
    assert [(heard.text, heard.final) for heard in transcripts] == [("One two three four five", True)]


async def test_silence_says_nothing(autojump_clock, line):
    async with line.open() as stream:
        await say(stream, silence(30_000))
        assert await arrived(stream) == []


@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_finishing_gives_the_rest(autojump_clock, line, model):
    async with line.open(evolve(OPTIONS, model=model)) as stream:
        await say(stream, speech("one two"))
        await stream.finish()
        events = await rest(stream)
        assert await stream.receive() is None
    assert finals(events) == ["One two"]
    assert line.server.sessions[0].said == ["CloseStream"]


@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_finishing_without_a_word(autojump_clock, line, model):
    async with line.open(evolve(OPTIONS, model=model)) as stream:
        await stream.finish()
        assert await rest(stream) == []


async def test_probing_takes_a_whole_session_without_audio(autojump_clock, line, resources):
    async with stt.open(OPTIONS, resources) as component:
        await component.probe()
    (session,) = line.server.sessions
    assert (session.said, bytes(session.audio)) == (["CloseStream"], b"")
    assert line.server.open == 0


async def test_leaving_says_goodbye(autojump_clock, line):
    async with line.open() as stream:
        await say(stream, speech("one"))
        left = trio.current_time()
    assert trio.current_time() - left == pytest.approx(0, abs=0.01)  # it did not wait for anything
    await trio.testing.wait_all_tasks_blocked()
    assert line.server.open == 0


async def test_it_can_be_cancelled_anywhere(autojump_clock, line, resources, cancel_at_every_step):
    async with stt.open(OPTIONS, resources) as component:

        async def scenario():
            async with component.open_stream(component.input_for(AudioFormat(8000)), Listen()) as stream:
                await stream.send(speech("one two") + silence(400))
                await stream.end_utterance()
                assert (await final(stream)).text == "One two"
                await stream.finish()
                await rest(stream)

        steps = await cancel_at_every_step(scenario, lambda: None)
    assert steps > 10


# --- The end of an utterance -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("finalises", ["always", "buffered"])
@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_an_utterance_is_final_when_the_call_says_so(autojump_clock, line, model, finalises):
    line.server.finalises = finalises
    async with line.open(evolve(OPTIONS, model=model, **({} if "flux" in model else {"endpointing_ms": 0}))) as stream:
        for words in "one two", "three":
            await say(stream, speech(words) + silence(300))
            await stream.end_utterance()
            heard = await final(stream)
            assert heard.text == words.capitalize()
        assert heard.audio_end_ms == 1200
        assert finals(await arrived(stream, 3)) == []
    assert line.server.sessions[0].said == ["Finalize" if model == "nova-3" else "ForceEndTurn"] * 2


@pytest.mark.parametrize("finalises", ["always", "buffered", "never"])
@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_an_utterance_without_words_gets_one_empty_final(autojump_clock, line, model, finalises):
    line.server.finalises = finalises
    async with line.open(evolve(OPTIONS, model=model)) as stream:
        await stream.end_utterance()
        assert await final(stream) == Transcript("", final=True, audio_end_ms=0)
        await say(stream, silence(700))
        await stream.end_utterance()
        assert await final(stream) == Transcript("", final=True, audio_end_ms=700)
        assert await arrived(stream, 3) == []


async def test_what_is_final_already_needs_no_answer(autojump_clock, line):
    """The words were final at the pause; what is asked for then is empty, and costs nothing."""
    async with line.open() as stream:
        await say(stream, speech("one") + silence(260))  # endpointing is at 460 ms, all that there is
        assert (await final(stream)).audio_end_ms == 460
        await stream.end_utterance()
        assert (await final(stream)).text == ""
        assert finals(await arrived(stream, 3)) == []
    assert line.server.sessions[0].said == []


async def test_two_ends_of_utterances_get_two_finals(autojump_clock, line):
    async with line.open(evolve(OPTIONS, endpointing_ms=0)) as stream:
        await say(stream, speech("one") + silence(200))
        await stream.end_utterance()
        await stream.end_utterance()
        assert [(await final(stream)).text for _ in range(2)] == ["One", ""]
        assert finals(await arrived(stream, 3)) == []


async def test_a_final_that_does_not_come_is_made_of_what_was_heard(autojump_clock, line):
    """Deepgram may answer Finalize, says its page; the words are not heard again when they do become final."""
    line.server.finalises = "never"
    async with line.open(evolve(OPTIONS, endpointing_ms=0)) as stream:
        await say(stream, speech("one two") + silence(200))
        began = trio.current_time()
        await stream.end_utterance()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, stream, silence(1500) + speech("three") + silence(300))
            heard = await final(stream)
        assert (heard.text, heard.audio_end_ms) == ("One two", 600)
        assert trio.current_time() - began >= 1
        await stream.finish()
        assert finals(await rest(stream)) == ["three"]


async def test_a_server_that_knows_no_force_end_turn(autojump_clock, line):
    line.server.forces = False
    async with line.open(evolve(FLUX, eot_threshold=1.0)) as stream:
        for words in "One two", "three":
            await say(stream, speech(words.lower()) + silence(300))
            await stream.end_utterance()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(say, stream, silence(2000))
                assert (await final(stream)).text == words
        await stream.finish()
        assert finals(await rest(stream)) == []
    assert line.server.sessions[0].said == ["ForceEndTurn", "CloseStream"]


async def test_audio_after_a_turn_that_is_being_ended_waits(autojump_clock, line):
    """ForceEndTurn ends it where recognition is: the next words must not be in it."""
    async with line.open(FLUX) as stream:
        for words in "one two", "three":
            await stream.send(speech(words) + silence(300))
            await stream.end_utterance()
        assert [(await final(stream)).text for _ in range(2)] == ["One two", "Three"]


# --- Whose turn it is ------------------------------------------------------------------------------------------------


def opinions(events):
    return [event for event in events if isinstance(event, EndOfTurn | TurnResumed)]


async def test_nova_leaves_the_turns_to_the_call(autojump_clock, line):
    async with line.open(evolve(OPTIONS, utterance_end_ms=1000)) as stream:
        await say(stream, speech("one") + silence(2000))
        events = await arrived(stream)
    assert finals(events) == ["One"]
    assert opinions(events) == []


@pytest.mark.parametrize(
    "options", [{}, {"endpointing_ms": 0, "utterance_end_ms": 1000}, {"utterance_end_ms": 1000}], ids=str
)
async def test_nova_ends_turns_if_told_to(autojump_clock, line, options):
    async with line.open(evolve(OPTIONS, ends_turns=True, **options)) as stream:
        await say(stream, speech("one") + silence(6000) + speech("two") + silence(6000))
        events = await arrived(stream)
    assert finals(events) == ["One", "Two"]
    assert opinions(events) == [EndOfTurn(), EndOfTurn()]
    assert isinstance(events[-1], EndOfTurn)


async def test_flux_hears_the_end_of_the_turn(autojump_clock, line):
    async with line.open(FLUX) as stream:
        await say(stream, silence(500) + speech("one two") + silence(1000))
        events = await arrived(stream)
    assert events[-2:] == [
        Transcript(
            "One two",
            final=True,
            confidence=pytest.approx(0.97),
            words=(Word("One", 500, 660, 0.97), Word("two", 700, 860, 0.97)),
            audio_end_ms=1260,
        ),
        EndOfTurn(),
    ]
    assert opinions(events) == [EndOfTurn()]


async def test_flux_guesses_and_takes_it_back(autojump_clock, line):
    async with line.open(evolve(FLUX, eager_eot_threshold=0.5)) as stream:
        await say(stream, speech("one") + silence(200) + speech("two") + silence(800))
        events = await arrived(stream)
    assert opinions(events) == [EndOfTurn(eager=True), TurnResumed(), EndOfTurn(eager=True), EndOfTurn()]
    assert finals(events) == ["One two"]


async def test_an_end_that_the_call_decided_is_no_news_to_it(autojump_clock, line):
    async with line.open(FLUX) as stream:
        await say(stream, speech("one") + silence(200))
        await stream.end_utterance()
        events = await arrived(stream)
    assert finals(events) == ["One"]
    assert opinions(events) == []


# --- What to listen for ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_phrases_are_keyterms(autojump_clock, line, model):
    options = evolve(OPTIONS, model=model, keyterms=("Aura  Two", "voicepipe"))
    async with line.open(options, Listen(phrases=("yes", "no", "voicepipe"))) as stream:
        await say(stream, silence(100))
        await stream.listen_for(Listen(phrases=("Monday",)))
        await say(stream, silence(100))
        await stream.listen_for(Listen(phrases=("Monday",)))
        await stream.listen_for(Listen())
        await say(stream, silence(100))
    (session,) = line.server.sessions
    assert [value for name, value in session.query if name == "keyterm"] == ["Aura Two", "voicepipe", "yes", "no"]
    assert session.messages == [
        {"type": "Configure", "keyterms": ["Aura Two", "voicepipe", "Monday"]},
        {"type": "Configure", "keyterms": ["Aura Two", "voicepipe"]},
    ]


async def test_elder_models_have_keywords_that_stay(autojump_clock, line):
    async with line.open(evolve(OPTIONS, model="nova-2-phonecall", keyterms=("snug:2",)), Listen(("yes",))) as stream:
        await stream.listen_for(Listen(("no",)))
        await say(stream, silence(200))
    (session,) = line.server.sessions
    assert [item for item in session.query if item[0].startswith("key")] == [("keywords", "snug:2")]
    assert session.said == []


@pytest.mark.parametrize("model", ["nova-3", "flux-general-en"])
async def test_a_server_that_knows_no_configure_listens_on(autojump_clock, line, model):
    line.server.configures = False
    async with line.open(evolve(OPTIONS, model=model)) as stream:
        await stream.listen_for(Listen(("no",)))
        await say(stream, speech("one") + silence(500))
        assert finals(await arrived(stream)) == ["One"]
    assert line.server.connections == 1


async def test_the_callers_language(autojump_clock, line):
    async with line.open(evolve(OPTIONS, language="en"), Listen(language="multi")) as stream:
        await say(stream, speech("one") + silence(500))
        assert (await final(stream)).language == "en"
    assert line.server.sessions[0].asked["language"] == "multi"
    async with line.open(evolve(OPTIONS, model="flux-general-multi"), Listen(language="es")) as stream:
        await say(stream, speech("one") + silence(700))
        assert (await final(stream)).language == "es"
        await stream.listen_for(Listen(language="fr"))
        await say(stream, silence(200))
    assert line.server.sessions[1].asked["language_hint"] == "es"
    assert line.server.sessions[1].messages == [{"type": "Configure", "keyterms": [], "language_hints": ["fr"]}]


# --- What is wrong with options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "path", "message"),
    [
        ({"model": "flux-general-en", "smart_format": True}, "smart_format", "does not have that option"),
        ({"model": "flux-general-en", "endpointing_ms": 100}, "endpointing_ms", "does not have that option"),
        ({"eot_threshold": 0.9}, "eot_threshold", "nova-3 does not have that option"),
        ({"model": "flux-general-en", "language": "de"}, "language", "takes no language"),
        ({"utterance_end_ms": 1000, "interim_results": False}, "utterance_end_ms", "needs interim_results"),
        ({"ends_turns": True, "endpointing_ms": 0}, "ends_turns", "nothing to end turns by"),
        ({"model": "flux-general-en", "eager_eot_threshold": 0.8}, "eager_eot_threshold", "above eot_threshold"),
        ({"keyterms": ("word",) * 2 + ("",)}, "keyterms", "too many, or one is empty"),
        ({"keyterms": tuple(f"word{n}" for n in range(101))}, "keyterms", "too many"),
        ({"base_url": "api.deepgram.com"}, "base_url", "not an http:// or https:// address"),
        ({"base_url": "http://[::1"}, "base_url", "not an http:// or https:// address"),
    ],
)
async def test_options_that_do_not_go_together(resources, options, path, message):
    wrong = DeepgramSttOptions(KEY, **options)
    (problem,) = stt.check(wrong)
    assert (problem.where, problem.path) == (Location(""), path)
    assert message in problem.message
    assert problem.hint
    with pytest.raises(ComponentError, match=message) as caught:
        async with stt.open(wrong, resources):
            pass
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("name", "value"),
    [("model", ""), ("endpointing_ms", -1), ("utterance_end_ms", 999), ("eot_threshold", 0.4), ("keep_alive_s", 10)],
)
def test_values_out_of_bounds(name, value):
    with pytest.raises(ValueError, match=name):
        DeepgramSttOptions(Secret("k"), **{name: value})


def test_good_options_have_no_problems():
    for options in OPTIONS, FLUX, evolve(FLUX, model="flux-general-multi", language="de"):
        assert list(stt.check(options)) == []
