"""Speech recognition in worker processes: the side of the process that answers calls.

A native library that crashes over a damaged model, dictionary or grammar ends only its worker: a reload is rejected, or
the worker's streams fail over. Calls of other components go on.

A worker is a helper process (`voicepipe.wire.process`) in which a request is the number of a stream. It first proves
with what it was given that it can recognise something, and then says `READY`, or `REFUSED` and why. From then on it
answers each message but `CLOSE`, in the order of a stream's messages; the answers are the backpressure. A worker is a
script without voicepipe, so it repeats the kinds and payloads that are written down here.
"""

from __future__ import annotations

import json
from copy import copy
from math import inf
from statistics import fmean
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.components.events import Transcript, TranscriptEvent, Word
from voicepipe.errors import ComponentError
from voicepipe.wire.event_queue import EventQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from voicepipe.components.requests import Listen
    from voicepipe.wire.process import HelperProcess

OPEN = 1
"""To the worker: a stream, and what it listens for: as in LISTEN."""
AUDIO = 2
"""To the worker: 16-bit linear samples."""
END = 3
"""To the worker: the utterance is over; exactly one final transcript answers."""
LISTEN = 4
"""To the worker: what to listen for; the payload is the adapter's affair."""
CLOSE = 5
"""To the worker: the stream is over. The only message without an answer."""
TRY = 6
"""To the worker, before anything else, where an adapter has something to try: what streams listen for by default."""

READY = 1
"""From the worker: it has recognised something, and takes streams."""
HEARD = 2
"""From the worker, the answer to each message: a JSON list of transcripts, or nothing. Each is an object with `text`,
`final`, `end_ms` and `words` (word, start in ms, end in ms, probability)."""
FAILED = 3
"""From the worker, instead: why, in UTF-8. The stream is of no use any more."""
REFUSED = 4
"""From the worker, instead of READY: why, in UTF-8. It leaves."""


class RecogniserWorker:
    """A worker process and its streams; when the process ends, its streams fail.

    Where it is kept by `open_kept_helpers` it is followed by another process, with no streams.
    """

    def __init__(self, engine: str, refused: str, trial: bytes | None = None, *, hint: str = "") -> None:
        """Makes a worker that has no process yet.

        Args:
            engine: the library's name, for messages.
            refused: what it means that the worker refuses to work.
            trial: the payload of TRY; None: the worker has all that it needs on its command line.
            hint: what an operator can do if the worker refuses to work.

        """
        self._engine, self._refused, self._trial, self._hint = engine, refused, trial, hint
        self._ready = trio.Event()
        self._refusal = ""
        self.streams: dict[int, RecogniserStream] = {}
        """Those that are open, by number."""
        self._failure: ComponentError | None = None

    @property
    def load(self) -> tuple[bool, int]:
        """Sorts several workers, the best one for a new stream first."""
        return not self._ready.is_set(), len(self.streams)

    @property
    def pid(self) -> int:
        """The process id of the worker that runs now."""
        return self._helper.pid

    async def start(self, helper: HelperProcess) -> None:
        """Waits until the process takes streams.

        Raises:
            ComponentError: it refuses to, and says why.

        """
        self._helper, self._failure = helper, None
        if self._trial is not None:
            helper.post(TRY, 0, self._trial)
        await self._ready.wait()
        if self._refusal:
            with trio.CancelScope(shield=True):  # its end would cancel this; its reason says more
                answered = await helper.last_words()
            raise ComponentError(
                f"{self._refused}: {self._refusal}", retryable=False, answered=answered, hint=self._hint
            )

    async def wait_ready(self) -> None:
        """Returns when there is a process that takes streams; at once, without a checkpoint, if there is."""
        while not self._ready.is_set():
            await self._ready.wait()

    def post(self, kind: int, stream: int, payload: bytes = b"") -> None:
        """Sends a message."""
        self._helper.post(kind, stream, payload)

    def open(self, stream: RecogniserStream) -> None:
        """Delivers the worker's answers to a stream from now on.

        Raises:
            ComponentError: the process has ended by itself.

        """
        if self._failure is not None:
            raise copy(self._failure)
        self.streams[stream.number] = stream

    def close(self, stream: RecogniserStream) -> None:
        """Closes a stream in the worker; answers that still come are dropped."""
        if self.streams.pop(stream.number, None):
            self.post(CLOSE, stream.number)
        stream.close()

    def message(self, kind: int, stream: int, payload: bytes) -> None:
        """Takes a message of the worker process."""
        if kind in {READY, REFUSED}:
            self._refusal = payload.decode(errors="replace") if kind == REFUSED else ""
            self._ready.set()
        elif kind == FAILED and (failed := self.streams.get(stream)):
            failed.fail(ComponentError(f"{self._engine} failed", answered=payload.decode(errors="replace")))
        elif asking := self.streams.get(stream):
            asking.answered(payload)

    def ended(self, error: ComponentError) -> None:
        """The process ended by itself, and with it its streams."""
        self._ready = trio.Event()
        self._failure = error
        for stream in self.streams.values():
            stream.fail(error)
        self.streams.clear()


class RecogniserStream:
    """One call's recognition: each message to the worker waits for its answer, and that is the backpressure."""

    def __init__(
        self,
        worker: RecogniserWorker,
        number: int,
        payload_for: Callable[[Listen], Awaitable[bytes]],
        *,
        most_bytes: int,
        words: bool,
    ) -> None:
        """Makes a stream; nothing is sent before `begin`.

        Args:
            worker: where it is recognised.
            number: its own, in that worker.
            payload_for: what OPEN and LISTEN carry for what a conversation expects.
            most_bytes: how much audio the worker gets at a time, so that no stream waits long for another.
            words: whether transcripts have their words.

        """
        self.number = number
        self._worker, self._payload_for, self._most_bytes, self._words = worker, payload_for, most_bytes, words
        self._expected = b""
        self._asked = self._answers = 0
        self._last: int | None = None  # the question after whose answer comes nothing more
        self._news = trio.Event()
        self._events = EventQueue[TranscriptEvent](inf)  # a few a second of speech

    async def begin(self, payload: bytes) -> None:
        """Opens the stream in the worker; returns when the worker listens."""
        self._expected = payload
        await self._ask(OPEN, payload)

    async def send(self, audio: bytes) -> None:
        """Takes the next audio."""
        for at in range(0, max(len(audio), 1), self._most_bytes):
            await self._ask(AUDIO, audio[at : at + self._most_bytes])

    async def end_utterance(self) -> None:
        """Finalises what was said so far."""
        await self._ask(END)

    async def listen_for(self, listen: Listen) -> None:
        """Finalises what was said so far, unless nothing changes, then listens for something else."""
        payload = await self._payload_for(listen)
        if payload != self._expected:
            self._expected = payload
            await self._ask(LISTEN, payload)

    async def finish(self) -> None:
        """Finalises what was said so far, for the last time."""
        await self._ask(END, last=True)

    async def receive(self) -> TranscriptEvent | None:
        """The next event; None after `finish()` when all were received. Cancel-safe; raises the stream's error."""
        return await self._events.receive()

    def answered(self, payload: bytes) -> None:
        """The worker has done the next thing that it was asked."""
        self._answers += 1
        over = self._answers == self._last
        for found in json.loads(payload) if payload else ():
            if found["text"] or not over:
                self._events.put_nowait(self._transcript(found))
        if over:
            self._events.end()
        self._wake()

    def fail(self, error: ComponentError) -> None:
        """Ends the stream with an error, which `receive` raises after the events that wait."""
        self._events.end(error)
        self._wake()

    def close(self) -> None:
        """Closes the stream; events that wait are dropped."""
        self._events.close()

    def _transcript(self, found: dict[str, Any]) -> Transcript:
        words = tuple(Word(*word) for word in found["words"]) if self._words else ()
        return Transcript(
            text=found["text"],
            final=found["final"],
            confidence=fmean(word.confidence or 0.0 for word in words) if words else None,
            words=words,
            audio_end_ms=found["end_ms"],
        )

    async def _ask(self, kind: int, payload: bytes = b"", *, last: bool = False) -> None:
        # A call that was cancelled here has left a message without its answer.
        await self._wait_for_answers()
        self._asked += 1
        if last:
            self._last = self._asked
        self._worker.post(kind, self.number, payload)
        await self._wait_for_answers()

    async def _wait_for_answers(self) -> None:
        while self._events.failure is None and self._answers < self._asked:
            await self._news.wait()
        self._events.check()

    def _wake(self) -> None:
        self._news.set()
        self._news = trio.Event()
