"""A whole call with local speech: PocketSphinx hears, a script answers, espeak-ng speaks, and the clock is real."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from patience import LONG_S, until

from voicepipe.adapters.espeak import tts as espeak
from voicepipe.adapters.pocketsphinx import stt as pocketsphinx
from voicepipe.adapters.scripted import llm as scripted
from voicepipe.calls.events import TurnEnded
from voicepipe.calls.open_call import open_call
from voicepipe.components.protocols import Resources
from voicepipe.components.values import File
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.speaker import open_speaker
from voicepipe.testing.transport import MemoryTransport

pytest.importorskip("pocketsphinx", reason="the extra `pocketsphinx` is not installed")

SCRIPT = b"""
start: hello
intents:
  "yes": {phrases: ["yes"]}
  "no": {phrases: ["no"]}
  department: {phrases: [sales, billing, support, technical support, accounting]}
  day: {phrases: [monday, tuesday, wednesday, friday]}
states:
  hello: {say: Shall we go on?, expect: [], on: {"yes": {go: department}, "no": {go: bye}}}
  department: {say: Which department?, expect: [], on: {department: {go: day}}}
  day: {say: Which day?, expect: [], on: {day: {go: bye}}}
  bye: {say: Thank you for calling., hang_up: true}
"""
SAYS = ["yes", "support", "monday"]


async def test_each_state_has_its_own_grammar():
    resources = Resources(component="test", threads=trio.CapacityLimiter(4))
    file = File(Path("script.yaml"), SCRIPT)
    # What is heard before the first state says what it expects; later none of it is.
    options = pocketsphinx.PocketsphinxOptions(phrases=("yes", "no"), workers=1)
    transport = MemoryTransport()
    turns: list[TurnEnded] = []

    def observe(event) -> None:
        if isinstance(event, TurnEnded):
            turns.append(event)

    async with (
        open_speaker("en-us") as speaker,
        pocketsphinx.stt.open(options, resources) as stt,
        scripted.llm.open(scripted.ScriptedOptions(file), resources) as llm,
        espeak.tts.open(espeak.EspeakOptions(words_per_minute=250), resources) as tts,
        open_test_pipeline(stt, llm, tts) as pipeline,
    ):
        lines = [await speaker.say(text) for text in SAYS]

        async def call() -> None:
            async with open_call(pipeline, transport, observer=observe) as call:
                await call.run()

        async def quiet() -> None:
            while True:
                await transport.be_silent(20)

        with trio.fail_after(LONG_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call)
                for number, line in enumerate(lines, 1):
                    async with trio.open_nursery() as waiting:
                        waiting.start_soon(quiet)
                        await until(lambda number=number: len(turns) >= number)
                        waiting.cancel_scope.cancel()
                    await transport.send(line)
                nursery.start_soon(quiet)
                await transport.ended.wait()
                nursery.cancel_scope.cancel()
    assert [(turn.heard, turn.said) for turn in turns] == [
        ("", "Shall we go on?"),
        ("yes", "Which department?"),
        ("support", "Which day?"),
        ("monday", "Thank you for calling."),
    ]
