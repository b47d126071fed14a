"""Speech-to-text with Vosk, in a worker process: one model for all calls, a recogniser for each.

The native library ends its process over a damaged model, or a model for another version, so it is never loaded into the
process that answers calls: see `worker`. It resamples audio to its model's rate by itself.
"""

from __future__ import annotations

import json
import re
import sys
from contextlib import asynccontextmanager
from importlib.util import find_spec
from itertools import count
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from voicepipe.adapters.shared.recogniser_workers import RecogniserStream, RecogniserWorker
from voicepipe.adapters.vosk import worker as vosk_worker
from voicepipe.audio import AudioFormat
from voicepipe.components.distribution import install_hint
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.components.values import Directory
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.wire.process import open_helper_process

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from voicepipe.components.protocols import Resources

CHUNK_MS = 100
"""The audio in a message, in ms: a message and its answer cost 0.1 to 0.2 ms whatever they carry."""

MOST_MS = 1000
"""The most audio in a message to the worker, in ms: no stream waits long for another."""

KALDI_RATE = 16000
"""The sample rate of a model whose settings have none, in Hz (Kaldi's default for MFCC features)."""

RATES = (8000, 48000)
"""The lowest and the highest sample rate of a model, in Hz."""


@frozen
class VoskOptions:
    """The model, and the details of its transcripts."""

    model: Directory
    """The model: an unpacked directory from alphacephei.com/vosk/models, with `am/`, `conf/` and `graph/` in it."""
    words: bool = False
    """Whether transcripts have the time and the confidence of each word."""


def _missing(model: Path) -> list[str]:
    """The required files that a model lacks, relative to it; word lists and word boundaries are not required."""
    needed = ["am/final.mdl", "conf/model.conf", "conf/mfcc.conf"]
    if not (model / "graph/HCLG.fst").is_file():
        needed += ["graph/HCLr.fst", "graph/Gr.fst", "graph/disambig_tid.int"]
    return [name for name in needed if not (model / name).is_file()]


def check_installed() -> Iterator[Problem]:
    """Gives a problem if the library is not installed."""
    if find_spec("vosk") is None:
        yield Problem(Location(""), "", "the library vosk is not installed", install_hint("vosk"))


def check_model(options: VoskOptions) -> Iterator[Problem]:
    """Gives a problem if the library is missing, or for files that the model's directory lacks."""
    yield from check_installed()
    model = options.model.path
    missing = _missing(model)
    if not missing:
        return
    inner = sorted(file.parent.parent.name for file in model.glob("*/am/final.mdl"))
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
    text = (model / "conf/mfcc.conf").read_text(encoding="utf-8", errors="replace")
    return {name: value or "true" for name, value in re.findall(r"^\s*--([\w-]+)(?:=(\S*))?", text, re.MULTILINE)}


class Vosk:
    """A model in its worker, shared by all calls."""

    def __init__(self, options: VoskOptions, worker: RecogniserWorker, rate: int, *, upsamples: bool) -> None:
        self._words, self._worker, self._rate, self._upsamples = options.words, worker, rate, upsamples
        self._numbers = count(1)

    def input_for(self, call: AudioFormat) -> StreamInput:
        """The call's own rate if the library can resample it to the model's, else the model's rate."""
        # It always resamples to lower rates. Higher rates than telephony's would only make messages larger.
        resamples = call.rate in {8000, 16000} and (call.rate >= self._rate or self._upsamples)
        return StreamInput(AudioFormat(call.rate if resamples else self._rate), CHUNK_MS)

    @asynccontextmanager
    async def open_stream(self, stream_input: StreamInput, listen: Listen) -> AsyncIterator[RecogniserStream]:
        """Opens a recogniser for one call."""
        audio = stream_input.format

        async def payload_for(listen: Listen) -> bytes:
            await trio.lowlevel.checkpoint()
            return _payload(audio, listen)

        stream = RecogniserStream(
            self._worker, next(self._numbers), payload_for, most_bytes=audio.bytes_in(MOST_MS), words=self._words
        )
        self._worker.open(stream)
        try:
            await stream.begin(_payload(audio, listen))
            yield stream
        finally:
            self._worker.close(stream)


def _payload(audio: AudioFormat, listen: Listen) -> bytes:
    return json.dumps({"rate": audio.rate, "phrases": listen.phrases}).encode()


def _prepare(options: VoskOptions, component: str) -> tuple[list[str], int, bool]:
    """Returns the command of the worker, the model's rate in Hz, and whether the model accepts lower rates.

    Args:
        options: the model.
        component: the worker's last argument, for a reader of `ps`.

    Raises:
        ComponentError: the library is not installed, or the directory is not a model.

    """
    for problem in check_model(options):  # the library itself does not report which file is missing
        raise ComponentError(problem.message, retryable=False, hint=problem.hint)
    spec = find_spec("vosk")
    if spec is None or spec.origin is None:
        raise ComponentError("the library vosk can't be found", retryable=False, hint=install_hint("vosk"))
    mfcc = _mfcc(options.model.path)
    try:
        rate = int(float(mfcc.get("sample-frequency", KALDI_RATE)))
    except (ValueError, OverflowError):
        rate = 0
    if not RATES[0] <= rate <= RATES[1]:
        raise ComponentError(
            f"{options.model.name} is for audio at {mfcc.get('sample-frequency')!r} Hz, which is not a rate of calls",
            retryable=False,
            hint="see --sample-frequency in its conf/mfcc.conf; models for telephones have 8000 or 16000",
        )
    words = "words" if options.words else "text"
    # -I: no environment, and no modules of the script's own directory, such as `openai`.
    python = (sys.executable, "-I", vosk_worker.__file__)
    command = [*python, spec.origin, str(options.model.path), str(rate), words, component]
    return command, rate, mfcc.get("allow-upsample") == "true"


@asynccontextmanager
async def open_vosk(options: VoskOptions, resources: Resources) -> AsyncIterator[Vosk]:
    """Starts a worker, which loads the model and tries it out.

    If the worker ends by itself, its streams and then the context raise a `ComponentError`.
    """
    command, rate, upsamples = await trio.to_thread.run_sync(
        _prepare, options, resources.component, limiter=resources.threads
    )
    hint = f"is the model in {options.model.name} complete, and made for Vosk 0.3? Unpack it anew, or name another"
    worker = RecogniserWorker("Vosk", f"{options.model.name} can't be loaded", hint=hint)
    async with open_helper_process(command, worker, hint=hint) as helper:
        await worker.start(helper)
        yield Vosk(options, worker, rate, upsamples=upsamples)


stt = Adapter(
    name="vosk", role="stt", options=VoskOptions, open=open_vosk, check=check_model, check_installed=check_installed
)
