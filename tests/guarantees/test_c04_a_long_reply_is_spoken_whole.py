"""C04: a reply longer than any buffer is spoken whole; a slow transport slows it, and loses nothing."""

from itertools import pairwise

import pytest
import trio

from voicepipe.audio import FRAME_MS
from voicepipe.calls.replies.playout import HIGH_WATER_MS
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ToneTextToSpeech

SENTENCES = [f"This is sentence number {n} of a very long story." for n in range(100)]
MS_A_CHAR = 60


def story(count):
    """Sentences, and the audio that speaks them: the scripted synthesiser's tone tells which one."""
    audio = b"".join(
        (1000 + 100 * n).to_bytes(2, "little") * (8 * MS_A_CHAR * len(sentence))
        for n, sentence in enumerate(SENTENCES[:count])
    )
    return " ".join(SENTENCES[:count]), audio


async def tell(text, meanwhile=None, **options):
    """A call in which that is the greeting; the caller listens to the end."""
    call = RehearsedCall(tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR), settings={"greeting": None}, **options)
    call.llm = ScriptedLanguageModel(lambda _request: text)

    async def caller():
        while not call.turns:
            await call.transport.be_silent(1000)
        await call.transport.hang_up_as_caller()

    async with trio.open_nursery() as nursery:
        if meanwhile is not None:
            nursery.start_soon(meanwhile, call.transport)
        await call.hold(caller)
        nursery.cancel_scope.cancel()
    return call


async def test_five_minutes_are_spoken_whole(autojump_clock):
    text, audio = story(100)
    call = await tell(text)
    assert len(audio) / 16 > 280_000
    assert call.transport.said[: len(audio)] == audio
    assert len(call.transport.said) - len(audio) < 320
    assert call.turns[0].said == text
    assert not call.turns[0].interrupted
    gaps = [b - a for (a, _), (b, _) in pairwise(call.transport.written[2:])]
    assert max(gaps) < 0.02 + 1e-6  # without a pause, at the pace of speech
    assert call.turns[0].at_s == pytest.approx(len(audio) / 16000, abs=0.05)


@pytest.mark.parametrize("at_s", [0.0, 0.01, 1.0, 5.003, 11.99])
@pytest.mark.parametrize("seconds", [0.1, 4.0])
async def test_a_transport_that_blocks_loses_nothing(autojump_clock, at_s, seconds):
    text, audio = story(5)

    async def block(transport):
        await trio.sleep(at_s)
        transport.block()
        await trio.sleep(seconds)
        transport.unblock()

    call = await tell(text, block)
    assert call.transport.said[: len(audio)] == audio
    assert {len(frame) for _, frame in call.transport.written} == {320}
    assert call.turns[0].said == text
    times = [when for when, _ in call.transport.written]
    assert not [when for when in times if at_s < when < at_s + seconds]
    # It goes on where it was, at the pace of speech and not in one burst.
    assert max(sum(when <= later < when + 0.2 for later in times) for when in times) <= 0.2 * 50 + 7


async def test_a_transport_that_blocks_again_and_again(autojump_clock):
    text, audio = story(5)

    async def stutter(transport):
        while True:
            transport.block()
            await trio.sleep(0.3)
            transport.unblock()
            await trio.sleep(0.07)

    call = await tell(text, stutter)
    assert call.transport.said[: len(audio)] == audio
    assert call.turns[0].said == text


async def test_what_is_made_faster_than_it_is_spoken_is_not_heaped_up(autojump_clock):
    """All the text is there at once, and so would be the audio; what is held ready is bounded."""
    held = []

    async def look(_transport):
        while True:
            await trio.sleep(0.1)
            playout = look.call.call._parts.replies._playout
            held.append(playout.queued_ms - playout.played_ms)

    text, audio = story(20)
    call = RehearsedCall(tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR), llm=ScriptedLanguageModel(lambda _request: text))
    look.call = call

    async def caller():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look, call.transport)
            await call.transport.be_silent(len(audio) // 16 + 100)
            nursery.cancel_scope.cancel()
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.transport.said[: len(audio)] == audio
    assert HIGH_WATER_MS / 4 < max(held) <= HIGH_WATER_MS + MS_A_CHAR + FRAME_MS
