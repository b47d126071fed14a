"""What a call needs of the thing that brings its audio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat
    from voicepipe.components.requests import CallInfo

Capability = Literal["clear", "mark", "transfer", "send_dtmf"]
"""What not every transport can: drop what it buffered, tell when audio was heard, hand the caller on, press keys."""


class CallSink(Protocol):
    """Where a transport delivers what happens; every method is synchronous, quick and does not raise.

    So one task may deliver to many calls.
    """

    def format_changed(self, audio: AudioFormat) -> None:
        """The call's audio has another format than `Transport.audio` has said so far: this one, both ways.

        For transports that learn it from the caller's first audio: told before any `audio`, or not at all. What is
        written from now on is in it.
        """

    def audio(self, audio: bytes | memoryview) -> None:
        """The caller's next audio in the transport's format, usually 20 ms; only valid while this runs."""

    def dtmf(self, digit: str) -> None:
        """The caller pressed a key: one of `0123456789*#ABCD`."""

    def heard(self, mark: int) -> None:
        """Everything written before that mark has been played; for transports that buffer, see `Transport.pacing`."""

    def hung_up(self, reason: str) -> None:
        """The caller is gone; nothing is delivered after this. `reason` is for logs."""


class Transport(Protocol):
    """Where one call's audio comes from and goes to.

    What a method raises ends this call, and no other: as an ordinary end if it is a `TransportError`, else out of
    `Call.run` too.
    """

    @property
    def info(self) -> CallInfo:
        """Who rings whom."""

    @property
    def audio(self) -> AudioFormat:
        """The format of the call, both ways. The caller's first audio may change it: `CallSink.format_changed`."""

    @property
    def pacing(self) -> Literal["ours", "theirs"]:
        """Who spreads speech over time: `ours` wants a frame every 20 ms, `theirs` buffers whatever it gets.

        Calls write a frame every 20 ms to both, so far: the transports that buffer are planned, and with them `clear`,
        `mark` and `CallSink.heard`, by which a call will know what of the buffered speech was heard.
        """

    @property
    def can(self) -> frozenset[Capability]:
        """What it is able to do."""

    async def run(self, sink: CallSink) -> None:
        """Delivers what comes in until the caller hangs up, and nothing afterwards.

        When the call ends otherwise, this is cancelled, and `hang_up` called.

        Raises:
            TransportError: the other side broke the protocol.

        """

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends one frame (20 ms, or less at the end) and never blocks; False: nothing was taken, try again later."""

    async def wait_writable(self) -> None:
        """Returns when `write` is worth trying again."""

    def clear(self) -> None:
        """Drops what the other side has buffered; only with `clear` in `can`, see `pacing`."""

    def mark(self, mark: int) -> None:
        """Asks for `sink.heard(mark)` when what was written so far was played; only with `mark` in `can`."""

    async def transfer(self, target: str) -> None:
        """Hands the caller on and ends this leg; only with `transfer` in `can`."""

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys, one after the other, of `0123456789*#ABCD`; only with `send_dtmf` in `can`."""

    async def hang_up(self) -> None:
        """Ends the call in the transport's own way, after what was written has gone out; harmless when it has ended."""
