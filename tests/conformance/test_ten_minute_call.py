"""A call in memory costs what happens in it, not what it lasts."""

from __future__ import annotations

import trio

from voicepipe.testing import RehearsedCall, ScriptedSpeechToText
from voicepipe.testing.conformance.cancelling import Steps

EXCHANGES = 60
A_SECOND = 50
"""Frames."""


class _AllSteps(Steps):
    """Counts what all tasks do."""

    def task_spawned(self, task):
        self._tasks.add(task)


async def test_ten_minutes_are_counted_not_waited_for(autojump_clock):
    call = RehearsedCall(stt=ScriptedSpeechToText(["yes"] * EXCHANGES))

    async def caller():
        await call.transport.be_silent(3000)
        for _ in range(EXCHANGES):
            await call.transport.say(700)
            await call.transport.be_silent(9300)
        await call.transport.hang_up_as_caller()

    steps = _AllSteps()
    trio.lowlevel.add_instrument(steps)
    await call.hold(caller)
    assert round(trio.current_time()) == 603
    assert call.conversation == [("", "I see."), *[("yes", "I see.")] * EXCHANGES]
    frames = len(call.transport.written)
    assert frames == (1 + EXCHANGES) * len("I see.") * 3  # 60 ms a character
    # A step for each of the caller's frames, each of the agent's, and a little for each exchange: nothing that waits
    # by looking again and again.
    assert steps.count < 2 * (603 * A_SECOND + frames) + 100 * EXCHANGES
