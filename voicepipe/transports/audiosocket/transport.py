"""One AudioSocket connection as the transport of a call.

Theory of operation
===================

Asterisk connects once for each call. It sends the call's UUID, then a frame of audio about every 20 ms, and plays
whatever audio it gets, at once. Either side ends the call: with a frame that says so, or by closing the connection.
`wire_format` takes frames apart, `audio` determines the rate of the caller's audio, `sending` writes whole frames.
This module is what lies between them: the state of the connection, and who may do what in it.

The states::

    identifying --- the UUID came ------------------> open
    identifying, open --- Asterisk ended the call --> ended
    identifying, open --- `fail` was called --------> failed
    identifying, open, failed --- `hang_up` --------> leaving --- Asterisk closed, or `DRAIN_S` is over --> closed
    ended --- `hang_up` ----------------------------> closed
    any state --- `close` --------------------------> closed

A connection moves along an arrow and never back. The event `_delivered` is set when it leaves `identifying` and `open`,
and `_closed` when it is `closed`: tasks wait for these two events, and every decision looks at the state.

===========  =====================  ==================  ====================================================
state        who reads the socket   `write`             `hang_up` and `refuse`
===========  =====================  ==================  ====================================================
identifying  `identify`             sends               send their frame, shut down this side, drain, close
open         `answer`, then `run`   sends               as in `identifying`
ended        nobody                 sends, in vain      close: there is nobody to say goodbye to
failed       nobody                 sends               as in `identifying`
leaving      the drain, discarding  drops the frame     wait until the connection is closed
closed       nobody                 drops the frame     return
===========  =====================  ==================  ====================================================

Receiving. The listener's task of the connection calls `answer` (or only `identify`, to refuse the call), which reads
until the UUID and the first audio are there; `EarlyAudio` keeps that audio. Then the call calls `run`, which replays
what was kept, adds the socket to the hub, and sleeps until `_delivered`. From then on the hub calls `receive` in its
own task whenever the socket is readable, and frames go straight to the call's sink. When `run` wakes, it raises the
error of `fail` if there was one; else it calls the sink's `hung_up` if the state is `ended`, and nothing if this side
hung up.

The format. `_check` examines audio until its rate is certain, which may be long after the call is up, since a muted
caller sends nothing. Until then `_kind_in` matches no frame, and audio goes through `_handle`. After that, a frame
of the known kind costs one comparison.

The end of a call:

- *Asterisk ends it* with a hang-up frame, an error frame, the end of the stream (it closed, or shut down its sending
  side) or a reset. All four lead to `ended`, each with its own reason for the log. A half-closed connection is not kept
  for what could still be sent: nobody would hear it.
- *Something raises*: the peer violates the protocol, or the sink has a defect. `receive` raises it. In `answer` it goes
  to the listener directly; under the hub it comes back as a call of `fail`, and `run` raises it. Asterisk is still
  there in both cases, so it gets a goodbye.
- *This side hangs up.* The goodbye must reach Asterisk whole, or the dialplan learns nothing. So the rest of an
  unfinished frame and the goodbye are sent under a shield, for at most `GOODBYE_S`. Then this side is shut down, and
  what Asterisk still sends is read and discarded until it closes too, for at most `DRAIN_S`: to close a socket with
  unread data resets the connection, the reset may overtake the goodbye, and Asterisk then drops the caller.

A full socket. `write` returns False if the kernel takes nothing of a frame; playout keeps that frame and waits in
`wait_writable`. If the kernel takes a part, `write` returns True, and a task in the listener's nursery sends the rest
as soon as there is room, since Asterisk drops a call whose frames come in pieces. An error of it ends only this call.

Silence. The listener counts up `frames_without_write` of each call, and calls `write_silence` at `GAP_FRAMES`.
`receive` and `write` run 50 times a second each: no object, log, lock, scope or task switch for a frame.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

import trio
from attrs import evolve

from voicepipe.audio import FRAME_MS, AudioFormat
from voicepipe.components.requests import CallInfo
from voicepipe.errors import TransportError
from voicepipe.nurseries import defect_of
from voicepipe.transports.audiosocket.audio import AudioCheck
from voicepipe.transports.audiosocket.early_audio import EarlyAudio
from voicepipe.transports.audiosocket.refusing import reset_when_closed
from voicepipe.transports.audiosocket.sending import FrameSender
from voicepipe.transports.audiosocket.wire_format import (
    DTMF_DIGITS,
    ERROR,
    HANGUP,
    KIND_DTMF,
    KIND_ERROR,
    KIND_HANGUP,
    KIND_UUID,
    RATES,
    Decoder,
    encode_audio,
)

if TYPE_CHECKING:
    from voicepipe.transports.audiosocket.refusing import WhenFull
    from voicepipe.transports.hub import Hub
    from voicepipe.transports.protocol import CallSink, Capability

ConnectionState: TypeAlias = Literal["identifying", "open", "ended", "failed", "leaving", "closed"]
"""The state of a connection; the theory of operation above has the transitions."""

FIRST_AUDIO_S: Final = 0.2
"""The longest wait for the first audio, which tells the rate, in s; a muted caller sends none."""
GAP_FRAMES: Final = 3
"""The longest pause between two frames to Asterisk, in frames: 60 ms. Silence is written after it.

Asterisk serves both directions of a call in one thread: while that waits for a frame, the caller's audio is late
(asterisk issue 2089). `AudioSocket()` also drops a call on which neither side sends anything for 2.0 s.
"""
GOODBYE_S: Final = 0.5
"""The time in which a hang-up sends the rest, even when it is cancelled, in s."""
DRAIN_S: Final = 2.0
"""The time for which a hang-up then waits for the other side to close, in s."""


class AudioSocketTransport:
    """A caller behind Asterisk's AudioSocket; made by a listener, which hangs up when the call's handler returns.

    A transfer ends this leg, and the dialplan goes on with the step after AudioSocket().
    """

    pacing: Literal["ours"] = "ours"
    can: frozenset[Capability] = frozenset({"transfer"})

    def __init__(
        self,
        connection: socket.socket,
        nursery: trio.Nursery,
        hub: Hub,
        buffer: memoryview,
        *,
        listener: str,
        rate: int,
        when_full: WhenFull = "close_listener",
    ) -> None:
        """Takes over a connected, non-blocking socket.

        Args:
            connection: the socket; nothing is read or written before a method is called.
            nursery: runs the completion of a frame of which the kernel took a part.
            hub: calls `receive` when there is something to read, once `run` was called.
            buffer: reads go into it. All transports of a thread may share it: its content is used before the next
                `await`.
            listener: the name for `CallInfo.listener`.
            rate: the rate of audio of kind 0x10, in Hz.
            when_full: how `refuse` refuses.

        """
        self.info = CallInfo(listener=listener)
        self.audio = AudioFormat(rate)
        self._socket, self._nursery, self._hub, self._buffer = connection, nursery, hub, buffer
        self._sender = FrameSender(connection)
        self._when_full = when_full
        self._decoder = Decoder()
        self._check = AudioCheck(rate)
        self._kind_out = self._check.kind
        self._kind_in = -1  # matches no frame, so each one is checked until the audio's format is certain
        self._early = EarlyAudio()
        self._sink: CallSink = self._early
        self._state: ConnectionState = "identifying"
        self._end_reason = ""  # of `ended`, for the log
        self._failure: Exception | None = None  # of `failed`, raised by `run`
        self._delivered = trio.Event()  # nothing more is received: not `identifying`, not `open`
        self._closed = trio.Event()
        self.frames_without_write = 0
        """The time since the last write, in frames; the listener counts it up."""

    @property
    def _has_hung_up(self) -> bool:
        return self._state in {"leaving", "closed"}

    async def answer(self, identify_timeout: float) -> bool:
        """Waits for the call's UUID and the format of its audio; False if the connection closed without a byte.

        Raises:
            TransportError: the other side is not Asterisk, or its audio can't be decoded.

        """
        await self.identify(identify_timeout)
        if not self.info.transport_id:
            if self._decoder.midway:
                raise TransportError("the connection began with half a frame; let only Asterisk connect here")
            if self._state != "ended":
                raise TransportError(f"no UUID within {identify_timeout:g} s; let only Asterisk connect here")
            return False
        with trio.move_on_after(FIRST_AUDIO_S):
            while self._state == "open" and (not self._check.known or self._check.is_suspicious):
                await trio.lowlevel.wait_readable(self._socket)
                self.receive()
        return True

    async def identify(self, within_s: float) -> None:
        """Waits for the UUID, the first frame that Asterisk sends; returns without one if none comes in time.

        Raises:
            TransportError: another frame came first.

        """
        with trio.move_on_after(within_s):
            while self._state == "identifying":
                await trio.lowlevel.wait_readable(self._socket)
                self.receive()

    async def run(self, sink: CallSink) -> None:
        """Delivers what is received to the sink until either side hangs up; to be called once.

        Raises:
            TransportError: the other side broke the protocol, or its audio changed format or can't be decoded.

        """
        if not self._has_hung_up:
            self._early.replay(sink)
        if not self._delivered.is_set():
            self._sink = sink
            self._hub.add(self, self._socket)
            try:
                await self._delivered.wait()
            finally:
                self._hub.remove(self._socket)
                self._sink = self._early
        if self._failure is not None:
            raise self._failure
        if self._state == "ended":
            sink.hung_up(self._end_reason)

    def receive(self) -> None:
        """Receives whatever the socket has, and delivers it to the sink; never blocks."""
        data = self._read()
        if data is None:
            return
        for kind, payload in self._decoder.feed(data):
            if kind == self._kind_in:
                self._sink.audio(payload)
            elif not self._handle(kind, payload, self._sink):
                return

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call with an error of receiving or delivering, which `run` raises."""
        self._failure = defect_of(error)
        if not self._delivered.is_set():
            self._stop_receiving("failed")

    def _end(self, reason: str) -> None:
        """Ends the call because Asterisk has; if this side has too, nothing is left to wait for."""
        if self._state == "leaving":
            self.close()
        else:
            self._end_reason = reason
            self._stop_receiving("ended")

    def _stop_receiving(self, state: ConnectionState) -> None:
        """Enters a state in which nothing more is delivered."""
        self._state = state
        self._hub.remove(self._socket)
        self._delivered.set()

    def _read(self) -> memoryview | None:
        """Reads into the shared buffer; None if there is nothing, which may be because the other side is gone."""
        try:
            size = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError as error:  # a reset: Asterisk closed with unread data in its buffer
            self._end(f"the caller hung up ({error.strerror})")
            return None
        if not size:
            self._end("the caller hung up")
            return None
        return self._buffer[:size]

    def _handle(self, kind: int, payload: memoryview, sink: CallSink) -> bool:
        """Handles any frame but audio of the known format; False if it ended the call."""
        if kind == KIND_UUID and not self.info.transport_id:
            self.info = evolve(self.info, transport_id=str(UUID(bytes=bytes(payload))))
            self._state = "open"
        elif kind == KIND_UUID or not self.info.transport_id:
            fault = f"a frame of kind 0x{kind:02x} came before the UUID"
            if self.info.transport_id:
                fault = "a second UUID came in mid-call"
            raise TransportError(f"{fault}; let only Asterisk connect here")
        elif kind in RATES:
            self._take_audio(kind, payload, sink)
        elif kind == KIND_DTMF:
            digit = chr(payload[0])
            if digit in DTMF_DIGITS:  # Asterisk also reports fax tones and hook flashes as keys
                sink.dtmf(digit)
        elif kind == KIND_HANGUP:
            self._end("Asterisk ended the call")
        elif kind == KIND_ERROR:
            self._end(f"Asterisk reported an error ({bytes(payload[:8]).hex(' ') or 'without a code'})")
        return self._state == "open"

    def _take_audio(self, kind: int, payload: memoryview, sink: CallSink) -> None:
        """Handles audio until its format is certain; the first frame decides on the rate."""
        check = self._check
        check.see(kind, payload, trio.current_time())
        self._kind_out = check.kind
        if check.settled:
            self._kind_in = kind
        if check.rate != self.audio.rate:
            self.audio = AudioFormat(check.rate)
            sink.format_changed(self.audio)
        sink.audio(payload)

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends one frame and never blocks; False if nothing was taken. After the call's end, frames are dropped."""
        if self._state != "open" and self._has_hung_up:
            return True
        sender = self._sender
        if not sender.send(encode_audio(self._kind_out, audio)):
            return False
        self.frames_without_write = 0
        if sender.unsent:
            self._nursery.start_soon(self._finish_frame)
        return True

    async def _finish_frame(self) -> None:
        try:
            await self._sender.finish()
        except Exception as error:  # noqa: BLE001 - in a nursery that all calls of the listener share
            self.fail(error)

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""
        if self._has_hung_up:
            await trio.lowlevel.checkpoint()
        else:
            await self._sender.wait_room()

    def write_silence(self) -> None:
        """Writes 20 ms of silence if there is room for it."""
        self.frames_without_write = 0  # without room too: the next try comes after another whole gap
        self.write(bytes(self.audio.bytes_in(FRAME_MS)))

    def clear(self) -> None:
        """Unsupported (not in `can`): Asterisk plays audio as soon as it arrives."""
        raise NotImplementedError("AudioSocket can't drop audio that was written")

    def mark(self, mark: int) -> None:
        """Unsupported (not in `can`): Asterisk does not report what it has played."""
        raise NotImplementedError(f"AudioSocket doesn't report when audio was played, so it can't set mark {mark}")

    async def transfer(self, target: str) -> None:  # noqa: ARG002 - the dialplan has the target
        """Hangs up; the dialplan goes on after AudioSocket()."""
        await self.hang_up()

    async def send_dtmf(self, digits: str) -> None:
        """Unsupported (not in `can`): AudioSocket carries keys only from Asterisk."""
        raise NotImplementedError(f"AudioSocket can't send the keys {digits}")

    async def hang_up(self) -> None:
        """Ends the call: sends the rest of a frame and a hang-up, shuts down its side, and waits for Asterisk to close.

        Takes at most `GOODBYE_S + DRAIN_S`; when cancelled, at most `GOODBYE_S`. No-op if the call has ended.
        """
        await self._end_with(HANGUP)

    async def refuse(self) -> None:
        """Refuses the call in the way of the listener's `when_full`; takes as long as `hang_up`."""
        if self._when_full == "reset" and not self._has_hung_up:
            reset_when_closed(self._socket)
            self.close()
        else:
            await self._end_with(HANGUP if self._when_full == "hang_up" else ERROR)

    async def _end_with(self, goodbye: bytes) -> None:
        if self._has_hung_up:
            await self._closed.wait()
            return
        has_ended = self._state == "ended"
        self._stop_receiving("leaving")
        try:
            if not has_ended:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_S):
                    self._sender.append(goodbye)
                    await self._sender.finish()
                await self._drain()
        finally:
            self.close()

    async def _drain(self) -> None:
        """Shuts down this side, and discards what Asterisk sends until it closes too, or `DRAIN_S` is over."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # the connection is gone already
            return
        with trio.move_on_after(DRAIN_S):
            while self._state == "leaving":
                await trio.lowlevel.wait_readable(self._socket)
                self._read()

    def close(self) -> None:
        """Closes the socket at once, in any state of the call; no-op if it is closed."""
        if self._state != "closed":
            self._stop_receiving("closed")
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._closed.set()
