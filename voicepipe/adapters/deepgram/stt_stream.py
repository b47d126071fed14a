"""One call's recognition by Deepgram, over a connection that is opened again when it breaks."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from copy import copy
from math import inf
from typing import TYPE_CHECKING

import trio

from voicepipe.adapters.deepgram.stt_connection import ListenSession, ListenTimeouts, Outbox
from voicepipe.components.events import TranscriptEvent
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from voicepipe.adapters.deepgram.client import DeepgramClient, DeepgramWebSocket
    from voicepipe.adapters.deepgram.transcript_assembler import TranscriptAssembler
    from voicepipe.components.requests import Listen

PAUSES_S = (0.1, 0.5)
"""How long to wait before each attempt to open a broken connection again, in s."""

FORGIVEN_S = 60.0
"""After that long an earlier break does not count any more, in s."""

BACKLOG_MS = 5000
"""How much audio may wait to be sent before `send` blocks, in ms: a connection is opened again within that time."""

EVENTS_AHEAD = 256
"""How many events may wait to be received; past that Deepgram waits."""


class DeepgramTranscriptStream:
    """A `voicepipe.components.protocols.TranscriptStream`."""

    def __init__(
        self, client: DeepgramClient, assembler: TranscriptAssembler, outbox: Outbox, patience: ListenTimeouts
    ) -> None:
        self._client, self._assembler, self._outbox, self._patience = client, assembler, outbox, patience
        self._failure: ComponentError | None = None
        self._breaks: list[float] = []
        self._stands = self._over = False
        self._conversing: trio.CancelScope | None = None
        self._found, self._events = trio.open_memory_channel[TranscriptEvent](EVENTS_AHEAD)

    async def send(self, audio: bytes) -> None:
        """Takes the next audio; waits only while five seconds of it could not be sent."""
        await trio.lowlevel.checkpoint()
        self._check()
        outbox = self._outbox
        outbox.replay.append(audio)
        outbox.wake()
        while outbox.replay.end - outbox.sent > outbox.audio.bytes_in(BACKLOG_MS) and not self._over:
            await outbox.progress()

    async def end_utterance(self) -> None:
        """Asks for a final transcript of what was said so far."""
        await trio.lowlevel.checkpoint()
        self._check()
        if not self._over:
            replay = self._outbox.replay
            await self._tell(self._assembler.end_utterance(replay.ms(replay.end)))
            self._outbox.wake()

    async def listen_for(self, listen: Listen) -> None:
        """Makes the phrases keyterms; does nothing with models older than nova-3."""
        await trio.lowlevel.checkpoint()
        self._check()
        self._outbox.listen = listen
        self._outbox.wake()

    async def finish(self) -> None:
        """Says that no more audio comes."""
        await trio.lowlevel.checkpoint()
        self._check()
        self._outbox.finishing = True
        self._outbox.wake()

    async def receive(self) -> TranscriptEvent | None:
        """The next event; None only after `finish()`."""
        try:
            return await self._events.receive()
        except trio.EndOfChannel:
            self._check()
            return None

    async def run(self, task_status: trio.TaskStatus[ComponentError | None]) -> None:
        """Keeps a connection until the stream ends; reports when the first stands, or why it does not."""
        assembler, outbox = self._assembler, self._outbox
        patience_s = timeout_s = self._patience.connect_s
        broke_at: float | None = None
        while not self._over:
            listen = outbox.listen
            try:
                async with self._client.connect(assembler.api, assembler.query(listen), timeout_s) as connection:
                    broke_at = None
                    if not self._stands:
                        self._stands = True
                        task_status.started(None)
                    await self._converse(connection, listen)
            except ComponentError as error:
                if not self._stands:
                    task_status.started(error)
                if not self._stands or self._over:
                    return
                broke_at = trio.current_time() if broke_at is None else broke_at
                pause_s = self._pause_before_another(error)
                timeout_s = broke_at + patience_s - trio.current_time() - pause_s
                if timeout_s <= 0:
                    self._end(error)
                    return
                await trio.sleep(pause_s)

    def leave(self) -> bool:
        """Ends the stream; whether `run` now returns by itself, having closed the connection."""
        self._over = True
        if self._conversing is not None:
            self._conversing.cancel()
        return self._conversing is not None

    async def _converse(self, connection: DeepgramWebSocket, listen: Listen) -> None:
        session = ListenSession(
            connection, listen, self._assembler, self._outbox, patience=self._patience, tell=self._tell
        )
        try:
            with trio.CancelScope() as self._conversing:
                await session.run()
        except ComponentError as error:
            if session.stalled:
                self._end(error)  # another connection would only double the silence
            raise
        finally:
            self._conversing = None
        if not self._over:
            await self._tell(self._assembler.conclude())
            self._end(None)

    def _pause_before_another(self, error: ComponentError) -> float:
        """How long to wait before the connection is opened again, in s; infinite if it is not to be."""
        now = trio.current_time()
        self._breaks = [at for at in self._breaks if at > now - FORGIVEN_S] + [now]
        if not error.retryable or error.retry_after_s is not None or len(self._breaks) > len(PAUSES_S):
            return inf
        return PAUSES_S[len(self._breaks) - 1]

    def _end(self, error: ComponentError | None) -> None:
        self._over, self._failure = True, error
        self._found.close()
        self._outbox.moved()

    async def _tell(self, events: Iterable[TranscriptEvent]) -> None:
        for event in events:
            with suppress(trio.ClosedResourceError):  # the stream ended meanwhile
                await self._found.send(event)

    def _check(self) -> None:
        if self._failure is not None:
            raise copy(self._failure)

    def close(self) -> None:
        """Nothing more is received."""
        self._found.close()
        self._events.close()


@asynccontextmanager
async def open_stream(
    client: DeepgramClient, assembler: TranscriptAssembler, outbox: Outbox, patience: ListenTimeouts
) -> AsyncIterator[DeepgramTranscriptStream]:
    """A recognition session; leaving it closes the connection, properly unless it is cancelled."""
    stream = DeepgramTranscriptStream(client, assembler, outbox, patience)
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
