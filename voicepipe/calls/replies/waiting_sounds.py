"""Decides when a caller who waits hears a sound: a ringing tone before the first words, music during tools.

| the caller waits for | sound | begins | ends |
| --- | --- | --- | --- |
| the agent's first words | `ringback` | `after_ms` after the call was answered | with the words, or after `most_s` |
| a tool | `hold` | `after_ms` after it began, or after the reply or filler that was spoken last | with the next words |
| a transfer that rings | `hold` | at once | when the transfer is over, or with the next words |

Playout stops the sound with the first audio of speech, and plays it after speech where both are due. If the tools have
ended and no words come, it ends after `TAIL_S`. Nothing here counts as a reply, so it can't be interrupted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from voicepipe.audio import Sound
    from voicepipe.calls.replies.playout import Playout
    from voicepipe.clock.timers import Timers
    from voicepipe.pipelines.snapshot import Pipeline

TAIL_S: Final = 10.0
"""How long the sound goes on after the last tool has ended, in s, if no words follow."""


class WaitingSounds:
    """Starts and stops the sounds beside speech of one call.

    Args:
        playout: plays them.
        pipeline: has the sounds and their settings.
        timers: calls `fire`.

    """

    def __init__(self, playout: Playout, pipeline: Pipeline, timers: Timers) -> None:
        self._playout, self._timers = playout, timers
        self._sounds = pipeline.sounds
        hold, ringback = pipeline.settings.hold, pipeline.settings.ringback
        self._hold_s = 0.0 if hold is None else hold.after_ms / 1000
        self._ringback_s, self._most_s = (0.0, 0.0) if ringback is None else (ringback.after_ms / 1000, ringback.most_s)
        self._next: Sound | None = None  # what the timer begins; None: it ends what is played
        self._speaking = self._transferring = self._closed = False

    def begin(self) -> None:
        """Takes notice that the call is up."""
        if self._sounds.noise is not None:
            self._playout.play_background(None)
        if self._sounds.ringback is not None:
            self._set(self._ringback_s, self._sounds.ringback)

    def speech_began(self) -> None:
        """Takes notice of the first audio of a reply."""
        self._speaking = True
        self._timers.remove(self)

    def reply_ended(self, *, tools_run: bool) -> None:
        """Takes notice of the end of a reply, whether it was heard or not; `tools_run`: the caller waits for tools."""
        self._speaking = False
        self.tools_changed(tools_run)
        if not tools_run and self._sounds.hold is not None:
            self._end()

    def tools_changed(self, run: bool) -> None:
        """Takes notice that tools have begun, or that the last one has ended and a reply to it is made."""
        if self._sounds.hold is None or self._transferring:
            return
        if run:
            self._set(self._hold_s, self._sounds.hold)
        else:
            self._set(TAIL_S, None)

    def transfer_began(self) -> None:
        """Takes notice that the caller waits for somebody to take a transfer."""
        if self._sounds.hold is not None:
            self._transferring = True
            self._timers.remove(self)
            self._playout.play_background(self._sounds.hold)

    def transfer_ended(self) -> None:
        """Takes notice that the transfer is over; no-op if none was."""
        if self._transferring:
            self._transferring = False
            if not self._closed:
                self._end()

    def close(self) -> None:
        """Begins nothing any more: the call is over."""
        self._closed = True
        self._timers.remove(self)

    def fire(self) -> None:
        """Begins or ends the sound that is due."""
        sound = self._next
        if not self._speaking:
            self._playout.play_background(sound)
            if sound is not None and sound is self._sounds.ringback:
                self._set(self._most_s, None)

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes an exception of `fire`: it ends the call."""
        self._playout.fail(error)

    def _end(self) -> None:
        self._timers.remove(self)
        self._playout.play_background(None)

    def _set(self, after_s: float, sound: Sound | None) -> None:
        if not self._closed:
            self._next = sound
            self._timers.set(self, trio.current_time() + after_s)
