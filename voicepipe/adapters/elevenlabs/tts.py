"""Text-to-speech by ElevenLabs: streaming REST, in the call's own format where they have it.

Each segment is a request, which carries the text of the reply before it, so that the voice goes on in the same tone.
API: elevenlabs.io/docs/api-reference/text-to-speech/stream.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlsplit

from attrs import field, frozen
from attrs.validators import ge, gt, le, min_len, optional

from voicepipe.adapters.elevenlabs.errors import code_of, refused
from voicepipe.adapters.elevenlabs.timestamps import TimedSpeech
from voicepipe.adapters.shared.api_keys import check_api_key, name_of
from voicepipe.adapters.shared.base_urls import check_base_url
from voicepipe.adapters.shared.speech_requests import SpeechPart, open_requests, with_charge
from voicepipe.adapters.shared.vendor_clients import open_vendor_client
from voicepipe.audio import AudioFormat
from voicepipe.components.distribution import install_hint
from voicepipe.components.registry import Adapter
from voicepipe.components.tls import tls_context
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.wire.http import http_failures, unwind

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from voicepipe.components.protocols import Resources, SpeechStream

FORMATS = {
    AudioFormat(8000, "mulaw"): "ulaw_8000",
    AudioFormat(8000, "alaw"): "alaw_8000",
    AudioFormat(8000): "pcm_8000",
    AudioFormat(16000): "pcm_16000",
    AudioFormat(22050): "pcm_22050",
    AudioFormat(24000): "pcm_24000",
}
"""Their names of the formats that every plan has; 44,100 and 48,000 Hz are only in the dearer plans."""

MOST_CHARS = 2500
"""The longest text, in characters, that every plan and model accepts in a request."""

BEFORE_CHARS = 500
"""The most text before a request that the request carries, in characters."""

WITHOUT_LANGUAGE = {
    "eleven_flash_v2",
    "eleven_monolingual_v1",
    "eleven_multilingual_v1",
    "eleven_multilingual_v2",
    "eleven_turbo_v2",
}
"""Models that refuse requests with a language."""

CHARGED = "character-cost"
"""The header with the cost of a request in characters; in credits for models that cost less than a credit for each."""


@frozen
class ElevenLabsOptions:
    """A voice of an ElevenLabs account."""

    api_key: Secret
    """The API key, from the settings of the account."""
    voice: str = field(default="JBFqnCBsd6RMkjVDRZzb", validator=min_len(1))
    """The ID of a voice; the default is one of ElevenLabs' own."""
    model: str = field(default="eleven_flash_v2_5", validator=min_len(1))
    """The model; the default is the fastest, others sound better."""
    stability: float | None = field(default=None, validator=optional([ge(0), le(1)]))
    """The evenness of the speech, from 0 (lively) to 1 (monotonous); None: the voice's own setting."""
    similarity: float | None = field(default=None, validator=optional([ge(0), le(1)]))
    """The similarity to the original voice, from 0 to 1; None: the voice's own setting."""
    style: float | None = field(default=None, validator=optional([ge(0), le(1)]))
    """The exaggeration of the voice's style, from 0 to 1, which takes time; None: the voice's own setting."""
    speaker_boost: bool | None = None
    """Whether to increase the similarity to the speaker, which takes time; None: the voice's own setting."""
    speed: float | None = field(default=None, validator=optional([ge(0.7), le(1.2)]))
    """The speed as a factor, from 0.7 to 1.2; None: the voice's own setting."""
    text_normalization: Literal["auto", "on", "off"] = "auto"
    """Whether ElevenLabs spells out numbers and dates, which takes time; `auto`: the model decides."""
    optimize_streaming_latency: int | None = field(default=None, validator=optional([ge(0), le(4)]))
    """The optimisation for latency at the cost of quality, from 0 to 4; recent models do not need it."""
    tell_before: bool = True
    """Whether each request carries the text of the reply before it; `eleven_v3` refuses that."""
    timestamps: bool = False
    """Whether to request the time of each word, so that an interrupted reply is recorded up to the last word heard."""
    base_url: str = "https://api.elevenlabs.io"
    """The base URL, for another region or a compatible server."""
    ca_file: CaFile | None = None
    """PEM file with the CA certificates that the server's must come from; None: whatever this machine trusts."""
    connect_timeout_s: float = field(default=5.0, validator=gt(0))
    """The time limit for connecting, in s."""
    timeout_s: float = field(default=10.0, validator=gt(0))
    """The time limit for the next data of a response, in s."""


def check_installed() -> Iterator[Problem]:
    """Gives a problem if httpx is not installed."""
    if find_spec("httpx") is None:
        yield Problem(Location(""), "", "the library httpx is not installed", install_hint("elevenlabs"))


def check_options(options: ElevenLabsOptions) -> Iterator[Problem]:
    """Gives a problem if httpx is missing, or the address or the key is not valid."""
    yield from check_installed()
    hint = "https://api.elevenlabs.io, or http://HOST:PORT for a server of your own"
    problems = list(check_base_url(options.base_url, hint))
    yield from problems
    if not problems and urlsplit(options.base_url).path.rstrip("/").endswith("/v1"):
        yield Problem(Location(""), "base_url", "must not end in /v1", "leave /v1 out: requests bring it along")
    yield from check_api_key(options.api_key, vendor="ElevenLabs", hint="api_key: ${ELEVENLABS_API_KEY}")


class _ElevenLabs:
    """A voice of an account, shared by all calls, and its HTTP connections."""

    def __init__(self, options: ElevenLabsOptions) -> None:
        """Imports httpx and makes its client, which takes 0.2 s; called in a thread."""
        self._httpx = import_module("httpx")
        self._options = options
        self._key = name_of(options.api_key)
        self._http = self._httpx.AsyncClient(
            base_url=options.base_url,
            headers={"xi-api-key": str(options.api_key), "accept-encoding": "identity"},
            verify=tls_context(options.ca_file),
            trust_env=False,
            timeout=self._httpx.Timeout(options.timeout_s, connect=options.connect_timeout_s),
            limits=self._httpx.Limits(max_connections=None, max_keepalive_connections=20),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def probe(self) -> None:
        """Requests the list of models, which checks the key and leaves a warm connection.

        A key without permission for it, and a compatible server without such a list, pass too.
        """
        with self._failures():
            answer = await self._http.get("/v1/models")
        body: bytes = answer.content
        if answer.is_success or answer.status_code == 404 or code_of(body) == "missing_permissions":
            return
        raise refused(answer.status_code, answer.headers, body, self._key)

    def output_for(self, call: AudioFormat) -> AudioFormat:
        """The call's own format at 8 kHz; else linear audio at the next higher rate, at most 24,000 Hz."""
        if call in FORMATS:
            return call
        rates = [audio.rate for audio in FORMATS if audio.encoding == "pcm16"]
        return AudioFormat(next((rate for rate in rates if rate >= call.rate), rates[-1]))

    def open_stream(self, output: AudioFormat, language: str | None) -> AbstractAsyncContextManager[SpeechStream]:
        """Opens a stream for a reply; each segment is a request."""
        return open_requests(partial(self._request, output, language), output, most_chars=MOST_CHARS)

    @asynccontextmanager
    async def _request(
        self, output: AudioFormat, language: str | None, text: str, before: str
    ) -> AsyncIterator[AsyncIterator[SpeechPart]]:
        path = f"/v1/text-to-speech/{quote(self._options.voice, safe='')}/stream"
        query: dict[str, Any] = {"output_format": FORMATS[output]}
        if self._options.optimize_streaming_latency is not None:
            query["optimize_streaming_latency"] = self._options.optimize_streaming_latency
        with self._failures():
            async with self._http.stream(
                "POST",
                path + "/with-timestamps" if self._options.timestamps else path,
                params=query,
                json=self._body(language, text, before),
            ) as answer:
                if not answer.is_success:
                    raise refused(answer.status_code, answer.headers, await answer.aread(), self._key)
                if self._options.timestamps:
                    yield with_charge(answer.headers.get(CHARGED), _timed(answer, TimedSpeech(text)))
                elif answer.headers.get("content-type", "").startswith("application/json"):
                    answered = (await answer.aread()).decode(errors="replace")
                    raise ComponentError("answered with JSON instead of audio", answered=answered)
                else:
                    yield with_charge(answer.headers.get(CHARGED), answer.aiter_bytes())

    def _body(self, language: str | None, text: str, before: str) -> dict[str, Any]:
        options = self._options
        settings = {
            "stability": options.stability,
            "similarity_boost": options.similarity,
            "style": options.style,
            "use_speaker_boost": options.speaker_boost,
            "speed": options.speed,
        }
        settings = {name: value for name, value in settings.items() if value is not None}
        body: dict[str, Any] = {"text": text, "model_id": options.model}
        if settings:
            body["voice_settings"] = settings
        if options.text_normalization != "auto":
            body["apply_text_normalization"] = options.text_normalization
        if language and options.model not in WITHOUT_LANGUAGE:
            body["language_code"] = language.partition("-")[0].lower()  # ISO 639-1, of a BCP 47 tag
        if options.tell_before and before:
            body["previous_text"] = before[-BEFORE_CHARS:]
        return body

    def _failures(self) -> AbstractContextManager[None]:
        """Raises httpx's exceptions as `ComponentError`."""
        options = self._options
        return http_failures(
            self._httpx,
            address=options.base_url,
            connect_timeout_s=options.connect_timeout_s,
            timeout_s=options.timeout_s,
            ca_file=options.ca_file,
        )


async def _timed(answer: Any, speech: TimedSpeech) -> AsyncIterator[SpeechPart]:
    chunks = answer.aiter_bytes()
    try:
        async for data in chunks:
            for part in speech.feed(data):
                yield part
    finally:
        await unwind(chunks)
    for part in speech.finish():
        yield part


@asynccontextmanager
async def open_elevenlabs(options: ElevenLabsOptions, resources: Resources) -> AsyncIterator[_ElevenLabs]:
    """Imports httpx and makes the client, but sends nothing. A cancellation does not wait for the import."""
    async with open_vendor_client(partial(_ElevenLabs, options), resources) as component:
        yield component


tts = Adapter(
    name="elevenlabs",
    role="tts",
    options=ElevenLabsOptions,
    open=open_elevenlabs,
    check=check_options,
    check_installed=check_installed,
)
