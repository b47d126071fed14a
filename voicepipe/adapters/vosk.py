"""Speech-to-text with Vosk, in this process: one model for all calls, a recogniser a call.

The library releases the interpreter's lock while it works, so everything of it runs in threads of
`Resources.threads`. It resamples to its model's rate by itself.
"""

from __future__ import annotations

import json
import re
from contextlib import asynccontextmanager
from copy import copy
from functools import partial
from importlib.util import find_spec
from math import inf
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import frozen

from voicepipe.audio import AudioFormat
from voicepipe.config.values import Directory
from voicepipe.distribution import install_hint
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.events import Transcript, TranscriptEvent, Word
from voicepipe.registry import Adapter
from voicepipe.requests import Listen, StreamInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from voicepipe.components import Resources

T = TypeVar("T")

CHUNK_MS = 100
"""A hop to a thread costs 0.1 to 0.2 ms whatever it carries, so 20 ms at a time would be mostly hops."""

KALDI_RATE = 16000
"""The sample rate of a model that names none, in Hz (Kaldi's default for MFCC features)."""

UNKNOWN = "[unk]"
"""What Vosk's models write for speech that is no word of theirs."""


@frozen
class VoskOptions:
    """A model, and what to tell about its words."""

    model: Directory
    """The model: an unpacked directory from alphacephei.com/vosk/models, with `am/`, `conf/` and `graph/` in it."""
    words: bool = False
    """Whether transcripts tell when each word was said, and how sure the recogniser is of it."""


def _missing(model: Path) -> list[str]:
    """Files that the library can't do without, relative to the model; word lists and word boundaries it can."""
    needed = ["am/final.mdl", "conf/model.conf", "conf/mfcc.conf"]
    if not (model / "graph/HCLG.fst").is_file():
        needed += ["graph/HCLr.fst", "graph/Gr.fst", "graph/disambig_tid.int"]
    return [name for name in needed if not (model / name).is_file()]


def check_model(options: VoskOptions) -> Iterator[Problem]:
    """Says whether the library is installed, and what the model's directory lacks."""
    if find_spec("vosk") is None:
        yield Problem(Location(""), "", "the library vosk is not installed", install_hint("vosk"))
    model = options.model.path
    missing = _missing(model)
    if not missing:
        return
    inner = sorted(found.parent.parent.name for found in model.glob("*/am/final.mdl"))
    yield Problem(
        where=Location(options.model.name),
        path="",
        message=f"{options.model.name} is not a Vosk model: it has no {', '.join(missing)}"
        + (" (nor graph/HCLG.fst)" if "graph/HCLr.fst" in missing else ""),
        hint=f"the model is one directory further down: {options.model.name / inner[0]}"
        if inner
        else "unpack a model from alphacephei.com/vosk/models and name its directory",
    )


def _mfcc(model: Path) -> dict[str, str]:
    """The model's feature settings, in Kaldi's configuration format: `--name=value` lines, a bare name is true."""
    text = (model / "conf/mfcc.conf").read_text(encoding="utf-8")
    return {name: value or "true" for name, value in re.findall(r"^\s*--([\w-]+)(?:=(\S*))?", text, re.MULTILINE)}


class _Vosk:
    """A model, shared by all calls."""

    def __init__(self, options: VoskOptions, threads: trio.CapacityLimiter) -> None:
        """Loads the model; takes up to half a minute for a big one.

        Raises:
            ComponentError: it can't be loaded.

        """
        for problem in check_model(options):  # of what is missing the library itself says only that it failed
            raise ComponentError(problem.message, retryable=False, hint=problem.hint)
        import vosk  # noqa: PLC0415 - 0.2 s of imports, for those who use it

        mfcc = _mfcc(options.model.path)
        self._words, self._threads = options.words, threads
        self._rate = int(float(mfcc.get("sample-frequency", KALDI_RATE)))
        self._upsamples = mfcc.get("allow-upsample") == "true"
        self._has_fixed_graph = (options.model.path / "graph/HCLG.fst").is_file()
        vosk.SetLogLevel(-1)
        self._new_recogniser = vosk.KaldiRecognizer
        try:
            self._model = vosk.Model(str(options.model.path))
            # Some damage shows only when a recogniser is made, and the first audio costs more than the next.
            self.recogniser(self._rate, ()).AcceptWaveform(bytes(self._rate))
        except Exception as error:  # the library has no narrower one
            raise ComponentError(
                f"{options.model.name} can't be loaded: {error}",
                retryable=False,
                hint="the library wrote the reason to standard error; is the model complete, and made for Vosk 0.3?",
            ) from error

    def input_for(self, call: AudioFormat) -> StreamInput:
        """The call's own rate if the library can bring it to the model's, else the model's."""
        # Down it always resamples. Other rates than telephony's would only mean more bytes a hop.
        taken = call.rate in {8000, 16000} and (call.rate >= self._rate or self._upsamples)
        return StreamInput(AudioFormat(call.rate if taken else self._rate), CHUNK_MS)

    @asynccontextmanager
    async def open_stream(self, stream_input: StreamInput, listen: Listen) -> AsyncIterator[_TranscriptStream]:
        """A recogniser for one call."""
        stream = _TranscriptStream(self._threads)
        await stream.start(partial(_Recognition, self, stream_input.format, listen))
        try:
            yield stream
        finally:
            await stream.leave()

    def free(self) -> None:
        """Frees the model's memory."""
        del self._model

    def recogniser(self, rate: int, grammar: tuple[str, ...]) -> Any:
        """A `vosk.KaldiRecognizer` that hears what `grammar_for` gave, or everything if that is empty.

        About 0.1 ms with a small model, so a recogniser is replaced rather than given another grammar: in 0.3.45
        `SetGrammar` leaks the old one, and ends the whole process if audio is in flight.
        """
        if grammar:
            recogniser = self._new_recogniser(self._model, rate, json.dumps([*grammar, UNKNOWN], ensure_ascii=False))
        else:
            recogniser = self._new_recogniser(self._model, rate)
        recogniser.SetWords(self._words)
        return recogniser

    def grammar_for(self, listen: Listen) -> tuple[str, ...]:
        """The phrases that the model knows every word of, as it spells them; none if its graph is fixed."""
        if self._has_fixed_graph:
            return ()
        phrases = (phrase.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'") for phrase in listen.phrases)
        spelled = (re.findall(r"\w(?:[\w'-]*\w)?", phrase) for phrase in phrases)
        return tuple(" ".join(words) for words in spelled if words and all(map(self._knows, words)))

    def _knows(self, word: str) -> bool:
        return bool(self._model.vosk_model_find_word(word) >= 0)


class _Recognition:
    """One call's recognition, the part that blocks: made and used in threads, by one at a time."""

    def __init__(self, vosk: _Vosk, audio: AudioFormat, listen: Listen) -> None:
        self._vosk, self._audio = vosk, audio
        self._grammar = vosk.grammar_for(listen)
        self._recogniser = vosk.recogniser(audio.rate, self._grammar)
        self._heard = self._began = 0  # bytes in all, and before this recogniser began
        self._partial = ""

    def hear(self, audio: bytes) -> list[Transcript]:
        """Takes audio; gives the text so far if it changed, or the final one if the recogniser found an end."""
        self._heard += len(audio)
        if self._recogniser.AcceptWaveform(audio):
            transcript = self._final(self._recogniser.Result())
            return [transcript] if transcript.text else []
        text = _text(json.loads(self._recogniser.PartialResult())["partial"])
        if text in {"", self._partial}:
            return []
        self._partial = text
        return [Transcript(text, final=False, audio_end_ms=self._ms)]

    def conclude(self) -> list[Transcript]:
        """The final text of what was heard so far, empty or not; the recogniser can go on."""
        return [self._final(self._recogniser.FinalResult())]

    def listen_for(self, listen: Listen) -> list[Transcript]:
        """Expects other phrases; if that changes anything, gives the final text of what was heard, unless empty."""
        grammar = self._vosk.grammar_for(listen)
        if grammar == self._grammar:
            return []
        rest = [transcript for transcript in self.conclude() if transcript.text]
        self._grammar, self._began = grammar, self._heard
        self._recogniser = self._vosk.recogniser(self._audio.rate, grammar)
        return rest

    def free(self) -> None:
        """Frees the recogniser's memory."""
        del self._recogniser

    @property
    def _ms(self) -> int:
        return round(self._audio.ms_in(self._heard))

    def _final(self, result: str) -> Transcript:
        found = json.loads(result)
        self._partial = ""
        began = self._audio.ms_in(self._began)
        words = tuple(
            Word(
                text=word["word"],
                start_ms=round(began + word["start"] * 1000),
                end_ms=round(began + word["end"] * 1000),
                confidence=min(word["conf"], 1.0),
            )
            for word in found.get("result", ())
            if word["word"] != UNKNOWN
        )
        return Transcript(
            text=_text(found["text"]),
            final=True,
            confidence=fmean(word.confidence or 0.0 for word in words) if words else None,
            words=words,
            audio_end_ms=self._ms,
        )


def _text(words: str) -> str:
    return " ".join(word for word in words.split() if word != UNKNOWN)


class _TranscriptStream:
    """One call's recognition: `_Recognition` behind a lock, with its transcripts in a channel."""

    _recognition: _Recognition

    def __init__(self, threads: trio.CapacityLimiter) -> None:
        self._threads = threads
        self._lock = trio.Lock()
        self._failure: ComponentError | None = None
        self._found, self._events = trio.open_memory_channel[TranscriptEvent](inf)  # a few a second of speech

    async def start(self, make: Callable[[], _Recognition]) -> None:
        """Makes the recogniser."""
        self._recognition = await self._hop(make)

    async def leave(self) -> None:
        """Frees the recogniser when nobody uses it any more."""
        self._events.close()
        with trio.CancelScope(shield=True):
            async with self._lock:
                self._found.close()
                await self._hop(self._recognition.free)

    async def send(self, audio: bytes) -> None:
        """Takes the next audio."""
        async with self._lock:
            await self._tell(lambda: self._recognition.hear(audio))

    async def end_utterance(self) -> None:
        """Finalises what was said so far."""
        async with self._lock:
            await self._tell(self._recognition.conclude)

    async def listen_for(self, listen: Listen) -> None:
        """Finalises what was said so far, then expects other phrases; does nothing if the model's graph is fixed."""
        async with self._lock:
            await self._tell(lambda: self._recognition.listen_for(listen))

    async def finish(self) -> None:
        """Finalises what was said so far, for the last time."""
        async with self._lock:
            await self._tell(lambda: [last for last in self._recognition.conclude() if last.text])
            self._found.close()

    async def receive(self) -> TranscriptEvent | None:
        """The next transcript; None only after `finish()`."""
        try:
            return await self._events.receive()
        except trio.EndOfChannel:
            if self._failure is not None:
                raise copy(self._failure) from None
            return None

    async def _tell(self, find: Callable[[], list[Transcript]]) -> None:
        if self._failure is not None:
            raise copy(self._failure)
        for transcript in await self._hop(find):
            self._found.send_nowait(transcript)

    async def _hop(self, work: Callable[[], T]) -> T:
        """Does it in a thread.

        A cancellation waits until the thread is back (a few ms, 0.2 s with the biggest models): a thread that was
        abandoned would go on using the recogniser, next to its successor or while it is freed. So either the
        audio was not taken at all, or its transcripts are in the channel.
        """
        try:
            return await trio.to_thread.run_sync(work, limiter=self._threads)
        except Exception as error:  # the library has no narrower one
            self._failure = ComponentError(f"the recogniser failed: {error}", hint="see standard error for its reason")
            self._found.close()
            raise copy(self._failure) from error


@asynccontextmanager
async def open_vosk(options: VoskOptions, resources: Resources) -> AsyncIterator[_Vosk]:
    """Loads the model; who is cancelled meanwhile does not wait for it, and it is freed when its thread returns."""
    load = partial(_Vosk, options, resources.threads)
    vosk = await trio.to_thread.run_sync(load, abandon_on_cancel=True, limiter=resources.threads)
    try:
        yield vosk
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(vosk.free, limiter=resources.threads)  # gigabytes take their time


stt = Adapter(name="vosk", role="stt", options=VoskOptions, open=open_vosk, check=check_model)
