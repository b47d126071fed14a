"""Listening: what reaches the recogniser, when, and in what order."""

from contextlib import asynccontextmanager
from functools import partial
from itertools import pairwise

import pytest
import trio
from attrs import define, field

from voicepipe.audio import FRAME_MS, AudioFormat, from_pcm16
from voicepipe.calls.failover import FailoverList
from voicepipe.calls.listening.caller_audio import BUFFER_MS
from voicepipe.calls.listening.listening import Listening
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.events import Transcript
from voicepipe.components.guards import GuardedSpeechToText
from voicepipe.components.labels import ComponentLabel
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.config.call_settings import SpeechToTextBudgets
from voicepipe.config.settings import ComponentSettings
from voicepipe.errors import ComponentError, Location
from voicepipe.pipelines.snapshot import OpenedSpeechToText
from voicepipe.testing.transport import voice

PHONE = AudioFormat(8000)
BUDGETS = SpeechToTextBudgets(connect_ms=60_000)
FRAME = 320


@define(eq=False, slots=False)
class Ears:
    """A recogniser that notes everything and says what the test gives it."""

    wants: StreamInput = field(factory=lambda: StreamInput(PHONE))
    connects_s: float = 0.0
    send_s: float = 0.0
    log: list = field(factory=list)
    audio: bytearray = field(factory=bytearray)
    opened_for: list = field(factory=list)
    channel: tuple = field(factory=lambda: trio.open_memory_channel(100))

    @property
    def say(self):
        return self.channel[0].send_nowait

    def input_for(self, call):
        return self.wants

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        assert stream_input == self.wants
        self.opened_for.append(listen)
        await trio.sleep(self.connects_s)
        yield self

    async def send(self, audio):
        await trio.sleep(self.send_s)
        self.log.append((trio.current_time(), len(audio)))
        self.audio += audio

    async def end_utterance(self):
        await trio.lowlevel.checkpoint()
        self.log.append((trio.current_time(), "end"))

    async def listen_for(self, listen):
        await trio.lowlevel.checkpoint()
        self.log.append((trio.current_time(), listen))

    async def receive(self):
        said = await self.channel[1].receive()
        if isinstance(said, Exception):
            raise said
        return said

    @property
    def sizes(self):
        return [what for _, what in self.log if isinstance(what, int)]


def opened(ears, name="ears"):
    """A recogniser as a pipeline has it."""
    settings = ComponentSettings(
        role="stt", adapter="test", options=None, name=name, where=Location("test"), path="stt", key=name
    )
    edged = GuardedSpeechToText(ComponentRef("stt", name))
    edged.up(ears)
    return OpenedSpeechToText(ComponentLabel(name, "test", None), settings, edged)


async def run(listening, *ears, on_event=[].append, retries=0):
    """Listens with these recognisers, in order of preference."""
    alternatives = FailoverList(
        "stt", tuple(map(opened, ears)), retries, lambda _role, _error: None, lambda _role, _rung, _name: None
    )
    await listening.run(alternatives, BUDGETS, on_event, lambda _found: None)


@pytest.fixture
def ears():
    return Ears()


@pytest.fixture
def heard():
    """Transcripts that listening passed on."""
    return []


@pytest.fixture
def listen(ears, heard, nursery):
    """Starts listening; every edge of speech is noted in `edges`."""

    def start(audio=PHONE):
        edges = []
        listening = Listening(audio, 160, edges.append)
        listening.edges = edges
        nursery.start_soon(partial(run, listening, ears, on_event=heard.append))
        return listening

    return start


async def hear(listening, audio, size=FRAME, ms=FRAME_MS):
    """The caller's audio in real time, in pieces of any size."""
    for start in range(0, len(audio), size):
        listening.hear(audio[start : start + size])
        await trio.sleep(ms / 1000)


async def test_chunks_are_as_the_recogniser_likes_them(autojump_clock, ears, listen):
    await hear(listen(), bytes(FRAME * 52))
    assert ears.sizes == [FRAME * 5] * 10
    assert bytes(ears.audio) == bytes(FRAME * 50)


@pytest.mark.parametrize(("chunk_ms", "size"), [(10, FRAME), (20, FRAME), (60, FRAME * 3), (200, FRAME * 10)])
async def test_any_chunk(autojump_clock, ears, listen, chunk_ms, size):
    ears.wants = StreamInput(PHONE, chunk_ms)
    await hear(listen(), bytes(FRAME * 60))
    assert set(ears.sizes) == {size}


async def test_small_chunks_wake_the_task_in_twos_and_fours(autojump_clock, ears, listen):
    """A chunk of 20 ms costs less than the wake-up to send it; what ends an utterance waits for nothing."""
    ears.wants = StreamInput(PHONE, 20)
    listening = listen()
    began = trio.current_time()

    def sent():
        """When chunks were sent, in ms since the beginning."""
        return [round((when - began) * 1000) for when, size in ears.log if isinstance(size, int)]

    await hear(listening, bytes(FRAME * 40))
    assert sent() == [0, *(80 * n for n in range(1, 10) for _ in range(4))]
    ears.log.clear()
    await hear(listening, voice(8000, 800))
    speaking = [when for when in sent() if when > 1000]  # the beginning of speech is known a little after it
    assert len(speaking) >= 20
    assert {speaking.count(when) for when in speaking} == {2}
    ears.log.clear()
    await hear(listening, bytes(FRAME * 10))
    hurried = sent()[2:]
    assert len(hurried) >= 6
    assert [later - earlier for earlier, later in pairwise(hurried)] == [20] * (len(hurried) - 1)
    assert set(ears.sizes) == {FRAME}
    assert bytes(ears.audio) == bytes(FRAME * 40) + voice(8000, 800) + bytes(FRAME * 10)


async def test_after_speech_it_hurries_until_the_final(autojump_clock, ears, listen, heard):
    listening = listen()
    await hear(listening, bytes(FRAME * 25) + voice(8000, 400))
    chunked = len(ears.sizes)
    assert set(ears.sizes) == {FRAME * 5}
    await hear(listening, bytes(FRAME * 10))
    hurried = ears.sizes[chunked + 1 :]
    assert len(hurried) >= 6
    assert set(hurried) == {FRAME}  # each as it came
    ears.say(Transcript("yes", final=False))
    await hear(listening, bytes(FRAME * 5))
    assert ears.sizes[-1] == FRAME
    ears.say(Transcript("yes", final=True))
    await trio.testing.wait_all_tasks_blocked()
    count = len(ears.sizes)
    await hear(listening, bytes(FRAME * 20))
    assert ears.sizes[count:] == [FRAME * 5] * 4
    assert [event.text for event in heard] == ["yes", "yes"]


async def test_when_speech_goes_on_it_hurries_no_more(autojump_clock, ears, listen):
    listening = listen()
    await hear(listening, bytes(FRAME * 5) + voice(8000, 400) + bytes(FRAME * 8) + voice(8000, 1000))
    assert ears.sizes[-5:] == [FRAME * 5] * 5


async def test_all_audio_arrives_in_order_whatever_the_sizes(autojump_clock, ears, listen):
    audio = bytes(FRAME * 3) + voice(8000, 1000) + bytes(FRAME * 10)
    for size in (FRAME, 100, 1, 319, 321, 5000):
        ears.audio.clear()
        listening = listen()
        await hear(listening, audio, size, ms=20 * size / FRAME)
        listening.finalise()
        await trio.sleep(0.1)
        assert bytes(ears.audio) == audio[: len(audio) - len(audio) % FRAME]
        assert listening.edges == ["began", "sustained", "ended"]
        assert listening.audio_ms == len(audio) / FRAME * FRAME_MS
        assert listening.dropped_ms == 0


async def test_a_view_of_a_reused_buffer_is_copied(autojump_clock, ears, listen):
    listening, buffer = listen(), bytearray(b"\1" * FRAME)
    for n in range(5):
        buffer[:] = bytes([n]) * FRAME
        listening.hear(memoryview(buffer))
    await trio.sleep(0.1)
    assert bytes(ears.audio) == b"".join(bytes([n]) * FRAME for n in range(5))


async def test_while_it_connects_the_audio_is_kept(autojump_clock, ears, listen):
    ears.connects_s = 0.9
    audio = voice(8000, 1500)
    listening = listen()
    await hear(listening, audio)
    assert bytes(ears.audio) == audio
    assert listening.dropped_ms == 0
    assert ears.log[0][0] == pytest.approx(0.9)  # at once when it can


async def test_what_had_to_be_dropped_is_counted_and_positions_allow_for_it(autojump_clock, ears, listen):
    ears.connects_s = BUFFER_MS / 1000 + 2
    audio = b"".join(bytes([n % 251]) * FRAME for n in range(1000))
    listening = listen()
    await hear(listening, audio)
    assert listening.dropped_ms == pytest.approx(2000, abs=FRAME_MS)
    assert bytes(ears.audio) == audio[PHONE.bytes_in(listening.dropped_ms) :][: len(ears.audio)]
    assert listening.call_ms(500) == 500 + listening.dropped_ms


async def test_a_slow_recogniser_never_holds_up_the_caller(autojump_clock, ears, listen):
    ears.send_s = 0.5  # for 100 ms of audio
    listening = listen()
    await hear(listening, bytes(FRAME * 1500))
    assert trio.current_time() == pytest.approx(30)
    assert listening.audio_ms == 30_000
    assert listening.dropped_ms + len(ears.audio) / 16 == pytest.approx(30_000, abs=BUFFER_MS + 100)
    assert listening.dropped_ms > 8000


async def test_finalise_sends_what_is_held_first(autojump_clock, ears, listen):
    listening = listen()
    await hear(listening, bytes(FRAME * 7))
    listening.finalise()
    await trio.sleep(0.01)
    assert [what for _, what in ears.log] == [FRAME * 5, FRAME * 2, "end"]
    await hear(listening, bytes(FRAME * 5))
    assert [what for _, what in ears.log][3:] == [FRAME * 5]


async def test_finalise_before_it_is_connected_is_not_forgotten(autojump_clock, ears, listen):
    ears.connects_s = 0.5
    listening = listen()
    await hear(listening, bytes(FRAME * 7))
    listening.finalise()
    await trio.sleep(1)
    assert [what for _, what in ears.log] == [FRAME * 5, FRAME * 2, "end"]


async def test_expectations_come_after_the_utterance_that_they_follow(autojump_clock, ears, listen):
    first, later = Listen(phrases=("yes", "no")), Listen(phrases=("monday",))
    listening = listen()
    await trio.sleep(0.1)
    assert ears.opened_for == [Listen()]
    await hear(listening, bytes(FRAME * 2))
    listening.finalise()
    listening.set_expected_phrases(first)
    await trio.sleep(0.01)
    assert [what for _, what in ears.log] == [FRAME * 2, "end", first]
    listening.set_expected_phrases(first)  # is no change
    listening.set_expected_phrases(later)
    await trio.sleep(0.01)
    assert [what for _, what in ears.log][3:] == [later]


async def test_expectations_from_before_the_stream_open_it(autojump_clock, ears):
    listening = Listening(PHONE, 160, [].append)
    listening.set_expected_phrases(Listen(phrases=("yes",)))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, listening, ears)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    assert ears.opened_for == [Listen(phrases=("yes",))]
    assert ears.log == []


async def test_expectations_while_it_connects_are_told_afterwards(autojump_clock, ears, listen):
    ears.connects_s = 0.5
    listening = listen()
    await trio.sleep(0.1)
    listening.set_expected_phrases(Listen(phrases=("yes",)))
    await trio.sleep(1)
    assert [what for _, what in ears.log] == [Listen(phrases=("yes",))]


@pytest.mark.parametrize("call", [PHONE, AudioFormat(8000, "mulaw"), AudioFormat(48000)])
async def test_the_recogniser_gets_the_format_that_it_wants(autojump_clock, ears, listen, call):
    ears.wants = StreamInput(AudioFormat(16000), 100)
    audio = from_pcm16(voice(call.rate, 1000), call.encoding)
    await hear(listen(call), audio, call.bytes_in(FRAME_MS))
    assert ears.sizes == [3200] * 10
    assert max(ears.audio) > 0


async def test_without_conversion_the_bytes_pass_through(autojump_clock, ears, listen):
    call = AudioFormat(8000, "mulaw")
    ears.wants = StreamInput(call, 100)
    audio = from_pcm16(voice(8000, 1000), "mulaw")
    await hear(listen(call), audio, 160)
    assert bytes(ears.audio) == audio


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (ComponentError("refused", component="ears", role="stt"), "ears: refused"),
        (RuntimeError("boom"), "ears: RuntimeError: boom"),
        (None, "ears: ended while the call was on"),
    ],
)
async def test_a_recogniser_that_fails_or_ends_is_one_component_error(autojump_clock, ears, failure, message):
    ears.say(failure)
    with pytest.raises(ComponentError) as caught:
        await run(Listening(PHONE, 160, [].append), ears)
    assert (str(caught.value), caught.value.role) == (message, "stt")


async def test_a_recogniser_that_takes_no_audio_fails_too(autojump_clock, ears):
    async def send(audio):
        raise ComponentError("hung up on me")

    ears.send = send
    listening = Listening(PHONE, 160, [].append)
    listening.hear(bytes(FRAME * 5))
    with pytest.raises(ComponentError, match="hung up on me") as caught:
        await run(listening, ears)
    assert (caught.value.component, caught.value.role) == ("ears", "stt")
