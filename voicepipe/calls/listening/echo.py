"""Echo of the agent's own voice: which of the caller's frames hold nothing else. Sans-IO.

A hands-free telephone, a hybrid or a badly set gateway returns what it was sent, some 20 to 400 ms later and some 10 to
40 dB quieter. A recogniser hears words in it, and voice activity detection hears a caller who interrupts.

Theory of operation
-------------------

No filter is adapted, and no sample is changed. Two levels a frame are compared, the caller's and the agent's: a frame
of the caller's is echo if it is no louder than `limit` times the loudest frame that the agent was heard with in the
last `REACH_MS`. That is one comparison a frame while the agent speaks or has just spoken, and nothing otherwise.

    agent   ....####.##.###......        levels in a ring, by the 20 ms in which each is heard
    caller  .........++++.++.+++.        the same, quieter, `delay_ms` later: echo
                  |--|

`limit` is learned in each call:

- It begins at `UNKNOWN`, -18 dB. Callers are about as loud as the agent; an echo louder than that is rare.
- If less than `limit` comes back during a second of the agent's speech, `limit` falls to 4 dB above the most that came
  back. So on a line without echo a quiet caller is heard over the agent after the first sentence.
- Sound that is louder than `limit`, and lasts long enough to interrupt, is compared with the agent's speech at each
  delay (`explains`). If its level rises and falls as the agent's did, it is echo: `limit` rises to 4 dB above it, and
  from then on only the agent's frames around that delay count. When the agent falls silent, the echo does too, and
  nothing of the caller's answer is taken for it.
- A sound that interrupted a reply and brought no words raises `limit` too (`was_no_caller`).

`limit` never rises above `MOST`: a caller who is nearly as loud as the agent always gets through. An echo that is as
loud as the voice needs an echo canceller, in the gateway. All times are given by the caller; no clock is read here.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from voicepipe.audio import FRAME_MS, level, to_pcm16

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat

REACH_MS: Final = 500
"""The longest delay of an echo, in ms; only one over a satellite is later."""
UNKNOWN: Final = 0.13
"""`limit` at the beginning of a call, as a part of the agent's level: -18 dB."""
LEAST: Final = 0.004
"""`limit` on a line without any echo: -48 dB."""
MOST: Final = 0.5
"""`limit` on a line with the loudest echo that can be told from a caller: -6 dB."""
MARGIN: Final = 1.6
"""The loudness of the next echo relative to the loudest so far, at most: 4 dB."""
ALIKE: Final = 0.75
"""The least correlation of two series of levels of which one is the other's echo."""
QUIET: Final = 100
"""The level, of 32767, below which nothing is learned from the agent's frames: -50 dBFS."""

_FRAME_S = FRAME_MS / 1000
_REACH = REACH_MS // FRAME_MS  # frames
_RING = _REACH + 7  # frames; also those that are written ahead of time
_LEARN = 50  # frames of the agent's speech: a second
_COMPARED = 40  # the most of the caller's frames that are compared with the agent's: 800 ms
_ENOUGH = 12  # the least


class EchoGuard:
    """Tells echo of the agent from the caller's voice, and learns the line's echo from both.

    Args:
        audio: the call's format, both ways.

    """

    def __init__(self, audio: AudioFormat) -> None:
        self._encoding = audio.encoding
        self.limit = UNKNOWN
        """The part of the agent's level up to which a frame of the caller's is taken for echo."""
        self.delay_ms: int | None = None
        """The delay of the echo, in ms; None until one was recognised."""
        self._ring = [0] * _RING  # the agent's levels, by the 20 ms in which each is heard
        self._latest = 0  # the latest of these slots of 20 ms that the ring has
        self._until = -1.0  # from when on nothing of what was played can come back
        self._agent: deque[int] = deque(maxlen=_COMPARED + _REACH)  # levels, oldest first
        self._caller: deque[int] = deque(maxlen=_COMPARED)
        self._most = 0.0  # the most that came back in this second of the agent's speech
        self._learned = 0  # frames of this second

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format of the call's audio, both ways, from now on."""
        self._encoding = audio.encoding

    def played(self, heard_at_s: float, frame: bytes) -> None:
        """Notes a frame of the agent's.

        Args:
            heard_at_s: when the frame begins to sound on the line, on the clock of `is_echo`.
            frame: up to 20 ms in the call's format.

        """
        loudness = level(frame if self._encoding == "pcm16" else to_pcm16(frame, self._encoding))
        slot = int(heard_at_s / _FRAME_S)
        if slot > self._latest:
            self._forget_to(slot)
        self._ring[slot % _RING] = loudness
        if heard_at_s >= self._until:  # after a silence longer than any echo
            self._agent.clear()
            self._caller.clear()
        self._until = heard_at_s + (_REACH + 2) * _FRAME_S

    def is_echo(self, now_s: float, frame: bytes) -> bool:
        """Judges a frame of the caller's: True if it holds nothing but the agent's own voice.

        While the agent is silent, and has been for `REACH_MS`, nothing is compared and everything is the caller's.
        """
        if now_s >= self._until:
            return False
        loudness = level(frame if self._encoding == "pcm16" else to_pcm16(frame, self._encoding))
        slot = int(now_s / _FRAME_S)
        if slot > self._latest:
            self._forget_to(slot)
        ring = self._ring
        self._agent.append(ring[slot % _RING])
        self._caller.append(loudness)
        loudest = max(ring)
        if loudest > QUIET:
            self._learn(loudness / loudest)
        if self.delay_ms is not None:
            back = slot - self.delay_ms // FRAME_MS
            loudest = max(ring[near % _RING] for near in range(back - 3, back + 3))
        return loudness <= self.limit * loudest

    def explains(self) -> bool:
        """Compares the latest frames of the caller's with the agent's, at each delay, in about 0.3 ms.

        It is called when speech has lasted long enough to interrupt.

        Returns:
            True: the sound rises and falls as the agent's voice did, so it is echo; `limit` and `delay_ms` are set.

        """
        if len(self._caller) < _ENOUGH:
            return False
        import numpy as np  # noqa: PLC0415 - loaded by then, when a pipeline was opened

        caller = np.sqrt(np.array(self._caller, dtype=np.float32))
        agent = np.sqrt(np.array(self._agent, dtype=np.float32))
        agent = np.concatenate([np.zeros(max(0, len(caller) + _REACH - len(agent)), np.float32), agent])
        likeness, at = 0.0, 0
        varied = caller - caller.mean()
        for delay in range(_REACH + 1):
            part = agent[len(agent) - delay - len(caller) : len(agent) - delay]
            centred = part - part.mean()
            power = float(varied @ varied) * float(centred @ centred)
            correlation = float(varied @ centred) / power**0.5 if power else 0.0
            if correlation > likeness:
                likeness, at = correlation, delay
        if likeness < ALIKE:
            return False
        part = agent[max(0, len(agent) - at - len(caller)) : len(agent) - at]
        near = np.maximum(part, np.maximum(np.append(part[1:], 0), np.insert(part[:-1], 0, 0)))
        loud = near**2 > QUIET
        gain = float(np.max((caller[loud] / near[loud]) ** 2, initial=0))
        if gain > MOST:
            return False
        self.limit = min(MOST, max(self.limit, MARGIN * gain))
        self.delay_ms = at * FRAME_MS
        return True

    def was_no_caller(self) -> None:
        """Learns from a sound that interrupted the agent and brought no words: sound as loud as that is no caller."""
        loudest = max(self._agent, default=0)
        if loudest > QUIET:
            self.limit = min(MOST, max(self.limit, MARGIN * max(self._caller, default=0) / loudest))

    def _learn(self, returned: float) -> None:
        self._most = max(self._most, returned)
        self._learned += 1
        if self._learned == _LEARN:
            if self._most <= self.limit:
                self.limit = max(LEAST, min(self.limit, MARGIN * self._most))
            self._most, self._learned = 0.0, 0

    def _forget_to(self, slot: int) -> None:
        """Moves the ring on to a slot; the slots in between were silent."""
        if slot - self._latest >= _RING:
            self._ring = [0] * _RING
        else:
            for between in range(self._latest + 1, slot + 1):
                self._ring[between % _RING] = 0
        self._latest = slot
