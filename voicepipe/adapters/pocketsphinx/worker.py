"""A process in which PocketSphinx listens to some of the calls: a script of its own, without voicepipe.

The library holds the interpreter's lock while it works, up to 18 ms at a time, so it stays out of the process that
answers calls.

    python -I worker.py SITE MODEL NAME

SITE is the directory that the library is installed in, MODEL that of its acoustic model, language model and
dictionary. NAME is for those who look at `ps`. Standard input and output carry the messages of `recogniser_workers`;
the first one is TRY. The process leaves when its standard input ends.
"""

from __future__ import annotations

import json
import math
import os
import random
import signal
import sys
import warnings
from array import array
from struct import Struct
from typing import IO, Any

HEADER = Struct("!BII")
"""As in `voicepipe.wire.process`, which this process doesn't import: it would bring all of voicepipe with it."""

OPEN, AUDIO, END, LISTEN, CLOSE, TRY = 1, 2, 3, 4, 5, 6
READY, HEARD, FAILED, REFUSED = 1, 2, 3, 4
"""As in `recogniser_workers`. What to listen for is a JSON object with `grammar` (JSGF), `words` (pairs of word and
phones) and `strictness` (a number), or nothing for dictation."""

RATE = 16000
"""Of the acoustic model, in Hz."""
BYTES_A_MS = RATE * 2 // 1000
FRAME_MS = 10
"""Of the library's word times (its default `frate`)."""

NOISE_RMS = 100
"""How loud the noise is that is laid over all audio, of 32767.

The model was trained on wide-band speech. Over telephone audio, with its empty band above 4 kHz, it is mostly wrong;
with noise in that band it isn't. Of 84 phrases in four of espeak-ng's voices, over 8 kHz, it heard 44 without noise and
73 with it and the mean below; 79 and 80 at a half and a quarter of the level, 72 at a tenth. More noise helps loud
callers and drowns quiet ones."""

CMN = "50,-10,-5,1,-3,-10"
"""The cepstral mean of speech with that noise, to begin each utterance with. The library goes on from the mean of what
came last, and after some seconds of silence that is no mean of speech."""

LEAST_FIT = -4.6
LEAST_FIT_AROUND = -3.0
"""How well a phrase has to fit what was heard, at a strictness of 1: the logarithm of the likelihood, a frame, of its
words beside that of the best sounds that the model has for those frames; on the words, and on the words with what is
around them.

The decoder gives the likeliest phrase whatever is said, and its own confidence only compares phrases with one another.
Its scores are relative to the best state of the model in each frame, so they tell by themselves how much worse a
phrase is than anything at all: around -3 for phrases, below -5 for half of other speech. What is around the words is
looked at too, for of a longer sentence the decoder takes what resembles no phrase for silence. A second decoder that
hears single phones (`allphone_ci`) told no better; a loop of all phones in the grammar took seven times real time.
`tests/benchmarks/phrase_rates.py` measures."""
MOST_FIT = -0.5
"""More than speech ever fits: on a steady tone all states of the model score alike, and each is the best."""
AROUND_FRAMES = 30
"""How many frames before and after the words are looked at."""
LONGEST_WORD = 150
"""Frames of the longest word, 1.5 s: a steady noise is a vowel without end."""
PARTIAL_SCALE = 1024
"""The library scales scores down by so much (2 to the power of its SENSCR_SHIFT) until the utterance is over."""
FIT_OF_CERTAIN, FIT_OF_DOUBTFUL = -2.0, -6.0
"""Where a word's confidence is not lowered any more, and where it is none."""

QUIET_MS = 4000
"""How long an utterance may be without a word before it begins anew: it grows, and its mean drifts."""
KEPT_MS = 500
"""How much of it the new one begins with, for a word that had just begun."""
LONG_MS = 30000
"""How long an utterance may be with words in it before it is concluded, whether or not anybody says so."""


class DecoderPool:
    """The library with its model, and the decoders that no stream uses at present."""

    def __init__(self, site: str, model: str) -> None:
        sys.path.append(site)
        with warnings.catch_warnings():  # audioop left the standard library in 3.13; until then importing it warns
            warnings.simplefilter("ignore")
            import audioop  # noqa: PLC0415

            import pocketsphinx  # noqa: PLC0415 - only now is it known where it is

        self._pocketsphinx, self._model = pocketsphinx, model
        self._add = audioop.add
        gauss = random.Random(0).gauss  # noqa: S311 - noise, the same each time
        noise = array("h", (int(gauss(0, NOISE_RMS)) for _ in range(RATE)))
        if sys.byteorder == "big":
            noise.byteswap()
        self._noise = noise.tobytes() * 2
        self._idle: dict[bool, list[Any]] = {True: [], False: []}
        self._words: dict[int, set[str]] = {}

    def noisy(self, audio: bytes, at: int) -> bytes:
        """Audio of up to a second with noise; `at` is its place in the stream, in bytes."""
        at %= len(self._noise) // 2
        return bytes(self._add(audio, self._noise[at : at + len(audio)], 2))

    def borrow(self, listen: dict[str, Any] | None) -> Any:
        """A decoder that listens for that; 20 ms if none is idle, for dictation a second."""
        idle = self._idle[listen is None]
        decoder = idle.pop() if idle else self._decoder(dictation=listen is None)
        if listen is not None:
            known = self._words[id(decoder)]
            for word, phones in listen["words"]:
                if word not in known:
                    known.add(word)
                    decoder.add_word(word, phones, False)  # the grammar, which comes next, takes it in
            decoder.add_jsgf_string("listen", listen["grammar"])
            decoder.activate_search("listen")
        return decoder

    def give_back(self, decoder: Any, *, dictation: bool) -> None:
        """Keeps a decoder for another stream, without what it knows of the noise on this one's line."""
        decoder.reinit_feat()  # 0.1 ms; beginning an utterance keeps that, and another caller is heard by it
        self._idle[dictation].append(decoder)

    def _decoder(self, *, dictation: bool) -> Any:
        settings: dict[str, Any] = {"hmm": f"{self._model}/en-us", "samprate": RATE, "cmninit": CMN}
        if dictation:
            settings.update(dict=f"{self._model}/cmudict-en-us.dict", lm=f"{self._model}/en-us.lm.bin")
        else:  # 8 MB: the words come with the grammars
            settings.update(dict=None, lm=None)
        decoder = self._pocketsphinx.Decoder(self._pocketsphinx.Config(loglevel="FATAL", **settings))
        self._words[id(decoder)] = set()  # one that failed, and is gone, may have had this id
        return decoder


def _fit(heard: list[Any], start: float = 0, end: float = math.inf) -> float:
    """The mean logarithm of the likelihood of a frame, of those from `start` to `end`."""
    total = frames = 0.0
    for one in heard:
        lasts = one.end_frame - one.start_frame + 1
        within = min(end, one.end_frame) - max(start, one.start_frame) + 1
        if lasts > 0 and within > 0:
            total += math.log(max(one.ascore, 1e-300)) * within / lasts
            frames += within
    return total / max(frames, 1)


class SphinxRecognition:
    """One stream."""

    def __init__(self, library: DecoderPool, listen: dict[str, Any] | None) -> None:
        self._library = library
        self._heard = 0  # bytes
        self._start(listen)

    def _start(self, listen: dict[str, Any] | None) -> None:
        self._dictation = listen is None
        self._strictness = 0.0 if listen is None else listen.get("strictness", 1.0)
        self._decoder = self._library.borrow(listen)
        self._begin()

    def _begin(self, kept: bytes = b"") -> None:
        """Begins an utterance."""
        self._began = self._heard - len(kept)
        self._recent = bytearray(kept)
        self._text = ""
        self._decoder.set_cmn(CMN)
        self._decoder.start_utt()
        if kept:
            self._decoder.process_raw(kept)

    def hear(self, audio: bytes) -> list[dict[str, Any]]:
        """Takes up to a second of audio; gives the text so far if it changed."""
        noisy = self._library.noisy(audio, self._heard)
        self._heard += len(audio)
        self._decoder.process_raw(noisy)
        self._recent += noisy
        del self._recent[: -KEPT_MS * BYTES_A_MS]
        text = self._hypothesis()
        lasts_ms = (self._heard - self._began) // BYTES_A_MS
        if not text and not self._text and lasts_ms >= QUIET_MS:
            self._decoder.end_utt()
            self._begin(bytes(self._recent))
        elif lasts_ms >= LONG_MS:
            return [final] if (final := self.conclude()[0])["text"] else []
        elif text and text != self._text and self._fits(is_over=False):
            self._text = text
            return [{"text": text, "final": False, "end_ms": self._ms, "words": []}]
        return []

    def conclude(self) -> list[dict[str, Any]]:
        """The final text of what was heard so far, empty or not."""
        self._decoder.end_utt()
        text = self._hypothesis()
        if text and not self._fits(is_over=True):
            text = ""
        words = []
        began_ms = self._began // BYTES_A_MS
        for one in self._decoder.seg() if text else ():
            word = one.word.partition("(")[0]  # `read(2)` is another way to say `read`
            if word and not word.startswith(("<", "[")):  # silence and noise
                start, end = one.start_frame * FRAME_MS, (one.end_frame + 1) * FRAME_MS
                fit = _fit([one]) if self._strictness else FIT_OF_CERTAIN
                certain = (fit - FIT_OF_DOUBTFUL) / (FIT_OF_CERTAIN - FIT_OF_DOUBTFUL)
                words.append((word, began_ms + start, began_ms + end, min(max(one.prob, 0.0), max(certain, 0.0), 1.0)))
        self._begin()
        return [{"text": text, "final": True, "end_ms": self._ms, "words": words}]

    def _hypothesis(self) -> str:
        """The likeliest phrase so far, whatever was said."""
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    def _fits(self, *, is_over: bool) -> bool:
        """Whether the likeliest phrase is likely; while the utterance goes on, as far as it was said."""
        if not self._strictness:
            return True
        heard = [one for one in self._decoder.seg() if not one.word.startswith("(")]
        words = [one for one in heard if not one.word.startswith(("<", "["))]
        if not words or (is_over and heard[-1].word != "</s>"):
            return False  # it broke off in mid-phrase
        if max(one.end_frame - one.start_frame for one in words) >= LONGEST_WORD:
            return False
        scale = 1 if is_over else PARTIAL_SCALE
        start, end = words[0].start_frame - AROUND_FRAMES, words[-1].end_frame + AROUND_FRAMES
        fit, around = _fit(words) * scale, _fit(heard, start, end) * scale
        return fit < MOST_FIT and fit * self._strictness >= LEAST_FIT and around * self._strictness >= LEAST_FIT_AROUND

    def listen_for(self, listen: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Listens for something else; gives the final text of what was heard, unless empty."""
        rest = [final for final in self.conclude() if final["text"]]
        self.close()
        self._start(listen)
        return rest

    def close(self) -> None:
        """Lets another stream have the decoder."""
        self._decoder.end_utt()
        self._library.give_back(self._decoder, dictation=self._dictation)

    @property
    def _ms(self) -> int:
        return self._heard // BYTES_A_MS


class SphinxWorker:
    """The streams of this process."""

    def __init__(self, library: DecoderPool, out: IO[bytes]) -> None:
        self._library, self._out = library, out
        self._streams: dict[int, SphinxRecognition] = {}

    def message(self, kind: int, stream: int, payload: bytes) -> None:
        """Does what a message asks, and answers."""
        if kind == TRY:
            self._try(payload)
            return
        if kind == CLOSE:
            if recognition := self._streams.pop(stream, None):
                recognition.close()
            return
        try:
            found = self._answer(kind, stream, payload)
        except Exception as error:  # noqa: BLE001 - the edge of a stream: the other streams of this process go on
            self._streams.pop(stream, None)  # its decoder may be in any state: it is not given back
            self.say(FAILED, stream, f"{type(error).__name__}: {error}".encode())
        else:
            self.say(HEARD, stream, json.dumps(found).encode() if found else b"")

    def _try(self, payload: bytes) -> None:
        """Recognises a second of noise, with what streams listen for; it is also what makes the first call quick."""
        try:
            trial = SphinxRecognition(self._library, json.loads(payload) if payload else None)
            trial.hear(bytes(RATE * 2))
            trial.conclude()
            trial.close()
        except Exception as error:  # noqa: BLE001 - the edge of the library: it has many, and each is a refusal
            self.say(REFUSED, payload=f"{type(error).__name__}: {error}".encode())
            sys.exit(1)
        self.say(READY)

    def _answer(self, kind: int, stream: int, payload: bytes) -> list[dict[str, Any]]:
        if kind == AUDIO:
            return self._streams[stream].hear(payload)
        if kind == END:
            return self._streams[stream].conclude()
        listen = json.loads(payload) if payload else None
        if kind == LISTEN:
            return self._streams[stream].listen_for(listen)
        self._streams[stream] = SphinxRecognition(self._library, listen)
        return []

    def say(self, kind: int, stream: int = 0, payload: bytes = b"") -> None:
        """Writes a message to standard output; ends the process if the pipe is closed."""
        try:
            self._out.write(HEADER.pack(kind, stream, len(payload)) + payload)
            self._out.flush()
        except OSError:
            os._exit(0)


def main() -> None:
    """Recognises until standard input ends."""
    # A service manager that stops us sends SIGTERM to every process of the service, but calls are still draining.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # should the library print something, it must not get among the messages
    worker = SphinxWorker(DecoderPool(*sys.argv[1:3]), out)
    source = sys.stdin.buffer
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, stream, size = HEADER.unpack(header)
        worker.message(kind, stream, source.read(size))


if __name__ == "__main__":
    main()
