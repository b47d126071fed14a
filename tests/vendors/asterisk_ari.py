"""An Asterisk as ARI shows it: channels, bridges, Stasis, external media; its errors and the order of its events.

Written from captures of Asterisk 22.10.1 (`tests/data/asterisk/ari`, which a test replays) and its source. The test is
everybody else: it has callers come and hang up, answers telephones that ring, and takes ARI away.
"""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import unquote
from uuid import UUID

import trio
from attrs import define, field
from vendors.serving import Fault, Request, Response, Socket, VendorServer, open_vendor
from websockets.exceptions import ConnectionClosed

from voicepipe.errors import ComponentError
from voicepipe.testing.chan_websocket import ChanWebSocket
from voicepipe.transports.audiosocket.wire_format import (
    HANGUP,
    KIND_HANGUP,
    KINDS,
    RATES,
    Decoder,
    encode_audio,
    encode_dtmf,
    encode_uuid,
)
from voicepipe.wire.websocket import open_websocket

USER, PASSWORD = "voicepipe", "testsecret"
INTERNAL = "An internal error prevented this request from being handled"
FORMATS = {"slin", "slin16", "ulaw", "alaw", "g722", "opus"}


def _action_of(parts: list[str]) -> str:
    """`answer`, `externalMedia`; `channels/ID` for the channel itself."""
    if len(parts) > 2:
        return parts[2]
    if parts[-1] == "externalMedia" or len(parts) == 1:
        return parts[-1]
    return f"{parts[0]}/ID"


@define(eq=False)
class Channel:
    """A channel."""

    id: str
    name: str
    state: str = "Up"
    number: str = ""
    caller_name: str = ""
    exten: str = "s"
    app: str = ""
    """The Stasis application that it is in; empty: in none."""
    args: list[str] = field(factory=list)
    variables: dict[str, str] = field(factory=dict)
    is_made: bool = False
    """Whether ARI made it: it ends with Stasis, and its end is reported."""
    bridge: Bridge | None = None
    sounds: set[str] = field(factory=set)
    """What is played to it: `ring`, `moh`."""
    dtmf: str = ""
    """The keys that were pressed for it."""
    media: AudioSocketMedia | WebSocketMedia | None = None
    endpoint: str = ""
    """The dial string with which it was called."""
    endpoint_app: tuple[str, list[str]] = ("", [])
    """The application that it comes into when it is answered, and its arguments."""
    timeout: str = ""
    ended: trio.Event = field(factory=trio.Event)
    cause: int = 0
    """The cause with which it was hung up, by whoever did."""
    continued: bool = False
    """Whether it went on in the dialplan."""

    @property
    def json(self) -> dict[str, Any]:
        inside = bool(self.app)
        data = ",".join([self.app, *self.args]) if inside else "(Outgoing Line)"
        return {
            "id": self.id,
            "name": self.name,
            "state": self.state,
            "protocol_id": "",
            "caller": {"name": self.caller_name, "number": self.number},
            "connected": {"name": "", "number": ""},
            "accountcode": "",
            "dialplan": {
                "context": "engine",
                "exten": self.exten,
                "priority": 3,
                "app_name": "Stasis" if inside else "AppDial2",
                "app_data": data,
            },
            "creationtime": "2026-11-22T10:50:18.913+0000",
            "language": "en",
            "channelvars": {name: self.variables.get(name, "") for name in ("AI_PIPELINE", "CALL_UUID", "DID")},
        }


@define(eq=False)
class Bridge:
    """A bridge."""

    id: str
    channels: list[Channel] = field(factory=list)

    @property
    def json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "technology": "simple_bridge",
            "bridge_type": "mixing",
            "bridge_class": "stasis",
            "creator": "Stasis",
            "name": "",
            "channels": [channel.id for channel in self.channels],
            "creationtime": "2026-11-22T10:50:18.919+0000",
            "video_mode": "talker",
        }


class AudioSocketMedia:
    """The media channel's end of an AudioSocket connection."""

    def __init__(self, stream: Any, rate: int) -> None:
        self.stream, self.kind = stream, KINDS[rate]
        self.frame = bytes(rate // 50 * 2)
        self.heard = bytearray()
        """The audio that came, silence left out."""

    async def send(self, audio: bytes | None = None) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.stream.send_all(encode_audio(self.kind, audio or self.frame))

    async def press(self, digit: str) -> None:
        await self.stream.send_all(encode_dtmf(digit))

    async def receive(self) -> None:
        """Takes what comes until the engine ends the call."""
        decoder = Decoder()
        while data := await self.stream.receive_some():
            for kind, payload in decoder.feed(data):
                if kind == KIND_HANGUP:
                    return
                if kind in RATES and any(payload):
                    self.heard += payload

    async def start(self) -> None:
        """Has sent the UUID already: Asterisk connects before it answers the request."""

    async def close(self) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.stream.send_all(HANGUP)
        await self.stream.aclose()

    async def cut(self) -> None:
        await self.stream.aclose()


class WebSocketMedia:
    """The media channel's end of a WebSocket, whose queue is played at once."""

    def __init__(self, channel_id: str, audio_format: str, websocket: Any) -> None:
        self.chan = ChanWebSocket(audio_format, channel_id=channel_id)
        self.websocket = websocket
        self.frame = bytes(self.chan.frame_bytes)
        self._receiving = trio.CancelScope()
        self.heard = bytearray()
        """The audio that came."""

    async def start(self) -> None:
        await self.websocket.send(self.chan.start())

    async def send(self, audio: bytes | None = None) -> None:
        with suppress(ConnectionClosed):
            await self.websocket.send(audio or self.frame)

    async def press(self, digit: str) -> None:
        await self.websocket.send(self.chan.digit(digit))

    async def receive(self) -> None:
        """Takes what comes until either side ends the call."""
        with suppress(ConnectionClosed):
            with self._receiving:
                while self.chan.closed is None:
                    self.chan.take(await self.websocket.recv())
                    while frame := self.chan.tick():
                        self.heard += frame
                    while self.chan.events:
                        await self.websocket.send(self.chan.events.pop(0))
            await self.websocket.close(0.5)

    async def close(self) -> None:
        await trio.lowlevel.checkpoint()
        self._receiving.cancel()

    async def cut(self) -> None:
        await self.websocket.aclose()


class PlayedAsterisk(VendorServer):
    """The server; open it with `open_asterisk`."""

    def __init__(self) -> None:
        super().__init__()
        self.nursery: trio.Nursery
        self.channels: dict[str, Channel] = {}
        self.bridges: dict[str, Bridge] = {}
        self.telephones: dict[str, str] = {}
        """What becomes of a call to an endpoint: `answer`, `busy`, `no answer`, `unreachable`; others ring."""
        self.websocket_clients: dict[str, tuple[str, str]] = {}
        """The sections of websocket_client.conf: the URL, and `username:password` or nothing."""
        self.answers: dict[str, tuple[int, str]] = {}
        """Answers to requests instead of what they would do: `{"POST externalMedia": (500, ...)}`."""
        self.before: dict[str, Any] = {}
        """Async functions that are called before a request is carried out, by the same names."""
        self.slow_media = trio.Event()
        """Media channels come into Stasis once it is set."""
        self.slow_media.set()
        self.log: list[str] = []
        """Requests that change something, with their status: `POST channels/answer 204`."""
        self.channel_of_ours = 0
        self._apps: dict[str, Socket] = {}
        self._connections: set[trio.CancelScope] = set()
        self.app_connected = trio.Event()

    # --- The telephone side ---------------------------------------------------------------------------------------

    async def caller_comes(self, channel_id="1764500000.1", *, app="voicepipe", args=(), state="Ring", **fields):
        """A caller gets to Stasis(app,args...); False if the dialplan goes on, since nobody has that application."""
        channel = Channel(channel_id, f"PJSIP/trunk-{channel_id}", state=state, **fields)
        self.channels[channel.id] = channel
        if app not in self._apps:
            channel.continued = True
            self.channels.pop(channel.id)
            return False
        await self._enter(channel, app, list(args))
        return True

    async def hang_up(self, channel_id: str, cause: int = 16) -> None:
        """The person at a channel hangs up."""
        if channel := self.channels.get(channel_id):
            await self._end(channel, cause)

    async def press(self, channel_id: str, digit: str, *, with_media: bool = True) -> None:
        """The person at a channel presses a key, which the bridge passes on."""
        channel = self.channels[channel_id]
        await self._tell(channel, "ChannelDtmfReceived", digit=digit, duration_ms=100)
        for other in channel.bridge.channels if with_media and channel.bridge else ():
            if other.media is not None:
                await other.media.press(digit)

    async def answer_call(self, channel_id: str) -> None:
        """Somebody takes up a telephone that rings."""
        channel = self.channels[channel_id]
        app, args = channel.endpoint_app
        channel.state = "Up"
        await self._tell_dial(channel, "ANSWER", app)
        await self._enter(channel, app, args)

    def called(self, endpoint: str) -> Channel | None:
        """The channel on which an endpoint is being called, or was answered."""
        return next((channel for channel in self.channels.values() if channel.endpoint == endpoint), None)

    def talkers(self, channel_id: str) -> set[str]:
        """Whom a channel is connected with."""
        channel = self.channels[channel_id]
        return {other.id for other in channel.bridge.channels if other is not channel} if channel.bridge else set()

    # --- The loss of ARI ------------------------------------------------------------------------------------------

    async def go_away(self) -> None:
        """ARI is gone: connections end, and none is taken; channels and bridges stay."""
        self.fault = Fault("refuse")
        self._apps.clear()
        for scope in list(self._connections):
            scope.cancel()
        while self.open:  # noqa: ASYNC110
            await trio.sleep(0.001)
        self.app_connected = trio.Event()

    def come_back(self) -> None:
        """ARI is there again."""
        self.fault = None

    async def restart(self) -> None:
        """`core restart now`: every channel is gone without a word, and then ARI is there again."""
        await self.go_away()
        for channel in list(self.channels.values()):
            channel.ended.set()
            if channel.media is not None:
                await channel.media.cut()
        self.channels.clear()
        self.bridges.clear()
        self.come_back()

    # --- HTTP and the events ----------------------------------------------------------------------------------------

    async def serve(self, stream: Any) -> None:
        with trio.CancelScope() as scope:
            self._connections.add(scope)
            try:
                await super().serve(stream)
            finally:
                self._connections.discard(scope)

    def _is_known(self, request: Request) -> bool:
        login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return request.headers.get("authorization") == f"Basic {login}"

    async def greet(self, request: Request):
        if not self._is_known(request):
            return 401, {"content-type": "application/json"}, b'{"message": "Authentication required"}'
        return {} if request.path == "/ari/events" else (404, {}, b'{"message": "Resource not found"}')

    async def converse(self, request: Request, socket: Socket) -> None:
        app = dict(request.query)["app"]
        if (earlier := self._apps.get(app)) is not None:
            await earlier.send({"type": "ApplicationReplaced", "application": app})
        self._apps[app] = socket
        self.app_connected.set()
        try:
            while await socket.receive() is not None:
                pass
        finally:
            if self._apps.get(app) is socket:
                del self._apps[app]

    async def answer(self, request: Request, response: Response) -> None:
        if not self._is_known(request):
            await response.json({"message": "Authentication required"}, 401)
            return
        parts = [unquote(part) for part in request.path.removeprefix("/ari/").split("/")]
        name = f"{request.method} {_action_of(parts)}"
        if hook := self.before.get(name):
            await hook()
        if name in self.answers:
            status, message = self.answers[name]
            body: Any = {"message": message}
        else:
            status, body = await self._carry_out(request.method, parts, dict(request.query), request)
        if request.method != "GET":
            self.log.append(f"{name} {status}")
        if body is None:
            await response.start(status, {"content-length": "0"})
        else:
            await response.json(body, status)

    async def _carry_out(self, method: str, parts: list[str], query: dict[str, str], request: Request):  # noqa: C901, PLR0911 - a table of what ARI can do
        match method, parts:
            case "GET", ["channels"]:
                return 200, [channel.json for channel in self.channels.values()]
            case "GET", ["bridges"]:
                return 200, [bridge.json for bridge in self.bridges.values()]
            case "POST", ["channels", "externalMedia"]:
                return await self._make_media(query)
            case "POST", ["channels"]:
                return await self._originate(query, request)
            case _, ["channels", name, *action]:
                if name not in self.channels:
                    return 404, {"message": "Channel not found"}
                return await self._change(method, self.channels[name], action, query)
            case "POST", ["bridges", name] if query["type"] == "mixing":
                self.bridges[name] = Bridge(name)
                return 200, self.bridges[name].json
            case _, ["bridges", name, *_] if name not in self.bridges:
                return 404, {"message": "Bridge not found"}
            case "DELETE", ["bridges", name]:
                for channel in list(self.bridges[name].channels):
                    await self._leave_bridge(channel)
                del self.bridges[name]
                return 204, None
            case "POST", ["bridges", name, "addChannel" | "removeChannel" as action]:
                return await self._move(self.bridges[name], action, query["channel"].split(","))
        return 404, {"message": "Resource not found"}

    # --- What requests do -------------------------------------------------------------------------------------------

    async def _change(self, method: str, channel: Channel, action: list[str], query: dict[str, str]):
        if method == "GET" and action == ["variable"]:
            value = channel.variables.get(query["variable"])
            return (
                (200, {"value": value}) if value is not None else (404, {"message": "Provided variable was not found"})
            )
        if method == "DELETE" and not action:
            self.nursery.start_soon(self._end, channel, 32)
            return 204, None
        if not channel.app:
            return 409, {"message": "Channel not in Stasis application"}
        match method, action:
            case "POST", ["answer"]:
                channel.state = "Up"
            case "POST", ["ring" | "moh" as sound]:
                channel.sounds.add(sound)
            case "DELETE", ["ring" | "moh" as sound]:
                channel.sounds.discard(sound)
            case "POST", ["variable"]:
                channel.variables[query["variable"]] = query["value"]
            case "POST", ["dtmf"]:
                channel.dtmf += query["dtmf"]
            case "POST", ["continue"]:
                channel.continued = True
                self.nursery.start_soon(self._go_on, channel)
            case _:
                return 404, {"message": "Resource not found"}
        return 204, None

    async def _move(self, bridge: Bridge, action: str, names: list[str]):
        channels = [self.channels.get(name) for name in names]
        if None in channels:
            return 400, {"message": "Channel not found"}
        if any(not channel.app for channel in channels):
            return 422, {"message": "Channel not in Stasis application"}
        for channel in channels:
            if action == "removeChannel":
                if channel.bridge is not bridge:
                    return 422, {"message": "Channel not in this bridge"}
                await self._leave_bridge(channel)
            else:
                bridge.channels.append(channel)
                channel.bridge = bridge
                await self._tell(channel, "ChannelEnteredBridge", bridge=bridge.json)
        return 204, None

    async def _make_media(self, query: dict[str, str]):  # noqa: PLR0911 - each error of the captures
        if not query.get("format"):
            return 400, {"message": "format cannot be empty"}
        if query["format"] not in FORMATS:
            return 500, {"message": INTERNAL}
        if query["channelId"] in self.channels:
            return 409, {"message": "Channel with given unique ID already exists"}
        channel = Channel(query["channelId"], f"Media/{query['channelId']}", state="Down", is_made=True)
        if query.get("encapsulation") == "audiosocket":
            if query.get("transport") != "tcp":
                return 400, {"message": "transport must be 'tcp' for audiosocket encapsulation"}
            if not query.get("data"):
                return 400, {"message": "data can not be empty"}
            host, _, port = query["external_host"].rpartition(":")
            try:
                stream = await trio.open_tcp_stream(host, int(port))
                await stream.send_all(encode_uuid(UUID(query["data"])))
            except (OSError, ValueError):
                return 500, {"message": INTERNAL}
            channel.media = AudioSocketMedia(stream, {"slin": 8000, "slin16": 16_000}[query["format"]])
        elif query.get("encapsulation") != "none" or query.get("transport") != "websocket":
            return 400, {"message": "external_host must be <host>:<port> for all transports other than websocket"}
        elif query["external_host"] not in self.websocket_clients:
            return 400, {"message": "external_host must be a valid websocket_client connection id."}
        self.channels[channel.id] = channel
        self.nursery.start_soon(self._bring_media, channel, query)
        return 200, channel.json

    async def _bring_media(self, channel: Channel, query: dict[str, str]) -> None:
        await self._tell_dial(channel, "", query["app"])
        if channel.media is not None:
            async with channel.media.stream:
                await self._carry_media(channel, query)
            return
        url, login = self.websocket_clients[query["external_host"]]
        headers = {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}
        try:
            async with open_websocket(url, headers=headers, subprotocols=["media"], ping_interval=None) as websocket:
                channel.media = WebSocketMedia(channel.id, query["format"], websocket)
                await self._carry_media(channel, query)
        except ComponentError:  # refused: CHANUNAVAIL after its attempts
            await self._end(channel, 3)

    async def _carry_media(self, channel: Channel, query: dict[str, str]) -> None:
        data = query.get("data")
        await self.slow_media.wait()
        channel.state = "Up"
        await self._tell_dial(channel, "ANSWER", query["app"])
        await self._enter(channel, query["app"], [data] if data else [])
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, ConnectionClosed):
            await channel.media.start()
            await channel.media.send()
            await channel.media.receive()
        await self._end(channel, 0 if data else 16)

    async def _originate(self, query: dict[str, str], request: Request):
        endpoint = query.get("endpoint", "")
        if "/" not in endpoint:
            return 400, {"message": "Invalid endpoint specified"}
        if query.get("originator") and query["originator"] not in self.channels:
            return 400, {"message": "Provided originator channel was not found"}
        if query["channelId"] in self.channels:
            return 409, {"message": "Channel with given unique ID already exists"}
        fate = self.telephones.get(endpoint, "ring")
        if fate == "unreachable":
            return 500, {"message": "Allocation failed"}
        variables = request.json.get("variables", {}) if request.body else {}
        channel = Channel(query["channelId"], endpoint, state="Down", is_made=True, endpoint=endpoint)
        channel.variables, channel.number = dict(variables), query.get("callerId", "")
        channel.endpoint_app = (query["app"], [])
        channel.timeout = query["timeout"]
        self.channels[channel.id] = channel
        self.nursery.start_soon(self._ring, channel, fate)
        return 200, channel.json

    async def _ring(self, channel: Channel, fate: str) -> None:
        app, _ = channel.endpoint_app
        await self._tell_dial(channel, "", app)
        channel.state = "Ringing"
        await self._tell(channel, "ChannelStateChange", app=app)
        await self._tell_dial(channel, "RINGING", app)
        if fate == "answer":
            await self.answer_call(channel.id)
        elif fate != "ring":
            await self.decline_call(channel.id, fate)

    async def decline_call(self, channel_id: str, why: str = "busy") -> None:
        """Nobody takes up a telephone that rings: `busy`, `no answer`, `rejected`."""
        channel = self.channels[channel_id]
        status, cause = {"busy": ("BUSY", 17), "no answer": ("NOANSWER", 19), "rejected": ("", 21)}[why]
        if status:
            await self._tell_dial(channel, status, channel.endpoint_app[0])
        await self._end(channel, cause)

    # --- Events -------------------------------------------------------------------------------------------------------

    async def _enter(self, channel: Channel, app: str, args: list[str]) -> None:
        if channel.id not in self.channels:
            return
        if app not in self._apps:  # Stasis() fails: a channel that ARI made ends
            await self._end(channel, 0)
            return
        channel.app, channel.args = app, args
        if channel.is_made:
            await self._tell(channel, "ChannelVarset", variable="STASISSTATUS", value="")
        await self._tell(channel, "StasisStart", args=args)

    async def _leave_bridge(self, channel: Channel) -> None:
        if bridge := channel.bridge:
            bridge.channels.remove(channel)
            channel.bridge = None
            await self._tell(channel, "ChannelVarset", variable="BRIDGEPEER", value="")
            await self._tell(channel, "ChannelLeftBridge", bridge=bridge.json)

    async def _go_on(self, channel: Channel) -> None:
        await self._leave_bridge(channel)
        await self._tell(channel, "StasisEnd")
        channel.app = ""
        self.channels.pop(channel.id, None)
        channel.ended.set()

    async def _end(self, channel: Channel, cause: int) -> None:
        """A channel ends, as the captures have it."""
        if self.channels.pop(channel.id, None) is None:
            return
        channel.cause = cause
        app = channel.app or (channel.endpoint_app[0] if channel.is_made and channel.endpoint else "voicepipe")
        await self._tell(
            channel, "ChannelHangupRequest", app=app, cause=cause, **({"soft": True} if cause == 32 else {})
        )
        await self._leave_bridge(channel)
        if channel.app:
            await self._tell(channel, "StasisEnd")
        if channel.is_made:
            text = {16: "Normal Clearing", 17: "User busy", 19: "No Answer", 21: "Call Rejected"}.get(cause, "Unknown")
            await self._tell(channel, "ChannelDestroyed", app=app, cause=16 if cause == 32 else cause, cause_txt=text)
        channel.ended.set()
        if channel.media is not None:
            await channel.media.close()

    async def _tell_dial(self, channel: Channel, status: str, app: str) -> None:
        event = {
            "type": "Dial",
            "dialstatus": status,
            "forward": "",
            "dialstring": channel.endpoint,
            "peer": channel.json,
        }
        await self._send(app, event)

    async def _tell(self, channel: Channel, kind: str, *, app: str = "", **fields: Any) -> None:
        await self._send(app or channel.app, {"type": kind, **fields, "channel": channel.json})

    async def _send(self, app: str, event: dict[str, Any]) -> None:
        if (socket := self._apps.get(app)) is not None:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await socket.send({**event, "asterisk_id": "02:fc:00:00:00:01", "application": app})


@asynccontextmanager
async def open_asterisk():
    """Opens the server on loopback; gives it, with its `url`."""
    server = PlayedAsterisk()
    async with trio.open_nursery() as server.nursery, open_vendor(server) as address:
        server.url = f"{address.http}/ari"
        yield server
        server.nursery.cancel_scope.cancel()
