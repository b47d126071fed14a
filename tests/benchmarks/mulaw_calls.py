"""Calls in mu-law: an AudioSocket call behind a transport that converts its audio, for what passes mu-law through.

Frames of the reply must stay recognisable to the callers, and mu-law has no room for their numbers. So the vendors'
mu-law speech has a number in two bytes, and this transport writes the linear frame with that number.
"""

from __future__ import annotations

import warnings

from bench_components import FRAMES

from voicepipe import AudioFormat

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop

MULAW = AudioFormat(8000, "mulaw")
BASE, DIGITS = 0x10, 20


def numbered(number: int) -> bytes:
    """20 ms of mu-law, 8 kHz, that tell which they are."""
    return bytes((BASE + number // DIGITS, BASE + number % DIGITS)) * 80


LINEAR = {numbered(number): frame for number, frame in enumerate(FRAMES)}


class MulawCall:
    """A transport whose call is in mu-law, over one whose call is in linear audio."""

    audio = MULAW

    def __init__(self, transport):
        self._transport = transport

    def __getattr__(self, name):
        return getattr(self._transport, name)

    async def run(self, sink):
        """Delivers the caller's audio in mu-law."""
        await self._transport.run(MulawSink(sink))

    def write(self, audio):
        """Writes a frame of mu-law."""
        audio = bytes(audio)
        return self._transport.write(LINEAR.get(audio) or audioop.ulaw2lin(audio, 2))


class MulawSink:
    """What a call takes, in mu-law."""

    def __init__(self, sink):
        self._sink = sink
        self.dtmf, self.heard, self.hung_up = sink.dtmf, sink.heard, sink.hung_up

    def format_changed(self, audio):
        """The call stays as it is."""

    def audio(self, audio):
        """Takes the caller's next audio."""
        self._sink.audio(audioop.lin2ulaw(audio, 2))
