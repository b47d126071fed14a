"""One AudioSocket connection as the transport of a call."""

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
"""How a call that is not taken is refused.

`close_listener`: while there is no room nobody listens, so the system refuses connections; a call that had connected
already gets an `error`. `error` and `reset`: after its UUID, an AudioSocket error frame, or a reset connection.
`hang_up`: a hang-up frame, which a dialplan can't tell from the end of a conversation.
"""

FIRST_AUDIO_S: Final = 0.2
"""How long a call waits for audio that tells its rate, and sounds like audio; a muted caller sends none."""
GAP_FRAMES: Final = 3
"""How many frames' time may pass without a frame from us: 60 ms.

Asterisk serves both directions of a call from one thread, and one that waits for us serves the caller late (asterisk
issue 2089); `AudioSocket()` also drops a call to which neither side sends anything for 2.0 s.
"""
GOODBYE_S: Final = 0.5
"""How long a hang-up tries to send what is left, even when it is cancelled."""
DRAIN_S: Final = 2.0
"""How long a hang-up then waits for the other side to close."""


class AudioSocketTransport:
    """A caller behind Asterisk's AudioSocket; made by a listener, which hangs up when the call's handler returns.

    Transferring is done by the dialplan: the leg ends, and what stands after AudioSocket() goes on.
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

        Nothing is read or written by itself. `buffer` is read into, and may be shared by all transports of a
        thread: what is in it is used before the next `await`. `nursery` runs the completion of a frame that the
        kernel took in part. `hub` says when there is something to read, once the call has begun.
        """
        self.info = CallInfo(listener=listener)
        self.audio = AudioFormat(rate)
        self._socket, self._nursery, self._hub, self._buffer = connection, nursery, hub, buffer
        self._when_full = when_full
        self._decoder = Decoder()
        self._check = AudioCheck(rate)
        self._kind_out = self._check.kind
        self._kind_in = -1  # no kind's number: until the audio is checked, each frame is looked at
        self._early = _Early()
        self._sink: CallSink = self._early
        self._ending = ""  # how the other side went
        self._failure: Exception | None = None  # what became of delivering
        self._over = False  # we hung up
        self._delivered = trio.Event()  # nothing more is, for one of these reasons
        self._closed = trio.Event()
        self._unsent = b""
        self._room: trio.Event | None = None  # somebody waits for room in the kernel's buffer
        self.frames_without_write = 0
        """For how many frames' time nothing was written; the listener counts."""

    async def answer(self, identify_timeout: float) -> bool:
        """Finds out which call this is and what its audio is; False: it closed without having sent a byte.

        Raises:
            TransportError: that was not Asterisk, or its audio can't be understood.

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
        """Waits for the UUID, which is the first that Asterisk sends; returns without one if none comes.

        Raises:
            TransportError: something else came.

        """
        with trio.move_on_after(within_s):
            while not self.info.transport_id and not self._ending:
                await trio.lowlevel.wait_readable(self._socket)
                self.receive()

    async def run(self, sink: CallSink) -> None:
        """Delivers what comes in until the caller hangs up or `hang_up` was called; to be called once.

        Raises:
            TransportError: the other side broke the protocol, or its audio is none of the call's.

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
        """Receives what there is, and delivers it to the sink."""
        data = self._read()
        if data is None or self._over:
            return
        for kind, payload in self._decoder.feed(data):
            if kind == self._kind_in:
                self._sink.audio(payload)
            elif not self._other(kind, payload, self._sink):
                return

    def fail(self, error: Exception | SystemExit) -> None:
        """Has `run` raise what receiving or delivering has raised."""
        self._failure = defect_of(error)
        self._hub.remove(self._socket)
        self._delivered.set()

    def _end(self, ending: str) -> None:
        """The other side has ended the call."""
        self._ending = ending
        self._hub.remove(self._socket)
        self._delivered.set()

    def _read(self) -> memoryview | None:
        """What there is, in the shared buffer; None: nothing, perhaps because the other side is gone."""
        try:
            size = self._socket.recv_into(self._buffer)
        except BlockingIOError:
            return None
        except OSError as error:  # a reset: Asterisk hung up with something of ours unread
            self._end(f"the caller hung up ({error.strerror})")
            return None
        if not size:
            self._end("the caller hung up")
            return None
        return self._buffer[:size]

    def _other(self, kind: int, payload: memoryview, sink: CallSink) -> bool:
        """Takes a frame that is not just more audio; False: it was the last."""
        if kind == KIND_UUID and not self.info.transport_id:
            self.info = evolve(self.info, transport_id=str(UUID(bytes=bytes(payload))))
        elif kind == KIND_UUID or not self.info.transport_id:
            expected = f"a frame of kind 0x{kind:02x} before any UUID"
            if self.info.transport_id:
                expected = "one more UUID in mid-call"
            raise TransportError(f"{expected}; let only Asterisk connect here")
        elif kind in RATES:
            self._take_audio(kind, payload, sink)
        elif kind == KIND_DTMF:
            digit = chr(payload[0])
            if digit in DTMF_DIGITS:  # Asterisk also reports fax tones and hook flashes as if they were keys
                sink.dtmf(digit)
        elif kind == KIND_HANGUP:
            self._end("Asterisk ended the call")
        elif kind == KIND_ERROR:
            self._end(f"Asterisk reported an error ({bytes(payload[:8]).hex(' ') or 'without a code'})")
        return not self._ending

    def _take_audio(self, kind: int, payload: memoryview, sink: CallSink) -> None:
        """Takes audio of a call whose audio is not known for certain yet; the first of it decides on the format."""
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
        """Sends one frame and never blocks; False: nothing was taken. When the call is over, frames go nowhere."""
        if self._over:
            return True
        if self._unsent and not self._flush():
            return False
        message = encode_audio(self._kind_out, audio)
        try:
            sent = self._socket.send(message)
        except BlockingIOError:
            return False
        except OSError:  # gone: reading finds that out too, and says so
            return True
        self.frames_without_write = 0
        if sent != len(message):  # the rest has to follow at once, or Asterisk drops the call
            self._unsent = message[sent:]
            self._nursery.start_soon(self._finish_frame_aside)
        return True

    def _flush(self) -> bool:
        try:
            self._unsent = self._unsent[self._socket.send(self._unsent) :]
        except BlockingIOError:
            return False
        except OSError:
            self._unsent = b""
        return not self._unsent

    async def _finish_frame_aside(self) -> None:
        try:
            await self._finish_frame()
        except Exception as error:  # noqa: BLE001 - in a nursery that all calls of the listener share
            self.fail(error)

    async def _finish_frame(self) -> None:
        while self._unsent and not self._flush():
            await self._wait_room()

    async def _wait_room(self) -> None:
        """Waits for room in the kernel's buffer; trio lets one task do so, the others wait for that one."""
        if self._room is not None:
            await self._room.wait()
            return
        self._room = trio.Event()
        try:
            await trio.lowlevel.wait_writable(self._socket)
        except trio.ClosedResourceError:
            pass
        finally:
            self._room.set()
            self._room = None

    async def wait_writable(self) -> None:
        """Returns when `write` is worth trying again."""
        if self._over:
            await trio.lowlevel.checkpoint()
        else:
            await self._wait_room()

    def write_silence(self) -> None:
        """Writes 20 ms of silence, if there is room for it."""
        self.frames_without_write = 0  # if there is none, the next try comes as late as after a frame that went out
        self.write(bytes(self.audio.bytes_in(FRAME_MS)))

    def clear(self) -> None:
        """Not in `can`: Asterisk plays what it got, at once."""
        raise NotImplementedError("AudioSocket can't take back what was written")

    def mark(self, mark: int) -> None:
        """Not in `can`: Asterisk reports nothing of what it played."""
        raise NotImplementedError(f"AudioSocket doesn't tell when audio was heard, so there is no mark {mark}")

    async def transfer(self, target: str) -> None:  # noqa: ARG002 - the dialplan knows where to
        """Hangs up; the dialplan goes on after AudioSocket()."""
        await self.hang_up()

    async def send_dtmf(self, digits: str) -> None:
        """Not in `can`: Asterisk sends keys, and takes none."""
        raise NotImplementedError(f"AudioSocket can't press {digits}")

    async def hang_up(self) -> None:
        """Ends the call: what was written, a hang-up frame, the end of our side, then the end of theirs.

        Takes at most `GOODBYE_S + DRAIN_S`; when cancelled, the first of them. Harmless when the call has ended.
        """
        await self._end_with(HANGUP)

    async def refuse(self) -> None:
        """Ends a call that is not taken, in the way that its listener's `when_full` says; else like `hang_up`."""
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
                    self._unsent += message
                    await self._finish_frame()
                self._end_our_side()
                # Closing with something unread would be a reset, which makes Asterisk drop the caller
                with trio.move_on_after(DRAIN_S):
                    while not self._ending:
                        await trio.lowlevel.wait_readable(self._socket)
                        self._read()
        finally:
            self.close()

    def _end_our_side(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:  # gone already
            self._ending = "the caller hung up"

    def close(self) -> None:
        """Frees the socket whatever state it is in."""
        self._over = True
        if self._socket.fileno() != -1:
            self._hub.remove(self._socket)
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._closed.set()


def cut_off(connection: socket.socket, when_full: WhenFull) -> None:
    """Refuses a connection at once, as `AudioSocketTransport.refuse` does in its own time."""
    with suppress(OSError), connection:
        if when_full == "hang_up":
            connection.send(HANGUP)
        else:
            _reset_when_closed(connection)


def _reset_when_closed(connection: socket.socket) -> None:
    """Has closing a connection reset it (socket(7), SO_LINGER with a time of 0)."""
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
