"""One call's recognition by Deepgram, over a connection that is opened again when it breaks.

The head of `stt_connection` has the theory of operation: who sends, who receives, and all timers.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from math import inf
from typing import TYPE_CHECKING

import trio

from voicepipe.adapters.deepgram.stt_connection import ListenSession, ListenTimeouts, Outbox
from voicepipe.components.events import TranscriptEvent
from voicepipe.errors import ComponentError
from voicepipe.wire.event_queue import EventQueue

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from voicepipe.adapters.deepgram.client import DeepgramSockets, DeepgramWebSocket
    from voicepipe.adapters.deepgram.transcript_assembler import TranscriptAssembler
    from voicepipe.components.requests import Listen

PAUSES_S = (0.1, 0.5)
"""The pause before each attempt to reconnect, in s; as many breaks within `FORGIVEN_S` are mended."""

FORGIVEN_S = 60.0
"""After this long a break no longer counts against the stream, in s."""

BACKLOG_MS = 5000
"""How much audio may wait to be sent before `send` blocks, in ms: a connection is opened again within that time."""

EVENTS_AHEAD = 256
"""How many events may wait to be received; beyond that no message is read, and Deepgram waits."""


class DeepgramTranscriptStream:
    """A `voicepipe.components.protocols.TranscriptStream` over one connection after the other."""

    def __init__(
        self, client: DeepgramSockets, assembler: TranscriptAssembler, outbox: Outbox, timeouts: ListenTimeouts
    ) -> None:
        self._client, self._assembler, self._outbox, self._timeouts = client, assembler, outbox, timeouts
        self._most_unsent = outbox.audio.bytes_in(BACKLOG_MS)
        self._breaks: list[float] = []
        self._opened = self._over = False
        self._session: ListenSession | None = None
        self._session_scope: trio.CancelScope | None = None
        self._events = EventQueue[TranscriptEvent](inf)
        self._unread = 0  # events that were not received
        self._room = trio.Event()

    def send_nowait(self, audio: bytes) -> None:
        """Takes the next audio, and sends it if the socket takes it.

        Raises:
            trio.WouldBlock: more than `BACKLOG_MS` of audio is not sent yet; this one is not taken.
            ComponentError: the stream's error.

        """
        self._events.check()
        outbox = self._outbox
        if self._over:
            return
        if outbox.replay.end - outbox.sent > self._most_unsent:
            raise trio.WouldBlock
        if self._session is not None:
            self._session.send_nowait(audio)
        else:
            outbox.replay.append(audio)

    async def send(self, audio: bytes) -> None:
        """Takes the next audio; waits while more than `BACKLOG_MS` of it is not sent yet. Raises the stream's error."""
        await trio.lowlevel.checkpoint()
        self._events.check()
        outbox = self._outbox
        outbox.replay.append(audio)
        self._advance()
        while outbox.replay.end - outbox.sent > self._most_unsent and not self._over:
            await outbox.wait_sent()

    async def end_utterance(self) -> None:
        """Asks for a final transcript of what was said so far."""
        await trio.lowlevel.checkpoint()
        self._events.check()
        if not self._over:
            replay = self._outbox.replay
            self._emit(self._assembler.end_utterance(replay.ms(replay.end)))
            self._advance()

    async def listen_for(self, listen: Listen) -> None:
        """Makes the phrases keyterms; does nothing with models older than nova-3."""
        await trio.lowlevel.checkpoint()
        self._events.check()
        self._outbox.listen = listen
        self._advance()

    async def finish(self) -> None:
        """Declares the end of the audio; the rest is recognised, then `receive` returns None."""
        await trio.lowlevel.checkpoint()
        self._events.check()
        self._outbox.finishing = True
        self._advance()

    async def receive(self) -> TranscriptEvent | None:
        """The next event; None after `finish()` when all were received. Cancel-safe; raises the stream's error."""
        event = await self._events.receive()
        self._unread -= 1
        self._room.set()
        return event

    def _advance(self) -> None:
        if self._session is not None:
            self._session.advance()

    async def run(self, task_status: trio.TaskStatus[ComponentError | None]) -> None:
        """Keeps a connection until the stream ends; starts when the first is open, with None, or with its error."""
        assembler, outbox = self._assembler, self._outbox
        reconnect_s = timeout_s = self._timeouts.connect_s
        broke_at: float | None = None
        while not self._over:
            listen = outbox.listen
            try:
                async with self._client.connect(assembler.api, assembler.query(listen), timeout_s) as connection:
                    broke_at = None
                    if not self._opened:
                        self._opened = True
                        task_status.started(None)
                    await self._run_session(connection, listen)
            except ComponentError as error:
                if not self._opened:
                    task_status.started(error)
                if not self._opened or self._over:
                    return
                broke_at = trio.current_time() if broke_at is None else broke_at
                pause_s = self._pause_before_reconnect(error)
                timeout_s = broke_at + reconnect_s - trio.current_time() - pause_s
                if timeout_s <= 0:
                    self._end(error)
                    return
                await trio.sleep(pause_s)

    def leave(self) -> bool:
        """Ends the stream; returns whether `run` now closes the connection and returns by itself."""
        self._over = True
        if self._session_scope is not None:
            self._session_scope.cancel()
        return self._session_scope is not None

    async def _run_session(self, connection: DeepgramWebSocket, listen: Listen) -> None:
        self._session = session = ListenSession(
            connection, listen, self._assembler, self._outbox, timeouts=self._timeouts, emit=self._emit
        )
        try:
            with trio.CancelScope() as self._session_scope:
                await session.run(self._wait_for_room)
        except ComponentError as error:
            if session.stalled:
                self._end(error)  # another connection would only double the silence
            raise
        finally:
            self._session = self._session_scope = None
        if not self._over:
            self._emit(self._assembler.conclude())
            self._end(None)

    def _pause_before_reconnect(self, error: ComponentError) -> float:
        """The pause before the connection is opened again, in s; infinite if it must not be."""
        now = trio.current_time()
        self._breaks = [at for at in self._breaks if at > now - FORGIVEN_S] + [now]
        if not error.retryable or error.retry_after_s is not None or len(self._breaks) > len(PAUSES_S):
            return inf
        return PAUSES_S[len(self._breaks) - 1]

    def _end(self, error: ComponentError | None) -> None:
        self._over = True
        self._events.end(error)
        self._outbox.notify_sent()

    def _emit(self, events: Iterable[TranscriptEvent]) -> None:
        for event in events:
            with suppress(trio.ClosedResourceError):  # the stream ended meanwhile
                self._events.put_nowait(event)
                self._unread += 1

    async def _wait_for_room(self) -> float:
        """Returns how long it took until fewer than `EVENTS_AHEAD` events were not received, in s: 0 as a rule."""
        if self._unread < EVENTS_AHEAD:
            return 0.0
        began = trio.current_time()
        while self._unread >= EVENTS_AHEAD:
            self._room = trio.Event()
            await self._room.wait()
        return trio.current_time() - began

    def close(self) -> None:
        """Closes the channel of events: nothing more is received."""
        self._events.close()


@asynccontextmanager
async def open_stream(
    client: DeepgramSockets, assembler: TranscriptAssembler, outbox: Outbox, timeouts: ListenTimeouts
) -> AsyncIterator[DeepgramTranscriptStream]:
    """A recognition stream. Leaving it closes the connection in good order; a cancellation cuts it.

    Raises:
        ComponentError: the first connection can't be opened.

    """
    stream = DeepgramTranscriptStream(client, assembler, outbox, timeouts)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        failure = await nursery.start(stream.run)
        if failure is None:
            try:
                yield stream
            except Exception as error:  # noqa: BLE001 - goes on below, where the nursery puts it in no group
                failure = error
            if not stream.leave():
                nursery.cancel_scope.cancel()
    stream.close()
    if failure is not None:
        raise failure
