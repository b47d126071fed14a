"""Keeps the outcomes of calls for ten minutes, for `GET /calls/{call}`: a dialplan asks how its call ended."""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeAlias

import trio
from attrs import field, frozen

from voicepipe import Outcome

if TYPE_CHECKING:
    from voicepipe import CallInfo

KEEP_S = 600.0
"""The time that an outcome is kept, in s: dialplans ask at once, people who debug a call a little later."""

MAX_CALLS = 2000
"""The most outcomes that are kept: about 1 MB."""

EndedOutcome: TypeAlias = Outcome | str
"""An outcome of `CallEnded`, or `refused` for a call that was not answered."""


@frozen
class EndedCall:
    """The outcome of a call."""

    call_id: str
    """The engine's ID of the call; empty if it was refused."""
    transport_id: str
    """The transport's ID of the call."""
    set: str
    """The pipeline set's name; empty if no set was to answer the call."""
    outcome: EndedOutcome
    """The outcome."""
    detail: str
    """The transfer's target, or the reason of a refusal or a failure."""
    ended: datetime | None = field(factory=lambda: datetime.now(UTC))
    """The time of the end, in UTC; None while the call is being hung up and its tools end."""


class EndedCalls:
    """The outcomes of the last calls, each under its `call_id` and its `transport_id`; bounded in number and time."""

    def __init__(self) -> None:
        self._ended: OrderedDict[str, tuple[float, EndedCall]] = OrderedDict()

    def add(self, call: EndedCall) -> None:
        """Keeps the outcome of a call; it replaces that of an earlier call with the same `transport_id`."""
        now = trio.current_time()
        for name in filter(None, {call.call_id, call.transport_id}):
            self._ended.pop(name, None)
            self._ended[name] = now, call
        self._forget(now)

    def refuse(self, info: CallInfo, set_name: str, reason: str) -> None:
        """Keeps the refusal of a call."""
        self.add(EndedCall("", info.transport_id, set_name, "refused", reason))

    def find(self, name: str) -> EndedCall | None:
        """Returns the outcome of the latest call with this `call_id` or `transport_id`, or None."""
        self._forget(trio.current_time())
        return self._ended[name][1] if name in self._ended else None

    def __len__(self) -> int:
        return len({id(call) for _, call in self._ended.values()})

    def _forget(self, now: float) -> None:
        while self._ended:
            name, (ended, _) = next(iter(self._ended.items()))
            if now - ended < KEEP_S and len(self._ended) <= 2 * MAX_CALLS:
                return
            del self._ended[name]
