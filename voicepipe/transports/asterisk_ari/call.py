"""One call in Asterisk: carries out what its `CallFlow` asks for, and waits for what it waits for.

Events arrive by `happened`, in the task of ARI's events, which never waits: the flow takes them at once, and the
requests that follow are queued. Whoever wants something of the call sends them, by `drive`: the call's own task while
it sets up or ends it, the one that transfers while it does.
"""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Final

import trio

from voicepipe.errors import DialFailed, DialOutcome, TransferFailed, TransportError
from voicepipe.transports.asterisk_ari.call_flow import UP
from voicepipe.transports.asterisk_ari.call_wishes import (
    Connect,
    Dial,
    GiveUp,
    Leave,
    MediaConnected,
    Replied,
    Transfer,
)
from voicepipe.transports.asterisk_ari.options import dial_string_for, dial_string_of_program
from voicepipe.transports.asterisk_ari.requests import channel_request

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from voicepipe.components.requests import CallInfo
    from voicepipe.transports.asterisk_ari.call_flow import CallFlow, FlowState, Happened
    from voicepipe.transports.asterisk_ari.client import AriClient
    from voicepipe.transports.asterisk_ari.media import MediaLeg
    from voicepipe.transports.asterisk_ari.options import AsteriskAriOptions
    from voicepipe.transports.asterisk_ari.requests import AriRequest
    from voicepipe.transports.listener import DialRequest

AGAIN_S: Final = 0.05
"""The pause before channels are added to a bridge again, in s."""
LATE_S: Final = 5.0
"""How much longer than it may ring a transfer's outcome is awaited, in s; then ARI is taken to have lost it."""
TIDY_S: Final = 5.0
"""The time in which what a call has made is deleted, even when the call is cancelled, in s."""


LOST: Final = frozenset({"returned_to_dialplan", "failed", "cancelled"})
"""The outcomes of conversations after which the caller still needs help."""
OUTCOMES: Final[Mapping[str, DialOutcome]] = {"busy": "busy", "rejected": "busy", "no answer": "no_answer"}
"""The outcome of a call that nobody answered, by the reason; any other is `failed`."""


class AriCall:
    """One call in Asterisk.

    Attributes:
        flow: its state.
        info: who calls whom; known when the call is up.
        on_end: is called when the call is over by itself, with the reason.
        on_key: is called with each key that ARI reports.

    """

    def __init__(
        self,
        client: AriClient,
        options: AsteriskAriOptions,
        flow: CallFlow,
        owe: Callable[[AriRequest], None],
    ) -> None:
        """Makes a call that has not begun.

        Args:
            client: the connection to ARI.
            options: of the transport.
            flow: the state of the call.
            owe: takes requests of the call's end that could not be sent, to be sent when ARI is there again.

        """
        self._client, self._options, self.flow, self._owe = client, options, flow, owe
        self.info: CallInfo | None = None
        self.on_end: Callable[[str], None] = _ignore
        self.on_key: Callable[[str], None] = _ignore
        self._requests: deque[AriRequest] = deque()
        self._changed = trio.Event()
        self._driving = trio.Lock()
        self._is_consulting = False  # somebody was consulted, who may have hung up meanwhile

    def disconnect(self) -> None:
        """Drops the reference to whom it reports to, so that both are freed by their last reference."""
        self.on_end = self.on_key = _ignore

    def happened(self, happened: Happened) -> None:
        """Takes an event, or a wish of ours; never waits."""
        was_up, was_over = self.flow.state in UP, self.flow.is_over
        requests = self.flow.take(happened)
        if self.flow.is_over and not was_over:  # whatever was to be made is not needed any more
            self._requests = deque(request for request in self._requests if request.is_deletion)
        self._requests.extend(requests)
        changed, self._changed = self._changed, trio.Event()
        changed.set()
        if was_up and self.flow.state not in UP:
            self.on_end("" if isinstance(happened, Leave) else self.flow.left_reason)

    def _is_in(self, *states: FlowState) -> bool:
        return self.flow.state in states

    async def drive(self, until: Collection[FlowState]) -> None:
        """Sends the flow's requests until it is in one of those states, or gone."""
        while True:
            changed = self._changed
            await self._send_all()
            if self._is_in(*until, "gone"):
                return
            await changed.wait()

    async def _send_all(self) -> None:
        async with self._driving:
            while self._requests:
                request = self._requests.popleft()
                # Never cancelled: whether it was carried out would be unknown, and a channel might be left over.
                with trio.CancelScope(shield=True):
                    reply = await self._client.request(request)
                if reply.status == 0 and request.is_deletion:
                    self._owe(request)
                elif reply.status == 422:
                    await trio.sleep(AGAIN_S)
                self.happened(reply)

    async def dial(self, request: DialRequest) -> None:
        """Calls somebody; returns when they have answered.

        Raises:
            DialFailed: nobody answered; everything is deleted again.

        """
        endpoint = dial_string_of_program(self._options.dial, request.target)
        if not endpoint:
            raise DialFailed("failed", f"{request.target!r} is no number or extension")
        self.happened(Dial(endpoint, ceil(request.ring_s), request.caller, request.variables))
        try:
            with trio.move_on_after(request.ring_s + LATE_S):
                await self.drive({"opening", "leaving"})
        except trio.Cancelled:
            self.happened(Leave("the agent gave the call up"))
            await self.tidy()
            raise
        if self._is_in("opening"):
            return
        self.happened(Leave("no answer"))  # no-op unless its outcome did not come
        await self.tidy()
        reason = self.flow.left_reason
        raise DialFailed(OUTCOMES.get(reason, "failed"), reason)

    async def set_up(self, leg: MediaLeg) -> bool:
        """Connects the audio of a call that has begun; False if that failed, and everything is deleted again."""

        async def note_audio() -> None:
            await leg.connected.wait()
            self.happened(MediaConnected())

        within = self._options.setup_s
        with trio.move_on_after(within) as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(note_audio)
                await self.drive({"up", "leaving"})
                nursery.cancel_scope.cancel()
        if scope.cancelled_caught:
            missing = "its audio did not connect: " if self.flow.state == "opening" else ""
            why = f"{missing}the call was not up within {within:g} s; {self._media_hint()}"
            self.happened(Leave(why, to_dialplan=True, status="FAILED"))
        if self._is_in("up"):
            return True
        await self.tidy()
        return False

    def _media_hint(self) -> str:
        options = self._options
        if options.media == "websocket":
            return f"is there a section [{options.media_client}] in websocket_client.conf whose uri leads here?"
        return f"can Asterisk reach {options.media_address or 'host and port'}?"

    # --- What the agent asks for ---------------------------------------------------------------------------------

    async def transfer(self, target: str) -> None:
        """Calls a target; returns when it is connected with the caller.

        After a consultation it connects the caller with whom the agent has spoken.

        Raises:
            TransferFailed: nobody answered, or the one who was consulted has hung up; the caller is back.

        """
        if self._is_consulting:
            self._is_consulting = False
            self.happened(Connect())
            await self._drive_transfer({"connected", "up", "leaving"})
        else:
            await self._call_target(target, consult=False)
        self._check_transfer("connected")

    async def consult(self, target: str) -> None:
        """Calls a target; returns when it is connected with the agent, and the caller on hold; raises as `transfer`."""
        await self._call_target(target, consult=True)
        self._check_transfer("consulting")
        self._is_consulting = True

    async def _call_target(self, target: str, *, consult: bool) -> None:
        options, info = self._options, self.info
        endpoint = dial_string_for(options.transfer, target)
        if not endpoint:
            raise TransferFailed(f"{target!r} is no number or extension")
        if not self._is_in("up"):
            raise TransferFailed(self.flow.left_reason or f"a transfer is under way, so none to {target} can begin")
        number = "" if info is None else info.caller if options.transfer_caller == "caller" else info.called
        self.happened(
            Transfer(
                endpoint,
                timeout_s=options.transfer_s,
                caller_id=number,
                sound=options.transfer_sound,
                music=options.music,
                consult=consult,
                variables={} if info is None else {"VOICEPIPE_CALLER": info.caller, "VOICEPIPE_CALLED": info.called},
            )
        )
        with trio.move_on_after(options.transfer_s + LATE_S):
            await self._drive_transfer({"connected", "consulting", "up", "leaving"})
        if self._is_in("ringing", "connecting"):
            await self.give_up("no answer")

    async def _drive_transfer(self, until: Collection[FlowState]) -> None:
        try:
            await self.drive(until)
        except trio.Cancelled:
            await self.give_up("the agent gave the transfer up")
            raise

    async def give_up(self, reason: str) -> None:
        """Gives a transfer or a consultation up, so that the caller is back; no-op without one."""
        self._is_consulting = False
        self.happened(GiveUp(reason))
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TIDY_S):
            await self._send_all()

    def _check_transfer(self, succeeded: FlowState) -> None:
        if self.flow.is_over:
            raise TransferFailed(self.flow.left_reason or "the call is over")
        if not self._is_in(succeeded):
            raise TransferFailed(self.flow.transfer_failure or "failed")

    async def send_dtmf(self, digits: str) -> Replied:
        """Presses keys on the caller's channel."""
        return await self._client.request(
            channel_request("keys", "POST", self.flow.caller, "dtmf", dtmf=digits, between="100", duration="100")
        )

    async def leave(self, outcome: str = "") -> None:
        """Ends the call, unless it was transferred, and deletes what it has made.

        Args:
            outcome: of the conversation; after one of `LOST` the caller goes on in the dialplan, whatever `after` is.

        """
        if not self._is_in("connected"):
            is_lost = outcome in LOST
            to_dialplan = is_lost or self._options.after == "continue"
            status = "FAILED" if is_lost else "ENDED"
            self.happened(Leave("the agent hung up", to_dialplan=to_dialplan, status=status, outcome=outcome))
            await self.tidy()

    async def refuse(self) -> None:
        """Has the dialplan go on, which can see in VOICEPIPE_STATUS that the call was refused."""
        self.happened(Leave("the call was refused", to_dialplan=True, status="REFUSED"))
        await self.tidy()

    async def tidy(self) -> None:
        """Deletes what the call has made; what can't be deleted now is owed until ARI is there again."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + TIDY_S) as scope:
            await self.drive({"gone"})
        if scope.cancelled_caught:
            while self._requests:
                self._owe(self._requests.popleft())

    async def watch(self) -> None:
        """Waits until one of two that were connected hangs up, and ends the other's call."""
        await self.drive({"leaving"})
        await self.tidy()

    def check(self) -> None:
        """Raises the failure of the call's setup as a `TransportError`, if it has one."""
        if self.flow.failure:
            raise TransportError(self.flow.failure)


def _ignore(_reported: str) -> None:
    """Ignores a report."""
