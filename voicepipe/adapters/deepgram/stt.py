"""Speech-to-text by Deepgram, in its cloud or on a server of one's own.

Nova models write down what is said and leave the turns to the call; Flux models, chosen by their name, hear
when the caller's turn is over. Telephone audio is passed on as it is.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from voicepipe.adapters.deepgram.client import DeepgramEndpoint, check_installed, open_sockets
from voicepipe.adapters.deepgram.flux import RATES, Flux
from voicepipe.adapters.deepgram.nova import Nova
from voicepipe.adapters.deepgram.stt_connection import ListenTimeouts, Outbox
from voicepipe.adapters.deepgram.stt_options import DeepgramSttOptions, check_options, is_flux
from voicepipe.adapters.deepgram.stt_stream import DeepgramTranscriptStream, open_stream
from voicepipe.audio import AudioFormat
from voicepipe.components.registry import Adapter
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.adapters.deepgram.client import DeepgramSockets
    from voicepipe.adapters.deepgram.transcript_assembler import TranscriptAssembler
    from voicepipe.components.protocols import Resources

CHUNK_MS = 80
"""How much audio Deepgram likes in a message, in ms: Flux's own advice, and right for Nova."""


class _DeepgramStt:
    """Deepgram, shared by all calls; each has a connection of its own."""

    def __init__(self, options: DeepgramSttOptions, client: DeepgramSockets) -> None:
        self._options, self._client = options, client
        self._timeouts = ListenTimeouts(options.connect_timeout_s, options.timeout_s, options.keep_alive_s)

    def input_for(self, call: AudioFormat) -> StreamInput:
        """The call's own format: mu-law and A-law pass through. Flux takes some rates only; else it is 16 kHz."""
        if call.encoding != "pcm16" and call.rate == 8000:
            return StreamInput(call, CHUNK_MS)
        rate = call.rate if not is_flux(self._options.model) or call.rate in RATES else 16000
        return StreamInput(AudioFormat(rate), CHUNK_MS)

    def open_stream(
        self, stream_input: StreamInput, listen: Listen
    ) -> AbstractAsyncContextManager[DeepgramTranscriptStream]:
        """A recognition session for one call."""
        audio = stream_input.format
        return open_stream(self._client, self._assembler_for(audio), Outbox(audio, listen), self._timeouts)

    def _assembler_for(self, audio: AudioFormat) -> TranscriptAssembler:
        return (Flux if is_flux(self._options.model) else Nova)(self._options, audio)

    async def probe(self) -> None:
        """Opens a session as a call would, and ends it without a word.

        That asks everything that can be asked without audio: whether the key is good for this model with these
        options, and whether the service answers. It costs nothing, and needs none of the rights that a key for
        speech may lack, such as listing the projects.
        """
        listen = Listen()
        async with self.open_stream(self.input_for(AudioFormat(8000)), listen) as stream:
            await stream.finish()
            while await stream.receive() is not None:
                pass


@asynccontextmanager
async def open_deepgram_stt(options: DeepgramSttOptions, resources: Resources) -> AsyncIterator[_DeepgramStt]:
    """Loads `websockets`; connections are opened by calls."""
    for problem in check_options(options):
        raise ComponentError(f"{problem.path} {problem.message}".lstrip(), retryable=False, hint=problem.hint)
    endpoint = DeepgramEndpoint(
        options.api_key, options.base_url, options.connect_timeout_s, options.timeout_s, options.ca_file
    )
    async with open_sockets(endpoint, resources) as client:
        yield _DeepgramStt(options, client)


stt = Adapter(
    name="deepgram",
    role="stt",
    options=DeepgramSttOptions,
    open=open_deepgram_stt,
    check=check_options,
    check_installed=check_installed,
)
