"""Speech-to-text by a Wyoming server: faster-whisper, Vosk, and whatever else speaks the protocol.

A server takes one utterance at a time, and most close the connection after its transcript: so each utterance has a
connection of its own. Audio is sent as it comes, from just before its first sound; servers that recognise as they
receive have little left to do when it ends. Between utterances, and in pauses, nothing is sent.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import field, frozen
from attrs.validators import ge, gt, le, min_len, optional

from voicepipe.adapters.wyoming.client import WyomingServer, check_address
from voicepipe.adapters.wyoming.info import WyomingProgram, choose_program
from voicepipe.adapters.wyoming.stt_stream import WyomingTranscriptStream
from voicepipe.adapters.wyoming.wire_format import WyomingEvent
from voicepipe.audio import AudioFormat
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import Listen, StreamInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from voicepipe.components.protocols import Resources
    from voicepipe.errors import Problem

AUDIO = AudioFormat(16000)
"""The format of all audio that is sent: most servers convert to it, and those that don't convert expect it."""

CHUNK_MS = 100


@frozen
class WyomingTranscriptionOptions:
    """A recogniser of a Wyoming server."""

    address: str
    """The server's address: `host:port`, `tcp://host:port` or `unix:/path/of/the/socket`."""
    model: str | None = field(default=None, validator=optional(min_len(1)))
    """The model, as the server calls it; None: the server's own. Servers that have but one ignore it."""
    language: str | None = field(default=None, validator=optional(min_len(1)))
    """The language of callers: `en`, `de-AT`; None: the server decides."""
    silence_level: int = field(default=120, validator=[ge(0), le(32767)])
    """Audio below this RMS level of 16-bit samples is silence and not sent, as is a steady noise; 0: all is."""
    max_utterance_s: float = field(default=60.0, validator=[ge(10), le(600)])
    """Speech without a pause is transcribed in parts of about this length, in s."""
    connect_timeout_s: float = field(default=5.0, validator=gt(0))
    """The time limit for connecting, in s."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """The time limit for the transcript of an utterance that has ended, in s."""


def check_options(options: WyomingTranscriptionOptions) -> Iterator[Problem]:
    """Gives a problem if the address is not valid."""
    yield from check_address(options.address)


class _WyomingTranscription:
    """A server's recogniser, shared by all calls."""

    def __init__(self, options: WyomingTranscriptionOptions, server: WyomingServer, program: WyomingProgram) -> None:
        self._options, self._server, self._program = options, server, program

    async def probe(self) -> None:
        """Returns if the server answers and still has the model; raises `ComponentError` if not."""
        choose_program(await self._server.describe(), "asr", self._options.model)

    def input_for(self, call: AudioFormat) -> StreamInput:
        """16-bit linear audio at 16 kHz: not all servers take another rate, and some take it for that."""
        del call
        return StreamInput(AUDIO, CHUNK_MS)

    @asynccontextmanager
    async def open_stream(self, stream_input: StreamInput, listen: Listen) -> AsyncIterator[WyomingTranscriptStream]:
        """Opens a stream for a call; it connects at the first sound of each utterance."""
        options = self._options
        stream = WyomingTranscriptStream(
            self._server,
            self._opening_events,
            stream_input.format,
            listen,
            silence_level=options.silence_level,
            longest_ms=options.max_utterance_s * 1000,
        )
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.recognise)
            yield stream
            nursery.cancel_scope.cancel()

    def _opening_events(self, listen: Listen) -> tuple[WyomingEvent, ...]:
        """The events that precede an utterance's audio."""
        transcribe = {
            "name": self._options.model,
            "language": self._program.spelled(listen.language or self._options.language),
            "transcript_terms": list(listen.phrases) or None,
        }
        given = {name: value for name, value in transcribe.items() if value is not None}
        return (*self._program.selection, WyomingEvent("transcribe", given))


@asynccontextmanager
async def open_transcription(
    options: WyomingTranscriptionOptions, resources: Resources
) -> AsyncIterator[_WyomingTranscription]:
    """Requests the server's `info`, and chooses the program that has the model."""
    del resources
    server = WyomingServer(options.address, options.connect_timeout_s, options.timeout_s)
    program = choose_program(await server.describe(), "asr", options.model)
    yield _WyomingTranscription(options, server, program)


stt = Adapter(
    name="wyoming",
    role="stt",
    options=WyomingTranscriptionOptions,
    open=open_transcription,
    check=check_options,
)
