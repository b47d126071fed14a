"""One call of the demonstration: placed over TCP, spoken by a synthetic voice, recorded, and told from both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import trio
from attrs import define, field

from examples.demo.cast import Part
from examples.demo.engine import Record
from examples.demo.failure import DemoFailed
from voicepipe.testing.audiosocket_caller import open_audiosocket_call, write_stereo_wav
from voicepipe.testing.conversation import Line, Spoke, converse

if TYPE_CHECKING:
    from pathlib import Path

    from examples.demo.engine import Engine
    from examples.demo.screen import Screen
    from voicepipe.testing.speaker import Speaker

ANSWER_S: Final = 30.0
"""How long the engine may take to answer."""
CALL_S: Final = 180.0
"""How long a call may last."""
HANG_UP_S: Final = 30.0
"""How long after its last reply the agent may take to hang up; and how long the log may take to say so."""


@define(eq=False)
class Call:
    """A call, as the caller heard it and as the engine's log tells it."""

    part: Part
    """What should be said."""
    lines: tuple[Line, ...]
    """The caller's words as speech."""
    uuid: str = field(factory=lambda: str(uuid4()))
    """AudioSocket's UUID, which the log's `call.started` ties to the engine's own ID."""
    spoke: list[Spoke] = field(factory=list)
    """Who spoke when, as the caller heard it."""
    how: str = ""
    """How it ended for the caller."""
    started: Record = field(factory=dict)
    """The log's `call.started`."""
    turns: list[Record] = field(factory=list)
    """The log's `call.turn` records."""
    ended: Record = field(factory=dict)
    """The log's `call.ended`."""
    over: trio.Event = field(factory=trio.Event)
    """Set when all of this is known."""

    @property
    def name(self) -> str:
        """What people call it."""
        return self.part.name

    @property
    def file_name(self) -> str:
        """What its files are called, without a suffix."""
        return self.name.replace(" ", "-")

    def tell(self, record: Record, screen: Screen) -> None:
        """Takes in a record of the log that is about this call, and shows it."""
        match record["event"]:
            case "call.started":
                self.started = record
                parts = (record[role] for role in ("stt", "llm", "tts"))
                chain = ", ".join(f"{part['adapter']} {part['model']}" for part in parts)
                screen.event(self.name, "answered", f"by {record['pipeline']}, version {record['version']}", "good")
                screen.block([f"({chain})"], "faint", indent=28)
            case "call.turn":
                self.turns.append(record)
                if record["heard"]:
                    after_ms = record["response_ms"]
                    then = "and did not reply" if after_ms is None else f"and replied after {after_ms:.0f} ms"
                    screen.event(self.name, "heard", f'"{record["heard"]}", {then}', "faint")
                screen.event(self.name, "agent", record["said"], "agent")
            case "call.ended":
                self.ended = record
                ended = f"{record['outcome']} after {record['duration_s']:.1f} s, on version {self.started['version']}"
                screen.event(self.name, "ended", ended, "good")
            case event:
                screen.event(self.name, event.rpartition(".")[2], str(record), "bad")

    def spoken(self, spoke: Spoke, screen: Screen) -> None:
        """Takes in that somebody spoke; what the agent said is shown when the log tells the words."""
        self.spoke.append(spoke)
        if spoke.who == "caller":
            screen.event(self.name, "caller", spoke.text, "caller")


async def place_call(
    call: Call,
    engine: Engine,
    screen: Screen,
    output: Path,
    *,
    task_status: trio.TaskStatus[Call] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Holds a call from the dialling to the end, and writes its recording; started when it was answered.

    Raises:
        DemoFailed: it was not answered, or did not end.

    """
    host, port = engine.address
    screen.event(call.name, "rings", f"AudioSocket to {host}:{port}", "faint")
    try:
        with trio.fail_after(CALL_S):
            async with open_audiosocket_call(host, port, call_id=UUID(call.uuid)) as caller:
                try:
                    await engine.log.wait_for("call.started", within_s=ANSWER_S, transport_id=call.uuid)
                    task_status.started(call)
                    await converse(caller, call.lines, lambda spoke: call.spoken(spoke, screen))
                    with trio.move_on_after(HANG_UP_S):
                        await caller.hung_up.wait()
                    await caller.hang_up()
                    call.how = caller.how
                finally:
                    write_stereo_wav(output / f"{call.file_name}.wav", *caller.recording(), caller.audio.rate)
    except trio.TooSlowError as slow:
        raise DemoFailed(f"{call.name} did not end within {CALL_S:g} s") from slow
    except OSError as error:
        raise DemoFailed(f"{call.name} could not be placed: {error}") from error
    await engine.log.wait_for("call.ended", within_s=HANG_UP_S, transport_id=call.uuid)
    call.over.set()


async def rehearse(part: Part, speaker: Speaker) -> Call:
    """The call that is to be, with all that the caller will say."""
    return Call(part, tuple([Line(each.say, await speaker.say(each.say)) for each in part.exchanges]))
