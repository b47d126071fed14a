"""The helper process's side of its pipes: serves many streams with a library.

    def load():                                # imports the library and loads the model, which may take long
        engine = Engine(sys.argv[1])
        return lambda: Conversation(engine).answer   # called for each stream; `answer(message)` returns messages

    if __name__ == "__main__":
        serve(load)

`voicepipe.wire.sessions` is the adapter's side. This module imports only the standard library, so a helper starts in a
few hundredths of a second.

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
"""The header of a message: kind, stream, size of the payload in bytes."""

JSON, BYTES, CLOSED, MORE, READY, REFUSED, FAILED = 1, 2, 3, 4, 5, 6, 7
"""Kinds of messages. In both directions: JSON carries an object, BYTES audio. To the helper: CLOSED ends a stream, MORE
gives it credit for further messages. From the helper: READY, or REFUSED if it can't serve; FAILED ends a stream."""

WINDOW = 64
"""The credit of a new stream: the most messages that it sends before the adapter has received any."""

UNREAD = 256
"""The most messages that are read ahead; beyond it the pipe fills, and the adapter's senders wait."""


class _HelperStream:
    """A stream: its messages, and the answer that is in progress."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._answers: Iterator[Message] | None = None
        self.messages: deque[Message] = deque()
        self.credit = WINDOW

    @property
    def can_go_on(self) -> bool:
        """Whether the stream has a message to answer, and credit to send a message."""
        return self.credit > 0 and (self._answers is not None or bool(self.messages))

    def step(self) -> Message | None:
        """Makes the next message of the answer; None at its end."""
        if self._answers is None:
            self._answers = iter(self._answer(self.messages.popleft()) or ())
        answer = next(self._answers, None)
        if answer is None:
            self._answers = None
        else:
            self.credit -= 1
        return answer


def serve(load: Callable[[], Callable[[], Answer]]) -> None:
    """Answers the messages of streams until standard input ends, then ends the process, even in mid-answer.

    Streams take turns, message by message, so a long answer of one stream does not delay the others. The answer to a
    closed stream is dropped. A single message must not take longer to make than another call can wait.

    Args:
        load: imports the library and loads the model. It returns a function that is called for each stream, and
            returns the stream's `answer`: a function that takes a message (an object, or audio as bytes) and returns
            messages, preferably as an iterator that makes them one by one. The text of a `ValueError` that `load`
            raises is shown to the operator.

    """
    # A service manager that stops the engine signals every process of the service, while calls are still draining.
    for ignored in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(ignored, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that the library prints must not get among the messages
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
    """All streams, which take turns."""

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
            stream.messages.append(payload if kind == BYTES else json.loads(payload))

    def step(self) -> None:
        """Makes and sends one message for each stream that can go on."""
        for number, stream in list(self._streams.items()):
            if not stream.can_go_on:
                continue
            try:
                message = stream.step()
            except Exception as error:  # noqa: BLE001 - the boundary of a stream: the others go on
                traceback.print_exc()
                self._streams[number] = _HelperStream(lambda _: ())  # answers nothing to further messages
                _say(self._out, FAILED, number, f"{type(error).__name__}: {error}".encode())
                continue
            if isinstance(message, bytes):
                _say(self._out, BYTES, number, message)
            elif message is not None:
                _say(self._out, JSON, number, json.dumps(message).encode())


def _read(source: IO[bytes], inbox: queue.Queue[tuple[int, int, bytes]]) -> None:
    """Reads messages until standard input ends, then ends the process."""
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, stream, size = HEADER.unpack(header)
        inbox.put((kind, stream, source.read(size)))
    os._exit(0)


def _say(out: IO[bytes], kind: int, stream: int, payload: bytes = b"") -> None:
    """Sends a message; ends the process if the pipe is closed."""
    try:
        out.write(HEADER.pack(kind, stream, len(payload)) + payload)
        out.flush()
    except OSError:
        os._exit(0)
