"""Calls whose audio is not 8 kHz in packets of 20 ms from the first moment on, answered by a running engine."""

from __future__ import annotations

import wave
from pathlib import Path
from uuid import UUID, uuid4

import numpy as np
import pytest
import trio
from attrs import define, field
from patience import LONG_S

from voicepipe.audio import AudioFormat, open_converter
from voicepipe.transports.audiosocket.wire_format import RATES, Decoder, encode_audio, encode_uuid

SPEECH = Path(__file__).parents[1] / "data" / "speech"


def recorded(name, rate):
    """A recording at a rate."""
    with wave.open(str(SPEECH / name)) as file:
        pcm, own = file.readframes(file.getnframes()), file.getframerate()
    converter = open_converter(AudioFormat(own), AudioFormat(rate), live=False)
    return pcm if converter is None else converter.convert(pcm) + converter.finish()


@define(eq=False)
class Phone:
    """What a telephone is to the engine: packets of its own length, in its own kind, split by TCP as it likes."""

    stream: trio.SocketStream
    kind: int
    packet_bytes: int = 320
    split: int = 65_536
    id: str = field(factory=lambda: str(uuid4()))
    frames: list = field(factory=list)
    over: trio.Event = field(factory=trio.Event)

    async def receive(self):
        decoder = Decoder()
        async for data in self.stream:
            self.frames += [(kind, bytes(payload)) for kind, payload in decoder.feed(data)]
        self.over.set()

    async def say(self, audio):
        """Sends audio in real time."""
        began, rate = trio.current_time(), RATES[self.kind]
        for start in range(0, len(audio), self.packet_bytes):
            await trio.sleep_until(began + start / 2 / rate)
            message = encode_audio(self.kind, audio[start : start + self.packet_bytes])
            for at in range(0, len(message), self.split):
                await self.stream.send_all(message[at : at + self.split])

    def heard(self, since=0):
        """The kinds in which the agent spoke."""
        return {kind for kind, _ in self.frames[since:]}

    def answer(self, since):
        """What the agent said, at 8 kHz, without the silence between the pieces."""
        audio = b"".join(payload for _, payload in self.frames[since:] if any(payload))
        converter = open_converter(AudioFormat(RATES[self.kind]), AudioFormat(8000), live=False)
        return audio if converter is None else converter.convert(audio) + converter.finish()


def zero_crossings(audio):
    """Per second of what is loud: a voice that is played at another rate has others."""
    samples = np.frombuffer(audio, "<i2").astype(int)
    samples = samples[np.abs(samples) > 200]
    return np.count_nonzero(np.diff(np.signbit(samples))) / len(samples) * 8000


PHONES = {
    "as most": (0x10, 320, 65_536, False),
    "10 ms packets": (0x10, 160, 65_536, False),
    "40 ms packets, split": (0x10, 640, 100, False),
    "161 samples": (0x10, 322, 65_536, False),
    "16 kHz, late": (0x12, 640, 65_536, True),
    "16 kHz, late, 60 ms packets, split": (0x12, 1920, 777, True),
    "44.1 kHz, late": (0x15, 1764, 65_536, True),
}


async def test_they_are_understood_and_answered_in_kind(engine):
    """Side by side, for a conversation takes its time: what was said, and that the answers sound alike."""
    answers = {}

    async def ring(name, kind, packet_bytes, split, late):
        async with await trio.open_tcp_stream("127.0.0.1", engine.port) as stream, trio.open_nursery() as nursery:
            phone = Phone(stream, kind, packet_bytes, split)
            await stream.send_all(encode_uuid(UUID(phone.id)))
            nursery.start_soon(phone.receive)
            if late:
                await engine.logged("call.started", transport_id=phone.id)
                await trio.sleep(0.3)  # in the middle of the greeting
            rate = RATES[kind]
            await phone.say(bytes(2 * rate))
            call = (await engine.logged("call.started", transport_id=phone.id))["call_id"]
            await engine.logged("call.turn", call_id=call, turn=1)
            before = len(phone.frames)
            assert phone.heard() == ({0x10, kind} if late else {kind})
            await phone.say(recorded("yes-8k.wav", rate) + bytes(3 * rate))
            turn = await engine.logged("call.turn", call_id=call, turn=2)
            assert "yes" in turn["heard"], name
            assert phone.heard(before) == {kind}
            audio = phone.answer(before)
            answers[name] = turn["said"], len(audio) / 16_000, zero_crossings(audio)
            nursery.cancel_scope.cancel()

    with trio.fail_after(LONG_S):
        async with trio.open_nursery() as nursery:
            for name, phone in PHONES.items():
                nursery.start_soon(ring, name, *phone)
    said, lasts_s, crossings = answers["as most"]
    assert lasts_s > 0.5
    for text, seconds, pitch in answers.values():
        assert text == said
        assert seconds == pytest.approx(lasts_s, rel=0.1)
        assert pitch == pytest.approx(crossings, rel=0.15)


async def test_a_rate_that_changes_later_ends_the_call_and_says_which_line_to_change(engine):
    async with await trio.open_tcp_stream("127.0.0.1", engine.port) as stream, trio.open_nursery() as nursery:
        phone = Phone(stream, 0x12, 640)
        await stream.send_all(encode_uuid(UUID(phone.id)))
        nursery.start_soon(phone.receive)
        await phone.say(bytes(12_800))
        await stream.send_all(encode_audio(0x10, bytes(320)))
        ended = await engine.logged("call.ended", transport_id=phone.id)
        nursery.cancel_scope.cancel()
    assert ended["outcome"] == "failed"
    assert "changed from 16000 Hz (kind 0x12) to 8000 Hz (kind 0x10) in mid-call" in ended["detail"]
    assert "Dial(AudioSocket/host:port/uuid/c(slin16)), or c(slin)" in ended["detail"]


@pytest.mark.parametrize(("size", "hints"), [(160, True), (161, True), (160, False)], ids=["mu-law", "odd", "10 ms"])
async def test_c_slin_is_spoken_of_where_it_helps(engine, size, hints):
    line = (b"\xff" * 9 + b"\x7e") * 17 if hints else bytes(400)
    async with await trio.open_tcp_stream("127.0.0.1", engine.port) as stream:
        call = uuid4()
        await stream.send_all(encode_uuid(call))
        for _ in range(10):
            await stream.send_all(bytes([0x10, 0, size]) + line[:size])
        if hints:
            refused = await engine.logged("connection.refused")
            assert refused["reason"].endswith("add c(slin): Dial(AudioSocket/host:port/uuid/c(slin))")
            assert engine.count("call.started") == 0
        else:
            await engine.logged("call.started", transport_id=str(call))
    if not hints:
        assert (await engine.logged("call.ended"))["outcome"] == "caller_hung_up"
