"""A browser's transport: what its client sends and gets, with a socket that is full, and at the end of a call."""

from __future__ import annotations

import json

import httpx
import pytest
import trio
from attrs import define, field
from websockets.exceptions import ConnectionClosed

from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError, TransportError
from voicepipe.transports.browser.listener import BrowserOptions, browser, open_browser_listener
from voicepipe.transports.browser.transport import MOST_OWED, BrowserTransport
from voicepipe.transports.listener import ListenerContext
from voicepipe.wire.websocket import open_websocket

START = '{"type":"start","protocol":1}'
TOKEN = "correct horse battery staple"
EVENT = {"type": "transcribed", "text": "<b>two</b>"}


@define(eq=False)
class Wire:
    """A socket in memory."""

    sent: list = field(factory=list)
    full: bool = False
    closed: tuple = ()
    _room: trio.Event = field(factory=trio.Event)

    def send_nowait(self, message):
        if not self.full:
            self.sent.append(message if isinstance(message, bytes) else json.loads(message))
        return not self.full

    async def wait_writable(self):
        await trio.lowlevel.checkpoint()
        if self.full:
            await self._room.wait()

    def make_room(self):
        self.full = False
        self._room.set()

    async def close(self, code=1000, reason=""):
        await trio.lowlevel.checkpoint()
        self.closed = self.closed or (code, reason)

    @property
    def kinds(self):
        return [message if isinstance(message, bytes) else message["type"] for message in self.sent]


@define(eq=False)
class Sink:
    got: list = field(factory=list)

    def audio(self, audio):
        self.got.append(bytes(audio))

    def dtmf(self, digit):
        self.got.append(digit)

    def heard(self, mark):
        self.got.append(mark)

    def hung_up(self, reason):
        self.got.append(f"hung up: {reason}")


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def transport(wire):
    return BrowserTransport(wire, listener="web", shows_call=True)


async def running(nursery, transport, sink):
    """Starts a call on a transport whose client has asked for one."""
    transport.take_message(START)
    assert await transport.answer()
    nursery.start_soon(transport.run, sink)
    await trio.testing.wait_all_tasks_blocked()


async def test_the_start_says_who_calls(transport):
    transport.take_message('{"type":"start","protocol":1,"called":"200","caller":"7","variables":{"tenant":"acme"}}')
    assert await transport.answer()
    info = transport.info
    assert (info.called, info.caller, info.variables, info.listener) == ("200", "7", {"tenant": "acme"}, "web")
    assert len(info.transport_id) == 36


async def test_everything_is_delivered_in_order(nursery, transport, wire):
    sink = Sink()
    transport.take_message(b"\1\2")  # nobody has answered yet
    await running(nursery, transport, sink)
    for message in (b"\3\4", '{"type":"key","digit":"5"}', b"", '{"type":"mark","mark":7}', '{"type":"new"}', b"\5\6"):
        transport.take_message(message)
    transport.take_message('{"type":"hang_up"}')
    transport.take_message(b"\7\7")
    transport.closed("the connection ended")
    await trio.testing.wait_all_tasks_blocked()
    assert sink.got == [b"\3\4", "5", 7, b"\5\6", "hung up: the caller hung up"]
    assert wire.kinds == ["started"]


async def test_started_comes_before_anything_else(transport, wire):
    transport.take_message(START)
    transport.call_event(EVENT)
    assert transport.write(bytes(640))
    transport.mark(1)
    transport.clear()
    assert wire.kinds == ["started", "event", bytes(640), "mark", "clear"]
    assert wire.sent[1]["event"] == EVENT


@pytest.mark.parametrize(
    "message",
    [b"\0", bytes(40_000), "{}", '{"type":"key","digit":"5"}', '{"type":"hang_up"}', START.replace("1", "2")],
    ids=repr,
)
async def test_a_client_that_breaks_the_protocol_becomes_no_call(transport, wire, message):
    with pytest.raises(TransportError) as broken:
        transport.take_message(message)
    transport.fail(broken.value)
    with pytest.raises(TransportError):
        await transport.answer()
    await transport.hang_up()
    assert wire.closed == (1008, str(broken.value)[:120])
    assert wire.kinds == []


async def test_a_client_that_breaks_the_protocol_in_mid_call_ends_it(transport, wire):
    transport.take_message(START)
    with pytest.raises(TransportError, match="second") as broken:
        transport.take_message(START)
    transport.fail(broken.value)
    with pytest.raises(TransportError, match="second"):
        await transport.run(Sink())
    await transport.hang_up()
    assert wire.closed == (1008, 'a second "start" came in mid-call')


async def test_a_client_that_leaves_before_it_calls_is_no_call(transport):
    transport.closed("the connection ended")
    assert not await transport.answer()


async def test_a_full_socket_refuses_audio_and_keeps_messages_in_order(nursery, transport, wire):
    sink = Sink()
    await running(nursery, transport, sink)
    wire.full = True
    assert not transport.write(b"lost")
    transport.mark(3)
    transport.call_event(EVENT)
    transport.clear()
    assert not transport.write(b"lost")
    assert wire.kinds == ["started"]
    wire.make_room()
    await trio.testing.wait_all_tasks_blocked()
    assert transport.write(b"next")
    assert wire.kinds == ["started", "mark", "event", "clear", b"next"]


async def test_messages_that_are_owed_come_before_audio(transport, wire):
    """Also where the task that sends them has not had its turn yet: a mark must not pass the audio after it."""
    transport.take_message(START)
    wire.full = True
    transport.mark(3)
    wire.full = False
    assert transport.write(b"next")
    assert wire.kinds == ["started", "mark", b"next"]


async def test_a_client_that_takes_nothing_is_owed_a_bounded_number_of_events(transport, wire):
    wire.full = True
    for _ in range(10 * MOST_OWED):
        transport.call_event(EVENT)
    transport.mark(3)
    wire.full = False
    assert transport.write(b"next")
    assert len(wire.sent) <= MOST_OWED + 2
    assert wire.kinds[-2:] == ["mark", b"next"]


async def test_hanging_up_sends_what_is_owed_and_says_goodbye(autojump_clock, nursery, transport, wire):
    sink = Sink()
    await running(nursery, transport, sink)
    wire.full = True
    transport.call_event(EVENT)
    async with trio.open_nursery() as ending:
        ending.start_soon(transport.hang_up)
        await trio.testing.wait_all_tasks_blocked()
        assert wire.closed == ()
        wire.make_room()
    assert wire.kinds == ["started", "event", "hang_up"]
    assert wire.closed == (1000, "")
    assert sink.got == []  # who hangs up is not told of it
    await transport.hang_up()
    assert transport.write(b"into the void")
    transport.clear()
    transport.call_event(EVENT)
    assert wire.kinds == ["started", "event", "hang_up"]


@pytest.mark.parametrize("cancelled", [False, True])
async def test_hanging_up_on_a_client_that_takes_nothing_takes_half_a_second(
    autojump_clock, nursery, transport, wire, cancelled
):
    await running(nursery, transport, Sink())
    wire.full = True
    began = trio.current_time()
    with trio.CancelScope() as scope:
        if cancelled:
            scope.cancel()
        await transport.hang_up()
    assert trio.current_time() - began == pytest.approx(0.5)
    assert cancelled or wire.closed == (1000, "")


async def test_a_page_that_may_not_show_the_call_gets_no_event(wire):
    transport = BrowserTransport(wire, listener="web", shows_call=False)
    transport.call_event(EVENT)
    assert wire.sent == []


# --- Over a listener ------------------------------------------------------------------------------------------------


@define(eq=False)
class Line:
    """A listener that serves, and what became of its calls."""

    port: int
    refused: trio.MemoryReceiveChannel
    calls: list = field(factory=list)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def client(self, **headers):
        return open_websocket(f"ws://{self.address}/call", headers=headers)


async def serve(nursery, handler=None, **options):
    return await nursery.start(_serve, handler, options)


async def _serve(handler, options, *, task_status):
    refused, receive_refused = trio.open_memory_channel(10)
    context = ListenerContext(name="web", on_refused=lambda _peer, error: refused.send_nowait(str(error)))
    async with open_browser_listener(BrowserOptions(port=0, **options), context) as listener:
        line = Line(listener.address[1], receive_refused)

        async def answer(transport):
            line.calls.append(transport)
            if handler is not None:
                await handler(transport)

        task_status.started(line)
        await listener.serve(answer)


async def receive(websocket):
    message = await websocket.recv()
    return message if isinstance(message, bytes) else json.loads(message)


async def echo(transport):
    class Echo(Sink):
        def audio(self, audio):
            transport.write(audio)

        def dtmf(self, digit):
            transport.mark(int(digit))

    await transport.run(Echo())


async def test_a_call_over_a_socket(nursery):
    ended = trio.Event()

    async def handler(transport):
        await echo(transport)
        ended.set()

    line = await serve(nursery, handler)
    async with line.client() as client:
        await client.send(START)
        assert await receive(client) == {"type": "started", "protocol": 1, "rate": 16000}
        await client.send(bytes(range(200)))
        assert await receive(client) == bytes(range(200))
        await client.send('{"type":"key","digit":"7"}')
        assert await receive(client) == {"type": "mark", "mark": 7}
        await client.send('{"type":"hang_up"}')
        with trio.fail_after(10):
            await ended.wait()
        assert await receive(client) == {"type": "hang_up"}
        with pytest.raises(ConnectionClosed):
            await client.recv()
    assert line.refused.statistics().current_buffer_used == 0


async def test_a_client_is_told_why_its_call_ended(nursery):
    line = await serve(nursery, echo)
    async with line.client() as client:
        await client.send('{"type":"start","protocol":99}')
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd.code == 1008
        assert "the engine speaks 1; reload the page" in closed.value.rcvd.reason
    assert "reload the page" in await line.refused.receive()


@pytest.mark.parametrize("token", ["", "wrong horse battery staple"])
async def test_without_its_token_nothing_of_a_call_exists(nursery, token):
    line = await serve(nursery, echo, token=Secret(TOKEN))
    with pytest.raises(ComponentError, match="401"):
        async with line.client(Authorization=f"Bearer {token}"):
            pass
    assert line.calls == []
    reason = await line.refused.receive()
    assert "refused with 401" in reason
    assert "horse" not in reason


async def test_with_its_token_a_call_is_taken(nursery):
    line = await serve(nursery, echo, token=Secret(TOKEN))
    async with line.client(Authorization=f"Bearer {TOKEN}") as client:
        await client.send(START)
        assert (await receive(client))["type"] == "started"


async def test_a_strangers_page_can_open_no_call(nursery):
    line = await serve(nursery, echo)
    with pytest.raises(ComponentError, match="403"):
        async with line.client(Origin="https://evil.example"):
            pass
    async with httpx.AsyncClient(base_url=f"http://{line.address}") as http:
        answer = await http.get("/session", headers={"Host": "evil.example", "Origin": "http://evil.example"})
        assert answer.status_code == 403
        assert "evil.example is no name of this machine" in answer.json()["problem"]
    assert line.calls == []


async def test_the_page_and_its_session_are_served(nursery):
    line = await serve(nursery, echo, token=Secret(TOKEN))
    async with httpx.AsyncClient(base_url=f"http://{line.address}") as http:
        page = await http.get("/?called=200")
        assert page.status_code == 200
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert page.text.startswith("<!doctype html>")
        assert (await http.head("/softphone.js")).headers["content-type"] == "text/javascript; charset=utf-8"
        assert (await http.get("/session")).status_code == 401
        session = await http.get("/session", headers={"Authorization": f"Bearer {TOKEN}"})
        assert session.json() == {"protocol": 1, "rate": 16000, "transcript": True}
        assert (await http.get("/etc/passwd")).status_code == 404


def test_the_transport_is_found_by_its_name():
    assert browser.name == "browser"
    assert list(browser.check_installed()) == []
