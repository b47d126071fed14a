"""The count of calls over all workers, against `max_calls`. No I/O."""

from __future__ import annotations

from typing import TypeAlias

from attrs import define, field

Slot: TypeAlias = tuple[int, int]
"""A worker's process ID, and the number that it gave its request."""


@define
class SlotCount:
    """The places that calls hold, each by its worker and the worker's number for it."""

    limit: int | None
    """The most places; None: no limit. A lower one ends no call."""
    _taken: set[Slot] = field(init=False, factory=set)

    @property
    def taken(self) -> int:
        """The number of places that are taken."""
        return len(self._taken)

    @property
    def is_full(self) -> bool:
        """Whether none is left."""
        return self.limit is not None and len(self._taken) >= self.limit

    def take(self, slot: Slot) -> bool:
        """Takes a place; False: none is left."""
        if self.is_full:
            return False
        self._taken.add(slot)
        return True

    def free(self, slot: Slot) -> None:
        """Gives a place back; no-op if the request for it was refused."""
        self._taken.discard(slot)

    def free_all_of(self, worker: int) -> int:
        """Gives back the places of a worker that has ended; returns their number."""
        left = {slot for slot in self._taken if slot[0] != worker}
        freed, self._taken = len(self._taken) - len(left), left
        return freed

    def taken_by(self, worker: int) -> int:
        """Returns the number of places that a worker's calls hold."""
        return sum(slot[0] == worker for slot in self._taken)
