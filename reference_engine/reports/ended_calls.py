"""Calls that have ended lately: a dialplan asks how its call ended when the caller comes back to it."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import field, frozen

from voicepipe import Outcome

if TYPE_CHECKING:
    from voicepipe import CallInfo

KEPT_S = 600.0
"""How long they are remembered, in s: dialplans ask at once, people who look for a fault a little later."""

KEPT = 2000
"""How many are remembered at most: about 1 MB."""

EndedOutcome: TypeAlias = Outcome | str
"""As in `CallEnded`, or `refused`: it was not taken."""


@frozen
class EndedCall:
    """What became of a call."""

    call_id: str
    """The engine's own ID; empty if it was refused."""
    transport_id: str
    """The transport's own name for it."""
    set: str
    """The pipeline set's name; empty if no set was to answer it."""
    outcome: EndedOutcome
    """How it ended."""
    detail: str
    """More about that: the transfer's target, the reason of a refusal or a failure."""
    ended: datetime | None = field(factory=lambda: datetime.now(UTC))
    """When, in UTC; None: the line is being closed, while its tools come to their end."""


class EndedCalls:
    """The calls that ended lately, each under its call ID and its transport's; bounded in number and in time."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, tuple[float, EndedCall]] = OrderedDict()

    def add(self, call: EndedCall) -> None:
        """Remembers a call, instead of an earlier one that has the same name."""
        now = trio.current_time()
        for name in filter(None, {call.call_id, call.transport_id}):
            self._ended.pop(name, None)
            self._ended[name] = now, call
        self._forget(now)

    def refuse(self, info: CallInfo, set_name: str, reason: str) -> None:
        """Remembers a call that was not taken."""
        self.add(EndedCall("", info.transport_id, set_name, "refused", reason))

    def find(self, name: str) -> EndedCall | None:
        """The latest call that has this for its own ID or for its transport's, or None."""
        self._forget(trio.current_time())
        return self._ended[name][1] if name in self._ended else None

    def __len__(self) -> int:
        return len({id(call) for _, call in self._ended.values()})

    def _forget(self, now: float) -> None:
        while self._ended:
            name, (ended, _) = next(iter(self._ended.items()))
            if now - ended < KEPT_S and len(self._ended) <= 2 * KEPT:
                return
            del self._ended[name]
