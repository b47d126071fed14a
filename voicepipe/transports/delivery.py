"""Delivers a call's audio and events to its sink: in order, with one end, and nothing after it.

A call has a sink from the time `Transport.run` is called, but audio and keys may come before, and the connection may
end before. A transport writes all of it to `Delivery.sink`, which keeps it until `run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.nurseries import defect_of

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat
    from voicepipe.transports.protocol import CallSink


class _Kept:
    """A `CallSink` that keeps what comes, for `replay`."""

    def __init__(self) -> None:
        self._items: list[bytes | str | int] = []

    def format_changed(self, audio: AudioFormat) -> None:
        """Does nothing: the call asks for the format later, when it is known."""

    def audio(self, audio: bytes | memoryview) -> None:
        self._items.append(bytes(audio))

    def dtmf(self, digit: str) -> None:
        self._items.append(digit)

    def heard(self, mark: int) -> None:
        self._items.append(mark)

    def hung_up(self, reason: str) -> None:
        """Does nothing: `Delivery.run` reports the end."""

    def replay(self, sink: CallSink) -> None:
        for item in self._items:
            if isinstance(item, bytes):
                sink.audio(item)
            elif isinstance(item, str):
                sink.dtmf(item)
            else:
                sink.heard(item)
        self._items.clear()


class _Dropped:
    """A `CallSink` that drops what comes after the end."""

    def format_changed(self, audio: AudioFormat) -> None: ...

    def audio(self, audio: bytes | memoryview) -> None: ...

    def dtmf(self, digit: str) -> None: ...

    def heard(self, mark: int) -> None: ...

    def hung_up(self, reason: str) -> None: ...


_DROPPED = _Dropped()


class Delivery:
    """The incoming side of a transport.

    Attributes:
        sink: takes what comes: keeps it until `run`, passes it to the call's sink then, and drops it after the end.

    """

    __slots__ = ("_failure", "_kept", "_over", "_reason", "sink")

    def __init__(self) -> None:
        self._kept = _Kept()
        self.sink: CallSink = self._kept
        self._reason: str | None = None  # of an end by the other side
        self._failure: Exception | None = None
        self._over = trio.Event()

    @property
    def is_over(self) -> bool:
        """Whether `end`, `fail` or `stop` was called."""
        return self._over.is_set()

    def end(self, reason: str) -> None:
        """The other side has ended the call, or the connection broke; no-op after the end."""
        if not self.is_over:
            self._reason = reason
            self._finish()

    def fail(self, error: Exception | SystemExit) -> None:
        """Something raised, which `run` raises; no-op after the end."""
        if not self.is_over:
            self._failure = defect_of(error)
            self._finish()

    def stop(self) -> None:
        """This side ends the call: nothing more is delivered, not even the end; no-op after it."""
        if not self.is_over:
            self._finish()

    def _finish(self) -> None:
        self.sink = _DROPPED
        self._over.set()

    def raise_failure(self) -> None:
        """Raises what `fail` was given, if it was called."""
        if self._failure is not None:
            raise self._failure

    async def run(self, sink: CallSink) -> None:
        """Delivers to a sink until the end; to be called once, by `Transport.run`.

        Raises:
            TransportError: `fail` was called with it, as with any other exception.

        """
        self._kept.replay(sink)
        if not self.is_over:
            self.sink = sink
            try:
                await self._over.wait()
            finally:
                self.sink = _DROPPED
        self.raise_failure()
        if self._reason is not None:
            sink.hung_up(self._reason)
