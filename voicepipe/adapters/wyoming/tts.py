"""Text-to-speech by a Wyoming server: Piper, and whatever else speaks the protocol.

Each segment is a request on a connection of its own. A server that takes text as it comes (`synthesize-chunk`) gets a
segment that way too, and speaks its first sentence before it has made the second.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from attrs import field, frozen
from attrs.validators import gt, min_len, optional

from voicepipe.adapters.shared.speech_requests import open_requests
from voicepipe.adapters.wyoming.client import WyomingConnection, WyomingServer, check_address
from voicepipe.adapters.wyoming.info import WyomingProgram, choose_program
from voicepipe.adapters.wyoming.wire_format import WyomingEvent
from voicepipe.audio import AudioFormat
from voicepipe.components.registry import Adapter
from voicepipe.errors import ComponentError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from voicepipe.components.protocols import Resources, SpeechStream

MOST_CHARS = 1000
"""The longest text of a request, in characters: a minute of speech."""

SAMPLE = "Hello."
"""The text whose audio tells the voice's sample rate when the component opens."""

AUDIO = {"audio-start", "audio-chunk"}
"""Events that carry the format of their audio."""


@frozen
class WyomingSpeechOptions:
    """A voice of a Wyoming server."""

    address: str
    """The server's address: `host:port`, `tcp://host:port` or `unix:/path/of/the/socket`."""
    voice: str | None = field(default=None, validator=optional(min_len(1)))
    """The voice, as the server calls it: `en_US-lessac-medium`; None: the server's own."""
    speaker: str | None = field(default=None, validator=optional(min_len(1)))
    """The speaker, of a voice that has several; None: the voice's first."""
    language: str | None = field(default=None, validator=optional(min_len(1)))
    """The language if no voice is named: `en`, `de-AT`; None: the call's language, or the server's own."""
    connect_timeout_s: float = field(default=5.0, validator=gt(0))
    """The time limit for connecting, in s."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """The time limit for each next event of an answer, in s; more if the server loads a voice at its first use."""


def check_options(options: WyomingSpeechOptions) -> Iterator[Problem]:
    """Gives a problem if the address is not valid, or a speaker has no voice."""
    yield from check_address(options.address)
    if options.speaker is not None and options.voice is None:
        yield Problem(Location(""), "speaker", "needs the voice whose speaker it is", "name it as `voice`")


@frozen
class _SynthesisRequest:
    """Makes the events that request a text's audio from a program."""

    options: WyomingSpeechOptions
    program: WyomingProgram

    def events(self, text: str, language: str | None) -> tuple[WyomingEvent, ...]:
        """The events that request the audio of a text.

        In a stream the protocol requires the plain `synthesize` too, between the last chunk and the end, for programs
        that do not stream.
        """
        voice = self._voice(language)
        chosen = {"voice": voice} if voice else {}
        whole = WyomingEvent("synthesize", {"text": text, **chosen})
        if not self.program.streams:
            return (*self.program.selection, whole)
        return (
            *self.program.selection,
            WyomingEvent("synthesize-start", chosen),
            WyomingEvent("synthesize-chunk", {"text": text}),
            whole,
            WyomingEvent("synthesize-stop"),
        )

    @property
    def end(self) -> str:
        """The type of the answer's last event."""
        return "synthesize-stopped" if self.program.streams else "audio-stop"

    def _voice(self, language: str | None) -> dict[str, str]:
        options = self.options
        if options.voice is not None:
            return {"name": options.voice} | ({"speaker": options.speaker} if options.speaker else {})
        spelled = self.program.spelled(options.language or language)
        return {"language": spelled} if spelled else {}


class _WyomingSpeech:
    """A server's voice, shared by all calls."""

    def __init__(self, server: WyomingServer, requests: _SynthesisRequest, output: AudioFormat) -> None:
        self._server, self._requests, self._output = server, requests, output

    async def probe(self) -> None:
        """Returns if the server answers and still has the voice; raises `ComponentError` if not."""
        choose_program(await self._server.describe(), "tts", self._requests.options.voice)

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """The voice's own rate, whatever the call's."""
        del call
        return self._output

    def open_stream(self, output: AudioFormat, language: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """Opens a stream for a reply; each segment is a request."""
        return open_requests(partial(self._request, output, language), output, most_chars=MOST_CHARS)

    @asynccontextmanager
    async def _request(
        self, output: AudioFormat, language: str | None, text: str, before: str
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        del before
        async with self._server.connect() as connection:
            await connection.send(*self._requests.events(text, language))
            yield self._receive_audio(connection, output, await connection.due())

    async def _receive_audio(
        self, connection: WyomingConnection, output: AudioFormat, event: WyomingEvent
    ) -> AsyncIterator[bytes]:
        while event.type != self._requests.end:
            if event.type in AUDIO:
                if (audio := _format_of(event)) != output:
                    raise ComponentError(
                        f"speaks {audio} now, it spoke {output} when it was opened",
                        retryable=False,
                        hint="name the voice, or reload the pipelines if the server has got another one",
                    )
                yield event.payload
            event = await connection.due()


async def _learn_output(server: WyomingServer, requests: _SynthesisRequest) -> AudioFormat:
    """Synthesises a word to learn the voice's output format: `info` does not tell the sample rate.

    Raises:
        ComponentError: the answer has no audio, or audio in a format that can't be used.

    """
    output, spoken = None, 0
    async with server.connect() as connection:
        await connection.send(*requests.events(SAMPLE, None))
        while (event := await connection.due()).type != requests.end:
            if event.type in AUDIO:
                output = _format_of(event)
                spoken += len(event.payload)
    if output is None or not spoken:
        raise ComponentError(f"answered {SAMPLE!r} without any audio")
    return output


def _format_of(event: WyomingEvent) -> AudioFormat:
    """The format in an `audio-start` or `audio-chunk` event."""
    rate, width, channels = (event.data.get(name) for name in ("rate", "width", "channels"))
    if (width, channels) != (2, 1) or type(rate) is not int or not 8000 <= rate <= 48000:
        raise ComponentError(
            f"speaks with {rate} Hz, {width} bytes a sample and {channels} channels",
            retryable=False,
            hint="needed are 8,000 to 48,000 Hz, 2 bytes and 1 channel",
        )
    return AudioFormat(rate)


@asynccontextmanager
async def open_speech(options: WyomingSpeechOptions, resources: Resources) -> AsyncIterator[_WyomingSpeech]:
    """Requests the server's `info`, chooses the program that has the voice, and learns the voice's rate."""
    del resources
    server = WyomingServer(options.address, options.connect_timeout_s, options.timeout_s)
    requests = _SynthesisRequest(options, choose_program(await server.describe(), "tts", options.voice))
    yield _WyomingSpeech(server, requests, await _learn_output(server, requests))


tts = Adapter(
    name="wyoming",
    role="tts",
    options=WyomingSpeechOptions,
    open=open_speech,
    check=check_options,
    model=lambda options: options.voice,
)
