"""The life of one call in Asterisk, without I/O: what happened in, requests to ARI out.

Theory of operation
===================

A call has a caller's channel, a media channel (Asterisk's external media, which carries the audio to us) and a bridge
that joins them. ARI makes them one request at a time, and each can fail or be overtaken: by its own event, by the
caller's hang-up, or by ours. So the call is a state, and `take` is told everything that happens: a reply to a request,
an event, or a wish of ours. It returns the requests that follow, to be sent in order; a reply comes back as `Replied`.

===========  ======================================================  ==============================================
state        what is waited for                                      then
===========  ======================================================  ==============================================
new          `Begin`                                                 answering: answer
             `Dial`                                                  dialling: call somebody
dialling     they answer (the channel enters the application)        opening: make the media channel
             they don't                                              leaving
answering    reply to answer                                         opening: make the media channel
opening      reply, the media channel in the application, its audio  bridging: make the bridge
bridging     reply                                                   joining: add both channels
joining      reply; 422 is tried again, for Asterisk may not be      up
             done with the media channel's way into the application
up           `Transfer`                                              ringing: a sound for the caller, call the target
ringing      the target answers (it enters the application)          connecting, or consulting
             it ends, `GiveUp`                                       up: delete it
consulting   `Connect` (the caller hears music, the target us)       connecting: caller back into the bridge
             the target ends, `GiveUp`                               up: the caller back into the bridge
connecting   reply to joining target or caller                       connected: delete the media channel
             it fails, `GiveUp`                                      up: delete the target
connected    either side ends                                        leaving
leaving      replies to all deletions                                gone
===========  ======================================================  ==============================================

From every state but the last two, the caller's end and `Leave` lead to leaving, as does whatever fails before the call
is up. `made` is what has to be deleted then: a part is in it from the moment when its request is sent, because a
request whose reply was lost may have been carried out. Deleting what is gone is a 404, and no fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, TypeAlias

from voicepipe.transports.asterisk_ari.call_wishes import (
    Begin,
    Connect,
    Dial,
    GiveUp,
    Leave,
    MediaConnected,
    Replied,
    Transfer,
)
from voicepipe.transports.asterisk_ari.events import (
    ChannelEnded,
    DialProgressed,
    EnteredStasis,
    HangupRequested,
    reason_of,
)
from voicepipe.transports.asterisk_ari.requests import (
    AriRequest,
    Part,
    PartNames,
    bridge_request,
    channel_request,
    delete_request,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FlowState: TypeAlias = Literal[
    "new",
    "dialling",
    "answering",
    "opening",
    "bridging",
    "joining",
    "up",
    "ringing",
    "consulting",
    "connecting",
    "connected",
    "leaving",
    "gone",
]
"""The state of a call; the theory of operation above has the transitions."""
Happened: TypeAlias = (
    Begin
    | Dial
    | Replied
    | MediaConnected
    | Transfer
    | Connect
    | GiveUp
    | Leave
    | EnteredStasis
    | HangupRequested
    | ChannelEnded
    | DialProgressed
)
"""Everything that a call is told."""

JOIN_ATTEMPTS: Final = 20
"""How often the channels are added to the bridge while Asterisk says that one is not in the application yet."""
UP: Final = frozenset({"up", "ringing", "consulting", "connecting"})
"""The states in which the agent holds the call."""
TRANSFER_STEPS: Final = frozenset({"call target", "hold caller", "consult", "join target", "join caller"})
"""The requests without which a transfer comes to nothing."""
COMING_UP: Final = frozenset({"answering", "opening", "bridging", "joining"})
"""The states in which a refused request ends the call."""


class CallFlow:
    """The state of one call in Asterisk.

    Attributes:
        state: the state.
        made: the parts that are to be deleted in the end, by ID.
        present: the channels that Asterisk is known to have.
        failure: why the call did not come about, or could not be kept; empty if that did not happen.
        left_reason: why the call ended, for logs; empty while it has not.
        transfer_failure: why the last transfer failed; empty if it did not.

    """

    def __init__(self, names: PartNames, media: AriRequest, *, hang_up_caller: bool = True) -> None:
        """Takes the call's names, and the request that makes its media channel.

        Args:
            names: the IDs of its parts.
            media: the request, without the channel's ID.
            hang_up_caller: whether the caller is hung up, or goes on in the dialplan, when a connected transfer ends.

        """
        self.names, self._media, self._hang_up_caller = names, media, hang_up_caller
        self.state: FlowState = "new"
        self.made: dict[str, Part] = {}
        self.present: set[str] = {names.caller} if names.caller else set()
        self.failure = self.left_reason = self.transfer_failure = ""
        self._missing = {"reply", "channel", "audio"}
        self._joins = self._targets = self._deleting = 0
        self._transfer = Transfer("")
        self._dial_status = self._adopted = ""
        self._causes: dict[str, int] = {}
        self._media_may_end = False

    @property
    def caller(self) -> str:
        """The ID of the caller's channel."""
        return self.names.of("caller")

    @property
    def target(self) -> str:
        """The ID of the latest target's channel."""
        return self._adopted or self.names.of("target", self._targets)

    @property
    def is_over(self) -> bool:
        """Whether the call is on its way out, or gone."""
        return self.state in {"leaving", "gone"}

    def adopt(self, target: str) -> None:
        """Takes over a caller and a target that an earlier process has connected."""
        self.state, self._adopted = "connected", target
        self.present.add(target)
        self.made = {target: "target", self.names.of("bridge"): "bridge"}

    def expect_media_end(self) -> None:
        """Notes that this side closes the audio, so that the media channel's end is no failure."""
        self._media_may_end = True

    def take(self, happened: Happened) -> list[AriRequest]:
        """Notes what happened, and returns the requests that follow from it, to be sent in this order."""
        return self._TAKEN_BY[type(happened)](self, happened)

    # --- The way up ---------------------------------------------------------------------------------------------

    def _begin(self, _begin: Begin) -> list[AriRequest]:
        if self.state != "new":
            return []
        self.state = "answering"
        return [channel_request("answer", "POST", self.caller, "answer")]

    def _dial(self, dial: Dial) -> list[AriRequest]:
        if self.state != "new":
            return []
        self.state = "dialling"
        self.made[self.caller] = "caller"
        return [self._call("call", self.caller, dial)]

    def _open(self) -> list[AriRequest]:
        self.state = "opening"
        media = self.names.of("media")
        self.made[media] = "media"
        request = self._media
        return [AriRequest("media", request.method, request.path, {**request.query, "channelId": media})]

    def _opened(self, what: str) -> list[AriRequest]:
        if self.state != "opening":
            return []
        self._missing.discard(what)
        if self._missing:
            return []
        self.state = "bridging"
        bridge = self.names.of("bridge")
        self.made[bridge] = "bridge"
        return [bridge_request("bridge", "POST", bridge, type="mixing", name=bridge)]

    def _media_made(self) -> list[AriRequest]:
        return self._opened("reply")

    def _audio_connected(self, _connected: MediaConnected) -> list[AriRequest]:
        return self._opened("audio")

    def _join_both(self) -> list[AriRequest]:
        self.state = "joining"
        return [self._join("join", f"{self.caller},{self.names.of('media')}")]

    def _come_up(self) -> list[AriRequest]:
        self.state = "up"
        return []

    def _call(self, step: str, channel: str, call: Dial | Transfer, **query: str) -> AriRequest:
        query |= {"endpoint": call.endpoint, "app": self.names.app, "timeout": str(call.timeout_s)}
        if call.caller_id:
            query["callerId"] = call.caller_id
        return AriRequest(step, "POST", "/channels", {**query, "channelId": channel}, call.variables or None)

    def _join(self, step: str, channels: str) -> AriRequest:
        return bridge_request(step, "POST", self.names.of("bridge"), "addChannel", channel=channels)

    # --- Replies and events ---------------------------------------------------------------------------------------

    def _replied(self, reply: Replied) -> list[AriRequest]:
        if self.state == "leaving":
            self._deleting -= reply.step.startswith("delete ")
            if self._deleting <= 0:
                self.state = "gone"
            return []
        if not reply.is_ok:
            return self._refused(reply)
        made = {"media": self.names.of("media"), "call target": self.target, "call": self.caller}.get(reply.step)
        if made is not None and made in self.made:
            self.present.add(made)
        follow = self._AFTER_REPLY.get((self.state, reply.step))
        return follow(self) if follow is not None else []

    def _refused(self, reply: Replied) -> list[AriRequest]:
        said = f"HTTP {reply.status}, {reply.message or 'without a message'}" if reply.status else reply.message
        if reply.step == "join" and reply.status == 422 and self._joins < JOIN_ATTEMPTS:
            self._joins += 1
            return self._join_both()
        if self.state in COMING_UP:
            return self._fail(f"{_STEPS.get(reply.step, reply.step)}: {said}")
        if (self.state, reply.step) == ("dialling", "call"):
            return self._leave(f"failed ({said})")
        if (self.state, reply.step) == ("up", "caller is back"):
            return self._fail(f"the caller could not be brought back to the agent: {said}")
        if reply.step in TRANSFER_STEPS and self.state in UP - {"up"}:
            return self._back(f"failed ({said})")
        return []

    def _note_cause(self, event: HangupRequested) -> list[AriRequest]:
        self._causes[event.channel_id] = event.cause
        return []

    def _note_progress(self, event: DialProgressed) -> list[AriRequest]:
        if event.status and event.channel_id == {"ringing": self.target, "dialling": self.caller}.get(self.state):
            self._dial_status = event.status
        return []

    def _entered(self, event: EnteredStasis) -> list[AriRequest]:
        channel = event.channel.id
        if self.is_over:
            return []
        self.present.add(channel)
        if channel == self.names.of("media"):
            return self._opened("channel")
        if channel == self.caller and self.state == "dialling":
            return self._open()
        return self._answered() if channel == self.target and self.state == "ringing" else []

    def _ended(self, event: ChannelEnded) -> list[AriRequest]:
        channel, cause = event.channel_id, event.cause or self._causes.get(event.channel_id, 0)
        was_made = self.made.pop(channel, None) is not None
        self.present.discard(channel)
        told = ", ".join(filter(None, (f"cause {cause}" if cause else "", event.cause_text)))
        told = f" ({told})" if told else ""
        if self.is_over:
            return []
        if channel == self.caller:
            nobody = self.state == "dialling"
            why = reason_of(self._dial_status, cause) if nobody else f"the caller hung up{told}"
            return self._leave(why, caller_is_gone=True)
        if channel == self.names.of("media"):
            return self._fail(f"the media channel ended{told}") if was_made and not self._media_may_end else []
        return self._target_ended(cause, told) if channel == self.target else []

    def _target_ended(self, cause: int, told: str) -> list[AriRequest]:
        if self.state == "ringing":
            return self._back(reason_of(self._dial_status, cause))
        if self.state in {"consulting", "connecting"}:
            return self._back("the other side hung up")
        if self.state == "connected":
            return self._leave(f"the other side hung up{told}", to_dialplan=not self._hang_up_caller)
        return []

    # --- Transfers ----------------------------------------------------------------------------------------------

    def _ring(self, transfer: Transfer) -> list[AriRequest]:
        if self.state != "up":
            return []
        self._transfer, self._dial_status, self.transfer_failure = transfer, "", ""
        self._targets += 1
        self.state = "ringing"
        self.made[self.target] = "target"
        return [*self._sound("POST"), self._call("call target", self.target, transfer, originator=self.caller)]

    def _answered(self) -> list[AriRequest]:
        quiet = self._sound("DELETE")
        if not self._transfer.consult:
            self.state = "connecting"
            return [*quiet, self._join("join target", self.target)]
        self.state = "consulting"
        bridge = self.names.of("bridge")
        return [
            *quiet,
            bridge_request("hold caller", "POST", bridge, "removeChannel", channel=self.caller),
            self._music("POST"),
            self._join("consult", self.target),
        ]

    def _connect(self, _connect: Connect) -> list[AriRequest]:
        if self.state != "consulting":
            return []
        self.state = "connecting"
        return [self._music("DELETE"), self._join("join caller", self.caller)]

    def _connected(self) -> list[AriRequest]:
        self.state = "connected"
        media = self.names.of("media")
        self.made.pop(media, None)
        self.present.discard(media)
        return [delete_request(media, "media")]

    def _give_up(self, give_up: GiveUp) -> list[AriRequest]:
        return self._back(give_up.reason) if self.state in {"ringing", "consulting", "connecting"} else []

    def _back(self, reason: str) -> list[AriRequest]:
        """Ends a transfer that came to nothing: the caller is with the agent again."""
        held = self.state != "ringing" and self._transfer.consult
        quiet = self._sound("DELETE") if self.state == "ringing" else []
        self.state, self.transfer_failure = "up", reason
        self.made.pop(self.target, None)
        self.present.discard(self.target)
        requests = [*quiet, delete_request(self.target, "target")]
        if held:
            requests += [self._music("DELETE"), self._join("caller is back", self.caller)]
        return requests

    def _sound(self, method: str) -> list[AriRequest]:
        """The requests that begin (POST) or end (DELETE) what the caller hears while it rings."""
        match self._transfer.sound:
            case "music":
                return [self._music(method)]
            case "ringing":
                return [channel_request("ringing", method, self.caller, "ring")]
            case "agent":
                return []

    def _music(self, method: str) -> AriRequest:
        music = {"mohClass": self._transfer.music} if method == "POST" and self._transfer.music else {}
        return channel_request("music", method, self.caller, "moh", **music)

    # --- The end ------------------------------------------------------------------------------------------------

    def _fail(self, why: str) -> list[AriRequest]:
        self.failure = why
        return self._take_leave(Leave(why, to_dialplan=True, status="FAILED"))

    def _take_leave(self, leave: Leave) -> list[AriRequest]:
        if self.state in COMING_UP | {"new"} and leave.status == "FAILED":
            self.failure = leave.reason
        variables = {"VOICEPIPE_STATUS": leave.status, "VOICEPIPE_OUTCOME": leave.outcome}
        return self._leave(leave.reason, to_dialplan=leave.to_dialplan, variables=variables)

    def _leave(
        self,
        reason: str,
        *,
        to_dialplan: bool = False,
        variables: Mapping[str, str] | None = None,
        caller_is_gone: bool = False,
    ) -> list[AriRequest]:
        """Ends the call: the caller first, who must not wait for the rest."""
        if self.is_over:
            return []
        self.state, self.left_reason = "leaving", reason
        requests: list[AriRequest] = []
        called = self.made.pop(self.caller, None) is not None
        if to_dialplan and not called and not caller_is_gone:
            requests += [
                channel_request("variable", "POST", self.caller, "variable", variable=name, value=value)
                for name, value in (variables or {}).items()
                if value
            ]
            requests.append(channel_request("delete caller", "POST", self.caller, "continue"))
        elif not caller_is_gone:  # a channel that we called has no dialplan to go on in
            requests.append(delete_request(self.caller, "caller"))
        requests += [delete_request(name, part) for name, part in self.made.items()]
        self.made = {}
        self._deleting = sum(request.is_deletion for request in requests)
        if not self._deleting:
            self.state = "gone"
        return requests

    _TAKEN_BY: ClassVar[Mapping[type[Any], Callable[[CallFlow, Any], list[AriRequest]]]] = {
        Begin: _begin,
        Dial: _dial,
        MediaConnected: _audio_connected,
        Transfer: _ring,
        Connect: _connect,
        GiveUp: _give_up,
        Leave: _take_leave,
        Replied: _replied,
        EnteredStasis: _entered,
        HangupRequested: _note_cause,
        ChannelEnded: _ended,
        DialProgressed: _note_progress,
    }
    _AFTER_REPLY: ClassVar[Mapping[tuple[FlowState, str], Callable[[CallFlow], list[AriRequest]]]] = {
        ("answering", "answer"): _open,
        ("opening", "media"): _media_made,
        ("bridging", "bridge"): _join_both,
        ("joining", "join"): _come_up,
        ("connecting", "join target"): _connected,
        ("connecting", "join caller"): _connected,
    }


_STEPS: Final = {
    "answer": "the call could not be answered",
    "media": "Asterisk could not open the external media channel",
    "bridge": "Asterisk could not make a bridge",
    "join": "Asterisk could not join the caller and the media channel",
}
