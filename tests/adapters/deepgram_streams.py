"""What the tests of Deepgram's speech-to-text share: a server in memory, and calls that talk at the usual speed."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio
from attrs import evolve, frozen
from vendors.deepgram_listen import LINE, DeepgramListen
from vendors.serving import MemoryNetwork, open_memory_network

from voicepipe.adapters.deepgram.stt import stt
from voicepipe.adapters.deepgram.stt_options import DeepgramSttOptions
from voicepipe.components.events import Transcript
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.components.values import Secret

KEY = Secret("test-key", "${DEEPGRAM_API_KEY}")
OPTIONS = DeepgramSttOptions(KEY, base_url="http://deepgram.test")
ANYTHING = Listen()
FLUX = evolve(OPTIONS, model="flux-general-en")


@frozen
class Line:
    """A call's way to a server in memory."""

    server: DeepgramListen
    network: MemoryNetwork
    resources: object

    @asynccontextmanager
    async def open(self, options=OPTIONS, listen=ANYTHING, audio=LINE):
        """A stream."""
        async with (
            stt.open(options, self.resources) as component,
            component.open_stream(StreamInput(audio, 80), listen) as stream,
        ):
            yield stream


@asynccontextmanager
async def open_line(monkeypatch, resources):
    server = DeepgramListen(KEY)
    async with open_memory_network(monkeypatch) as network:
        network.listen("deepgram.test", server)
        yield Line(server, network, resources)


async def say(stream, audio, format_=LINE, *, ms=80):
    """Sends audio as it comes from a telephone."""
    size = format_.bytes_in(ms)
    for at in range(0, len(audio), size):
        chunk = audio[at : at + size]
        await stream.send(chunk)
        await trio.sleep(format_.ms_in(len(chunk)) / 1000)


async def rest(stream):
    """All events until the end."""
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def arrived(stream, within_s=0.5):
    """The events that come within a while."""
    events = []
    with trio.move_on_after(within_s):
        while (event := await stream.receive()) is not None:
            events.append(event)
    return events


async def final(stream):
    """The next final transcript."""
    while True:
        event = await stream.receive()
        if event is None or (isinstance(event, Transcript) and event.final):
            return event


def finals(events):
    return [event.text for event in events if isinstance(event, Transcript) and event.final]
