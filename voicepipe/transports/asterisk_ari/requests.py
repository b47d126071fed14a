"""The requests to ARI that calls are made of, without I/O, and the names of what they make.

Everything that is made has an ID from us, so that its events are recognised before the answer to its request has come,
a request whose answer was lost may be repeated, and whatever is left over after a crash is found by its name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import quote

from attrs import field, frozen

Part: TypeAlias = Literal["caller", "media", "target", "bridge"]
"""What a call has in Asterisk: the caller's channel, the one that carries audio to us, the one of a transfer's other
side, and the bridge that joins them."""

_PART: Final = re.compile(r"([0-9a-f]{32})-(media|target|caller|bridge)(?:\d+)?(?:;[12])?")


@frozen
class AriRequest:
    """One HTTP request to ARI."""

    step: str
    """The name by which its reply is recognised: `answer`, `join target`."""
    method: str
    path: str
    """Below `/ari`, percent-encoded."""
    query: Mapping[str, str] = field(factory=dict)
    variables: Mapping[str, str] | None = None
    """Channel variables for the body."""

    @property
    def is_deletion(self) -> bool:
        """Whether it ends something, so that it must be sent sooner or later."""
        return self.step.startswith("delete ")

    @property
    def body(self) -> Mapping[str, Mapping[str, str]] | None:
        """The body, for JSON."""
        return None if self.variables is None else {"variables": self.variables}


@frozen
class PartNames:
    """The IDs of one call's parts: `voicepipe-<32 hex digits>-media`."""

    app: str
    """The Stasis application."""
    call: str
    """32 hexadecimal digits, unique to the call."""
    caller: str = ""
    """The caller's channel, which has its ID from Asterisk; empty for a call that we make."""

    def of(self, part: Part, number: int = 0) -> str:
        """The ID of a part; `number` tells apart the targets of several transfers."""
        if part == "caller" and self.caller:
            return self.caller
        return f"{self.app}-{self.call}-{part}{number or ''}"


def call_and_part(app: str, name: str) -> tuple[str, str] | None:
    """Returns the call and the part that an ID names, if this application made it; else None."""
    prefix = f"{app}-"
    found = _PART.fullmatch(name.removeprefix(prefix)) if name.startswith(prefix) else None
    return None if found is None else (found[1], found[2])


def channel_request(step: str, method: str, channel: str, action: str = "", **query: str) -> AriRequest:
    """A request about one channel: `POST /channels/ID/answer`."""
    path = f"/channels/{quote(channel, safe='')}"
    return AriRequest(step, method, f"{path}/{action}" if action else path, query)


def bridge_request(step: str, method: str, bridge: str, action: str = "", **query: str) -> AriRequest:
    """A request about one bridge: `POST /bridges/ID/addChannel`."""
    path = f"/bridges/{quote(bridge, safe='')}"
    return AriRequest(step, method, f"{path}/{action}" if action else path, query)


def delete_request(name: str, part: str) -> AriRequest:
    """Deletes a channel or a bridge; that it is gone already is no fault."""
    return (bridge_request if part == "bridge" else channel_request)(f"delete {part}", "DELETE", name)
