"""Deletions that could not be sent because ARI was away."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

import trio

if TYPE_CHECKING:
    from voicepipe.transports.asterisk_ari.client import AriClient
    from voicepipe.transports.asterisk_ari.requests import AriRequest

MOST_OWED: Final = 10_000
"""The most deletions that are kept; the oldest are dropped, and found by their names after a restart."""


class OwedDeletions:
    """Deletions to be sent when ARI is there again."""

    def __init__(self) -> None:
        self._owed: deque[AriRequest] = deque(maxlen=MOST_OWED)
        self._paying = trio.Lock()

    def add(self, request: AriRequest) -> None:
        """Adds a deletion."""
        self._owed.append(request)

    async def pay(self, client: AriClient) -> None:
        """Sends what is owed, until ARI is away again. Cancelled, it loses none, but may send one again."""
        async with self._paying:
            while self._owed:
                request = self._owed[0]
                if (await client.request(request)).status == 0:
                    return
                if self._owed and self._owed[0] is request:
                    self._owed.popleft()
