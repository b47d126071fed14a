"""One AudioSocket connection as the transport of a call.

`wire` decodes its frames, `audio` checks the caller's audio, `sending` writes; the hub says when there is something to
read.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from uuid import UUID

import trio
from attrs import evolve

from voicepipe.audio import FRAME_MS, AudioFormat
from voicepipe.components.requests import CallInfo
from voicepipe.errors import TransportError
from voicepipe.nurseries import defect_of
from voicepipe.transports.audiosocket.audio import AudioCheck
from voicepipe.transports.audiosocket.sending import FrameSender
from voicepipe.transports.audiosocket.wire import (
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
    from voicepipe.transports.hub import Hub
    from voicepipe.transports.protocol import CallSink, Capability

WhenFull: TypeAlias = Literal["close_listener", "error", "reset", "hang_up"]
"""How calls are refused at capacity.

`close_listener`: the listening socket is closed until there is room, so the kernel refuses connections; a call that had
connected already gets an `error`. `error` and `reset`: after its UUID, an AudioSocket error frame, or a TCP reset.
`hang_up`: a hang-up frame, which a dialplan can't tell from the end of a conversation.
"""

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
        self._early = _Early()
        self._sink: CallSink = self._early
        self._ending = ""  # why the other side ended the call; empty while it has not
        self._failure: Exception | None = None  # raised by receiving or by the sink
        self._over = False  # this side has hung up
        self._delivered = trio.Event()  # set by any of the three: nothing more is delivered
        self._closed = trio.Event()
        self.frames_without_write = 0
        """The time since the last write, in frames; the listener counts it up."""

    async def answer(self, identify_timeout: float) -> bool:
        """Waits for the call's UUID and the format of its audio; False if the connection closed without a byte.

        Raises:
            TransportError: the other side is not Asterisk, or its audio can't be decoded.

        """
        await self.identify(identify_timeout)
        if not self.info.transport_id:
            if self._decoder.midway:
                raise TransportError("the connection began with half a frame; let only Asterisk connect here")
            if not self._ending:
                raise TransportError(f"no UUID within {identify_timeout:g} s; let only Asterisk connect here")
            return False
        with trio.move_on_after(FIRST_AUDIO_S):
            while (not self._check.known or self._check.is_suspicious) and not self._ending:
                await trio.lowlevel.wait_readable(self._socket)
                self.receive()
        return True

    async def identify(self, within_s: float) -> None:
        """Waits for the UUID, the first frame that Asterisk sends; returns without one if none comes in time.

        Raises:
            TransportError: another frame came first.

        """
        with trio.move_on_after(within_s):
            while not self.info.transport_id and not self._ending:
                await trio.lowlevel.wait_readable(self._socket)
                self.receive()

    async def run(self, sink: CallSink) -> None:
        """Delivers what is received to the sink until either side hangs up; to be called once.

        Raises:
            TransportError: the other side broke the protocol, or its audio changed format or can't be decoded.

        """
        if not self._over:
            self._early.replay(sink)
        if not (self._over or self._ending):
            self._sink = sink
            self._hub.add(self, self._socket)
            try:
                await self._delivered.wait()
            finally:
                self._hub.remove(self._socket)
                self._sink = self._early
        if self._failure is not None:
            raise self._failure
        if not self._over:
            sink.hung_up(self._ending)

    def receive(self) -> None:
        """Receives whatever the socket has, and delivers it to the sink; never blocks."""
        data = self._read()
        if data is None or self._over:
            return
        for kind, payload in self._decoder.feed(data):
            if kind == self._kind_in:
                self._sink.audio(payload)
            elif not self._handle(kind, payload, self._sink):
                return

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call: `run` raises this error of receiving or delivering."""
        self._failure = defect_of(error)
        self._hub.remove(self._socket)
        self._delivered.set()

    def _end(self, ending: str) -> None:
        """Notes that the other side has ended the call, and why."""
        self._ending = ending
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
        return not self._ending

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
        if self._over:
            return True
        if not self._sender.send(encode_audio(self._kind_out, audio)):
            return False
        self.frames_without_write = 0
        if self._sender.is_midway:
            self._nursery.start_soon(self._finish_frame)
        return True

    async def _finish_frame(self) -> None:
        try:
            await self._sender.finish()
        except Exception as error:  # noqa: BLE001 - in a nursery that all calls of the listener share
            self.fail(error)

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""
        if self._over:
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
        if self._when_full == "reset" and not self._over:
            _reset_when_closed(self._socket)
            self.close()
        else:
            await self._end_with(HANGUP if self._when_full == "hang_up" else ERROR)

    async def _end_with(self, message: bytes) -> None:
        if self._over:
            await self._closed.wait()
            return
        self._over = True
        self._hub.remove(self._socket)
        self._delivered.set()
        try:
            if not self._ending:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_S):
                    self._sender.append(message)
                    await self._sender.finish()
                self._shut_down()
                # To close a socket with unread data resets the connection, and Asterisk then drops the caller.
                with trio.move_on_after(DRAIN_S):
                    while not self._ending:
                        await trio.lowlevel.wait_readable(self._socket)
                        self._read()
        finally:
            self.close()

    def _shut_down(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # the connection is gone already
            self._ending = "the caller hung up"

    def close(self) -> None:
        """Closes the socket at once, in any state of the call; no-op if it is closed."""
        self._over = True
        if self._socket.fileno() != -1:
            self._hub.remove(self._socket)
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._closed.set()


def cut_off(connection: socket.socket, when_full: WhenFull) -> None:
    """Refuses a connection at once, without waiting for its UUID as `AudioSocketTransport.refuse` does."""
    with suppress(OSError), connection:
        if when_full == "hang_up":
            connection.send(HANGUP)
        else:
            _reset_when_closed(connection)


def _reset_when_closed(connection: socket.socket) -> None:
    """Makes `close` reset the connection (socket(7), SO_LINGER with a time of 0)."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, Struct("ii").pack(1, 0))


class _Early:
    """What came before the call had a sink; itself a `CallSink`."""

    def __init__(self) -> None:
        self._items: list[bytes | str] = []

    def format_changed(self, audio: AudioFormat) -> None:
        """No news: whoever asks for the format does so afterwards."""

    def audio(self, audio: bytes | memoryview) -> None:
        self._items.append(bytes(audio))

    def dtmf(self, digit: str) -> None:
        self._items.append(digit)

    def heard(self, mark: int) -> None:
        """Never called: AudioSocket has no marks."""

    def hung_up(self, reason: str) -> None:
        """Never called: `run` says it."""

    def replay(self, sink: CallSink) -> None:
        for item in self._items:
            if isinstance(item, bytes):
                sink.audio(item)
            else:
                sink.dtmf(item)
        self._items.clear()
