"""What a call in Asterisk is told besides ARI's events: replies to its requests, and the wishes of this side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from attrs import field, frozen

RingingSound: TypeAlias = Literal["ringing", "music", "agent"]
"""What a caller hears while a transfer rings."""


@frozen
class Begin:
    """A caller has come; their channel is to be answered."""


@frozen
class Dial:
    """The agent calls somebody."""

    endpoint: str
    """The dial string."""
    timeout_s: int = 30
    """How long it may ring, in s."""
    caller_id: str = ""
    """The number that the other side is shown; empty: the trunk's own."""
    variables: Mapping[str, str] = field(factory=dict)
    """Variables of the channel."""


@frozen
class Replied:
    """Asterisk replied to a request."""

    step: str
    status: int
    """The HTTP status; 0 if there was no reply."""
    message: str = ""
    """Asterisk's message, or why there was no reply."""

    @property
    def is_ok(self) -> bool:
        """Whether it was carried out."""
        return 200 <= self.status < 300


@frozen
class MediaConnected:
    """The media channel's audio has reached us."""


@frozen
class Transfer:
    """The agent transfers the caller."""

    endpoint: str
    """The dial string: `Local/200@transfers`."""
    timeout_s: int = 30
    """How long it may ring, in s."""
    caller_id: str = ""
    """The number that the target is shown."""
    sound: RingingSound = "ringing"
    music: str = ""
    """The class of music on hold; empty: Asterisk's default."""
    consult: bool = False
    """Whether the agent speaks with the target first, while the caller hears music."""
    variables: Mapping[str, str] = field(factory=dict)
    """Variables of the target's channel."""


@frozen
class Connect:
    """The agent has spoken with the target, and connects the two."""


@frozen
class GiveUp:
    """The agent gives a transfer up, so that the caller is back."""

    reason: str


@frozen
class Leave:
    """The agent ends the call."""

    reason: str = ""
    to_dialplan: bool = False
    """Whether the caller goes on in the dialplan instead of being hung up."""
    status: str = ""
    """The value of `VOICEPIPE_STATUS` for that dialplan; empty: it is not set."""
    outcome: str = ""
    """The value of `VOICEPIPE_OUTCOME` for that dialplan; empty: it is not set."""
