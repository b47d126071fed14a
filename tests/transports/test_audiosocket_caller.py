"""The caller of the test kit does what an Asterisk does, and hears what a person would.

When it says and hears what is tested in memory, where time is exact; how a call may end, over a real socket.
"""

from __future__ import annotations

import socket
import wave
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

import numpy as np
import pytest
import trio
import trio.testing
from patience import LONG_S

from voicepipe.testing.audiosocket_caller import JITTER_BUFFER_MS, open_audiosocket_call, write_stereo_wav
from voicepipe.transports.audiosocket.wire_format import (
    HANGUP,
    KIND_DTMF,
    KIND_UUID,
    KINDS,
    RATES,
    Decoder,
    encode_audio,
    encode_dtmf,
)

NETWORK_S = 0.005
"""How long what an agent says takes to the caller."""


def tone(ms, rate=8000, hertz=440):
    samples = np.sin(np.arange(rate * ms // 1000) * hertz * 2 * np.pi / rate) * 8000
    return samples.astype("<i2").tobytes()


class Agent:
    """The other end of a call in memory: notes what comes, and says it back if it is an echo."""

    def __init__(self, *, echoes=False):
        self.echoes = echoes
        self.call_id, self.digits, self.frames = None, "", []

    async def hold(self, stream):
        self.stream, decoder = stream, Decoder()
        async for data in stream:
            for kind, payload in decoder.feed(data):
                await self.take(kind, bytes(payload))

    async def take(self, kind, payload):
        if kind == KIND_UUID:
            self.call_id = UUID(bytes=payload)
        elif kind == KIND_DTMF:
            self.digits += payload.decode()
        else:
            assert kind in RATES
            self.frames.append((trio.current_time(), payload))
            if self.echoes:
                await self.say(payload, kind)

    async def say(self, pcm, kind=KINDS[8000]):
        await trio.sleep(NETWORK_S)
        await self.stream.send_all(encode_audio(kind, pcm))


@pytest.fixture
def call(monkeypatch, nursery):
    """Opens a call to an agent in memory."""

    @asynccontextmanager
    async def calling(agent, **options):
        ours, theirs = trio.testing.memory_stream_pair()

        async def connect(_host, _port):
            await trio.lowlevel.checkpoint()
            nursery.start_soon(agent.hold, theirs)
            return ours

        with monkeypatch.context() as patched:
            patched.setattr(trio, "open_tcp_stream", connect)
            async with open_audiosocket_call(**options) as caller:
                yield caller

    return calling


@pytest.mark.parametrize("rate", [8000, 16000])
async def test_a_conversation_with_an_echo(autojump_clock, call, rate):
    agent = Agent(echoes=True)
    said = tone(300, rate)
    async with call(agent, call_id=UUID(int=3), rate=rate) as caller:
        assert caller.call_id == UUID(int=3)
        await trio.sleep(0.1)
        await caller.say(said)
        assert caller.seconds == pytest.approx(0.4, abs=0.021)
        await caller.dtmf("4")
        await caller.dtmf("2", hold_ms=20)
        caller._mark = 0  # an echo answers before one has finished
        heard = await caller.agent_spoke(quiet_ms=200)
        assert said in heard
        assert len(heard) <= len(said) + caller.audio.bytes_in(40)
        mine, theirs = caller.recording()
    assert (agent.call_id, agent.digits) == (UUID(int=3), "42")
    assert (caller.how, len(mine)) == ("caller", len(theirs))
    delay = caller.audio.ms_in(theirs.index(said) - mine.index(said))
    assert delay == pytest.approx(JITTER_BUFFER_MS + NETWORK_S * 1000, abs=1)
    assert not any(mine[: mine.index(said)])
    gaps = np.diff([at for at, _ in agent.frames])
    assert gaps.round(6).tolist().count(0.02) >= len(gaps) - 2  # no audio while a key is held
    until_a_key = int(np.argmax(gaps > 0.03))  # the frame of silence after it is no part of a reply
    assert np.diff([at for at, _ in caller.arrivals])[: until_a_key - 1] == pytest.approx(gaps[: until_a_key - 1])
    assert {size for _, size in caller.arrivals} == {caller.audio.bytes_in(20)}


async def test_a_burst_is_heard_in_real_time(autojump_clock, call):
    agent = Agent()
    async with call(agent) as caller:
        await trio.testing.wait_all_tasks_blocked()
        await agent.say(tone(500))
        heard = await caller.agent_spoke(quiet_ms=100)
        assert tone(500).strip(b"\0") in heard
        assert caller.seconds == pytest.approx(NETWORK_S + JITTER_BUFFER_MS / 1000 + 0.5 + 0.1, abs=0.021)
        assert len(caller.arrivals) == 1
        await agent.stream.send_all(HANGUP)
        await caller.hung_up.wait()
        assert caller.how == "0x00"
        assert await caller.agent_spoke() == b""
        await caller.say(tone(100))
        await caller.dtmf("1")


async def test_a_muted_caller_sends_nothing_but_speech(autojump_clock, call):
    agent = Agent()
    async with call(agent) as caller:
        caller.muted = True
        await trio.sleep(0.3)
        await caller.say(tone(40))
        await trio.sleep(0.05)
        mine, _ = caller.recording()
    assert b"".join(frame for _, frame in agent.frames).strip(b"\0") == tone(40).strip(b"\0")
    assert len(agent.frames) == 2
    assert len(mine) >= 8000 * 2 * 0.3


async def leave_rudely(transport):
    transport.close()
    await trio.lowlevel.checkpoint()


async def reset(transport):
    transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await leave_rudely(transport)


async def send(transport, data):
    transport._socket.send(data)
    await trio.sleep_forever()


@pytest.mark.parametrize(
    ("handler", "how"),
    [
        (reset, "reset"),
        (partial(send, data=b"\x99\0\0"), "no such kind"),
        (partial(send, data=encode_dtmf("5")), "a frame of kind 0x03, which is no audio"),
    ],
    ids=["reset", "rubbish", "a key"],
)
async def test_how_an_agent_may_end_it(serve, handler, how):
    listener = await serve(handler)
    async with open_audiosocket_call(*listener.address) as caller:
        with trio.fail_after(LONG_S):
            await caller.say(bytes(16 * 600_000))  # ten minutes
        assert caller.hung_up.is_set()
        assert how in caller.how


async def test_an_agent_that_only_closes(serve):
    listener = await serve(leave_rudely)
    async with open_audiosocket_call(*listener.address) as caller:
        caller.muted = True
        await caller.hung_up.wait()
        assert caller.how == "fin"


def test_a_stereo_file(tmp_path):
    write_stereo_wav(tmp_path / "call.wav", tone(40), tone(20), 8000)
    with wave.open(str(tmp_path / "call.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate(), file.getnframes()) == (2, 2, 8000, 320)
        both = np.frombuffer(file.readframes(320), "<i2").reshape(-1, 2)
    assert both[:, 0].tobytes() == tone(40)
    assert both[:, 1].tobytes() == tone(20) + bytes(320)
