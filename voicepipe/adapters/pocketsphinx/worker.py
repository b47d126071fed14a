"""A process in which PocketSphinx recognises the speech of some calls: a script, without voicepipe.

    python -I worker.py SITE MODEL NAME

SITE is the directory that the library is installed in, MODEL that of its acoustic model, language model and
dictionary. NAME is for a reader of `ps`. Standard input and output carry the messages of `recogniser_workers`, the
first of which is TRY; the process leaves when its standard input ends.

Theory of operation
===================

The library holds the interpreter's lock while it works, up to 18 ms at a time. So it stays out of the process that
answers calls, and threads would be of no use here: one thread does message after message, and several such processes
share the calls.

Decoders (`DecoderPool`). A decoder takes 20 ms to make, or a second for dictation, so those of closed streams are used
again. Grammars bring their words with them, so a decoder without the dictionary does, and takes 8 MB.

An utterance (`SphinxRecognition`). The library collects an utterance from `start_utt` to `end_utt`, at the engine's END
or after `LONG_MS`. Three of its habits are worked around:

- It was trained on wide-band speech, so noise is laid over the empty band of telephone audio (`NOISE_RMS`).
- It normalises by the mean of what came before, which after a pause is the mean of silence. So each utterance begins
  with a mean of speech (`CMN`), and one without a word begins anew after `QUIET_MS`, with the last `KEPT_MS` of audio.
- It returns the likeliest phrase for any sound. So a phrase must also be likely by itself (`_fits`): its words, and the
  audio around them, are compared with the best that the model has for each frame, and the result with `LEAST_FIT` and
  `LEAST_FIT_AROUND`. Dictation, whose strictness is 0, is not checked.
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
"""The header of a message, as in `voicepipe.wire.process`; importing that would load all of voicepipe."""

OPEN, AUDIO, END, LISTEN, CLOSE, TRY = 1, 2, 3, 4, 5, 6
READY, HEARD, FAILED, REFUSED = 1, 2, 3, 4
"""The kinds of messages, as in `recogniser_workers`.

The payload of TRY, OPEN and LISTEN is a JSON object with `grammar` (JSGF), `words` (each a word and its phones) and
`strictness` (a number); it is empty for dictation."""

RATE = 16000
"""The sample rate of the acoustic model, in Hz."""
BYTES_A_MS = RATE * 2 // 1000
FRAME_MS = 10
"""The unit of the library's word times, in ms (its default `frate`)."""

NOISE_RMS = 100
"""The RMS level of the noise that is added to all audio, of 32767.

The model was trained on wide-band speech. On telephone audio, whose band above 4 kHz is empty, it is mostly wrong; with
noise in that band it is not. Of 84 phrases in four of espeak-ng's voices at 8 kHz it recognised 44 without noise, and
73 with it and the mean below; 79 and 80 at a half and a quarter of the speech level, 72 at a tenth. More noise helps
loud callers and drowns quiet ones."""

CMN = "50,-10,-5,1,-3,-10"
"""The cepstral mean of speech with that noise, set at the beginning of each utterance. The library would go on from the
mean of the audio before, which after some seconds of silence is not one of speech."""

LEAST_FIT = -4.6
LEAST_FIT_AROUND = -3.0
"""The fit that a phrase needs at a strictness of 1, for its words and for its words with the audio around them.

The fit is the mean logarithm, per frame, of the likelihood of the words relative to that of the best state of the model
in each frame. The decoder returns the likeliest phrase whatever is said, and its own confidence only compares phrases
with one another; these scores tell how much worse a phrase is than any sound at all: around -3 for phrases, below -5
for half of other speech. The audio around the words is included because the decoder takes the rest of a longer sentence
for silence. A second decoder for single phones (`allphone_ci`) did not distinguish better, and a loop of all phones in
the grammar took seven times real time. `tests/benchmarks/phrase_rates.py` measures the values."""
MOST_FIT = -0.5
"""A fit that speech never reaches: on a steady tone all states of the model score alike, and each is the best."""
AROUND_FRAMES = 30
"""The number of frames around the words, before and after."""
LONGEST_WORD = 150
"""The length of the longest word in frames, 1.5 s: a steady noise is recognised as a vowel without end."""
PARTIAL_SCALE = 1024
"""The factor by which the library scales scores down until the utterance has ended (2 to the power of SENSCR_SHIFT)."""
FIT_OF_CERTAIN, FIT_OF_DOUBTFUL = -2.0, -6.0
"""The fit above which a word's confidence is not lowered, and the one below which it is 0."""

QUIET_MS = 4000
"""The length at which an utterance without a word begins anew, in ms: it takes memory, and its mean drifts."""
KEPT_MS = 500
"""The audio of such an utterance with which the new one begins, in ms, for a word that has just begun."""
LONG_MS = 30000
"""The length at which an utterance with words is concluded without END, in ms."""


class DecoderPool:
    """The library with its model, and the decoders that no stream is using."""

    def __init__(self, site: str, model: str) -> None:
        sys.path.append(site)
        with warnings.catch_warnings():  # audioop has left the standard library in 3.13; before that its import warns
            warnings.simplefilter("ignore")
            import audioop  # noqa: PLC0415

            import pocketsphinx  # noqa: PLC0415 - it is found by the path above

        self._pocketsphinx, self._model = pocketsphinx, model
        self._add = audioop.add
        gauss = random.Random(0).gauss  # noqa: S311 - noise, always the same
        noise = array("h", (int(gauss(0, NOISE_RMS)) for _ in range(RATE)))
        if sys.byteorder == "big":
            noise.byteswap()
        self._noise = noise.tobytes() * 2
        self._idle: dict[bool, list[Any]] = {True: [], False: []}  # by whether they are for dictation
        self._words: dict[int, set[str]] = {}  # the words that each decoder has, by its id

    def noisy(self, audio: bytes, at: int) -> bytes:
        """Adds noise to audio of up to a second; `at` is its position in the stream, in bytes."""
        at %= len(self._noise) // 2
        return bytes(self._add(audio, self._noise[at : at + len(audio)], 2))

    def borrow(self, listen: dict[str, Any] | None) -> Any:
        """Returns a decoder for a payload, or for dictation if it is None; makes one if none is idle."""
        idle = self._idle[listen is None]
        decoder = idle.pop() if idle else self._decoder(dictation=listen is None)
        if listen is not None:
            known = self._words[id(decoder)]
            for word, phones in listen["words"]:
                if word not in known:
                    known.add(word)
                    decoder.add_word(word, phones, False)  # the grammar, which is added next, updates the search
            decoder.add_jsgf_string("listen", listen["grammar"])
            decoder.activate_search("listen")
        return decoder

    def give_back(self, decoder: Any, *, dictation: bool) -> None:
        """Keeps a decoder for another stream, without its estimate of the noise on this stream's line."""
        decoder.reinit_feat()  # 0.1 ms; without it the estimate outlasts `start_utt`, and applies to another caller
        self._idle[dictation].append(decoder)

    def _decoder(self, *, dictation: bool) -> Any:
        settings: dict[str, Any] = {"hmm": f"{self._model}/en-us", "samprate": RATE, "cmninit": CMN}
        if dictation:
            settings.update(dict=f"{self._model}/cmudict-en-us.dict", lm=f"{self._model}/en-us.lm.bin")
        else:  # 8 MB, since the words come with the grammars
            settings.update(dict=None, lm=None)
        decoder = self._pocketsphinx.Decoder(self._pocketsphinx.Config(loglevel="FATAL", **settings))
        self._words[id(decoder)] = set()  # a decoder that failed, and is gone, may have had this id
        return decoder


def _fit(segments: list[Any], start: float = 0, end: float = math.inf) -> float:
    """The mean logarithm of the likelihood of the frames from `start` to `end`; see `LEAST_FIT`."""
    total = frames = 0.0
    for segment in segments:
        length = segment.end_frame - segment.start_frame + 1
        overlap = min(end, segment.end_frame) - max(start, segment.start_frame) + 1
        if length > 0 and overlap > 0:
            total += math.log(max(segment.ascore, 1e-300)) * overlap / length
            frames += overlap
    return total / max(frames, 1)


class SphinxRecognition:
    """The recognition of one stream."""

    def __init__(self, library: DecoderPool, listen: dict[str, Any] | None) -> None:
        self._library = library
        self._heard = 0  # bytes of the stream so far
        self._start(listen)

    def _start(self, listen: dict[str, Any] | None) -> None:
        self._dictation = listen is None
        self._strictness = 0.0 if listen is None else listen.get("strictness", 1.0)
        self._decoder = self._library.borrow(listen)
        self._begin()

    def _begin(self, kept: bytes = b"") -> None:
        """Begins an utterance, with the last audio of the one before if that had no word."""
        self._began = self._heard - len(kept)
        self._recent = bytearray(kept)
        self._text = ""
        self._decoder.set_cmn(CMN)
        self._decoder.start_utt()
        if kept:
            self._decoder.process_raw(kept)

    def hear(self, audio: bytes) -> list[dict[str, Any]]:
        """Takes up to a second of audio; returns the partial text if it changed."""
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
        """Ends the utterance; returns its final text, which may be empty."""
        self._decoder.end_utt()
        text = self._hypothesis()
        if text and not self._fits(is_over=True):
            text = ""
        words = []
        began_ms = self._began // BYTES_A_MS
        for segment in self._decoder.seg() if text else ():
            word = segment.word.partition("(")[0]  # `read(2)` is another pronunciation of `read`
            if word and not word.startswith(("<", "[")):  # silence and noise
                start, end = segment.start_frame * FRAME_MS, (segment.end_frame + 1) * FRAME_MS
                fit = _fit([segment]) if self._strictness else FIT_OF_CERTAIN
                certainty = max((fit - FIT_OF_DOUBTFUL) / (FIT_OF_CERTAIN - FIT_OF_DOUBTFUL), 0.0)
                words.append((word, began_ms + start, began_ms + end, min(max(segment.prob, 0.0), certainty, 1.0)))
        self._begin()
        return [{"text": text, "final": True, "end_ms": self._ms, "words": words}]

    def _hypothesis(self) -> str:
        """The likeliest phrase so far, however unlikely it is."""
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr if hypothesis else ""

    def _fits(self, *, is_over: bool) -> bool:
        """Whether the likeliest phrase is likely enough; before the end of the utterance, as far as it was said."""
        if not self._strictness:
            return True
        segments = [segment for segment in self._decoder.seg() if not segment.word.startswith("(")]
        words = [segment for segment in segments if not segment.word.startswith(("<", "["))]
        if not words or (is_over and segments[-1].word != "</s>"):
            return False  # it broke off in mid-phrase
        if max(word.end_frame - word.start_frame for word in words) >= LONGEST_WORD:
            return False
        scale = 1 if is_over else PARTIAL_SCALE
        start, end = words[0].start_frame - AROUND_FRAMES, words[-1].end_frame + AROUND_FRAMES
        fit, around = _fit(words) * scale, _fit(segments, start, end) * scale
        return fit < MOST_FIT and fit * self._strictness >= LEAST_FIT and around * self._strictness >= LEAST_FIT_AROUND

    def listen_for(self, listen: dict[str, Any] | None) -> list[dict[str, Any]]:
        """Changes the grammar; returns the final text of the utterance so far, unless it is empty."""
        rest = [final for final in self.conclude() if final["text"]]
        self.close()
        self._start(listen)
        return rest

    def close(self) -> None:
        """Returns the decoder to the pool."""
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
        """Does what a message asks for, and sends the answer."""
        if kind == TRY:
            self._try(payload)
            return
        if kind == CLOSE:
            if recognition := self._streams.pop(stream, None):
                recognition.close()
            return
        try:
            transcripts = self._answer(kind, stream, payload)
        except Exception as error:  # noqa: BLE001 - the boundary of a stream: the others of this process go on
            self._streams.pop(stream, None)  # its decoder may be in any state, so it is not given back
            self.say(FAILED, stream, f"{type(error).__name__}: {error}".encode())
        else:
            self.say(HEARD, stream, json.dumps(transcripts).encode() if transcripts else b"")

    def _try(self, payload: bytes) -> None:
        """Recognises a second of noise with the default payload, which also makes the first call quick."""
        try:
            trial = SphinxRecognition(self._library, json.loads(payload) if payload else None)
            trial.hear(bytes(RATE * 2))
            trial.conclude()
            trial.close()
        except Exception as error:  # noqa: BLE001 - the boundary of the library: whatever it raises is a refusal
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
    # A service manager that stops the engine signals every process of the service, while calls are still draining.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output that the library prints must not get among the messages
    worker = SphinxWorker(DecoderPool(*sys.argv[1:3]), out)
    source = sys.stdin.buffer
    while len(header := source.read(HEADER.size)) == HEADER.size:
        kind, stream, size = HEADER.unpack(header)
        worker.message(kind, stream, source.read(size))


if __name__ == "__main__":
    main()
