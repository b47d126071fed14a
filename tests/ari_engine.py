"""An engine at an Asterisk that is played: the listener `asterisk_ari` and what its calls delivered."""

from __future__ import annotations

from contextlib import asynccontextmanager

import trio
from attrs import define, field
from vendors.asterisk_ari import PASSWORD, USER, open_asterisk

from voicepipe.components.values import Secret
from voicepipe.transports.asterisk_ari import AsteriskAriOptions, asterisk_ari
from voicepipe.transports.listener import ListenerContext

CALLER = "1764500000.1"
FRAME = bytes(range(1, 161)) * 2


@define(eq=False)
class Line:
    """A call of the engine: what was delivered, and the transport."""

    transport: object
    frames: list = field(factory=list)
    marks: list = field(factory=list)
    digits: str = ""
    ending: str = ""
    audible: trio.Event = field(factory=trio.Event)
    over: trio.Event = field(factory=trio.Event)
    hang_up: trio.Event = field(factory=trio.Event)

    def format_changed(self, audio):
        pass

    def audio(self, audio):
        assert not self.ending
        self.frames.append(bytes(audio))
        self.audible.set()

    def dtmf(self, digit):
        self.digits += digit

    def heard(self, mark):
        self.marks.append(mark)

    def hung_up(self, reason):
        assert not self.ending
        self.ending = reason


class Engine:
    """A listener that serves, and its calls."""

    def __init__(self):
        self.lines, self.refused, self.crashed = [], [], []
        self.arrived = trio.Event()
        self.raises = None
        self.handle_call = self.handle

    async def handle(self, transport):
        line = Line(transport)
        self.lines.append(line)
        self.arrived.set()
        if self.raises is not None:
            raise self.raises
        async with trio.open_nursery() as nursery:

            async def run():
                await transport.run(line)
                nursery.cancel_scope.cancel()

            nursery.start_soon(run)
            await line.hang_up.wait()
            nursery.cancel_scope.cancel()
        line.over.set()

    async def take(self, transport):
        await self.handle_call(transport)

    async def line(self):
        await self.arrived.wait()
        return self.lines[-1]


MEDIA = {"websocket": {}, "audiosocket": {"media": "audiosocket", "format": "slin"}}
"""The options for each kind of media."""


@asynccontextmanager
async def open_engine(asterisk, *, max_connections=10, connects=True, **options):
    engine = Engine()
    usual = {"url": asterisk.url, "username": USER, "password": Secret(PASSWORD), "port": 0, "format": "slin"}
    settings = AsteriskAriOptions(**usual | options)
    context = ListenerContext(
        "line",
        max_connections=max_connections,
        on_refused=lambda peer, why: engine.refused.append(str(why)),
        on_crash=lambda info, error: engine.crashed.append(error),
    )
    async with asterisk_ari.open(settings, context) as engine.listener, trio.open_nursery() as nursery:
        engine.media_address = engine.listener._legs.listener.address
        login = f"{settings.media_username}:{settings.media_password}" if settings.media_username else ""
        host, port = engine.media_address
        asterisk.websocket_clients["voicepipe"] = f"ws://{host}:{port}/media", login
        nursery.start_soon(engine.listener.serve, engine.take)
        if connects:
            await asterisk.app_connected.wait()
        yield engine
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def a_call(**options):
    async with open_asterisk() as asterisk, open_engine(asterisk, **options) as engine:
        with trio.fail_after(20):
            await asterisk.caller_comes(number="15551230001", exten="15559870001")
            line = await engine.line()
            await line.audible.wait()
            yield asterisk, engine, line


async def until(condition):
    """Until something is so that no event tells."""
    while not condition():  # noqa: ASYNC110 - the condition is the other process's
        await trio.sleep(0.001)
