"""Keys that a caller presses, which come twice: from ARI, and with the audio. No I/O, no clock of its own.

Both are taken, because either may fail: events are lost while ARI is away, and before Asterisk 20.14 and 22.4
AudioSocket carries no keys. A key that has come from one side is skipped when the other brings it too, within `TWIN_S`;
in captures of 22.10 it is 0.3 ms.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Literal, TypeAlias

KeySource: TypeAlias = Literal["ari", "media"]
"""The side that a key came from."""

TWIN_S: Final = 2.0
"""How long after a key the same one from the other side is its twin, in s."""


class TwinKeys:
    """Tells keys from the twins of earlier ones."""

    def __init__(self) -> None:
        self._untwinned: deque[tuple[KeySource, str, float]] = deque()  # none is older than `TWIN_S`

    def is_new(self, source: KeySource, digit: str, now_s: float) -> bool:
        """Takes a key in the order of arrival; False if the other side has brought it already."""
        keys = self._untwinned
        while keys and keys[0][2] < now_s - TWIN_S:
            keys.popleft()
        for key in keys:
            if key[0] != source and key[1] == digit:
                keys.remove(key)
                return False
        keys.append((source, digit, now_s))
        return True
