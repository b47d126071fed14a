"""A Stasis application: takes callers from ARI, makes calls, and keeps Asterisk free of what is left over.

The listener's tasks: one for ARI's events (`AriClient.run`), one that serves the audio's listener, one for each call,
and one for each transfer that goes on without us. Nothing but the caller's end, ours, and the end of the audio ends a
call: if ARI is away, calls go on, and transfers fail. When it is there again, `connected` reads the state (`state`).
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import trio
from attrs import define, field

from voicepipe.components.observers import ObserverReports
from voicepipe.components.requests import CallInfo
from voicepipe.errors import CallRefused, DialFailed, TransportError
from voicepipe.nurseries import defect_of, leaves_of
from voicepipe.transports.asterisk_ari.call import AriCall
from voicepipe.transports.asterisk_ari.call_flow import CallFlow
from voicepipe.transports.asterisk_ari.call_wishes import Begin
from voicepipe.transports.asterisk_ari.caller_info import info_of
from voicepipe.transports.asterisk_ari.client import AriClient, open_ari_client
from voicepipe.transports.asterisk_ari.events import ChannelEnded, EnteredStasis, KeyReceived, Replaced
from voicepipe.transports.asterisk_ari.media import MediaLegs, open_media_legs
from voicepipe.transports.asterisk_ari.options import AsteriskAriOptions
from voicepipe.transports.asterisk_ari.owed import OwedDeletions
from voicepipe.transports.asterisk_ari.requests import AriRequest, PartNames, call_and_part, delete_request
from voicepipe.transports.asterisk_ari.state import compare
from voicepipe.transports.asterisk_ari.transport import AsteriskAriTransport
from voicepipe.transports.listener import CallHandler, ListenerContext

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from voicepipe.transports.asterisk_ari.events import AriChannel, AriEvent
    from voicepipe.transports.asterisk_ari.media import MediaLeg
    from voicepipe.transports.listener import DialRequest

_log = logging.getLogger("voicepipe")


@define(eq=False)
class AsteriskAriListener:
    """A Stasis application; made by `open_asterisk_ari`."""

    _client: AriClient
    _legs: MediaLegs
    _options: AsteriskAriOptions
    _context: ListenerContext
    _by_call: dict[str, AriCall] = field(init=False, factory=dict)
    """Calls, and transfers that go on, by their 32 digits."""
    _by_caller: dict[str, AriCall] = field(init=False, factory=dict)
    """The same by the ID of the caller's channel."""
    _owed: OwedDeletions = field(init=False, factory=OwedDeletions)
    _held: int = field(init=False, default=0)
    _paused: bool = field(init=False, default=False)
    _closed: trio.Event = field(init=False, factory=trio.Event)
    _calls_nursery: trio.Nursery | None = field(init=False, default=None)
    _upkeep: trio.Nursery | None = field(init=False, default=None)
    _handler: CallHandler | None = field(init=False, default=None)
    _reports: ObserverReports = field(init=False, factory=ObserverReports)
    _reported: set[str] = field(init=False, factory=set)
    """Why ARI is away, as it was reported; empty while it is there."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and port of ARI."""
        return self._client.address

    @property
    def is_listening(self) -> bool:
        """Whether ARI is connected and there is room for a call."""
        return self._client.is_connected and self._has_room

    @property
    def calls(self) -> int:
        """The number of calls that are up, or are being set up; transfers that were connected don't count."""
        return self._held

    @property
    def _has_room(self) -> bool:
        return not self._paused and not self._closed.is_set() and self._held < self._context.max_connections

    async def serve(self, handler: CallHandler) -> None:
        """Runs `handler` for each call; returns when `close` was called and no call is left.

        Transfers that were connected go on in Asterisk, and the next engine of this application watches them.
        """
        async with trio.open_nursery() as upkeep:
            upkeep.start_soon(self._legs.listener.serve, self._legs.take)
            self._handler, self._upkeep = handler, upkeep
            try:
                async with trio.open_nursery() as self._calls_nursery:
                    upkeep.start_soon(self._client.run, self)
                    await self._closed.wait()
            finally:
                self._calls_nursery = None
            await self._owed.pay(self._client)
            self._upkeep = None
            upkeep.cancel_scope.cancel()

    def close(self) -> None:
        """Takes no more calls, for good: the dialplan goes on with them. Calls that are up go on."""
        self._closed.set()

    def pause(self) -> None:
        """Refuses new calls until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Takes calls again."""
        self._paused = False

    # --- What ARI reports ----------------------------------------------------------------------------------------

    def happened(self, event: AriEvent) -> None:
        """Takes an event of ARI."""
        match event:
            case Replaced(app):
                self._report_refused(
                    TransportError(
                        f"another program has connected to ARI as application {app!r} and gets the calls now; give "
                        "each engine its own `app`"
                    )
                )
            case KeyReceived(channel, digit):
                if (call := self._by_caller.get(channel)) is not None:
                    call.on_key(digit)
            case EnteredStasis(channel, arguments):
                if (call := self._call_of(channel.id)) is not None:
                    call.happened(event)
                elif call_and_part(self._options.app, channel.id) is not None:  # of a call that has ended meanwhile
                    self._delete_soon(delete_request(channel.id, "channel"))
                else:
                    self._take_caller(channel, arguments)
            case _:
                if (call := self._call_of(event.channel_id)) is not None:
                    call.happened(event)

    def disconnected(self, why: TransportError) -> None:
        """Reports that ARI is away, once for each reason."""
        if str(why) not in self._reported:
            self._reported.add(str(why))
            self._report_refused(why)

    async def connected(self) -> None:
        """Reads the state of Asterisk, and brings both sides in line."""
        self._reported.clear()
        await self._owed.pay(self._client)
        expected = {channel for call in self._by_call.values() for channel in call.flow.present}
        channels_ok, channels = await self._client.get("/channels")
        bridges_ok, bridges = await self._client.get("/bridges")
        if channels_ok != 200 or bridges_ok != 200:
            return
        live = {name: call.flow.present for name, call in self._by_call.items()}
        difference = compare(self._options.app, channels, bridges, live, expected)
        for gone in difference.gone:
            if (call := self._call_of(gone)) is not None:
                call.happened(ChannelEnded(gone, 0, "while ARI was away"))
        for channel in difference.entered:
            if (call := self._call_of(channel.id)) is not None:
                call.happened(EnteredStasis(channel))
        for pair in difference.pairs:
            self._adopt(PartNames(self._options.app, pair.call, pair.caller), pair.target)
        for request in difference.deletions:
            self._owed.add(request)
        await self._owed.pay(self._client)
        for channel in difference.waiting:
            if self._call_of(channel.id) is None:
                self._take_caller(channel, (channel.stasis_arguments or ("",))[1:])

    def _call_of(self, channel: str) -> AriCall | None:
        own = call_and_part(self._options.app, channel)
        return self._by_caller.get(channel) if own is None else self._by_call.get(own[0])

    def _delete_soon(self, request: AriRequest) -> None:
        self._owed.add(request)
        if self._upkeep is not None:
            self._upkeep.start_soon(self._owed.pay, self._client)

    # --- Calls ---------------------------------------------------------------------------------------------------

    def _new_call(self, names: PartNames) -> AriCall:
        flow = CallFlow(names, self._legs.request_for(names), hang_up_caller=self._options.after == "hangup")
        return AriCall(self._client, self._options, flow, self._owed.add)

    def _add(self, call: AriCall) -> None:
        """Has a call get its events from now on."""
        self._by_call[call.flow.names.call] = self._by_caller[call.flow.caller] = call

    def _remove(self, call: AriCall) -> None:
        self._by_call.pop(call.flow.names.call, None)
        self._by_caller.pop(call.flow.caller, None)

    def _take_caller(self, channel: AriChannel, arguments: tuple[str, ...]) -> None:
        call = self._new_call(PartNames(self._options.app, uuid4().hex, channel.id))
        if self._calls_nursery is not None and self._has_room:
            self._calls_nursery.start_soon(self._conduct, self._begun(call), channel, arguments)
        elif self._upkeep is not None:
            self._report_refused(self._no_room(), channel.name)
            self._upkeep.start_soon(self._refuse, call)

    async def _refuse(self, call: AriCall) -> None:
        self._add(call)
        try:
            await call.refuse()
        finally:
            self._remove(call)

    async def _conduct(self, call: AriCall, channel: AriChannel, arguments: tuple[str, ...]) -> None:
        """Holds the call of a caller who has come."""
        with self._ending(call) as leg:
            read = await self._read_variables(channel.id)
            call.info = info_of(channel, arguments, read, self._context.name)
            call.happened(Begin())
            if await call.set_up(leg):
                await self._hold(call, leg)
            elif call.flow.failure:
                self._report_refused(TransportError(call.flow.failure), channel.name)

    async def dial(self, request: DialRequest) -> str:
        """Calls somebody; returns the channel's ID when they have answered and the handler runs.

        Raises:
            DialFailed: nobody answered, and why.

        """
        if self._calls_nursery is None or not self._has_room:
            raise DialFailed("failed", str(self._no_room()))
        call = self._begun(self._new_call(PartNames(self._options.app, uuid4().hex)))
        call.info = CallInfo(
            called=request.target,
            caller=request.caller,
            listener=self._context.name,
            variables=request.variables,
            transport_id=call.flow.caller,
            pipeline=request.pipeline,
            speaks_first=request.speaks_first,
        )
        await self._calls_nursery.start(self._conduct_dialled, call, request)
        return call.flow.caller

    async def _conduct_dialled(
        self, call: AriCall, request: DialRequest, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Calls somebody and holds the call."""
        with self._ending(call) as leg:
            await call.dial(request)
            if not await call.set_up(leg):
                raise DialFailed("failed", call.flow.failure or call.flow.left_reason)
            task_status.started()
            await self._hold(call, leg)

    def _begun(self, call: AriCall) -> AriCall:
        """Counts a call, and has it get its events; `_ending` is to follow."""
        self._held += 1
        self._add(call)
        return call

    @contextmanager
    def _ending(self, call: AriCall) -> Iterator[MediaLeg]:
        """The audio of a call that was begun; in the end, the call is forgotten, or watched if it was transferred."""
        leg_id = self._legs.id_of(call.flow.names)
        try:
            yield self._legs.expect(leg_id)
        finally:
            self._held -= 1
            self._legs.forget(leg_id)
            if call.flow.state == "connected" and self._upkeep is not None:
                self._upkeep.start_soon(self._watch, call)
            else:
                self._remove(call)

    async def _watch(self, call: AriCall) -> None:
        """Ends a connected transfer when either side hangs up."""
        try:
            await call.watch()
        finally:
            self._remove(call)

    def _adopt(self, names: PartNames, target: str) -> None:
        call = self._new_call(names)
        call.flow.adopt(target)
        self._add(call)
        if self._upkeep is not None:
            self._upkeep.start_soon(self._watch, call)

    async def _hold(self, call: AriCall, leg: MediaLeg) -> None:
        """Runs the handler on a call that is up, and ends the call."""
        assert self._handler is not None and leg.transport is not None and call.info is not None  # noqa: S101, PT018
        transport = AsteriskAriTransport(call, leg.transport, call.info)
        call.on_end, call.on_key = transport.end, transport.press
        refuse = False
        try:
            await self._handler(transport)
        except* CallRefused:  # the handler that raised it has reported it
            refuse = True
        except* TransportError as errors:
            for error in leaves_of(errors):
                self._report_refused(error, call.flow.caller)
        except* (Exception, SystemExit) as errors:  # noqa: BLE001 - the boundary of a call
            transport.outcome = "failed"
            for crashed in leaves_of(errors):
                self._report_crash(call, crashed)
        finally:
            try:
                if refuse:
                    await call.refuse()
                await transport.hang_up()
            except Exception as error:  # noqa: BLE001 - the boundary of a call
                self._report_crash(call, error)
            call.disconnect()

    async def _read_variables(self, channel: str) -> dict[str, str]:
        """Reads the variables that the options name; those that can't be read are left out."""
        read = {}
        for name in self._options.variables:
            status, answer = await self._client.get(f"/channels/{quote(channel, safe='')}/variable", variable=name)
            value: Any = answer.get("value") if status == 200 and isinstance(answer, dict) else None
            if isinstance(value, str) and value:
                read[name] = value
        return read

    # --- Reports -------------------------------------------------------------------------------------------------

    def _no_room(self) -> TransportError:
        if self._closed.is_set():
            return TransportError("the listener is closed, so new calls go on in the dialplan")
        if self._paused:
            return TransportError("the listener is paused, so new calls go on in the dialplan")
        most = self._context.max_connections
        return TransportError(f"{most} calls are up already; raise max_connections if the machine can serve more")

    def _report_refused(self, why: TransportError, peer: str = "") -> None:
        if self._context.on_refused is not None:
            self._reports.guard(self._context.on_refused)(peer, why)

    def _report_crash(self, call: AriCall, error: BaseException) -> None:
        defect = defect_of(error if isinstance(error, (Exception, SystemExit)) else RuntimeError(str(error)))
        if self._context.on_crash is not None and call.info is not None:
            self._reports.guard(self._context.on_crash)(call.info, defect)
        else:
            _log.error("call %s of listener %s crashed", call.flow.caller, self._context.name, exc_info=defect)


@asynccontextmanager
async def open_asterisk_ari(
    options: AsteriskAriOptions, context: ListenerContext
) -> AsyncIterator[AsteriskAriListener]:
    """Opens the application: the address for audio is bound, and ARI is connected to once it serves.

    Raises:
        OSError: the address for audio can't be listened on.

    """
    async with open_media_legs(options, context) as legs, open_ari_client(options) as client:
        listener = AsteriskAriListener(client, legs, options, context)
        try:
            yield listener
        finally:
            listener.close()
