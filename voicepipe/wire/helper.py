"""The other end of a helper process's pipes: what a library does there for many streams at a time.

    def load():                                # imports the library, loads the model, may take its time
        engine = Engine(sys.argv[1])
        return lambda: Conversation(engine).answer   # called for each stream; `answer(message)` gives messages

    if __name__ == "__main__":
        serve(load)

`voicepipe.wire.sessions` is the end that an adapter holds. This module needs nothing but the standard library, so a
helper starts in a few hundredths of a second.

A message is a header in network order (kind u8, stream u32, size of the payload u32) and its payload.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import traceback
from collections import deque
from contextlib import suppress
from struct import Struct
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Message = bytes | dict[str, Any]
    Answer = Callable[[Message], Iterable[Message]]

__all__ = ["serve"]

HEADER = Struct("!BII")
"""Kind, stream, size of the payload in bytes."""

JSON, BYTES, CLOSED, MORE, READY, REFUSED, FAILED = 1, 2, 3, 4, 5, 6, 7
"""Kinds of messages: an object and audio, in both directions; to the helper, that a stream is over and that so many
more of its messages may come; from it, that it is ready, that it will never be, and that a stream has failed."""

WINDOW = 64
"""The most messages of a stream that the adapter has not received yet; then the stream waits for credit."""

UNREAD = 256
"""The most messages that are read ahead; then the pipe fills, and senders wait."""


class _HelperStream:
    """One stream: its messages, and the answer that is being made."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._answers: Iterator[Message] | None = None
        self.asked: deque[Message] = deque()
        self.credit = WINDOW

    @property
    def can_go_on(self) -> bool:
        """Whether the stream has work, and credit to send its result."""
        return self.credit > 0 and (self._answers is not None or bool(self.asked))

    def step(self) -> Message | None:
        """The next message of the answer; None when the answer has ended."""
        if self._answers is None:
            self._answers = iter(self._answer(self.asked.popleft()) or ())
        answer = next(self._answers, None)
        if answer is None:
            self._answers = None
        else:
            self.credit -= 1
        return answer


def serve(load: Callable[[], Callable[[], Answer]]) -> None:
    """Answers the messages of streams until standard input ends; then the process ends, whatever it was doing.

    Streams take turns, message by message, so a long answer of one stream does not hold up the others. The answer of a
    closed stream is dropped. A single message must take no longer to make than another call can wait.

    Args:
        load: imports the library and loads the model; it gives a function that is called for each stream, and that
            gives a function from a message (an object, or audio as bytes) to messages, as a list or, better, one by
            one. A `ValueError` of `load` is shown to the operator: there is no such model, say.

    """
    # A service manager that stops the engine signals every process of the service, while calls are still draining.
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that a library prints must not get among the messages
    try:
        new_answer = load()
    except ValueError as error:
        _say(out, REFUSED, 0, str(error).encode())
        return
    _say(out, READY, 0)
    inbox: queue.Queue[tuple[int, int, bytes]] = queue.Queue(UNREAD)
    threading.Thread(target=_read, args=(sys.stdin.buffer, inbox), daemon=True).start()
    streams = _HelperStreams(new_answer, out)
    while True:
        if not streams.can_go_on:
            streams.take(*inbox.get())
        with suppress(queue.Empty):
            while True:
                streams.take(*inbox.get_nowait())
        streams.step()


class _HelperStreams:
    """All streams; each works on one message at a time, in turn."""

    def __init__(self, new_answer: Callable[[], Answer], out: IO[bytes]) -> None:
        self._new_answer, self._out = new_answer, out
        self._streams: dict[int, _HelperStream] = {}

    @property
    def can_go_on(self) -> bool:
        """Whether any stream can go on."""
        return any(stream.can_go_on for stream in self._streams.values())

    def take(self, kind: int, number: int, payload: bytes) -> None:
        """Takes a message for a stream."""
        if kind == CLOSED:
            self._streams.pop(number, None)
            return
        stream = self._streams.get(number)
        if stream is None:
            stream = self._streams[number] = _HelperStream(self._new_answer())
        if kind == MORE:
            stream.credit += int.from_bytes(payload)
        else:
            stream.asked.append(payload if kind == BYTES else json.loads(payload))

    def step(self) -> None:
        """Makes one message of each stream that can go on."""
        for number, stream in list(self._streams.items()):
            if not stream.can_go_on:
                continue
            try:
                message = stream.step()
            except Exception as error:  # noqa: BLE001 - this stream's; the others go on
                traceback.print_exc()
                self._streams[number] = _HelperStream(lambda _: ())  # further messages for it go nowhere
                _say(self._out, FAILED, number, f"{type(error).__name__}: {error}".encode())
                continue
            if isinstance(message, bytes):
                _say(self._out, BYTES, number, message)
            elif message is not None:
                _say(self._out, JSON, number, json.dumps(message).encode())


def _read(source: IO[bytes], inbox: queue.Queue[tuple[int, int, bytes]]) -> None:
    """Reads messages until there are no more, which ends the process."""
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, stream, size = HEADER.unpack(header)
        inbox.put((kind, stream, source.read(size)))
    os._exit(0)


def _say(out: IO[bytes], kind: int, stream: int, payload: bytes = b"") -> None:
    """Sends a message; ends the process if nobody is there to read it."""
    try:
        out.write(HEADER.pack(kind, stream, len(payload)) + payload)
        out.flush()
    except OSError:
        os._exit(0)
