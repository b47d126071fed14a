"""Text-to-speech over OpenAI's speech API, or any server that speaks it: Kokoro-FastAPI, speaches, openedai-speech.

Each segment is a request of its own, answered with linear audio while it is made.
"""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import ge, gt, le, min_len

from voicepipe.adapters.openai.sdk_client import check_sdk_client, check_sdk_installed, open_sdk_client
from voicepipe.adapters.shared.speech_requests import open_requests
from voicepipe.audio import AudioFormat
from voicepipe.components.registry import Adapter
from voicepipe.components.speech_heads import refuse_encoded
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.wire.http import unwind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from voicepipe.adapters.openai.sdk_client import OpenAISdkClient
    from voicepipe.components.protocols import Resources, SpeechStream

MOST_CHARS = 4096
"""The longest text of a request, by the API's reference."""

HINT = "the server at base_url must know response_format pcm"
"""For one that sends something else: few servers refuse a format that they don't have."""


@frozen
class OpenAISpeechOptions:
    """A voice, and how it speaks."""

    model: str = "gpt-4o-mini-tts"
    """The model: one of OpenAI's (`gpt-4o-mini-tts`, `tts-1`, `tts-1-hd`), or the server's."""
    voice: str = field(default="alloy", validator=min_len(1))
    """Who speaks: `alloy`, `ash`, `coral`, `marin` ..., or a voice of the server's."""
    api_key: Secret | None = None
    """OpenAI's key, or the server's if it wants one."""
    base_url: str | None = None
    """Another server that speaks this API, up to its version: `http://127.0.0.1:8880/v1`; None: OpenAI."""
    ca_file: CaFile | None = None
    """PEM file with the CA certificates that the server's must come from; None: whatever this machine trusts."""
    instructions: str | None = None
    """How it is to be said: tone, pace, accent. Not for `tts-1` and `tts-1-hd`."""
    speed: float = field(default=1.0, validator=[ge(0.25), le(4)])
    """How fast it speaks, 0.25 to 4 times the voice's own speed."""
    sample_rate: int = field(default=24000, validator=[ge(8000), le(48000)])
    """The rate of the server's linear audio, in Hz: OpenAI's is 24,000; Piper's voices have 16,000 or 22,050."""
    connect_timeout_s: float = field(default=5.0, validator=gt(0))
    """The time limit for connecting, in s."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """The time limit for the next data of a response, in s."""


def check_options(options: OpenAISpeechOptions) -> Iterator[Problem]:
    """Gives a problem for a missing library, and for options that exclude each other."""
    yield from check_sdk_client(options)
    if options.instructions and options.model.startswith("tts-1"):
        hint = "leave them out, or choose gpt-4o-mini-tts"
        yield Problem(Location(""), "instructions", f"{options.model} takes no instructions", hint)


class _OpenAISpeech:
    """A voice behind an address, shared by all calls."""

    def __init__(self, client: OpenAISdkClient, options: OpenAISpeechOptions) -> None:
        self._client, self._options = client, options

    async def probe(self) -> None:
        """Returns if the server is there, takes the key and has the model; raises `ComponentError` if not."""
        await self._client.probe(self._options.model)

    def output_for(self, call: AudioFormat) -> AudioFormat:  # noqa: ARG002 - the Protocol's
        """The server's only format."""
        return AudioFormat(self._options.sample_rate)

    def open_stream(
        self,
        output: AudioFormat,
        language: str | None,  # noqa: ARG002 - the model sees it from the text
    ) -> AbstractAsyncContextManager[SpeechStream]:
        """A reply, spoken segment by segment; nothing is asked for before the first."""
        return open_requests(self._request, output, most_chars=MOST_CHARS)

    @asynccontextmanager
    async def _request(self, text: str, before: str) -> AsyncIterator[AsyncIterator[bytes]]:  # noqa: ARG002 - the API has no place for it
        create = self._client.sdk.audio.speech.with_streaming_response.create
        with self._client.failures():
            async with create(input=text, **self._body()) as answer:
                kind, _, parameters = answer.headers.get("content-type", "").lower().partition(";")
                if kind.startswith("text/") or kind.strip() in {"application/json", "application/problem+json"}:
                    said = (await answer.read()).decode(errors="replace")
                    raise ComponentError(f"answered with {kind} instead of audio", answered=said)
                self._check_rate(parameters)
                yield _linear(answer.iter_bytes(), AudioFormat(self._options.sample_rate), kind)

    def _body(self) -> dict[str, Any]:
        options = self._options
        body: dict[str, Any] = {"model": options.model, "voice": options.voice}
        body |= {"response_format": "pcm", "stream_format": "audio"}
        if options.instructions:
            body["instructions"] = options.instructions
        if options.speed != 1:
            body["speed"] = options.speed
        return body

    def _check_rate(self, parameters: str) -> None:
        """Listens to a server that says its rate: `audio/pcm;rate=22050`."""
        said = re.search(r"\brate=(\d+)", parameters)
        if said and int(said[1]) != self._options.sample_rate:
            raise ComponentError(
                f"speaks at {said[1]} Hz, not {self._options.sample_rate}",
                retryable=False,
                hint=f"set sample_rate: {said[1]}",
            )


async def _linear(chunks: AsyncIterator[bytes], output: AudioFormat, declared: str) -> AsyncIterator[bytes]:
    """Passes audio on, unless it is a file of some other format: as linear audio that would be a loud noise."""
    head: bytes | None = b""
    try:
        async for data in chunks:
            if head is None:
                yield data
                continue
            head += data
            if refuse_encoded(head, output, ended=False, declared=declared, hint=HINT):
                yield head
                head = None
    finally:
        await unwind(chunks)
    if head:
        refuse_encoded(head, output, ended=True, declared=declared, hint=HINT)
        yield head


@asynccontextmanager
async def open_speech(options: OpenAISpeechOptions, resources: Resources) -> AsyncIterator[_OpenAISpeech]:
    """Imports the SDK and makes its client."""
    async with open_sdk_client(options, resources) as client:
        yield _OpenAISpeech(client, options)


tts = Adapter(
    name="openai",
    role="tts",
    options=OpenAISpeechOptions,
    open=open_speech,
    check=check_options,
    check_installed=check_sdk_installed,
)
