"""Apologies that are spoken beforehand: by whom, how often, and what is said when they can't be."""

from __future__ import annotations

import pytest
import trio
from flaky import FlakyTts, Trouble, read_back
from recording import RecordedSet, pipeline

from voicepipe.pipelines.apology import SYNTHESIS_S

SAY = {"on_failure": {"say": "sorry."}}


class Voices(RecordedSet):
    """A set with these voices, by id."""

    def __init__(self, directory, **voices):
        super().__init__(directory)
        self.voices = voices

    def serve(self, **settings):
        self.components = {f"tts {name}": voice for name, voice in self.voices.items()}
        return super().serve(**settings)


@pytest.fixture
def of(tmp_path):
    return lambda **voices: Voices(tmp_path, **voices)


def heard(pipelines, name="default"):
    recorded = pipelines.current.pipelines[name].apology
    return recorded and read_back(recorded.audio, recorded.format.rate)


async def test_it_is_spoken_when_the_version_opens(autojump_clock, of):
    recorded = of(a=FlakyTts())
    recorded.write(default=pipeline(**SAY))
    async with recorded.serve() as pipelines:
        assert heard(pipelines) == "sorry."
        assert pipelines.current.active.apology.text == "sorry."
        assert recorded.voices["a"].texts == ["sorry."]


async def test_equal_ones_are_spoken_once_whoever_shares_them(autojump_clock, of):
    recorded = of(a=FlakyTts())
    other = {"on_failure": {"say": "pardon."}}
    recorded.write(
        default=pipeline(**SAY),
        second=pipeline(llm="b", selectable=True, **SAY),
        third=pipeline(selectable=True, **other),
    )
    async with recorded.serve() as pipelines:
        assert [heard(pipelines, name) for name in ("default", "second", "third")] == ["sorry.", "sorry.", "pardon."]
        assert sorted(recorded.voices["a"].texts) == ["pardon.", "sorry."]
        await recorded.rewrite(pipelines, default=pipeline(llm="c", **SAY))
        assert heard(pipelines) == "sorry."
        assert len(recorded.voices["a"].texts) == 2


@pytest.mark.parametrize("how", ["open", "fail", "end"])
async def test_the_first_voice_that_can_speak_does(autojump_clock, of, how):
    recorded = of(a=FlakyTts([Trouble(how)]), b=FlakyTts(second=True))
    recorded.write(default=pipeline(tts=["a", "b"], **SAY))
    async with recorded.serve() as pipelines:
        assert heard(pipelines) == "SORRY."
        assert pipelines.last_attempt is None or pipelines.last_attempt.plan.degraded == ()


async def test_a_voice_that_stalls_keeps_nobody_for_long(autojump_clock, of):
    recorded = of(a=FlakyTts([Trouble("stall", 60)]), b=FlakyTts(second=True))
    recorded.write(default=pipeline(tts=["a", "b"], **SAY))
    began = trio.current_time()
    async with recorded.serve() as pipelines:
        assert heard(pipelines) == "SORRY."
        assert trio.current_time() - began == pytest.approx(SYNTHESIS_S, abs=0.5)


async def test_without_one_the_version_serves_and_says_so(autojump_clock, of):
    recorded = of(a=FlakyTts(), b=FlakyTts([Trouble("fail")] * 9))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(tts="b", **SAY))
        assert heard(pipelines) is None
        (problem,) = outcome.plan.degraded
        assert problem.path == "pipelines.default.on_failure.say"
        assert problem.message == "the apology can't be spoken beforehand: recorded: broke"


async def test_who_says_nothing_records_nothing(autojump_clock, of):
    recorded = of(a=FlakyTts())
    recorded.write(default=pipeline(on_failure={"say": ""}))
    async with recorded.serve() as pipelines:
        assert heard(pipelines) is None
        assert recorded.voices["a"].texts == []
