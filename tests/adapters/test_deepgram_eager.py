"""Flux's early guesses in whole calls: on a server in memory that speaks its wire format."""

from __future__ import annotations

import pytest
import trio
from attrs import evolve
from deepgram_streams import FLUX, open_line
from vendors.deepgram_listen import silence, speech

from voicepipe.adapters.deepgram.stt import stt
from voicepipe.calls.events import ReplyPrepared, ReplyStarted
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.config.call_settings import TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel

THINKS_S = 0.15
"""Less than the server takes from its guess (200 ms of silence) to the end of the turn (400 ms)."""


@pytest.fixture
async def line(monkeypatch, resources):
    async with open_line(monkeypatch, resources) as line:
        yield line


async def held(line, *audio, preemptive=True, **options):
    """A call in which that is said, after a first turn from which the call knows that guesses are made."""
    asked = []

    def answer(request):
        asked.append(request.messages[-1].text)
        return [THINKS_S, TextDelta(f"You said {request.messages[-1].text}."), ReplyDone()]

    async with stt.open(evolve(FLUX, **options), line.resources) as component:
        call = RehearsedCall(
            stt=component,
            llm=ScriptedLanguageModel(answer),
            settings={"greeting": "Hi.", "turns": TurnsSettings(preemptive=preemptive, end_of_turn_ms=2000)},
        )

        async def caller():
            await call.transport.be_silent(1000)
            for piece in (speech("four"), silence(4000), *audio):
                await call.transport.send(piece)
            await call.transport.be_silent(3000)
            await call.transport.hang_up_as_caller()

        with trio.fail_after(60):
            await call.hold(caller)
    return call, asked


def prepared(call):
    """After the first turn."""
    return [(event.used, event.heard) for event in call.told(ReplyPrepared) if event.heard != "Four"]


async def test_a_guess_gives_the_model_a_head_start(autojump_clock, line):
    slow, _ = await held(line, speech("one two three"), preemptive=False, eager_eot_threshold=0.5)
    quick, asked = await held(line, speech("one two three"), eager_eot_threshold=0.5)
    assert line.server.sessions[-1].asked["eager_eot_threshold"] == "0.5"
    assert slow.conversation == quick.conversation
    assert quick.conversation[2:] == [("One two three", "You said One two three.")]
    assert asked[-2:] == ["Four", "One two three"]
    assert (prepared(slow), prepared(quick)) == ([], [(True, "One two three")])
    saved_ms = slow.turns[-1].response_ms - quick.turns[-1].response_ms
    assert saved_ms == pytest.approx(1000 * THINKS_S, abs=25)


async def test_a_guess_that_flux_takes_back_is_discarded(autojump_clock, line):
    said = speech("one two"), silence(200), speech("three")
    call, asked = await held(line, *said, eager_eot_threshold=0.5)
    assert prepared(call) == [(False, "One two"), (True, "One two three")]
    assert asked[-3:] == ["Four", "One two", "One two three"]
    assert call.conversation[2:] == [("One two three", "You said One two three.")]
    assert len(call.told(ReplyStarted)) == 3
