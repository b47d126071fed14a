"""The `Transport` protocol, which connects a call to a telephone, and the sink that it delivers to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.audio import AudioFormat
    from voicepipe.components.requests import CallInfo

Capability = Literal["clear", "mark", "transfer", "completes_transfer", "send_dtmf"]
"""An optional ability of a transport: drop buffered audio, report when audio was played, transfer, send keys.

`completes_transfer` stands beside `transfer`: somebody has taken the call when `transfer` returns, and the call's
outcome is `transferred`. Without it `transfer` only hands the caller back to the telephone system, which does the rest,
and the outcome is `transfer_requested`.
"""


class CallSink(Protocol):
    """Receives the caller's audio and events from a transport.

    The methods are synchronous, quick, and do not raise, so that one task can deliver to many calls.
    """

    def format_changed(self, audio: AudioFormat) -> None:
        """Changes the format of the call, in both directions; later writes are in it.

        For transports that learn the format from the caller's first audio: called before any `audio`, or never.
        """

    def audio(self, audio: bytes | memoryview) -> None:
        """Takes the caller's next audio in the transport's format, usually 20 ms; valid until this returns."""

    def dtmf(self, digit: str) -> None:
        """Takes a key that the caller pressed, one of `0123456789*#ABCD`."""

    def heard(self, mark: int) -> None:
        """Takes the report that everything written before a mark was played; see `Transport.pacing`."""

    def hung_up(self, reason: str) -> None:
        """Takes the end of the call, which is delivered last; `reason` is for logs."""


class Transport(Protocol):
    """The connection of one call to a telephone.

    An exception of a method ends this call only: a `TransportError` is an ordinary end, and any other is also raised by
    `Call.run`.
    """

    @property
    def info(self) -> CallInfo:
        """The called and calling numbers, and other facts about the call."""

    @property
    def audio(self) -> AudioFormat:
        """The format of the call, in both directions; `CallSink.format_changed` reports a change at its beginning."""

    @property
    def pacing(self) -> Literal["ours", "theirs"]:
        """The side that spreads speech over time.

        `ours`: the call writes a frame every 20 ms. `theirs`: the other side buffers and plays what it gets, so audio
        is written as it is made, at most `streaming.ahead_ms` before it is heard. Such a transport must have `clear`,
        by which barge-in drops what is buffered. With `mark` too, the call learns exactly what was heard; without it,
        from the time that has passed.
        """

    @property
    def can(self) -> frozenset[Capability]:
        """The optional abilities that this transport has."""

    async def run(self, sink: CallSink) -> None:
        """Delivers audio and events to the sink until the caller hangs up, and nothing afterwards.

        If the call ends in another way, it is cancelled, and then `hang_up` is called.

        Raises:
            TransportError: the other side violated the protocol.

        """

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends audio and never blocks; False if all of it must be written again later.

        With `pacing` of `ours` it is one frame of 20 ms, or less at the end; with `theirs`, whole frames up to 200 ms.
        """

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""

    def clear(self) -> None:
        """Drops all audio that was written and not played yet; only with `clear` in `can`, see `pacing`.

        It takes effect in the same turn of the loop. Marks of dropped audio may be reported or not.
        """

    def mark(self, mark: int) -> None:
        """Requests `sink.heard(mark)` for when the audio written so far was played; only with `mark` in `can`.

        Numbers rise through a call. Where the other side has nothing left to play, the mark is to be passed on too: its
        report shows how long the network takes.
        """

    async def transfer(self, target: str) -> None:
        """Transfers the caller, and returns when this leg has ended; only with `transfer` in `can`.

        It is called when the agent's last words have been heard, while `run` goes on. Audio goes on in both directions
        while the other side rings, if the transport can do that. A caller who hangs up meanwhile is reported to the
        sink as ever, and the attempt is given up at once. The end of this leg by the transfer itself need not be
        reported; if it is, `transfer` returns within 5 s. Without `completes_transfer` it returns within 5 s anyway.

        Cancelled, it gives the attempt up, and the caller is back: `limits.transfer_s` is over, or the call ends.

        Raises:
            TransferFailed: nobody took the call, and the caller is back; the call goes on. Its text is the reason, for
                the language model and the record.

        """

    async def send_dtmf(self, digits: str) -> None:
        """Sends keys of `0123456789*#ABCD`, one after the other; only with `send_dtmf` in `can`."""

    async def hang_up(self) -> None:
        """Ends the call by the transport's protocol, after all written audio was sent; no-op if it has ended."""


@runtime_checkable
class CallEventReceiver(Protocol):
    """The optional part of a transport whose other side shows the call to its caller, such as a softphone.

    A call looks for the method when it begins. Transports without it are not affected.
    """

    def call_event(self, event: Mapping[str, Any]) -> None:
        """Takes an event of the call as data for JSON; must be quick, and never blocks.

        `type` is the event's name in snake case, such as `turn_ended`; docs/reference/browser.md lists the events and
        their fields. They hold what the caller and the agent said, and names from the configuration, but no arguments
        and results of tools, no messages of vendors and no secrets. An exception is reported like an observer's.
        """
