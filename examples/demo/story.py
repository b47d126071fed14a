"""What happens: four calls, and three reloads while they are up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio
from attrs import frozen

from examples.demo.calls import ANSWER_S, place_call
from examples.demo.cast import FOUR, ONE, THREE, TWO, Part
from examples.demo.engine import Record
from examples.demo.operator import Change, edit, place_of, reload, rewrite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from examples.demo.calls import Call
    from examples.demo.engine import Engine
    from examples.demo.screen import Screen

SWITCH: Final = (Change("active_pipeline: default", "active_pipeline: after_hours"),)
"""Another pipeline answers."""
MISTAKES: Final = (Change("voice: en-us", "voice: en-uk"), Change("voice: en-gb+f3", "vocie: en-gb+f3"))
"""A voice that there is not, and a slip of the fingers."""
WRONG: Final = ("en-uk", "vocie")
"""What the cursor should be put on."""


@frozen
class Reloads:
    """What came of each, as the engine's log tells it."""

    switch: Record
    broken: Record
    mended: Record
    mistakes: tuple[tuple[int, int], ...]
    """Where the mistakes of the broken edit are: line and column of the wrong word."""


async def tell_story(calls: Mapping[Part, Call], engine: Engine, screen: Screen, output: Path) -> Reloads:
    """Plays it, in real time; returns when all calls are over."""

    async def place(part: Part, *, task_status: trio.TaskStatus[Call] = trio.TASK_STATUS_IGNORED) -> None:
        await place_call(calls[part], engine, screen, output, task_status=task_status)

    screen.heading("1. A call is answered by the pipeline that the YAML makes active")
    await place(ONE)

    async with trio.open_nursery() as up:
        screen.heading("2. The YAML is edited and reloaded while a call is up: the next call gets another pipeline")
        two = await up.start(place, TWO)
        await engine.log.wait_for("call.turn", within_s=ANSWER_S * 2, call_id=two.started["call_id"])
        screen.event("operator", "edits", str(engine.file))
        screen.block(edit(engine.file, SWITCH))
        switch = await reload(engine, screen)
        await up.start(place, THREE)
        await two.over.wait()

        screen.heading("3. A broken edit is refused at its line and column, and calls go on")
        good = engine.file.read_text(encoding="utf-8")
        screen.event("operator", "edits", str(engine.file))
        screen.block(edit(engine.file, MISTAKES))
        mistaken = engine.file.read_text(encoding="utf-8")
        broken = await reload(engine, screen)
        four = await up.start(place, FOUR)
        await engine.log.wait_for("call.turn", within_s=ANSWER_S * 2, call_id=four.started["call_id"])
        screen.event("operator", "edits", f"{engine.file}, back to what it was")
        rewrite(engine.file, good)
        mended = await reload(engine, screen)
    return Reloads(switch, broken, mended, tuple(place_of(word, mistaken) for word in WRONG))
