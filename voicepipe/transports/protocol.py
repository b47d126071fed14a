"""The `Transport` protocol, which connects a call to a telephone, and the sink that it delivers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat
    from voicepipe.components.requests import CallInfo

Capability = Literal["clear", "mark", "transfer", "send_dtmf"]
"""Optional abilities of a transport: drop buffered audio, report when audio was played, transfer, send keys."""


class CallSink(Protocol):
    """Receives the caller's audio and events from a transport.

    Each method is synchronous, quick and does not raise, so one task may deliver to many calls.
    """

    def format_changed(self, audio: AudioFormat) -> None:
        """Changes the format of the call, in both directions; later writes are in it.

        For transports that learn the format from the caller's first audio: called before any `audio`, or never.
        """

    def audio(self, audio: bytes | memoryview) -> None:
        """Takes the caller's next audio in the transport's format, usually 20 ms; valid until this returns."""

    def dtmf(self, digit: str) -> None:
        """Takes a key that the caller pressed: one of `0123456789*#ABCD`."""

    def heard(self, mark: int) -> None:
        """Everything written before that mark has been played; for transports that buffer, see `Transport.pacing`."""

    def hung_up(self, reason: str) -> None:
        """Takes the end of the call, the last thing that is delivered; `reason` is for logs."""


class Transport(Protocol):
    """The connection of one call to a telephone.

    An exception of a method ends this call and no other: a `TransportError` is an ordinary end, and anything else is
    also raised by `Call.run`.
    """

    @property
    def info(self) -> CallInfo:
        """The called and calling numbers, and whatever else is known of the call."""

    @property
    def audio(self) -> AudioFormat:
        """The format of the call, in both directions; `CallSink.format_changed` reports a change at its beginning."""

    @property
    def pacing(self) -> Literal["ours", "theirs"]:
        """Who spreads speech over time: `ours` wants a frame every 20 ms, `theirs` buffers whatever it gets.

        Calls write a frame every 20 ms to both, so far: the transports that buffer are planned, and with them `clear`,
        `mark` and `CallSink.heard`, by which a call will know what of the buffered speech was heard.
        """

    @property
    def can(self) -> frozenset[Capability]:
        """The optional abilities that this transport has."""

    async def run(self, sink: CallSink) -> None:
        """Delivers audio and events to the sink until the caller hangs up, and nothing afterwards.

        If the call ends in another way, this is cancelled, and then `hang_up` is called.

        Raises:
            TransportError: the other side broke the protocol.

        """

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends one frame (20 ms, or less at the end) and never blocks; False if nothing was taken, to try again."""

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""

    def clear(self) -> None:
        """Drops what the other side has buffered; only with `clear` in `can`, see `pacing`."""

    def mark(self, mark: int) -> None:
        """Asks for `sink.heard(mark)` when what was written so far was played; only with `mark` in `can`."""

    async def transfer(self, target: str) -> None:
        """Transfers the caller and ends this leg; only with `transfer` in `can`."""

    async def send_dtmf(self, digits: str) -> None:
        """Sends keys of `0123456789*#ABCD`, one after the other; only with `send_dtmf` in `can`."""

    async def hang_up(self) -> None:
        """Ends the call in the transport's own way, after all written audio was sent; no-op if it has ended."""
