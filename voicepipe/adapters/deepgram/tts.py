"""Text-to-speech by Deepgram (Aura), over a WebSocket a reply, or by a request a segment.

A reply opens its WebSocket when its stream is opened, which is while the language model still thinks: the handshake
costs the caller nothing, so no connection is kept in reserve. Their API:
developers.deepgram.com/reference/text-to-speech/speak-streaming and .../speak-request.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen
from attrs.validators import ge, gt, le, min_len, optional

from voicepipe.adapters.deepgram.client import (
    SPEAK_V1,
    DeepgramEndpoint,
    check_endpoint,
    check_installed,
    open_rest_client,
    open_sockets,
)
from voicepipe.adapters.deepgram.tts_rate_limits import MOST_CHARS, SpeakRateLimits
from voicepipe.adapters.deepgram.tts_stream import DeepgramSpeechStream
from voicepipe.adapters.shared.speech_requests import SpeechPart, open_requests, with_charge
from voicepipe.audio import AudioFormat
from voicepipe.components.registry import Adapter
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import ComponentError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from voicepipe.adapters.deepgram.client import DeepgramRestClient, DeepgramSockets
    from voicepipe.components.protocols import Resources, SpeechStream, TextToSpeech

ENCODINGS = {"pcm16": "linear16", "mulaw": "mulaw", "alaw": "alaw"}
"""What they call them."""

CHARGED = "dg-char-count"
"""The header that tells how many characters of text a request had."""

RATES = (8000, 16000, 24000, 32000, 48000)
"""Of linear audio, in Hz; of mu-law and A-law the first two."""


@frozen
class DeepgramTtsOptions:
    """An account, a voice, and how it speaks."""

    api_key: Secret
    """The API key, from console.deepgram.com."""
    model: str = field(default="aura-2-thalia-en", validator=min_len(1))
    """The voice, which says its language: `aura-2-thalia-en`, `aura-2-celeste-es`, ..."""
    speed: float | None = field(default=None, validator=optional([ge(0.7), le(1.5)]))
    """How fast it speaks, 0.7 to 1.5 times the voice's own speed; not in all languages."""
    transport: Literal["websocket", "rest"] = "websocket"
    """`rest` makes a request of each segment: for networks that let no WebSocket pass; it takes somewhat longer."""
    characters_per_minute: int = field(default=2400, validator=[ge(100), le(1_000_000)])
    """WebSocket: how much text of a reply Deepgram takes in a minute; a server of your own may take more."""
    mip_opt_out: bool = False
    """Whether Deepgram is forbidden to improve its models with what is said; changes the price."""
    base_url: str = "https://api.deepgram.com"
    """Where Deepgram is: another region, or a server of your own."""
    ca_file: CaFile | None = None
    """PEM file with the CA certificates that the server's must come from; None: whatever this machine trusts."""
    connect_timeout_s: float = field(default=5.0, validator=[gt(0), le(60)])
    """How long a connection may take, in s."""
    timeout_s: float = field(default=10.0, validator=[gt(0), le(120)])
    """How long nothing may come although something is due, in s."""


def check_options(options: DeepgramTtsOptions) -> Iterator[Problem]:
    """Gives a problem for a missing library, and for an address, a key or a model that can't be used."""
    yield from check_endpoint(options.base_url, options.api_key)
    if options.model.startswith("flux-"):
        hint = "voices of Aura, such as aura-2-thalia-en, are what this adapter speaks with"
        yield Problem(Location(""), "model", "is a voice of Flux, which has an API of its own", hint)


class _Deepgram:
    """An account's voice, shared by all calls."""

    def __init__(self, options: DeepgramTtsOptions) -> None:
        self._options = options

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """The call's own format where they have it, else linear audio of the next higher rate."""
        if call.encoding != "pcm16" and call.rate in RATES[:2]:
            return call
        return AudioFormat(next((rate for rate in RATES if rate >= call.rate), RATES[-1]))

    def _query(self, output: AudioFormat) -> dict[str, Any]:
        query = {
            "model": self._options.model,
            "encoding": ENCODINGS[output.encoding],
            "sample_rate": output.rate,
            "speed": self._options.speed,
            "mip_opt_out": "true" if self._options.mip_opt_out else None,
        }
        return {name: value for name, value in query.items() if value is not None}


class _DeepgramSocketVoice(_Deepgram):
    """The voice over WebSockets."""

    def __init__(self, sockets: DeepgramSockets, options: DeepgramTtsOptions) -> None:
        super().__init__(options)
        self._sockets = sockets

    @asynccontextmanager
    async def open_stream(
        self,
        output: AudioFormat,
        language: str | None,  # noqa: ARG002 - the voice says it
    ) -> AsyncIterator[DeepgramSpeechStream]:
        """A reply; entering it connects."""
        limits = SpeakRateLimits(self._options.characters_per_minute)
        async with self._sockets.connect(SPEAK_V1, self._query(output)) as connection:
            reply = DeepgramSpeechStream(connection, output, limits, self._options.timeout_s)
            try:
                yield reply
            finally:
                await reply.leave()

    async def probe(self) -> None:
        """Opens a connection as a reply would, and leaves it without a word."""
        async with self._sockets.connect(SPEAK_V1, self._query(self.output_for(AudioFormat(8000)))):
            pass


class _DeepgramRestVoice(_Deepgram):
    """The voice over requests, one for each segment."""

    def __init__(self, client: DeepgramRestClient, options: DeepgramTtsOptions) -> None:
        super().__init__(options)
        self._client = client

    def open_stream(
        self,
        output: AudioFormat,
        language: str | None,  # noqa: ARG002 - the voice says it
    ) -> AbstractAsyncContextManager[SpeechStream]:
        """A reply; nothing is asked for before the first segment."""
        return open_requests(partial(self._request, output), output, most_chars=MOST_CHARS)

    async def probe(self) -> None:
        """Asks for the list of models; a key that may only speak, and a server that has no such list, do work."""
        try:
            with self._client.request():
                await self._client.sdk.manage.v1.models.list()
        except ComponentError as error:
            if getattr(error.__cause__, "status_code", None) not in {403, 404}:
                raise

    @asynccontextmanager
    async def _request(
        self,
        output: AudioFormat,
        text: str,
        before: str,  # noqa: ARG002 - they have no use for it
    ) -> AsyncIterator[AsyncIterator[SpeechPart]]:
        audio = self._client.sdk.speak.v1.audio.with_raw_response
        with self._client.request():
            async with audio.generate(text=text, container="none", **self._query(output)) as answer:
                if answer.headers.get("content-type", "").startswith("application/json"):
                    said = b"".join([piece async for piece in answer.data]).decode(errors="replace")
                    raise ComponentError("answered with JSON instead of audio", answered=said)
                yield with_charge(answer.headers.get(CHARGED), answer.data)


@asynccontextmanager
async def open_deepgram_tts(options: DeepgramTtsOptions, resources: Resources) -> AsyncIterator[TextToSpeech]:
    """Loads the libraries; calls open their own connections."""
    endpoint = DeepgramEndpoint(
        options.api_key, options.base_url, options.connect_timeout_s, options.timeout_s, options.ca_file
    )
    if options.transport == "rest":
        async with open_rest_client(endpoint, resources) as client:
            yield _DeepgramRestVoice(client, options)
    else:
        async with open_sockets(endpoint, resources) as sockets:
            yield _DeepgramSocketVoice(sockets, options)


tts = Adapter(
    name="deepgram",
    role="tts",
    options=DeepgramTtsOptions,
    open=open_deepgram_tts,
    check=check_options,
    check_installed=check_installed,
)
