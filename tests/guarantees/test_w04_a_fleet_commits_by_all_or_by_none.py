"""W04: a version is committed by every live engine of a fleet or by none; a partition never commits two.

Three real engines and a real etcd, on loopback. Their simulation is in tests/fleet. Most of the time of these tests
is that of leases, which nobody works in.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack, asynccontextmanager

import pytest
import trio
from engine_process import engine_home, open_engine, run_command
from etcd import open_etcd_server
from patience import LONG_S

from reference_engine.fleet import publishing
from reference_engine.fleet.bundle import packed
from reference_engine.fleet.documents import SetHead, decoded
from reference_engine.fleet.etcd.client import open_etcd
from reference_engine.fleet.etcd.errors import EtcdError
from reference_engine.fleet.keys import FleetKeys
from reference_engine.fleet.publishing import FleetError, PublishRequest, publish
from reference_engine.settings.fleet_settings import EtcdSettings

SET = """\
limits: {goodbye: "Bye."}
pipelines:
  default:
    stt: {type: pocketsphinx, phrases: [hello]}
    llm: {type: scripted, script: scripts/reception.yaml}
    tts: {type: espeak, voice: en-us}
    prompt: {file: prompts/reception.md}
    greeting: "Hello."
"""
ENGINE = """\
pipeline_sets: {{main: ai-agent.yaml}}
listeners: [{{set: main, name: main}}]
name: {name}
fleet: {{etcd: ["{url}"], name: {fleet}, ttl_s: 3, timeout_s: 2, directory: kept}}
"""


@pytest.fixture(scope="module")
def server():
    """An etcd of this file's own, since it is stopped."""
    with open_etcd_server() as running:
        yield running


class Fleet:
    """Engines by name, each in a directory of its own, and what is published to them."""

    def __init__(self, name, server, stack, nursery):
        self.name, self.server, self.keys = name, server, FleetKeys(name)
        self.engines, self.homes = {}, {}
        self._stack, self._nursery = stack, nursery

    def home(self, name):
        home = self._stack.enter_context(engine_home(SET))
        (home / "prompts").mkdir()
        (home / "prompts/reception.md").write_text("Be short.")
        (home / "engine.yaml").write_text(ENGINE.format(name=name, url=self.server.url, fleet=self.name))
        self.homes[name] = home
        return home

    async def start(self, *names, ready=True):
        for name in names:
            await self._nursery.start(self._live, name)
        for name in names if ready else ():
            await self.engines[name].logged("engine.ready")

    async def _live(self, name, task_status):
        home = self.homes.get(name) or self.home(name)
        variables = ["--env-file", "variables"] if (home / "variables").exists() else []
        async with open_engine(home, *variables, file="engine.yaml", ready=False) as engine:
            self.engines[name] = engine
            task_status.started()
            await trio.sleep_forever()

    def signal(self, name, number):
        os.kill(self.engines[name].process.pid, number)

    async def version(self, name):
        answer = (await self.engines[name].ask("GET", "/sets")).json()
        return answer["sets"][0]["version"]

    async def all_serve(self, number, *names):
        for name in names or self.engines:
            with trio.fail_after(LONG_S):
                while await self.version(name) != number:  # noqa: ASYNC110 - it is about another process
                    await trio.sleep(0.02)

    def sources(self, yaml, path):
        script = path.parent / "scripts/reception.yaml"
        prompt = path.parent / "prompts/reception.md"
        return {path: yaml.encode(), prompt: b"Be short.", script: script.read_bytes()}

    def bundle(self, greeting):
        path = self.homes["a"] / "ai-agent.yaml"
        return packed(path, self.sources(SET.replace("Hello.", greeting), path))

    @asynccontextmanager
    async def etcd(self):
        async with open_etcd(EtcdSettings(etcd=(self.server.url,), timeout_s=2)) as client:
            yield client

    async def publish(self, greeting, client=None, *, bundle=None, **options):
        bundle = self.bundle(greeting) if bundle is None else bundle
        request = PublishRequest(set="main", bundle=bundle, by="test", **options)
        if client is not None:
            return await publish(client, self.keys, request)
        async with self.etcd() as own:
            return await publish(own, self.keys, request)

    async def head(self):
        async with self.etcd() as client:
            (kv,) = (await client.range(self.keys.head("main"))).kvs
        return decoded(kv.value, SetHead)

    async def proposed(self):
        """Returns once engines know of a proposal."""
        async with self.etcd() as client:
            with trio.fail_after(LONG_S):
                while not (await client.range(self.keys.reports("main"), prefix=True)).kvs:  # noqa: ASYNC110
                    await trio.sleep(0.02)

    async def status(self):
        place = f"{self.server.url}/{self.name}"
        told = await run_command("fleet", "status", "--fleet", place, "--format", "json", home=self.homes["a"])
        return json.loads(told.stdout)


@asynccontextmanager
async def open_fleet(name, server, *engines):
    with ExitStack() as stack:
        async with trio.open_nursery() as nursery:
            fleet = Fleet(name, server, stack, nursery)
            await fleet.start(*engines)
            yield fleet
            nursery.cancel_scope.cancel()


class Dies:
    """A publisher's requests to etcd; it dies right before its commit, or right after it."""

    def __init__(self, client, scope, *, after):
        self._client, self._scope, self._after, self._dead = client, scope, after, False

    def __getattr__(self, name):
        return getattr(self._client, name)

    async def txn(self, conditions, changes):
        commits = any(change.key.endswith("/head") for change in changes)
        if commits and self._after:
            await self._client.txn(conditions, changes)
        if commits:
            self._dead = True
            self._scope.cancel()
            await trio.sleep_forever()
        return await self._client.txn(conditions, changes)

    async def revoke(self, lease):
        if not self._dead:
            await self._client.revoke(lease)


async def test_engines_commit_together_whatever_dies_meanwhile(server, monkeypatch):
    async with open_fleet("deaths", server, "a", "b", "c") as fleet:
        # All of them.
        first = await fleet.publish("One.")
        assert (first.outcome, set(first.ready), first.without) == ("committed", {"a", "b", "c"}, ())
        assert first.version.version == 2  # 1 was each engine's own file
        await fleet.all_serve(first.version.version)

        # An engine that can't: none of them, and its reason is told.
        (fleet.homes["c"] / "ai-agent.yaml").unlink()  # what lies on its disk is no matter
        async with trio.open_nursery() as nursery:
            fleet.signal("c", signal.SIGSTOP)

            # An engine is killed while it prepares: the others don't wait for it any more.
            async def publish_second():
                nonlocal second
                second = await fleet.publish("Two.")

            second = None
            nursery.start_soon(publish_second)
            await fleet.engines["a"].comes_true(lambda: _reported(fleet, "a"))
            fleet.signal("c", signal.SIGKILL)
        assert (second.outcome, set(second.ready)) == ("committed", {"a", "b"})
        await fleet.all_serve(second.version.version, "a", "b")

        # It joins again: with what is decided, before it takes calls.
        await fleet.start("c")
        ready = await fleet.engines["c"].logged("engine.ready")
        assert ready["sets"][0]["version"] == second.version.version

        # A publisher dies before it commits: none.
        monkeypatch.setattr(publishing, "LEASE_S", 2)
        await _publish_and_die(fleet, "Three.", after=False)
        for engine in fleet.engines.values():
            refused = await engine.logged("fleet.not_served")
            assert "withdrawn" in refused["problems"][0]
        assert (await fleet.head()).version.version == second.version.version
        await fleet.all_serve(second.version.version)

        # It dies after it has committed: all.
        monkeypatch.undo()
        await _publish_and_die(fleet, "Four.", after=True)
        fourth = (await fleet.head()).version
        assert fourth.version > second.version.version
        await fleet.all_serve(fourth.version)

        status = await fleet.status()
        assert {one["engine"]: one["sets"]["main"]["version"] for one in status["engines"]} == dict.fromkeys(
            "abc", fourth.version
        )
        assert len({one["sets"]["main"]["digest"] for one in status["engines"]}) == 1
        assert not any(one["behind"] for one in status["engines"])


async def _reported(fleet, name):
    async with fleet.etcd() as client:
        (kv,) = (await client.range(fleet.keys.report("main", name))).kvs
        return b'"ready"' in kv.value


async def _publish_and_die(fleet, greeting, *, after):
    async with fleet.etcd() as client:
        with trio.CancelScope() as life:
            await fleet.publish(greeting, Dies(client, life, after=after))
        assert life.cancelled_caught


async def test_etcd_may_stop_stand_still_and_restart_in_the_middle(server):
    async with open_fleet("outages", server, "a", "b", "c") as fleet:
        first = await fleet.publish("One.")
        await fleet.all_serve(first.version.version)
        numbers = {first.version.version: first.version.id}
        for greeting, stop, again in (
            ("Two.", server.pause, server.go_on),
            ("Three.", server.kill, lambda: (server.start(), server.wait())),
        ):
            outcome = None

            async def publish_it(greeting=greeting):
                nonlocal outcome
                while outcome is None:
                    try:
                        outcome = await fleet.publish(greeting)
                    except EtcdError as error:
                        outcome = error
                    except FleetError:  # the lease of the publisher before, which etcd's outage has ended, lives on
                        await trio.sleep(0.2)

            async with trio.open_nursery() as nursery:
                fleet.signal("b", signal.SIGSTOP)  # so that it can't be committed yet
                nursery.start_soon(publish_it)
                await fleet.engines["a"].comes_true(lambda: _reported(fleet, "a"))
                stop()
                fleet.signal("b", signal.SIGCONT)
                for name in "abc":  # away, they serve on, and say so
                    engine = fleet.engines[name]
                    await engine.logged("fleet.away", after=fleet.__dict__.get(f"told {name}", 0))
                    fleet.__dict__[f"told {name}"] = len(engine.records)
                    assert await fleet.version(name) in numbers
                    assert (await engine.samples())["voicepipe_fleet_etcd_up"] == 0
                await trio.to_thread.run_sync(again)
            decided = (await fleet.head()).version
            numbers.setdefault(decided.version, decided.id)
            assert numbers[decided.version] == decided.id  # no number means two things
            await fleet.all_serve(decided.version)
            for name in "abc":
                await fleet.engines[name].logged("fleet.back")

        # An engine that starts while etcd is away serves what it has served last.
        decided = (await fleet.head()).version
        fleet.signal("c", signal.SIGKILL)
        server.pause()
        try:
            await fleet.start("c")
            assert await fleet.version("c") == decided.version
            await fleet.engines["c"].logged("fleet.starts_without_etcd")
        finally:
            server.go_on()
        assert (await fleet.publish("Last.")).outcome == "committed"
        await fleet.all_serve((await fleet.head()).version.version)


async def test_an_engine_that_can_not_serve_what_is_decided_takes_no_calls(server):
    async with open_fleet("broken", server, "a") as fleet:
        yaml = SET.replace("en-us", '"${VOICE:-en-gb}"').replace("Hello.", "One.")
        home = fleet.homes["a"]
        first = await fleet.publish("One.", bundle=packed(home / "s.yaml", fleet.sources(yaml, home / "s.yaml")))
        assert first.outcome == "committed", first.reasons
        (fleet.home("b") / "variables").write_text("VOICE=nobody\n")
        await fleet.start("b", ready=False)
        broken = fleet.engines["b"]
        told = await broken.logged("fleet.takes_no_calls")
        assert "there is no voice" in told["reason"]
        assert (await broken.ask("GET", "/readyz")).status_code == 503
        assert broken.count("engine.ready") == 0
        status = await fleet.status()
        behind = {one["engine"]: one["behind"] for one in status["engines"]}
        assert behind["a"] == {}
        assert "there is no voice" in behind["b"]["main"]

        # It is asked like all others: what it can't serve is served by none, and what it can mends it.
        other = packed(home / "s.yaml", fleet.sources(f"{yaml}# Two.", home / "s.yaml"))
        withdrawn = await fleet.publish("Two.", bundle=other)
        assert withdrawn.outcome == "withdrawn"
        assert set(withdrawn.reasons) == {"b"}
        mended = await fleet.publish("Three.")
        assert (mended.outcome, set(mended.ready)) == ("committed", {"a", "b"})
        ready = await broken.logged("engine.ready")
        assert ready["sets"][0]["version"] == mended.version.version
