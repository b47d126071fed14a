"""An etcd in memory for simulations, on trio's clock: with delays, losses, partitions, compaction and repeated events.

`tests/fleet/test_etcd.py` holds it to what the real one does.
"""

from __future__ import annotations

from bisect import bisect_left
from contextlib import asynccontextmanager
from random import Random

import trio
from attrs import define, evolve, field

from reference_engine.fleet.etcd.errors import Compacted, EtcdRefused, EtcdUnavailable, EtcdUnknown, LeaseNotFound
from reference_engine.fleet.etcd.messages import (
    Delete,
    KeyValue,
    RangeResult,
    TxnResult,
    WatchBatch,
    WatchEvent,
)

MOST_REQUEST = 1536 * 1024


@define(eq=False)
class _Lease:
    ttl_s: float
    until: float
    keys: set = field(factory=set)


class MemoryEtcd:
    """The server, which all connections share."""

    def __init__(self) -> None:
        self.revision, self.compacted = 1, 0
        self.requests = 0
        self._kvs: dict[str, KeyValue] = {}
        self._log: list[tuple[int, WatchEvent]] = []
        self._leases: dict[int, _Lease] = {}
        self._next_lease = 7000
        self._changed = trio.Event()

    def connect(self, faults: Faults | None = None) -> MemoryConnection:
        """A client's connection, with faults of its own."""
        return MemoryConnection(self, faults or Faults())

    async def run(self) -> None:
        """Has leases expire, until it is cancelled."""
        while True:
            self._expire()
            await trio.sleep(1)

    def compact(self) -> None:
        """Forgets all changes so far."""
        self.compacted = self.revision
        self._log.clear()
        self._tell()

    def range(self, key, *, prefix):
        self._expire()
        found = (self._kvs[name] for name in sorted(self._kvs) if _within(name, key, prefix))
        return RangeResult(self.revision, tuple(found))

    def txn(self, compares, success):
        self._expire()
        if sum(len(change.value or b"") for change in success if not isinstance(change, Delete)) > MOST_REQUEST:
            raise EtcdRefused("request is too large", 3)
        if not all(self._holds(compare) for compare in compares):
            return TxnResult(False, self.revision)
        changes = []
        for change in success:
            if isinstance(change, Delete):
                changes += [(name, None, 0) for name in sorted(self._kvs) if _within(name, change.key, change.prefix)]
                continue
            if change.lease and change.lease not in self._leases:
                raise LeaseNotFound("requested lease not found", 5)
            value = change.value
            if value is None:
                if change.key not in self._kvs:
                    raise EtcdRefused("key not found", 3)
                value = self._kvs[change.key].value
            changes.append((change.key, value, change.lease))
        self._apply(changes)
        return TxnResult(True, self.revision)

    def grant(self, ttl_s):
        self._next_lease += 1
        self._leases[self._next_lease] = _Lease(ttl_s, trio.current_time() + ttl_s)
        return self._next_lease

    def keep_alive(self, lease):
        self._expire()
        if (there := self._leases.get(lease)) is None:
            raise LeaseNotFound("requested lease not found", 5)
        there.until = trio.current_time() + there.ttl_s

    def revoke(self, lease):
        if (gone := self._leases.pop(lease, None)) is not None:
            self._apply([(key, None, 0) for key in sorted(gone.keys)])

    def changes(self, key, *, prefix, after):
        """What came after a revision, a batch for each later one."""
        if after < self.compacted:
            raise Compacted(f"etcd keeps no changes from before revision {self.compacted}", 11)
        at = bisect_left(self._log, after + 1, key=lambda entry: entry[0])
        return [(revision, event) for revision, event in self._log[at:] if _within(event.kv.key, key, prefix)]

    async def changed(self):
        await self._changed.wait()

    def _holds(self, compare):
        names = [name for name in self._kvs if _within(name, compare.key, compare.prefix)]
        kvs = [self._kvs[name] for name in names] or ([] if compare.prefix else [KeyValue(compare.key)])
        values = [kv.mod_revision if compare.target == "mod" else kv.create_revision for kv in kvs]
        against = {"equal": int.__eq__, "less": int.__lt__, "greater": int.__gt__}[compare.result]
        return all(against(value, compare.revision) for value in values)

    def _apply(self, changes):
        if not changes:
            return
        self.revision += 1
        for key, value, lease in changes:
            before = self._kvs.pop(key, None)
            if before is not None and before.lease in self._leases:
                self._leases[before.lease].keys.discard(key)
            if value is None:
                if before is not None:
                    self._log.append((self.revision, WatchEvent(KeyValue(key, mod_revision=self.revision), True)))
                continue
            created = before.create_revision if before is not None else self.revision
            kv = self._kvs[key] = KeyValue(key, value, created, self.revision, lease)
            if lease:
                self._leases[lease].keys.add(key)
            self._log.append((self.revision, WatchEvent(kv)))
        self._tell()

    def _expire(self):
        now = trio.current_time()
        for lease in [name for name, one in self._leases.items() if one.until <= now]:
            self.revoke(lease)

    def _tell(self):
        changed, self._changed = self._changed, trio.Event()
        changed.set()


def _within(name, key, prefix):
    return name.startswith(key) if prefix else name == key


@define(eq=False)
class Faults:
    """What goes wrong between one client and etcd."""

    random: Random = field(factory=lambda: Random(0))
    delay_s: tuple = (0.0, 0.0)
    """The least and the most time that each way takes."""
    lost: float = 0.0
    """The share of requests whose answer is lost, half of them after they were carried out."""
    repeats: int = 0
    """How many revisions a watch that is opened again repeats at most."""
    ends_watch: float = 0.0
    """The share of batches after which a watch breaks."""
    timeout_s: float = 3.0
    _there: trio.Event = field(factory=trio.Event)

    def __attrs_post_init__(self) -> None:
        self._there.set()

    @property
    def cut_off(self) -> bool:
        """Whether nothing comes through."""
        return not self._there.is_set()

    def cut(self) -> None:
        """Nothing comes through from now on."""
        self._there = trio.Event()

    def mend(self) -> None:
        """Everything comes through again."""
        self._there.set()

    async def way(self) -> None:
        """One way through the network."""
        await trio.sleep(self.random.uniform(*self.delay_s))

    async def until_mended(self) -> None:
        await self._there.wait()


class MemoryConnection:
    """The `Etcd` of one client."""

    def __init__(self, server: MemoryEtcd, faults: Faults) -> None:
        self.server, self.faults, self.requests = server, faults, 0

    async def range(self, key, *, prefix=False):
        return await self._request(lambda: self.server.range(key, prefix=prefix), changes=False)

    async def txn(self, compares, success):
        return await self._request(lambda: self.server.txn(compares, success))

    async def grant(self, ttl_s):
        return await self._request(lambda: self.server.grant(ttl_s), changes=False)

    async def keep_alive(self, lease):
        await self._request(lambda: self.server.keep_alive(lease), changes=False)

    async def revoke(self, lease):
        await self._request(lambda: self.server.revoke(lease), changes=False)

    def leave_server(self) -> None:
        """There is no other."""

    @asynccontextmanager
    async def watch(self, key, *, prefix=False, from_revision):
        await self._request(lambda: None, changes=False)
        after = max(0, self.server.compacted, from_revision - 1 - self.faults.random.randint(0, self.faults.repeats))
        yield MemoryWatch(
            self, key, prefix, min(after, from_revision - 1) if self.faults.repeats else from_revision - 1
        )

    async def _request(self, carry_out, *, changes=True):
        self.requests += 1
        self.server.requests += 1
        faults = self.faults
        await trio.lowlevel.checkpoint()
        await faults.way()
        lost = faults.lost and faults.random.random() < faults.lost
        if faults.cut_off or (lost and faults.random.random() < 0.5):
            await trio.sleep(faults.timeout_s)
            raise (EtcdUnknown if changes else EtcdUnavailable)("the network has lost the request")
        answer = carry_out()
        await faults.way()
        if lost or faults.cut_off:
            await trio.sleep(faults.timeout_s)
            raise (EtcdUnknown if changes else EtcdUnavailable)("the network has lost the answer")
        return answer


class MemoryWatch:
    """A watch of a connection."""

    def __init__(self, connection: MemoryConnection, key: str, prefix: bool, after: int) -> None:
        self._connection, self._key, self._prefix, self._after = connection, key, prefix, after

    async def receive(self):
        server, faults = self._connection.server, self._connection.faults
        while True:
            await trio.lowlevel.checkpoint()
            await faults.until_mended()
            entries = server.changes(self._key, prefix=self._prefix, after=self._after)
            if not entries:
                await server.changed()
                continue
            if faults.random.random() < faults.ends_watch:
                raise EtcdUnavailable("the watch broke")
            await faults.way()
            if faults.cut_off:
                continue
            revision = entries[0][0]
            events = tuple(evolve(event) for at, event in entries if at == revision)
            self._after = revision
            return WatchBatch(revision, events)
