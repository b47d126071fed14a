"""What adapters' streams leave to the garbage collector: nothing that lives as long as a call.

A look of the collector holds up all calls, so it goes over young objects only while calls are up. What a stream leaves
in circles when a call ends is old by then. (httpx's responses know their streams, which know them: so do those of
elevenlabs and of Deepgram's REST, but they live for a second, and are found in the next.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from conformance import (
    test_kit_on_deepgram_stt,
    test_kit_on_deepgram_tts,
    test_kit_on_local_adapters,
    test_kit_on_openai_llm,
    test_kit_on_openai_stt,
    test_kit_on_openai_tts,
    test_kit_on_wyoming,
)
from garbage import left_to_the_collector

from voicepipe.testing.conformance.waiting import counting_time

if TYPE_CHECKING:
    from voicepipe.testing.conformance.subject import Bench, Subject

STREAMS = 2

A_COMPONENT = 100
"""Objects that a component may leave when it is closed: openai's client knows its resources, and they know it."""

KITS = {
    "espeak": test_kit_on_local_adapters.test_espeak,
    "scripted": test_kit_on_local_adapters.test_scripted,
    "vosk": test_kit_on_local_adapters.test_vosk,
    "deepgram stt": test_kit_on_deepgram_stt.test_nova,
    "deepgram stt, flux": test_kit_on_deepgram_stt.test_flux,
    "deepgram tts": test_kit_on_deepgram_tts.test_deepgram_tts,
    "openai stt": test_kit_on_openai_stt.test_openai_stt,
    "openai llm": test_kit_on_openai_llm.test_openai_chat,
    "openai llm, responses": test_kit_on_openai_llm.test_openai_responses,
    "openai tts": test_kit_on_openai_tts.test_openai_tts,
    "wyoming stt": test_kit_on_wyoming.test_wyoming_stt,
    "wyoming tts": test_kit_on_wyoming.test_wyoming_tts,
}


async def use(bench: Bench, streams: int) -> None:
    """Half of the streams to their end; the others are left at their first event, as by a caller who hangs up."""
    for number in range(streams // 2):
        await bench.use(number, brief=True)
        async with bench.stream(number) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(bench.subject.use.begin, bench.component, stream, number)
            await stream.receive()
            nursery.cancel_scope.cancel()
            await trio.sleep_forever()


async def left_by(subject: Subject, streams: int) -> int:
    """How many objects a component leaves that had so many streams."""
    async with subject.served() as options:
        with left_to_the_collector() as left:
            async with subject.opened(options) as bench:
                await use(bench, streams)
    return len(left)


@pytest.mark.parametrize("kit", KITS.values(), ids=KITS)
async def test_streams_leave_nothing(kit):
    with counting_time() as clock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(clock.run)
            await left_by(kit.subject, 2)  # what is imported or made once is there
            by_itself = await left_by(kit.subject, 2)
            with_more = await left_by(kit.subject, 2 + STREAMS)
            nursery.cancel_scope.cancel()
    assert by_itself <= A_COMPONENT
    assert with_more <= by_itself
