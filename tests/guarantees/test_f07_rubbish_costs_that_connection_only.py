"""F07: rubbish on a listener costs that connection only; frames are bounded in size, connections in number and time."""

from __future__ import annotations

import random
import resource
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest
import trio
from engine_process import open_engine
from patience import LONG_S, until

from voicepipe.testing.audiosocket_caller import open_audiosocket_call
from voicepipe.transports.audiosocket.listener import serve_audiosocket
from voicepipe.transports.audiosocket.wire_format import ERROR, HANGUP, MAX_PAYLOAD, encode_audio, encode_uuid

HELLO = encode_uuid(UUID(int=1))
SAID = np.arange(1, 8001, dtype="<i2")
"""A second of which no sample is like another, and none is silence."""
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
    "compressed audio": HELLO + encode_audio(0x10, b"\xff\x7f\xfe\xff" * 40) * 12,  # mu-law of a quiet line
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


def spoken(pcm):
    """What is no silence in it: the caller hears some in between when the machine is slow."""
    samples = np.frombuffer(pcm, "<i2")
    return samples[samples != 0].tolist()


async def test_f07_rubbish_costs_that_connection_only(nursery):
    refused, served = [], {}

    async def echo_and_note(transport):
        sink = Echo(transport)
        served[UUID(transport.info.transport_id)] = sink.frames
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
    async with open_audiosocket_call(*listener.address) as caller:
        await until(lambda: caller.call_id in served)
        async with trio.open_nursery() as strangers:
            for eof in False, True:
                for rubbish in RUBBISH.values():
                    strangers.start_soon(partial(throw, listener, rubbish, eof=eof))
            await caller.say(SAID.tobytes())
        await caller.say(SAID[:160].tobytes())  # they are gone now, and it goes on
        said = [*SAID.tolist(), *SAID[:160].tolist()]
        await until(lambda: len(spoken(caller.recording()[1])) >= len(said))
        assert not caller.hung_up.is_set()
        mine, theirs = caller.recording()
    # Each frame was heard, in order and once, and the answer to each came back.
    assert spoken(mine) == spoken(b"".join(served[caller.call_id])) == spoken(theirs) == said
    assert len(refused) >= len(RUBBISH)
    assert all(";" in error and len(error) > 30 for error in refused)  # says what to do
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", [name for name in RUBBISH if "random" not in name and name != "a port scan"])
async def test_f07_it_is_dropped_at_once(nursery, name):
    listener = await nursery.start(partial(serve_audiosocket, echo, port=0, identify_timeout=10 * LONG_S))
    with trio.fail_after(LONG_S):
        answer = await throw(listener, RUBBISH[name], eof=False)
        assert answer.endswith((HANGUP, ERROR))  # the latter if no call had begun: then a dialplan sees a failure
    nursery.cancel_scope.cancel()


async def test_f07_connections_are_bounded_in_number(nursery):
    refused, answers = [], []
    listener = await nursery.start(
        partial(
            serve_audiosocket,
            echo,
            port=0,
            max_connections=5,
            when_full="hang_up",
            identify_timeout=10 * LONG_S,
            on_refused=lambda _peer, error: refused.append(str(error)),
        )
    )
    async with trio.open_nursery() as strangers:

        async def idle():
            answers.append(await throw(listener, b"", eof=False))

        for _ in range(25):
            strangers.start_soon(idle)
        await until(lambda: len(answers) == 20)
        strangers.cancel_scope.cancel()
    assert answers == [HANGUP] * 20
    assert len(refused) == 20
    assert all("5 connections are up already" in error for error in refused)
    await until(lambda: listener._connections._counting == 0)
    async with open_audiosocket_call(*listener.address) as caller:
        await caller.say(SAID[:1600].tobytes())
        await until(lambda: spoken(caller.recording()[1]) == SAID[:1600].tolist())
    nursery.cancel_scope.cancel()


async def test_f07_connections_are_bounded_in_idle_time(nursery):
    refused = []
    listener = await nursery.start(
        partial(
            serve_audiosocket,
            echo,
            port=0,
            identify_timeout=0.3,
            on_refused=lambda _peer, error: refused.append(str(error)),
        )
    )
    began = trio.current_time()
    assert await throw(listener, b"", eof=False) == HANGUP
    assert trio.current_time() - began >= 0.3
    assert len(refused) == 1
    assert "no UUID within 0.3 s" in refused[0]
    nursery.cancel_scope.cancel()


async def test_out_of_descriptors_it_says_so_once_and_goes_on_when_there_are_some(home):
    """Whoever opens connections without end; the kernel keeps those that wait, and they are answered later."""
    async with open_engine(home, file="engine.yaml") as engine:
        for port in engine.ports.values():
            async with open_audiosocket_call(port=port) as caller:  # so that all is open that serves them
                assert await caller.agent_spoke(quiet_ms=100)
        await engine.comes_true(lambda: no_calls(engine))
        pid = engine.process.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        in_use = max(int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()) + 1  # noqa: ASYNC240 - no drive is behind it
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (in_use, hard))
        host, port = engine.admin.removeprefix("http://").split(":")
        async with AsyncExitStack() as opened:
            for where in (int(port), *engine.ports.values()):
                for _ in range(3):
                    await opened.enter_async_context(await trio.open_tcp_stream(host, where))
            shortage = await engine.logged("engine.shortage")
            assert shortage["limit"] == f"open files of this process (RLIMIT_NOFILE, {in_use:,})"
            assert "LimitNOFILE=" in shortage["hint"]
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
            async with open_audiosocket_call(port=engine.ports["main"]) as caller:
                assert await caller.agent_spoke(quiet_ms=100)
        assert (await engine.ask("GET", "/healthz")).status_code == 200
        assert engine.count("engine.shortage") == 1
        assert engine.count("library.message") == 0


async def no_calls(engine):
    """Whether no call is up."""
    return (await engine.ask("GET", "/calls")).json()["calls"] == []
