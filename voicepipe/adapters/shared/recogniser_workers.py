"""Speech recognition in worker processes: the side of the process that answers calls.

Theory of operation
===================

A native library that crashes over a damaged model, dictionary or grammar must end no call of another component. So it
runs in a worker, a helper process (`voicepipe.wire.process`) in which a request's number is the number of a stream. Two
objects face each other over the pipes:

- `RecogniserWorker` is the helper's sink: it sorts messages to streams, and knows whether the process is usable.
- `RecogniserStream` is one call's recognition, the stream that an adapter returns.

The worker's script (`vosk.worker`, `pocketsphinx.worker`) does not import voicepipe, which would cost it memory and
start-up time; it repeats the kinds and payloads of messages that are defined here.

Starting. The worker recognises something before any call uses it: with what is on its command line, or with the payload
of TRY. It answers READY, or REFUSED and the reason, and leaves. Thus a model that is damaged is a rejected reload, and
not a call that fails. A worker of `open_kept_helpers` that ends later is replaced, and goes through the same trial;
streams that open meanwhile wait in `wait_ready`.

Messages of a stream. OPEN, AUDIO, END and LISTEN are answered one by one, in order, by HEARD with a list of transcripts
that is mostly empty. The stream sends one and waits for its answer (`_ask`), so at most one message of each stream is
in the pipe or in the worker: the answers are the backpressure. A call that is cancelled in that wait leaves a message
whose answer comes later; `_requested` and `_answered` count both, and the next `_ask` waits for that answer first.

The last one. `finish` asks END as well, but its final transcript counts only if there is text, and with its answer
(number `_last_request`) the stream's events end.

Failure. FAILED answers a message of a stream that is of no use any more; the others go on. If the process ends, all of
its streams fail with the same error. Either way transcripts that came before can still be received. There are no timers
here: a worker that is stuck is found by the budgets of its calls.
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
"""To the worker: opens a stream; the payload is as for LISTEN."""
AUDIO = 2
"""To the worker: audio in 16-bit linear samples."""
END = 3
"""To the worker: the utterance has ended; the answer has exactly one final transcript."""
LISTEN = 4
"""To the worker: the phrases or the grammar to recognise from now on; each adapter has its own form of payload."""
CLOSE = 5
"""To the worker: the stream is closed. The only message without an answer."""
TRY = 6
"""To the worker, before any other, if the adapter has a payload for it: what streams recognise by default."""

READY = 1
"""From the worker: its trial succeeded, and streams may be opened."""
HEARD = 2
"""From the worker, the answer to each message: a JSON list of transcripts, or nothing. A transcript is an object with
`text`, `final`, `end_ms` and `words` (word, start in ms, end in ms, probability)."""
FAILED = 3
"""From the worker, instead of HEARD: the reason, in UTF-8. The stream can't be used any more."""
REFUSED = 4
"""From the worker, instead of READY: the reason, in UTF-8. The worker leaves."""


class RecogniserWorker:
    """A worker process and its streams.

    When the process ends, its streams fail. `open_kept_helpers` then starts another process for the same object.
    """

    def __init__(self, engine: str, refused: str, trial: bytes | None = None, *, hint: str = "") -> None:
        """Makes a worker that has no process yet.

        Args:
            engine: the library's name, for messages.
            refused: the message of the error if the worker refuses.
            trial: the payload of TRY; None: the worker needs nothing but its command line.
            hint: advice for an operator if the worker refuses.

        """
        self._engine, self._refused, self._trial, self._hint = engine, refused, trial, hint
        self._ready = trio.Event()
        self._refusal = ""
        self.streams: dict[int, RecogniserStream] = {}
        """The open streams by number."""
        self._failure: ComponentError | None = None

    @property
    def load(self) -> tuple[bool, int]:
        """A sort key: the worker that is ready and has the fewest streams comes first."""
        return not self._ready.is_set(), len(self.streams)

    @property
    def pid(self) -> int:
        """The id of the present process."""
        return self._helper.pid

    async def start(self, helper: HelperProcess) -> None:
        """Waits for the trial of a new process.

        Raises:
            ComponentError: the worker refused.

        """
        self._helper, self._failure = helper, None
        if self._trial is not None:
            helper.post(TRY, 0, self._trial)
        await self._ready.wait()
        if self._refusal:
            with trio.CancelScope(shield=True):  # the end of the process cancels this, but the refusal says more
                answered = await helper.last_words()
            raise ComponentError(
                f"{self._refused}: {self._refusal}", retryable=False, answered=answered, hint=self._hint
            )

    async def wait_ready(self) -> None:
        """Returns when a process is ready; without a checkpoint if one is already."""
        while not self._ready.is_set():
            await self._ready.wait()

    def post(self, kind: int, stream: int, payload: bytes = b"") -> None:
        """Sends a message to the worker; never blocks."""
        self._helper.post(kind, stream, payload)

    def open(self, stream: RecogniserStream) -> None:
        """Adds a stream, to which answers are delivered from now on.

        Raises:
            ComponentError: the process has ended by itself.

        """
        if self._failure is not None:
            raise copy(self._failure)
        self.streams[stream.number] = stream

    def close(self, stream: RecogniserStream) -> None:
        """Closes a stream here and in the worker; answers that still come are dropped."""
        if self.streams.pop(stream.number, None):
            self.post(CLOSE, stream.number)
        stream.close()

    def message(self, kind: int, stream: int, payload: bytes) -> None:
        """Takes a message of the worker process."""
        if kind in {READY, REFUSED}:
            self._refusal = payload.decode(errors="replace") if kind == REFUSED else ""
            self._ready.set()
            return
        addressee = self.streams.get(stream)
        if addressee is None:
            return
        if kind == FAILED:
            addressee.fail(ComponentError(f"{self._engine} failed", answered=payload.decode(errors="replace")))
        else:
            addressee.answered(payload)

    def ended(self, error: ComponentError) -> None:
        """Takes the end of the process, and fails its streams."""
        self._ready = trio.Event()
        self._failure = error
        for stream in self.streams.values():
            stream.fail(error)
        self.streams.clear()


class RecogniserStream:
    """One call's recognition; each message waits for the worker's answer, which is the backpressure."""

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
            worker: recognises the audio.
            number: the stream's number, unique in that worker.
            payload_for: makes the payload of LISTEN from what the conversation expects.
            most_bytes: the most audio in a message, so that no stream waits long for another.
            words: whether transcripts have their words.

        """
        self.number = number
        self._worker, self._payload_for, self._most_bytes, self._words = worker, payload_for, most_bytes, words
        self._listen_payload = b""  # of the latest OPEN or LISTEN
        self._requested = self._answered = 0  # messages sent, and answers received
        self._last_request: int | None = None  # the number of the message of `finish`
        self._progress = trio.Event()  # set by each answer and by a failure
        self._events = EventQueue[TranscriptEvent](inf)  # a few a second of speech

    async def begin(self, payload: bytes) -> None:
        """Opens the stream in the worker; returns when the worker has done so."""
        self._listen_payload = payload
        await self._ask(OPEN, payload)

    async def send(self, audio: bytes) -> None:
        """Sends the next audio, and waits until it is recognised."""
        for at in range(0, max(len(audio), 1), self._most_bytes):
            await self._ask(AUDIO, audio[at : at + self._most_bytes])

    async def end_utterance(self) -> None:
        """Ends the utterance; its final transcript follows, be it empty."""
        await self._ask(END)

    async def listen_for(self, listen: Listen) -> None:
        """Changes what is recognised; if it differs, the transcript of the utterance so far is finalised first."""
        payload = await self._payload_for(listen)
        if payload != self._listen_payload:
            self._listen_payload = payload
            await self._ask(LISTEN, payload)

    async def finish(self) -> None:
        """Ends the audio; after the final transcript of the rest, `receive` returns None."""
        await self._ask(END, last=True)

    async def receive(self) -> TranscriptEvent | None:
        """The next event; None after `finish()` when all were received. Cancel-safe; raises the stream's error."""
        return await self._events.receive()

    def answered(self, payload: bytes) -> None:
        """Takes the worker's next answer."""
        self._answered += 1
        is_last = self._answered == self._last_request
        for transcript in json.loads(payload) if payload else ():
            if transcript["text"] or not is_last:
                self._events.put_nowait(self._event(transcript))
        if is_last:
            self._events.end()
        self._notify()

    def fail(self, error: ComponentError) -> None:
        """Ends the stream with an error, which `receive` raises after the events that wait."""
        self._events.end(error)
        self._notify()

    def close(self) -> None:
        """Closes the stream; events that wait are dropped."""
        self._events.close()

    def _event(self, transcript: dict[str, Any]) -> Transcript:
        words = tuple(Word(*word) for word in transcript["words"]) if self._words else ()
        return Transcript(
            text=transcript["text"],
            final=transcript["final"],
            confidence=fmean(word.confidence or 0.0 for word in words) if words else None,
            words=words,
            audio_end_ms=transcript["end_ms"],
        )

    async def _ask(self, kind: int, payload: bytes = b"", *, last: bool = False) -> None:
        await self._wait_for_answers()  # an `_ask` that was cancelled has left its answer
        self._requested += 1
        if last:
            self._last_request = self._requested
        self._worker.post(kind, self.number, payload)
        await self._wait_for_answers()

    async def _wait_for_answers(self) -> None:
        while self._events.failure is None and self._answered < self._requested:
            await self._progress.wait()
        self._events.check()

    def _notify(self) -> None:
        self._progress.set()
        self._progress = trio.Event()
