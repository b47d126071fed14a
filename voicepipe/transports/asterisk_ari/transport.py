"""A caller behind ARI as the transport of a call: the audio of its media channel, and what only ARI can do.

`write`, `clear` and `mark` are those of the audio's own transport, without a layer between: 50 times a second each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.errors import TransportError
from voicepipe.transports.asterisk_ari.keys import TwinKeys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    from voicepipe.audio import AudioFormat
    from voicepipe.components.requests import CallInfo
    from voicepipe.transports.asterisk_ari.call import AriCall
    from voicepipe.transports.protocol import CallSink, Capability, Transport

DIGITS = frozenset("0123456789*#ABCD")


class AsteriskAriTransport:
    """A caller in a Stasis application; made by a listener, which ends the call when its handler returns.

    Attributes:
        outcome: the outcome of the conversation, which decides on where the caller goes; empty while it is not known.

    """

    def __init__(self, call: AriCall, media: Transport, info: CallInfo) -> None:
        """Wraps the audio of a call that is up.

        Args:
            call: the call in Asterisk.
            media: the transport of its media channel.
            info: who calls whom.

        """
        self.info = info
        self._call, self._media = call, media
        self.pacing: Literal["ours", "theirs"] = media.pacing
        self.can: frozenset[Capability] = (media.can - {"transfer"}) | {"transfer", "completes_transfer", "send_dtmf"}
        self.write: Callable[[bytes | memoryview], bool] = media.write
        self.clear: Callable[[], None] = media.clear
        self.mark: Callable[[int], None] = media.mark
        self._running = trio.CancelScope()
        self._sink: AriSink | None = None
        self._keys = TwinKeys()
        self._end_reason = self.outcome = ""
        self._is_over = self._has_hung_up = False

    @property
    def audio(self) -> AudioFormat:
        """The format of the call, in both directions."""
        return self._media.audio

    async def run(self, sink: CallSink) -> None:
        """Delivers the caller's audio and keys until the caller hangs up, or was transferred."""
        wrapped = AriSink(sink, self)
        if not self._is_over:
            self._sink = wrapped
            try:
                with self._running:
                    await self._media.run(wrapped)
            finally:
                self._sink = None
        reason = self._end_reason or wrapped.end_reason
        if reason and not self._has_hung_up:
            sink.hung_up(reason)

    def end(self, reason: str) -> None:
        """Ends `run`; `reason` is why the caller is gone, or empty if this side has ended the call."""
        if not self._is_over:
            self._is_over, self._end_reason = True, reason
            self._running.cancel()

    def call_event(self, event: Mapping[str, Any]) -> None:
        """Takes an event of the call, for its outcome; see `CallEventReceiver`."""
        if event["type"] == "call_ended":
            self.outcome = event["outcome"]

    def press(self, digit: str) -> None:
        """Takes a key from ARI's events."""
        if self._sink is not None:
            self._sink.press("ari", digit)

    def is_new_key(self, source: Literal["ari", "media"], digit: str) -> bool:
        """Whether a key is one, and not the twin of one from the other source."""
        return digit in DIGITS and self._keys.is_new(source, digit, trio.current_time())

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""
        await self._media.wait_writable()

    async def transfer(self, target: str) -> None:
        """Calls the target, and connects the caller with it when it answers.

        After `consult` it connects the caller with whom the agent has spoken, whatever the target.

        Raises:
            TransferFailed: nobody answered, and why; the caller is with the agent again.

        """
        await self._call.transfer(target)

    async def consult(self, target: str) -> None:
        """Calls the target; when it answers, the line is its own, and the caller hears music on hold.

        The agent now speaks with the target: all audio is to and from it. `transfer` then connects the two, and
        `return_to_caller` gives the agent the caller back. If the target hangs up, the caller is back too.

        Raises:
            TransferFailed: nobody answered, and why; the caller is with the agent again.

        """
        await self._call.consult(target)

    async def return_to_caller(self) -> None:
        """Hangs up the target of `consult`; the line is the caller's again."""
        await self._call.give_up("the agent returned to the caller")

    async def send_dtmf(self, digits: str) -> None:
        """Presses keys, as the caller's other side hears them.

        Raises:
            TransportError: Asterisk refuses.

        """
        if digits:
            reply = await self._call.send_dtmf(digits)
            if not reply.is_ok:
                raise TransportError(f"the keys could not be sent: {reply.message}")

    async def hang_up(self) -> None:
        """Ends the audio after all that was written, and the call; no-op if it has ended or was transferred."""
        if self._has_hung_up:
            return
        self._has_hung_up = True
        if not self._is_over:
            self._call.flow.expect_media_end()
            await self._media.hang_up()
        self.end("")
        await self._call.leave(self.outcome)


class AriSink:
    """A call's sink, as the audio's transport sees it.

    Attributes:
        audio: the call's own method.
        end_reason: why the audio ended; empty while it has not.

    """

    __slots__ = ("_sink", "_transport", "audio", "end_reason", "heard")

    def __init__(self, sink: CallSink, transport: AsteriskAriTransport) -> None:
        self._sink, self._transport = sink, transport
        self.audio = sink.audio
        self.heard = sink.heard
        self.end_reason = ""

    def format_changed(self, audio: AudioFormat) -> None:
        """Reports the format of the audio."""
        self._sink.format_changed(audio)

    def dtmf(self, digit: str) -> None:
        """Takes a key that came with the audio."""
        self.press("media", digit)

    def press(self, source: Literal["ari", "media"], digit: str) -> None:
        """Reports a key once, from whichever side it comes first."""
        if self._transport.is_new_key(source, digit):
            self._sink.dtmf(digit)

    def hung_up(self, reason: str) -> None:
        """Notes the end of the audio, which `run` reports."""
        self.end_reason = reason
