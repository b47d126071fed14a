"""Warns of calls with a repeated UUID: the dialplan gave them one that another call has, or all zeros.

The engine identifies calls by IDs of its own, so nothing of such calls is mixed up. But a dialplan that asks for a call
by its UUID (`GET /calls/{call}`) gets the answer for the latest of them.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reference_engine.log.log import Log
    from voicepipe import CallInfo

NO_UUID = str(UUID(int=0))
"""The UUID that a dialplan sends if its variable was never set."""


class UuidsInUse:
    """The UUIDs of the calls that are up, each with the number of calls that have it.

    Args:
        log: gets `call.id_repeated`.

    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._calls: Counter[str] = Counter()

    @contextmanager
    def hold(self, info: CallInfo) -> Iterator[None]:
        """Counts a call's UUID for as long as the block runs; logs a warning if the UUID does not identify the call."""
        uuid = info.transport_id
        self._calls[uuid] += 1
        self._warn_if_repeated(info)
        try:
            yield
        finally:
            self._calls[uuid] -= 1
            if not self._calls[uuid]:
                del self._calls[uuid]

    def _warn_if_repeated(self, info: CallInfo) -> None:
        uuid = info.transport_id
        if uuid == NO_UUID:
            reason = "the UUID is all zeros"
        elif uuid and self._calls[uuid] > 1:
            reason = "another call with this UUID is up"
        else:
            return
        self._log.warning(
            "call.id_repeated",
            transport_id=uuid,
            listener=info.listener,
            reason=reason,
            hint="have the dialplan make one for each call: AudioSocket(${UUID()},...)",
        )
