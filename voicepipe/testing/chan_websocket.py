"""Asterisk's `chan_websocket` without I/O or clock: what it does with the messages that an engine sends.

It was written from captures of Asterisk 22.10.1, which a test replays through it: the queue that is played a frame
every 20 ms, flow control, what is dropped without a word, marks, flushing, and what closes the connection.
"""

from __future__ import annotations

import json
from collections import deque
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from voicepipe.audio import FRAME_MS
from voicepipe.transports.asterisk_websocket.wire_format import (
    FORMATS,
    MAX_QUEUED_FRAMES,
    MAX_TEXT_BYTES,
    XOFF_FRAMES,
    XON_FRAMES,
    audio_format,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MOST_BYTES: Final = 65_531
"""The longest binary message that is taken; a longer one closes the connection."""
TOO_BIG: Final = 1009
"""The close code after a binary message that is too long."""
NORMAL: Final = 1000
"""The close code after HANGUP, and when the caller hangs up."""
GOING_AWAY: Final = 1001
"""The close code after any Close frame of the engine's."""


class ChanWebSocket:
    """The Asterisk's side of one connection.

    Its `events` are texts for the engine, in order; who moves them to the engine takes them from the list.

    Args:
        audio_format: Asterisk's name of the format: `slin`, `slin16`, `ulaw`.
        as_json: whether events and commands are JSON.
        variables: the channel variables that `MEDIA_START` has; only with JSON.
        connection_id: the section of websocket_client.conf.
        channel_id: the unique ID of the WebSocket's channel; by default a new one.

    """

    def __init__(
        self,
        format_name: str = "slin",
        *,
        as_json: bool = True,
        variables: Mapping[str, str] | None = None,
        connection_id: str = "engine",
        channel_id: str = "",
    ) -> None:
        self.format_name, self.as_json = format_name, as_json
        self.variables = dict(variables or {})
        self.connection_id = connection_id
        self.channel_id = channel_id or f"test-{uuid4()}"
        self.frame_bytes = audio_format(format_name).bytes_in(FRAME_MS) if format_name in FORMATS else 160
        """The size of a frame, in bytes."""
        self.events: list[str] = []
        """Texts that are to be sent to the engine."""
        self.closed: int | None = None
        """The close code with which Asterisk ends the connection; None: it is up."""
        self.dropped_bytes = 0
        """Audio that was dropped because the queue was full, or because it was no whole frame, in bytes."""
        self.flushed_frames = 0
        """Frames that `FLUSH_MEDIA` has dropped."""
        self.ignored: list[str] = []
        """Texts that had no effect: too long, unknown, or not in the form that this side uses."""
        self.paused = False
        """Whether `PAUSE_MEDIA` holds."""
        self._queue: deque[bytes | str] = deque()  # frames, and events that come after them
        self._frames = 0  # in the queue
        self._full = self._buffering = self._report_drained = False
        self._leftover = b""

    @property
    def queued_frames(self) -> int:
        """The frames that wait to be played."""
        return self._frames

    def start(self) -> str:
        """Returns the text of `MEDIA_START`."""
        values: dict[str, object] = {
            "connection_id": self.connection_id,
            "channel": f"WebSocket/{self.connection_id}/0x7f8b08008750",
            "channel_id": self.channel_id,
            "format": self.format_name,
            "optimal_frame_size": self.frame_bytes,
            "ptime": FRAME_MS,
        }
        if self.as_json:
            values["channel_variables"] = {
                **self.variables,
                "MEDIA_WEBSOCKET_CONNECTION_ID": self.connection_id,
                "MEDIA_WEBSOCKET_OPTIMAL_FRAME_SIZE": str(self.frame_bytes),
            }
        return self._event("MEDIA_START", values)

    def digit(self, digit: str) -> str:
        """Returns the text of a key's release."""
        return self._event("DTMF_END", {"digit": digit, "channel_id": self.channel_id})

    def take(self, message: bytes | str) -> None:
        """Takes a message of the engine's."""
        if self.closed is not None:
            return
        if isinstance(message, str):
            if not 0 < len(message.encode()) <= MAX_TEXT_BYTES:
                self.ignored.append(message)
            else:
                self._obey(message.strip())
        elif len(message) > MOST_BYTES:
            self.closed = TOO_BIG
        elif self._frames >= MAX_QUEUED_FRAMES:
            self.dropped_bytes += len(message)
        else:
            self._queue_audio(message)

    def take_close(self) -> None:
        """Takes a Close frame of the engine's, whatever its code."""
        if self.closed is None:
            self.closed = GOING_AWAY

    def tick(self) -> bytes:
        """Plays the next 20 ms: returns a frame, or b"" for silence."""
        if self.paused:
            return b""
        if self._full and self._frames < XON_FRAMES:
            self._full = False
            self._emit("MEDIA_XON")
        if not self._queue and self._report_drained:
            self._report_drained = False
            self._emit("QUEUE_DRAINED")
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, bytes):
                self._frames -= 1
                return item
            self.events.append(item)
        return b""

    def _queue_audio(self, audio: bytes) -> None:
        size = self.frame_bytes
        audio = self._leftover + audio
        whole = len(audio) - len(audio) % size
        for at in range(0, whole, size):
            self._queue_frame(audio[at : at + size])
        self._leftover = audio[whole:] if self._buffering else b""
        if not self._buffering:
            self.dropped_bytes += len(audio) - whole

    def _queue_frame(self, frame: bytes) -> None:
        self._queue.append(frame)
        self._frames += 1
        if not self._full and self._frames >= XOFF_FRAMES:
            self._full = True
            self._emit("MEDIA_XOFF")

    def _obey(self, text: str) -> None:
        command, correlation_id = text, ""
        if self.as_json:
            try:
                values = json.loads(text)
            except ValueError:
                self._emit("ERROR", error_text="Unable to parse JSON command")
                return
            command, correlation_id = values.get("command"), values.get("correlation_id", "")
        else:
            command, _, correlation_id = text.partition(" ")
        obey: dict[str, Callable[[], object]] = {
            "ANSWER": lambda: None,
            "HANGUP": self._hang_up,
            "START_MEDIA_BUFFERING": lambda: self._set_buffering(on=True),
            "STOP_MEDIA_BUFFERING": lambda: self._complete_buffering(correlation_id),
            "MARK_MEDIA": lambda: self._queue_event("MEDIA_MARK_PROCESSED", correlation_id),
            "FLUSH_MEDIA": self._flush,
            "REPORT_QUEUE_DRAINED": self._report_when_drained,
            "GET_STATUS": self._emit_status,
            "PAUSE_MEDIA": lambda: self._set_paused(on=True),
            "CONTINUE_MEDIA": lambda: self._set_paused(on=False),
        }
        obey.get(command, lambda: self.ignored.append(text))()

    def _hang_up(self) -> None:
        self.closed = NORMAL

    def _set_paused(self, *, on: bool) -> None:
        self.paused = on

    def _set_buffering(self, *, on: bool) -> None:
        self._buffering = on

    def _complete_buffering(self, correlation_id: str) -> None:
        self._buffering = False
        if self._leftover:  # played as a short frame, filled up with silence
            self._queue_frame(self._leftover)
            self._leftover = b""
        self._queue_event("MEDIA_BUFFERING_COMPLETED", correlation_id)

    def _flush(self) -> None:
        self.flushed_frames += self._frames
        self._queue.clear()
        self._frames, self._buffering, self._leftover = 0, False, b""

    def _report_when_drained(self) -> None:
        self._report_drained = True

    # --- Texts ---------------------------------------------------------------------------------------------------

    def _emit(self, name: str, **values: object) -> None:
        if self.as_json or values:
            values = {"channel_id": self.channel_id, **values}
        self.events.append(self._event(name, values))

    def _emit_status(self) -> None:
        self._emit(
            "STATUS",
            queue_length=self._frames,
            xon_level=XON_FRAMES,
            xoff_level=XOFF_FRAMES,
            queue_full=self._full,
            bulk_media=self._buffering,
            media_paused=self.paused,
        )

    def _queue_event(self, name: str, correlation_id: str) -> None:
        """Queues an event that is sent when all before it has been played."""
        text = f"{name} {correlation_id}" if correlation_id else name
        if self.as_json:
            text = self._event(name, {"channel_id": self.channel_id, "correlation_id": correlation_id})
        self._queue.append(text)

    def _event(self, name: str, values: Mapping[str, object]) -> str:
        if self.as_json:
            return json.dumps({"event": name, **values}, separators=(",", ":"))
        return " ".join([name, *(f"{key}:{_plain(value)}" for key, value in values.items())])


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
