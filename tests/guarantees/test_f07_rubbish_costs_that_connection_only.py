"""F07: rubbish on a listener costs that connection only; frames are bounded in size, connections in number and time."""

from __future__ import annotations

import random
from functools import partial
from uuid import UUID

import numpy as np
import pytest
import trio

from voicepipe.testing.audiosocket_caller import open_audiosocket_call
from voicepipe.transports.audiosocket import serve_audiosocket
from voicepipe.transports.audiosocket_wire import HANGUP, MAX_PAYLOAD, encode_audio, encode_uuid

HELLO = encode_uuid(UUID(int=1))
TONE = (np.sin(np.arange(8000) * 440 * 2 * np.pi / 8000) * 8000).astype("<i2").tobytes()
RANDOM = random.Random(7)

RUBBISH = {
    "a port scan": b"",
    "HTTP": b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "TLS": bytes.fromhex("1603010200010001fc0303") + RANDOM.randbytes(507),
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "SIP": b"OPTIONS sip:100@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1\r\n\r\n",
    "zeros": bytes(100_000),
    "a UUID too short": b"\1\0\x0f" + bytes(15),
    "two UUIDs": HELLO + HELLO,
    "a frame too long": HELLO + b"\x10" + (MAX_PAYLOAD + 2).to_bytes(2, "big") + bytes(MAX_PAYLOAD + 2),
    "half a sample": HELLO + b"\x10\0\3abc",
    "an unknown kind in mid-call": HELLO + encode_audio(0x10, bytes(320)) * 3 + b"\x42\0\1a",
    "another rate in mid-call": HELLO + encode_audio(0x10, bytes(320)) * 3 + encode_audio(0x12, bytes(640)),
    "compressed audio": HELLO + encode_audio(0x10, b"\xff" * 160) * 3,
    **{f"random bytes {number}": RANDOM.randbytes(2000) for number in range(20)},
    **{f"random bytes {number} after a UUID": HELLO + RANDOM.randbytes(2000) for number in range(20)},
}


class Echo:
    def __init__(self, transport):
        self.transport, self.frames = transport, []

    def audio(self, audio):
        self.frames.append(bytes(audio))
        self.transport.write(audio)

    def dtmf(self, digit):
        pass

    def hung_up(self, reason):
        pass


async def echo(transport):
    await transport.run(Echo(transport))


async def throw(listener, rubbish, *, eof):
    """What a stranger who sends that gets back before it is dropped."""
    async with await trio.open_tcp_stream(*listener.address) as stream:
        answer = b""
        try:
            await stream.send_all(rubbish)
            if eof:
                await stream.send_eof()
            async for data in stream:
                answer += data
        except trio.BrokenResourceError:
            pass
        return answer


async def test_f07_rubbish_costs_that_connection_only(nursery):
    refused, served = [], {}

    async def echo_and_note(transport):
        sink = Echo(transport)
        served[UUID(transport.info.call_id)] = sink.frames
        await transport.run(sink)

    listener = await nursery.start(
        partial(
            serve_audiosocket,
            echo_and_note,
            port=0,
            identify_timeout=0.3,
            on_refused=lambda _peer, error: refused.append(str(error)),
        )
    )
    async with open_audiosocket_call(*listener.address) as caller, trio.open_nursery() as strangers:
        await trio.sleep(0.1)
        for eof in False, True:
            for rubbish in RUBBISH.values():
                strangers.start_soon(partial(throw, listener, rubbish, eof=eof))
        await caller.say(TONE)
        await trio.sleep(0.2)
        assert not caller.hung_up.is_set()
        frames = caller.seconds / 0.02
    assert TONE in b"".join(served[caller.call_id])
    assert frames - 15 < len(served[caller.call_id]) == pytest.approx(len(caller.arrivals), abs=2)
    assert max(np.diff([at for at, _ in caller.arrivals])) < 0.2
    assert len(refused) >= len(RUBBISH)
    assert all(";" in error and len(error) > 30 for error in refused)  # says what to do
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", [name for name in RUBBISH if "random" not in name and name != "a port scan"])
async def test_f07_it_is_dropped_at_once(nursery, name):
    listener = await nursery.start(partial(serve_audiosocket, echo, port=0, identify_timeout=30))
    with trio.fail_after(1):
        assert (await throw(listener, RUBBISH[name], eof=False)).endswith(HANGUP)
    nursery.cancel_scope.cancel()


async def test_f07_connections_are_bounded_in_number_and_idle_time(nursery):
    refused = []
    listener = await nursery.start(
        partial(
            serve_audiosocket,
            echo,
            port=0,
            max_connections=5,
            identify_timeout=0.5,
            on_refused=lambda _peer, error: refused.append(str(error)),
        )
    )
    began = trio.current_time()
    answers = []
    async with trio.open_nursery() as strangers:

        async def idle():
            answers.append((await throw(listener, b"", eof=False), trio.current_time() - began))

        for _ in range(25):
            strangers.start_soon(idle)
    assert [answer for answer, _ in answers] == [HANGUP] * 25
    assert sum("5 connections are up already" in error for error in refused) == 20
    assert sum("no UUID within 0.5 s" in error for error in refused) == 5
    assert sum(after >= 0.5 for _, after in answers) == 5
    async with open_audiosocket_call(*listener.address) as caller:
        await caller.say(TONE[:3200])
        await trio.sleep(0.1)
        assert TONE[:3200] in caller.recording()[1]
    nursery.cancel_scope.cancel()
