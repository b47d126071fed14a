"""The caller's half of a conversation: each line is said after the agent has finished speaking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import frozen

from voicepipe.audio import level

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voicepipe.testing.caller import Caller

QUIET_MS = 800
"""The silence after which the agent has finished, in ms: longer than its pauses between sentences."""


@frozen
class Line:
    """A line for the caller to say."""

    text: str
    """The words."""
    pcm: bytes
    """The words as speech: 16-bit LE mono PCM in the call's rate."""


@frozen
class Spoke:
    """A stretch of speech in a call."""

    who: Literal["caller", "agent"]
    """The speaker."""
    at_s: float
    """The start of the speech, in s since the call began; for the agent to about 0.1 s."""
    seconds: float
    """The duration, in s, with pauses between sentences."""
    level: int
    """The level: root mean square, 0 to 32767."""
    text: str = ""
    """The words; empty for the agent, whose words are not transcribed."""


async def converse(caller: Caller, lines: Iterable[Line], tell: Callable[[Spoke], None]) -> int:
    """Says each line after the agent has finished speaking, and returns after the reply to the last line.

    Args:
        caller: the caller, in a call that is up.
        lines: the lines to say.
        tell: called when the caller begins to speak, and when the agent has finished.

    Returns:
        The number of lines that were said: fewer than given if the agent hung up.

    """
    count = 0
    for line in lines:
        await _listen(caller, tell)
        if caller.hung_up.is_set():
            return count
        tell(Spoke("caller", caller.seconds, caller.audio.ms_in(len(line.pcm)) / 1000, level(line.pcm), line.text))
        await caller.say(line.pcm)
        count += 1
    await _listen(caller, tell)
    return count


async def _listen(caller: Caller, tell: Callable[[Spoke], None]) -> None:
    pcm = await caller.agent_spoke(quiet_ms=QUIET_MS)
    if pcm:
        seconds = caller.audio.ms_in(len(pcm)) / 1000
        quiet = 0 if caller.hung_up.is_set() else QUIET_MS / 1000
        tell(Spoke("agent", max(0.0, caller.seconds - quiet - seconds), seconds, level(pcm)))
