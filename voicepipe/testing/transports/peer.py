"""The other side of a call, as the author of a transport plays it for the checks."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from voicepipe.audio import AudioFormat

if TYPE_CHECKING:
    from typing import NoReturn


class CallNotTaken(Exception):  # noqa: N818 - an outcome, as CallRefused is
    """A peer raises this where it connects, if the listener refuses it in a way that its protocol has."""


@frozen
class PeerMark:
    """A mark that the transport asked for, as it came to the peer."""

    name: str
    """The name by which `TransportPeer.report` reports that it was reached."""


@frozen
class PeerKeys:
    """Keys that the agent pressed, as they came to the peer."""

    keys: str
    """One key or several of `0123456789*#ABCD`."""


class PeerEvent(enum.Enum):
    """What else a transport may tell its peer."""

    CLEAR = "drop what was not played yet"
    END = "the call has ended, or the connection has"


PeerReceived: TypeAlias = "bytes | PeerMark | PeerKeys | PeerEvent"
"""What came from the transport: audio in the call's format, in pieces of any size; a mark; keys; or an event."""


class TransportPeer:
    """The other side of one call: a telephone system, a carrier or a browser, in the words of its protocol.

    A class of one protocol extends it. `send_audio`, `receive`, `hang_up` and `die` have to be defined; without one of
    the others, the checks that need it are skipped.
    """

    audio = AudioFormat(8000)
    """The format of the call, in both directions."""
    reports_keys = False
    """Whether `receive` returns the keys that the agent presses, as `PeerKeys`."""

    async def send_audio(self, audio: bytes) -> None:  # noqa: ARG002 - a class of one protocol uses it
        """Sends 20 ms of the caller's audio, in the call's format."""
        self._undefined("send_audio")

    async def receive(self) -> PeerReceived:
        """Waits for what comes next from the transport; `PeerEvent.END` at the end, and ever after."""
        self._undefined("receive")

    async def hang_up(self) -> None:
        """Hangs up as the caller does, by the protocol."""
        self._undefined("hang_up")

    async def die(self) -> None:
        """Ends the connection as a machine that crashes does: without a word of the protocol."""
        self._undefined("die")

    async def press(self, key: str) -> None:  # noqa: ARG002 - see above
        """Presses a key, one of `0123456789*#ABCD`."""
        self._undefined("press")

    async def report(self, mark: PeerMark) -> None:  # noqa: ARG002 - see above
        """Reports that all audio before a mark was played."""
        self._undefined("report")

    async def disturb(self) -> None:
        """Sends what the protocol forbids, such as a message that can't be read."""
        self._undefined("disturb")

    def _undefined(self, name: str) -> NoReturn:
        raise NotImplementedError(f"define {name} in {type(self).__name__}")
