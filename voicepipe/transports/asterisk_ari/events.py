"""ARI's events without I/O: text of the events WebSocket in, what matters to calls out.

The names are those of `rest-api/api-docs/events.json` of Asterisk 22 and 23. Of some forty types these concern calls;
the others, most of them `ChannelVarset`, are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from attrs import field, frozen

CAUSES: Final = {
    1: "no such number",
    17: "busy",
    18: "no answer",
    19: "no answer",
    20: "unavailable",
    21: "rejected",
    27: "unavailable",
    28: "no such number",
    34: "congestion",
    38: "network out of order",
    42: "congestion",
    58: "no common codec",
}
"""What a hang-up cause of Q.850 means for a call that nobody took."""

SOFT_HANGUP: Final = 32
DIAL_STATUSES: Final = {
    "BUSY": "busy",
    "NOANSWER": "no answer",
    "CANCEL": "no answer",
    "CONGESTION": "congestion",
    "CHANUNAVAIL": "unavailable",
}
"""What a `Dial` event's status means for a call that nobody took."""


@frozen
class AriChannel:
    """A channel, as ARI describes it in events and in `GET /channels`."""

    id: str
    """Its unique ID."""
    name: str = ""
    """Its name: `PJSIP/trunk-00000001`."""
    state: str = ""
    """`Down`, `Ring`, `Ringing`, `Up` ..."""
    number: str = ""
    """The caller's number."""
    caller_name: str = ""
    """The caller's name."""
    extension: str = ""
    """The extension of the dialplan that it is at: of an incoming call, usually the number that was dialled."""
    application: str = ""
    """The dialplan application that runs: `Stasis`."""
    application_data: str = ""
    """That application's arguments: `voicepipe,sales`."""
    variables: Mapping[str, str] = field(factory=dict)
    """The variables that `channelvars` of ari.conf names; those that are not set are left out."""

    @property
    def stasis_arguments(self) -> tuple[str, ...] | None:
        """The arguments of `Stasis()`, the application's name first; None if it is not in a Stasis application."""
        return tuple(self.application_data.split(",")) if self.application == "Stasis" else None


@frozen
class EnteredStasis:
    """A channel came into the application: a caller, or one that was made by us and has answered."""

    channel: AriChannel
    arguments: tuple[str, ...] = ()
    """The arguments of `Stasis()` after the application's name."""


@frozen
class HangupRequested:
    """A channel is about to end; a `ChannelEnded` follows."""

    channel_id: str
    cause: int = 0
    """The cause of Q.850, 0 if none was given."""


@frozen
class ChannelEnded:
    """A channel has left the application, or is gone altogether."""

    channel_id: str
    cause: int = 0
    cause_text: str = ""


@frozen
class DialProgressed:
    """A channel that is being called made progress."""

    channel_id: str
    status: str
    """`RINGING`, `PROGRESS`, `ANSWER`, `BUSY`, `NOANSWER`, `CONGESTION`, `CHANUNAVAIL`, `CANCEL`."""


@frozen
class KeyReceived:
    """Somebody pressed a key."""

    channel_id: str
    digit: str


@frozen
class Replaced:
    """Another program has connected as the same application, and gets its events from now on."""

    application: str


AriEvent: TypeAlias = EnteredStasis | HangupRequested | ChannelEnded | DialProgressed | KeyReceived | Replaced


def parse_event(text: str | bytes) -> AriEvent | None:
    """Reads a message of the events WebSocket; None if it does not concern calls.

    Raises:
        ValueError: it is not an event of ARI.

    """
    event = json.loads(text)
    if not isinstance(event, dict) or not isinstance(event.get("type"), str):
        raise ValueError("not an event")  # noqa: TRY004 - of the same kind as text that is no JSON
    kind = event["type"]
    if kind == "ApplicationReplaced":
        return Replaced(_text(event.get("application")))
    make = _EVENTS.get(kind)
    channel = parse_channel(event.get("peer") if kind == "Dial" else event.get("channel"))
    return make(channel, event) if make is not None and channel is not None else None


def parse_channel(channel: Any) -> AriChannel | None:
    """Reads a channel's JSON; None if it is none."""
    if not isinstance(channel, dict) or not _text(channel.get("id")):
        return None
    caller, dialplan, variables = (_object(channel.get(name)) for name in ("caller", "dialplan", "channelvars"))
    return AriChannel(
        id=channel["id"],
        name=_text(channel.get("name")),
        state=_text(channel.get("state")),
        number=_text(caller.get("number")),
        caller_name=_text(caller.get("name")),
        extension=_text(dialplan.get("exten")),
        application=_text(dialplan.get("app_name")),
        application_data=_text(dialplan.get("app_data")),
        variables={name: value for name, value in variables.items() if isinstance(value, str) and value},
    )


def reason_of(status: str, cause: int) -> str:
    """Says in a word or two why nobody took a call: `busy`, `no answer`, `unavailable`; `failed` if nothing is known.

    Args:
        status: of the last `Dial` event.
        cause: of the channel's end. A cause of 16, normal clearing, of a channel that nobody answered is a timeout.

    """
    said = DIAL_STATUSES.get(status) or CAUSES.get(cause)
    return said or ("no answer" if cause == 16 or status in {"RINGING", "PROGRESS", "PROCEEDING"} else "failed")


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _requested_cause(event: Mapping[str, Any]) -> int:
    """The cause of a hang-up; 0 for 32, which ARI and the console put in its place (AST_SOFTHANGUP_EXPLICIT)."""
    cause = _number(event.get("cause"))
    return 0 if cause == SOFT_HANGUP and event.get("soft") else cause


def _arguments(event: Mapping[str, Any]) -> tuple[str, ...]:
    arguments = event.get("args")
    return tuple(map(str, arguments)) if isinstance(arguments, list) else ()


_EVENTS: Final[Mapping[str, Callable[[AriChannel, Mapping[str, Any]], AriEvent]]] = {
    "StasisStart": lambda channel, event: EnteredStasis(channel, _arguments(event)),
    "StasisEnd": lambda channel, _event: ChannelEnded(channel.id),
    "ChannelDestroyed": lambda channel, event: ChannelEnded(
        channel.id, _number(event.get("cause")), _text(event.get("cause_txt"))
    ),
    "ChannelHangupRequest": lambda channel, event: HangupRequested(channel.id, _requested_cause(event)),
    "ChannelDtmfReceived": lambda channel, event: KeyReceived(channel.id, _text(event.get("digit"))),
    "Dial": lambda channel, event: DialProgressed(channel.id, _text(event.get("dialstatus"))),
}
"""The events that concern calls, by type."""
