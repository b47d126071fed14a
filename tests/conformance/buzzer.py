"""A transport of a few lines over its own WebSocket, its peer, and the mutants that the kit for transports must catch.

Messages: `start ID` first; audio both ways as binary; `key K`, `played N` and `bye` from the caller; `clear`, `mark N`,
`press K`, `transfer T` and the end of the connection from the agent.
"""

from __future__ import annotations

import hmac
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

import trio
from attrs import evolve, frozen

from voicepipe.errors import TransferFailed, TransportError
from voicepipe.testing import transports
from voicepipe.transports.base_transport import BaseWebSocketTransport
from voicepipe.transports.bind_options import host_field, port_field
from voicepipe.transports.listener import TransportType
from voicepipe.transports.websocket_listener import HttpResponse, open_websocket_listener

TOKEN = "a-token-of-sixteen"


@frozen
class BuzzerOptions:
    """Where the listener listens."""

    host: str = host_field()
    """The address."""
    port: int = port_field(0)
    """The port."""


class Buzzer(BaseWebSocketTransport):
    """A call whose other side buffers."""

    pacing = "theirs"
    can = frozenset({"clear", "mark", "transfer", "send_dtmf"})

    def take_message(self, message):
        sink = self.delivery.sink
        if isinstance(message, bytes):
            sink.audio(message)
            return
        word, _, rest = message.partition(" ")
        if word == "start":
            self.info = evolve(self.info, transport_id=rest)
            self.began.set()
        elif word == "key":
            sink.dtmf(rest)
        elif word == "played":
            sink.heard(int(rest))
        elif word == "bye":
            self.delivery.end("the caller hung up")
        else:
            raise TransportError(f"unknown message {word[:20]!r}; let only Buzzers connect here")

    def write(self, audio):
        return self.socket.send_nowait(bytes(audio))

    def clear(self):
        self.socket.send_nowait("clear")

    def mark(self, mark):
        self.socket.send_nowait(f"mark {mark}")

    async def transfer(self, target):
        self.socket.send_nowait(f"transfer {target}")
        await self.hang_up()

    async def send_dtmf(self, digits):
        for digit in digits:
            self.socket.send_nowait(f"press {digit}")


class Calls:
    def __init__(self, listener_name, transport=Buzzer):
        self._name, self._transport = listener_name, transport

    def authorise(self, request):
        given = request.headers.get("authorization", "")
        return None if hmac.compare_digest(given, f"Bearer {TOKEN}") else HttpResponse(401, b"wrong token\n")

    def respond(self, request):
        return HttpResponse(404, b"only calls here\n")

    def transport(self, request, socket):
        transport = self._transport(socket)
        transport.info = evolve(transport.info, listener=self._name)
        return transport


def buzzer(transport=Buzzer, calls=Calls, wrap=lambda listener: listener):
    """The transport type, or one with a defect."""

    @asynccontextmanager
    async def opened(options, context):
        async with open_websocket_listener(
            options.host, options.port, calls(context.name, transport), context
        ) as listener:
            yield wrap(listener)

    return TransportType(name="buzzer", options=BuzzerOptions, open=opened)


class BuzzerPeer(transports.TransportPeer):
    reports_keys = True

    def __init__(self, websocket):
        self._websocket = websocket

    async def send_audio(self, audio):
        await self._websocket.send(audio)

    async def press(self, key):
        await self._websocket.send(f"key {key}")

    async def report(self, mark):
        await self._websocket.send(f"played {mark.name}")

    async def disturb(self):
        await self._websocket.send("nonsense")

    async def hang_up(self):
        await self._websocket.send("bye")

    async def die(self):
        await self._websocket.die()

    async def receive(self):
        message = await self._websocket.receive()
        if message is None:
            return transports.PeerEvent.END
        if isinstance(message, bytes):
            return message
        word, _, rest = message.partition(" ")
        if word == "transfer":
            return await self.receive()  # the end
        if word == "press":
            return transports.PeerKeys(rest)
        return transports.PeerMark(rest) if word == "mark" else transports.PeerEvent.CLEAR


@asynccontextmanager
async def connect(listener, token=TOKEN):
    headers = {"Authorization": f"Bearer {token}"}
    async with transports.open_websocket_peer(listener, "/call", headers) as websocket:
        await websocket.send("start call-1")
        yield BuzzerPeer(websocket)


def stranger(listener):
    return connect(listener, "wrong")


# --- Mutants ----------------------------------------------------------------------------------------------------------


class LosesAudio(Buzzer):
    lost = 0

    def take_message(self, message):
        if isinstance(message, bytes):
            self.lost += 1
            if self.lost == 7:
                return
        super().take_message(message)


class SwapsAudio(Buzzer):
    held = b""

    def take_message(self, message):
        if isinstance(message, bytes) and not self.held:
            self.held = message
            return
        super().take_message(message)
        if isinstance(message, bytes):
            super().take_message(self.held)
            self.held = b""


class SharesAudio(Buzzer):
    shared: ClassVar = []

    def take_message(self, message):
        if isinstance(message, bytes):
            self.shared.append(message)
            message = self.shared[-2] if len(self.shared) > 1 and len(self.shared) % 4 == 0 else message
        super().take_message(message)


class DoublesKeys(Buzzer):
    def take_message(self, message):
        super().take_message(message)
        if isinstance(message, str) and message.startswith("key"):
            super().take_message(message)


class EndsTwice(Buzzer):
    async def run(self, sink):
        await super().run(sink)
        sink.hung_up("again")


class EndsSilently(Buzzer):
    async def run(self, sink):
        await self.delivery._over.wait()


class ForgetsTheEnd(Buzzer):
    async def run(self, sink):
        await super().run(sink)
        await trio.sleep_forever()


class SpeaksAfterTheEnd(Buzzer):
    async def run(self, sink):
        await super().run(sink)
        sink.audio(bytes(320))


class MissesDeath(Buzzer):
    def closed(self, reason):
        if "code" in reason:
            super().closed(reason)


class DeliversAfterHangUp(Buzzer):
    async def run(self, sink):
        self.kept = sink
        await super().run(sink)

    async def hang_up(self):
        self.kept.audio(bytes(320))
        await super().hang_up()


class Anonymous(Buzzer):
    def take_message(self, message):
        if isinstance(message, str) and message.startswith("start"):
            message = "start "
        super().take_message(message)


class Unclearable(Buzzer):
    can = frozenset({"mark"})


class AgentLosesAudio(Buzzer):
    written = 0

    def write(self, audio):
        self.written += 1
        return True if self.written == 5 else super().write(audio)


class KeepsEverything(Buzzer):
    def write(self, audio):
        self.queue = getattr(self, "queue", b"") + b"x"
        super().write(audio)
        return True


class TakesHalf(Buzzer):
    def write(self, audio):
        taken = super().write(audio)
        if not taken:
            self.socket._websocket._stream._unsent += bytes(2)
        return taken


class NeverWritable(Buzzer):
    async def wait_writable(self):
        if not self.delivery.is_over:
            await trio.sleep_forever()


class WaitsForever(Buzzer):
    full = False

    def write(self, audio):
        self.full = not super().write(audio)
        return not self.full

    async def wait_writable(self):
        if self.full:
            await trio.sleep_forever()


class CutsTheGoodbye(Buzzer):
    def write(self, audio):
        self.last = audio
        if not hasattr(self, "_held"):
            self._held = []
        self._held.append(bytes(audio))
        if len(self._held) > 3:
            return super().write(self._held.pop(0))
        return True


class StaysInTheLine(Buzzer):
    async def hang_up(self):
        self.delivery.stop()
        await trio.sleep_forever()


class ClearsTooEarly(Buzzer):
    def clear(self):
        self.cleared = True

    def write(self, audio):
        taken = super().write(audio)
        if getattr(self, "cleared", False):
            self.cleared = False
            super().clear()
        return taken


class NeverClears(Buzzer):
    def clear(self):
        """Leaves the audio."""


class MarksAtOnce(Buzzer):
    def mark(self, mark):
        super().mark(mark)
        self.delivery.sink.heard(mark)


class MarksTwice(Buzzer):
    def take_message(self, message):
        super().take_message(message)
        if isinstance(message, str) and message.startswith("played"):
            super().take_message(message)


class MarksTooEarly(Buzzer):
    def __init__(self, socket):
        super().__init__(socket)
        self.audio_held = []

    def write(self, audio):
        if self.audio_held:
            super().write(self.audio_held.pop())
        self.audio_held.append(bytes(audio))
        return True


class OneNameForAll(Buzzer):
    def mark(self, mark):
        self.socket.send_nowait("mark 1")


class LosesMarksAfterClear(Buzzer):
    def clear(self):
        super().clear()
        self.cleared = True

    def mark(self, mark):
        if not getattr(self, "cleared", False):
            super().mark(mark)


class TransferCrashes(Buzzer):
    async def transfer(self, target):
        raise RuntimeError(target)


class TransferLeavesTheLeg(Buzzer):
    async def transfer(self, target):
        self.socket.send_nowait(f"transfer {target}")


class TransferRingsForever(Buzzer):
    async def transfer(self, target):
        await trio.sleep_forever()


class TransferLosesTheCaller(Buzzer):
    async def transfer(self, target):
        self.delivery.stop()
        raise TransferFailed("busy")


class LosesKeys(Buzzer):
    async def send_dtmf(self, digits):
        await super().send_dtmf(digits[1:])


class SwapsKeys(Buzzer):
    async def send_dtmf(self, digits):
        await super().send_dtmf(digits[::-1])


class Swallows(Buzzer):
    def take_message(self, message):
        with suppress(TransportError, ValueError):
            super().take_message(message)


class Crashes(Buzzer):
    def take_message(self, message):
        if message == "nonsense":
            raise KeyError(message)
        super().take_message(message)


class LetsAllIn(Calls):
    def authorise(self, request):
        return None


class LeaksTasks(Buzzer):
    async def hang_up(self):
        self.socket._nursery.start_soon(trio.sleep_forever)
        await super().hang_up()


class LeaksSockets(Buzzer):
    kept: ClassVar = []

    async def hang_up(self):
        self.kept.append(trio.socket.socket())
        await super().hang_up()


class Wrapped:
    """A listener with a defect."""

    def __init__(self, listener):
        self._listener = listener

    def __getattr__(self, name):
        return getattr(self._listener, name)


class IgnoresPause(Wrapped):
    def pause(self):
        """Goes on."""


class NeverResumes(Wrapped):
    def resume(self):
        """Stays paused."""


class ClosesCalls(Wrapped):
    async def serve(self, handler):
        async with trio.open_nursery() as nursery:
            self.scope = nursery.cancel_scope
            await self._listener.serve(handler)

    def close(self):
        self._listener.close()
        self.scope.cancel()


class NeverCloses(Wrapped):
    def close(self):
        """Goes on."""


class Unbounded(Wrapped):
    def __init__(self, listener):
        super().__init__(listener)
        listener._connections.max_connections = 1000


class CallsEverything(Wrapped):
    """Ends every call when one handler raises."""

    async def serve(self, handler):
        async def guarded(transport):
            try:
                await handler(transport)
            except BaseException as error:
                if not isinstance(error, trio.Cancelled):
                    self.scope.cancel()
                raise

        with trio.CancelScope() as self.scope:
            await self._listener.serve(guarded)


class IgnoresRefusals(Wrapped):
    async def serve(self, handler):
        async def patient(transport):
            try:
                await handler(transport)
            except Exception:  # noqa: BLE001 - this is the defect
                await trio.sleep_forever()

        await self._listener.serve(patient)


BAD_TRANSFERS = (TransferCrashes, TransferLeavesTheLeg, TransferRingsForever, TransferLosesTheCaller)
MUTANTS = [
    (LosesAudio, "the_caller_is_heard"),
    (SwapsAudio, "the_caller_is_heard"),
    (SharesAudio, "each_call_has_its_own_audio"),
    (DoublesKeys, "keys_arrive_once_and_in_order"),
    (EndsTwice, "the_callers_hang_up_is_delivered_once_and_last"),
    (EndsSilently, "the_callers_hang_up_is_delivered_once_and_last"),
    (ForgetsTheEnd, "the_callers_hang_up_is_delivered_once_and_last"),
    (SpeaksAfterTheEnd, "the_callers_hang_up_is_delivered_once_and_last"),
    (MissesDeath, "a_connection_that_dies_ends_the_call"),
    (DeliversAfterHangUp, "nothing_is_delivered_after_hanging_up"),
    (Anonymous, "the_call_is_described"),
    (Unclearable, "the_call_is_described"),
    (AgentLosesAudio, "the_agent_is_heard"),
    (KeepsEverything, "write_never_waits_and_takes_whole_frames"),
    (TakesHalf, "write_never_waits_and_takes_whole_frames"),
    (NeverWritable, "write_never_waits_and_takes_whole_frames"),
    (WaitsForever, "waiting_for_room_ends_with_the_call"),
    (CutsTheGoodbye, "hanging_up_lets_all_audio_out_first"),
    (StaysInTheLine, "hanging_up_lets_all_audio_out_first"),
    (ClearsTooEarly, "clear_drops_only_what_came_before"),
    (NeverClears, "clear_drops_only_what_came_before"),
    (MarksAtOnce, "marks_are_reported_once_and_in_order"),
    (MarksTwice, "marks_are_reported_once_and_in_order"),
    (MarksTooEarly, "marks_are_reported_once_and_in_order"),
    (OneNameForAll, "marks_are_reported_once_and_in_order"),
    (LosesMarksAfterClear, "marks_survive_a_clear"),
    *((mutant, "a_transfer_ends_this_leg_or_says_why") for mutant in BAD_TRANSFERS),
    (LosesKeys, "keys_of_the_agent_reach_the_peer"),
    (SwapsKeys, "keys_of_the_agent_reach_the_peer"),
    (Swallows, "a_breach_of_the_protocol_ends_its_call_only"),
    (Crashes, "a_breach_of_the_protocol_ends_its_call_only"),
    (Swallows, "a_defect_ends_its_call_only"),
    (LetsAllIn, "strangers_get_no_call"),
    (LeaksTasks, "nothing_is_left_of_a_call"),
    (LeaksSockets, "nothing_is_left_of_a_call"),
    (IgnoresPause, "a_paused_listener_takes_no_calls"),
    (NeverResumes, "a_paused_listener_takes_no_calls"),
    (Unbounded, "max_connections_holds"),
    (CallsEverything, "a_defect_ends_its_call_only"),
    (IgnoresRefusals, "a_handler_may_refuse_a_call"),
    (NeverCloses, "closing_lets_calls_go_on"),
    (ClosesCalls, "closing_lets_calls_go_on"),
]


def mutated(mutant):
    """The transport type with a mutant in the place where it belongs."""
    if issubclass(mutant, Buzzer):
        return buzzer(transport=mutant)
    return buzzer(calls=mutant) if issubclass(mutant, Calls) else buzzer(wrap=mutant)
