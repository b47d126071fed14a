"""Recognisers that take audio without waiting: they get it where it is heard, in order, and nothing is lost."""

from functools import partial

import pytest
import trio
import trio.testing
from attrs import define, field
from test_listening import FRAME, PHONE, Ears, hear, run

from voicepipe.calls.listening.listening import Listening
from voicepipe.components.requests import Listen, StreamInput


@define(eq=False, slots=False)
class ReadyEars(Ears):
    """Takes audio without waiting, unless it is busy; notes how each chunk came."""

    busy: bool = False
    error: Exception | None = None
    ways: list = field(factory=list)

    def send_nowait(self, audio):
        if self.error is not None:
            raise self.error
        if self.busy:
            raise trio.WouldBlock
        self.ways.append("at once")
        self.audio += audio

    async def finish(self):
        await trio.lowlevel.checkpoint()

    async def send(self, audio):
        self.ways.append("by the task")
        await super().send(audio)


@pytest.fixture
def ears():
    return ReadyEars(StreamInput(PHONE, 20))


@pytest.fixture
async def listening(ears, nursery):
    listening = Listening(PHONE, 160, lambda _edge: None)
    nursery.start_soon(partial(run, listening, ears))
    await trio.testing.wait_all_tasks_blocked()
    return listening


def numbered(frames):
    """Audio of which each frame is another, and all are silent."""
    return b"".join(bytes([number, 0]) * (FRAME // 2) for number in range(frames))


async def test_each_chunk_is_sent_where_it_is_heard(autojump_clock, ears, listening):
    listening.hear(numbered(1))
    assert bytes(ears.audio) == numbered(1)  # no task has run
    await hear(listening, numbered(20)[FRAME:])
    assert bytes(ears.audio) == numbered(20)
    assert set(ears.ways) == {"at once"}


async def test_what_is_not_taken_is_sent_by_the_task_once_and_in_order(autojump_clock, ears, listening):
    audio = numbered(30)
    await hear(listening, audio[: 10 * FRAME])
    ears.busy = True
    await hear(listening, audio[10 * FRAME : 20 * FRAME])
    ears.busy = False
    await hear(listening, audio[20 * FRAME :])
    assert bytes(ears.audio) == audio
    assert ears.ways == ["at once"] * 10 + ["by the task"] * 10 + ["at once"] * 10


async def test_nothing_overtakes_what_waits(autojump_clock, ears, listening):
    ears.busy, ears.send_s = True, 0.1
    audio = numbered(30)
    listening.hear(audio[:FRAME])
    await trio.sleep(0.01)
    ears.busy = False
    await hear(listening, audio[FRAME:])
    await trio.sleep(10)
    assert bytes(ears.audio) == audio


async def test_an_end_and_other_phrases_come_behind_the_audio_before_them(autojump_clock, ears, listening):
    listening.hear(numbered(1))
    listening.set_expected_phrases(Listen(phrases=("yes",)))
    listening.finalise()
    listening.hear(numbered(2)[FRAME:])
    await trio.testing.wait_all_tasks_blocked()
    assert bytes(ears.audio) == numbered(2)
    assert [what for _, what in ears.log if not isinstance(what, int)] == ["end", Listen(phrases=("yes",))]


async def test_an_error_is_the_recognisers_and_not_the_lines(autojump_clock):
    ears, second = ReadyEars(StreamInput(PHONE, 20), error=ValueError("no")), ReadyEars(StreamInput(PHONE, 20))
    listening = Listening(PHONE, 160, lambda _edge: None)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(run, listening, ears, second))
        await trio.testing.wait_all_tasks_blocked()
        listening.hear(numbered(1))  # raises nothing here
        await trio.testing.wait_all_tasks_blocked()
        listening.hear(numbered(2)[FRAME:])
        await trio.testing.wait_all_tasks_blocked()
        assert bytes(second.audio) == numbered(2)
        nursery.cancel_scope.cancel()
