"""A call over a real socket: what comes in, what goes out, and both ways of ending it."""

from __future__ import annotations

import re
import socket
from uuid import UUID

import pytest
import trio
from patience import LONG_S, until

from voicepipe.audio import AudioFormat
from voicepipe.errors import TransportError
from voicepipe.testing.transport import voice
from voicepipe.transports.audiosocket.wire_format import (
    ERROR,
    HANGUP,
    KINDS,
    Decoder,
    encode_audio,
    encode_dtmf,
    encode_uuid,
)

CALL = UUID("11111111-2222-4333-8444-555555555501")
HELLO = encode_uuid(CALL)
FRAME = bytes(range(256)) + bytes(64)
MU_LAW = encode_audio(0x10, (b"\xff" * 9 + b"\x7e") * 16) * 10
"""What a telephone line without a voice is, in mu-law."""


class Echo:
    """A sink that says back what it hears."""

    def __init__(self, transport):
        self.transport = transport

    def audio(self, audio):
        assert self.transport.write(audio)

    def dtmf(self, digit):
        pass

    def hung_up(self, reason):
        pass


async def echo(transport):
    await transport.run(Echo(transport))


async def test_a_captured_call_is_echoed_and_ends_when_the_caller_hangs_up(serve, connect, capture):
    listener = await serve(echo)
    async with connect(listener) as asterisk:
        await asterisk.send(capture("app_echo_caller_hangup.a2s.bin"))
        await asterisk.stream.send_eof()
        assert await asterisk.receive_all() == capture("app_echo_caller_hangup.s2a.bin")


async def test_a_captured_call_in_which_the_agent_hangs_up(serve, connect, capture):
    said = capture("app_hangup_after_audio.s2a.bin")
    assert said.endswith(HANGUP)

    async def speak(transport):
        for kind, payload in Decoder().feed(said):
            if kind:
                assert transport.write(payload)
        await transport.hang_up()

    listener = await serve(speak)
    async with connect(listener) as asterisk:
        await asterisk.send(capture("app_hangup_after_audio.a2s.bin"))
        assert await asterisk.receive_all() == said


async def test_dtmf_and_short_frames_of_a_captured_call(serve, connect, capture, heard):
    data = capture("app_dtmf_local.a2s.bin")
    frames = [(kind, bytes(payload)) for kind, payload in Decoder().feed(data)]
    done = trio.Event()

    async def listen(transport):
        assert transport.info.transport_id == str(UUID(bytes=frames[0][1]))
        await transport.run(heard)
        done.set()

    listener = await serve(listen)
    async with connect(listener) as asterisk:
        await asterisk.send(data)
    await done.wait()
    assert heard.frames == [payload for kind, payload in frames if kind == 0x10]
    assert heard.digits == b"".join(payload for kind, payload in frames if kind == 0x03).decode()
    assert heard.digits.startswith("159#")
    assert heard.ending == "the caller hung up"


async def test_what_the_call_is(serve, connect):
    calls = []

    async def note(transport):
        calls.append((transport.info, transport.audio, transport.pacing, transport.can))

    listener = await serve(note, listener="sip")
    async with connect(listener) as asterisk:
        for byte in HELLO:
            await asterisk.send(bytes([byte]))
        await asterisk.send(encode_audio(0x12, bytes(640)))
        assert await asterisk.receive(1) == [(0, b"")]
    ((info, audio, pacing, can),) = calls
    assert (info.transport_id, info.listener) == (str(CALL), "sip")
    assert (audio, pacing, can) == (AudioFormat(16000), "ours", {"transfer"})


@pytest.mark.parametrize(
    ("kind", "size", "rate", "out"),
    [(0x12, 640, 8000, 0x12), (0x10, 640, 16000, 0x10), (0x18, 7680, 8000, 0x18), (None, 0, 16000, 0x12)],
)
async def test_the_answer_is_in_the_kind_of_the_audio(serve, connect, kind, size, rate, out):
    listener = await serve(echo_once, rate=rate)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + (encode_audio(kind, bytes(size)) if kind else b""))
        assert await asterisk.receive(2) == [(out, b"hi" * 100), (0, b"")]


async def echo_once(transport):
    assert transport.write(b"hi" * 100)


async def test_a_muted_caller_begins_without_audio(serve, connect, heard):
    async def talk(transport):
        assert transport.audio == AudioFormat(8000)
        await transport.run(heard)

    listener = await serve(talk)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + encode_dtmf("7"))
        await until(lambda: heard.digits == "7")
        await asterisk.send(encode_audio(0x10, FRAME))
        await asterisk.stream.send_eof()
        assert await asterisk.receive_all() == b""
    assert heard.frames == [FRAME]


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize(("kind", "real"), [(0x12, 16000), (0x16, 48000), (0x15, 44100), (0x10, None)])
async def test_the_first_audio_decides_however_late_it_comes(serve, connect, heard, rate, kind, real):
    formats, up = [], trio.Event()

    async def talk(transport):
        formats.append(transport.audio)
        assert transport.write(bytes(range(1, 201)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.run, heard)
            up.set()
            await heard.something.wait()
            formats.append(transport.audio)
            assert transport.write(bytes(range(1, 201)))

    listener = await serve(talk, rate=rate)
    size = AudioFormat(real or rate).bytes_in(20)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO)
        assert await asterisk.receive(1) == [(KINDS[rate], bytes(range(1, 201)))]
        await up.wait()
        await asterisk.send(encode_audio(kind, b"\1\2" * (size // 2)))
        assert await asterisk.receive(1) == [(kind, bytes(range(1, 201)))]
        await asterisk.stream.send_eof()
    assert formats == [AudioFormat(rate), AudioFormat(real or rate)]
    assert heard.formats == [] if real in {None, rate} else [AudioFormat(real)]
    assert heard.frames == [b"\1\2" * (size // 2)]


@pytest.mark.parametrize("size", [2, 80, 160, 320, 322, 480, 640, 960])
@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_packets_of_any_length_in_reads_of_any_length(serve, connect, heard, size, piece):
    speech = voice(8000, 500)
    speech = speech[: len(speech) // size * size]
    sent = HELLO + b"".join(encode_audio(0x10, speech[at : at + size]) for at in range(0, len(speech), size))
    listener = await serve(lambda transport: transport.run(heard))
    async with connect(listener) as asterisk:
        for at in range(0, 2000, piece):
            await asterisk.send(sent[at : at + piece if at + piece < 2000 else len(sent)])
            if at + piece >= 2000:
                break
        await asterisk.stream.send_eof()
        await asterisk.receive_all()
    assert b"".join(heard.frames) == speech
    assert {len(frame) for frame in heard.frames} == {size}
    assert heard.ending == "the caller hung up"


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (MU_LAW, "add c(slin): Dial(AudioSocket/host:port/uuid/c(slin))"),
        (b"\x10\0\x21" + bytes(33), "add c(slin): Dial(AudioSocket/host:port/uuid/c(slin))"),
        (b"\x12\0\x21" + bytes(33), "let only Asterisk's AudioSocket() or Dial(AudioSocket/...) connect here"),
    ],
    ids=["mu-law", "GSM", "an odd number of bytes"],
)
async def test_audio_that_can_not_be_understood_is_refused_before_the_call(serve, connect, sent, says):
    refused = []

    async def never(transport):
        raise AssertionError("that was no call")

    listener = await serve(never, on_refused=lambda _peer, error: refused.append(str(error)))
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + sent)
        assert await asterisk.receive_all() == ERROR  # or a dialplan would take it for a conversation
    assert len(refused) == 1
    assert says in refused[0]


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (encode_audio(0x12, bytes(640)), r"changed from 8000 Hz .* to 16000 Hz"),
        (HELLO, "a second UUID came in mid-call"),
        (b"\x42\0\0", "no such kind"),
    ],
    ids=["other codec", "second UUID", "unknown kind"],
)
async def test_a_call_that_breaks_the_protocol(serve, connect, heard, sent, says):
    errors = []

    async def listen(transport):
        try:
            await transport.run(heard)
        except TransportError as error:
            errors.append(str(error))

    listener = await serve(listen)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + encode_audio(0x10, FRAME))
        await heard.something.wait()
        await asterisk.send(encode_audio(0x10, FRAME) + sent + encode_audio(0x10, FRAME))
        assert await asterisk.receive_all() == HANGUP
    assert heard.frames == [FRAME, FRAME]
    assert re.search(says, errors[0])
    assert not heard.ending


async def test_compressed_audio_after_a_muted_beginning(serve, connect, heard):
    refused, begun = [], trio.Event()

    async def listen(transport):
        begun.set()
        await transport.run(heard)

    listener = await serve(listen, on_refused=lambda _peer, error: refused.append(str(error)))
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO)
        await begun.wait()
        await asterisk.send(MU_LAW)
        assert await asterisk.receive_all() == HANGUP
    assert "add c(slin)" in refused[0]


@pytest.mark.parametrize(
    ("sent", "ending"),
    [
        (b"", "the caller hung up"),
        (b"\x10\x01", "the caller hung up"),
        (HANGUP, "Asterisk ended the call"),
        (b"\xff\0\x01\x04", "Asterisk reported an error (04)"),
        (b"\xff\0\0", "Asterisk reported an error (without a code)"),
        (encode_dtmf("f") + HANGUP + encode_audio(0x10, FRAME), "Asterisk ended the call"),
    ],
    ids=["FIN", "FIN in a frame", "hang-up", "error", "bare error", "fax tone, hang-up, audio"],
)
@pytest.mark.parametrize("before", [b"", encode_audio(0x10, FRAME)], ids=["at once", "after audio"])
async def test_how_the_caller_goes(serve, connect, heard, sent, ending, before):
    listener = await serve(lambda transport: transport.run(heard))
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + before + sent)
        await asterisk.stream.send_eof()
        assert await asterisk.receive_all() == b""
    assert (heard.ending, heard.digits) == (ending, "")
    assert len(heard.frames) == bool(before)


async def test_a_reset_is_a_hang_up(serve, connect, heard):
    done = trio.Event()

    async def listen(transport):
        await transport.run(heard)
        assert transport.write(FRAME)
        done.set()

    listener = await serve(listen)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + encode_audio(0x10, FRAME))
        await heard.something.wait()
        asterisk.stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    await done.wait()
    assert heard.ending == "the caller hung up (Connection reset by peer)"


async def test_nothing_is_delivered_after_a_hang_up(serve, connect, heard):
    async def leave(transport):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.run, heard)
            await heard.something.wait()
            before = len(heard.frames)
            nursery.start_soon(transport.hang_up)
            await transport.transfer("4711")
            await transport.hang_up()
            assert len(heard.frames) == before >= 1
            await transport.wait_writable()
            assert transport.write(FRAME)
        await transport.run(heard)

    listener = await serve(leave)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO)
        async with trio.open_nursery() as nursery:

            async def speak():
                while True:
                    await asterisk.send(encode_audio(0x10, FRAME))
                    await trio.sleep(0.01)

            nursery.start_soon(speak)
            assert await asterisk.receive_all() == HANGUP
            nursery.cancel_scope.cancel()
    assert not heard.ending


async def test_a_connection_that_is_closed_at_once_ends_its_run_and_its_hang_up(serve, connect, heard):
    async def close(transport):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.run, heard)
            await heard.something.wait()
            nursery.start_soon(transport.hang_up)
            await trio.testing.wait_all_tasks_blocked()
            transport.close()
        transport.close()
        await transport.refuse()
        assert transport.write(FRAME)

    listener = await serve(close)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + encode_audio(0x10, FRAME))
        assert await asterisk.receive_all() == HANGUP
    assert not heard.ending


async def test_what_it_can_not(serve, connect):
    async def try_all(transport):
        with pytest.raises(NotImplementedError):
            transport.clear()
        with pytest.raises(NotImplementedError):
            transport.mark(1)
        with pytest.raises(ValueError, match="fit an AudioSocket frame"):
            transport.write(b"")

    listener = await serve(try_all)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + encode_audio(0x10, FRAME))
        assert await asterisk.receive_all() == HANGUP


@pytest.mark.parametrize(("kind", "size"), [(0x10, 320), (0x18, 7680)])
async def test_a_slow_reader_loses_nothing_and_sees_whole_frames(serve, connect, kind, size):
    count = 2 * 1024 * 1024 // size
    full = trio.Event()

    def frame(number):
        return (number + 1).to_bytes(4, "big") * (size // 4)

    async def talk(transport):
        transport._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
        for number in range(count):
            while not transport.write(frame(number)):
                full.set()
                await transport.wait_writable()

    listener = await serve(talk)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + encode_audio(kind, bytes(size)))
        await full.wait()
        received = await asterisk.receive(count + 1)
    assert [payload[:4] for _, payload in received[:-1]] == [frame(number)[:4] for number in range(count)]
    assert {(k, payload == payload[:4] * (size // 4)) for k, payload in received[:-1]} == {(kind, True)}
    assert received[-1] == (0, b"")


class Reluctant:
    """A socket whose kernel takes only so many bytes, and then a byte or nothing."""

    def __init__(self, real, takes):
        self.real, self.takes = real, takes

    def send(self, data):
        if not self.takes:
            self.takes = 1
            raise BlockingIOError
        taken = self.real.send(data[: self.takes])
        self.takes = (self.takes - taken) // 2
        return taken

    def __getattr__(self, name):
        return getattr(self.real, name)


@pytest.mark.parametrize("takes", [1, 2, 3, 100, 322])
async def test_a_frame_that_the_kernel_takes_in_part_is_finished_at_once(serve, connect, takes):
    checked = trio.Event()

    async def talk(transport):
        transport._sender._socket = Reluctant(transport._sender._socket, takes)
        assert transport.write(FRAME)
        assert transport._sender.unsent
        assert not transport.write(bytes(320))
        await checked.wait()
        while not transport.write(FRAME[::-1]):
            await transport.wait_writable()

    listener = await serve(talk)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO + encode_audio(0x10, bytes(320)))
        assert await asterisk.receive(1) == [(0x10, FRAME)]
        checked.set()
        assert await asterisk.receive(2) == [(0x10, FRAME[::-1]), (0, b"")]


async def test_a_call_that_says_nothing_sends_silence(serve, connect, heard):
    """How often, `test_t07_...` says, on a clock of its own."""
    listener = await serve(lambda transport: transport.run(heard))
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO)
        for _ in range(3):
            with trio.fail_after(LONG_S):
                assert await asterisk.receive(1, silence=True) == [(0x10, bytes(320))]
