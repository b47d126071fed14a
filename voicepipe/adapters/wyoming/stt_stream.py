"""One call's utterances, each sent to a Wyoming server on a connection of its own, and their transcripts."""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from voicepipe.adapters.shared.utterance_audio import SoundGate
from voicepipe.adapters.wyoming.wire_format import WyomingEvent
from voicepipe.components.events import Transcript, TranscriptEvent
from voicepipe.components.requests import Listen
from voicepipe.errors import ComponentError
from voicepipe.wire.event_queue import EventQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.adapters.wyoming.client import WyomingConnection, WyomingServer
    from voicepipe.audio import AudioFormat

UNSENT_CHUNKS = 100
"""How many chunks of audio, 100 ms each, wait while a server makes the transcript of the utterance before."""

UNREAD_EVENTS = 64
"""How many events may wait to be received before the server's answer is read on."""

PAUSE_WITHIN_MS = 5000
"""An utterance that is too long is cut in the first pause of its last so many ms."""

LAST_WORDS_S = 0.5
"""How long a server that takes no more may still say why, in s."""


@frozen
class _AudioChunk:
    """The next audio of an utterance."""

    audio: bytes
    end_ms: int
    """Where it ends in the stream's audio."""
    listen: Listen
    """What was expected when it came."""


@frozen
class _UtteranceEnd:
    """An utterance is over, or a part of it."""

    end_ms: int
    """Where in the stream's audio."""
    final_is_due: bool
    """Whether somebody waits for a final, be it empty."""


class _SendQueue:
    """A queue whose first item is looked at before it is taken out: an unsent one stays for the next connection."""

    def __init__(self) -> None:
        self._in, self._out = trio.open_memory_channel[_AudioChunk | _UtteranceEnd](UNSENT_CHUNKS)
        self._next: _AudioChunk | _UtteranceEnd | None = None

    async def put(self, one: _AudioChunk | _UtteranceEnd) -> None:
        """Waits until there is room; after `close`, for `trio.BrokenResourceError`."""
        await self._in.send(one)

    def finish(self) -> None:
        """Ends the queue: no more is put."""
        self._in.close()

    def close(self) -> None:
        """Closes the queue: no more is taken."""
        self._out.close()

    async def look(self) -> _AudioChunk | _UtteranceEnd | None:
        """The next, once there is one; None: there is no more."""
        if self._next is None:
            try:
                self._next = await self._out.receive()
            except trio.EndOfChannel:
                return None
        return self._next

    def take(self) -> None:
        """Forgets what `look` gave."""
        self._next = None


class WyomingTranscriptStream:
    """The utterances of a call, one after the other.

    Args:
        server: where they are sent.
        beginning: what is sent before an utterance, by what is expected in it.
        audio: the call's audio; 16-bit linear.
        listen: what is expected at first.
        silence_level: see `SoundGate`.
        longest_ms: how long an utterance may be.

    """

    def __init__(
        self,
        server: WyomingServer,
        beginning: Callable[[Listen], tuple[WyomingEvent, ...]],
        audio: AudioFormat,
        listen: Listen,
        *,
        silence_level: int,
        longest_ms: float,
    ) -> None:
        self._server, self._beginning, self._audio, self._listen = server, beginning, audio, listen
        self._longest_ms = longest_ms
        self._gate = SoundGate(audio, silence_level)
        self._passed = 0  # bytes of this utterance
        self._unsent = _SendQueue()
        self._events = EventQueue[TranscriptEvent](UNREAD_EVENTS)

    async def send(self, audio: bytes) -> None:
        """Takes the next audio; waits if the server is far behind."""
        self._events.check()
        heard = self._gate.add(audio)
        if not heard:
            await trio.lowlevel.checkpoint()
            return
        self._passed += len(heard)
        await self._put(_AudioChunk(heard, self._gate.end_ms, self._listen))
        over_ms = self._audio.ms_in(self._passed) - self._longest_ms
        if over_ms >= 0 or (over_ms >= -PAUSE_WITHIN_MS and self._gate.is_quiet):
            await self._cut(final_is_due=False)

    async def end_utterance(self) -> None:
        """Ends the utterance; its final transcript follows, be it empty."""
        await self._cut(final_is_due=True)

    async def listen_for(self, listen: Listen) -> None:
        """Expects these phrases, in this language, from the next utterance on."""
        self._listen = listen
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """Ends the audio; the transcript of the rest follows, then `receive` returns None."""
        await self._cut(final_is_due=False)
        self._unsent.finish()

    async def receive(self) -> TranscriptEvent | None:
        """The next event; None after `finish()` when all were received. Cancel-safe; raises the stream's error."""
        return await self._events.receive()

    async def recognise(self) -> None:
        """Sends utterances to the server until the stream is finished or the server fails."""
        try:
            while (said := await self._unsent.look()) is not None:
                if isinstance(said, _AudioChunk):
                    async with self._server.connect() as connection:
                        beginning = (*self._beginning(said.listen), _of("audio-start", self._audio))
                        await _UtteranceSession(connection, self._unsent, self._events, self._audio).run(beginning)
                    continue
                self._unsent.take()
                if said.final_is_due:
                    await self._events.put(Transcript("", final=True, audio_end_ms=said.end_ms))
        except ComponentError as error:
            self._events.end(error)
        finally:
            self._events.end()
            self._unsent.close()

    async def _cut(self, *, final_is_due: bool) -> None:
        if rest := self._gate.cut():
            await self._put(_AudioChunk(rest, self._gate.end_ms, self._listen))
        self._passed = 0
        await self._put(_UtteranceEnd(self._gate.end_ms, final_is_due))

    async def _put(self, said: _AudioChunk | _UtteranceEnd) -> None:
        try:
            await self._unsent.put(said)
        except trio.BrokenResourceError:
            self._events.check()
            raise


class _UtteranceSession:
    """One utterance: its audio goes out while the transcript comes in."""

    def __init__(
        self,
        connection: WyomingConnection,
        unsent: _SendQueue,
        events: EventQueue[TranscriptEvent],
        audio: AudioFormat,
    ) -> None:
        self._connection, self._unsent, self._events, self._audio = connection, unsent, events, audio
        self._sent_ms: int | None = None
        self._ended: _UtteranceEnd | None = None
        self._waiting = trio.CancelScope()
        self._due_at = inf
        self._untaken: ComponentError | None = None

    async def run(self, beginning: tuple[WyomingEvent, ...]) -> None:
        """Sends the utterance, and tells what was heard in it.

        Raises:
            ComponentError: the server did not hear it out.

        """
        failure = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._talk, beginning)
            try:
                await self._hear()
            except ComponentError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _talk(self, beginning: tuple[WyomingEvent, ...]) -> None:
        try:
            await self._connection.send(*beginning)
            while isinstance(said := await self._unsent.look(), _AudioChunk):
                await self._connection.send(_of("audio-chunk", self._audio, said.audio))
                self._unsent.take()
                self._sent_ms = said.end_ms
            self._unsent.take()
            self._ended = said
            await self._connection.send(WyomingEvent("audio-stop"))
        except ComponentError as error:
            self._untaken = error  # it may have answered all the same: what is not sent is for another utterance
            self._expect(LAST_WORDS_S)
        else:
            self._expect(self._connection.timeout_s)

    async def _hear(self) -> None:
        so_far, streams = "", False
        while True:
            event = await self._answer()
            streams = streams or event.type in {"transcript-start", "transcript-chunk"}
            if event.type == "transcript-chunk":
                so_far += _text_of(event)
                if so_far.strip():
                    await self._events.put(Transcript(so_far.strip(), final=False, audio_end_ms=self._sent_ms))
            elif event.type in {"transcript", "transcript-stop"}:
                language = event.data.get("language")
                text = _text_of(event) if event.type == "transcript" else so_far
                await self._conclude(text.strip(), language if isinstance(language, str) and language else None)
                if event.type == "transcript" and streams:
                    await self._await_the_stop()
                return

    async def _conclude(self, text: str, language: str | None) -> None:
        """Tells the transcript; it may come before the end, from a server that finds ends by itself."""
        end_ms = self._sent_ms if self._ended is None else self._ended.end_ms
        if end_ms is None:
            raise ComponentError("sent a transcript before it had heard anything")
        if text or (self._ended is not None and self._ended.final_is_due):
            await self._events.put(Transcript(text, final=True, language=language, audio_end_ms=end_ms))

    async def _await_the_stop(self) -> None:
        """Lets the server end its stream: one that finds the connection gone complains about it in its log."""
        with trio.move_on_after(LAST_WORDS_S), suppress(ComponentError):
            while (await self._connection.receive()).type != "transcript-stop":
                pass

    async def _answer(self) -> WyomingEvent:
        """The next event: however long it takes while the utterance lasts, then in the server's time."""
        if self._ended is not None and self._untaken is None:
            self._expect(self._connection.timeout_s)
        with trio.CancelScope(deadline=self._due_at) as self._waiting:
            return await self._connection.receive()
        raise self._untaken or ComponentError(f"nothing came for {self._connection.timeout_s:g} s")

    def _expect(self, seconds: float) -> None:
        self._due_at = self._waiting.deadline = trio.current_time() + seconds


def _of(kind: str, audio: AudioFormat, samples: bytes = b"") -> WyomingEvent:
    return WyomingEvent(kind, {"rate": audio.rate, "width": audio.sample_bytes, "channels": 1}, samples)


def _text_of(event: WyomingEvent) -> str:
    text = event.data.get("text")
    if not isinstance(text, str):
        raise ComponentError(f"sent a {event.type} without text")
    return text
