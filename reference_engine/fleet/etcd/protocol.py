"""What a fleet asks of etcd."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from reference_engine.fleet.etcd.messages import Change, KeyCompare, RangeResult, TxnResult, WatchBatch


class Watch(Protocol):
    """Changes of keys, as they are made."""

    async def receive(self) -> WatchBatch:
        """Returns the next changes; a cancelled `receive` loses none.

        Raises:
            Compacted: the revision that it was to begin at is not kept any more.
            EtcdError: the watch has ended; another may go on from the last revision.

        """
        ...


class Etcd(Protocol):
    """The requests that a fleet makes.

    Each raises `EtcdUnavailable` if no server answers, `EtcdUnknown` if it is not known whether a change was made, and
    `EtcdRefused` if etcd refuses it.
    """

    async def range(self, key: str, *, prefix: bool = False) -> RangeResult:
        """Returns a key, or all that begin with it, as they are now: what was changed before is in it."""
        ...

    async def txn(self, compares: Sequence[KeyCompare], success: Sequence[Change]) -> TxnResult:
        """Makes changes if all conditions hold: all of them at one revision, or none."""
        ...

    async def grant(self, ttl_s: int) -> int:
        """Returns a new lease: keys under it are deleted once nobody has kept it alive for that long."""
        ...

    async def keep_alive(self, lease: int) -> None:
        """Begins the time of a lease anew.

        Raises:
            LeaseNotFound: it has expired.

        """
        ...

    async def revoke(self, lease: int) -> None:
        """Deletes a lease with all keys under it; one that has expired already is no error."""
        ...

    def watch(self, key: str, *, prefix: bool = False, from_revision: int) -> AbstractAsyncContextManager[Watch]:
        """Reports changes of a key, or of all that begin with it, from a revision on."""
        ...
