"""The process in which Vosk recognises the speech of all calls of a model: a script, without voicepipe.

    python -I worker.py LIBRARY MODEL RATE WORDS NAME

LIBRARY is the file of the Python package `vosk`, MODEL a directory, RATE the sample rate of the model's training in Hz,
WORDS `words` for transcripts with their words, else `text`. NAME is for a reader of `ps`. Standard input and output
carry the messages of `recogniser_workers`; the process leaves when its standard input ends.

Theory of operation
===================

The trial. The native library finds mistakes in a model only when it uses the part in question: at loading, when a
recogniser is made, when its graph is searched, when words are aligned. It then raises, or ends the process. So before
READY the model recognises something like speech, once freely and once by a grammar, with words (`try_out`).

The threads. The model is loaded once, and each stream has a recogniser. The library releases the interpreter's lock
while it works, so as many threads as there are processors serve all streams:

- The main thread reads messages and appends each to its stream's queue (`VoskStream.messages`).
- A stream with messages that no thread has is put into `_ready`, and `is_scheduled` is set.
- A thread takes a stream from `_ready`, does one message, and puts the stream back at the end if it has more.

So the messages of a stream are done in order and by one thread at a time, and no stream waits for more than one message
of each other stream. `_lock` protects the streams' queues and standard output; no thread holds it while it recognises.

Transcripts. The library gives partial texts, and a final text where it finds an end or is asked for one. A recogniser
counts time from its own first sample; `_began` maps its times to the stream's. To expect other phrases is to make
another recogniser (0.1 ms with a small model): in 0.3.45 `SetGrammar` leaks the old grammar, and must not be called
while there is audio in the decoder.
"""

from __future__ import annotations

import json
import os
import queue
import random
import signal
import sys
import threading
import unicodedata
from array import array
from collections import deque
from importlib.util import module_from_spec, spec_from_file_location
from math import pi, sin
from pathlib import Path
from struct import Struct
from typing import IO, Any

HEADER = Struct("!BII")
"""The header of a message, as in `voicepipe.wire.process`; importing that would load all of voicepipe."""

OPEN, AUDIO, END, LISTEN, CLOSE = 1, 2, 3, 4, 5
READY, HEARD, FAILED, REFUSED = 1, 2, 3, 4
"""The kinds of messages, as in `recogniser_workers`.

The payload of OPEN and LISTEN is a JSON object with `rate`, of the audio in Hz, and `phrases`, as the conversation
expects them."""

UNKNOWN = "[unk]"
"""The word in transcripts that stands for speech which is no word of the model."""

TRIAL_WORDS = 50
"""The number of the model's words in the grammar of the trial."""


class VoskModel:
    """The library with its model."""

    def __init__(self, file: str, model: str, rate: int, *, words: bool) -> None:
        """Loads the model, which takes up to half a minute for a big one."""
        vosk = _imported(file)
        vosk.SetLogLevel(-1)
        self._new_recogniser = vosk.KaldiRecognizer
        self._directory, self._rate, self._words = Path(model), rate, words
        self.has_fixed_graph = (self._directory / "graph/HCLG.fst").is_file()
        """Whether the model's graph is fixed, so that no grammar can restrict it."""
        self._model = vosk.Model(model)

    def recogniser(self, rate: int, grammar: tuple[str, ...], *, words: bool | None = None) -> Any:
        """Makes a `vosk.KaldiRecognizer` for a result of `grammar_for`; an empty one restricts nothing."""
        if grammar:
            recogniser = self._new_recogniser(self._model, rate, json.dumps([*grammar, UNKNOWN], ensure_ascii=False))
        else:
            recogniser = self._new_recogniser(self._model, rate)
        recogniser.SetWords(self._words if words is None else words)
        return recogniser

    def grammar_for(self, phrases: list[str]) -> tuple[str, ...]:
        """Returns the phrases of which the model knows every word, in its spelling; none if its graph is fixed."""
        if self.has_fixed_graph:
            return ()
        spelled = map(words_of, phrases)
        return tuple(" ".join(words) for words in spelled if words and all(map(self._knows, words)))

    def _knows(self, word: str) -> bool:
        return bool(self._model.vosk_model_find_word(word) >= 0)

    def try_out(self) -> None:
        """Recognises something like speech, freely and by a grammar, to final transcripts with words.

        It also makes the first call's audio as quick as the next.
        """
        for grammar in ((), self.grammar_for(self._some_words())):
            recogniser = self.recogniser(self._rate, grammar, words=True)
            for chunk in like_speech(self._rate):
                if recogniser.AcceptWaveform(chunk):
                    recogniser.Result()
                recogniser.PartialResult()
            recogniser.FinalResult()
            recogniser.AcceptWaveform(bytes(self._rate // 5 * 2))
            recogniser.FinalResult()

    def _some_words(self) -> list[str]:
        """Some of the model's words, at even distances in its list; none if it has no list."""
        try:
            lines = (self._directory / "graph/words.txt").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        words = [line.split()[0] for line in lines if line[:1].isalpha()]
        return words[:: max(1, len(words) // TRIAL_WORDS)]


def words_of(phrase: str) -> list[str]:
    """Splits a phrase into words as models spell them: lower case, NFC, with marks and inner `'` and `-`."""
    lowered = unicodedata.normalize("NFC", phrase.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    # `\w` has no combining marks, which are the vowels of Hindi.
    kept = "".join(char if char in "'-_" or unicodedata.category(char)[0] in "LMN" else " " for char in lowered)
    return [word for part in kept.split() if (word := part.strip("'-"))]


def _imported(file: str) -> Any:
    """Imports the package `vosk` from that file, and no other of that name."""
    sys.path.append(str(Path(file).parent.parent))
    spec = spec_from_file_location("vosk", file, submodule_search_locations=[str(Path(file).parent)])
    assert spec is not None  # noqa: S101 - for mypy: it is a file of Python
    assert spec.loader is not None  # noqa: S101
    # On import it looks for the home directory, and a user that /etc/passwd does not have has none.
    os.environ.setdefault("HOME", "/")
    vosk = sys.modules["vosk"] = module_from_spec(spec)
    spec.loader.exec_module(vosk)
    return vosk


def like_speech(rate: int) -> list[bytes]:
    """Makes 1.5 s of gliding vowels, hisses and pauses, loud and quiet, in pieces of 100 ms; always the same.

    It makes a decoder follow many paths of its graph, which silence or a tone would not.
    """
    chance = random.Random(0)  # noqa: S311 - noise
    pieces = []
    at = 0.0
    for number in range(15):
        kind, level = number % 5, (300, 3000, 12000)[number // 5]
        pitch, formants = chance.uniform(90, 220), [chance.uniform(*band) for band in FORMANTS]
        piece = array("h")
        for sample in range(rate // 10):
            at += pitch * (1 + 0.2 * sample * 10 / rate) / rate
            since = (at % 1.0) / pitch  # seconds since the last pulse of the voice
            if kind == 4:
                value = 0.0
            elif kind == 3:
                value = chance.uniform(-1, 1)
            else:  # each formant rings on after the pulse
                value = sum(sin(2 * pi * formant * since) * (1 - since * pitch) for formant in formants) / len(formants)
            piece.append(int(level * value))
        if sys.byteorder == "big":
            piece.byteswap()
        pieces.append(piece.tobytes())
    return pieces


FORMANTS = ((250, 900), (800, 2400), (2200, 3200))
"""The ranges of the formants of vowels, in Hz."""


class VoskRecognition:
    """The recognition of one stream; used by one thread at a time."""

    def __init__(self, library: VoskModel, listen: dict[str, Any]) -> None:
        self._library = library
        self._rate = listen["rate"]
        self._grammar = library.grammar_for(listen["phrases"])
        self._recogniser = library.recogniser(self._rate, self._grammar)
        self._heard = self._began = 0  # bytes of the stream: all so far, and those before this recogniser
        self._partial = ""

    def hear(self, audio: bytes) -> list[dict[str, Any]]:
        """Takes audio; returns the partial text if it changed, or the final text if the recogniser found an end."""
        self._heard += len(audio)
        if self._recogniser.AcceptWaveform(audio):
            final = self._final(self._recogniser.Result())
            return [final] if final["text"] else []
        text = _text(json.loads(self._recogniser.PartialResult())["partial"])
        if text in {"", self._partial}:
            return []
        self._partial = text
        return [{"text": text, "final": False, "end_ms": self._ms(self._heard), "words": []}]

    def conclude(self) -> list[dict[str, Any]]:
        """Returns the final text of the audio so far, which may be empty; the recogniser can go on."""
        return [self._final(self._recogniser.FinalResult())]

    def listen_for(self, listen: dict[str, Any]) -> list[dict[str, Any]]:
        """Expects other phrases; returns the final text of the audio so far if they differ and it is not empty."""
        grammar = self._library.grammar_for(listen["phrases"])
        if grammar == self._grammar:
            return []
        rest = [final for final in self.conclude() if final["text"]]
        self._grammar, self._began = grammar, self._heard
        self._recogniser = self._library.recogniser(self._rate, grammar)
        return rest

    def _ms(self, size: int) -> int:
        return int(size * 500 / self._rate + 0.5)

    def _final(self, result: str) -> dict[str, Any]:
        final = json.loads(result)
        self._partial = ""
        began = self._ms(self._began)
        words = [
            (
                word["word"],
                began + round(word["start"] * 1000),
                began + round(word["end"] * 1000),
                min(word["conf"], 1.0),
            )
            for word in final.get("result", ())
            if word["word"] != UNKNOWN
        ]
        return {"text": _text(final["text"]), "final": True, "end_ms": self._ms(self._heard), "words": words}


def _text(words: str) -> str:
    return " ".join(word for word in words.split() if word != UNKNOWN)


class VoskStream:
    """A stream's queue of messages, and its recogniser."""

    def __init__(self) -> None:
        self.messages: deque[tuple[int, bytes]] = deque()
        self.is_scheduled = False
        """Whether it waits for a thread, or a thread is at work on it."""
        self.recognition: VoskRecognition | None = None


class VoskWorker:
    """The streams of this process, and the threads that serve them."""

    def __init__(self, library: VoskModel, out: IO[bytes]) -> None:
        self._library, self._out = library, out
        self._streams: dict[int, VoskStream] = {}
        self._lock = threading.Lock()  # of the streams' queues, and of standard output
        self._ready: queue.SimpleQueue[tuple[int, VoskStream]] = queue.SimpleQueue()

    def start(self, threads: int) -> None:
        """Starts the threads, of which `threads` is the number."""
        for _ in range(threads):
            threading.Thread(target=self._serve, daemon=True).start()

    def message(self, kind: int, number: int, payload: bytes) -> None:
        """Queues a message for a thread; messages of one stream are worked on in order."""
        with self._lock:
            stream = self._streams.setdefault(number, VoskStream()) if kind == OPEN else self._streams.get(number)
            if stream is None:  # it has failed
                return
            stream.messages.append((kind, payload))
            if not stream.is_scheduled:
                stream.is_scheduled = True
                self._ready.put((number, stream))

    def _serve(self) -> None:
        while True:
            number, stream = self._ready.get()
            kind, payload = stream.messages.popleft()
            self._do_message(number, stream, kind, payload)
            with self._lock:
                stream.is_scheduled = bool(stream.messages)
                if stream.is_scheduled:
                    self._ready.put((number, stream))

    def _do_message(self, number: int, stream: VoskStream, kind: int, payload: bytes) -> None:
        try:
            if kind == CLOSE:
                self._forget(number, stream)
                return
            transcripts = self._answer(stream, kind, payload)
        except Exception as error:  # noqa: BLE001 - the boundary of a stream: the others of this process go on
            self._forget(number, stream)
            self.say(FAILED, number, f"{type(error).__name__}: {error}".encode())
        else:
            self.say(HEARD, number, json.dumps(transcripts).encode() if transcripts else b"")

    def _forget(self, number: int, stream: VoskStream) -> None:
        stream.recognition = None  # which frees its memory
        with self._lock:
            stream.messages.clear()
            self._streams.pop(number, None)

    def _answer(self, stream: VoskStream, kind: int, payload: bytes) -> list[dict[str, Any]]:
        if kind == OPEN:
            stream.recognition = VoskRecognition(self._library, json.loads(payload))
        elif stream.recognition is None:
            raise LookupError("the stream is not open")
        elif kind == AUDIO:
            return stream.recognition.hear(payload)
        elif kind == END:
            return stream.recognition.conclude()
        elif kind == LISTEN:
            return stream.recognition.listen_for(json.loads(payload))
        return []

    def say(self, kind: int, stream: int = 0, payload: bytes = b"") -> None:
        """Writes a message to standard output; ends the process if the pipe is closed."""
        try:
            with self._lock:
                self._out.write(HEADER.pack(kind, stream, len(payload)) + payload)
                self._out.flush()
        except OSError:
            os._exit(0)


def main() -> None:
    """Recognises until standard input ends."""
    # A service manager that stops the engine signals every process of the service, while calls are still draining.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that the library prints must not get among the messages
    file, model, rate, words = sys.argv[1:5]
    try:
        library = VoskModel(file, model, int(rate), words=words == "words")
        library.try_out()
    except Exception as error:  # noqa: BLE001 - the boundary of the library, which raises `Exception` itself
        reason = f"{type(error).__name__}: {error}".encode()
        out.write(HEADER.pack(REFUSED, 0, len(reason)) + reason)
        out.flush()
        return
    worker = VoskWorker(library, out)
    worker.start(os.cpu_count() or 1)
    worker.say(READY)
    source = sys.stdin.buffer
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, stream, size = HEADER.unpack(header)
        worker.message(kind, stream, source.read(size))
    os._exit(0)  # whatever the threads are doing


if __name__ == "__main__":
    main()
