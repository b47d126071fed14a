"""The caller of the test kit does what an Asterisk does, and hears what a person would."""

from __future__ import annotations

import socket
import wave
from uuid import UUID

import numpy as np
import pytest
import trio

from voicepipe.audio import AudioFormat
from voicepipe.testing.audiosocket_caller import JITTER_BUFFER_MS, open_audiosocket_call, write_stereo_wav


def tone(ms, rate=8000, hertz=440):
    samples = np.sin(np.arange(rate * ms // 1000) * hertz * 2 * np.pi / rate) * 8000
    return samples.astype("<i2").tobytes()


class Echo:
    def __init__(self, transport):
        self.transport, self.digits = transport, ""

    def audio(self, audio):
        assert self.transport.write(audio)

    def dtmf(self, digit):
        self.digits += digit

    def hung_up(self, reason):
        pass


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_a_conversation_with_an_echo(serve, rate):
    echoes = []

    async def echo(transport):
        echoes.append(Echo(transport))
        assert transport.audio == AudioFormat(rate)
        await transport.run(echoes[0])

    listener = await serve(echo)
    said = tone(300, rate)
    async with open_audiosocket_call(*listener.address, call_id=UUID(int=3), rate=rate) as caller:
        assert caller.call_id == UUID(int=3)
        await trio.sleep(0.1)
        await caller.say(said)
        assert abs(caller.seconds - 0.4) < 0.1
        await caller.dtmf("4")
        await caller.dtmf("2", hold_ms=20)
        caller._mark = 0  # an echo answers before one has finished
        heard = await caller.agent_spoke(quiet_ms=200)
        assert said in heard
        assert len(heard) <= len(said) + caller.audio.bytes_in(40)
        mine, theirs = caller.recording()
    assert echoes[0].digits == "42"
    assert (caller.how, len(mine)) == ("caller", len(theirs))
    delay = caller.audio.ms_in(theirs.index(said) - mine.index(said))
    assert JITTER_BUFFER_MS - 25 < delay < JITTER_BUFFER_MS + 60
    assert not any(mine[: mine.index(said)])
    gaps = np.diff([at for at, _ in caller.arrivals])
    assert np.median(gaps) == pytest.approx(0.02, abs=0.004)


async def test_a_burst_is_heard_in_real_time(serve):
    done = trio.Event()

    async def burst(transport):
        transport.write(tone(500))
        await done.wait()

    listener = await serve(burst)
    async with open_audiosocket_call(*listener.address) as caller:
        heard = await caller.agent_spoke(quiet_ms=100)
        assert tone(500).strip(b"\0") in heard
        assert caller.seconds > 0.6
        assert len(caller.arrivals) == 1
        done.set()
        await caller.hung_up.wait()
        assert caller.how == "0x00"
        assert await caller.agent_spoke() == b""
        await caller.say(tone(100))
        await caller.dtmf("1")


async def leave_rudely(transport):
    await trio.sleep(0.05)
    transport.close()


async def reset(transport):
    transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await trio.sleep(0.05)
    transport.close()


async def send_rubbish(transport):
    transport._socket.send(b"\x99\0\0")
    await trio.sleep(1)


async def change_codec(transport):
    transport._kind_out = 0x12
    transport.write(bytes(640))
    await trio.sleep(1)


@pytest.mark.parametrize(
    ("handler", "how"),
    [
        (reset, "reset"),
        (send_rubbish, "no such kind"),
        (change_codec, "a frame of kind 0x12 in a call at 8000 Hz"),
    ],
)
async def test_how_an_agent_may_end_it(serve, handler, how):
    listener = await serve(handler)
    async with open_audiosocket_call(*listener.address) as caller:
        with trio.fail_after(2):
            await caller.say(tone(60_000))
        assert caller.hung_up.is_set()
        assert how in caller.how


async def test_an_agent_that_only_closes(serve):
    listener = await serve(leave_rudely)
    async with open_audiosocket_call(*listener.address) as caller:
        caller.muted = True
        await caller.hung_up.wait()
        assert caller.how == "fin"


async def test_a_muted_caller_sends_nothing_but_speech(serve, heard):
    listener = await serve(lambda transport: transport.run(heard))
    async with open_audiosocket_call(*listener.address) as caller:
        caller.muted = True
        await trio.sleep(0.3)
        await caller.say(tone(40))
        await trio.sleep(0.05)
        mine, _ = caller.recording()
    assert b"".join(heard.frames).strip(b"\0") == tone(40).strip(b"\0")
    assert len(heard.frames) <= 3
    assert len(mine) >= 8000 * 2 * 0.3


def test_a_stereo_file(tmp_path):
    write_stereo_wav(tmp_path / "call.wav", tone(40), tone(20), 8000)
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (2, 2, 8000, 320)
        both = np.frombuffer(file.readframes(320), "<i2").reshape(-1, 2)
    assert both[:, 0].tobytes() == tone(40)
    assert both[:, 1].tobytes() == tone(20) + bytes(320)
