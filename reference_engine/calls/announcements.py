"""Calls that a dialplan announces before they connect: numbers, variables and a pipeline by the transport's ID.

AudioSocket brings a UUID and nothing else. The dialplan makes the UUID, so it can tell the engine beforehand who calls
(`PUT /calls/{call}`), and the call that connects with that UUID has it. Any transport with an ID that is known
beforehand may be announced.

An announcement is used by one call. One that no call comes for is dropped after `KEEP_S`; at `MAX_CALLS` no other is
taken, so that no announcement that was confirmed is lost to a later one.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING
from uuid import UUID

import trio
from attrs import evolve, field, frozen

from voicepipe import CallInfo

if TYPE_CHECKING:
    from collections.abc import Mapping

KEEP_S = 300.0
"""The time in which an announced call must connect, in s: a telephone may ring that long."""

MAX_CALLS = 2000
"""The most announced calls that wait; with the bounds of `CallInfo` about 40 MB at worst."""


@frozen
class Announcement:
    """What was told of a call before it connects."""

    info: CallInfo
    """Its `transport_id`, numbers and variables."""
    pipeline: str = ""
    """The pipeline that is to answer it; empty: the routes decide."""


@frozen
class _Waiting:
    announcement: Announcement
    until: float = field(factory=lambda: trio.current_time() + KEEP_S)


class Announcements:
    """The announced calls that have not connected yet, by their transport's ID."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()

    def add(self, announcement: Announcement) -> bool:
        """Keeps an announcement, in place of an earlier one for the same ID; False: too many calls wait."""
        self._forget()
        name = announcement.info.transport_id
        if name not in self._waiting and len(self._waiting) >= MAX_CALLS:
            return False
        self._waiting[name] = _Waiting(announcement)
        self._waiting.move_to_end(name)
        return True

    def find(self, transport_id: str) -> Announcement | None:
        """Returns what was announced for an ID, and keeps it; None: nothing was."""
        self._forget()
        waiting = self._waiting.get(transport_id)
        return None if waiting is None else waiting.announcement

    def remove(self, transport_id: str) -> None:
        """Drops the announcement of a call that has connected; no-op without one."""
        self._waiting.pop(transport_id, None)

    def __len__(self) -> int:
        self._forget()
        return len(self._waiting)

    def _forget(self) -> None:
        now = trio.current_time()
        while self._waiting and next(iter(self._waiting.values())).until <= now:
            self._waiting.popitem(last=False)


def joined(info: CallInfo, announcement: Announcement | None) -> CallInfo:
    """Returns a call as its transport knows it, with what was announced of it, which comes first."""
    if announcement is None:
        return info
    told = announcement.info
    variables: Mapping[str, str] = {
        **told.variables,
        **{k: v for k, v in info.variables.items() if k not in told.variables},
    }
    return evolve(
        info,
        caller=told.caller or info.caller,
        called=told.called or info.called,
        variables=variables,
        shortened=(*info.shortened, *told.shortened),
        trace=told.trace or info.trace,
    )


def as_transport_id(name: str) -> str:
    """Returns an ID as transports write it: UUIDs in lower case, with hyphens."""
    try:
        return str(UUID(name))
    except ValueError:
        return name
