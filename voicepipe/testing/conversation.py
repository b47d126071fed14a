"""A caller's half of a conversation: each line once the agent has finished speaking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from voicepipe.audio import level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voicepipe.testing.audiosocket_caller import AudioSocketCaller

QUIET_MS = 800
"""The agent has finished when it was quiet for so long: longer than the pauses between sentences."""


@frozen
class Line:
    """Something for the caller to say."""

    text: str
    """The words."""
    pcm: bytes
    """The same as speech: 16-bit LE mono PCM in the call's rate."""


@frozen
class Spoke:
    """Somebody spoke in a call."""

    who: Literal["caller", "agent"]
    """Which of the two."""
    at_s: float
    """When they began, in s since the call did; of the agent to about 0.1 s."""
    seconds: float
    """How long, pauses between sentences included."""
    level: int
    """How loud: root mean square, 0 to 32767."""
    text: str = ""
    """What was said; empty for the agent, whose words a caller that is a program can't know."""


async def converse(caller: AudioSocketCaller, lines: Iterable[Line], tell: Callable[[Spoke], None]) -> int:
    """Listens until the agent has finished, says the next line, and so on to the end of the reply to the last line.

    Args:
        caller: in a call that is up.
        lines: what to say.
        tell: called when the caller begins to speak, and when the agent has finished.

    Returns:
        How many lines were said. Fewer than there are if the agent hung up.

    """
    said = 0
    for line in lines:
        await _listen(caller, tell)
        if caller.hung_up.is_set():
            return said
        tell(Spoke("caller", caller.seconds, caller.audio.ms_in(len(line.pcm)) / 1000, level(line.pcm), line.text))
        await caller.say(line.pcm)
        said += 1
    await _listen(caller, tell)
    return said


async def _listen(caller: AudioSocketCaller, tell: Callable[[Spoke], None]) -> None:
    pcm = await caller.agent_spoke(quiet_ms=QUIET_MS)
    if pcm:
        seconds = caller.audio.ms_in(len(pcm)) / 1000
        quiet = 0 if caller.hung_up.is_set() else QUIET_MS / 1000
        tell(Spoke("agent", max(0.0, caller.seconds - quiet - seconds), seconds, level(pcm)))
