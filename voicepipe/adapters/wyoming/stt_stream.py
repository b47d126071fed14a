"""One call's utterances, each sent to a Wyoming server on a connection of its own, and their transcripts.

Theory of operation
===================

The protocol has no request numbers: a server takes one utterance on a connection, answers it, and mostly closes. So an
utterance is a session, and a session is a connection::

    call                                              server
      transcribe, audio-start                 --->                                    connect; the first sound
      audio-chunk, audio-chunk, ...           --->
                                              <---    transcript-start, -chunk, ...   only if it streams: partials
      audio-stop                              --->                                    `end_utterance`
                                              <---    transcript                      the final
                                              <---    transcript-stop                 only if it streams

Three parts work on it:

- `WyomingTranscriptStream` is what the call holds. It passes audio through a `SoundGate`, which drops silence, and puts
  what remains into a queue, along with a mark where each utterance ends.
- `_SendQueue` holds up to `UNSENT_CHUNKS`, while a server is busy with the utterance before. Its first item leaves only
  when it has been sent: a chunk that one connection did not take is the first of the next.
- `recognise`, a task that lives as long as the stream, waits for the first item. For a chunk it connects and runs an
  `_UtteranceSession` to its end. A mark without a chunk before it is an utterance that the gate found silent, and needs
  no server.

A session runs two tasks, so that a server that takes audio slowly can still answer: `_send_utterance` and
`_receive_transcript`. Receiving decides: when it has the final, or fails, the session is over, and sending is
cancelled. If sending fails, the server may have answered all the same, or say why, so receiving goes on for a moment.

A transcript is due

- after `end_utterance`: exactly one final, be it empty (`final_is_due`), because the call waits for it;
- after `finish`, and where an utterance got too long (`longest_ms`) and was cut, in a pause if there is one: a final,
  unless it is empty;
- never before, but a server that finds ends of utterances by itself may send it. That final covers what was sent so
  far; what follows of the utterance is sent on a new connection.

Phrases and language (`listen_for`) hold from the next session on, because `transcribe` comes first. Each chunk carries
those of its time.

The timers, all on trio's clock:

==========  =====================  ===================================================================================
timer       seconds                starts; what happens when it is over
==========  =====================  ===================================================================================
connect     `connect_timeout_s`    The first chunk is at the head of the queue; the stream fails.
send        `timeout_s`            Events are sent; if the server takes nothing, sending has failed.
transcript  `timeout_s`            `audio-stop` was sent, and again with each event after it; the stream fails.
last words  `LAST_WORDS_S`         Sending has failed; the stream fails with that error, unless the server has answered.
                                   Or: a streaming server has sent the final; then its `transcript-stop` is not waited
                                   for any longer.
==========  =====================  ===================================================================================

While an utterance goes on there is no deadline for receiving: a server that does not stream says nothing until the end.

A failed stream does not connect again. Its call goes on with the next recogniser, and sends that one all audio that no
transcript covers.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, TypeAlias

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
"""The most chunks of audio, 100 ms each, that wait while a server transcribes the utterance before."""

UNREAD_EVENTS = 64
"""The most events that wait to be received; with more, the server's answer is not read on."""

PAUSE_WITHIN_MS = 5000
"""The part at the end of an utterance of the greatest length in which a pause cuts it, in ms."""

LAST_WORDS_S = 0.5
"""The time for what a server may still send when nothing more is sent to it, in s."""


@frozen
class _AudioChunk:
    """A piece of an utterance's audio."""

    audio: bytes
    end_ms: int
    """The position in the stream at which it ends, in ms."""
    listen: Listen
    """The phrases and language that were expected when it came."""


@frozen
class _UtteranceEnd:
    """The end of an utterance, or of a part of one that got too long."""

    end_ms: int
    """Its position in the stream, in ms."""
    final_is_due: bool
    """Whether a final must follow even if it is empty."""


_QueueItem: TypeAlias = _AudioChunk | _UtteranceEnd


class _SendQueue:
    """A queue whose first item stays until it is removed: one that could not be sent is the next connection's first."""

    def __init__(self) -> None:
        self._in, self._out = trio.open_memory_channel[_QueueItem](UNSENT_CHUNKS)
        self._first: _QueueItem | None = None

    async def put(self, item: _QueueItem) -> None:
        """Adds an item; waits while the queue is full. Raises `trio.BrokenResourceError` after `close`."""
        await self._in.send(item)

    def finish(self) -> None:
        """Declares that no item will be added."""
        self._in.close()

    def close(self) -> None:
        """Drops the items; `put` fails from now on."""
        self._out.close()

    async def first(self) -> _QueueItem | None:
        """Waits for the first item and returns it without removing it; None at the end of the queue."""
        if self._first is None:
            try:
                self._first = await self._out.receive()
            except trio.EndOfChannel:
                return None
        return self._first

    def remove_first(self) -> None:
        """Removes the item that `first` returned."""
        self._first = None


class WyomingTranscriptStream:
    """The utterances of a call, transcribed one after the other.

    Args:
        server: transcribes them.
        opening_events: makes the events that precede an utterance, from what is expected in it.
        audio: the format of the call's audio; 16-bit linear.
        listen: the phrases and language that are expected at first.
        silence_level: the RMS level below which audio is silence; see `SoundGate`.
        longest_ms: the length at which an utterance is cut, in ms.

    """

    def __init__(
        self,
        server: WyomingServer,
        opening_events: Callable[[Listen], tuple[WyomingEvent, ...]],
        audio: AudioFormat,
        listen: Listen,
        *,
        silence_level: int,
        longest_ms: float,
    ) -> None:
        self._server, self._opening_events, self._audio, self._listen = server, opening_events, audio, listen
        self._longest_ms = longest_ms
        self._gate = SoundGate(audio, silence_level)
        self._utterance_bytes = 0  # of the present utterance, so far
        self._unsent = _SendQueue()
        self._events = EventQueue[TranscriptEvent](UNREAD_EVENTS)

    async def send(self, audio: bytes) -> None:
        """Takes the next audio; waits if the server is far behind."""
        self._events.check()
        sound = self._gate.add(audio)
        if not sound:
            await trio.lowlevel.checkpoint()
            return
        self._utterance_bytes += len(sound)
        await self._put(_AudioChunk(sound, self._gate.end_ms, self._listen))
        over_ms = self._audio.ms_in(self._utterance_bytes) - self._longest_ms
        if over_ms >= 0 or (over_ms >= -PAUSE_WITHIN_MS and self._gate.is_quiet):
            await self._end_utterance(final_is_due=False)

    async def end_utterance(self) -> None:
        """Ends the utterance; its final transcript follows, be it empty."""
        await self._end_utterance(final_is_due=True)

    async def listen_for(self, listen: Listen) -> None:
        """Expects these phrases, in this language, from the next utterance on."""
        self._listen = listen
        await trio.lowlevel.checkpoint()

    async def finish(self) -> None:
        """Ends the audio; the transcript of the rest follows, then `receive` returns None."""
        await self._end_utterance(final_is_due=False)
        self._unsent.finish()

    async def receive(self) -> TranscriptEvent | None:
        """The next event; None after `finish()` when all were received. Cancel-safe; raises the stream's error."""
        return await self._events.receive()

    async def recognise(self) -> None:
        """Sends utterances to the server until the stream is finished or the server fails."""
        try:
            while (item := await self._unsent.first()) is not None:
                if isinstance(item, _AudioChunk):
                    async with self._server.connect() as connection:
                        opening = (*self._opening_events(item.listen), _audio_event("audio-start", self._audio))
                        await _UtteranceSession(connection, self._unsent, self._events, self._audio).run(opening)
                    continue
                self._unsent.remove_first()
                if item.final_is_due:
                    await self._events.put(Transcript("", final=True, audio_end_ms=item.end_ms))
        except ComponentError as error:
            self._events.end(error)
        finally:
            self._events.end()
            self._unsent.close()

    async def _end_utterance(self, *, final_is_due: bool) -> None:
        if rest := self._gate.cut():
            await self._put(_AudioChunk(rest, self._gate.end_ms, self._listen))
        self._utterance_bytes = 0
        await self._put(_UtteranceEnd(self._gate.end_ms, final_is_due))

    async def _put(self, item: _QueueItem) -> None:
        try:
            await self._unsent.put(item)
        except trio.BrokenResourceError:
            self._events.check()
            raise


class _UtteranceSession:
    """One utterance on its connection."""

    def __init__(
        self,
        connection: WyomingConnection,
        unsent: _SendQueue,
        events: EventQueue[TranscriptEvent],
        audio: AudioFormat,
    ) -> None:
        self._connection, self._unsent, self._events, self._audio = connection, unsent, events, audio
        self._sent_ms: int | None = None  # the position in the stream up to which audio was sent
        self._end: _UtteranceEnd | None = None  # set when all audio was sent
        self._send_error: ComponentError | None = None
        self._deadline = inf  # of receiving, which may be waiting already when it moves
        self._receive_scope = trio.CancelScope()

    async def run(self, opening: tuple[WyomingEvent, ...]) -> None:
        """Sends the opening events and the utterance, and adds its transcripts to the stream's events.

        Raises:
            ComponentError: the server failed before its final transcript.

        """
        failure = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_utterance, opening)
            try:
                await self._receive_transcript()
            except ComponentError as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _send_utterance(self, opening: tuple[WyomingEvent, ...]) -> None:
        try:
            await self._connection.send(*opening)
            while isinstance(item := await self._unsent.first(), _AudioChunk):
                await self._connection.send(_audio_event("audio-chunk", self._audio, item.audio))
                self._unsent.remove_first()
                self._sent_ms = item.end_ms
            self._unsent.remove_first()
            self._end = item
            await self._connection.send(WyomingEvent("audio-stop"))
        except ComponentError as error:
            self._send_error = error  # the unsent chunk stays in the queue, if there is an answer all the same
            self._set_deadline(LAST_WORDS_S)
        else:
            self._set_deadline(self._connection.timeout_s)

    async def _receive_transcript(self) -> None:
        partial, streams = "", False
        while True:
            event = await self._receive_event()
            streams = streams or event.type in {"transcript-start", "transcript-chunk"}
            if event.type == "transcript-chunk":
                partial += _text_of(event)
                if partial.strip():
                    await self._events.put(Transcript(partial.strip(), final=False, audio_end_ms=self._sent_ms))
            elif event.type in {"transcript", "transcript-stop"}:
                language = event.data.get("language")
                text = _text_of(event) if event.type == "transcript" else partial
                await self._put_final(text.strip(), language if isinstance(language, str) and language else None)
                if event.type == "transcript" and streams:
                    await self._wait_for_stop()
                return

    async def _put_final(self, text: str, language: str | None) -> None:
        end_ms = self._sent_ms if self._end is None else self._end.end_ms
        if end_ms is None:
            raise ComponentError("sent a transcript before it had received any audio")
        if text or (self._end is not None and self._end.final_is_due):
            await self._events.put(Transcript(text, final=True, language=language, audio_end_ms=end_ms))

    async def _wait_for_stop(self) -> None:
        """Lets the server end its stream: one whose client disconnects before that logs an error."""
        with trio.move_on_after(LAST_WORDS_S), suppress(ComponentError):
            while (await self._connection.receive()).type != "transcript-stop":
                pass

    async def _receive_event(self) -> WyomingEvent:
        """Returns the next event: without a deadline during the utterance, then within the server's timeout."""
        if self._end is not None and self._send_error is None:
            self._set_deadline(self._connection.timeout_s)
        with trio.CancelScope(deadline=self._deadline) as self._receive_scope:
            return await self._connection.receive()
        raise self._send_error or ComponentError(f"nothing came for {self._connection.timeout_s:g} s")

    def _set_deadline(self, seconds: float) -> None:
        self._deadline = self._receive_scope.deadline = trio.current_time() + seconds


def _audio_event(kind: str, audio: AudioFormat, samples: bytes = b"") -> WyomingEvent:
    return WyomingEvent(kind, {"rate": audio.rate, "width": audio.sample_bytes, "channels": 1}, samples)


def _text_of(event: WyomingEvent) -> str:
    text = event.data.get("text")
    if not isinstance(text, str):
        raise ComponentError(f"sent a {event.type} without text")
    return text
