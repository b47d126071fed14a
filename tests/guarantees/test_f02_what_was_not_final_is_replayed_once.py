"""F02: failing over speech-to-text replays the audio that was not yet part of a final transcript, once."""

from __future__ import annotations

import pytest
from flaky import FlakyStt, FlakyTts, Telephone, Trouble

from voicepipe import FailedOver
from voicepipe.config.call_settings import OnFailure
from voicepipe.testing.calls import RehearsedCall


async def hold(first, second):
    """Two utterances, 0.3 to 1.2 s and 3.2 to 4.1 s into the call."""
    call = RehearsedCall(
        stt=[first, second],
        tts=FlakyTts(),
        transport=Telephone(),
        settings={"greeting": "", "on_failure": OnFailure(retries=0)},
    )

    async def caller():
        await call.transport.be_silent(300)
        for _ in range(2):
            await call.transport.say(900)
            await call.transport.be_silent(2000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    return call


def begins_at_ms(call, heard):
    """Where the last place is in the caller's audio at which that was heard; both utterances sound the same."""
    sent, heard = bytes(call.transport.sent), bytes(heard)
    begin = sent.rfind(heard)
    assert begin >= 0, "it is no piece of what the caller said: something is missing, or there twice"
    return begin / 16


@pytest.mark.parametrize("dies_at_ms", range(3300, 4700, 200))
async def test_all_of_the_utterance_and_nothing_of_the_one_before(autojump_clock, dies_at_ms):
    first = FlakyStt(["first", "never given"], [Trouble("fail", dies_at_ms)] + [Trouble("open")] * 9)
    second = FlakyStt(["second"])
    call = await hold(first, second)
    assert [heard for heard, _ in call.conversation if heard] == ["first", "second"]
    assert 1200 <= begins_at_ms(call, second.heard[0]) <= 3200
    assert call.told(FailedOver)[0].component == "test_stt_2"


async def test_with_everything_final_nothing_is_replayed(autojump_clock):
    first = FlakyStt(["first", "second"], [Trouble("fail", 5200)] + [Trouble("open")] * 9)
    second = FlakyStt(["never given"])
    call = await hold(first, second)
    assert [heard for heard, _ in call.conversation if heard] == ["first", "second"]
    assert second.heard != []
    assert not any(second.heard[0])


async def test_what_was_final_within_the_utterance_is_not_replayed(autojump_clock):
    """A final reached up to 3,700 ms; what was said after that is heard again, to the sample."""
    first = FlakyStt(["first"], [Trouble("fail", 4000)] + [Trouble("open")] * 9, by_itself=[(3800, "and then", 3700)])
    second = FlakyStt(["that"])
    call = await hold(first, second)
    assert [heard for heard, _ in call.conversation if heard] == ["first", "and then that"]
    assert bytes(call.transport.sent)[3700 * 16 :].startswith(bytes(second.heard[0]))
