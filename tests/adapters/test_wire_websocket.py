"""How `voicepipe.wire.websocket` opens, fails and closes, against servers of the library's and of other kinds."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from functools import partial

import pytest
import trio
from garbage import left_to_the_collector
from patience import LONG_S
from vendors.serving import VendorServer, open_memory_network
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.trio.server import serve

from voicepipe.errors import ComponentError
from voicepipe.wire.websocket import Messages, load_websockets, open_websocket
from voicepipe.wire.websocket_connection import MOST_BYTES, PONG_S, WebSocket

MANY = 200
"""More messages than the library buffers, so that its reading stands still."""


@asynccontextmanager
async def served(converse, **options):
    """The address of a server that holds such conversations."""
    async with trio.open_nursery() as nursery:
        server = await nursery.start(partial(serve, converse, 0, host="127.0.0.1", **options))
        yield f"ws://127.0.0.1:{server.listeners[0].socket.getsockname()[1]}/v1/stream"
        nursery.cancel_scope.cancel()


def opened(url, **options):
    return open_websocket(url, headers={"authorization": "Bearer test-key"}, connect_timeout_s=LONG_S, **options)


class Talker:
    """Talks without being asked, and keeps how it ended."""

    def __init__(self) -> None:
        self.code = None
        self.over = trio.Event()

    async def __call__(self, socket):
        with suppress(ConnectionClosed):
            for number in range(MANY):
                await socket.send(f"{number}")
        await socket.wait_closed()
        self.code = socket.close_code
        self.over.set()


async def test_what_a_cancellation_ends_is_freed_without_the_garbage_collector():
    """A connection lives as long as a call: it would be old by then, and old objects are looked at late."""
    load_websockets()

    async def cancelled(url):
        with trio.CancelScope() as leaving:
            async with opened(url):
                leaving.cancel()
                await trio.sleep_forever()

    async with served(Talker()) as url:
        await cancelled(url)
        with left_to_the_collector() as left:
            for _ in range(3):
                await cancelled(url)
    assert not [one for one in left if issubclass(type(one), WebSocket | ClientProtocol)]


async def test_a_connection_with_unread_messages_is_closed_in_good_order():
    load_websockets()
    talker = Talker()
    async with served(talker) as url:
        async with opened(url, close_s=LONG_S) as websocket:
            messages = Messages(websocket, timeout_s=LONG_S)
            assert await messages.receive() == "0"
        with trio.fail_after(LONG_S):
            await talker.over.wait()
    assert talker.code == 1000


async def test_what_leaves_by_an_exception_waits_for_nobody():
    talker = Talker()
    async with served(talker) as url:
        with pytest.raises(KeyError):
            async with opened(url, close_s=1e9):
                raise KeyError
        with trio.fail_after(LONG_S):
            await talker.over.wait()
    assert talker.code == 1006


async def test_what_leaves_by_a_cancellation_waits_for_nobody():
    talker = Talker()
    async with served(talker) as url:
        with trio.CancelScope() as scope:
            async with opened(url, close_s=1e9):
                scope.cancel()
                await trio.sleep_forever()
        with trio.fail_after(LONG_S):
            await talker.over.wait()
    assert talker.code == 1006


async def test_a_server_that_never_says_goodbye_is_not_waited_for():
    async def mute(stream):
        await trio.sleep_forever()

    async def converse(socket):
        async with trio.open_nursery() as nursery:  # reads nothing more, not even a goodbye
            await socket.send("hello")
            await mute(nursery)

    async with served(converse) as url, opened(url, close_s=0.05) as websocket:
        assert await Messages(websocket, timeout_s=LONG_S).due() == "hello"


async def test_a_handshake_that_is_refused():
    def refuse(socket, request):
        answer = socket.respond(int(request.path.rpartition("/")[2]), "slow down\n")
        answer.headers["Retry-After"] = "2"
        return answer

    async def nothing(socket):
        pass

    async with served(nothing, process_request=refuse) as url:
        base = url.removesuffix("v1/stream")
        with pytest.raises(ComponentError) as caught:
            async with opened(f"{base}429", key="${ACME_API_KEY}"):
                pass
        error = caught.value
        assert (error.message, error.answered, error.retry_after_s) == ("HTTP 429", "slow down", 2)
        assert error.hint == "the account of ${ACME_API_KEY} asks too often"

        def mine(status, headers, body):
            return ComponentError(f"{status} {headers['Retry-After']} {body.decode().strip()}", retryable=False)

        with pytest.raises(ComponentError, match="401 2 slow down") as caught:
            async with opened(f"{base}401", refused=mine):
                pass
        assert not caught.value.retryable


async def test_what_is_no_websocket_or_not_there():
    async def rude(stream):
        async with stream:
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nhi")

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, rude, 0, host="127.0.0.1"))
        port = listener.socket.getsockname()[1]
        with pytest.raises(ComponentError, match="HTTP 200"):
            async with opened(f"ws://127.0.0.1:{port}/"):
                pass
        nursery.cancel_scope.cancel()
    with pytest.raises(ComponentError, match=f"ws://127.0.0.1:{port}/ can't be reached"):
        async with opened(f"ws://127.0.0.1:{port}/?key=hidden"):
            pass


async def test_a_connection_that_nobody_takes_within_its_time():
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        url = f"ws://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(ComponentError, match=r"did not take the connection within 0\.05 s"):
            async with open_websocket(url, headers={}, connect_timeout_s=0.05):
                pass


async def test_an_end_is_an_error_with_its_reason():
    async def converse(socket):
        await socket.send(b"\0\1")
        await socket.aclose(4001, "out of credit")

    async with served(converse) as url, opened(url) as websocket:
        messages = Messages(websocket, timeout_s=LONG_S)
        assert await messages.due() == b"\0\1"
        with pytest.raises(ComponentError, match="ended early, closed with code 4001") as caught:
            await messages.receive()
        assert caught.value.answered == "out of credit"
        with pytest.raises(ComponentError, match="the connection broke"):
            await messages.send("more")


def refused_by(code, reason):
    """What a vendor means by some of its close codes."""
    if code != 4001:
        return None
    return ComponentError("does not take the key", retryable=False, answered=reason, hint="is ${KEY} set?")


@pytest.mark.parametrize("use", ["receive", "due", "send"])
async def test_a_close_code_can_mean_a_refusal(use):
    async def converse(socket):
        await socket.recv()
        await socket.aclose(4001, "Not Authorized")

    async with served(converse) as url, opened(url) as websocket:
        messages = Messages(websocket, timeout_s=LONG_S, closed=refused_by)
        await messages.send("hello")
        if use == "send":
            with pytest.raises(ConnectionClosed):
                await websocket.recv()
        again = ("more",) if use == "send" else ()
        with pytest.raises(ComponentError, match="does not take the key") as caught:
            await getattr(messages, use)(*again)
    assert (caught.value.retryable, caught.value.answered) == (False, "Not Authorized")
    assert caught.value.hint == "is ${KEY} set?"
    assert isinstance(caught.value.__cause__, ConnectionClosed)


@pytest.mark.parametrize("code", [1000, 1011, 4008])
async def test_another_close_code_is_a_connection_that_broke(code):
    async def converse(socket):
        await socket.aclose(code, "bye")

    async with served(converse) as url, opened(url) as websocket:
        with pytest.raises(ComponentError, match=f"ended early, closed with code {code}") as caught:
            await Messages(websocket, timeout_s=LONG_S, closed=refused_by).receive()
    assert caught.value.retryable
    assert caught.value.answered == "bye"


async def test_a_connection_that_is_cut_has_no_code():
    async def converse(socket):
        await trio.aclose_forcefully(socket.stream)

    def never(code, reason):
        raise AssertionError((code, reason))

    async with served(converse) as url, opened(url) as websocket:
        with pytest.raises(ComponentError, match="the connection ended early"):
            await Messages(websocket, timeout_s=LONG_S, closed=never).receive()


async def test_what_is_due_and_does_not_come(autojump_clock):
    class Silent:
        async def recv(self):
            await trio.sleep_forever()

        async def send(self, data):
            await trio.sleep_forever()

    messages = Messages(Silent(), timeout_s=7)
    with pytest.raises(ComponentError, match="nothing came for 7 s"):
        await messages.due()
    with pytest.raises(ComponentError, match="took nothing for 7 s"):
        await messages.send("x")
    assert trio.current_time() >= 14
    with trio.move_on_after(100) as waiting:  # nothing is due
        await messages.receive()
    assert waiting.cancelled_caught


# --- Frames ----------------------------------------------------------------------------------------------------------


async def test_messages_in_fragments_are_put_together():
    async def converse(socket):
        await socket.send(["he", "ll", "o"])
        await socket.send([b"\0", b"\1\2"])
        await socket.recv()

    async with served(converse) as url, opened(url) as websocket:
        assert await websocket.recv() == "hello"
        assert await websocket.recv() == b"\0\1\2"
        await websocket.send("bye")


@pytest.mark.parametrize(
    ("frame", "code", "reason"),
    [
        (Frame(Opcode.TEXT, b"\xff\xfe"), 1007, "invalid start byte"),
        (Frame(Opcode.BINARY, bytes(MOST_BYTES + 1)), 1009, ""),
        (Frame(Opcode.CONT, b"x"), 1002, "unexpected continuation frame"),
    ],
    ids=["no text", "too large", "no message"],
)
async def test_a_frame_that_must_not_be_ends_the_connection_with_its_code(frame, code, reason):
    async def converse(socket):
        await socket.send("first")
        with suppress(ConnectionClosed):
            async with socket.send_context():
                socket.protocol.writes.append(frame.serialize(mask=False))
            await socket.recv()

    async with served(converse) as url, opened(url) as websocket:
        messages = Messages(websocket, timeout_s=LONG_S)
        assert await messages.receive() == "first"
        with pytest.raises(ComponentError, match="the connection ended early") as caught:
            await messages.receive()
    assert reason in caught.value.answered
    assert caught.value.__cause__.sent.code == code


async def test_what_can_be_taken_without_waiting():
    async def converse(socket):
        await socket.send("one")
        await socket.send("two")
        assert await socket.recv() == "three"
        await socket.recv()

    async with served(converse) as url, opened(url) as websocket:
        assert await websocket.recv() == "one"
        if (message := await websocket.recv()) != "two":
            raise AssertionError(message)
        with pytest.raises(trio.WouldBlock):
            websocket.recv_nowait()
        websocket.send_nowait("three")
        assert websocket.is_flushed


async def test_nothing_is_sent_behind_what_the_server_does_not_take(autojump_clock, monkeypatch):
    class Deaf(VendorServer):
        async def converse(self, request, socket):
            await trio.sleep_forever()

    load_websockets()
    async with open_memory_network(monkeypatch) as network:
        network.listen("acme.test", Deaf())
        with trio.CancelScope() as leaving:
            async with opened("ws://acme.test/") as websocket:
                await websocket.send(bytes(100_000))  # the network takes that much
                websocket.send_nowait(b"more")
                assert not websocket.is_flushed
                with pytest.raises(trio.WouldBlock):
                    websocket.send_nowait(b"still more")
                with pytest.raises(ComponentError, match=r"took nothing for 7 s"):
                    await Messages(websocket, timeout_s=7).send(b"still more")
                assert trio.current_time() == pytest.approx(7)
                leaving.cancel()
                await trio.lowlevel.checkpoint()


async def test_a_server_that_answers_no_ping_is_gone(autojump_clock, monkeypatch):
    class Mute(VendorServer):
        async def converse(self, request, socket):
            await trio.sleep_forever()

    load_websockets()
    async with open_memory_network(monkeypatch) as network:
        network.listen("acme.test", Mute())
        async with opened("ws://acme.test/", ping_interval=30) as websocket:
            with pytest.raises(ComponentError, match="the connection ended early") as caught:
                await Messages(websocket, timeout_s=LONG_S).receive()
    assert caught.value.answered == "keepalive ping timeout"
    assert trio.current_time() == pytest.approx(30 + PONG_S, abs=1)


async def test_pings_are_answered_while_somebody_receives(autojump_clock, monkeypatch):
    class Pinging(VendorServer):
        async def converse(self, request, socket):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(socket.receive)
                await trio.sleep(200)
                await socket.send("still there")

    load_websockets()
    async with open_memory_network(monkeypatch) as network:
        network.listen("acme.test", Pinging())
        async with opened("ws://acme.test/", ping_interval=30) as websocket:
            assert await websocket.recv() == "still there"
    assert trio.current_time() >= 200


async def test_a_pong_that_nobody_has_read_yet_is_no_missing_one(autojump_clock, monkeypatch):
    class Talking(VendorServer):
        async def converse(self, request, socket):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(socket.receive)
                await trio.sleep(31)  # the ping has come, and was answered
                await socket.send("first")
                await trio.sleep(169)
                await socket.send("second")
                await trio.sleep(100)

    load_websockets()
    async with open_memory_network(monkeypatch) as network:
        network.listen("acme.test", Talking())
        async with opened("ws://acme.test/", ping_interval=30) as websocket:
            assert await websocket.recv() == "first"
            await trio.sleep(100)  # whoever receives is busy
            assert await websocket.recv() == "second"


async def test_a_close_is_noticed_although_the_server_takes_nothing_more(autojump_clock, monkeypatch):
    class Closing(VendorServer):
        async def converse(self, request, socket):
            await trio.sleep(5)
            await socket.close(4001, "out of credit")
            await trio.sleep(1000)

    load_websockets()
    async with open_memory_network(monkeypatch) as network:
        network.listen("acme.test", Closing())
        async with opened("ws://acme.test/") as websocket:
            await websocket.send(bytes(100_000))  # the network takes that much
            websocket.send_nowait(b"more")
            assert not websocket.is_flushed
            messages = Messages(websocket, timeout_s=LONG_S)
            with pytest.raises(ComponentError, match="closed with code 4001"):
                await messages.receive()
            assert trio.current_time() == pytest.approx(5)


async def test_pings_are_answered_by_whoever_takes_without_waiting():
    answered = trio.Event()

    async def converse(socket):
        pong = await socket.ping()
        await pong.wait()
        answered.set()
        await socket.recv()

    async with served(converse) as url, opened(url) as websocket:
        with trio.fail_after(LONG_S):
            while not answered.is_set():
                with suppress(trio.WouldBlock):
                    websocket.recv_nowait()
                await trio.sleep(0.001)


async def test_a_message_may_be_large():
    got = []

    async def converse(socket):
        got.append(len(await socket.recv()))

    async with served(converse, max_size=None) as url, opened(url) as websocket:
        await Messages(websocket, timeout_s=LONG_S).send(bytes(3 << 20))
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
    assert got == [3 << 20]


async def test_nothing_can_be_sent_or_received_after_the_end():
    async def converse(socket):
        await socket.recv()

    async with served(converse) as url:
        async with opened(url) as websocket:
            pass
        with pytest.raises(ConnectionClosed):
            websocket.send_nowait("more")
        with pytest.raises(ConnectionClosed):
            websocket.recv_nowait()
        with pytest.raises(ConnectionClosed):
            await websocket.recv()
