"""What a voice sends is looked at where it comes in, whoever wrote its adapter: what is no audio is refused unheard."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from flaky import FlakyTts, Telephone
from hypothesis import given
from hypothesis import strategies as st

from voicepipe.audio import AudioFormat
from voicepipe.calls.events import FailedOver
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.events import SpeechAudio, SpeechMark
from voicepipe.components.guards import GuardedTextToSpeech
from voicepipe.components.speech_heads import SpeechHeads
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall

DATA = Path(__file__).parent / "data/encoded"
MP3 = (DATA / "mp3-24000-64.mp3").read_bytes()
SHORT = (DATA / "mp3-24000-16-whole.mp3").read_bytes()
PCM = AudioFormat(24000)
SAMPLES = b"\x10\x27\xf0\xd8" * 400


class Voice:
    """Gives the events that it was made with."""

    def __init__(self, *events) -> None:
        self.events = events

    def output_for(self, call):
        return AudioFormat(call.rate)

    @asynccontextmanager
    async def open_stream(self, output, language):
        del output, language
        yield Stream(list(self.events))


class Stream:
    def __init__(self, events) -> None:
        self._events = events

    async def send(self, text, segment):
        pass

    async def finish(self):
        pass

    async def receive(self):
        return self._events.pop(0) if self._events else None


async def received(*events, output=PCM):
    edge = GuardedTextToSpeech(ComponentRef("tts", "house_voice"))
    edge.up(Voice(*events))
    async with edge.open_stream(output, None) as stream:
        await stream.send("Hello.", 0)
        await stream.finish()
        got = []
        while (event := await stream.receive()) is not None:
            got.append(event)
        return got


def pieces(data, size, segment=0):
    return [SpeechAudio(data[at : at + size], segment) for at in range(0, len(data), size)]


@pytest.mark.parametrize("size", [2, 160, 4096])
async def test_what_is_encoded_is_refused_by_name(size):
    with pytest.raises(ComponentError) as caught:
        await received(*pieces(MP3, size))
    error = caught.value
    assert (error.component, error.role, error.retryable) == ("house_voice", "tts", False)
    assert error.message == "sent MP3, where pcm16 at 24000 Hz was asked for"
    assert "`model`" in error.hint


async def test_text_is_refused_and_quoted():
    with pytest.raises(ComponentError, match="sent JSON, where mulaw at 8000 Hz") as caught:
        await received(SpeechAudio(b'{"error": "no such voice"}', 0), output=AudioFormat(8000, "mulaw"))
    assert caught.value.answered == '{"error": "no such voice"}'
    assert caught.value.retryable


async def test_each_segment_is_looked_at():
    """Each may be an answer of its own, from another server behind the same address."""
    with pytest.raises(ComponentError, match="MP3"):
        await received(*pieces(SAMPLES, 160), *pieces(MP3, 160, segment=1))


async def test_what_is_short_is_known_by_its_end():
    with pytest.raises(ComponentError, match="MP3"):
        await received(*pieces(SHORT[:456], 160))
    with pytest.raises(ComponentError, match="sent text"):
        await received(SpeechAudio(b"Forbidden", 0), SpeechAudio(b"\1\2", 1), output=AudioFormat(8000, "mulaw"))


async def test_what_only_begins_like_it_comes_whole_and_in_order():
    suspect = MP3[:4] + SAMPLES
    mark = SpeechMark(0, 3, 10.0)
    events = [SpeechAudio(suspect[:4], 0), mark, SpeechAudio(suspect[4:], 0), SpeechAudio(SAMPLES, 1)]
    assert await received(*events) == events
    assert await received(events[0], mark) == [events[0], mark]


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=40), st.integers(0, 2))), st.binary(max_size=6))
def test_nothing_of_audio_is_lost(parts, head):
    heads, given_, got = SpeechHeads(AudioFormat(8000, "mulaw")), [], []
    for audio, segment in [(b"\xff\xfb" + head, 0), *sorted(parts, key=lambda part: part[1])]:
        event = SpeechAudio(b"\x80" + audio if segment else audio, segment)
        given_.append(event)
        got += [event] if heads.passes(event) else heads.take(event)
    got += heads.take(None)
    assert got == [*given_, None]


async def test_a_call_goes_on_with_the_next_voice(autojump_clock):
    call = RehearsedCall(
        tts=[Voice(*pieces(MP3, 320)), FlakyTts(second=True)],
        transport=Telephone(None),
        settings={"greeting": "hello there."},
    )

    async def caller():
        await call.transport.be_silent(2000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.transport.heard == "HELLO THERE."
    [over] = call.told(FailedOver)
    assert over.rung == "alternate"
