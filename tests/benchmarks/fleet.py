"""A fleet on a virtual clock: many engines and calls, with the real coordination, against an etcd in memory.

    make fleet-simulation

The network delays, loses, repeats and cuts off; etcd is compacted; engines die and join; publishers die. It is counted
whether a new call ever got another version than the fleet had decided on, for longer than a change takes to be told.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from random import Random
from statistics import mean

import trio
import trio.testing
from attrs import Factory, define, frozen

sys.path.insert(0, str(Path(__file__).parents[1]))

from memory_etcd import Faults, MemoryEtcd

from reference_engine.fleet.documents import EngineStatus, FleetVersion, SetHead, decoded
from reference_engine.fleet.etcd.errors import EtcdError
from reference_engine.fleet.following import ApplyOutcome, FleetFollower, WithdrawnError
from reference_engine.fleet.keys import FleetKeys
from reference_engine.fleet.membership import FleetMembership, MemberOptions
from reference_engine.fleet.publishing import FleetError, PublishRequest, publish

SET = "main"


class Quiet:
    """A log that nobody reads."""

    def info(self, event, **fields):
        pass

    warning = error = info


@define(eq=False)
class LocalSet:
    """What an engine serves; opening takes a while, and fails for files that say so."""

    name: str
    random: Random
    opens_s: tuple
    serving: FleetVersion | None = None
    content: bytes = b""
    served: list = Factory(list)

    async def apply(self, name, version, bundle, agree):
        assert name == SET
        if bundle != self.content:
            await trio.sleep(self.random.uniform(*self.opens_s))
        if bundle.startswith(b"bad") and self.name.encode() in bundle:
            return ApplyOutcome(serves=False, problems=("the model is not there",))
        digest = bundle.decode()
        if agree is not None:
            try:
                await agree(digest)
            except WithdrawnError as error:
                return ApplyOutcome(serves=False, digest=digest, problems=(str(error),))
        self.serving, self.content = version, bundle
        self.served.append((trio.current_time(), version))
        return ApplyOutcome(serves=True, digest=digest)


@define(eq=False)
class Engine:
    """An engine of the fleet."""

    name: str
    server: MemoryEtcd
    keys: FleetKeys
    faults: Faults
    local: LocalSet
    calls: int = 0
    life: trio.CancelScope = Factory(trio.CancelScope)
    membership: FleetMembership | None = None
    follower: FleetFollower | None = None
    in_touch_since: float = 0.0

    async def run(self):
        """Lives until it is killed: then nothing is given back, as by `kill -9`."""
        with trio.CancelScope() as self.life:
            connection = self.server.connect(self.faults)
            self.membership = FleetMembership(
                connection,
                self.keys,
                MemberOptions(self.name, (SET,)),
                log=Quiet(),
                status=self.status,
                random=Random(self.name),
            )
            self.follower = FleetFollower(connection, self.membership, self.local, Quiet())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.membership.run)
                nursery.start_soon(self.follower.run)

    def status(self):
        return EngineStatus(engine=self.name, calls=self.calls, sets={SET: self.follower.status(SET)})

    def kill(self):
        self.faults.cut()  # so that its lease is not revoked
        self.life.cancel()

    @property
    def takes_calls(self):
        """Once it serves what is decided, as a load balancer sees it by `/readyz`."""
        return self.local.serving is not None and not self.life.cancel_called


@frozen
class Result:
    """What was counted."""

    calls: int
    publishes: dict
    publish_s: list
    settled_s: list
    requests: list
    idle_requests_a_minute: float
    behind_s: float
    """The longest time for which an engine that was ready, and in touch with etcd, gave calls another version than was
    decided, in s."""
    catch_up_s: float
    """The longest time for which one did that had been cut off, or not ready, since it could know better, in s."""
    two_at_once: int
    """The commits of one number to two contents."""
    versions: int


class World:
    """The fleet, and what befalls it."""

    def __init__(self, engines, calls, seed, *, delay_s=(0.0005, 0.01), opens_s=(0.05, 0.8), lost=0.002):
        self.random = Random(seed)
        self.server, self.keys = MemoryEtcd(), FleetKeys("simulated")
        self.delay_s, self.opens_s, self.lost = delay_s, opens_s, lost
        self.engines = {}
        self.wanted_calls, self.calls = calls, 0
        self.names = [f"engine-{number:02}" for number in range(engines)]
        self.outcomes, self.publish_s, self.settled_s, self.requests = {}, [], [], []
        self.decided = []  # (time, head) as etcd has committed them
        self.behind_s, self.worst, self.catch_up_s = 0.0, None, 0.0
        self.contents = {}
        self.two_at_once = 0
        self.idle = 0.0

    def faults(self):
        return Faults(
            random=Random(self.random.random()), delay_s=self.delay_s, lost=self.lost, repeats=4, ends_watch=0.02
        )

    def start(self, nursery, name):
        faults = self.faults()
        engine = Engine(name, self.server, self.keys, faults, LocalSet(name, Random(name), self.opens_s))
        engine.in_touch_since = trio.current_time()
        self.engines[name] = engine
        nursery.start_soon(engine.run)
        return engine

    async def watch_commits(self):
        """What etcd itself has committed, as it does: beside all networks."""
        after, key = 0, self.keys.head(SET)
        while True:
            for revision, event in self.server.changes(key, prefix=False, after=max(after, self.server.compacted)):
                after = revision
                head = decoded(event.kv.value, SetHead)
                for version in (head.version, head.canary.version if head.canary else None):
                    if version is not None:
                        known = self.contents.setdefault(version.version, version.bundle)
                        self.two_at_once += known != version.bundle
                self.decided.append((trio.current_time(), head))
            await self.server.changed()

    async def place_calls(self, a_second):
        """New calls go to engines that take some, one after the other."""
        while self.calls < self.wanted_calls:
            await trio.sleep(self.random.expovariate(a_second))
            taking = [engine for engine in self.engines.values() if engine.takes_calls]
            if taking:
                self.calls += 1
                engine = self.random.choice(taking)
                engine.calls += 1
                self.judge(engine)

    def judge(self, engine):
        """How long ago was it decided that this call gets another version, and could the engine know it?"""
        now = trio.current_time()
        if not self.decided:
            return
        serving, later = engine.local.serving.id, None
        for at, head in reversed(self.decided):
            version = head.version_of(engine.name)
            if version is not None and version.id == serving:
                break
            later = (at, version)
        if later is None or engine.faults.cut_off or later[1] is None:
            return
        at, version = later
        in_touch = engine.in_touch_since < at and engine.name not in version.without
        if in_touch:
            if now - at > self.behind_s:
                self.behind_s, self.worst = now - at, (now, engine.name, engine.follower.behind(SET))
        else:
            self.catch_up_s = max(self.catch_up_s, now - max(at, engine.in_touch_since))

    async def publish(self, content, **options):
        before = self.server.requests
        connection = self.server.connect(self.faults())
        request = PublishRequest(set=SET, bundle=content, digest=content.decode(), by="simulation", **options)
        try:
            outcome = await publish(connection, self.keys, request)
        except (FleetError, EtcdError) as error:
            self.outcomes[type(error).__name__] = self.outcomes.get(type(error).__name__, 0) + 1
            return None
        self.outcomes[outcome.outcome] = self.outcomes.get(outcome.outcome, 0) + 1
        if outcome.outcome == "committed":
            self.publish_s.append(outcome.seconds)
            self.settled_s.append(outcome.settled_s)
            self.requests.append(self.server.requests - before)
        return outcome

    async def befall(self, nursery):  # noqa: C901 - a case for each misfortune
        """One misfortune after the other, with publishes between them and beside them."""
        number = 0
        while self.calls < self.wanted_calls:
            number += 1
            victim = self.engines[self.random.choice(self.names)]
            match self.random.randrange(8):
                case 0:  # an engine is cut off, and comes back
                    if not victim.life.cancel_called:
                        victim.faults.cut()
                        nursery.start_soon(self.mend_after, victim, self.random.uniform(1, 40))
                case 1:  # one dies, and is started again
                    victim.kill()
                    nursery.start_soon(self.start_after, nursery, victim.name, self.random.uniform(0.5, 20))
                case 2:
                    self.server.compact()
                case 3:  # a publisher dies with its proposal
                    with trio.move_on_after(self.random.uniform(0.01, 1.5)):
                        await self.publish(b"dies-%d" % number)
                case 4:  # two publish at once
                    nursery.start_soon(self.publish, b"beside-%d" % number)
                case 5:
                    await self.publish(b"bad-%d for %s" % (number, victim.name.encode()))
                case 6:
                    await self.publish(b"canary-%d" % number, share=10)
                case 7:
                    await self.publish(b"most-%d" % number, at_least=80, deadline_s=10)
            await self.publish(b"version-%d" % number)
            await trio.sleep(self.random.uniform(0.5, 5))

    async def mend_after(self, engine, seconds):
        await trio.sleep(seconds)
        if not engine.life.cancel_called:
            engine.faults.mend()
            engine.in_touch_since = trio.current_time()

    async def start_after(self, nursery, name, seconds):
        await trio.sleep(seconds)
        if self.engines[name].life.cancel_called:
            self.start(nursery, name)

    async def run(self, calls_a_second):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.server.run)
            nursery.start_soon(self.watch_commits)
            for name in self.names:
                self.start(nursery, name)
            await trio.sleep(2)
            await self.publish(b"version-0")
            before, since = self.server.requests, trio.current_time()
            await trio.sleep(60)
            self.idle = (self.server.requests - before) / (trio.current_time() - since) * 60
            async with trio.open_nursery() as work:
                work.start_soon(self.place_calls, calls_a_second)
                work.start_soon(self.befall, nursery)
            for engine in self.engines.values():  # and at last everything is well, and all agree
                if engine.life.cancel_called:
                    self.start(nursery, engine.name)
                engine.faults.mend()
            await trio.sleep(90)
            await self.publish(b"the last", force=True)
            await trio.sleep(5)
            self.last = {engine.local.content for engine in self.engines.values()}
            nursery.cancel_scope.cancel()
        return Result(
            calls=self.calls,
            publishes=dict(sorted(self.outcomes.items())),
            publish_s=self.publish_s,
            settled_s=self.settled_s,
            requests=self.requests,
            idle_requests_a_minute=self.idle,
            behind_s=self.behind_s,
            catch_up_s=self.catch_up_s,
            two_at_once=self.two_at_once,
            versions=len(self.contents),
        )


def simulate(engines, calls, seed, *, calls_a_second=30.0, **options):
    """Runs a fleet; returns what was counted, and the world that it was counted in."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    world = World(engines, calls, seed, **options)
    return trio.run(world.run, calls_a_second, clock=clock), world


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", type=int, default=50)
    parser.add_argument("--calls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    result, world = simulate(arguments.engines, arguments.calls, arguments.seed)

    def shown(values):
        ordered = sorted(values)
        return f"mean {mean(values):.2f}, p99 {ordered[int(len(ordered) * 0.99)]:.2f}"

    print(f"{arguments.engines} engines, {result.calls:,} calls, {result.versions} versions, seed {arguments.seed}")
    print(f"publishes: {result.publishes}")
    print(f"from proposal to commit, s: {shown(result.publish_s)} (opening takes {world.opens_s} s)")
    print(f"from proposal to served by all, s: {shown(result.settled_s)}")
    print(f"requests to etcd from proposal to served by all: {shown(result.requests)}")
    print(f"requests to etcd in an idle minute: {result.idle_requests_a_minute:.0f}")
    print(f"longest that an engine in touch gave new calls another version than was decided, s: {result.behind_s:.3f}")
    print(f"longest that one did after it had been cut off, or not ready, s: {result.catch_up_s:.3f}")
    print(f"numbers that were committed for two contents: {result.two_at_once}")
    print(f"contents that engines serve at the end: {len(world.last)}")


if __name__ == "__main__":
    main()
