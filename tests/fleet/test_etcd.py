"""What a fleet asks of etcd: the real one, and the one in memory that simulations use."""

from __future__ import annotations

from itertools import count

import pytest
import trio
from memory_etcd import MemoryEtcd
from patience import LONG_S

from reference_engine.fleet.etcd.client import open_etcd
from reference_engine.fleet.etcd.errors import Compacted, EtcdRefused, LeaseNotFound
from reference_engine.fleet.etcd.messages import Delete, KeyCompare, Put
from reference_engine.settings.fleet_settings import EtcdSettings

NUMBERS = count(1)


@pytest.fixture(params=["memory", "real"])
async def store(request):
    """A connection, beside a prefix that no other test uses, and a function that compacts."""
    prefix = f"/test-{next(NUMBERS)}/"
    if request.param == "memory":
        server = MemoryEtcd()
        yield Store(server.connect(), prefix, server.compact)
        return
    real = request.getfixturevalue("etcd")
    async with open_etcd(EtcdSettings(etcd=(real.url,))) as client:

        async def compact():
            revision = (await client.range(prefix)).revision
            await client._request("/v3/kv/compaction", {"revision": str(revision)})

        yield Store(client, prefix, compact)


class Store:
    def __init__(self, client, prefix, compact):
        self.client, self.prefix, self._compact = client, prefix, compact

    def key(self, name):
        return self.prefix + name

    async def put(self, name, value, lease=0):
        return (await self.client.txn((), [Put(self.key(name), value, lease)])).revision

    async def get(self, name=""):
        found = await self.client.range(self.key(name), prefix=not name)
        return {kv.key.removeprefix(self.prefix): kv for kv in found.kvs}

    async def compact(self):
        if (waiting := self._compact()) is not None:
            await waiting


async def test_what_was_put_is_there_with_its_revisions(store):
    first = await store.put("a", b"\x00one\xff")
    second = await store.put("a", b"two")
    await store.put("b", b"")
    found = await store.get()
    assert (found["a"].value, found["a"].create_revision, found["a"].mod_revision) == (b"two", first, second)
    assert found["b"].value == b""
    assert second == first + 1
    assert list(await store.get("a")) == ["a"]
    assert await store.get("none") == {}
    assert (await store.client.range(store.prefix, prefix=True)).revision == second + 1


async def test_a_prefix_is_no_more_than_that(store):
    for name in ("a", "a/1", "a/2", "b", "a\u00ff"):
        await store.put(name, b"")
    found = await store.client.range(store.key("a/"), prefix=True)
    assert [kv.key for kv in found.kvs] == [store.key("a/1"), store.key("a/2")]


@pytest.mark.parametrize(
    ("target", "result", "difference", "holds"),
    [
        ("mod", "equal", 0, True),
        ("mod", "equal", 1, False),
        ("mod", "less", 1, True),
        ("mod", "less", 0, False),
        ("mod", "greater", -1, True),
        ("create", "equal", -1, True),
        ("create", "greater", 0, False),
    ],
)
async def test_a_transaction_is_made_if_its_conditions_hold(store, target, result, difference, holds):
    await store.put("a", b"one")
    changed = await store.put("a", b"two")
    made = await store.client.txn(
        [KeyCompare(store.key("a"), target, result, changed + difference)],
        [Put(store.key("b"), b"x"), Put(store.key("c"), b"y"), Delete(store.key("a"))],
    )
    found = await store.get()
    assert made.succeeded is holds
    assert sorted(found) == (["b", "c"] if holds else ["a"])
    if holds:
        assert found["b"].mod_revision == found["c"].mod_revision == made.revision == changed + 1
    else:
        assert made.revision == changed


async def test_a_key_that_is_not_there_has_the_revision_0(store):
    absent = KeyCompare(store.key("a"), "create", "equal", 0)
    assert (await store.client.txn([absent], [Put(store.key("a"), b"1")])).succeeded
    assert not (await store.client.txn([absent], [Put(store.key("a"), b"2")])).succeeded
    assert (await store.get())["a"].value == b"1"


async def test_a_condition_for_a_prefix_is_one_for_each_key(store):
    await store.put("m/1", b"")
    seen = await store.put("m/2", b"")
    unchanged = KeyCompare(store.key("m/"), "mod", "less", seen + 1, prefix=True)
    assert (await store.client.txn([unchanged], [Put(store.key("x"), b"1")])).succeeded
    await store.put("m/3", b"")
    assert not (await store.client.txn([unchanged], [Put(store.key("x"), b"2")])).succeeded
    none = KeyCompare(store.key("n/"), "mod", "less", 1, prefix=True)
    assert (await store.client.txn([none], [Put(store.key("x"), b"3")])).succeeded


async def test_a_value_is_kept_while_its_lease_is_taken_off(store):
    lease = await store.client.grant(60)
    await store.put("a", b"kept", lease)
    await store.put("b", b"gone", lease)
    assert {kv.lease for kv in (await store.get()).values()} == {lease}
    await store.client.txn((), [Put(store.key("a"), None)])
    await store.client.revoke(lease)
    found = await store.get()
    assert {name: (kv.value, kv.lease) for name, kv in found.items()} == {"a": (b"kept", 0)}
    with pytest.raises(EtcdRefused, match="key not found"):
        await store.client.txn((), [Put(store.key("b"), None)])


async def test_a_lease_that_is_gone_is_told_as_such(store):
    lease = await store.client.grant(60)
    await store.client.keep_alive(lease)
    await store.client.revoke(lease)
    await store.client.revoke(lease)
    with pytest.raises(LeaseNotFound):
        await store.client.keep_alive(lease)
    with pytest.raises(LeaseNotFound):
        await store.put("a", b"", lease)


async def test_a_watch_tells_each_change_from_its_revision_on(store):
    await store.put("w/a", b"before")
    start = await store.put("w/a", b"one")
    lease = await store.client.grant(60)
    await store.put("other", b"")
    await store.put("w/b", b"two", lease)
    told = []
    async with store.client.watch(store.key("w/"), prefix=True, from_revision=start) as watch:
        await store.client.txn((), [Put(store.key("w/c"), b"three"), Put(store.key("w/a"), b"four")])
        await store.client.revoke(lease)
        last = await store.put("w/end", b"")
        with trio.fail_after(LONG_S):
            while not told or told[-1][1] != "end":
                batch = await watch.receive()
                told += [
                    (one.kv.mod_revision - start, one.kv.key.rpartition("/")[2], one.kv.value, one.deleted)
                    for one in batch.events
                ]
    assert batch.revision == last
    assert told == [
        (0, "a", b"one", False),
        (2, "b", b"two", False),
        (3, "c", b"three", False),
        (3, "a", b"four", False),
        (4, "b", b"", True),
        (5, "end", b"", False),
    ]


async def test_a_receive_that_is_cancelled_loses_nothing(store):
    start = await store.put("w/a", b"one")
    async with store.client.watch(store.key("w/"), prefix=True, from_revision=start) as watch:
        await watch.receive()
        with trio.move_on_after(0.05):
            await watch.receive()
        await store.put("w/a", b"two")
        with trio.fail_after(LONG_S):
            (event,) = (await watch.receive()).events
    assert event.kv.value == b"two"


async def test_a_watch_from_a_compacted_revision_says_so(store):
    start = await store.put("w/a", b"one")
    await store.put("w/a", b"two")
    await store.put("w/a", b"three")
    await store.compact()
    with pytest.raises(Compacted), trio.fail_after(LONG_S):
        async with store.client.watch(store.key("w/"), prefix=True, from_revision=start) as watch:
            await watch.receive()


async def test_what_is_too_large_is_refused(store):
    with pytest.raises(EtcdRefused, match="too large"):
        await store.put("a", bytes(1600 * 1024))
    await store.put("a", bytes(1500 * 1000))
    assert len((await store.get())["a"].value) == 1500 * 1000
